//! Four blocks at a time: AVX-512, VAES, VPCLMULQDQ.

use super::v256::V256;
use super::vector::{COUNTER, REVERSE, Vector, block, vector};
use std::arch::asm;
use std::arch::x86_64::*;

/// Four blocks.
#[derive(Clone, Copy)]
pub(super) struct V512(__m512i);

/// Bits `start..end` of 64; `start <= end <= 64`.
#[inline(always)]
fn mask(start: usize, end: usize) -> __mmask64 {
    let below = if end >= 64 { u64::MAX } else { (1 << end) - 1 };
    below & (u64::MAX << start)
}

vector! {
    V512, 4, 8, false, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,bmi2",
    fn zero() -> V512 { V512(_mm512_setzero_si512()) }
    fn broadcast(block: __m128i) -> V512 { V512(_mm512_broadcast_i32x4(block)) }
    fn load(from: *const u8) -> V512 {
        // SAFETY: the caller lets 64 bytes be read.
        V512(unsafe { _mm512_loadu_si512(from.cast()) })
    }
    fn store(self, to: *mut u8) {
        // SAFETY: the caller lets 64 bytes be written.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }
    fn load_part(from: *const u8, start: usize, end: usize) -> V512 {
        // SAFETY: the caller lets the bytes of the mask be read, and others are not.
        V512(unsafe { _mm512_maskz_loadu_epi8(mask(start, end), from.cast()) })
    }
    fn store_part(self, to: *mut u8, start: usize, end: usize) {
        // SAFETY: the caller lets the bytes of the mask be written, and others are not.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), mask(start, end), self.0) }
    }
    fn keep(self, end: usize) -> V512 { V512(_mm512_maskz_mov_epi8(mask(0, end), self.0)) }
    fn with_lane(self, lane: usize, block: __m128i) -> V512 {
        V512(_mm512_mask_broadcast_i32x4(self.0, 0xF << (4 * lane), block))
    }
    fn with_first(self, block: __m128i) -> V512 { V512(_mm512_inserti32x4::<0>(self.0, block)) }
    fn first(self) -> __m128i { _mm512_castsi512_si128(self.0) }
    fn fold(self) -> __m128i {
        let halves = [_mm512_castsi512_si256(self.0), _mm512_extracti64x4_epi64::<1>(self.0)];
        // SAFETY: this has all that a width of 256 bits wants.
        unsafe { V256(_mm256_xor_si256(halves[0], halves[1])).fold() }
    }
    fn iota() -> V512 { V512(_mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)) }
    fn add32(self, other: V512) -> V512 { V512(_mm512_add_epi32(self.0, other.0)) }
    fn counters_big_endian(self) -> V512 {
        V512(_mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(block(&COUNTER))))
    }
    fn reverse(self) -> V512 { V512(_mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(block(&REVERSE)))) }
    fn xor(self, other: V512) -> V512 { V512(_mm512_xor_si512(self.0, other.0)) }
    fn xor3(self, b: V512, c: V512) -> V512 { V512(_mm512_ternarylogic_epi64::<0x96>(self.0, b.0, c.0)) }
    fn aes(self, key: V512) -> V512 { V512(_mm512_aesenc_epi128(self.0, key.0)) }
    fn aes_last(self, key: V512) -> V512 { V512(_mm512_aesenclast_epi128(self.0, key.0)) }
    fn multiply<const HALVES: i32>(self, other: V512) -> V512 {
        V512(_mm512_clmulepi64_epi128::<HALVES>(self.0, other.0))
    }
    fn low_to_high(self) -> V512 { V512(_mm512_bslli_epi128::<8>(self.0)) }
    fn high_to_low(self) -> V512 { V512(_mm512_bsrli_epi128::<8>(self.0)) }
    fn swap(self) -> V512 { V512(_mm512_shuffle_epi32::<0x4E>(self.0)) }
    fn pin(mut self) -> V512 {
        // SAFETY: there are no instructions in it.
        unsafe { asm!("/* {0} */", inout(zmm_reg) self.0, options(nomem, nostack, preserves_flags)) };
        self
    }
}
