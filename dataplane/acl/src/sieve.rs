//! A sieve: which groups of a delta's rules a key may be for, so that most keys are for none and go past it.
//!
//! It has up to three fields. Each picks some bits of one of the key's words, and has a table with a word for each value of
//! them: a bit for each group that has a rule for such keys. What all fields leave over is to be looked at.

use crate::layout::pick;

/// Fields of a sieve: of the source, of the destination, of ports and protocol.
pub(crate) const FIELDS: usize = 3;
/// Bits that a field picks at most: a table of 8 KiB, so that all stay near the core.
pub(crate) const FIELD_BITS: u32 = 11;

/// One field, over its table. It is as long as the mask says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) word: usize,
    pub(crate) mask: u32,
    pub(crate) table: &'a [[u8; 4]],
}

impl Field<'_> {
    /// Entries of the table that belongs to a mask.
    pub(crate) const fn entries(mask: u32) -> usize {
        1 << mask.count_ones()
    }

    /// The groups that a key with this word may be for.
    #[inline(always)]
    pub(crate) fn groups(self, word: u32) -> u32 {
        self.table.get(pick(word, self.mask) as usize).map_or(0, |groups| u32::from_le_bytes(*groups))
    }
}
