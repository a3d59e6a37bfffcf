//! The search of a burst, written once over the few steps that instruction sets differ in.
//!
//! The packets of a burst go side by side, so that one waits for memory while others go on: first all walk down to
//! their leaves ([`walk`]), then all are compared with the blocks that they came to ([`scan`]). Who is through drops out;
//! no branch asks, so none is guessed wrong. Where a list was changed, some leaves are those of the change instead ([`graft`]).

mod graft;
mod portable;
mod scan;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;
mod walk;

use crate::block::{Block, Blocks};
use crate::key::fill;
use crate::layout::{ACTION_BYTES, Entry, GROUPS, LEVELS, NONE, Ranks, V4, action};
use crate::{KeyV4, Verdict};
use graft::Grafted;
pub(crate) use graft::{Filter, GRAFTED, Grafts};
use portable::Portable;
use walk::Places;

/// Keys that are searched for side by side.
pub(crate) const BURST: usize = 32;

/// Keys side by side. On a cache line, so that no vector of them lies on two.
#[repr(align(64))]
pub(crate) struct Burst<const N: usize> {
    /// Each word of all keys.
    pub(crate) words: [[u32; BURST]; N],
    /// All ones for a key whose ports cannot be seen, none for others.
    pub(crate) unseen: [u32; BURST],
    /// How many are there.
    pub(crate) count: usize,
}

impl<const N: usize> Burst<N> {
    /// No keys yet.
    #[inline(always)]
    pub(crate) const fn new() -> Burst<N> {
        Burst { words: [[0; BURST]; N], unseen: [0; BURST], count: 0 }
    }
}

/// The tables of one family.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// Roots of trees, which are the first entries.
    pub(crate) roots: usize,
    /// Where each level of entries ends.
    pub(crate) ends: &'a [u32; LEVELS],
    pub(crate) entries: &'a [[u8; 8]],
    pub(crate) blocks: Blocks<'a>,
}

/// The instructions that look-ups use. What all of them find is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackEnd(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Simd(simd::Width),
}

impl std::fmt::Display for BackEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Instructions::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.name(),
        })
    }
}

impl BackEnd {
    /// The best that this processor has.
    pub fn best() -> BackEnd {
        BackEnd::all().pop().unwrap_or(BackEnd(Instructions::Portable))
    }

    /// All that this processor has, the best last.
    pub fn all() -> Vec<BackEnd> {
        #[allow(unused_mut)]
        let mut all = vec![BackEnd(Instructions::Portable)];
        #[cfg(target_arch = "x86_64")]
        all.extend(simd::Width::all().map(|width| BackEnd(Instructions::Simd(width))));
        all
    }

    /// As [`Words::fill`](crate::key::Words::fill) says.
    #[inline]
    pub(crate) fn fill_v4(self, keys: &[KeyV4], burst: &mut Burst<V4>) {
        match self.0 {
            Instructions::Portable => fill(keys, burst),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.fill_v4(keys, burst),
        }
    }

    /// As [`verdicts_of`] says.
    #[inline]
    pub(crate) fn write(
        self,
        actions: &[[u8; ACTION_BYTES]],
        ranks: Ranks,
        best: &[u32; BURST],
        verdicts: &mut [Verdict],
    ) -> u32 {
        match self.0 {
            Instructions::Portable => verdicts_of(actions, ranks, best, verdicts),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.write(actions, ranks, best, verdicts),
        }
    }

    /// Puts the rank of the first rule that matches into each place of `best`, where it is before what stands there.
    #[inline]
    pub(crate) fn search<const N: usize>(
        self,
        tables: Tables<'_>,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        match self.0 {
            Instructions::Portable => search(Portable, tables, grafts, burst, best),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.search(tables, grafts, burst, best),
        }
    }
}

/// Fills in the verdicts for these ranks. The last action is that of no rule, and of all that are not there. Returns a bit for
/// each rank of a rule that was added, whose verdict is anything.
#[inline(always)]
fn verdicts_of(
    actions: &[[u8; ACTION_BYTES]],
    ranks: Ranks,
    best: &[u32; BURST],
    verdicts: &mut [Verdict],
) -> u32 {
    let mut added = 0;
    for (slot, (verdict, &rank)) in verdicts.iter_mut().zip(best).enumerate() {
        let rule = if rank == NONE { NONE } else { ranks.place(rank) };
        *verdict = Verdict::new(rule, action_of(actions, rule));
        added |= u32::from(ranks.added(rank).is_some()) << slot;
    }
    added
}

/// The action of a rule, or what is behind all actions.
#[inline(always)]
pub(crate) fn action_of(actions: &[[u8; ACTION_BYTES]], rule: u32) -> [u32; 2] {
    let place = (rule as usize).min(actions.len().wrapping_sub(1));
    actions.get(place).map_or(action::NO_RULE, |stored| action::words(*stored))
}

/// What instruction sets differ in.
trait Kernel: Copy {
    /// The bits of `word` under `mask`, side by side.
    fn pick(self, word: u32, mask: u32) -> u32;

    /// Takes each key from the root, which is a node, to a leaf, and compares it with the blocks there, until a rule
    /// matches; but not where all its rules are behind the best that is known.
    #[inline(always)]
    fn tree<const N: usize>(
        self,
        tables: Tables<'_>,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        root: Entry,
        best: &mut [u32; BURST],
    ) {
        let mut places = Places::all_at(root);
        walk::one_by_one(self, tables, burst, root, &mut places);
        let mut grafted = Grafted::none();
        if let Some(grafts) = &grafts {
            for slot in 0..burst.count.min(BURST) {
                if let Some(leaf) = grafts.get(places.get(slot)) {
                    grafted.add::<Self, N>(self, grafts, (slot, leaf), &mut places, best);
                }
            }
        }
        scan::one_by_one::<Self, N>(self, tables, burst, &places, !grafted.slots, best);
        if let Some(grafts) = &grafts {
            grafted.compare(self, grafts, burst, &places, best);
        }
    }

    /// A bit for each rule of a block that matches the key. Places without a rule may match, too.
    fn compare<const N: usize>(self, block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32;

    /// Compares all keys with the blocks of one leaf.
    #[inline(always)]
    fn sweep<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        leaf: Entry,
        best: &mut [u32; BURST],
    ) {
        scan::one_by_one::<Self, N>(self, tables, burst, &Places::all_at(leaf), u32::MAX, best);
    }

    /// Asks for a block that will be compared soon.
    fn prefetch<const N: usize>(self, block: Block<'_, N>);
}

#[inline(always)]
fn search<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    grafts: Option<Grafts<'_>>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    for &root in &tables.entries[..tables.roots.min(GROUPS).min(tables.entries.len())] {
        let root = Entry(u64::from_le_bytes(root));
        let grafted = grafts.and_then(|grafts| Some((grafts.get(root)?, grafts.tables)));
        if let Some((leaf, tables)) = grafted {
            kernel.sweep::<N>(tables, burst, leaf, best);
        } else if root.is_leaf() {
            kernel.sweep::<N>(tables, burst, root, best);
        } else {
            kernel.tree::<N>(tables, grafts, burst, root, best);
        }
    }
}
