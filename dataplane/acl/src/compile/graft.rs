//! Changes of a list, grafted on what it was compiled to.
//!
//! The trees stay as they are. A rule that is added belongs to those leaves that keys come to which it matches, and one that is
//! removed is gone from the leaves where it was. These leaves are written anew, and lie beside the base: a look-up goes through
//! the trees of the base, and finds the new leaf at the place of the old one. So it costs about what it did, however much changed.
//!
//! A rule that would come into too many leaves is put into trees of its own instead, over all of the base.

use super::CompileError;
use super::emit::Rules;
use super::pattern::{Family, Pattern, of_rules};
use super::plan::{self, KINDS, kind};
use super::tree::{COPIES, Tree};
use crate::Rule;
use crate::block::{self, Block, LANES, word};
use crate::classifier::tables;
use crate::layout::{Entry, Layout, NONE, Ranks, V4};
use crate::lookup::{GRAFTED, Tables};
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Entries that are looked at for one rule that is added; beyond, it is wide. Where lists are short, in tests, some rules are to be.
const NARROW: usize = if cfg!(any(test, fuzzing)) { 12 } else { 1 << 12 };
/// The same for all that are removed together; beyond, compiling the whole takes no longer.
const STEPS: usize = 1 << 22;
/// Leaves that a change may write anew, counted once for each rule that they change for.
const LEAVES: usize = 1 << 16;

/// What changes lie over: rules and what they were compiled to.
pub(crate) struct Stock<'a> {
    pub(crate) rules: &'a [Rule],
    pub(crate) ranks: Ranks,
    pub(crate) layout: &'a Layout,
    pub(crate) image: &'a [u8],
    /// Of each family, the root of the tree that has the rules of each kind.
    pub(crate) homes: &'a [Homes; 2],
}

/// The root of the tree that has the rules of each kind, where there are any.
pub(crate) type Homes = [Option<Entry>; KINDS];

/// Rules to be added, each with the place of the base's rule that it stands before, in their order; and of the base's rules,
/// a bit for each that is removed.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) added: &'a [(u32, Rule)],
    pub(crate) removed: &'a [u8],
}

impl Change<'_> {
    fn is_removed(&self, rule: u32) -> bool {
        self.removed.get(rule as usize / 8).is_some_and(|bits| bits >> (rule % 8) & 1 != 0)
    }

    fn removed_ones(&self) -> impl Iterator<Item = u32> {
        let bytes = (0..).zip(self.removed).filter(|(_, bits)| **bits != 0);
        bytes.flat_map(|(byte, bits)| {
            (0..8).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| 8 * byte + bit)
        })
    }
}

/// Where the new leaves belong.
#[derive(Debug, Default)]
pub(crate) struct Twigs {
    /// Trees over all of the base.
    pub(crate) roots: u32,
    /// As [`Grafts`](crate::lookup::Grafts) has it.
    pub(crate) index: Vec<u64>,
}

/// What becomes of a family.
pub(super) struct Grown<'a, const N: usize> {
    pub(super) rules: Both<'a, N>,
    /// Those over all of the base, then the new leaves.
    pub(super) trees: Vec<Tree>,
    pub(super) twigs: Twigs,
}

/// The rules of new leaves: those that are added have the first ids, and then those of the base by block and lane, out of which
/// they are copied.
pub(super) struct Both<'a, const N: usize> {
    added: Vec<Pattern<N>>,
    base: Tables<'a>,
}

impl<'a, const N: usize> Both<'a, N> {
    /// The block that a rule of the base is in, and where.
    fn of_base(&self, id: u32) -> Option<(Block<'a, N>, usize)> {
        let place = id as usize - self.added.len();
        Some((Block::at(self.base.blocks, place / LANES)?, place % LANES))
    }
}

impl<const N: usize> Rules<N> for Both<'_, N> {
    fn rank(&self, id: u32) -> u32 {
        match self.added.get(id as usize) {
            Some(pattern) => pattern.rank,
            None => self.of_base(id).map_or(NONE, |(block, lane)| word(block.ranks(), lane)),
        }
    }

    fn are_marked(&self) -> bool {
        self.base.blocks.are_marked() || self.added.as_slice().are_marked()
    }

    fn write(&self, id: u32, to: &mut [u8], place: usize) {
        match self.added.get(id as usize) {
            Some(pattern) => pattern.lane().write(to, place),
            None => self.of_base(id).into_iter().for_each(|(from, lane)| block::copy(from, lane, to, place)),
        }
    }
}

const fn family(n: usize) -> usize {
    if n == V4 { 0 } else { 1 }
}

/// Finds the homes of a family's rules.
pub(crate) fn homes<const N: usize>(rules: &[Rule], layout: &Layout, image: &[u8]) -> Homes
where
    Pattern<N>: Family,
{
    let tables = tables(layout, image, family(N));
    let roots = tables.entries.get(..tables.roots).unwrap_or_default();
    let mut homes = [None; KINDS];
    let mut known = [false; KINDS];
    for (place, rule) in (0..).zip(rules) {
        let rank = layout.ranks.rank(place);
        let Some(pattern) = Pattern::<N>::pattern(rank, rule) else { continue };
        let kind = kind(&pattern);
        if known[kind] {
            continue;
        }
        known[kind] = true;
        homes[kind] = roots.iter().map(|root| Entry(u64::from_le_bytes(*root))).find(|root| {
            let mut all = usize::MAX;
            let leaves = reach(tables, *root, &pattern, &mut all).unwrap_or_default();
            leaves.iter().any(|leaf| rules_of::<N>(tables, *leaf).any(|(_, each)| each == rank))
        });
        if known == [true; KINDS] {
            break;
        }
    }
    homes
}

/// The leaves that keys come to which a rule matches; `None` if more than `left` entries lead there. These are taken off.
fn reach<const N: usize>(
    tables: Tables<'_>,
    root: Entry,
    pattern: &Pattern<N>,
    left: &mut usize,
) -> Option<Vec<Entry>> {
    let (mut leaves, mut seen) = (Vec::new(), FxHashSet::default());
    let mut next = vec![root];
    while let Some(entry) = next.pop() {
        if entry.is_leaf() {
            leaves.push(entry);
            continue;
        }
        if !seen.insert(entry.place()) {
            continue;
        }
        let word = entry.word().min(N - 1);
        let mut last = Entry::EMPTY;
        for value in pattern.values(word, entry.low()) {
            *left = left.checked_sub(1)?;
            let Some(child) = tables.entries.get(entry.place() + value as usize) else { continue };
            let child = Entry(u64::from_le_bytes(*child));
            if child != last {
                next.push(child);
                last = child;
            }
        }
    }
    leaves.sort_unstable_by_key(|leaf| leaf.place());
    leaves.dedup();
    Some(leaves)
}

/// A leaf's rules: where each lies, counted in lanes, and its rank.
fn rules_of<const N: usize>(tables: Tables<'_>, leaf: Entry) -> impl Iterator<Item = (usize, u32)> {
    let mut more = leaf.low() != NONE;
    let blocks = (leaf.place()..).map_while(move |place| {
        let block = Block::<N>::at(tables.blocks, place).filter(|_| more)?;
        more = leaf.is_long() && block.last() != NONE;
        Some((place, block))
    });
    let rules = blocks.flat_map(|(place, block)| {
        (0..LANES).map(move |lane| (place * LANES + lane, word(block.ranks(), lane)))
    });
    rules.filter(|(_, rank)| *rank != NONE)
}

/// Grafts the rules of one family.
pub(super) fn graft<'a, const N: usize>(
    stock: &Stock<'a>,
    change: Change<'_>,
) -> Result<Grown<'a, N>, CompileError>
where
    Pattern<N>: Family + Send + Sync,
{
    let tables = tables(stock.layout, stock.image, family(N));
    let homes = &stock.homes[family(N)];
    let added: Vec<Rule> = change.added.iter().map(|(_, rule)| *rule).collect();
    let added = of_rules::<N>(&added, |index| stock.ranks.before(change.added[index as usize].0, index));
    let gone: Vec<Pattern<N>> = change
        .removed_ones()
        .filter_map(|rule| Pattern::pattern(stock.ranks.rank(rule), stock.rules.get(rule as usize)?))
        .collect();
    let leaves = |pattern: &Pattern<N>, left: &mut usize| reach(tables, homes[kind(pattern)]?, pattern, left);
    let leaves_of_added = |pattern: &Pattern<N>| {
        let mut left = NARROW;
        leaves(pattern, &mut left)
    };
    let steps = AtomicUsize::new(0);
    let leaves_of_gone = |pattern: &Pattern<N>| {
        let before = STEPS.saturating_sub(steps.load(Ordering::Relaxed));
        let mut left = before;
        let leaves = leaves(pattern, &mut left);
        steps.fetch_add(before - left, Ordering::Relaxed);
        leaves
    };
    let (reached, left): (Vec<_>, Vec<_>) = rayon::join(
        || added.par_iter().with_min_len(16).map(leaves_of_added).collect(),
        || gone.par_iter().with_min_len(16).map(leaves_of_gone).collect(),
    );
    // Wide ones first, as trees are grown over them alone.
    let (narrow, wide): (Vec<_>, Vec<_>) = added.into_iter().zip(reached).partition(|(_, to)| to.is_some());
    let mut patterns: Vec<Pattern<N>> = wide.into_iter().map(|(pattern, _)| pattern).collect();
    let mut trees = match patterns.len() {
        0 => Vec::new(),
        wide => plan::forest(&patterns, wide * COPIES),
    };
    let roots = trees.len() as u32;
    // Each leaf with what comes into it, if anything.
    let mut edits: Vec<(Entry, Option<u32>)> = Vec::new();
    for leaves in left {
        edits.extend(leaves.ok_or(CompileError::TooMuchChanged)?.into_iter().map(|leaf| (leaf, None)));
    }
    for (pattern, leaves) in narrow {
        let id = patterns.len() as u32;
        patterns.push(pattern);
        edits.extend(leaves.into_iter().flatten().map(|leaf| (leaf, Some(id))));
    }
    // What several threads took at once may have come to more, and what is refused must not depend on that.
    if edits.len() > LEAVES || steps.into_inner() > STEPS {
        return Err(CompileError::TooMuchChanged);
    }
    edits.sort_unstable_by_key(|(leaf, id)| (leaf.place(), *id));
    let count = patterns.len();
    if count + tables.blocks.count::<N>() * LANES > NONE as usize {
        return Err(CompileError::TooMuchChanged);
    }
    let mut index: Vec<u64> = Vec::new();
    let mut leaf: Vec<(u32, u32)> = Vec::new();
    for edits in edits.chunk_by(|a, b| a.0.place() == b.0.place()) {
        let come = edits.iter().filter_map(|(_, id)| *id).map(|id| (patterns[id as usize].rank, id));
        let stay = rules_of::<N>(tables, edits[0].0)
            .filter(|(_, rank)| !change.is_removed(stock.ranks.place(*rank)))
            .map(|(place, rank)| (rank, (count + place) as u32));
        leaf.clear();
        leaf.extend(come.chain(stay));
        leaf.sort_unstable();
        let place = edits[0].0.place();
        while index.len() <= place / GRAFTED {
            index.push(((trees.len() as u64) - u64::from(roots)) << 32);
        }
        index[place / GRAFTED] |= 1 << (place % GRAFTED);
        trees.push(Tree::Leaf(leaf.iter().map(|(_, id)| *id).collect()));
    }
    let rules = Both { added: patterns, base: tables };
    Ok(Grown { rules, trees, twigs: Twigs { roots, index } })
}
