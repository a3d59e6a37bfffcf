//! A verified image, ready for look-ups.

use crate::block::{self, Blocks};
use crate::key::Words;
use crate::layout::{
    ACTION_BYTES, ENTRY_BYTES, Family, GROUPS, HEADER_WORDS, Layout, NONE, Ranks, V4, V6, action,
};
use crate::lookup::{BURST, BackEnd, Burst, Grafts, Tables};
use crate::verify::{VerifyError, read_header, verify_family};
use crate::{Depth, KeyV4, KeyV6, Verdict};

/// A verified image, over whatever holds its bytes.
#[derive(Debug)]
pub struct Classifier<B> {
    bytes: B,
    layout: Layout,
    depths: [Depth; 2],
    back_end: BackEnd,
}

impl<B: AsRef<[u8]>> Classifier<B> {
    /// Checks an image that may be anything, in time linear in its size, and takes it over. The bytes must not change
    /// afterwards; should they, look-ups give wrong verdicts, and still end and stay inside.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(bytes: B) -> Result<Classifier<B>, VerifyError> {
        let layout = read_header(bytes.as_ref())?;
        let ranks = Ranks::of(layout.rules);
        if layout.ranks != ranks || layout.families.iter().any(|family| family.ends[0] as usize > GROUPS) {
            return Err(VerifyError::Header);
        }
        Classifier::verify_ranks(bytes, layout, |rank| ranks.sound(rank, layout.rules))
    }

    /// The same of the rest, where the header is sound, and a rank is what `sound` says.
    pub(crate) fn verify_ranks(
        bytes: B,
        layout: Layout,
        sound: impl Fn(u32) -> bool + Copy,
    ) -> Result<Classifier<B>, VerifyError> {
        let depths = [Depth::Addresses; 2];
        let mut classifier = Classifier { bytes, layout, depths, back_end: BackEnd::best() };
        let actions = classifier.actions();
        for (rule, stored) in actions.iter().enumerate() {
            let well = match rule < layout.rules {
                true => action::read(action::words(*stored)).is_some(),
                false => action::words(*stored) == action::NO_RULE,
            };
            if !well {
                return Err(VerifyError::Rule(rule as u32));
            }
        }
        classifier.depths = [
            verify_family::<V4>(classifier.tables(0), sound)?,
            verify_family::<V6>(classifier.tables(1), sound)?,
        ];
        Ok(classifier)
    }

    /// The same, looked up by other instructions than the best.
    pub fn with(self, back_end: BackEnd) -> Classifier<B> {
        Classifier { back_end, ..self }
    }

    /// Rules of the list.
    pub const fn rules(&self) -> u32 {
        self.layout.rules as u32
    }

    /// How far into IPv4 packets its rules look.
    pub const fn depth_v4(&self) -> Depth {
        self.depths[0]
    }

    /// How far into IPv6 packets its rules look.
    pub const fn depth_v6(&self) -> Depth {
        self.depths[1]
    }

    /// Bytes of the image.
    pub(crate) const fn bytes(&self) -> usize {
        self.layout.bytes
    }

    pub(crate) const fn ranks(&self) -> Ranks {
        self.layout.ranks
    }

    /// Whether a rule asks for TCP flags or a traffic class: if none does, keys need not have them.
    pub const fn asks_marks(&self) -> bool {
        self.layout.families[0].marked || self.layout.families[1].marked
    }

    /// What holds the bytes.
    pub const fn image(&self) -> &B {
        &self.bytes
    }

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
        let mut burst = Burst::new();
        for (keys, verdicts) in keys.chunks(BURST).zip(verdicts.chunks_mut(BURST)) {
            self.fill(keys, verdicts.len(), &mut burst);
            let mut best = [NONE; BURST];
            self.find(family, None, &burst, &mut best);
            self.write(&best, &mut verdicts[..burst.count]);
        }
    }

    /// The first keys as a burst, but no more than there are verdicts for.
    #[inline(always)]
    pub(crate) fn fill<K: Words<N>, const N: usize>(
        &self,
        keys: &[K],
        verdicts: usize,
        burst: &mut Burst<N>,
    ) {
        burst.count = keys.len().min(verdicts).min(BURST);
        K::fill(self.back_end, &keys[..burst.count], burst);
    }

    /// Puts the rank of the first rule for each key into its place of `best`, where it is before what stands there.
    #[inline(always)]
    pub(crate) fn find<const N: usize>(
        &self,
        family: usize,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        self.find_in(self.tables(family), grafts, burst, best);
    }

    /// The same in other tables.
    #[inline(always)]
    pub(crate) fn find_in<const N: usize>(
        &self,
        tables: Tables<'_>,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        self.back_end.search(tables, grafts, burst, best);
    }

    /// Fills in the verdicts for these ranks, or that there is none. Returns a bit for each of a rule that was added.
    #[inline(always)]
    pub(crate) fn write(&self, best: &[u32; BURST], verdicts: &mut [Verdict]) -> u32 {
        self.back_end.write(self.actions(), self.layout.ranks, best, verdicts)
    }

    #[inline(always)]
    pub(crate) fn tables(&self, family: usize) -> Tables<'_> {
        tables(&self.layout, self.bytes.as_ref(), family)
    }

    /// What becomes of a packet, by rules; and last, if there is no rule for it.
    #[inline(always)]
    pub(crate) fn actions(&self) -> &[[u8; ACTION_BYTES]] {
        let len = (self.layout.rules + 1) * ACTION_BYTES;
        self.bytes.as_ref().get(HEADER_WORDS * 4..HEADER_WORDS * 4 + len).unwrap_or_default().as_chunks().0
    }
}

/// The tables of a family in an image.
#[inline(always)]
pub(crate) fn tables<'a>(layout: &'a Layout, image: &'a [u8], family: usize) -> Tables<'a> {
    let Family { entries, blocks, marked, ref ends, entries_at, blocks_at } = layout.families[family];
    let part = |at: usize, len: usize| image.get(at..at + len).unwrap_or_default();
    Tables {
        roots: ends[0] as usize,
        ends,
        entries: part(entries_at, entries * ENTRY_BYTES).as_chunks().0,
        blocks: Blocks::new(part(blocks_at, blocks * block::bytes([V4, V6][family], marked)), marked),
    }
}
