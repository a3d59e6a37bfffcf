//! 256 bits, without masks.

use super::super::{BURST, Burst, Kernel, Row};
use super::{load_row, prefetch};
use crate::layout::{ports_row, protocol_row, rows};
use std::arch::x86_64::*;

/// Used where AVX2 and BMI2 are, alone.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

impl Kernel for Avx2 {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        // SAFETY: whoever uses this kernel has BMI2.
        unsafe { _pext_u32(word, mask) }
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: &[Row], burst: &Burst<N>, slot: usize) -> u32 {
        let Some(block) = block.get(..rows(N)) else { return 0 };
        // SAFETY: whoever uses this kernel has AVX2.
        unsafe {
            let all = |word: usize| _mm256_set1_epi32(burst.words[word][slot % BURST] as i32);
            let mut unlike = _mm256_subs_epu16(
                _mm256_sub_epi16(all(N - 2), load_row(&block[ports_row(N)])),
                load_row(&block[ports_row(N) + 1]),
            );
            for word in 0..N - 2 {
                let difference = _mm256_xor_si256(all(word), load_row(&block[2 * word]));
                unlike =
                    _mm256_or_si256(unlike, _mm256_and_si256(difference, load_row(&block[2 * word + 1])));
            }
            let protocol = load_row(&block[protocol_row(N)]);
            let difference = _mm256_xor_si256(all(N - 1), protocol);
            let protocol = _mm256_and_si256(difference, _mm256_srli_epi32::<16>(protocol));
            let unlike = _mm256_or_si256(unlike, protocol);
            let like = _mm256_cmpeq_epi32(unlike, _mm256_setzero_si256());
            _mm256_movemask_ps(_mm256_castsi256_ps(like)) as u32
        }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, block: &[Row]) {
        prefetch::<N>(block);
    }
}
