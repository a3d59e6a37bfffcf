//! The rules of the leaf of each key.

use super::walk::Places;
use super::{BURST, Burst, Kernel, Row, Tables};
use crate::layout::{LANES, MORE, NONE, ROW, number_row, protocol_row, rows};

/// Rows of blocks that stay near the core by themselves; of more, they are asked for in time.
const NEAR: usize = (256 << 10) / ROW;

/// As [`Kernel::hopeful`] says.
#[inline(always)]
pub(super) fn hopeful(places: &Places, best: &[u32; BURST], count: usize, list: &mut [u32; BURST]) -> usize {
    let mut hopeful = 0;
    for slot in 0..count.min(BURST) {
        let leaf = places.get(slot);
        list[hopeful % BURST] = slot as u32;
        hopeful += usize::from(leaf.is_leaf() & (leaf.low() < best[slot]));
    }
    hopeful
}

/// Compares each key with the blocks of its leaf, until a rule matches; but not where all its rules are behind the best
/// that is known.
#[inline(always)]
pub(super) fn scan<K: Kernel, const N: usize, const REMOVED: bool>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaves: &Places,
    best: &mut [u32; BURST],
) {
    let Tables { rows, removed, .. } = tables;
    let mut list = [0; BURST];
    let count = kernel.hopeful(leaves, best, burst.count, &mut list);
    if rows.len() > NEAR {
        for index in &list[..count.min(BURST)] {
            let leaf = leaves.get(*index as usize % BURST);
            if let Some(block) = block::<N>(rows, leaf.place()) {
                kernel.prefetch::<N>(block);
            }
        }
    }
    // Most leaves are one block.
    let mut longer = 0;
    for place in 0..count {
        let index = list[place % BURST];
        let slot = index as usize % BURST;
        let leaf = leaves.get(slot);
        let Some(block) = block::<N>(rows, leaf.place()) else { break };
        let found = first_of::<_, N, REMOVED>(kernel, block, kernel.compare(block, burst, slot), removed);
        best[slot] = best[slot].min(found);
        list[longer % BURST] = index;
        longer += usize::from(leaf.is_long() & (found == NONE));
    }
    // The others go on in rounds, a block further on in each.
    let mut count = longer;
    let mut round = 1;
    while count > 0 {
        let mut more = 0;
        for place in 0..count {
            let index = list[place % BURST];
            let slot = index as usize % BURST;
            let Some(block) = block::<N>(rows, leaves.get(slot).place() + round) else { break };
            let found = first_of::<_, N, REMOVED>(kernel, block, kernel.compare(block, burst, slot), removed);
            best[slot] = best[slot].min(found);
            list[more % BURST] = index;
            let last = word(&block[number_row(N)], LANES - 1);
            let goes_on = word(&block[protocol_row(N)], 0) & MORE != 0;
            more += usize::from(goes_on & (last < best[slot]));
        }
        count = more;
        round += 1;
    }
}

/// The number of the first of those rules of a block that match and are still there, or [`NONE`].
#[inline(always)]
fn first_of<K: Kernel, const N: usize, const REMOVED: bool>(
    kernel: K,
    block: &[Row],
    mut matching: u32,
    removed: &[u8],
) -> u32 {
    let numbers = &block[number_row(N)];
    loop {
        let number = kernel.first(numbers, matching);
        if !REMOVED || !is_removed(removed, number) {
            return number;
        }
        matching &= matching.wrapping_sub(1);
    }
}

#[inline(always)]
pub(super) fn is_removed(removed: &[u8], number: u32) -> bool {
    removed.get(number as usize / 8).is_some_and(|bits| bits >> (number % 8) & 1 != 0)
}

/// As [`Kernel::first`] says.
#[inline(always)]
pub(super) fn first(numbers: &Row, matching: u32) -> u32 {
    let nothing = u32::from(matching == 0).wrapping_neg();
    word(numbers, matching.trailing_zeros() as usize % LANES) | nothing
}

#[inline(always)]
pub(super) fn word(row: &Row, lane: usize) -> u32 {
    u32::from_le_bytes(row.as_chunks().0[lane])
}

#[inline(always)]
pub(super) fn block<const N: usize>(all: &[Row], place: usize) -> Option<&[Row]> {
    let at = place * rows(N);
    all.get(at..at + rows(N))
}
