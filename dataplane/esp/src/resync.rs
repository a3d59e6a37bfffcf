//! Finding the high half of an extended sequence number again (RFC 4303, appendix A3).
//!
//! Who loses so many packets that the low half goes once round infers every high half wrongly from then on, and every ICV
//! fails. So, after a long run of failures, one packet is opened as if it were of a run of low halves further on: the
//! first of its SA that comes next, in place of what it seems to be. If its ICV verifies, its number is committed as any
//! other is, and the window is where the sender is.
//!
//! A forger can bring about such a run of failures. That costs the SA one genuine packet in a [`Resync::new`] pause at most,
//! no work, and nothing of its safety: a number further on is to the right of the window, and without the right ICV it
//! moves nothing.

use crate::atomic::{AtomicU64, Ordering};

/// Failures one after the other that make a run.
pub const RUN: u64 = 64;
/// How many times 2^32 packets may have been lost: one more is tried each time, and then from one on again.
pub const FURTHEST: u64 = 4;

/// What an inbound SA has of it. Several workers may use it at once: what one does not see costs a try.
#[derive(Debug)]
pub struct Resync {
    pause: u64,
    failures: AtomicU64,
    /// What the SA had accepted when the run began.
    accepted: AtomicU64,
    tried_at: AtomicU64,
    tries: AtomicU64,
    /// How much further on to look with the next packet; mostly 0.
    due: AtomicU64,
}

impl Resync {
    /// Nothing has failed yet. `pause` is the time from one try to the next, of whatever clock [`Resync::failed`] is told.
    pub fn new(pause: u64) -> Resync {
        let [failures, accepted, tried_at, tries, due] = std::array::from_fn(|_| AtomicU64::new(0));
        Resync { pause, failures, accepted, tried_at, tries, due }
    }

    /// The ICV of a packet did not verify, of an SA with extended sequence numbers that has accepted so many.
    #[cold]
    pub fn failed(&self, accepted: u64, now: u64) {
        if self.accepted.swap(accepted, Ordering::Relaxed) != accepted {
            self.failures.store(0, Ordering::Relaxed);
            self.tries.store(0, Ordering::Relaxed);
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let tried_at = self.tried_at.load(Ordering::Relaxed);
        let tries = self.tries.load(Ordering::Relaxed);
        if failures < RUN || now.wrapping_sub(tried_at) < self.pause {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.tried_at.store(now, Ordering::Relaxed);
        self.tries.store(tries + 1, Ordering::Relaxed);
        self.due.store(tries % FURTHEST + 1, Ordering::Relaxed);
    }

    /// Whether the next packet may be one to try.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) != 0
    }

    /// What to add to the window's highest number before the next packet's is inferred from it, if that is to be tried
    /// now. Of several workers, one is told.
    #[cold]
    pub fn take(&self, accepted: u64) -> Option<u64> {
        let due = self.due.swap(0, Ordering::Relaxed);
        (due != 0 && self.accepted.load(Ordering::Relaxed) == accepted).then_some(due << 32)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::replay::{Window, words_for};
    use crate::sequence::infer;
    use proptest::prelude::*;

    /// A receiver, whose peer's ICVs are what was inferred, or not.
    struct Receiver {
        highest: AtomicU64,
        words: Vec<AtomicU64>,
        window: u32,
        resync: Resync,
        accepted: u64,
    }

    impl Receiver {
        fn new(window: u32, floor: u64, pause: u64) -> Receiver {
            let words = (0..words_for(window)).map(|_| AtomicU64::new(0)).collect();
            let resync = Resync::new(pause);
            let receiver = Receiver { highest: AtomicU64::new(0), words, window, resync, accepted: 0 };
            receiver.window().reset(floor);
            receiver
        }

        fn window(&self) -> Window<'_> {
            Window::new(&self.highest, &self.words, self.window).unwrap()
        }

        /// One packet; `None`: a forgery, whose low half is anything. Returns whether it was taken, and whether it was a try.
        fn receive(&mut self, low: u32, genuine: Option<u64>, now: u64) -> (bool, bool) {
            let highest = self.window().highest();
            let further = if self.resync.is_due() { self.resync.take(self.accepted) } else { None };
            let Some(highest) = highest.checked_add(further.unwrap_or(0)) else { return (false, false) };
            let sequence = infer(highest, self.window, low);
            if self.window().check(sequence).is_err() {
                return (false, further.is_some());
            }
            if genuine != Some(sequence) {
                self.resync.failed(self.accepted, now);
                return (false, further.is_some());
            }
            let taken = self.window().commit(sequence).is_ok();
            self.accepted += u64::from(taken);
            (taken, further.is_some())
        }
    }

    proptest! {
        /// However far round the numbers went, the SA lives again within a few tries.
        #[test]
        fn what_was_lost_is_made_up_for(
            window in prop_oneof![1_u32..=1024, Just(0)],
            floor in prop_oneof![0_u64..1 << 34, (1_u64 << 40)..1 << 41],
            lost in (1_u64 << 32)..FURTHEST << 32,
            pause in 0_u64..10_000, step in 1_u64..1000,
        ) {
            let mut receiver = Receiver::new(window, floor, pause);
            let first = floor + lost;
            // What is behind the window by its low half alone, and what is in it, is refused unopened.
            let most = u64::from(window) + (FURTHEST + 1) * (RUN + pause / step + 2);
            let (taken, now) = (first..=first + most)
                .zip((0..).map(|packet| packet * step))
                .find(|&(sequence, now)| receiver.receive(sequence as u32, Some(sequence), now).0)
                .unwrap_or_default();
            prop_assert!(taken >= first, "dead after {most}");
            prop_assert_eq!(receiver.window().highest(), taken);
            for sequence in taken + 1..taken + 200 {
                prop_assert_eq!(receiver.receive(sequence as u32, Some(sequence), now), (true, false));
            }
        }

        /// A forger moves nothing, and brings about a try for every run of forgeries and for every pause, at most.
        #[test]
        fn forgeries_move_nothing(
            floor in 0_u64..1 << 40, lows in prop::collection::vec(any::<u32>(), 1..2000),
            pause in 0_u64..100_000, step in 0_u64..1000,
        ) {
            let mut receiver = Receiver::new(64, floor, pause);
            let (mut tries, mut now) = (0, 0);
            for &low in &lows {
                now += step;
                let (taken, tried) = receiver.receive(low, None, now);
                prop_assert!(!taken);
                tries += u64::from(tried);
            }
            prop_assert_eq!(receiver.window().highest(), floor);
            prop_assert!(tries <= lows.len() as u64 / RUN);
            prop_assert!(pause == 0 || tries <= now / pause, "{} tries in {}", tries, now);
        }

        /// As long as something genuine comes between them, forgeries bring about nothing: no genuine packet is lost.
        #[test]
        fn where_something_verifies_nothing_is_tried(
            floor in 0_u64..1 << 40, runs in prop::collection::vec(0..RUN, 1..100),
        ) {
            let mut receiver = Receiver::new(64, floor, 0);
            for (sequence, run) in (floor + 1..).zip(runs) {
                for forgery in 0..run {
                    prop_assert_eq!(receiver.receive((sequence + forgery) as u32, None, 0), (false, false));
                }
                prop_assert_eq!(receiver.receive(sequence as u32, Some(sequence), 0), (true, false));
            }
        }
    }
}
