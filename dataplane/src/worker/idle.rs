//! What a worker does while its queues stay empty.

use crate::args::Idle;
use std::time::Duration;

/// Empty rounds before the first nap: about 20 microseconds of polling.
const ROUNDS_BEFORE_SLEEP: u32 = 256;
/// The longest nap. It bounds the latency that a sleeping worker adds, and the time that it takes to see an order.
const LONGEST_NAP: Duration = Duration::from_micros(200);

/// Counts empty rounds and backs off as the operator chose.
#[derive(Debug)]
pub(super) struct Backoff {
    idle: Idle,
    empty_rounds: u32,
}

impl Backoff {
    pub(super) fn new(idle: Idle) -> Backoff {
        Backoff { idle, empty_rounds: 0 }
    }

    /// There was work: the next rounds poll at full speed.
    pub(super) fn busy(&mut self) {
        self.empty_rounds = 0;
    }

    /// Nothing came: pause or sleep as fits. Returns whether it slept.
    pub(super) fn rest(&mut self) -> bool {
        match self.idle {
            Idle::Busy => return false,
            Idle::Pause => std::hint::spin_loop(),
            Idle::Sleep => {
                self.empty_rounds = self.empty_rounds.saturating_add(1);
                if let Some(nap) = nap(self.empty_rounds) {
                    std::thread::sleep(nap);
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }
}

/// How long to sleep after so many empty rounds: nothing, then 10 microseconds, doubling up to the longest nap.
fn nap(empty_rounds: u32) -> Option<Duration> {
    let naps = empty_rounds.checked_sub(ROUNDS_BEFORE_SLEEP)?;
    Some(Duration::from_micros(10 << naps.min(5)).min(LONGEST_NAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_grow_to_a_bound() {
        assert_eq!(nap(0), None);
        assert_eq!(nap(ROUNDS_BEFORE_SLEEP - 1), None);
        assert_eq!(nap(ROUNDS_BEFORE_SLEEP), Some(Duration::from_micros(10)));
        assert_eq!(nap(u32::MAX), Some(LONGEST_NAP));
    }
}
