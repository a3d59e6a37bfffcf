//! The rules of the leaf of each key.

use super::walk::Places;
use super::{BURST, Burst, Kernel, Tables};
use crate::block::{Block, LANES, word};
use crate::layout::NONE;

/// Bytes of blocks that stay near the core by themselves; of more, they are asked for in time.
pub(super) const NEAR: usize = 1 << 20;

/// Compares each key of these slots with the blocks of its leaf.
#[inline(always)]
pub(super) fn one_by_one<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaves: &Places,
    slots: u32,
    best: &mut [u32; BURST],
) {
    let mut list = [0; BURST];
    let mut count = 0;
    let far = tables.blocks.len() > NEAR;
    for (slot, &best) in best.iter().enumerate().take(burst.count) {
        let leaf = leaves.get(slot);
        list[count % BURST] = slot as u32;
        count += usize::from(leaf.is_leaf() & (leaf.low() < best) & (slots >> slot & 1 != 0));
        if far && let Some(block) = Block::<N>::at(tables.blocks, leaf.place()) {
            kernel.prefetch::<N>(block);
        }
    }
    // Most leaves are one block.
    let mut longer = 0;
    for place in 0..count {
        let index = list[place % BURST];
        let slot = index as usize % BURST;
        let leaf = leaves.get(slot);
        let Some(block) = Block::<N>::at(tables.blocks, leaf.place()) else { break };
        let found = first_of(kernel, block, burst, slot);
        best[slot] = best[slot].min(found);
        list[longer % BURST] = index;
        longer += usize::from(leaf.is_long() & (found == NONE));
    }
    go_on(kernel, tables, burst, leaves, (list, longer), 1, best);
}

/// Compares the listed keys with the blocks of their leaves from that one on, in rounds, a block further on in each.
#[inline(always)]
pub(super) fn go_on<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaves: &Places,
    (mut list, mut count): ([u32; BURST], usize),
    mut round: usize,
    best: &mut [u32; BURST],
) {
    while count > 0 {
        let mut more = 0;
        for place in 0..count {
            let index = list[place % BURST];
            let slot = index as usize % BURST;
            let Some(block) = Block::<N>::at(tables.blocks, leaves.get(slot).place() + round) else { break };
            let found = first_of(kernel, block, burst, slot);
            best[slot] = best[slot].min(found);
            list[more % BURST] = index;
            more += usize::from(leaves.get(slot).is_long() & (block.last() < best[slot]));
        }
        count = more;
        round += 1;
    }
}

/// The number of the first rule of a block that matches, or [`NONE`].
#[inline(always)]
fn first_of<K: Kernel, const N: usize>(kernel: K, block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32 {
    let matching = kernel.compare(block, burst, slot);
    let nothing = u32::from(matching == 0).wrapping_neg();
    word(block.ranks(), matching.trailing_zeros() as usize % LANES) | nothing
}
