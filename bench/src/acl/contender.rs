//! Who takes part, and those of them that run in this process.

use crate::Error;
use crate::clock::{Lap, timed};
use crate::guard::Guard;
use acl::Verdict;
use std::hint::black_box;

/// The largest burst.
const MAX_BURST: usize = 256;
/// Packets of a lap, which is short so that a disturbed one is a small loss: the largest burst divides it.
const LAP: usize = 4 * MAX_BURST;
/// How often a lap is run again that somebody disturbed.
pub(super) const TRIES: usize = 5;

/// Clocks that a turn takes at least: first to bring its things back to the caches, then to measure; some milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Not counted.
    pub warm: u64,
    /// Counted.
    pub counted: u64,
}

impl Turn {
    /// The default.
    pub const USUAL: Turn = Turn { warm: 10_000_000, counted: 30_000_000 };
}

/// Somebody who classifies the packets of a case.
pub trait Contender {
    /// Its name in tables and files.
    fn name(&self) -> String;

    /// Takes its turn on the core. Clocks per packet.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it is a process and ended, [`Error::Interrupted`].
    fn turn(&mut self, turn: Turn, guard: &mut Guard) -> Result<f64, Error>;
}

/// A contender of this process. It goes through the trace, and where a turn ends the next goes on.
pub struct Local<'a, K, L> {
    name: String,
    look_up: L,
    keys: &'a [K],
    burst: usize,
    next: usize,
}

impl<'a, K, L: Fn(&[K], &mut [Verdict])> Local<'a, K, L> {
    /// Over these packets, so many at a time. `look_up` gives a verdict for each key.
    pub fn new(name: impl Into<String>, look_up: L, keys: &'a [K], burst: usize) -> Local<'a, K, L> {
        Local { name: name.into(), look_up, keys, burst: burst.clamp(1, MAX_BURST), next: 0 }
    }

    /// The next packets of the trace.
    fn deal(&mut self) -> &'a [K] {
        let left = self.keys.get(self.next..).unwrap_or_default();
        let keys = left.get(..LAP).unwrap_or(left);
        self.next = if keys.len() == left.len() { 0 } else { self.next + keys.len() };
        keys
    }

    fn lap(&self, keys: &[K]) -> Lap {
        let mut verdicts = [Verdict::NONE; MAX_BURST];
        timed(|| {
            for burst in keys.chunks(self.burst) {
                (self.look_up)(black_box(burst), &mut verdicts);
                black_box(&mut verdicts);
            }
            0
        })
    }
}

impl<K, L: Fn(&[K], &mut [Verdict])> Contender for Local<'_, K, L> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn turn(&mut self, turn: Turn, guard: &mut Guard) -> Result<f64, Error> {
        let mut warm = 0;
        while warm < turn.warm {
            let keys = self.deal();
            warm += self.lap(keys).clocks.max(1);
        }
        let (mut clocks, mut packets) = (0, 0);
        while clocks < turn.counted {
            let keys = self.deal();
            for attempt in 1..=TRIES {
                let (lap, trusted) = guard.watch(|| self.lap(keys));
                if trusted || attempt == TRIES {
                    clocks += lap.clocks.max(1);
                    packets += keys.len();
                    break;
                }
            }
        }
        Ok(clocks as f64 / packets as f64)
    }
}
