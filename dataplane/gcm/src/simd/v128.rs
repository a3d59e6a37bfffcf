//! A block at a time: AES-NI, PCLMULQDQ, SSE 4.1.

use super::vector::{COUNTER, REVERSE, Vector, block, load_bytes, store_bytes, vector};
use std::arch::asm;
use std::arch::x86_64::*;

/// One block.
#[derive(Clone, Copy)]
pub(super) struct V128(pub(super) __m128i);

vector! {
    V128, V128, 1, 6, "aes,pclmulqdq,ssse3,sse4.1",
    fn zero() -> V128 { V128(_mm_setzero_si128()) }
    fn broadcast(block: __m128i) -> V128 { V128(block) }
    fn load(from: *const u8) -> V128 {
        // SAFETY: the caller lets 16 bytes be read.
        V128(unsafe { _mm_loadu_si128(from.cast()) })
    }
    fn store(self, to: *mut u8) {
        // SAFETY: the caller lets 16 bytes be written.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
    }
    fn load_part(from: *const u8, start: usize, end: usize) -> V128 {
        // SAFETY: the caller lets these bytes be read.
        V128(unsafe { if start > 0 { _mm_setzero_si128() } else { load_bytes(from, end) } })
    }
    fn store_part(self, to: *mut u8, start: usize, end: usize) {
        if start == 0 {
            // SAFETY: the caller lets these bytes be written.
            unsafe { store_bytes(self.0, to, end) }
        }
    }
    fn keep(self, end: usize) -> V128 {
        let places = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        V128(_mm_and_si128(self.0, _mm_cmpgt_epi8(_mm_set1_epi8(end as i8), places)))
    }
    fn with_lane(self, _lane: usize, block: __m128i) -> V128 { V128(block) }
    fn with_first(self, block: __m128i) -> V128 { V128(block) }
    fn first(self) -> __m128i { self.0 }
    fn fold(self) -> __m128i { self.0 }
    fn fold_once(self) -> V128 { self }
    fn half(self) -> V128 { self }
    fn from_half(half: V128) -> V128 { half }
    fn iota() -> V128 { V128(_mm_setzero_si128()) }
    fn add32(self, other: V128) -> V128 { V128(_mm_add_epi32(self.0, other.0)) }
    fn counters_big_endian(self) -> V128 { V128(_mm_shuffle_epi8(self.0, block(&COUNTER))) }
    fn reverse(self) -> V128 { V128(_mm_shuffle_epi8(self.0, block(&REVERSE))) }
    fn xor(self, other: V128) -> V128 { V128(_mm_xor_si128(self.0, other.0)) }
    fn xor3(self, b: V128, c: V128) -> V128 { V128(_mm_xor_si128(_mm_xor_si128(self.0, b.0), c.0)) }
    fn aes(self, key: V128) -> V128 { V128(_mm_aesenc_si128(self.0, key.0)) }
    fn aes_last(self, key: V128) -> V128 { V128(_mm_aesenclast_si128(self.0, key.0)) }
    fn multiply<const HALVES: i32>(self, other: V128) -> V128 {
        V128(_mm_clmulepi64_si128::<HALVES>(self.0, other.0))
    }
    fn lows(self, other: V128) -> V128 { V128(_mm_unpacklo_epi64(self.0, other.0)) }
    fn highs(self, other: V128) -> V128 { V128(_mm_unpackhi_epi64(self.0, other.0)) }
    fn swap(self) -> V128 { V128(_mm_shuffle_epi32::<0x4E>(self.0)) }
    fn pin(mut self) -> V128 {
        // SAFETY: there are no instructions in it.
        unsafe { asm!("/* {0} */", inout(xmm_reg) self.0, options(nomem, nostack, preserves_flags)) };
        self
    }
}
