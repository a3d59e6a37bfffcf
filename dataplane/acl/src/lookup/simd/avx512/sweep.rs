//! The rules of a leaf that is every key's.

use super::super::super::{BURST, Burst, Tables};
use super::{Both, DIFFERS, EITHER, all, load, store};
use crate::block::{Block, Bytes, LANES, word};
use crate::layout::{Entry, NONE};
use std::arch::x86_64::*;
use std::array::from_fn;

/// As [`Kernel::sweep`](super::Kernel::sweep) says: one rule after the other, all keys at once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn sweep<const N: usize>(
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaf: Entry,
    best: &mut [u32; BURST],
) {
    let mut least: Both = from_fn(|half| load(best, half));
    for place in leaf.place().. {
        let Some(block) = Block::<N>::at(tables.blocks, place) else { break };
        for lane in 0..LANES {
            let number = word(block.ranks(), lane);
            if number == NONE {
                continue;
            }
            let byte = |bytes: &Bytes| all(bytes[lane].into());
            for (half, least) in least.iter_mut().enumerate() {
                let key = |word: usize| load(&burst.words[word], half);
                let ports = _mm512_sub_epi16(key(N - 2), all(word(block.firsts(), lane)));
                let ports = _mm512_or_si512(ports, load(&burst.unseen, half));
                let mut unlike = _mm512_subs_epu16(ports, all(word(block.extents(), lane)));
                for each in (0..N - 2).step_by(2) {
                    let closed = |each: usize| {
                        let mask = u32::MAX.checked_shl(block.shifts(each)[lane].into()).unwrap_or(0);
                        let value = all(word(block.values(each), lane));
                        _mm512_ternarylogic_epi32::<DIFFERS>(key(each), value, all(mask))
                    };
                    unlike = _mm512_ternarylogic_epi32::<EITHER>(unlike, closed(each), closed(each + 1));
                }
                let (protocol, mask) = (byte(block.protocols()), byte(block.masks()));
                let protocol = _mm512_ternarylogic_epi32::<DIFFERS>(key(N - 1), protocol, mask);
                unlike = _mm512_or_si512(unlike, protocol);
                if let Some((values, masks)) = block.marks() {
                    let (value, mask) = (all(word(values, lane)), all(word(masks, lane)));
                    let marks = _mm512_ternarylogic_epi32::<DIFFERS>(key(N - 1), value, mask);
                    unlike = _mm512_or_si512(unlike, marks);
                }
                let like = _mm512_testn_epi32_mask(unlike, unlike);
                *least = _mm512_mask_min_epu32(*least, like, *least, all(number));
            }
        }
        if !leaf.is_long() || block.last() == NONE {
            break;
        }
    }
    for (half, least) in least.into_iter().enumerate() {
        store(best, half, least);
    }
}
