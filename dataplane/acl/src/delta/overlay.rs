//! A verified delta, and look-ups through it.

use super::{HEADER_BYTES, HEADER_WORDS, MAGIC, Parts, VERSION, order};
use crate::key::Words;
use crate::layout::{Entry, GROUPS, NONE, Ranks, V4, V6};
use crate::lookup::{BURST, Burst, Filter, Grafts, Tables, action_of};
use crate::shape::trees_of;
use crate::verify::read_header;
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
    base_bytes: u32,
    parts: Parts,
    /// Words of each family's index.
    index: [usize; 2],
    /// Of each family's index.
    filters: [Filter; 2],
    /// Trees of each family.
    roots: [usize; 2],
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
        let [magic, version, base, base_bytes, added, removed, index4, roots4, index6, roots6, rest @ ..] =
            header;
        if magic != MAGIC {
            return Err(VerifyError::Magic);
        }
        if version != VERSION {
            return Err(VerifyError::Version(version));
        }
        let (added, removed) = (added as usize, removed as usize);
        let (index, roots) = ([index4 as usize, index6 as usize], [roots4 as usize, roots6 as usize]);
        let bitmap = (base as usize).div_ceil(8);
        if rest.iter().any(|word| *word != 0)
            || base as usize > Entry::PLACES
            || !(removed == 0 || removed == bitmap)
            || roots.iter().any(|roots| *roots > GROUPS)
        {
            return Err(VerifyError::Header);
        }
        let parts = Parts::new(index, added, removed);
        let layout = read_header(all.get(parts.image_at..).ok_or(VerifyError::Length)?)?;
        let ranks = Ranks::of(base as usize);
        if layout.rules != added || layout.ranks != ranks {
            return Err(VerifyError::Header);
        }
        let sound = |rank: u32| match ranks.added(rank) {
            Some(index) => (index as usize) < added && ranks.place(rank) <= base,
            None => ranks.sound(rank, base as usize),
        };
        let leaves = layout.families.map(|family| family.ends[0] as usize);
        let added_ones = Classifier::verify_ranks(Inner { bytes, at: parts.image_at }, layout, sound)?;
        let filters = Default::default();
        let mut overlay =
            Overlay { base, base_bytes, parts, index, filters, roots, removed, added: added_ones };
        for (family, all) in leaves.into_iter().enumerate() {
            let leaves = all.checked_sub(roots[family]).ok_or(VerifyError::Header)?;
            let mut before = 0_u64;
            let mut filter = Filter::default();
            for (place, word) in overlay.index(family).iter().enumerate() {
                let word = u64::from_le_bytes(*word);
                if word >> 32 != before {
                    return Err(VerifyError::Header);
                }
                before += u64::from((word as u32).count_ones());
                filter[place % filter.len()] |= word as u32;
            }
            overlay.filters[family] = filter;
            if before != leaves as u64 {
                return Err(VerifyError::Header);
            }
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

    /// The trees of rules that would change too many leaves of the base.
    pub fn trees(&self) -> Vec<TreeShape> {
        trees_of(self.tables(0), self.tables(1))
    }

    /// Whether a rule asks for TCP flags or a traffic class.
    pub const fn asks_marks(&self) -> bool {
        self.added.asks_marks()
    }

    /// Leaves of the base that are written anew.
    pub fn leaves(&self) -> usize {
        (0..2).map(|family| (self.added.tables(family).roots).saturating_sub(self.roots[family])).sum()
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

    /// The list that the delta makes of its base; `None` if that has not as many rules or bytes as it should.
    #[inline]
    pub fn over<'a, B: AsRef<[u8]>>(&'a self, base: &'a Classifier<B>) -> Option<Changed<'a, B, D>> {
        (base.rules() == self.base && base.bytes() == self.base_bytes as usize)
            .then_some(Changed { base, overlay: self })
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

    #[inline(always)]
    fn index(&self, family: usize) -> &[[u8; 8]] {
        self.part(self.parts.index_at[family], 8 * self.index[family]).as_chunks().0
    }

    /// The trees of a family.
    #[inline(always)]
    fn tables(&self, family: usize) -> Tables<'_> {
        Tables { roots: self.roots[family], ..self.added.tables(family) }
    }

    /// The leaves of a family that are written anew, if any are.
    #[inline(always)]
    fn grafts(&self, family: usize) -> Option<Grafts<'_>> {
        let (index, tables) = (self.index(family), self.added.tables(family));
        let leaves = tables.entries.get(self.roots[family]..).unwrap_or_default();
        (!index.is_empty()).then_some(Grafts { filter: &self.filters[family], index, leaves, tables })
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
        let Overlay { parts, added, .. } = self.overlay;
        let (tables, grafts) = (self.overlay.tables(family), self.overlay.grafts(family));
        let ranks = added.ranks();
        let mut burst = Burst::new();
        for (keys, verdicts) in keys.chunks(BURST).zip(verdicts.chunks_mut(BURST)) {
            self.base.fill(keys, verdicts.len(), &mut burst);
            let verdicts = &mut verdicts[..burst.count];
            let mut best = [NONE; BURST];
            if tables.roots > 0 {
                added.find_in(tables, None, &burst, &mut best);
            }
            self.base.find(family, grafts, &burst, &mut best);
            let mut of_added = self.base.write(&best, verdicts);
            while of_added != 0 {
                let slot = of_added.trailing_zeros() as usize;
                of_added &= of_added - 1;
                let Some(index) = ranks.added(best[slot % BURST]) else { continue };
                let number = self.overlay.word(parts.numbers_at, index);
                let verdict = number
                    .map_or(Verdict::NONE, |number| Verdict::new(number, action_of(added.actions(), index)));
                verdicts.get_mut(slot).into_iter().for_each(|to| *to = verdict);
            }
        }
    }
}
