//! From the root of a tree to the leaf of each key.

use super::{BURST, Burst, Kernel, Tables};
use crate::layout::{Entry, LEVELS};

/// Where the keys of a burst are: both halves of the entries.
pub(super) struct Places {
    pub(super) low: [u32; BURST],
    pub(super) high: [u32; BURST],
}

impl Places {
    #[inline(always)]
    pub(super) fn all_at(entry: Entry) -> Places {
        Places { low: [entry.low(); BURST], high: [entry.high(); BURST] }
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: usize) -> Entry {
        Entry(u64::from(self.high[slot]) << 32 | u64::from(self.low[slot]))
    }

    #[inline(always)]
    pub(super) fn set(&mut self, slot: usize, entry: Entry) {
        (self.low[slot], self.high[slot]) = (entry.low(), entry.high());
    }
}

/// Where a key gets to from a node.
#[inline(always)]
fn step<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    slot: usize,
    entry: Entry,
) -> Entry {
    let picked = kernel.pick(burst.words[entry.word().min(N - 1)][slot], entry.low());
    let next = tables.entries.get(entry.place() + picked as usize);
    next.map_or(Entry::EMPTY, |next| Entry(u64::from_le_bytes(*next)))
}

/// Takes each key from the root, which is a node, to a leaf: level by level, one key after the other.
#[inline(always)]
pub(super) fn one_by_one<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    root: Entry,
    places: &mut Places,
) {
    let mut list = [0_u32; BURST];
    let mut count = 0;
    for index in 0..burst.count as u32 {
        let slot = index as usize % BURST;
        let next = step(kernel, tables, burst, slot, root);
        places.set(slot, next);
        list[count % BURST] = index;
        count += usize::from(!next.is_leaf());
    }
    for _ in 2..LEVELS {
        if count == 0 {
            break;
        }
        let mut more = 0;
        for place in 0..count {
            let index = list[place % BURST];
            let slot = index as usize % BURST;
            let next = step(kernel, tables, burst, slot, places.get(slot));
            places.set(slot, next);
            list[more % BURST] = index;
            more += usize::from(!next.is_leaf());
        }
        count = more;
    }
}

/// Takes one key from a node of the level given to its leaf.
#[inline(always)]
pub(super) fn descend<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    slot: usize,
    mut at: Entry,
    level: usize,
) -> Entry {
    for _ in level..LEVELS {
        if at.is_leaf() {
            break;
        }
        at = step(kernel, tables, burst, slot, at);
    }
    at
}
