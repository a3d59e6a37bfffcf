//! Changes to a list that is compiled, without compiling it again.
//!
//! A [`Delta`] is what was added and removed since. It compiles to a small image of its own, which lies over the base:
//! the added rules are looked up beside it, and those removed are passed over. A rule keeps its number as long as it
//! lives: those of the base have their places in it, and each one added gets the next number.
//!
//! ```text
//! header    magic, version, rules of the base, rules added, bytes of the bitmap; of each family the sieve's fields: which
//!           word, and which of its bits; 0 up to a cache line
//! sieves    the tables of each family's fields
//! places    of each rule added, in their order: before which rule of the base it stands
//! numbers   of each rule added
//! removed   a bit for each rule of the base, the first in the lowest bit; or nothing, if all are there
//! added     an image as `layout` has it, on a cache line
//! ```
//!
//! Most packets are for no rule that was added or removed. So these are parted into groups, a tree for the added ones of each,
//! and a [sieve](crate::sieve) says of each key which of them it may be for: what is for none has the verdict of the base.

mod overlay;

pub use overlay::{Changed, Overlay};

use crate::compile::{Sample, compile_over};
use crate::layout::{LINE, NONE};
use crate::sieve::{FIELDS, Field};
use crate::{CompileError, Image, Limits, Rule};
use std::sync::Arc;

const MAGIC: u32 = 0x4444_4145;
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 2 * LINE;
const HEADER_WORDS: usize = HEADER_BYTES / 4;

/// The words and bits that the fields of each family's sieve look at.
type Cuts = [[(usize, u32); FIELDS]; 2];

/// Where the parts of a compiled delta are, in bytes.
#[derive(Clone, Copy, Debug)]
struct Parts {
    fields_at: [[usize; FIELDS]; 2],
    places_at: usize,
    numbers_at: usize,
    removed_at: usize,
    image_at: usize,
}

impl Parts {
    fn new(cuts: &Cuts, added: usize, removed: usize) -> Parts {
        let mut at = HEADER_BYTES;
        let fields_at = cuts.map(|cuts| {
            cuts.map(|(_, mask)| {
                let field = at;
                at += 4 * Field::entries(mask);
                field
            })
        });
        let numbers_at = at + 4 * added;
        let removed_at = numbers_at + 4 * added;
        let image_at = (removed_at + removed).next_multiple_of(LINE);
        Parts { fields_at, places_at: at, numbers_at, removed_at, image_at }
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
    sample: Sample,
    /// In the list's order.
    added: Vec<Added>,
    removed: Vec<u8>,
}

impl Delta {
    /// No changes yet to these rules.
    pub fn new(rules: Arc<[Rule]>) -> Delta {
        let (base, removed) = (rules.len() as u32, vec![0; rules.len().div_ceil(8)]);
        Delta { base, next: base, sample: Sample::of(&rules), rules, added: Vec::new(), removed }
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

    /// The rules of the base that were removed.
    fn removed_ones(&self) -> impl Iterator<Item = u32> {
        let bytes = (0..).zip(&self.removed).filter(|(_, bits)| **bits != 0);
        bytes.flat_map(|(byte, bits)| {
            (0..8).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| 8 * byte + bit)
        })
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
    /// [`CompileError`].
    pub fn compile(&self, limits: Limits) -> Result<Image, CompileError> {
        let rules: Vec<Rule> = self.added.iter().map(|added| added.rule).collect();
        let gone: Vec<Rule> =
            self.removed_ones().filter_map(|rule| self.rules.get(rule as usize)).copied().collect();
        let (image, sieves) = compile_over(&self.sample, &rules, &gone, limits)?;
        let removed = if self.removed.iter().any(|bits| *bits != 0) { self.removed.as_slice() } else { &[] };
        let cuts = [sieves[0].cuts, sieves[1].cuts];
        let parts = Parts::new(&cuts, rules.len(), removed.len());
        let len = parts.image_at + image.as_bytes().len();
        if len > limits.bytes {
            return Err(CompileError::TooLarge { limit: limits.bytes });
        }
        let mut whole = Image::zeroed(len);
        let bytes = whole.as_bytes_mut();
        let header = [MAGIC, VERSION, self.base, rules.len() as u32, removed.len() as u32];
        let mut put = |at: usize, words: &mut dyn Iterator<Item = u32>| {
            bytes[at..]
                .as_chunks_mut()
                .0
                .iter_mut()
                .zip(words)
                .for_each(|(to, word)| *to = word.to_le_bytes());
        };
        let cuts = cuts.as_flattened().iter().flat_map(|&(word, mask)| [word as u32, mask]);
        put(0, &mut header.into_iter().chain(cuts));
        put(HEADER_BYTES, &mut sieves.iter().flat_map(|sieve| sieve.tables.iter().copied()));
        put(parts.places_at, &mut self.added.iter().map(|added| added.place));
        put(parts.numbers_at, &mut self.added.iter().map(|added| added.number));
        bytes[parts.removed_at..][..removed.len()].copy_from_slice(removed);
        bytes[parts.image_at..].copy_from_slice(image.as_bytes());
        Ok(whole)
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
