//! Where replay windows go: a heap of powers of two, in the data plane's own memory.
//!
//! Windows are packed, not spread one to a page, so that many SAs share pages and do not fight for the same lines of a
//! cache.

use crate::sa::MAX_WINDOW_WORDS;

/// Words of the smallest piece: a cache line.
const SMALLEST: usize = 8;
/// Sizes that there are.
const CLASSES: usize = (MAX_WINDOW_WORDS / SMALLEST).trailing_zeros() as usize + 1;

/// The places that are free.
#[derive(Debug)]
pub(crate) struct Windows {
    /// All words from here on were never used.
    untouched: usize,
    len: usize,
    /// Pieces given back, by the logarithm of their size.
    free: [Vec<usize>; CLASSES],
}

impl Windows {
    /// A heap of `len` words.
    pub(crate) fn new(len: usize) -> Windows {
        Windows { untouched: 0, len, free: std::array::from_fn(|_| Vec::new()) }
    }

    fn class(words: usize) -> Option<usize> {
        let class = (words.next_power_of_two().max(SMALLEST) / SMALLEST).trailing_zeros() as usize;
        (class < CLASSES).then_some(class)
    }

    /// The offset of so many words, aligned to their number or a cache line; `None` if there is no room.
    pub(crate) fn take(&mut self, words: usize) -> Option<usize> {
        let class = Windows::class(words)?;
        if let Some(offset) = self.free.get_mut(class)?.pop() {
            return Some(offset);
        }
        let size = SMALLEST << class;
        // What alignment skips is not lost: it is free pieces of smaller sizes.
        while !self.untouched.is_multiple_of(size) {
            let step = (self.untouched / SMALLEST).trailing_zeros() as usize;
            if self.untouched + (SMALLEST << step) > self.len {
                return None;
            }
            self.free.get_mut(step)?.push(self.untouched);
            self.untouched += SMALLEST << step;
        }
        let offset = self.untouched;
        if offset + size <= self.len {
            self.untouched += size;
            return Some(offset);
        }
        // The region is used up: split a larger piece.
        let larger = (class + 1..CLASSES).find(|&c| self.free.get(c).is_some_and(|free| !free.is_empty()))?;
        let offset = self.free.get_mut(larger)?.pop()?;
        for c in class..larger {
            self.free.get_mut(c)?.push(offset + (SMALLEST << c));
        }
        Some(offset)
    }

    /// Gives a piece back. No words is nothing.
    pub(crate) fn free(&mut self, offset: usize, words: usize) {
        if words == 0 {
            return;
        }
        if let Some(free) = Windows::class(words).and_then(|class| self.free.get_mut(class)) {
            free.push(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Pieces never overlap, are inside, and are aligned; a region with room for the widest window of every SA is
        /// enough for any mixture.
        #[test]
        fn pieces_do_not_overlap(steps in prop::collection::vec((0..16_usize, 0..=12_u32), 1..400)) {
            let len = 16 * MAX_WINDOW_WORDS;
            let mut windows = Windows::new(len);
            let mut taken: [Option<(usize, usize)>; 16] = [None; 16];
            for (who, log) in steps {
                if let Some((offset, words)) = taken[who].take() {
                    windows.free(offset, words);
                }
                let words = 1_usize << log;
                let offset = windows.take(words);
                if let Some(offset) = offset {
                    prop_assert!(offset + words <= len);
                    prop_assert_eq!(offset % SMALLEST, 0);
                    for (other, size) in taken.iter().flatten() {
                        prop_assert!(offset + words.max(SMALLEST) <= *other || other + size.max(&SMALLEST) <= offset);
                    }
                    taken[who] = Some((offset, words));
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        let mut windows = Windows::new(4 * 256);
        let places: Vec<_> = (0..4).map(|_| windows.take(256).unwrap()).collect();
        assert_eq!(windows.take(8), None);
        windows.free(places[2], 256);
        assert_eq!(windows.take(8), Some(places[2]));
        assert_eq!(windows.take(128), Some(places[2] + 128));
        assert_eq!(windows.take(256), None);
    }
}
