//! How an image lies in memory: little-endian 32-bit words, places instead of pointers, every part on a cache line.
//!
//! ```text
//! header    magic, version, number of rules, shift of their ranks; then of each family: entries, blocks, whether these have
//!           marks, and where each level ends
//! actions   two words a rule, in the list's order: what becomes of a packet, and the policy entry; then those of no rule
//! IPv4      entries, then blocks
//! IPv6      entries, then blocks
//! ```
//!
//! A key is a row of words: source, destination (one word each, or four), both ports, and the protocol with a bit that
//! says whether ports can be seen, TCP flags and the traffic class. A rule is a ternary pattern over these words, and two ranges of ports.
//!
//! A rule's [rank](Ranks) says which of two rules is first, and leaves room in front of each for rules that are added later.
//!
//! An **entry** is where a walk stands. It is a node (a mask, the key's word that the mask picks bits of, and the place
//! of a table with an entry for each value of those bits), or a leaf (the rank of its first rule, and its first block; of a leaf
//! without rules, a place behind all blocks, so that leaves are told apart by their places). The entries of level 0 are the
//! roots, one for each group of rules; the table of a node lies in the level after its own, so a walk takes no more steps than
//! there are levels.
//!
//! A **block** is eight rules, field by field, so that they are compared with a key at once, as [`block`] says. A leaf is one
//! block, or several in a row.

use crate::block;
use std::array::from_fn;

pub(crate) const MAGIC: u32 = 0x4C43_4145;
pub(crate) const VERSION: u32 = 5;
/// Levels of entries at most, the roots' included.
pub(crate) const LEVELS: usize = 24;
/// Groups of rules at most.
pub(crate) const GROUPS: usize = 4;
/// Words of a family in the header: entries, blocks, marks, ends of levels.
pub(crate) const FAMILY_WORDS: usize = 3 + LEVELS;
pub(crate) const HEADER_WORDS: usize = 64;
pub(crate) const ACTION_BYTES: usize = 8;
pub(crate) const ENTRY_BYTES: usize = 8;
/// Bytes that every part is a multiple of.
pub(crate) const LINE: usize = 64;
/// No rule.
pub(crate) const NONE: u32 = u32::MAX;

/// Words of an IPv4 key.
pub(crate) const V4: usize = 4;
/// Words of an IPv6 key.
pub(crate) const V6: usize = 10;

/// In the protocol word of a key: its ports can be seen.
pub(crate) const PORTS_SEEN: u32 = 1 << 8;

/// What becomes of a packet, as two words.
pub(crate) mod action {
    use crate::Action;

    const BYPASS: u32 = 0;
    const DISCARD: u32 = 1;
    const PROTECT: u32 = 2;
    /// Behind the actions of all rules, so that where no rule matched there are words to take, too.
    pub(crate) const NO_RULE: [u32; 2] = [3, 0];

    pub(crate) const fn write(action: Action) -> [u32; 2] {
        match action {
            Action::Bypass => [BYPASS, 0],
            Action::Discard => [DISCARD, 0],
            Action::Protect(entry) => [PROTECT, entry],
        }
    }

    #[inline(always)]
    pub(crate) const fn words(stored: [u8; super::ACTION_BYTES]) -> [u32; 2] {
        let both = u64::from_le_bytes(stored);
        [both as u32, (both >> 32) as u32]
    }

    /// `None` if that is no action.
    #[inline]
    pub(crate) const fn read(words: [u32; 2]) -> Option<Action> {
        match words {
            [BYPASS, 0] => Some(Action::Bypass),
            [DISCARD, 0] => Some(Action::Discard),
            [PROTECT, entry] => Some(Action::Protect(entry)),
            _ => None,
        }
    }
}

/// The bits of `word` under `mask`, side by side.
#[inline(always)]
pub(crate) const fn pick(word: u32, mut mask: u32) -> u32 {
    let mut picked = 0;
    let mut to = 0;
    while mask != 0 {
        picked |= (word >> mask.trailing_zeros() & 1) << to;
        mask &= mask - 1;
        to += 1;
    }
    picked
}

/// Ranks of a list's rules: the upper bits are a rule's place in the list, the lower ones are ones. A rule that is added before
/// it has the same upper bits, and lower ones below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranks {
    shift: u32,
}

impl Ranks {
    /// With as much room between rules as there is. Behind the last, too, and [`NONE`] stays behind everything.
    pub(crate) const fn of(rules: usize) -> Ranks {
        Ranks { shift: (rules as u32 + 1).leading_zeros() }
    }

    /// As a header says; `None` if there is no such shift.
    pub(crate) const fn of_shift(shift: u32) -> Option<Ranks> {
        if shift < u32::BITS { Some(Ranks { shift }) } else { None }
    }

    pub(crate) const fn shift(self) -> u32 {
        self.shift
    }

    /// The lower bits.
    #[inline(always)]
    pub(crate) const fn low(self) -> u32 {
        !(u32::MAX << self.shift)
    }

    /// Of a rule of the list.
    #[inline(always)]
    pub(crate) const fn rank(self, place: u32) -> u32 {
        place << self.shift | self.low()
    }

    /// Of a rule that is added before the one at a place; of several, the one with the lower index is the first.
    pub(crate) const fn before(self, place: u32, index: u32) -> u32 {
        place << self.shift | index
    }

    /// The place of a rule in the list, or before which an added one stands.
    #[inline(always)]
    pub(crate) const fn place(self, rank: u32) -> u32 {
        rank >> self.shift
    }

    /// Which of the added rules it is, if it is one.
    #[inline(always)]
    pub(crate) const fn added(self, rank: u32) -> Option<u32> {
        let index = rank & self.low();
        if index == self.low() { None } else { Some(index) }
    }

    /// Whether a rank is one of these rules, or none.
    pub(crate) const fn sound(self, rank: u32, rules: usize) -> bool {
        rank == NONE || (self.added(rank).is_none() && (self.place(rank) as usize) < rules)
    }
}

/// One place of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    const LEAF: u64 = 1 << 63;
    pub(crate) const PLACE_BITS: u32 = 27;
    const LONG: u64 = 1 << (32 + Entry::PLACE_BITS);
    /// Of the upper half: the leaf is more than one block.
    pub(crate) const LONG_HIGH: u32 = 1 << Entry::PLACE_BITS;
    /// Places of tables and blocks are below.
    pub(crate) const PLACES: usize = 1 << Entry::PLACE_BITS;
    /// A leaf without rules, which is at no place.
    pub(crate) const EMPTY: Entry = Entry::leaf(NONE, 0, false);

    pub(crate) const fn node(mask: u32, word: usize, table: u32) -> Entry {
        Entry((word as u64) << (32 + Entry::PLACE_BITS) | (table as u64) << 32 | mask as u64)
    }

    /// `long` says that the leaf is more than one block.
    pub(crate) const fn leaf(first: u32, block: u32, long: bool) -> Entry {
        let long = if long { Entry::LONG } else { 0 };
        Entry(Entry::LEAF | long | (block as u64) << 32 | first as u64)
    }

    #[inline(always)]
    pub(crate) const fn is_leaf(self) -> bool {
        self.0 & Entry::LEAF != 0
    }

    /// Of a leaf, whether there are more blocks than one.
    #[inline(always)]
    pub(crate) const fn is_long(self) -> bool {
        self.0 & Entry::LONG != 0
    }

    /// Of a node, which bits choose the way; of a leaf, its first rule.
    #[inline(always)]
    pub(crate) const fn low(self) -> u32 {
        self.0 as u32
    }

    /// Whether it is a leaf; of a node, the key's word, of a leaf, whether it is long; and the place.
    #[inline(always)]
    pub(crate) const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Of a node, where the table begins; of a leaf, its first block.
    #[inline(always)]
    pub(crate) const fn place(self) -> usize {
        (self.0 >> 32) as usize & (Entry::PLACES - 1)
    }

    /// Of a node, the key's word.
    #[inline(always)]
    pub(crate) const fn word(self) -> usize {
        (self.0 >> (32 + Entry::PLACE_BITS)) as usize & 15
    }
}

/// Where a family's parts are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) entries: usize,
    pub(crate) blocks: usize,
    /// Some rule asks for TCP flags or a traffic class.
    pub(crate) marked: bool,
    /// Where each level ends, as places of entries.
    pub(crate) ends: [u32; LEVELS],
    pub(crate) entries_at: usize,
    pub(crate) blocks_at: usize,
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) rules: usize,
    pub(crate) ranks: Ranks,
    pub(crate) families: [Family; 2],
    pub(crate) bytes: usize,
}

impl Layout {
    /// From the numbers that the header gives. Numbers of 32 bits do not overflow here.
    pub(crate) fn new(
        rules: usize,
        ranks: Ranks,
        counts: [(usize, usize, bool, [u32; LEVELS]); 2],
    ) -> Layout {
        let mut at = HEADER_WORDS * 4 + ((rules + 1) * ACTION_BYTES).next_multiple_of(LINE);
        let families = from_fn(|family| {
            let (entries, blocks, marked, ends) = counts[family];
            let entries_at = at;
            let blocks_at = entries_at + (entries * ENTRY_BYTES).next_multiple_of(LINE);
            at = blocks_at + blocks * block::bytes([V4, V6][family], marked);
            Family { entries, blocks, marked, ends, entries_at, blocks_at }
        });
        Layout { rules, ranks, families, bytes: at }
    }

    pub(crate) fn header(&self) -> [u32; HEADER_WORDS] {
        let mut header = [0; HEADER_WORDS];
        header[..4].copy_from_slice(&[MAGIC, VERSION, self.rules as u32, self.ranks.shift]);
        let (families, _) = header[4..].as_chunks_mut::<FAMILY_WORDS>();
        for (words, family) in families.iter_mut().zip(&self.families) {
            words[0] = family.entries as u32;
            words[1] = family.blocks as u32;
            words[2] = u32::from(family.marked);
            words[3..].copy_from_slice(&family.ends);
        }
        header
    }
}
