//! Changes to a list that is compiled, without compiling it again.
//!
//! A [`Delta`] is what was added and removed since. It compiles to a small image of its own, which lies over the base: it has
//! those leaves of the base's trees anew whose rules changed, and trees of its own for the few rules that would change too many
//! leaves. A rule keeps its number as long as it lives: those of the base have their places in it, and each one added gets the
//! next number.
//!
//! ```text
//! header    magic, version, rules of the base, its bytes, rules added, bytes of the bitmap; of each family, words of the index
//!           and trees; 0 up to a cache line
//! index     of each family: for every 32 places of the base's leaves a bit for each that is written anew, and how many are
//!           before these 32: words of 64 bits
//! places    of each rule added, in their order: before which rule of the base it stands
//! numbers   of each rule added
//! removed   a bit for each rule of the base, the first in the lowest bit; or nothing, if all are there
//! leaves    an image as `layout` has it, on a cache line: its first roots are those of the trees, the others are the leaves in
//!           the order of their places
//! ```
//!
//! Ranks are those of the base, which have room in front of each rule.

mod overlay;

pub use overlay::{Changed, Overlay};

use crate::compile::{Change, Homes, Stock, Twigs, compile_over, homes};
use crate::layout::{LINE, NONE, Ranks, V4, V6};
use crate::verify::read_header;
use crate::{CompileError, Image, Limits, Rule};
use std::sync::Arc;

const MAGIC: u32 = 0x4444_4145;
const VERSION: u32 = 3;
const HEADER_BYTES: usize = LINE;
const HEADER_WORDS: usize = HEADER_BYTES / 4;

/// Where the parts of a compiled delta are, in bytes.
#[derive(Clone, Copy, Debug)]
struct Parts {
    index_at: [usize; 2],
    places_at: usize,
    numbers_at: usize,
    removed_at: usize,
    image_at: usize,
}

impl Parts {
    /// Of so many words of each index, rules added, and bytes of the bitmap. Numbers of 32 bits do not overflow here.
    fn new(index: [usize; 2], added: usize, removed: usize) -> Parts {
        let index_at = [HEADER_BYTES, HEADER_BYTES + 8 * index[0]];
        let places_at = index_at[1] + 8 * index[1];
        let numbers_at = places_at + 4 * added;
        let removed_at = numbers_at + 4 * added;
        let image_at = (removed_at + removed).next_multiple_of(LINE);
        Parts { index_at, places_at, numbers_at, removed_at, image_at }
    }
}

/// Why a rule cannot be added or removed. The fault is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// No rule has the number.
    #[error("there is no rule {0} in the list; it was removed, or never added")]
    NoSuchRule(u32),
    /// Numbers ran out.
    #[error("no more rules can be added; compile the list as it is now")]
    Full,
}

#[derive(Clone)]
struct Added {
    /// Before which rule of the base.
    place: u32,
    number: u32,
    rule: Rule,
}

/// Rules added to a compiled list and removed from it.
#[derive(Clone)]
pub struct Delta {
    rules: Arc<[Rule]>,
    base: u32,
    next: u32,
    image: Arc<Image>,
    homes: [Homes; 2],
    /// In the list's order.
    added: Vec<Added>,
    removed: Vec<u8>,
}

impl Delta {
    /// No changes yet to these rules, and what they were compiled to. It takes time by their number; a clone takes little.
    pub fn new(rules: Arc<[Rule]>, image: Arc<Image>) -> Delta {
        let (base, removed) = (rules.len() as u32, vec![0; rules.len().div_ceil(8)]);
        let homes = match read_header(image.as_bytes()) {
            Ok(layout) => {
                let bytes = image.as_bytes();
                [homes::<V4>(&rules, &layout, bytes), homes::<V6>(&rules, &layout, bytes)]
            }
            Err(_) => Default::default(),
        };
        Delta { base, next: base, rules, image, homes, added: Vec::new(), removed }
    }

    fn is_removed(&self, rule: u32) -> bool {
        self.removed[rule as usize / 8] >> (rule % 8) & 1 != 0
    }

    /// Adds a rule before another that is in the list, or (`None`) behind all. Returns its number.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn insert(&mut self, before: Option<u32>, rule: Rule) -> Result<u32, DeltaError> {
        let (at, place) = match before {
            None => (self.added.len(), self.base),
            Some(next) if next < self.base && !self.is_removed(next) => {
                (self.added.partition_point(|added| added.place <= next), next)
            }
            Some(next) => {
                let at = self.added.iter().position(|added| added.number == next);
                let at = at.ok_or(DeltaError::NoSuchRule(next))?;
                (at, self.added[at].place)
            }
        };
        let number = self.next;
        self.next = self.next.checked_add(1).filter(|next| *next < NONE).ok_or(DeltaError::Full)?;
        self.added.insert(at, Added { place, number, rule });
        Ok(number)
    }

    /// Removes a rule of the base, or one that was added.
    ///
    /// # Errors
    /// [`DeltaError::NoSuchRule`].
    pub fn remove(&mut self, rule: u32) -> Result<(), DeltaError> {
        if rule < self.base && !self.is_removed(rule) {
            self.removed[rule as usize / 8] |= 1 << (rule % 8);
            return Ok(());
        }
        let at = self.added.iter().position(|added| added.number == rule);
        self.added.remove(at.ok_or(DeltaError::NoSuchRule(rule))?);
        Ok(())
    }

    /// Rules added and removed: what the look-ups pay for.
    pub fn changes(&self) -> usize {
        self.added.len() + self.removed.iter().map(|bits| bits.count_ones() as usize).sum::<usize>()
    }

    /// The number that the next rule to be added gets; all that were ever given are below.
    pub const fn numbers(&self) -> u32 {
        self.next
    }

    /// The numbers of all rules that are in the list, in its order: what a new base is to be compiled of.
    pub fn order(&self) -> Vec<u32> {
        let added = self.added.iter().map(|added| (added.place, added.number));
        order(self.base, added, |rule| self.is_removed(rule))
    }

    /// Compiles the changes alone, for [`Overlay::verify`]. It takes time by their number; of the base, it takes a bit a
    /// rule.
    ///
    /// # Errors
    /// [`CompileError`]; among them [`CompileError::TooMuchChanged`], also where the image is not that of the rules.
    pub fn compile(&self, limits: Limits) -> Result<Image, CompileError> {
        let layout = read_header(self.image.as_bytes()).map_err(|_| CompileError::TooMuchChanged)?;
        let ranks = Ranks::of(self.rules.len());
        if layout.rules != self.rules.len() || self.added.len() as u32 >= ranks.low() {
            return Err(CompileError::TooMuchChanged);
        }
        let rules = &*self.rules;
        let stock = Stock { rules, ranks, layout: &layout, image: self.image.as_bytes(), homes: &self.homes };
        let added: Vec<(u32, Rule)> = self.added.iter().map(|added| (added.place, added.rule)).collect();
        let removed = if self.removed.iter().any(|bits| *bits != 0) { self.removed.as_slice() } else { &[] };
        let index = |twigs: &[Twigs; 2]| [0, 1].map(|family| twigs[family].index.len());
        let parts = |twigs: &[Twigs; 2]| Parts::new(index(twigs), added.len(), removed.len());
        let change = Change { added: &added, removed };
        let (mut image, twigs) = compile_over(&stock, change, limits, |twigs| parts(twigs).image_at)?;
        let (index, parts) = (index(&twigs), parts(&twigs));
        let bytes = image.as_bytes_mut();
        let mut put = |at: usize, words: &mut dyn Iterator<Item = u32>| {
            let places = bytes[at..].as_chunks_mut().0.iter_mut();
            places.zip(words).for_each(|(to, word)| *to = word.to_le_bytes());
        };
        let header =
            [MAGIC, VERSION, self.base, layout.bytes as u32, added.len() as u32, removed.len() as u32];
        let families = [0, 1].map(|family| [index[family] as u32, twigs[family].roots]);
        put(0, &mut header.into_iter().chain(families.into_iter().flatten()));
        for (at, twigs) in parts.index_at.into_iter().zip(&twigs) {
            put(at, &mut twigs.index.iter().flat_map(|word| [*word as u32, (*word >> 32) as u32]));
        }
        put(parts.places_at, &mut self.added.iter().map(|added| added.place));
        put(parts.numbers_at, &mut self.added.iter().map(|added| added.number));
        bytes[parts.removed_at..][..removed.len()].copy_from_slice(removed);
        Ok(image)
    }
}

/// The numbers of the rules of a changed list: of those added, each with its place and in their order, and of those of
/// the base that are still there.
fn order(base: u32, added: impl Iterator<Item = (u32, u32)>, is_removed: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut order = Vec::new();
    let mut added = added.peekable();
    for rule in 0..=base {
        while let Some((_, number)) = added.next_if(|(place, _)| *place <= rule) {
            order.push(number);
        }
        if rule < base && !is_removed(rule) {
            order.push(rule);
        }
    }
    order
}
