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
//! ```
//!
//! A leaf of more than one block ends with one that has no rule in its last place.

use crate::layout::{LINE, NONE};

/// Rules of a block.
pub(crate) const LANES: usize = 8;
/// Bytes of a row.
const ROW: usize = 4 * LANES;

/// A word of each rule.
pub(crate) type Row = [u8; ROW];
/// A byte of each rule.
pub(crate) type Bytes = [u8; LANES];

/// Bytes of a block over keys of `n` words.
pub(crate) const fn bytes(n: usize) -> usize {
    ((n + 1) * ROW + n * LANES).next_multiple_of(LINE)
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
    pub(crate) fn at(all: &'a [u8], place: usize) -> Option<Block<'a, N>> {
        let at = place * bytes(N);
        all.get(at..at + bytes(N)).map(Block)
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

    /// The last rank: [`NONE`] where a long leaf ends.
    #[inline(always)]
    pub(crate) fn last(self) -> u32 {
        word(self.ranks(), LANES - 1)
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
}

impl<const N: usize> Lane<N> {
    /// No rule.
    pub(crate) const EMPTY: Lane<N> =
        Lane { words: [(0, 0); N], first: 0, extent: 0, rank: NONE, protocol: 0, mask: u8::MAX };

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
    }
}
