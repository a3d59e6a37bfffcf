//! From the root of a tree to the leaf of each key.

use super::super::super::{Burst, Tables};
use super::{Both, HALVES, Masks, all, load, present};
use crate::layout::{Entry, LEVELS};
use std::arch::x86_64::*;
use std::array::from_fn;

/// So many keys are worth a vector; fewer go on one by one.
const ENOUGH: u32 = 8;
/// Of the upper half of an entry.
const LEAF: u32 = 1 << 31;

/// Where the keys of a burst are.
pub(super) struct Walk {
    pub(super) low: Both,
    pub(super) high: Both,
    /// The few that are at nodes still.
    pub(super) going: Masks,
    /// Of these nodes.
    pub(super) level: usize,
}

/// Takes the keys from the root, which is a node, to leaves, until few are left that have further to go.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn walk<const N: usize>(tables: Tables<'_>, burst: &Burst<N>, root: Entry) -> Walk {
    let all_there = Walk {
        low: [all(root.low()); HALVES],
        high: [all(root.high()); HALVES],
        going: present(burst.count),
        level: 0,
    };
    let row = &burst.words[root.word().min(N - 1)];
    let picked = pick_alike([load(row, 0), load(row, 1)], root.low());
    let mut walk = step(tables, all_there, picked);
    loop {
        if walk.going[0].count_ones() + walk.going[1].count_ones() < ENOUGH || walk.level + 1 >= LEVELS {
            return walk;
        }
        let words = from_fn(|half| choose(burst, half, walk.high[half]));
        let masks = from_fn(|half| _mm512_maskz_mov_epi32(walk.going[half], walk.low[half]));
        walk = step(tables, walk, pick_each(words, masks));
    }
}

/// One level further, by these bits of the keys that are at nodes.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn step(tables: Tables<'_>, Walk { mut low, mut high, mut going, level }: Walk, picked: Both) -> Walk {
    for half in 0..HALVES {
        let place = _mm512_and_si512(high[half], all(Entry::PLACES as u32 - 1));
        let next = gather(tables.entries, _mm512_add_epi32(place, picked[half]), going[half], Entry::EMPTY.0);
        low[half] = _mm512_mask_mov_epi32(low[half], going[half], next[0]);
        high[half] = _mm512_mask_mov_epi32(high[half], going[half], next[1]);
        going[half] = _mm512_mask_testn_epi32_mask(going[half], high[half], all(LEAF));
    }
    Walk { low, high, going, level: level + 1 }
}

/// The entries at these places of the table, both halves: `none` where there is none, or where the mask has none.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn gather(entries: &[[u8; 8]], place: __m512i, mask: __mmask16, none: u64) -> [__m512i; 2] {
    let empty = _mm512_set1_epi64(none as i64);
    // Places are compared as numbers without sign, and gathered by those with one.
    let limit = all(entries.len().min(i32::MAX as usize) as u32);
    let there = _mm512_mask_cmplt_epu32_mask(mask, place, limit);
    let base = entries.as_ptr().cast();
    // SAFETY: what is gathered lies below the limit, so it is one of the entries.
    let [first, second] = unsafe {
        [
            _mm512_mask_i32gather_epi64::<8>(empty, there as u8, _mm512_castsi512_si256(place), base),
            _mm512_mask_i32gather_epi64::<8>(
                empty,
                (there >> 8) as u8,
                _mm512_extracti64x4_epi64::<1>(place),
                base,
            ),
        ]
    };
    let lower = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let upper = _mm512_or_si512(lower, all(1));
    [_mm512_permutex2var_epi32(first, lower, second), _mm512_permutex2var_epi32(first, upper, second)]
}

/// Of each key the word that its node goes by.
#[inline]
#[target_feature(enable = "avx512f")]
fn choose<const N: usize>(burst: &Burst<N>, half: usize, high: __m512i) -> __m512i {
    let word = _mm512_and_si512(_mm512_srli_epi32::<{ Entry::PLACE_BITS }>(high), all(15));
    let mut chosen = load(&burst.words[N - 1], half);
    for (each, row) in burst.words[..N - 1].iter().enumerate() {
        let here = _mm512_cmpeq_epi32_mask(word, all(each as u32));
        chosen = _mm512_mask_mov_epi32(chosen, here, load(row, half));
    }
    chosen
}

/// The bits of all words under one mask, side by side: one run of ones after the other.
#[inline]
#[target_feature(enable = "avx512f")]
fn pick_alike(words: Both, mut mask: u32) -> Both {
    let mut picked = [_mm512_setzero_si512(); HALVES];
    let mut to = 0;
    while mask != 0 {
        let from = mask.trailing_zeros();
        let len = (mask >> from).trailing_ones();
        let run = all((u32::MAX >> (32 - len)) << from);
        let down = _mm_cvtsi32_si128((from - to) as i32);
        for (picked, word) in picked.iter_mut().zip(words) {
            *picked = _mm512_or_si512(*picked, _mm512_srl_epi32(_mm512_and_si512(word, run), down));
        }
        to += len;
        mask &= !((u32::MAX >> (32 - len)) << from);
    }
    picked
}

/// The bits of each word under its own mask, as above.
#[inline]
#[target_feature(enable = "avx512f,avx512cd")]
fn pick_each(words: Both, mut masks: Both) -> Both {
    let (none, one, last) = (_mm512_setzero_si512(), all(1), all(31));
    let mut picked = [none; HALVES];
    let mut to = [none; HALVES];
    loop {
        for half in 0..HALVES {
            let mask = masks[half];
            let first = _mm512_and_si512(mask, _mm512_sub_epi32(none, mask));
            let run = _mm512_andnot_si512(_mm512_add_epi32(mask, first), mask);
            let zeros = _mm512_lzcnt_epi32(first);
            // Without a run, the shift is beyond the word, and what is left is nothing.
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
