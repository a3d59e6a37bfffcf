//! The rules of the leaves that a tree has for a burst.

use super::super::super::graft::Grafted;
use super::super::super::scan::{NEAR, go_on};
use super::super::super::walk::{Places, descend};
use super::super::super::{BURST, Burst, Grafts, Tables};
use super::super::{load_bytes, load_row, prefetch};
use super::walk::{Walk, walk};
use super::{
    Avx512, DIFFERS, EITHER, HALVES, Masks, WIDE, all, graft, lanes, listed, load, present, slots, store,
};
use crate::block::Block;
use crate::layout::{Entry, NONE};
use std::arch::x86_64::*;
use std::array::from_fn;

/// As [`Kernel::tree`](super::Kernel::tree) says.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn tree<const N: usize>(
    tables: Tables<'_>,
    grafts: Option<Grafts<'_>>,
    burst: &Burst<N>,
    root: Entry,
    best: &mut [u32; BURST],
) {
    let Walk { low, high, going, level } = walk(tables, burst, root);
    let mut leaves = Places::all_at(Entry::EMPTY);
    for half in 0..HALVES {
        store(&mut leaves.low, half, low[half]);
        store(&mut leaves.high, half, high[half]);
    }
    for (half, &going) in going.iter().enumerate() {
        for lane in lanes(going) {
            let slot = half * WIDE + lane;
            leaves.set(slot, descend(Avx512, tables, burst, slot, leaves.get(slot), level));
        }
    }
    let mut there: Masks = from_fn(|half| present(burst.count)[half] & !going[half]);
    let place = high.map(|high| _mm512_and_si512(high, all(Entry::PLACES as u32 - 1)));
    let mut grafted = Grafted::none();
    if let Some(grafts) = &grafts {
        for half in 0..HALVES {
            let changed = graft::changed(grafts, place[half], there[half]);
            there[half] &= !changed;
            for lane in lanes(changed | going[half]) {
                let slot = half * WIDE + lane;
                if let Some(leaf) = grafts.get(leaves.get(slot)) {
                    grafted.add::<Avx512, N>(Avx512, grafts, (slot, leaf), &mut leaves, best);
                }
            }
        }
    }
    let mut hopeful: Masks =
        from_fn(|half| _mm512_mask_cmplt_epu32_mask(there[half], low[half], load(best, half)));
    let (mut places, mut count) = listed(hopeful, place);
    let (mut of, _) = listed(hopeful, slots());
    for half in 0..HALVES {
        for lane in lanes(going[half]) {
            let slot = half * WIDE + lane;
            let leaf = leaves.get(slot);
            let before = leaf.is_leaf() & (leaf.low() < best[slot]) & (grafted.slots >> slot & 1 == 0);
            hopeful[half] |= u16::from(before) << lane;
            (places[count % BURST], of[count % BURST]) = (leaf.place() as u32, slot as u32);
            count += usize::from(before);
        }
    }
    let places = &places[..count.min(BURST)];
    if tables.blocks.len() > NEAR {
        for &place in places {
            Block::<N>::at(tables.blocks, place as usize).into_iter().for_each(prefetch::<N>);
        }
    }
    // Most leaves are one block.
    let mut found = [NONE; BURST];
    for (&place, &slot) in places.iter().zip(&of) {
        let Some(block) = Block::<N>::at(tables.blocks, place as usize) else { break };
        let matching = compare(block, burst, slot as usize);
        let numbers = load_row(block.ranks());
        let first = _mm256_mask_compress_epi32(_mm256_set1_epi32(NONE as i32), matching, numbers);
        found[slot as usize % BURST] = _mm256_cvtsi256_si32(first) as u32;
    }
    let again = from_fn(|half| {
        let (found, known) = (load(&found, half), load(best, half));
        let matching = _mm512_cmpneq_epi32_mask(found, all(NONE));
        store(best, half, _mm512_mask_min_epu32(known, matching, known, found));
        let long = _mm512_test_epi32_mask(load(&leaves.high, half), all(Entry::LONG_HIGH));
        hopeful[half] & long & !matching
    });
    go_on(Avx512, tables, burst, &leaves, listed(again, slots()), 1, best);
    if let Some(grafts) = &grafts {
        grafted.compare(Avx512, grafts, burst, &leaves, best);
    }
}

/// As [`Kernel::compare`](super::Kernel::compare) says.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
pub(super) fn compare<const N: usize>(block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> __mmask8 {
    let all = |word: u32| _mm256_set1_epi32(word as i32);
    let key = |word: usize| all(burst.words[word][slot % BURST]);
    let ports = _mm256_sub_epi16(key(N - 2), load_row(block.firsts()));
    // Ports that cannot be seen are beyond all but the range of every port.
    let ports = _mm256_or_si256(ports, all(burst.unseen[slot % BURST]));
    let mut unlike = _mm256_subs_epu16(ports, load_row(block.extents()));
    // The words of an address are even in number, or source and destination have one each.
    for word in (0..N - 2).step_by(2) {
        let closed = |word: usize| {
            let difference = _mm256_xor_si256(key(word), load_row(block.values(word)));
            _mm256_srlv_epi32(difference, load_bytes(block.shifts(word)))
        };
        unlike = _mm256_ternarylogic_epi32::<EITHER>(unlike, closed(word), closed(word + 1));
    }
    let (protocols, masks) = (load_bytes(block.protocols()), load_bytes(block.masks()));
    let protocol = _mm256_ternarylogic_epi32::<DIFFERS>(key(N - 1), protocols, masks);
    unlike = _mm256_or_si256(unlike, protocol);
    if let Some((values, masks)) = block.marks() {
        let marks = _mm256_ternarylogic_epi32::<DIFFERS>(key(N - 1), load_row(values), load_row(masks));
        unlike = _mm256_or_si256(unlike, marks);
    }
    _mm256_testn_epi32_mask(unlike, unlike)
}
