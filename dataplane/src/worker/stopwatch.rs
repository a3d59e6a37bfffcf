//! Where a worker's clocks go, measured on one burst of several so that the measure costs nothing to speak of.

use crate::burst::Mask;
use shm::{Stage, WorkerCounters};

/// One burst of so many is timed.
const EVERY: u64 = 16;

/// Times the stages of one burst, or of none.
pub(crate) struct Stopwatch<'a> {
    counters: Option<&'a WorkerCounters>,
    last: u64,
}

impl<'a> Stopwatch<'a> {
    /// For the `number`th burst, which began at `now`.
    pub(super) fn start(counters: &'a WorkerCounters, number: u64, now: u64) -> Stopwatch<'a> {
        Stopwatch { counters: number.is_multiple_of(EVERY).then_some(counters), last: now }
    }

    /// For a burst whose time is not taken.
    pub(super) fn idle() -> Stopwatch<'a> {
        Stopwatch { counters: None, last: 0 }
    }

    /// The time since the last call was spent in `stage`, on the packets of `mask`.
    #[inline]
    pub(crate) fn lap(&mut self, stage: Stage, mask: Mask) {
        if let Some(counters) = self.counters {
            let now = dpdk::tsc();
            if mask != 0 {
                counters.stage(stage).record(u64::from(mask.count_ones()), now.wrapping_sub(self.last));
            }
            self.last = now;
        }
    }
}
