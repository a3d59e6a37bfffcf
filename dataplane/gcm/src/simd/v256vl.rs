//! Two blocks at a time where AVX-512 has masks for them (AVX-512VL): for packets that are short, beside [`V512`].
//!
//! [`V512`]: super::v512::V512

use super::vector::{COUNTER, REVERSE, Vector, block, vector};
use std::arch::asm;
use std::arch::x86_64::*;

/// Two blocks.
#[derive(Clone, Copy)]
pub(super) struct V256Vl(__m256i);

/// Bits `start..end` of 32; `start` is less than 32.
#[inline]
#[target_feature(enable = "bmi2")]
fn mask(start: usize, end: usize) -> __mmask32 {
    _bzhi_u32(u32::MAX, end as u32) & (u32::MAX << start)
}

vector! {
    V256Vl, 2, 6, false, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,bmi2",
    fn zero() -> V256Vl { V256Vl(_mm256_setzero_si256()) }
    fn broadcast(block: __m128i) -> V256Vl { V256Vl(_mm256_broadcastsi128_si256(block)) }
    fn load(from: *const u8) -> V256Vl {
        // SAFETY: the caller lets 32 bytes be read.
        V256Vl(unsafe { _mm256_loadu_si256(from.cast()) })
    }
    fn store(self, to: *mut u8) {
        // SAFETY: the caller lets 32 bytes be written.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }
    fn load_part(from: *const u8, start: usize, end: usize) -> V256Vl {
        // SAFETY: the caller lets the bytes of the mask be read, and others are not.
        V256Vl(unsafe { _mm256_maskz_loadu_epi8(mask(start, end), from.cast()) })
    }
    fn store_part(self, to: *mut u8, start: usize, end: usize) {
        // SAFETY: the caller lets the bytes of the mask be written, and others are not.
        unsafe { _mm256_mask_storeu_epi8(to.cast(), mask(start, end), self.0) }
    }
    fn keep(self, end: usize) -> V256Vl { V256Vl(_mm256_maskz_mov_epi8(mask(0, end), self.0)) }
    fn with_lane(self, lane: usize, block: __m128i) -> V256Vl {
        if lane == 0 {
            V256Vl(_mm256_inserti128_si256::<0>(self.0, block))
        } else {
            V256Vl(_mm256_inserti128_si256::<1>(self.0, block))
        }
    }
    fn with_first(self, block: __m128i) -> V256Vl { V256Vl(_mm256_inserti128_si256::<0>(self.0, block)) }
    fn first(self) -> __m128i { _mm256_castsi256_si128(self.0) }
    fn fold(self) -> __m128i {
        _mm_xor_si128(_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0))
    }
    fn iota() -> V256Vl { V256Vl(_mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0)) }
    fn add32(self, other: V256Vl) -> V256Vl { V256Vl(_mm256_add_epi32(self.0, other.0)) }
    fn counters_big_endian(self) -> V256Vl {
        V256Vl(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(block(&COUNTER))))
    }
    fn reverse(self) -> V256Vl {
        V256Vl(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(block(&REVERSE))))
    }
    fn xor(self, other: V256Vl) -> V256Vl { V256Vl(_mm256_xor_si256(self.0, other.0)) }
    fn xor3(self, b: V256Vl, c: V256Vl) -> V256Vl {
        V256Vl(_mm256_ternarylogic_epi64::<0x96>(self.0, b.0, c.0))
    }
    fn aes(self, key: V256Vl) -> V256Vl { V256Vl(_mm256_aesenc_epi128(self.0, key.0)) }
    fn aes_last(self, key: V256Vl) -> V256Vl { V256Vl(_mm256_aesenclast_epi128(self.0, key.0)) }
    fn multiply<const HALVES: i32>(self, other: V256Vl) -> V256Vl {
        V256Vl(_mm256_clmulepi64_epi128::<HALVES>(self.0, other.0))
    }
    fn low_to_high(self) -> V256Vl { V256Vl(_mm256_bslli_epi128::<8>(self.0)) }
    fn high_to_low(self) -> V256Vl { V256Vl(_mm256_bsrli_epi128::<8>(self.0)) }
    fn swap(self) -> V256Vl { V256Vl(_mm256_shuffle_epi32::<0x4E>(self.0)) }
    fn pin(mut self) -> V256Vl {
        // SAFETY: there are no instructions in it.
        unsafe { asm!("/* {0} */", inout(ymm_reg) self.0, options(nomem, nostack, preserves_flags)) };
        self
    }
}
