//! Sequence numbers: giving them out (RFC 4303, section 3.3.3) and inferring their high half (appendix A).

use crate::atomic::{AtomicU64, Ordering};
use std::ops::Range;

/// The first sequence number that an SA sends.
pub const FIRST: u64 = 1;

/// The last sequence number that an SA may send.
///
/// 2^32 - 1 without ESN. With ESN 2^64 - 2: the very last one is given up, so that "the next one" is always a number.
#[inline]
pub const fn last(esn: bool) -> u64 {
    if esn { u64::MAX - 1 } else { u32::MAX as u64 }
}

/// Takes up to `count` consecutive sequence numbers from an SA whose next one is `next`.
///
/// Safe for any number of workers: no number is given out twice, and none above `last_allowed`, which is [`last`] or a
/// lower limit of packets. What is returned is shorter than `count` if the SA is near its end, and empty if it is at its
/// end. `next` never wraps and never passes `last_allowed + 1`.
#[inline]
pub fn allocate(next: &AtomicU64, count: u32, last_allowed: u64) -> Range<u64> {
    // One above the last, which is a number itself.
    let end = last_allowed.min(last(true)) + 1;
    let mut start = next.load(Ordering::Relaxed);
    loop {
        let first = start.max(FIRST);
        let after = first.saturating_add(u64::from(count)).min(end);
        if first >= after {
            return first..first;
        }
        // Relaxed: the number alone matters, and it is this atomic's own. A plain add would be as quick and could pass
        // the end.
        match next.compare_exchange_weak(start, after, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return first..after,
            Err(now) => start = now,
        }
    }
}

/// The whole sequence number of a packet that carries its low half only (RFC 4303, appendix A2.2).
///
/// `highest` is the highest one accepted so far, `window` the size of the replay window in packets. With a window of 0, or
/// one above 2^31, the candidate nearest to `highest` is taken. Where the RFC's rule would give a number below 0 or above
/// 2^64, the candidate inside is taken; a wrong guess fails the ICV.
#[inline]
pub const fn infer(highest: u64, window: u32, low: u32) -> u64 {
    const NEAREST: u32 = 1 << 31;
    let window = if window == 0 || window > NEAREST { NEAREST } else { window };
    let (top_high, top_low) = ((highest >> 32) as u32, highest as u32);
    let bottom_low = top_low.wrapping_sub(window - 1);
    let high = if top_low >= window - 1 {
        // Case A: the window lies within one run of low halves.
        if low >= bottom_low { top_high } else { top_high.saturating_add(1) }
    } else {
        // Case B: the window begins in the run before.
        if low >= bottom_low { top_high.saturating_sub(1) } else { top_high }
    };
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    #[test]
    fn begins_at_one_and_ends_at_the_last() {
        let next = AtomicU64::new(0);
        assert_eq!(allocate(&next, 3, last(false)), 1..4);
        assert_eq!(allocate(&next, 0, last(false)), 4..4);
        next.store(u64::from(u32::MAX) - 1, Ordering::Relaxed);
        assert_eq!(allocate(&next, 64, last(false)), 0xFFFF_FFFE..0x1_0000_0000);
        assert!(allocate(&next, 64, last(false)).is_empty());
        assert!(allocate(&next, 1, last(false)).is_empty());
        assert_eq!(next.load(Ordering::Relaxed), 1 << 32);
    }

    #[test]
    fn esn_does_not_wrap() {
        let next = AtomicU64::new(u64::MAX - 2);
        assert_eq!(allocate(&next, 64, u64::MAX), u64::MAX - 2..u64::MAX);
        assert!(allocate(&next, 64, u64::MAX).is_empty());
        assert_eq!(next.load(Ordering::Relaxed), u64::MAX);
    }

    #[test]
    fn a_limit_of_packets_is_kept() {
        let next = AtomicU64::new(1);
        assert_eq!(allocate(&next, 64, 100), 1..65);
        assert_eq!(allocate(&next, 64, 100), 65..101);
        assert!(allocate(&next, 64, 100).is_empty());
        assert!(allocate(&AtomicU64::new(1), 64, 0).is_empty());
    }

    #[test]
    fn several_workers_get_each_number_once() {
        const LAST: u64 = 100_003;
        let next = AtomicU64::new(1);
        let mut all: Vec<u64> = thread::scope(|scope| {
            let workers: Vec<_> = (1..=4)
                .map(|worker| {
                    let next = &next;
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        for count in (1..=64).cycle().skip(worker * 13) {
                            let block = allocate(next, count, LAST);
                            if block.is_empty() {
                                return mine;
                            }
                            mine.extend(block);
                        }
                        mine
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=LAST));
    }

    #[test]
    fn infers_as_the_appendix_says() {
        let window = 64;
        // Case A: at or above the bottom is this run, below it is the next.
        let top = 5 << 32 | 1000;
        assert_eq!(infer(top, window, 1000 - 63), 5 << 32 | 937);
        assert_eq!(infer(top, window, 936), 6 << 32 | 936);
        assert_eq!(infer(top, window, u32::MAX), 5 << 32 | 0xFFFF_FFFF);
        // Case B: the window begins in the run before.
        let top = 5 << 32 | 10;
        assert_eq!(infer(top, window, 0xFFFF_FFFF), 4 << 32 | 0xFFFF_FFFF);
        assert_eq!(infer(top, window, 0_u32.wrapping_sub(53)), 4 << 32 | 0xFFFF_FFCB);
        assert_eq!(infer(top, window, 0_u32.wrapping_sub(54)), 5 << 32 | 0xFFFF_FFCA);
        assert_eq!(infer(top, window, 11), 5 << 32 | 11);
        // Nothing lies below zero or above the end.
        assert_eq!(infer(0, window, 0xFFFF_FFFF), 0xFFFF_FFFF);
        assert_eq!(infer(u64::MAX, window, 0), 0xFFFF_FFFF << 32);
    }

    proptest! {
        /// Whatever lies in the window, or ahead by less than what is left of 2^32, is found.
        #[test]
        fn finds_the_number_that_was_sent(
            highest in (1_u64 << 32)..u64::MAX - (1 << 33), window in 1_u32..=1 << 31, place: u64,
        ) {
            let bottom = highest - (u64::from(window) - 1);
            let sent = bottom + place % (1 << 32);
            prop_assert_eq!(infer(highest, window, sent as u32), sent);
        }

        #[test]
        fn without_a_window_the_nearest_is_taken(highest in (1_u64 << 33)..u64::MAX - (1 << 33), low: u32) {
            let found = infer(highest, 0, low);
            prop_assert_eq!(found as u32, low);
            prop_assert!(found.abs_diff(highest) <= 1 << 31);
        }
    }
}
