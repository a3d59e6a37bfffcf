//! The steps on x86-64: eight rules in a vector of 256 bits.
//!
//! What is compiled for instructions that a processor may lack is reached only through [`Width`], which is made only
//! where they are.

use super::{BURST, Burst, Kernel, Row, Tables, search};
use crate::layout::{ports_row, protocol_row, rows};
use std::arch::x86_64::*;

/// Instructions that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width(Lanes);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Avx2,
    Avx512,
}

impl Width {
    /// All that this processor has, the best last.
    pub(crate) fn all() -> impl Iterator<Item = Width> {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        [avx2.then_some(Width(Lanes::Avx2)), avx512.then_some(Width(Lanes::Avx512))].into_iter().flatten()
    }

    /// As [`super::BackEnd::search`] says.
    #[inline]
    pub(crate) fn search<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match (self.0, tables.removed.is_empty()) {
                (Lanes::Avx2, true) => search_avx2::<N, false>(tables, burst, best),
                (Lanes::Avx2, false) => search_avx2::<N, true>(tables, burst, best),
                (Lanes::Avx512, true) => search_avx512::<N, false>(tables, burst, best),
                (Lanes::Avx512, false) => search_avx512::<N, true>(tables, burst, best),
            }
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
fn search_avx2<const N: usize, const REMOVED: bool>(
    tables: Tables<'_>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    search::<_, N, REMOVED>(Avx2, tables, burst, best);
}

#[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512vl")]
fn search_avx512<const N: usize, const REMOVED: bool>(
    tables: Tables<'_>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    search::<_, N, REMOVED>(Avx512, tables, burst, best);
}

/// Used in [`search_avx2`] alone.
#[derive(Clone, Copy)]
struct Avx2;

/// Used in [`search_avx512`] alone.
#[derive(Clone, Copy)]
struct Avx512;

#[inline(always)]
fn prefetch<const N: usize>(block: &[Row]) {
    // Two rows are a line.
    let Some(block) = block.get(..rows(N)) else { return };
    for line in 0..N {
        // SAFETY: a prefetch touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block[2 * line].as_ptr().cast()) }
    }
}

/// One row of a block.
#[inline(always)]
unsafe fn load(row: &Row) -> __m256i {
    // SAFETY: the row is as long as the vector; the caller has the instructions.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

impl Kernel for Avx2 {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        // SAFETY: whoever uses this kernel has BMI2.
        unsafe { _pext_u32(word, mask) }
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: &[Row], key: &[u32; N]) -> u32 {
        let Some(block) = block.get(..rows(N)) else { return 0 };
        // SAFETY: whoever uses this kernel has AVX2.
        unsafe {
            let all = |word: u32| _mm256_set1_epi32(word as i32);
            let mut unlike = _mm256_subs_epu16(
                _mm256_sub_epi16(all(key[N - 2]), load(&block[ports_row(N)])),
                load(&block[ports_row(N) + 1]),
            );
            for word in 0..N - 2 {
                let difference = _mm256_xor_si256(all(key[word]), load(&block[2 * word]));
                unlike = _mm256_or_si256(unlike, _mm256_and_si256(difference, load(&block[2 * word + 1])));
            }
            let protocol = load(&block[protocol_row(N)]);
            let difference = _mm256_xor_si256(all(key[N - 1]), protocol);
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

impl Kernel for Avx512 {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        Avx2.pick(word, mask)
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: &[Row], key: &[u32; N]) -> u32 {
        /// In the order of a ternary table's inputs: `(a ^ b) & c`.
        const DIFFERS: i32 = (0xF0 ^ 0xCC) & 0xAA;
        /// `a | b | c`.
        const EITHER: i32 = 0xF0 | 0xCC | 0xAA;
        let Some(block) = block.get(..rows(N)) else { return 0 };
        // SAFETY: whoever uses this kernel has AVX-512F, BW and VL.
        unsafe {
            let all = |word: u32| _mm256_set1_epi32(word as i32);
            let differs = |key: u32, value: __m256i, mask: __m256i| {
                _mm256_ternarylogic_epi32::<DIFFERS>(all(key), value, mask)
            };
            let mut unlike = _mm256_subs_epu16(
                _mm256_sub_epi16(all(key[N - 2]), load(&block[ports_row(N)])),
                load(&block[ports_row(N) + 1]),
            );
            // The words of an address are even in number, or source and destination have one each.
            for word in (0..N - 2).step_by(2) {
                let row = |row: usize| load(&block[2 * word + row]);
                let first = differs(key[word], row(0), row(1));
                let second = differs(key[word + 1], row(2), row(3));
                unlike = _mm256_ternarylogic_epi32::<EITHER>(unlike, first, second);
            }
            let protocol = load(&block[protocol_row(N)]);
            let protocol = differs(key[N - 1], protocol, _mm256_srli_epi32::<16>(protocol));
            u32::from(_mm256_testn_epi32_mask(_mm256_or_si256(unlike, protocol), all(u32::MAX)))
        }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, block: &[Row]) {
        prefetch::<N>(block);
    }
}
