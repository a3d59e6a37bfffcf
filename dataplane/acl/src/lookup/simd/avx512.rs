//! 512 bits: the keys of half a burst walk in one vector, as AVX-512 has masks for those that are through, and counts the
//! zeros in front of a bit. Blocks are compared in 256 bits.

use super::super::scan::{block, is_removed, word};
use super::super::walk::Places;
use super::super::{BURST, Burst, Kernel, Row, Tables};
use super::{Avx2, load, prefetch};
use crate::layout::{Entry, LANES, LEVELS, MORE, NONE, number_row, ports_row, protocol_row, rows};
use std::arch::x86_64::*;
use std::array::from_fn;

/// Keys of a vector.
const WIDE: usize = 16;
/// Vectors of a burst.
const HALVES: usize = BURST / WIDE;

/// Used where AVX-512 F, BW, CD, DQ and VL are, alone.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// In the order of a ternary table's inputs: `(a ^ b) & c`.
const DIFFERS: i32 = (0xF0 ^ 0xCC) & 0xAA;
/// `a | b | c`.
const EITHER: i32 = 0xF0 | 0xCC | 0xAA;

/// One vector of each half.
type Both = [__m512i; HALVES];

/// The bits of each word under its mask, side by side: one run of ones after the other.
#[inline(always)]
unsafe fn pick(words: Both, mut masks: Both) -> Both {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (none, one) = (_mm512_setzero_si512(), _mm512_set1_epi32(1));
        let last = _mm512_set1_epi32(31);
        let mut picked = [none; HALVES];
        let mut to = [none; HALVES];
        loop {
            for half in 0..HALVES {
                let mask = masks[half];
                let first = _mm512_and_si512(mask, _mm512_sub_epi32(none, mask));
                let run = _mm512_andnot_si512(_mm512_add_epi32(mask, first), mask);
                let zeros = _mm512_lzcnt_epi32(first);
                let down = _mm512_sub_epi32(_mm512_sub_epi32(last, zeros), to[half]);
                let part = _mm512_srlv_epi32(_mm512_and_si512(words[half], run), down);
                picked[half] = _mm512_or_si512(picked[half], part);
                let len = _mm512_add_epi32(_mm512_sub_epi32(zeros, _mm512_lzcnt_epi32(run)), one);
                to[half] = _mm512_add_epi32(to[half], len);
                masks[half] = _mm512_xor_si512(mask, run);
            }
            let left = _mm512_or_si512(masks[0], masks[1]);
            if _mm512_test_epi32_mask(left, left) == 0 {
                return picked;
            }
        }
    }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        Avx2.pick(word, mask)
    }

    #[inline(always)]
    fn walk<const N: usize>(self, tables: Tables<'_>, burst: &Burst<N>, root: Entry, places: &mut Places) {
        /// Of the upper half of an entry.
        const LEAF: i32 = i32::MIN;
        let entries = tables.entries.as_ptr().cast::<i64>();
        // Places are compared as unsigned numbers, and gathered by signed ones.
        let limit = tables.entries.len().min(i32::MAX as usize);
        // SAFETY: whoever uses this kernel has the instructions. What is gathered lies below the limit, so it is one of the
        // entries; rows of words are as long as two vectors, and so are the halves of places.
        unsafe {
            let all = |word: u32| _mm512_set1_epi32(word as i32);
            let limit = all(limit as u32);
            let (place_bits, word_bits) = (all(Entry::PLACES as u32 - 1), all(15));
            let (evens, odds) = (
                _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
            );
            let empty = _mm512_set1_epi64(Entry::EMPTY.0 as i64);
            let row = |word: usize, half: usize| {
                _mm512_loadu_si512(burst.words[word][half * WIDE..].as_ptr().cast())
            };
            let mut low: Both = [all(root.low()); HALVES];
            let mut high: Both = [all(root.high()); HALVES];
            let mut going: [__mmask16; HALVES] =
                from_fn(|half| ((1_u64 << burst.count.saturating_sub(half * WIDE).min(WIDE)) - 1) as u16);
            for _ in 1..LEVELS {
                let words: Both = from_fn(|half| {
                    let word =
                        _mm512_and_si512(_mm512_srli_epi32::<{ Entry::PLACE_BITS }>(high[half]), word_bits);
                    (0..N - 1).fold(row(N - 1, half), |chosen, each| {
                        let here = _mm512_cmpeq_epi32_mask(word, all(each as u32));
                        _mm512_mask_mov_epi32(chosen, here, row(each, half))
                    })
                });
                let picked = pick(words, from_fn(|half| _mm512_maskz_mov_epi32(going[half], low[half])));
                for half in 0..HALVES {
                    let place = _mm512_add_epi32(_mm512_and_si512(high[half], place_bits), picked[half]);
                    let there = _mm512_mask_cmplt_epu32_mask(going[half], place, limit);
                    let gather = |place: __m256i, there: u16| {
                        _mm512_mask_i32gather_epi64::<8>(empty, there as u8, place, entries)
                    };
                    let first = gather(_mm512_castsi512_si256(place), there);
                    let second = gather(_mm512_extracti64x4_epi64::<1>(place), there >> 8);
                    let next_low = _mm512_permutex2var_epi32(first, evens, second);
                    let next_high = _mm512_permutex2var_epi32(first, odds, second);
                    low[half] = _mm512_mask_mov_epi32(low[half], going[half], next_low);
                    high[half] = _mm512_mask_mov_epi32(high[half], going[half], next_high);
                    going[half] = _mm512_mask_testn_epi32_mask(going[half], high[half], all(LEAF as u32));
                }
                if going[0] | going[1] == 0 {
                    break;
                }
            }
            for half in 0..HALVES {
                _mm512_storeu_si512(places.low[half * WIDE..].as_mut_ptr().cast(), low[half]);
                _mm512_storeu_si512(places.high[half * WIDE..].as_mut_ptr().cast(), high[half]);
            }
        }
    }

    #[inline(always)]
    fn hopeful(self, places: &Places, best: &[u32; BURST], count: usize, list: &mut [u32; BURST]) -> usize {
        // SAFETY: whoever uses this kernel has the instructions. All rows are as long as two vectors; behind the first half
        // of the list, which has no more than a vector, there is room for another.
        unsafe {
            let load =
                |row: &[u32; BURST], half: usize| _mm512_loadu_si512(row[half * WIDE..].as_ptr().cast());
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let mut hopeful = 0;
            for half in 0..HALVES {
                let present = ((1_u64 << count.saturating_sub(half * WIDE).min(WIDE)) - 1) as u16;
                let leaf = _mm512_movepi32_mask(load(&places.high, half)) & present;
                let before = _mm512_mask_cmplt_epu32_mask(leaf, load(&places.low, half), load(best, half));
                let slots = _mm512_add_epi32(lanes, _mm512_set1_epi32((half * WIDE) as i32));
                let slots = _mm512_maskz_compress_epi32(before, slots);
                _mm512_storeu_si512(list[hopeful..].as_mut_ptr().cast(), slots);
                hopeful += before.count_ones() as usize;
            }
            hopeful
        }
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: &[Row], burst: &Burst<N>, slot: usize) -> u32 {
        let Some(block) = block.get(..rows(N)) else { return 0 };
        // SAFETY: whoever uses this kernel has AVX-512F, BW and VL.
        unsafe {
            let all = |word: usize| _mm256_set1_epi32(burst.words[word][slot % BURST] as i32);
            let differs = |word: usize, value: __m256i, mask: __m256i| {
                _mm256_ternarylogic_epi32::<DIFFERS>(all(word), value, mask)
            };
            let mut unlike = _mm256_subs_epu16(
                _mm256_sub_epi16(all(N - 2), load(&block[ports_row(N)])),
                load(&block[ports_row(N) + 1]),
            );
            // The words of an address are even in number, or source and destination have one each.
            for word in (0..N - 2).step_by(2) {
                let row = |row: usize| load(&block[2 * word + row]);
                let first = differs(word, row(0), row(1));
                let second = differs(word + 1, row(2), row(3));
                unlike = _mm256_ternarylogic_epi32::<EITHER>(unlike, first, second);
            }
            let protocol = load(&block[protocol_row(N)]);
            let protocol = differs(N - 1, protocol, _mm256_srli_epi32::<16>(protocol));
            u32::from(_mm256_testn_epi32_mask(_mm256_or_si256(unlike, protocol), _mm256_set1_epi32(-1)))
        }
    }

    #[inline(always)]
    fn first(self, numbers: &Row, matching: u32) -> u32 {
        // SAFETY: whoever uses this kernel has AVX-512 F and VL.
        unsafe {
            let none = _mm256_set1_epi32(NONE as i32);
            let matching = _mm256_mask_compress_epi32(none, matching as u8, load(numbers));
            _mm256_cvtsi256_si32(matching) as u32
        }
    }

    /// One rule after the other, all keys at once.
    #[inline(always)]
    fn sweep<const N: usize, const REMOVED: bool>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        leaf: Entry,
        best: &mut [u32; BURST],
    ) {
        // SAFETY: whoever uses this kernel has AVX-512 F and BW. All rows are as long as two vectors.
        unsafe {
            let all = |word: u32| _mm512_set1_epi32(word as i32);
            let row = |word: usize, half: usize| {
                _mm512_loadu_si512(burst.words[word][half * WIDE..].as_ptr().cast())
            };
            let mut least: Both = from_fn(|half| _mm512_loadu_si512(best[half * WIDE..].as_ptr().cast()));
            for place in leaf.place().. {
                let Some(block) = block::<N>(tables.rows, place) else { break };
                for lane in 0..LANES {
                    let rule = |row: usize| word(&block[row], lane);
                    let number = rule(number_row(N));
                    if number == NONE || REMOVED && is_removed(tables.removed, number) {
                        continue;
                    }
                    let protocol = rule(protocol_row(N));
                    for (half, least) in least.iter_mut().enumerate() {
                        let differs = |word: usize, value: u32, mask: u32| {
                            _mm512_ternarylogic_epi32::<DIFFERS>(row(word, half), all(value), all(mask))
                        };
                        let mut unlike = _mm512_subs_epu16(
                            _mm512_sub_epi16(row(N - 2, half), all(rule(ports_row(N)))),
                            all(rule(ports_row(N) + 1)),
                        );
                        for word in (0..N - 2).step_by(2) {
                            let first = differs(word, rule(2 * word), rule(2 * word + 1));
                            let second = differs(word + 1, rule(2 * word + 2), rule(2 * word + 3));
                            unlike = _mm512_ternarylogic_epi32::<EITHER>(unlike, first, second);
                        }
                        let unlike = _mm512_or_si512(unlike, differs(N - 1, protocol, protocol >> 16));
                        let like = _mm512_testn_epi32_mask(unlike, unlike);
                        *least = _mm512_mask_min_epu32(*least, like, *least, all(number));
                    }
                }
                if word(&block[protocol_row(N)], 0) & MORE == 0 {
                    break;
                }
            }
            for half in 0..HALVES {
                _mm512_storeu_si512(best[half * WIDE..].as_mut_ptr().cast(), least[half]);
            }
        }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, block: &[Row]) {
        prefetch::<N>(block);
    }
}
