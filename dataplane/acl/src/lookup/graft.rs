//! Leaves that were changed: they lie beside the base, whose trees lead to their places as before.

use super::scan::go_on;
use super::walk::Places;
use super::{BURST, Burst, Kernel, Tables};
use crate::block::Block;
use crate::layout::Entry;

/// Places of leaves that one word of the index is about.
pub(crate) const GRAFTED: usize = 32;

/// As [`Grafts`] has it.
pub(crate) type Filter = [u32; 16];

/// The leaves that take the place of some of the base's.
#[derive(Clone, Copy)]
pub(crate) struct Grafts<'a> {
    /// The bits of the index, every sixteenth word together: where there is none, most places can do without the index.
    pub(crate) filter: &'a Filter,
    /// For each 32 places: in the lower half a bit for each that has another leaf, and in the upper one how many have in front.
    pub(crate) index: &'a [[u8; 8]],
    /// Those leaves.
    pub(crate) leaves: &'a [[u8; 8]],
    /// Their blocks.
    pub(crate) tables: Tables<'a>,
}

impl<'a> Grafts<'a> {
    /// What is there instead of a leaf of the base.
    #[inline(always)]
    pub(super) fn get(&self, entry: Entry) -> Option<Entry> {
        let word = u64::from_le_bytes(*self.index.get(entry.place() / GRAFTED)?);
        let bit = 1_u32 << (entry.place() % GRAFTED);
        let bits = word as u32;
        if bits & bit == 0 || !entry.is_leaf() {
            return None;
        }
        let leaf = (word >> 32) as usize + (bits & (bit - 1)).count_ones() as usize;
        // Bytes that changed behind our back may lead anywhere, but not to a node.
        self.leaves.get(leaf).map(|leaf| Entry(u64::from_le_bytes(*leaf))).filter(|leaf| leaf.is_leaf())
    }
}

/// The keys of a burst that came to leaves that were changed.
pub(super) struct Grafted {
    /// A bit for each of them.
    pub(super) slots: u32,
    /// Those that are to be compared.
    list: [u32; BURST],
    count: usize,
}

impl Grafted {
    /// None yet.
    #[inline(always)]
    pub(super) fn none() -> Grafted {
        Grafted { slots: 0, list: [0; BURST], count: 0 }
    }

    /// A key came to this leaf, which is its place from now on: if it has anything before the best that is known, it is to be
    /// compared, some time later.
    #[inline(always)]
    pub(super) fn add<K: Kernel, const N: usize>(
        &mut self,
        kernel: K,
        grafts: &Grafts<'_>,
        (slot, leaf): (usize, Entry),
        places: &mut Places,
        best: &[u32; BURST],
    ) {
        let block = Block::<N>::at(grafts.tables.blocks, leaf.place());
        block.into_iter().for_each(|block| kernel.prefetch(block));
        places.set(slot % BURST, leaf);
        self.slots |= 1 << (slot % BURST);
        self.list[self.count % BURST] = slot as u32;
        self.count += usize::from(leaf.low() < best[slot % BURST]);
    }

    /// Compares them all.
    #[inline(always)]
    pub(super) fn compare<K: Kernel, const N: usize>(
        self,
        kernel: K,
        grafts: &Grafts<'_>,
        burst: &Burst<N>,
        places: &Places,
        best: &mut [u32; BURST],
    ) {
        go_on(kernel, grafts.tables, burst, places, (self.list, self.count.min(BURST)), 0, best);
    }
}
