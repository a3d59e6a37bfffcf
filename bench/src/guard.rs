//! A guard against a machine that others work on too: a fixed loop before and behind each lap. Where it was slow against
//! its median the core was slow, or not ours alone, and the lap says nothing.

use crate::clock::{Lap, now, timed};
use crate::samples::median;
use std::collections::VecDeque;
use std::hint::black_box;

/// Steps of the loop: some thousand clocks.
const STEPS: u64 = 512;
/// How much slower than its median the loop may be.
const TOLERANCE: f64 = 1.1;
/// Loops that the median is of. A core that changes its pace for good is slow only until half of them are of the new one.
const RECENT: usize = 255;

/// How the loop did so far.
#[derive(Debug)]
pub struct Guard {
    recent: VecDeque<u64>,
    limit: u64,
    /// Clocks of a lap in which nothing is done.
    empty: u64,
    /// Laps that were watched.
    pub laps: u64,
    /// Those of them that said nothing.
    pub disturbed: u64,
}

impl Default for Guard {
    fn default() -> Guard {
        let clocks = |times, each: fn() -> u64| (0..times).map(|_| each()).collect::<Vec<_>>();
        let recent: VecDeque<u64> = clocks(RECENT, calibrate).into();
        let empty = middle(clocks(RECENT, || timed(|| 0).clocks));
        let limit = limit(&recent);
        Guard { recent, limit, empty, laps: 0, disturbed: 0 }
    }
}

impl Guard {
    /// Runs a lap between two loops. Its clocks, without those of the clock itself, and whether they can be trusted.
    pub fn watch(&mut self, lap: impl FnOnce() -> Lap) -> (Lap, bool) {
        let before = calibrate();
        let lap = lap();
        let behind = calibrate();
        let trusted = self.judge(before.max(behind));
        (Lap { clocks: lap.clocks.saturating_sub(self.empty), ..lap }, trusted)
    }

    /// The loop's median of late: the machine's pace.
    pub fn pace(&self) -> u64 {
        middle(self.recent.iter().copied().collect())
    }

    /// Whether a loop of so many clocks was as fast as usual.
    fn judge(&mut self, clocks: u64) -> bool {
        self.recent.pop_front();
        self.recent.push_back(clocks);
        self.laps += 1;
        if self.laps.is_multiple_of(16) {
            self.limit = limit(&self.recent);
        }
        let trusted = clocks <= self.limit;
        self.disturbed += u64::from(!trusted);
        trusted
    }
}

fn limit(recent: &VecDeque<u64>) -> u64 {
    (middle(recent.iter().copied().collect()) as f64 * TOLERANCE) as u64
}

fn middle(clocks: Vec<u64>) -> u64 {
    median(clocks.into_iter().map(|clocks| clocks as f64).collect()) as u64
}

/// The loop: four chains side by side, so that it is slow too when another thread has the core's other half.
fn calibrate() -> u64 {
    let begin = now();
    let mut chains = black_box([1_u64, 2, 3, 4]);
    for step in 0..STEPS {
        for chain in &mut chains {
            *chain = (*chain ^ step).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(7);
        }
    }
    black_box(chains);
    now().wrapping_sub(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrusts_what_is_slow_against_the_median_and_follows_a_new_pace() {
        let recent: VecDeque<u64> = vec![1000; RECENT].into();
        let mut guard = Guard { limit: limit(&recent), recent, empty: 0, laps: 0, disturbed: 0 };
        assert!(guard.judge(1050));
        assert!(!guard.judge(1200));
        assert_eq!((guard.laps, guard.disturbed), (2, 1));
        let refused = (0..RECENT).filter(|_| !guard.judge(1200)).count();
        assert!((RECENT / 4..RECENT).contains(&refused), "{refused}");
        assert!(guard.judge(1200));
    }
}
