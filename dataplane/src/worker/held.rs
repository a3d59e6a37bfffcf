//! Packets that wait for a neighbour's address: few, and not for long.

use crate::burst::{Burst, Mask, Meta, bits};
use dpdk::Mbuf;
use shm::{DropReason, WorkerCounters};
use std::collections::VecDeque;

/// Packets that may wait at once, for all neighbours together.
const ROOM: usize = 256;
/// How long one may wait, in milliseconds. Linux gives up on a neighbour after three seconds.
const PATIENCE_MS: u64 = 3000;

struct Waiting {
    mbuf: Mbuf,
    meta: Meta,
}

/// The queue of waiting packets, oldest first. Each begins at its IP header.
pub(crate) struct Held {
    queue: VecDeque<Waiting>,
    patience: u64,
}

impl Held {
    /// `tsc_hz`: clocks of a second.
    pub(crate) fn new(tsc_hz: u64) -> Held {
        Held { queue: VecDeque::with_capacity(ROOM), patience: tsc_hz / 1000 * PATIENCE_MS }
    }

    /// Packets that wait now.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes the packets of `mask` out of the burst; what there is no room for is dropped. `now` in TSC clocks.
    pub(crate) fn hold(&mut self, burst: &mut Burst, mask: Mask, now: u64, counters: &WorkerCounters) {
        if mask == 0 {
            return;
        }
        for index in bits(mask) {
            if let Some(mbuf) = burst.packets.take(index) {
                let mut meta = burst.meta[index];
                if meta.waiting_since == 0 {
                    meta.waiting_since = now.max(1);
                }
                if self.queue.len() < ROOM {
                    self.queue.push_back(Waiting { mbuf, meta });
                } else {
                    counters.drop(DropReason::NeighbourQueueFull, 1);
                }
            }
        }
        counters.held.set(self.queue.len() as u64);
    }

    /// Moves waiting packets, at most `limit` and as many as fit, into an empty burst, so that they try again; those
    /// that have waited too long are dropped instead. Returns the mask of those moved, and how many left the queue.
    pub(crate) fn retry(
        &mut self,
        burst: &mut Burst,
        limit: usize,
        now: u64,
        counters: &WorkerCounters,
    ) -> (Mask, usize) {
        let mut mask = 0;
        let mut left = 0;
        while left < limit
            && let Some(Waiting { mbuf, meta }) = self.queue.pop_front()
        {
            if now.wrapping_sub(meta.waiting_since) as i64 > self.patience as i64 {
                counters.drop(DropReason::NeighbourUnresolved, 1);
                left += 1;
                continue;
            }
            match burst.packets.push(mbuf) {
                Ok(index) => {
                    burst.meta[index] = meta;
                    mask |= 1 << index;
                    left += 1;
                }
                Err(mbuf) => {
                    self.queue.push_front(Waiting { mbuf, meta });
                    break;
                }
            }
        }
        counters.held.set(self.queue.len() as u64);
        (mask, left)
    }
}
