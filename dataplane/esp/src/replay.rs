//! The anti-replay window (RFC 4303, section 3.4.3), exact for several workers at once, without locks.
//!
//! The window is a ring of words. A word holds 32 neighbouring sequence numbers, a *block*: bits 32 to 63 are its tag, the
//! low 32 bits of the block's number (sequence number / 32); bits 0 to 31 say which of its sequence numbers were
//! seen. Block *b* lives in word *b* mod the number of words, and there are more words than the window spans blocks, so a
//! block that pushes another out is a whole window ahead of it. Nothing is ever cleared: what is pushed out is replaced.
//!
//! Marking a number as seen is a compare-and-exchange on one word, so of several workers that commit one number,
//! exactly one wins. `highest` is raised *before* the word is changed, so whoever sees a tag sees a `highest` that is not
//! below it; a tag is therefore always read as that many blocks *behind* `highest`, and needs only 32 bits. (A word that
//! nobody wrote to while 2^37 sequence numbers went by would be misread; the misreading refuses a packet, and can
//! never let one through twice.)

use crate::atomic::{AtomicU64, Ordering};

/// Sequence numbers per word.
const BLOCK: u64 = 32;

/// Numbers of one block that are accepted at once, at most: a bit each.
const MASKED: usize = 64;

/// Why a sequence number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Replay {
    /// It was accepted before.
    #[error("the sequence number was accepted before")]
    Seen,
    /// It lies left of the window.
    #[error("the sequence number lies left of the replay window")]
    TooOld,
}

/// The words that were lent are too few for the window, or their number is not a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a replay window of {window} packets wants a power of two of words, {} or more, not {words}", words_for(*window))]
pub struct WrongSize {
    /// Size of the window, in packets.
    pub window: u32,
    /// Words that were lent.
    pub words: usize,
}

/// How many words a window of so many packets needs: a power of two, or 0 for no window.
///
/// For multiples of 32 it is the next power of two above `window / 32`.
#[inline]
pub const fn words_for(window: u32) -> usize {
    if window == 0 { 0 } else { (window.div_ceil(BLOCK as u32) as usize + 1).next_power_of_two() }
}

/// The replay window of one inbound SA, over memory that it is lent (SA state in shared memory, mostly).
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    highest: &'a AtomicU64,
    words: &'a [AtomicU64],
    /// In packets; 0 is off.
    size: u64,
}

impl<'a> Window<'a> {
    /// A window of `window` packets over lent memory that was [`reset`](Window::reset) when the SA began.
    ///
    /// With a window of 0 nothing is refused, no word is used, and only `highest` is kept (for [`crate::sequence::infer`]).
    ///
    /// # Errors
    /// [`WrongSize`]: the number of words must be a power of two and at least [`words_for`]`(window)`.
    #[inline]
    pub const fn new(
        highest: &'a AtomicU64,
        words: &'a [AtomicU64],
        window: u32,
    ) -> Result<Window<'a>, WrongSize> {
        if window != 0 && (words.len() < words_for(window) || !words.len().is_power_of_two()) {
            return Err(WrongSize { window, words: words.len() });
        }
        Ok(Window { highest, words, size: window as u64 })
    }

    /// The highest sequence number that was accepted.
    #[inline]
    pub fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// Begins anew: everything up to and including `floor` counts as seen, so 0 (which no SA sends) is an empty window.
    ///
    /// Not for use while a worker has the SA.
    pub fn reset(&self, floor: u64) {
        self.highest.store(floor, Ordering::Relaxed);
        let last = floor / BLOCK;
        for (place, word) in self.words.iter().enumerate() {
            // The latest block, not after the floor's, that lives in this word. Before block 0 the tags wrap, rightly.
            let behind = last.wrapping_sub(place as u64) & self.mask();
            let tag = (last.wrapping_sub(behind) as u32 as u64) << 32;
            let seen = if behind == 0 {
                u64::from(u32::MAX) >> (BLOCK - 1 - floor % BLOCK)
            } else {
                u64::from(u32::MAX)
            };
            // Release: a worker that is handed the SA later sees all of it.
            word.store(tag | seen, Ordering::Release);
        }
    }

    #[inline]
    fn mask(&self) -> u64 {
        (self.words.len() as u64).wrapping_sub(1)
    }

    /// The word where a block lives.
    #[inline]
    fn word(&self, block: u64) -> Option<&'a AtomicU64> {
        self.words.get((block & self.mask()) as usize)
    }

    /// Whether a packet with this sequence number is worth opening. To be asked before; accepts nothing yet.
    ///
    /// # Errors
    /// [`Replay::Seen`], [`Replay::TooOld`].
    #[inline]
    pub fn check(&self, sequence: u64) -> Result<(), Replay> {
        if self.size == 0 || sequence > self.highest() {
            return Ok(());
        }
        let block = sequence / BLOCK;
        let Some(word) = self.word(block) else { return Ok(()) };
        let word = word.load(Ordering::Acquire);
        self.judge(word, sequence, block).map(|_| ())
    }

    /// Accepts the sequence number of a packet whose ICV has verified.
    ///
    /// Of all calls with one sequence number, by any worker, exactly one succeeds. Never call it before the ICV has
    /// verified: it moves the window.
    ///
    /// # Errors
    /// [`Replay::Seen`] and [`Replay::TooOld`]: another worker was quicker; the packet is to be dropped.
    #[inline]
    pub fn commit(&self, sequence: u64) -> Result<(), Replay> {
        if sequence > self.highest() {
            // Before the word: see above. Harmless if the number turns out to be seen: then it was raised before.
            self.highest.fetch_max(sequence, Ordering::Relaxed);
        }
        if self.size == 0 {
            return Ok(());
        }
        let block = sequence / BLOCK;
        let Some(word) = self.word(block) else { return Ok(()) };
        let mut old = word.load(Ordering::Acquire);
        loop {
            let new = self.judge(old, sequence, block)?;
            // Release: whoever sees the new tag sees `highest` raised.
            match word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => old = now,
            }
        }
    }

    /// Accepts the sequence numbers of a burst, as [`Window::commit`] would one after the other, and tells of each that is
    /// refused: its place, and why. Neighbours, which come one after the other mostly, are marked in their word at once.
    #[inline]
    pub fn commit_burst(&self, sequences: &[u64], mut refused: impl FnMut(usize, Replay)) {
        let (mut rest, mut at) = (sequences, 0);
        while let Some(first) = rest.first() {
            let block = first / BLOCK;
            // Within a narrower window than a block, one number may be too old for the next of its block.
            let most = if self.size < BLOCK { 1 } else { MASKED };
            let len = rest.iter().take(most).take_while(|&sequence| sequence / BLOCK == block).count();
            let (group, behind) = rest.split_at(len);
            let (seen, too_old) = self.commit_block(block, group);
            if seen | too_old != 0 {
                for place in 0..len {
                    match (seen >> place & 1, too_old >> place & 1) {
                        (0, 0) => {}
                        (_, 0) => refused(at + place, Replay::Seen),
                        _ => refused(at + place, Replay::TooOld),
                    }
                }
            }
            (rest, at) = (behind, at + len);
        }
    }

    /// Accepts up to 64 numbers of one block. Returns which were seen, and which are too old.
    #[inline]
    fn commit_block(&self, block: u64, group: &[u64]) -> (u64, u64) {
        let newest = group.iter().copied().max().unwrap_or_default();
        if newest > self.highest() {
            // As in `commit`.
            self.highest.fetch_max(newest, Ordering::Relaxed);
        }
        if self.size == 0 {
            return (0, 0);
        }
        let Some(word) = self.word(block) else { return (0, 0) };
        let mut old = word.load(Ordering::Acquire);
        loop {
            let (mut new, mut seen, mut too_old) = (old, 0, 0);
            for (place, &sequence) in group.iter().enumerate() {
                match self.judge(new, sequence, block) {
                    Ok(marked) => new = marked,
                    Err(Replay::Seen) => seen |= 1 << place,
                    Err(Replay::TooOld) => too_old |= 1 << place,
                }
            }
            if new == old {
                return (seen, too_old);
            }
            // As in `commit`.
            match word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return (seen, too_old),
                Err(now) => old = now,
            }
        }
    }

    /// What a word that was read (with `Acquire`, before this) becomes by accepting `sequence`.
    #[inline]
    fn judge(&self, word: u64, sequence: u64, block: u64) -> Result<u64, Replay> {
        let highest = self.highest().max(sequence);
        if highest - sequence >= self.size {
            return Err(Replay::TooOld);
        }
        let bit = 1 << (sequence % BLOCK);
        // How many blocks behind the highest one the word is, and we are.
        let word_age = ((highest / BLOCK) as u32).wrapping_sub((word >> 32) as u32);
        let our_age = (highest / BLOCK - block) as u32;
        if word_age == our_age {
            if word & bit == 0 { Ok(word | bit) } else { Err(Replay::Seen) }
        } else if word_age > our_age {
            Ok((block as u32 as u64) << 32 | bit)
        } else {
            // Pushed out by a block that is a window ahead.
            Err(Replay::TooOld)
        }
    }
}
#[cfg(test)]
#[cfg(loom)]
#[path = "replay_loom.rs"]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
#[path = "replay_tests.rs"]
mod tests;
