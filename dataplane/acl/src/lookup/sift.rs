//! Rules over a base, most of which no key is for.

use super::walk::descend;
use super::{BURST, Burst, Kernel, Tables};
use crate::block::{Block, LANES, word};
use crate::layout::{Entry, NONE};
use crate::sieve::{FIELDS, Field};

/// Puts the first rule for each key into its place of `best`, where it is before what stands there: of those groups alone that
/// the sieve leaves over, which have a root each. Returns a bit for each slot that has a rule.
#[inline(always)]
pub(super) fn sift<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    fields: &[Field<'_>; FIELDS],
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) -> u32 {
    let roots = &tables.entries[..(tables.ends[0] as usize).min(tables.entries.len())];
    if roots.is_empty() {
        return 0;
    }
    let groups = kernel.groups(fields, burst);
    let mut through = 0;
    for (slot, groups) in groups.iter().enumerate().take(burst.count) {
        through |= u32::from(*groups != 0) << slot;
    }
    let mut found = 0;
    while through != 0 {
        let slot = through.trailing_zeros() as usize % BURST;
        through &= through - 1;
        let mut groups = groups[slot];
        while groups != 0 {
            let group = groups.trailing_zeros() as usize;
            groups &= groups - 1;
            let Some(root) = roots.get(group) else { break };
            let leaf = descend(kernel, tables, burst, slot, Entry(u64::from_le_bytes(*root)), 0);
            best[slot] = best[slot].min(first_in(kernel, tables, burst, slot, leaf, best[slot]));
        }
        found |= u32::from(best[slot] != NONE) << slot;
    }
    found
}

/// The first rule of a leaf that matches, if it is before `best`; else [`NONE`].
#[inline(always)]
fn first_in<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    slot: usize,
    leaf: Entry,
    best: u32,
) -> u32 {
    if !leaf.is_leaf() || leaf.low() >= best {
        return NONE;
    }
    for place in leaf.place().. {
        let Some(block) = Block::<N>::at(tables.blocks, place) else { break };
        let matching = kernel.compare(block, burst, slot);
        if matching != 0 {
            return word(block.numbers(), matching.trailing_zeros() as usize % LANES);
        }
        if !leaf.is_long() || block.last() >= best {
            break;
        }
    }
    NONE
}

/// The groups of each key, one key after the other.
#[inline(always)]
pub(super) fn one_by_one<const N: usize>(fields: &[Field<'_>; FIELDS], burst: &Burst<N>) -> [u32; BURST] {
    let mut groups = [u32::MAX; BURST];
    for field in fields {
        let row = &burst.words[field.word.min(N - 1)];
        for (groups, &word) in groups.iter_mut().zip(row) {
            *groups &= field.groups(word);
        }
    }
    groups
}
