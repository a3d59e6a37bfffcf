//! Which groups of rules the sieve of a delta leaves over for a burst.

use super::super::super::{BURST, Burst};
use super::walk::pick_alike;
use super::{HALVES, all, load, store};
use crate::sieve::{FIELDS, Field};
use std::arch::x86_64::*;

/// As [`Kernel::groups`](super::Kernel::groups) says.
#[inline]
#[target_feature(enable = "avx512f,avx512cd")]
pub(super) fn groups<const N: usize>(fields: &[Field<'_>; FIELDS], burst: &Burst<N>) -> [u32; BURST] {
    let mut left = [all(u32::MAX); HALVES];
    for &Field { word, mask, table } in fields {
        if table.len() < Field::entries(mask) {
            return [0; BURST];
        }
        if mask == 0 {
            let every = all(table.first().map_or(0, |groups| u32::from_le_bytes(*groups)));
            left = left.map(|left| _mm512_and_si512(left, every));
            continue;
        }
        let row = &burst.words[word.min(N - 1)];
        let picked = pick_alike([load(row, 0), load(row, 1)], mask);
        for half in 0..HALVES {
            // SAFETY: what is picked is below the number of the mask's values, and the table has an entry for each.
            let here = unsafe { _mm512_i32gather_epi32::<4>(picked[half], table.as_ptr().cast()) };
            left[half] = _mm512_and_si512(left[half], here);
        }
    }
    let mut groups = [0; BURST];
    for (half, left) in left.into_iter().enumerate() {
        store(&mut groups, half, left);
    }
    groups
}
