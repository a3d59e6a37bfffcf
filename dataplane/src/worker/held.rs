//! Packets that wait for what the control plane is to find for them, the address of a neighbour or an SA: few, and not
//! for long.

use crate::burst::{Burst, Mask, Meta, bits};
use crate::stages::Context;
use dpdk::Mbuf;
use shm::DropReason;
use std::collections::VecDeque;

/// Packets that may wait at once, for all subjects together.
const ROOM: usize = 256;
/// Classes that subjects fall into by their lowest bits.
const CLASSES: usize = 256;

struct Waiting {
    mbuf: Mbuf,
    meta: Meta,
    subject: u32,
}

/// A queue of waiting packets, oldest first. Each begins at its IP header.
pub(crate) struct Held {
    queue: VecDeque<Waiting>,
    patience: u64,
    /// Of the packets of one class, how many may wait; and how many do.
    share: u16,
    waiting: Box<[u16; CLASSES]>,
    /// Why a packet is dropped that comes when all room is taken, or that has waited too long.
    full: DropReason,
    late: DropReason,
}

impl Held {
    /// For packets whose neighbour is looked for. Linux gives up on one after three seconds. `tsc_hz`: clocks of a second.
    pub(crate) fn for_neighbours(tsc_hz: u64) -> Held {
        let (full, late) = (DropReason::NeighbourQueueFull, DropReason::NeighbourUnresolved);
        Held::new(3 * tsc_hz, ROOM as u16, full, late)
    }

    /// For packets whose SA is negotiated, with time for one lost message of IKE. One policy entry takes an eighth of the
    /// room at most, so that a peer that does not answer leaves some to the others.
    pub(crate) fn for_sas(tsc_hz: u64) -> Held {
        Held::new(5 * tsc_hz, ROOM as u16 / 8, DropReason::PolicyNoSa, DropReason::PolicyNoSa)
    }

    fn new(patience: u64, share: u16, full: DropReason, late: DropReason) -> Held {
        let queue = VecDeque::with_capacity(ROOM);
        Held { queue, patience, share, waiting: Box::new([0; CLASSES]), full, late }
    }

    /// Packets that wait now.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes the packets of `mask` out of the burst; what there is no room for is dropped. `subject` is what a packet
    /// waits for, as a number.
    pub(crate) fn hold(
        &mut self,
        burst: &mut Burst,
        mask: Mask,
        subject: impl Fn(&Meta) -> u32,
        ctx: &Context<'_>,
    ) {
        for index in bits(mask) {
            let Some(mbuf) = burst.packets.take(index) else { continue };
            let mut meta = burst.meta[index];
            if meta.waiting_since == 0 {
                meta.waiting_since = ctx.now.max(1);
            }
            let subject = subject(&meta);
            let waiting = &mut self.waiting[subject as usize % CLASSES];
            if self.queue.len() < ROOM && *waiting < self.share {
                *waiting += 1;
                self.queue.push_back(Waiting { mbuf, meta, subject });
            } else {
                ctx.counters.drop(self.full, 1);
            }
        }
    }

    /// Moves waiting packets, at most `limit` and as many as fit, into an empty burst, so that they try again; those
    /// that have waited too long are dropped instead. Returns the mask of those moved, and how many left the queue.
    pub(crate) fn retry(&mut self, burst: &mut Burst, limit: usize, ctx: &Context<'_>) -> (Mask, usize) {
        let mut mask = 0;
        let mut left = 0;
        while left < limit
            && let Some(Waiting { mbuf, meta, subject }) = self.queue.pop_front()
        {
            if ctx.now.wrapping_sub(meta.waiting_since) as i64 > self.patience as i64 {
                ctx.counters.drop(self.late, 1);
            } else {
                match burst.packets.push(mbuf) {
                    Ok(index) => {
                        burst.meta[index] = meta;
                        mask |= 1 << index;
                    }
                    Err(mbuf) => {
                        self.queue.push_front(Waiting { mbuf, meta, subject });
                        break;
                    }
                }
            }
            left += 1;
            self.waiting[subject as usize % CLASSES] -= 1;
        }
        (mask, left)
    }
}
