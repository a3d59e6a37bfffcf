//! Eight rules, field by field, so that they are compared with a key at once.
//!
//! ```text
//! values      of each word of the addresses: a row of eight words
//! firsts      the first ports of both ranges, as in a key: a row
//! extents     how many ports follow the first ones: a row
//! ranks       of the rules, ascending, and NONE where there is no rule: a row
//! shifts      of each word of the addresses: eight bytes, how many bits at its end the rule leaves open
//! protocols   eight bytes
//! masks       eight bytes: of the protocol, all bits or none
//! marks       a row of what the word of the protocol must be, and a row of which of its bits are asked for: TCP flags and the
//!             traffic class. These are there only where a rule of the family asks for some
//! ```
//!
//! A leaf of more than one block ends with one that has no rule in its last place.

use crate::Depth;
use crate::layout::{LINE, NONE};

/// Rules of a block.
pub(crate) const LANES: usize = 8;
/// Bytes of a row.
const ROW: usize = 4 * LANES;

/// Of marks, the bits that are TCP flags.
const FLAGS: u32 = crate::key::marks(u8::MAX as u16);

/// The extent of two ranges that hold every port.
const EVERY_PORT: u32 = u32::MAX;

/// A word of each rule.
pub(crate) type Row = [u8; ROW];
/// A byte of each rule.
pub(crate) type Bytes = [u8; LANES];

/// Bytes of a block over keys of `n` words.
pub(crate) const fn bytes(n: usize, marked: bool) -> usize {
    plain(n) + if marked { MARKS } else { 0 }
}

/// Bytes of a block without marks.
const fn plain(n: usize) -> usize {
    ((n + 1) * ROW + n * LANES).next_multiple_of(LINE)
}

/// Bytes of the marks.
const MARKS: usize = 2 * ROW;

/// Blocks one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    bytes: &'a [u8],
    marked: bool,
}

impl<'a> Blocks<'a> {
    #[inline(always)]
    pub(crate) const fn new(bytes: &'a [u8], marked: bool) -> Blocks<'a> {
        Blocks { bytes, marked }
    }

    /// Bytes of them all.
    #[inline(always)]
    pub(crate) const fn len(self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn are_marked(self) -> bool {
        self.marked
    }

    /// How many they are, over keys of `N` words.
    pub(crate) const fn count<const N: usize>(self) -> usize {
        self.bytes.len() / bytes(N, self.marked)
    }
}

/// Blocks of a leaf of so many rules, one at least.
pub(crate) const fn count(rules: usize) -> usize {
    if rules <= LANES { 1 } else { rules / LANES + 1 }
}

/// One block over keys of `N` words.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a, const N: usize>(&'a [u8]);

impl<'a, const N: usize> Block<'a, N> {
    /// One of them all.
    #[inline(always)]
    pub(crate) fn at(all: Blocks<'a>, place: usize) -> Option<Block<'a, N>> {
        let len = bytes(N, all.marked);
        let at = place * len;
        all.bytes.get(at..at + len).map(Block)
    }

    #[inline(always)]
    fn part<const LEN: usize>(self, at: usize) -> &'a [u8; LEN] {
        // Every part is inside.
        self.0.get(at..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; LEN])
    }

    #[inline(always)]
    pub(crate) fn values(self, word: usize) -> &'a Row {
        self.part(word * ROW)
    }

    #[inline(always)]
    pub(crate) fn firsts(self) -> &'a Row {
        self.part((N - 2) * ROW)
    }

    #[inline(always)]
    pub(crate) fn extents(self) -> &'a Row {
        self.part((N - 1) * ROW)
    }

    #[inline(always)]
    pub(crate) fn ranks(self) -> &'a Row {
        self.part(N * ROW)
    }

    #[inline(always)]
    pub(crate) fn shifts(self, word: usize) -> &'a Bytes {
        self.part((N + 1) * ROW + word * LANES)
    }

    #[inline(always)]
    pub(crate) fn protocols(self) -> &'a Bytes {
        self.shifts(N - 2)
    }

    #[inline(always)]
    pub(crate) fn masks(self) -> &'a Bytes {
        self.shifts(N - 1)
    }

    /// What the word of the protocol must be, and which of its bits are asked for; if any rule asks.
    #[inline(always)]
    pub(crate) fn marks(self) -> Option<(&'a Row, &'a Row)> {
        let (values, masks) = self.0.get(plain(N)..)?.first_chunk::<MARKS>()?.split_first_chunk()?;
        Some((values, masks.first_chunk()?))
    }

    /// The last rank: [`NONE`] where a long leaf ends.
    #[inline(always)]
    pub(crate) fn last(self) -> u32 {
        word(self.ranks(), LANES - 1)
    }

    /// How far into a packet its rules look.
    pub(crate) fn depth(self) -> Depth {
        let asks_flags = |lane| self.marks().is_some_and(|(_, masks)| word(masks, lane) & FLAGS != 0);
        let one = |lane: usize| match (word(self.extents(), lane), self.masks()[lane]) {
            _ if word(self.ranks(), lane) == NONE => Depth::Addresses,
            _ if asks_flags(lane) => Depth::Ports,
            (EVERY_PORT, 0) => Depth::Addresses,
            (EVERY_PORT, _) => Depth::Protocol,
            _ => Depth::Ports,
        };
        (0..LANES).map(one).max().unwrap_or(Depth::Addresses)
    }

    /// The lines of memory that it takes.
    #[inline(always)]
    pub(crate) fn lines(self) -> &'a [[u8; LINE]] {
        self.0.as_chunks().0
    }
}

/// Puts a rule of one block into another.
pub(crate) fn copy<const N: usize>(from: Block<'_, N>, lane: usize, to: &mut [u8], place: usize) {
    for row in 0..=N {
        let at = row * ROW;
        to[at + 4 * place..][..4].copy_from_slice(&from.0[at + 4 * lane..][..4]);
    }
    for row in 0..N {
        let at = (N + 1) * ROW + row * LANES;
        to[at + place] = from.0[at + lane];
    }
    if let Some((values, masks)) = from.marks() {
        let marks = &mut to[plain(N)..];
        marks[4 * place..][..4].copy_from_slice(&word(values, lane).to_le_bytes());
        marks[ROW + 4 * place..][..4].copy_from_slice(&word(masks, lane).to_le_bytes());
    }
}

/// A rule's word of a row.
#[inline(always)]
pub(crate) fn word(row: &Row, lane: usize) -> u32 {
    u32::from_le_bytes(row.as_chunks().0[lane])
}

/// A rule as it lies in a block over keys of `N` words.
#[derive(Clone, Copy)]
pub(crate) struct Lane<const N: usize> {
    /// Of the addresses, and how many bits at the end are open.
    pub(crate) words: [(u32, u8); N],
    pub(crate) first: u32,
    pub(crate) extent: u32,
    pub(crate) rank: u32,
    pub(crate) protocol: u8,
    pub(crate) mask: u8,
    /// Of the word of the protocol, what it must be and which bits are asked for.
    pub(crate) marks: (u32, u32),
}

impl<const N: usize> Lane<N> {
    /// No rule.
    pub(crate) const EMPTY: Lane<N> = Lane {
        words: [(0, 0); N],
        first: 0,
        extent: 0,
        rank: NONE,
        protocol: 0,
        mask: u8::MAX,
        marks: (0, 0),
    };

    /// Puts it into a block.
    pub(crate) fn write(self, block: &mut [u8], lane: usize) {
        let mut put = |row: usize, word: u32| {
            block[row * ROW + 4 * lane..][..4].copy_from_slice(&word.to_le_bytes());
        };
        for (word, (value, _)) in self.words[..N - 2].iter().enumerate() {
            put(word, *value);
        }
        put(N - 2, self.first);
        put(N - 1, self.extent);
        put(N, self.rank);
        let mut put = |row: usize, byte: u8| block[(N + 1) * ROW + row * LANES + lane] = byte;
        for (word, (_, shift)) in self.words[..N - 2].iter().enumerate() {
            put(word, *shift);
        }
        put(N - 2, self.protocol);
        put(N - 1, self.mask);
        if let Some(marks) = block.get_mut(plain(N)..).filter(|marks| !marks.is_empty()) {
            marks[4 * lane..][..4].copy_from_slice(&self.marks.0.to_le_bytes());
            marks[ROW + 4 * lane..][..4].copy_from_slice(&self.marks.1.to_le_bytes());
        }
    }
}
