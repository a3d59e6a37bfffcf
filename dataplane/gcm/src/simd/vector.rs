//! What the kernel needs of a vector of AES blocks, at three widths.
//!
//! All functions are `unsafe`: each may only be called where the instructions of its width are there. They inline into a
//! function that says so by `#[target_feature]`. The safety sections name what is to be kept beyond that.

use std::arch::x86_64::*;

/// A vector of [`LANES`](Vector::LANES) blocks of 16 bytes, block 0 first.
pub(super) trait Vector: Copy {
    /// Half as many blocks, but one at least.
    type Half: Vector;
    /// Blocks.
    const LANES: usize;
    /// Vectors that are encrypted side by side: 6 or 8.
    const UNIT: usize;

    /// All zero.
    unsafe fn zero() -> Self;
    /// The same block in all lanes.
    unsafe fn broadcast(block: __m128i) -> Self;
    /// Reads `LANES` blocks.
    ///
    /// # Safety
    /// `16 * LANES` bytes can be read.
    unsafe fn load(from: *const u8) -> Self;
    /// Writes `LANES` blocks.
    ///
    /// # Safety
    /// `16 * LANES` bytes can be written.
    unsafe fn store(self, to: *mut u8);
    /// Reads bytes `start..end` of the vector that would begin at `from`; the others are zero.
    ///
    /// # Safety
    /// These bytes can be read, `start` is 0 or 16, and `start <= end <= 16 * LANES`. The others are not touched.
    unsafe fn load_part(from: *const u8, start: usize, end: usize) -> Self;
    /// Writes bytes `start..end` of the vector that would begin at `to`.
    ///
    /// # Safety
    /// These bytes can be written, `start` is 0 or 16, and `start <= end <= 16 * LANES`. The others are not touched.
    unsafe fn store_part(self, to: *mut u8, start: usize, end: usize);
    /// Bytes before `end`; zero behind. `end <= 16 * LANES`.
    unsafe fn keep(self, end: usize) -> Self;
    /// With `block` in that lane; `lane < LANES`.
    unsafe fn with_lane(self, lane: usize, block: __m128i) -> Self;
    /// With `block` in lane 0.
    unsafe fn with_first(self, block: __m128i) -> Self;
    /// Lane 0.
    unsafe fn first(self) -> __m128i;
    /// The sum (exclusive or) of all lanes.
    unsafe fn fold(self) -> __m128i;
    /// The sum of the first half of the lanes and the second.
    unsafe fn fold_once(self) -> Self::Half;
    /// The first half of the lanes.
    unsafe fn half(self) -> Self::Half;
    /// With zeroes behind them.
    unsafe fn from_half(half: Self::Half) -> Self;
    /// The numbers 0, 1, 2, ... in the last 4 bytes of the lanes, least byte first.
    unsafe fn iota() -> Self;
    /// Adds in each 4 bytes by themselves, least byte first.
    unsafe fn add32(self, other: Self) -> Self;
    /// Turns the last 4 bytes of each lane over.
    unsafe fn counters_big_endian(self) -> Self;
    /// Turns each lane over, last byte first.
    unsafe fn reverse(self) -> Self;
    /// Sum of two.
    unsafe fn xor(self, other: Self) -> Self;
    /// Sum of three.
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// A round of AES.
    unsafe fn aes(self, key: Self) -> Self;
    /// The last round of AES.
    unsafe fn aes_last(self, key: Self) -> Self;
    /// Carry-less product of halves of each lane: `HALVES` is `0x00` for low by low, `0x11` for high by high, `0x01` for
    /// high by low, `0x10` for low by high.
    unsafe fn multiply<const HALVES: i32>(self, other: Self) -> Self;
    /// The low halves of the lanes, each with the other's.
    unsafe fn lows(self, other: Self) -> Self;
    /// The high halves of the lanes, each with the other's.
    unsafe fn highs(self, other: Self) -> Self;
    /// Each lane's halves swapped.
    unsafe fn swap(self) -> Self;
    /// The same. The compiler leaves what makes it before what uses it, and all those in order.
    unsafe fn pin(self) -> Self;
}

/// Byte numbers of the shuffle that turns a lane over.
pub(super) const REVERSE: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
/// Byte numbers of the shuffle that turns the last 4 bytes of a lane over.
pub(super) const COUNTER: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12];

/// Counter blocks 1, 2, 3, ..., whose nonce is zero: to be loaded is cheaper than to be computed.
#[repr(align(64))]
pub(super) struct Counters(pub(super) [[u8; 16]; 640]);

pub(super) static COUNTERS: Counters = {
    let mut blocks = [[0; 16]; 640];
    let mut place = 0;
    while place < blocks.len() {
        let [.., high, low] = (place as u32 + 1).to_be_bytes();
        (blocks[place][14], blocks[place][15]) = (high, low);
        place += 1;
    }
    Counters(blocks)
};

/// 16 bytes as a block.
#[inline(always)]
pub(super) fn block(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes can be read, and every x86-64 has the instruction.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The first bytes of a block, `len` of them and no more than 16; the others are zero. For widths without masked moves.
///
/// # Safety
/// These bytes can be read.
#[inline(always)]
pub(super) unsafe fn load_bytes(mut from: *const u8, len: usize) -> __m128i {
    // SAFETY: the caller lets `len` bytes be read, which is what the pieces make together.
    unsafe {
        if len >= 16 {
            return _mm_loadu_si128(from.cast());
        }
        let mut first = 0;
        if len & 8 != 0 {
            first = from.cast::<i64>().read_unaligned();
            from = from.wrapping_add(8);
        }
        let (mut rest, mut shift) = (0, 0);
        if len & 4 != 0 {
            rest = i64::from(from.cast::<u32>().read_unaligned());
            from = from.wrapping_add(4);
            shift = 32;
        }
        if len & 2 != 0 {
            rest |= i64::from(from.cast::<u16>().read_unaligned()) << shift;
            from = from.wrapping_add(2);
            shift += 16;
        }
        if len & 1 != 0 {
            rest |= i64::from(from.read()) << shift;
        }
        if len & 8 != 0 { _mm_set_epi64x(rest, first) } else { _mm_set_epi64x(0, rest) }
    }
}

/// Writes the first bytes of a block, `len` of them and no more than 16.
///
/// # Safety
/// They can be written.
#[inline(always)]
pub(super) unsafe fn store_bytes(block: __m128i, mut to: *mut u8, len: usize) {
    // SAFETY: the caller lets `len` bytes be written, which is what the pieces make together.
    unsafe {
        if len >= 16 {
            return _mm_storeu_si128(to.cast(), block);
        }
        let mut rest = _mm_cvtsi128_si64(block);
        if len & 8 != 0 {
            to.cast::<i64>().write_unaligned(rest);
            to = to.wrapping_add(8);
            rest = _mm_cvtsi128_si64(_mm_unpackhi_epi64(block, block));
        }
        if len & 4 != 0 {
            to.cast::<u32>().write_unaligned(rest as u32);
            to = to.wrapping_add(4);
            rest >>= 32;
        }
        if len & 2 != 0 {
            to.cast::<u16>().write_unaligned(rest as u16);
            to = to.wrapping_add(2);
            rest >>= 16;
        }
        if len & 1 != 0 {
            to.write(rest as u8);
        }
    }
}

/// Implements [`Vector`] with functions that are compiled for those instructions.
macro_rules! vector {
    ($type:ident, $half:ty, $lanes:literal, $unit:literal, $features:literal,
     $(fn $name:ident $(<const $halves:ident: i32>)? ($($arguments:tt)*) $(-> $result:ty)? $body:block)*) => {
        impl Vector for $type {
            type Half = $half;
            const LANES: usize = $lanes;
            const UNIT: usize = $unit;
            $(
                #[inline]
                #[target_feature(enable = $features)]
                unsafe fn $name $(<const $halves: i32>)? ($($arguments)*) $(-> $result)? $body
            )*
        }
    };
}
pub(super) use vector;
