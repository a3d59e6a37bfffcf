//! The search of a burst, written once over the few steps that instruction sets differ in.
//!
//! The packets of a burst go side by side, so that one waits for memory while others go on: first all walk down to
//! their leaves, then all are compared with the blocks that they came to. Who is through drops out of the list of those
//! who go on; no branch asks, so none is guessed wrong.

mod portable;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;

use crate::layout::{Entry, LANES, LEVELS, MORE, NONE, ROW, number_row, protocol_row, rows};
use portable::Portable;

/// Keys that are searched for side by side.
pub(crate) const BURST: usize = 32;

/// A block, or one row of one.
pub(crate) type Row = [u8; ROW];

/// The tables of one family.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// Where each level of entries ends.
    pub(crate) ends: &'a [u32; LEVELS],
    pub(crate) entries: &'a [[u8; 8]],
    pub(crate) rows: &'a [Row],
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
        keys: &[[u32; N]],
        best: &mut [u32; BURST],
    ) {
        match self {
            BackEnd::Portable => search(Portable, tables, keys, best),
            #[cfg(target_arch = "x86_64")]
            BackEnd::Simd(width) => width.search(tables, keys, best),
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
    fn prefetch(self, block: &[Row]);
}

#[inline(always)]
fn search<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    keys: &[[u32; N]],
    best: &mut [u32; BURST],
) {
    let count = keys.len().min(BURST);
    let keys = &keys[..count];
    let roots = (tables.ends[0] as usize).min(tables.entries.len());
    for &root in &tables.entries[..roots] {
        let leaves = walk(kernel, tables, keys, Entry(u64::from_le_bytes(root)));
        scan(kernel, tables.rows, keys, &leaves, best);
    }
}

/// Where each key's walk from a root ends.
#[inline(always)]
fn walk<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    keys: &[[u32; N]],
    root: Entry,
) -> [Entry; BURST] {
    let mut at = [root; BURST];
    if root.is_leaf() {
        return at;
    }
    let mut list: [u8; BURST] = std::array::from_fn(|index| index as u8);
    let mut count = keys.len();
    for _ in 0..LEVELS {
        let mut more = 0;
        for place in 0..count {
            let index = list[place];
            let entry = &mut at[usize::from(index) % BURST];
            let (Some(key), mask) = (keys.get(usize::from(index)), entry.low()) else { break };
            let word = key.get(entry.word()).copied().unwrap_or(0);
            let next = tables.entries.get(entry.place() + kernel.pick(word, mask) as usize);
            *entry = next.map_or(Entry::EMPTY, |next| Entry(u64::from_le_bytes(*next)));
            list[more % BURST] = index;
            more += usize::from(!entry.is_leaf());
        }
        count = more;
        if count == 0 {
            break;
        }
    }
    at
}

/// Compares each key with the blocks of its leaf, until a rule matches or none can be before the best that is known.
#[inline(always)]
fn scan<K: Kernel, const N: usize>(
    kernel: K,
    all: &[Row],
    keys: &[[u32; N]],
    leaves: &[Entry; BURST],
    best: &mut [u32; BURST],
) {
    let mut list = [0_u8; BURST];
    let mut blocks = [0_u32; BURST];
    let mut count = 0;
    for (index, (entry, best)) in leaves.iter().zip(&*best).take(keys.len()).enumerate() {
        let block = entry.place();
        kernel.prefetch(all.get(block * rows(N)..(block + 1) * rows(N)).unwrap_or_default());
        blocks[index] = block as u32;
        list[count % BURST] = index as u8;
        count += usize::from(entry.is_leaf() && entry.low() < *best);
    }
    // Each round is a block further on.
    while count > 0 {
        let mut more = 0;
        for place in 0..count {
            let index = list[place];
            let slot = usize::from(index) % BURST;
            let at = blocks[slot] as usize * rows(N);
            let (Some(key), Some(block)) = (keys.get(slot), all.get(at..at + rows(N))) else { continue };
            let matching = kernel.compare(block, key);
            let (numbers, _) = block[number_row(N)].as_chunks::<4>();
            let number = |lane: usize| u32::from_le_bytes(numbers[lane % LANES]);
            let found = if matching == 0 { NONE } else { number(matching.trailing_zeros() as usize) };
            best[slot] = best[slot].min(found);
            blocks[slot] += 1;
            list[more % BURST] = index;
            let [low, high, ..] = block[protocol_row(N)];
            let goes_on = u32::from(u16::from_le_bytes([low, high])) & MORE != 0;
            more += usize::from(goes_on & (number(LANES - 1) < best[slot]));
        }
        count = more;
    }
}
