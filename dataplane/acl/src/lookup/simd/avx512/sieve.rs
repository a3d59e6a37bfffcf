//! Which groups of rules the sieve of a delta leaves over for a burst, and the rules of these.

use super::super::super::{BURST, Burst, Tables};
use super::tree::arrive;
use super::walk::{LEAF, Walk, gather, pick_alike, walk_on};
use super::{Both, HALVES, Masks, WIDE, all, load, store};
use crate::sieve::{FIELDS, Field};
use std::arch::x86_64::*;
use std::array::from_fn;

/// So many keys that get through are worth vectors.
pub(super) const ENOUGH: u32 = 6;

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

/// As [`Kernel::through`](super::Kernel::through) says: in rounds, all keys together to the next of their groups in each.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn through<const N: usize>(
    tables: Tables<'_>,
    burst: &Burst<N>,
    groups: &[u32; BURST],
    slots: u32,
    best: &mut [u32; BURST],
) {
    let (one, last) = (all(1), all(31));
    let roots = tables.entries.get(..tables.ends[0] as usize).unwrap_or_default();
    let mut left: Both =
        from_fn(|half| _mm512_maskz_mov_epi32((slots >> (half * WIDE)) as __mmask16, load(groups, half)));
    loop {
        let there: Masks = left.map(|left| _mm512_test_epi32_mask(left, left));
        if there == [0, 0] {
            return;
        }
        let next = left.map(|left| _mm512_andnot_si512(_mm512_sub_epi32(left, one), left));
        let group = next.map(|bit| _mm512_sub_epi32(last, _mm512_lzcnt_epi32(bit)));
        let entries: [Both; 2] = from_fn(|half| gather(roots, group[half], there[half]));
        let (low, high) = ([entries[0][0], entries[1][0]], [entries[0][1], entries[1][1]]);
        let going = from_fn(|half| _mm512_mask_testn_epi32_mask(there[half], high[half], all(LEAF)));
        let walk = walk_on(tables, burst, Walk { low, high, going, level: 0 });
        arrive(tables, burst, walk, there, best);
        left = from_fn(|half| _mm512_xor_si512(left[half], next[half]));
    }
}
