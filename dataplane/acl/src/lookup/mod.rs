//! The search of a burst, written once over the few steps that instruction sets differ in.
//!
//! The packets of a burst go side by side, so that one waits for memory while others go on: first all walk down to
//! their leaves, then all are compared with the blocks that they came to. Who is through drops out of the list of those
//! who go on; no branch asks, so none is guessed wrong.

mod portable;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;

use crate::key::Words;
use crate::layout::{Entry, LANES, LEVELS, MORE, NONE, ROW, number_row, protocol_row, rows};
use portable::Portable;

/// Keys that are searched for side by side.
pub(crate) const BURST: usize = 32;

/// A block, or one row of one.
pub(crate) type Row = [u8; ROW];

/// Rows of blocks that stay near the core by themselves; of more, they are asked for in time.
const NEAR: usize = (256 << 10) / ROW;
/// All places of a burst.
const EVERY: [u8; BURST] = {
    let mut every = [0; BURST];
    let mut place = 0;
    while place < BURST {
        every[place] = place as u8;
        place += 1;
    }
    every
};
/// Keys side by side.
pub(crate) struct Burst<const N: usize> {
    pub(crate) keys: [[u32; N]; BURST],
    /// How many are there.
    pub(crate) count: usize,
}

impl<const N: usize> Burst<N> {
    /// Of the first keys, but no more than there are verdicts for.
    #[inline(always)]
    pub(crate) fn new<K: Words<N>>(keys: &[K], verdicts: usize) -> Burst<N> {
        let count = keys.len().min(verdicts).min(BURST);
        let mut burst = Burst { keys: [[0; N]; BURST], count };
        for (words, key) in burst.keys.iter_mut().zip(&keys[..count]) {
            *words = key.words();
        }
        burst
    }
}

/// The tables of one family.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// Where each level of entries ends.
    pub(crate) ends: &'a [u32; LEVELS],
    pub(crate) entries: &'a [[u8; 8]],
    pub(crate) rows: &'a [Row],
    /// A bit for each rule that is not there any more, the first in the lowest bit; none if all are there.
    pub(crate) removed: &'a [u8],
}

/// The instructions that look-ups use. What all of them find is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackEnd {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Simd(simd::Width),
}

impl BackEnd {
    /// The best that this processor has.
    pub(crate) fn best() -> BackEnd {
        BackEnd::all().pop().unwrap_or(BackEnd::Portable)
    }

    /// All that this processor has, the best last.
    pub(crate) fn all() -> Vec<BackEnd> {
        #[allow(unused_mut)]
        let mut all = vec![BackEnd::Portable];
        #[cfg(target_arch = "x86_64")]
        all.extend(simd::Width::all().map(BackEnd::Simd));
        all
    }

    /// Puts the number of the first rule that matches into each place of `best`, where it is before what stands there.
    #[inline]
    pub(crate) fn search<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        match self {
            BackEnd::Portable if tables.removed.is_empty() => {
                search::<_, N, false>(Portable, tables, burst, best);
            }
            BackEnd::Portable => search::<_, N, true>(Portable, tables, burst, best),
            #[cfg(target_arch = "x86_64")]
            BackEnd::Simd(width) => width.search(tables, burst, best),
        }
    }
}

/// What instruction sets differ in.
trait Kernel: Copy {
    /// The bits of `word` under `mask`, side by side.
    fn pick(self, word: u32, mask: u32) -> u32;

    /// A bit for each rule of a block (of as many rows as [`rows`] says) that matches.
    fn compare<const N: usize>(self, block: &[Row], key: &[u32; N]) -> u32;

    /// Asks for a block that will be compared soon.
    fn prefetch<const N: usize>(self, block: &[Row]);
}

#[inline(always)]
fn search<K: Kernel, const N: usize, const REMOVED: bool>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    let roots = (tables.ends[0] as usize).min(tables.entries.len());
    for &root in &tables.entries[..roots] {
        let root = Entry(u64::from_le_bytes(root));
        let mut at = [root; BURST];
        if !root.is_leaf() {
            walk(kernel, tables, burst, &mut at);
        }
        scan::<K, N, REMOVED>(kernel, tables, burst, &at, best);
    }
}

/// Where a key gets to from a node.
#[inline(always)]
fn step<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    key: &[u32; N],
    entry: Entry,
) -> Option<Entry> {
    let picked = kernel.pick(key[entry.word().min(N - 1)], entry.low());
    tables.entries.get(entry.place() + picked as usize).map(|next| Entry(u64::from_le_bytes(*next)))
}

/// Takes each key from the root, which is a node, to a leaf.
#[inline(always)]
fn walk<K: Kernel, const N: usize>(kernel: K, tables: Tables<'_>, burst: &Burst<N>, at: &mut [Entry; BURST]) {
    let mut list = [0_u8; BURST];
    let mut count = 0;
    let root = at[0];
    for index in 0..burst.count as u8 {
        let slot = usize::from(index) % BURST;
        let next = step(kernel, tables, &burst.keys[slot], root).unwrap_or(Entry::EMPTY);
        at[slot] = next;
        list[count % BURST] = index;
        count += usize::from(!next.is_leaf());
    }
    for _ in 2..LEVELS {
        let mut more = 0;
        for place in 0..count {
            let index = list[place % BURST];
            let slot = usize::from(index) % BURST;
            let next = step(kernel, tables, &burst.keys[slot], at[slot]).unwrap_or(Entry::EMPTY);
            at[slot] = next;
            list[more % BURST] = index;
            more += usize::from(!next.is_leaf());
        }
        count = more;
        if count == 0 {
            break;
        }
    }
}

/// Compares each key with the blocks of its leaf, until a rule matches; but not where all its rules are behind the best
/// that is known.
#[inline(always)]
fn scan<K: Kernel, const N: usize, const REMOVED: bool>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    leaves: &[Entry; BURST],
    best: &mut [u32; BURST],
) {
    let Tables { rows, removed, .. } = tables;
    let first_of = |block, key| first_of::<K, N, REMOVED>(kernel, block, key, removed);
    let mut list = EVERY;
    let mut count = 0;
    let far = rows.len() > NEAR;
    for slot in 0..burst.count.min(BURST) {
        let leaf = leaves[slot];
        list[count % BURST] = slot as u8;
        count += usize::from(leaf.is_leaf() & (leaf.low() < best[slot]));
        if far && let Some(block) = block::<N>(rows, leaf.place()) {
            kernel.prefetch::<N>(block);
        }
    }
    // Most leaves are one block.
    let mut longer = 0;
    for place in 0..count {
        let index = list[place % BURST];
        let slot = usize::from(index) % BURST;
        let Some(block) = block::<N>(rows, leaves[slot].place()) else { break };
        let found = first_of(block, &burst.keys[slot]);
        best[slot] = best[slot].min(found);
        list[longer % BURST] = index;
        longer += usize::from(leaves[slot].is_long() & (found == NONE));
    }
    // The others go on in rounds, a block further on in each.
    let mut count = longer;
    let mut round = 1;
    while count > 0 {
        let mut more = 0;
        for place in 0..count {
            let index = list[place % BURST];
            let slot = usize::from(index) % BURST;
            let Some(block) = block::<N>(rows, leaves[slot].place() + round) else { break };
            best[slot] = best[slot].min(first_of(block, &burst.keys[slot]));
            list[more % BURST] = index;
            let last = word(&block[number_row(N)], LANES - 1);
            let goes_on = word(&block[protocol_row(N)], 0) & MORE != 0;
            more += usize::from(goes_on & (last < best[slot]));
        }
        count = more;
        round += 1;
    }
}

/// The number of the first rule of a block that matches and is still there, or [`NONE`].
#[inline(always)]
fn first_of<K: Kernel, const N: usize, const REMOVED: bool>(
    kernel: K,
    block: &[Row],
    key: &[u32; N],
    removed: &[u8],
) -> u32 {
    let mut matching = kernel.compare(block, key);
    loop {
        let nothing = u32::from(matching == 0).wrapping_neg();
        let number = word(&block[number_row(N)], matching.trailing_zeros() as usize % LANES) | nothing;
        let bits = if REMOVED { removed.get(number as usize / 8).copied().unwrap_or(0) } else { 0 };
        if bits >> (number % 8) & 1 == 0 {
            return number;
        }
        matching &= matching.wrapping_sub(1);
    }
}

#[inline(always)]
fn word(row: &Row, lane: usize) -> u32 {
    u32::from_le_bytes(row.as_chunks().0[lane])
}

#[inline(always)]
fn block<const N: usize>(all: &[Row], place: usize) -> Option<&[Row]> {
    let at = place * rows(N);
    all.get(at..at + rows(N))
}
