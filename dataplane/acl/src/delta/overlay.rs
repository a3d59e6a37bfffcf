//! A verified delta, and look-ups through it.

use super::{Cuts, HEADER_BYTES, HEADER_WORDS, MAGIC, Parts, VERSION, order};
use crate::key::Words;
use crate::layout::{Entry, NONE, V4, V6};
use crate::lookup::{BURST, Burst, Removed, action_of, slots};
use crate::sieve::{FIELD_BITS, FIELDS, Field};
use crate::{BackEnd, Classifier, Depth, KeyV4, KeyV6, TreeShape, Verdict, VerifyError};
use std::array::from_fn;

/// The image inside of a delta.
#[derive(Debug)]
struct Inner<D> {
    bytes: D,
    at: usize,
}

impl<D: AsRef<[u8]>> AsRef<[u8]> for Inner<D> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref().get(self.at..).unwrap_or_default()
    }
}

/// A verified delta, over whatever holds its bytes.
#[derive(Debug)]
pub struct Overlay<D> {
    base: u32,
    cuts: Cuts,
    parts: Parts,
    removed: usize,
    added: Classifier<Inner<D>>,
}

impl<D: AsRef<[u8]>> Overlay<D> {
    /// Checks a compiled delta that may be anything, in time linear in its size, and takes it over, as
    /// [`Classifier::verify`] does an image.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(bytes: D) -> Result<Overlay<D>, VerifyError> {
        let all = bytes.as_ref();
        let header = all.first_chunk::<HEADER_BYTES>().ok_or(VerifyError::Length)?;
        let header: [u32; HEADER_WORDS] = from_fn(|word| u32::from_le_bytes(header.as_chunks().0[word]));
        let [magic, version, base, added, removed, rest @ ..] = header;
        if magic != MAGIC {
            return Err(VerifyError::Magic);
        }
        if version != VERSION {
            return Err(VerifyError::Version(version));
        }
        let (added, removed) = (added as usize, removed as usize);
        let bitmap = (base as usize).div_ceil(8);
        let (fields, rest) = rest.as_chunks::<2>();
        let (fields, more) = fields.split_at(2 * FIELDS);
        let cuts = from_fn(|family| {
            from_fn(|field| {
                let [word, mask] = fields[family * FIELDS + field];
                (word as usize, mask)
            })
        });
        let sound = |(family, cuts): (usize, &[(usize, u32); FIELDS])| {
            cuts.iter().all(|(word, mask)| *word < [V4, V6][family] && mask.count_ones() <= FIELD_BITS)
        };
        if more.as_flattened().iter().chain(rest).any(|word| *word != 0)
            || base as usize > Entry::PLACES
            || !(removed == 0 || removed == bitmap)
            || !cuts.iter().enumerate().all(sound)
        {
            return Err(VerifyError::Header);
        }
        let parts = Parts::new(&cuts, added, removed);
        if parts.image_at > all.len() {
            return Err(VerifyError::Length);
        }
        let overlay = Overlay {
            base,
            cuts,
            parts,
            removed,
            added: Classifier::verify(Inner { bytes, at: parts.image_at })?,
        };
        if overlay.added.rules() as usize != added {
            return Err(VerifyError::Header);
        }
        let mut before = 0;
        for rule in 0..added as u32 {
            match (overlay.word(parts.places_at, rule), overlay.word(parts.numbers_at, rule)) {
                (Some(place), Some(number)) if before <= place && place <= base && number >= base => {
                    before = place;
                }
                _ => return Err(VerifyError::Rule(rule)),
            }
        }
        Ok(overlay)
    }

    /// The same, looked up by other instructions than the best.
    pub fn with(self, back_end: BackEnd) -> Overlay<D> {
        Overlay { added: self.added.with(back_end), ..self }
    }

    /// The numbers of all rules, of the base and added, are below.
    pub fn numbers(&self) -> u32 {
        let numbers = (0..self.added.rules()).filter_map(|rule| self.word(self.parts.numbers_at, rule));
        numbers.map(|number| number.saturating_add(1)).fold(self.base, u32::max)
    }

    /// Rules of the base.
    pub const fn base(&self) -> u32 {
        self.base
    }

    /// Rules that were added.
    pub const fn added(&self) -> u32 {
        self.added.rules()
    }

    /// Rules of the base that were removed.
    pub fn removed(&self) -> u32 {
        (0..self.base).filter(|rule| self.is_removed(*rule)).count() as u32
    }

    /// The numbers of all rules of the changed list, in its order, as [`Delta::order`](super::Delta::order) gives them.
    pub fn order(&self) -> Vec<u32> {
        let added = (0..self.added.rules()).filter_map(|rule| {
            Some((self.word(self.parts.places_at, rule)?, self.word(self.parts.numbers_at, rule)?))
        });
        order(self.base, added, |rule| self.is_removed(rule))
    }

    fn is_removed(&self, rule: u32) -> bool {
        let place = rule as usize / 8;
        let bits = if place < self.removed {
            self.image().as_ref().get(self.parts.removed_at + place)
        } else {
            None
        };
        bits.is_some_and(|bits| bits >> (rule % 8) & 1 != 0)
    }

    /// The trees of the added rules.
    pub fn trees(&self) -> Vec<TreeShape> {
        self.added.trees()
    }

    /// How far into IPv4 packets the added rules look.
    pub const fn depth_v4(&self) -> Depth {
        self.added.depth_v4()
    }

    /// How far into IPv6 packets the added rules look.
    pub const fn depth_v6(&self) -> Depth {
        self.added.depth_v6()
    }

    /// What holds the bytes.
    pub const fn image(&self) -> &D {
        &self.added.image().bytes
    }

    /// The list that the delta makes of its base; `None` if that has not as many rules as it should.
    #[inline]
    pub fn over<'a, B: AsRef<[u8]>>(&'a self, base: &'a Classifier<B>) -> Option<Changed<'a, B, D>> {
        (base.rules() == self.base).then_some(Changed { base, overlay: self })
    }

    /// A word of a rule that was added.
    #[inline(always)]
    fn word(&self, at: usize, rule: u32) -> Option<u32> {
        if rule >= self.added.rules() {
            return None;
        }
        let bytes = self.image().as_ref();
        bytes.get(at + 4 * rule as usize..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
    }

    #[inline(always)]
    fn part(&self, at: usize, len: usize) -> &[u8] {
        self.image().as_ref().get(at..at + len).unwrap_or_default()
    }

    /// The sieve of a family.
    #[inline(always)]
    fn fields(&self, family: usize) -> [Field<'_>; FIELDS] {
        from_fn(|field| {
            let (word, mask) = self.cuts[family][field];
            let at = self.parts.fields_at[family][field];
            Field { word, mask, table: self.part(at, 4 * Field::entries(mask)).as_chunks().0 }
        })
    }
}

/// A compiled list with its changes. Verdicts have the rules' numbers, as [`Delta`](super::Delta) gives them.
#[derive(Debug)]
pub struct Changed<'a, B, D> {
    base: &'a Classifier<B>,
    overlay: &'a Overlay<D>,
}

impl<B: AsRef<[u8]>, D: AsRef<[u8]>> Changed<'_, B, D> {
    /// A verdict for each IPv4 key, as far as both slices go.
    #[inline]
    pub fn lookup_v4(&self, keys: &[KeyV4], verdicts: &mut [Verdict]) {
        self.lookup::<KeyV4, V4>(0, keys, verdicts);
    }

    /// A verdict for each IPv6 key, as far as both slices go.
    #[inline]
    pub fn lookup_v6(&self, keys: &[KeyV6], verdicts: &mut [Verdict]) {
        self.lookup::<KeyV6, V6>(1, keys, verdicts);
    }

    fn lookup<K: Words<N>, const N: usize>(&self, family: usize, keys: &[K], verdicts: &mut [Verdict]) {
        let Overlay { parts, removed, added, .. } = self.overlay;
        let removed = Removed(self.overlay.part(parts.removed_at, *removed));
        let fields = self.overlay.fields(family);
        let of_added = |at: usize| self.overlay.part(at, 4 * added.rules() as usize).as_chunks().0;
        let (places_of, numbers_of): (&[[u8; 4]], &[[u8; 4]]) =
            (of_added(parts.places_at), of_added(parts.numbers_at));
        let mut burst = Burst::new();
        for (keys, verdicts) in keys.chunks(BURST).zip(verdicts.chunks_mut(BURST)) {
            self.base.fill(keys, verdicts.len(), &mut burst);
            let verdicts = &mut verdicts[..burst.count];
            let mut new = [NONE; BURST];
            // A rule that was added stands before the one at its place, so only those before that are better.
            let mut best = [NONE; BURST];
            let through = added.sift(family, &fields, &burst, &mut new);
            slots(through).for_each(|slot| best[slot] = word(places_of, new[slot]));
            let places = best;
            self.base.find(family, &burst, &mut best);
            self.base.write(&best, verdicts);
            // Rules that were removed are in the sieve, so what did not get through is for none of them.
            for slot in slots(through) {
                if best[slot] != places[slot] && removed.has(best[slot]) {
                    best[slot] = places[slot];
                    self.base.find_again(family, removed, &burst, 1 << slot, &mut best);
                } else if best[slot] != places[slot] {
                    continue;
                }
                let added_one = if best[slot] == places[slot] { new[slot] } else { NONE };
                let verdict = match word(numbers_of, added_one) {
                    NONE => Verdict::new(best[slot], action_of(self.base.actions(), best[slot])),
                    number => Verdict::new(number, action_of(added.actions(), added_one)),
                };
                verdicts.get_mut(slot).into_iter().for_each(|to| *to = verdict);
            }
        }
    }
}

/// The word of a rule, or [`NONE`] if there is no such rule.
#[inline(always)]
fn word(words: &[[u8; 4]], rule: u32) -> u32 {
    let last = words.len().saturating_sub(1);
    let word = words.get((rule as usize).min(last)).map_or(NONE, |word| u32::from_le_bytes(*word));
    word | u32::from(rule as usize > last).wrapping_neg()
}
