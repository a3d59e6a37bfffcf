//! 256 bits, without masks.

use super::super::{BURST, Burst, Kernel};
use super::{load_bytes, load_row, prefetch};
use crate::block::Block;
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
    fn compare<const N: usize>(self, block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32 {
        // SAFETY: whoever uses this kernel has AVX2.
        unsafe { compare(block, burst, slot) }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, block: Block<'_, N>) {
        prefetch(block);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn compare<const N: usize>(block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32 {
    let all = |word: u32| _mm256_set1_epi32(word as i32);
    let key = |word: usize| all(burst.words[word][slot % BURST]);
    let ports = _mm256_sub_epi16(key(N - 2), load_row(block.firsts()));
    // Ports that cannot be seen are beyond all but the range of every port.
    let ports = _mm256_or_si256(ports, all(burst.unseen[slot % BURST]));
    let mut unlike = _mm256_subs_epu16(ports, load_row(block.extents()));
    for word in 0..N - 2 {
        let difference = _mm256_xor_si256(key(word), load_row(block.values(word)));
        let closed = _mm256_srlv_epi32(difference, load_bytes(block.shifts(word)));
        unlike = _mm256_or_si256(unlike, closed);
    }
    let difference = _mm256_xor_si256(key(N - 1), load_bytes(block.protocols()));
    unlike = _mm256_or_si256(unlike, _mm256_and_si256(difference, load_bytes(block.masks())));
    if let Some((values, masks)) = block.marks() {
        let difference = _mm256_xor_si256(key(N - 1), load_row(values));
        unlike = _mm256_or_si256(unlike, _mm256_and_si256(difference, load_row(masks)));
    }
    let like = _mm256_cmpeq_epi32(unlike, _mm256_setzero_si256());
    _mm256_movemask_ps(_mm256_castsi256_ps(like)) as u32
}
