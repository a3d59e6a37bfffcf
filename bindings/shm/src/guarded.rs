//! A few words that are read as one, though no reader ever makes the writer wait: a sequence lock.

use crate::sync::{AtomicU64, Ordering, fence, spin_loop};

/// How often a reader tries before it gives up: a writer that died in the middle must not hang anybody.
#[cfg(not(loom))]
const TRIES: usize = 10_000;
#[cfg(loom)]
const TRIES: usize = 3;

/// Words that change together. Written by one thread, read by any thread of any process.
#[repr(C)]
pub(crate) struct Guarded<const WORDS: usize> {
    /// Odd while the words are being written.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Guarded<WORDS> {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Guarded { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Writes all words. One thread only: two at once would leave a mixture of both.
    pub(crate) fn write(&self, words: &[u64; WORDS]) {
        let version = self.version.load(Ordering::Relaxed) | 1;
        self.version.store(version, Ordering::Relaxed);
        // Whoever sees one of the words below sees the odd version too.
        fence(Ordering::Release);
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(1), Ordering::Release);
    }

    /// All words as one write left them; `None` if the writer is always in the middle, because it died there or means
    /// harm.
    pub(crate) fn read(&self) -> Option<[u64; WORDS]> {
        for _ in 0..TRIES {
            let before = self.version.load(Ordering::Acquire);
            if before & 1 == 0 {
                let mut words = [0; WORDS];
                for (word, cell) in words.iter_mut().zip(&self.words) {
                    *word = cell.load(Ordering::Relaxed);
                }
                // The words were read before the version is read again.
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return Some(words);
                }
            }
            spin_loop();
        }
        None
    }
}
