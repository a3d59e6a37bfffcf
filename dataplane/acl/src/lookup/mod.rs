//! The search of a burst, written once over the few steps that instruction sets differ in.
//!
//! The packets of a burst go side by side, so that one waits for memory while others go on: first all walk down to
//! their leaves ([`walk`]), then all are compared with the blocks that they came to ([`scan`]). Who is through drops out;
//! no branch asks, so none is guessed wrong.

mod portable;
mod scan;
mod sift;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;
mod walk;

use crate::block::Block;
use crate::key::fill;
use crate::layout::{ACTION_BYTES, Entry, GROUPS, LEVELS, V4, action};
use crate::sieve::{FIELDS, Field};
use crate::{KeyV4, Verdict};
use portable::Portable;
pub(crate) use sift::slots;
use sift::{search_again, sift};
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
    /// Where each level of entries ends.
    pub(crate) ends: &'a [u32; LEVELS],
    pub(crate) entries: &'a [[u8; 8]],
    pub(crate) blocks: &'a [u8],
}

/// Which rules are not there any more: a bit for each, the first in the lowest bit; none if all are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removed<'a>(pub(crate) &'a [u8]);

impl Removed<'_> {
    #[inline(always)]
    pub(crate) fn has(self, number: u32) -> bool {
        self.0.get(number as usize / 8).is_some_and(|bits| bits >> (number % 8) & 1 != 0)
    }
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
        rules: &[u32; BURST],
        verdicts: &mut [Verdict],
    ) {
        match self.0 {
            Instructions::Portable => verdicts_of(actions, rules, verdicts),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.write(actions, rules, verdicts),
        }
    }

    /// Puts the number of the first rule that matches into each place of `best`, where it is before what stands there.
    #[inline]
    pub(crate) fn search<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        match self.0 {
            Instructions::Portable => search(Portable, tables, burst, best),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.search(tables, burst, best),
        }
    }

    /// As [`search_again`] says.
    #[inline]
    pub(crate) fn search_again<const N: usize>(
        self,
        tables: Tables<'_>,
        removed: Removed<'_>,
        burst: &Burst<N>,
        slots: u32,
        best: &mut [u32; BURST],
    ) {
        match self.0 {
            Instructions::Portable => search_again(Portable, tables, removed, burst, slots, best),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.search_again(tables, removed, burst, slots, best),
        }
    }

    /// As [`sift`] says.
    #[inline]
    pub(crate) fn sift<const N: usize>(
        self,
        tables: Tables<'_>,
        fields: &[Field<'_>; FIELDS],
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) -> u32 {
        match self.0 {
            Instructions::Portable => sift(Portable, tables, fields, burst, best),
            #[cfg(target_arch = "x86_64")]
            Instructions::Simd(width) => width.sift(tables, fields, burst, best),
        }
    }
}

/// Fills in the verdicts for these rules. The last action is that of no rule, and of all that are not there.
#[inline(always)]
fn verdicts_of(actions: &[[u8; ACTION_BYTES]], rules: &[u32; BURST], verdicts: &mut [Verdict]) {
    for (verdict, &rule) in verdicts.iter_mut().zip(rules) {
        *verdict = Verdict::new(rule, action_of(actions, rule));
    }
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
        burst: &Burst<N>,
        root: Entry,
        best: &mut [u32; BURST],
    ) {
        let mut places = Places::all_at(root);
        walk::one_by_one(self, tables, burst, root, &mut places);
        scan::one_by_one::<Self, N>(self, tables, burst, &places, best);
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
        scan::one_by_one::<Self, N>(self, tables, burst, &Places::all_at(leaf), best);
    }

    /// The groups of a sieve that each key may be for.
    #[inline(always)]
    fn groups<const N: usize>(self, fields: &[Field<'_>; FIELDS], burst: &Burst<N>) -> [u32; BURST] {
        sift::one_by_one(fields, burst)
    }

    /// Looks for the keys of these slots in their groups.
    #[inline(always)]
    fn through<const N: usize>(
        self,
        tables: Tables<'_>,
        burst: &Burst<N>,
        groups: &[u32; BURST],
        slots: u32,
        best: &mut [u32; BURST],
    ) {
        sift::each(self, tables, burst, groups, slots, best);
    }

    /// Asks for a block that will be compared soon.
    fn prefetch<const N: usize>(self, block: Block<'_, N>);
}

#[inline(always)]
fn search<K: Kernel, const N: usize>(
    kernel: K,
    tables: Tables<'_>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    let roots = (tables.ends[0] as usize).min(tables.entries.len()).min(GROUPS);
    for &root in &tables.entries[..roots] {
        let root = Entry(u64::from_le_bytes(root));
        if root.is_leaf() {
            kernel.sweep::<N>(tables, burst, root, best);
        } else {
            kernel.tree::<N>(tables, burst, root, best);
        }
    }
}
