//! 512 bits: half a burst is a vector, as AVX-512 has masks for the keys that are through, and counts the zeros in front
//! of a bit. Blocks are compared in 256 bits.
//!
//! All functions want AVX-512 F, BW, CD, DQ and VL, and BMI1, BMI2 and POPCNT.

mod graft;
mod keys;
mod sweep;
mod tree;
mod verdicts;
mod walk;

use super::super::{BURST, Burst, Grafts, Kernel, Tables};
use super::{Avx2, prefetch};
use crate::block::Block;
use crate::layout::Entry;
pub(super) use keys::fill_v4;
use std::arch::x86_64::*;
use std::array::from_fn;
pub(super) use verdicts::write as write_verdicts;

/// Keys of a vector.
const WIDE: usize = 16;
/// Vectors of a burst.
const HALVES: usize = BURST / WIDE;

/// In the order of a ternary table's inputs: `(a ^ b) & c`.
const DIFFERS: i32 = (0xF0 ^ 0xCC) & 0xAA;
/// `a | b | c`.
const EITHER: i32 = 0xF0 | 0xCC | 0xAA;

/// One vector of each half.
type Both = [__m512i; HALVES];

/// Keys of each half.
type Masks = [__mmask16; HALVES];

/// Used where the instructions are, alone.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

impl Kernel for Avx512 {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        Avx2.pick(word, mask)
    }

    #[inline(always)]
    fn tree<const N: usize>(
        self,
        tables: Tables<'_>,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        root: Entry,
        best: &mut [u32; BURST],
    ) {
        // SAFETY: whoever uses this kernel has the instructions.
        unsafe { tree::tree::<N>(tables, grafts, burst, root, best) }
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32 {
        // SAFETY: whoever uses this kernel has the instructions.
        unsafe { u32::from(tree::compare(block, burst, slot)) }
    }

    #[inline(always)]
    fn sweep<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        leaf: Entry,
        best: &mut [u32; BURST],
    ) {
        // SAFETY: whoever uses this kernel has the instructions.
        unsafe { sweep::sweep::<N>(tables, burst, leaf, best) }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, block: Block<'_, N>) {
        prefetch(block);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn all(word: u32) -> __m512i {
    _mm512_set1_epi32(word as i32)
}

/// Half of a row.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(row: &[u32; BURST], half: usize) -> __m512i {
    // SAFETY: the row is as long as two vectors.
    unsafe { _mm512_loadu_si512(row.as_ptr().add(half % HALVES * WIDE).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(row: &mut [u32; BURST], half: usize, vector: __m512i) {
    // SAFETY: the row is as long as two vectors.
    unsafe { _mm512_storeu_si512(row.as_mut_ptr().add(half % HALVES * WIDE).cast(), vector) }
}

/// The keys that are there.
#[inline]
fn present(count: usize) -> Masks {
    from_fn(|half| ((1_u32 << count.saturating_sub(half * WIDE).min(WIDE)) - 1) as u16)
}

/// The lanes that a mask has, within a vector.
#[inline(always)]
fn lanes(mut mask: __mmask16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (mask != 0).then(|| mask.trailing_zeros() as usize % WIDE);
        mask &= mask.wrapping_sub(1);
        lane
    })
}

/// Those numbers of the row that the masks have, one behind the other, and how many they are. Behind them may be anything.
#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn listed(masks: Masks, numbers: Both) -> ([u32; BURST], usize) {
    let mut list = [0; BURST];
    store(&mut list, 0, _mm512_maskz_compress_epi32(masks[0], numbers[0]));
    let first = masks[0].count_ones() as usize;
    let second = _mm512_maskz_compress_epi32(masks[1], numbers[1]);
    // SAFETY: the first half's are no more than a vector has, and there is room for another.
    unsafe { _mm512_storeu_si512(list.as_mut_ptr().add(first).cast(), second) };
    (list, first + masks[1].count_ones() as usize)
}

/// The slots of a burst, in their order.
#[inline]
#[target_feature(enable = "avx512f")]
fn slots() -> Both {
    let first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    [first, _mm512_add_epi32(first, all(WIDE as u32))]
}
