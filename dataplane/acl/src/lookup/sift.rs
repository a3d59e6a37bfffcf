//! Rules over a base, most of which no key is for.

use super::walk::descend;
use super::{BURST, Burst, Kernel, Removed, Tables};
use crate::block::{Block, LANES, word};
use crate::layout::{Entry, GROUPS, NONE};
use crate::sieve::{FIELDS, Field};

/// Puts the first rule for each key into its place of `best`, where it is before what stands there: of those groups alone that
/// the sieve leaves over, which have a root each. Returns a bit for each slot that gets through.
#[inline(always)]
pub(super) fn sift<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    fields: &[Field<'_>; FIELDS],
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) -> u32 {
    let groups = kernel.groups(fields, burst);
    let mut through = 0;
    for (slot, groups) in groups.iter().enumerate() {
        through |= u32::from(*groups != 0) << slot;
    }
    through &= 1_u32.checked_shl(burst.count as u32).map_or(u32::MAX, |beyond| beyond - 1);
    kernel.through(tables, burst, &groups, through, best);
    through
}

/// As [`Kernel::through`] says, one key after the other.
#[inline(always)]
pub(super) fn each<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    groups: &[u32; BURST],
    through: u32,
    best: &mut [u32; BURST],
) {
    let roots = &tables.entries[..(tables.ends[0] as usize).min(tables.entries.len())];
    for slot in slots(through) {
        for group in slots(groups[slot]) {
            let Some(root) = roots.get(group) else { break };
            first_in(kernel, tables, Removed(&[]), burst, slot, *root, &mut best[slot]);
        }
    }
}

/// The same for the keys of these slots, all rules that are still there, one key after the other.
#[inline(always)]
pub(super) fn search_again<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    removed: Removed<'_>,
    burst: &Burst<N>,
    which: u32,
    best: &mut [u32; BURST],
) {
    let roots = &tables.entries[..(tables.ends[0] as usize).min(tables.entries.len()).min(GROUPS)];
    for slot in slots(which) {
        for root in roots {
            first_in(kernel, tables, removed, burst, slot, *root, &mut best[slot]);
        }
    }
}

/// The slots that a mask has.
#[inline(always)]
pub(crate) fn slots(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (mask != 0).then(|| mask.trailing_zeros() as usize % BURST);
        mask &= mask.wrapping_sub(1);
        slot
    })
}

/// Makes `best` the first rule below a root that matches and is still there, if it is before that.
#[inline(always)]
fn first_in<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    removed: Removed<'_>,
    burst: &Burst<N>,
    slot: usize,
    root: [u8; 8],
    best: &mut u32,
) {
    let leaf = descend(kernel, tables, burst, slot, Entry(u64::from_le_bytes(root)), 0);
    if !leaf.is_leaf() || leaf.low() >= *best {
        return;
    }
    for place in leaf.place().. {
        let Some(block) = Block::<N>::at(tables.blocks, place) else { break };
        // Places without a rule may match, too.
        let matching = slots(kernel.compare(block, burst, slot));
        let first = matching.map(|lane| word(block.numbers(), lane % LANES)).find(|rule| !removed.has(*rule));
        *best = first.unwrap_or(NONE).min(*best);
        if !leaf.is_long() || block.last() >= *best {
            break;
        }
    }
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
