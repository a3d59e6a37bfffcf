//! The rules of a leaf that is every key's.

use super::super::super::scan::{block, is_removed, word};
use super::super::super::{BURST, Burst, Tables};
use super::{Both, DIFFERS, EITHER, HALVES, all, load, store};
use crate::layout::{Entry, LANES, MORE, NONE, number_row, ports_row, protocol_row};
use std::arch::x86_64::*;
use std::array::from_fn;

/// As [`Kernel::sweep`](super::Kernel::sweep) says: one rule after the other, all keys at once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn sweep<const N: usize, const REMOVED: bool>(
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaf: Entry,
    best: &mut [u32; BURST],
) {
    let mut least: Both = from_fn(|half| load(best, half));
    for place in leaf.place().. {
        let Some(block) = block::<N>(tables.rows, place) else { break };
        for lane in 0..LANES {
            let rule = |row: usize| word(&block[row], lane);
            let number = rule(number_row(N));
            if number == NONE || REMOVED && is_removed(tables.removed, number) {
                continue;
            }
            let protocol = rule(protocol_row(N));
            for (half, least) in least.iter_mut().enumerate() {
                let key = |word: usize| load(&burst.words[word], half);
                let differs = |word: usize, value: u32, mask: u32| {
                    _mm512_ternarylogic_epi32::<DIFFERS>(key(word), all(value), all(mask))
                };
                let ports = _mm512_sub_epi16(key(N - 2), all(rule(ports_row(N))));
                let mut unlike = _mm512_subs_epu16(ports, all(rule(ports_row(N) + 1)));
                for word in (0..N - 2).step_by(2) {
                    let first = differs(word, rule(2 * word), rule(2 * word + 1));
                    let second = differs(word + 1, rule(2 * word + 2), rule(2 * word + 3));
                    unlike = _mm512_ternarylogic_epi32::<EITHER>(unlike, first, second);
                }
                let unlike = _mm512_or_si512(unlike, differs(N - 1, protocol, protocol >> 16));
                let like = _mm512_testn_epi32_mask(unlike, unlike);
                *least = _mm512_mask_min_epu32(*least, like, *least, all(number));
            }
        }
        if word(&block[protocol_row(N)], 0) & MORE == 0 {
            break;
        }
    }
    for half in 0..HALVES {
        store(best, half, least[half]);
    }
}
