//! Two blocks at a time: AVX2, VAES, VPCLMULQDQ.

use super::v128::V128;
use super::vector::{COUNTER, REVERSE, Vector, block, load_bytes, store_bytes, vector};
use std::arch::asm;
use std::arch::x86_64::*;

/// Two blocks.
#[derive(Clone, Copy)]
pub(super) struct V256(pub(super) __m256i);

vector! {
    V256, V128, 2, 6, "avx2,vaes,vpclmulqdq",
    fn zero() -> V256 { V256(_mm256_setzero_si256()) }
    fn broadcast(block: __m128i) -> V256 { V256(_mm256_broadcastsi128_si256(block)) }
    fn load(from: *const u8) -> V256 {
        // SAFETY: the caller lets 32 bytes be read.
        V256(unsafe { _mm256_loadu_si256(from.cast()) })
    }
    fn store(self, to: *mut u8) {
        // SAFETY: the caller lets 32 bytes be written.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }
    fn load_part(from: *const u8, start: usize, end: usize) -> V256 {
        // SAFETY: the caller lets these bytes be read.
        unsafe {
            let low = if start > 0 { _mm_setzero_si128() } else { load_bytes(from, end) };
            if end <= 16 {
                return V256(_mm256_zextsi128_si256(low));
            }
            V256(_mm256_set_m128i(load_bytes(from.wrapping_add(16), end - 16), low))
        }
    }
    fn store_part(self, to: *mut u8, start: usize, end: usize) {
        // SAFETY: the caller lets these bytes be written.
        unsafe {
            if start == 0 {
                store_bytes(self.first(), to, end);
            }
            if end > 16 {
                store_bytes(_mm256_extracti128_si256::<1>(self.0), to.wrapping_add(16), end - 16);
            }
        }
    }
    fn keep(self, end: usize) -> V256 {
        let low = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let places = _mm256_set_m128i(_mm_add_epi8(low, _mm_set1_epi8(16)), low);
        V256(_mm256_and_si256(self.0, _mm256_cmpgt_epi8(_mm256_set1_epi8(end as i8), places)))
    }
    fn with_lane(self, lane: usize, block: __m128i) -> V256 {
        if lane == 0 {
            V256(_mm256_inserti128_si256::<0>(self.0, block))
        } else {
            V256(_mm256_inserti128_si256::<1>(self.0, block))
        }
    }
    fn with_first(self, block: __m128i) -> V256 { V256(_mm256_inserti128_si256::<0>(self.0, block)) }
    fn first(self) -> __m128i { _mm256_castsi256_si128(self.0) }
    fn fold(self) -> __m128i {
        // SAFETY: this has the instructions of both widths.
        unsafe { self.fold_once().0 }
    }
    fn fold_once(self) -> V128 {
        V128(_mm_xor_si128(_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0)))
    }
    fn half(self) -> V128 { V128(_mm256_castsi256_si128(self.0)) }
    fn from_half(half: V128) -> V256 { V256(_mm256_zextsi128_si256(half.0)) }
    fn iota() -> V256 { V256(_mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0)) }
    fn add32(self, other: V256) -> V256 { V256(_mm256_add_epi32(self.0, other.0)) }
    fn counters_big_endian(self) -> V256 {
        V256(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(block(&COUNTER))))
    }
    fn reverse(self) -> V256 { V256(_mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(block(&REVERSE)))) }
    fn xor(self, other: V256) -> V256 { V256(_mm256_xor_si256(self.0, other.0)) }
    fn xor3(self, b: V256, c: V256) -> V256 { V256(_mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0)) }
    fn aes(self, key: V256) -> V256 { V256(_mm256_aesenc_epi128(self.0, key.0)) }
    fn aes_last(self, key: V256) -> V256 { V256(_mm256_aesenclast_epi128(self.0, key.0)) }
    fn multiply<const HALVES: i32>(self, other: V256) -> V256 {
        V256(_mm256_clmulepi64_epi128::<HALVES>(self.0, other.0))
    }
    fn lows(self, other: V256) -> V256 { V256(_mm256_unpacklo_epi64(self.0, other.0)) }
    fn highs(self, other: V256) -> V256 { V256(_mm256_unpackhi_epi64(self.0, other.0)) }
    fn swap(self) -> V256 { V256(_mm256_shuffle_epi32::<0x4E>(self.0)) }
    fn pin(mut self) -> V256 {
        // SAFETY: there are no instructions in it.
        unsafe { asm!("/* {0} */", inout(ymm_reg) self.0, options(nomem, nostack, preserves_flags)) };
        self
    }
}
