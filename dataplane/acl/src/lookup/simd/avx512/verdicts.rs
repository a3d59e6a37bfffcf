//! Verdicts from rules.

use super::super::super::{BURST, verdicts_of};
use super::{HALVES, WIDE, all, load};
use crate::Verdict;
use crate::layout::{ACTION_BYTES, NONE, Ranks};
use std::arch::x86_64::*;
use std::mem::{offset_of, size_of};

/// Words of a verdict: the rule, then its action.
const WORDS: usize = 3;
const _: () = assert!(
    size_of::<Verdict>() == 4 * WORDS && offset_of!(Verdict, rule) == 0 && offset_of!(Verdict, action) == 4
);

/// As [`verdicts_of`] says.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in super::super) fn write(
    actions: &[[u8; ACTION_BYTES]],
    ranks: Ranks,
    best: &[u32; BURST],
    verdicts: &mut [Verdict],
) -> u32 {
    let Some(last) = actions.len().checked_sub(1).filter(|&last| last < i32::MAX as usize) else {
        return verdicts_of(actions, ranks, best, verdicts);
    };
    let mut added = 0;
    for half in 0..HALVES {
        let rank = load(best, half);
        let low = all(ranks.low());
        let is_added = _mm512_cmpneq_epi32_mask(_mm512_and_si512(rank, low), low);
        added |= u32::from(is_added) << (WIDE * half);
        let some = _mm512_cmpneq_epi32_mask(rank, all(NONE));
        let rule = _mm512_mask_srl_epi32(rank, some, rank, _mm_cvtsi32_si128(ranks.shift() as i32));
        let place = _mm512_min_epu32(rule, all(last as u32));
        // SAFETY: no place is behind the last action.
        let [few, more] = unsafe {
            [
                _mm512_i32gather_epi64::<8>(_mm512_castsi512_si256(place), actions.as_ptr().cast()),
                _mm512_i32gather_epi64::<8>(_mm512_extracti64x4_epi64::<1>(place), actions.as_ptr().cast()),
            ]
        };
        let out = [
            // Words of actions by their places, rules from 16 on.
            _mm512_permutex2var_epi32(
                few,
                _mm512_setr_epi32(16, 0, 1, 17, 2, 3, 18, 4, 5, 19, 6, 7, 20, 8, 9, 21),
                rule,
            ),
            _mm512_mask_permutexvar_epi32(
                _mm512_permutex2var_epi32(
                    few,
                    _mm512_setr_epi32(10, 11, 0, 12, 13, 0, 14, 15, 0, 16, 17, 0, 18, 19, 0, 20),
                    more,
                ),
                0b0100_1001_0010_0100,
                _mm512_setr_epi32(0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0, 9, 0, 0, 10, 0),
                rule,
            ),
            _mm512_permutex2var_epi32(
                more,
                _mm512_setr_epi32(5, 27, 6, 7, 28, 8, 9, 29, 10, 11, 30, 12, 13, 31, 14, 15),
                rule,
            ),
        ];
        for (part, out) in out.into_iter().enumerate() {
            let first = WORDS * WIDE * half + WIDE * part;
            let left = (WORDS * verdicts.len()).saturating_sub(first).min(WIDE);
            let there = ((1_u32 << left) - 1) as u16;
            // SAFETY: only words of verdicts that are there are written.
            unsafe {
                _mm512_mask_storeu_epi32(verdicts.as_mut_ptr().cast::<i32>().wrapping_add(first), there, out);
            }
        }
    }
    added
}
