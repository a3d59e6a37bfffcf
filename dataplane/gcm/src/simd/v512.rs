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
    V512, V256, 4, 8, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,bmi2",
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
        // SAFETY: this has the instructions of both widths.
        unsafe { self.fold_once().fold() }
    }
    fn fold_once(self) -> V256 {
        V256(_mm256_xor_si256(_mm512_castsi512_si256(self.0), _mm512_extracti64x4_epi64::<1>(self.0)))
    }
    fn half(self) -> V256 { V256(_mm512_castsi512_si256(self.0)) }
    fn from_half(half: V256) -> V512 { V512(_mm512_zextsi256_si512(half.0)) }
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
    fn lows(self, other: V512) -> V512 { V512(_mm512_unpacklo_epi64(self.0, other.0)) }
    fn highs(self, other: V512) -> V512 { V512(_mm512_unpackhi_epi64(self.0, other.0)) }
    fn swap(self) -> V512 { V512(_mm512_shuffle_epi32::<0x4E>(self.0)) }
    fn pin(mut self) -> V512 {
        // SAFETY: there are no instructions in it.
        unsafe { asm!("/* {0} */", inout(zmm_reg) self.0, options(nomem, nostack, preserves_flags)) };
        self
    }
}

/// What packets abreast want: four places in memory, a lane each.
impl V512 {
    /// A block of each.
    ///
    /// # Safety
    /// 16 bytes can be read at each place; the processor has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn gather([a, b, c, d]: [*const u8; 4]) -> V512 {
        // SAFETY: as the caller says.
        unsafe {
            let lanes = _mm512_zextsi128_si512(_mm_loadu_si128(a.cast()));
            let lanes = _mm512_inserti32x4::<1>(lanes, _mm_loadu_si128(b.cast()));
            let lanes = _mm512_inserti32x4::<2>(lanes, _mm_loadu_si128(c.cast()));
            V512(_mm512_inserti32x4::<3>(lanes, _mm_loadu_si128(d.cast())))
        }
    }

    /// The bytes of the mask, of which each lane has 16, from its place; zero otherwise.
    ///
    /// # Safety
    /// These bytes can be read; the processor has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn gather_bytes([a, b, c, d]: [*mut u8; 4], mask: u64) -> V512 {
        // SAFETY: as the caller says; nothing else is touched.
        unsafe {
            let lanes = _mm512_maskz_loadu_epi8(mask & LANE, a.cast());
            let lanes = _mm512_mask_loadu_epi8(lanes, mask & LANE << 16, b.wrapping_sub(16).cast());
            let lanes = _mm512_mask_loadu_epi8(lanes, mask & LANE << 32, c.wrapping_sub(32).cast());
            V512(_mm512_mask_loadu_epi8(lanes, mask & LANE << 48, d.wrapping_sub(48).cast()))
        }
    }

    /// Writes the bytes of the mask, of which each lane has 16, to its place.
    ///
    /// # Safety
    /// These bytes can be written; the processor has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn scatter_bytes(self, to: [*mut u8; 4], mask: u64) {
        for (lane, to) in to.into_iter().enumerate() {
            // SAFETY: as the caller says; nothing else is touched.
            unsafe {
                _mm512_mask_storeu_epi8(to.wrapping_sub(16 * lane).cast(), mask & LANE << (16 * lane), self.0)
            };
        }
    }

    /// Reads the bytes of the mask; the others are zero.
    ///
    /// # Safety
    /// These bytes can be read; the processor has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn load_bytes(from: *const u8, mask: u64) -> V512 {
        // SAFETY: as the caller says; nothing else is touched.
        V512(unsafe { _mm512_maskz_loadu_epi8(mask, from.cast()) })
    }

    /// Writes the bytes of the mask.
    ///
    /// # Safety
    /// These bytes can be written; the processor has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn store_bytes(self, to: *mut u8, mask: u64) {
        // SAFETY: as the caller says; nothing else is touched.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), mask, self.0) }
    }

    /// The bytes of the mask; the others are zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn keep_bytes(self, mask: u64) -> V512 {
        V512(_mm512_maskz_mov_epi8(mask, self.0))
    }

    /// Lane `i` of vector `j` becomes lane `j` of vector `i`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn turn([a, b, c, d]: [V512; 4]) -> [V512; 4] {
        // Lanes 0 and 1 of two vectors, and lanes 2 and 3.
        let ab = [_mm512_shuffle_i32x4::<0x44>(a.0, b.0), _mm512_shuffle_i32x4::<0xEE>(a.0, b.0)];
        let cd = [_mm512_shuffle_i32x4::<0x44>(c.0, d.0), _mm512_shuffle_i32x4::<0xEE>(c.0, d.0)];
        [
            V512(_mm512_shuffle_i32x4::<0x88>(ab[0], cd[0])),
            V512(_mm512_shuffle_i32x4::<0xDD>(ab[0], cd[0])),
            V512(_mm512_shuffle_i32x4::<0x88>(ab[1], cd[1])),
            V512(_mm512_shuffle_i32x4::<0xDD>(ab[1], cd[1])),
        ]
    }

    /// The first 12 bytes of each lane, and zeroes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn first_12(self) -> V512 {
        V512(_mm512_and_si512(self.0, _mm512_broadcast_i32x4(_mm_set_epi32(0, -1, -1, -1))))
    }

    /// The sum of [`V512::first_12`] and that.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn first_12_xor(self, other: V512) -> V512 {
        let mask = _mm512_broadcast_i32x4(_mm_set_epi32(0, -1, -1, -1));
        V512(_mm512_ternarylogic_epi64::<0x78>(other.0, self.0, mask))
    }

    /// Of a range's two ends in each lane, its length; behind it the last byte of the additional data, which is theirs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn lengths(self, aad: V512) -> V512 {
        let last = _mm_set_epi8(-1, -1, -1, -1, -1, -1, -1, 15, -1, -1, -1, -1, -1, -1, -1, -1);
        let aad = _mm512_shuffle_epi8(aad.0, _mm512_broadcast_i32x4(last));
        let ends = _mm512_shuffle_epi32::<0x4E>(self.0);
        V512(_mm512_mask_sub_epi64(aad, 0b0101_0101, ends, self.0))
    }

    /// Each 8 bytes, least byte first, times eight.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn bits(self) -> V512 {
        V512(_mm512_slli_epi64::<3>(self.0))
    }

    /// As many bits of each 16 as the last block has bytes of a text whose length is the lane's first byte, modulo 256.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn kept(self) -> u64 {
        let last = _mm512_shuffle_epi8(_mm512_add_epi8(self.0, _mm512_set1_epi8(-1)), _mm512_setzero_si512());
        let last = _mm512_and_si512(last, _mm512_set1_epi8(15));
        let places = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        _mm512_cmple_epu8_mask(_mm512_broadcast_i32x4(places), last)
    }

    /// All are the same.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn same(self, other: V512) -> bool {
        _mm512_cmpneq_epi64_mask(self.0, other.0) == 0
    }

    /// The lanes.
    #[inline(always)]
    pub(super) fn lanes(self) -> [__m128i; 4] {
        // SAFETY: both are 64 bytes of plain data.
        unsafe { std::mem::transmute(self.0) }
    }
}

/// The bits of lane 0 in a mask of bytes.
const LANE: u64 = 0xFFFF;
