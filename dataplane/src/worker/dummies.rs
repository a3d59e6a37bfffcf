//! Dummy packets (RFC 4303, section 2.6): when each SA that sends them sends the next one, and making it.
//!
//! Each entry of the policy that has them is one worker's. One comes at random between half and one and a half of its interval
//! after the one before, and is as long as chance has it (or, with TFC padding, as that has it), as what is regular can be
//! told from what is not.

use super::stopwatch::Stopwatch;
use super::way::{self, Doors};
use crate::burst::{BURST, Burst, Mask};
use crate::snapshot::{OutboundSa, Snapshot};
use crate::stages::{Context, encrypt, route};
use arrayvec::ArrayVec;
use shm::DropReason;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// The next dummy of each entry that is this worker's.
pub(super) struct Dummies {
    worker: usize,
    workers: usize,
    tsc_hz: u64,
    /// When, in TSC clocks, and of which entry.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// Entries in it.
    known: HashSet<u32>,
    chance: Chance,
}

impl Dummies {
    /// Of one of so many workers. `tsc_hz`: clocks of a second.
    pub(super) fn new(worker: usize, workers: usize, tsc_hz: u64) -> Dummies {
        let (queue, known) = (BinaryHeap::new(), HashSet::new());
        Dummies { worker, workers: workers.max(1), tsc_hz, queue, known, chance: Chance::new() }
    }

    /// Takes up the entries that are new in a snapshot. Those that are gone are noticed when their next one is due.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, now: u64) {
        for &entry in &*snapshot.dummies {
            if entry as usize % self.workers == self.worker
                && let Some(interval) = self.interval(snapshot, entry)
                && self.known.insert(entry)
            {
                // Many entries that come at once do not send at once.
                let first = self.chance.below(interval);
                self.queue.push(Reverse((now.wrapping_add(first), entry)));
            }
        }
    }

    /// Whether one is due.
    #[inline]
    pub(super) fn any_due(&self, now: u64) -> bool {
        self.queue.peek().is_some_and(|&Reverse((at, _))| at <= now)
    }

    /// Clocks from one dummy of an entry to the next, on average; `None` if it sends none.
    fn interval(&self, snapshot: &Snapshot, entry: u32) -> Option<u64> {
        let sa = snapshot.outbound.get(entry as usize)?.as_deref()?;
        let clocks = sa.tfc.dummies.interval()?.as_nanos() * u128::from(self.tsc_hz) / 1_000_000_000;
        u64::try_from(clocks).ok()
    }

    /// The entries whose dummy is due, a burst of them at most; each is put down for its next one.
    fn take_due(&mut self, snapshot: &Snapshot, now: u64) -> ArrayVec<u32, BURST> {
        let mut due = ArrayVec::new();
        while let Some(&Reverse((at, entry))) = self.queue.peek()
            && at <= now
            && !due.is_full()
        {
            self.queue.pop();
            match self.interval(snapshot, entry) {
                Some(interval) => {
                    due.push(entry);
                    // What was missed, as by a worker that had no time, is not made up for.
                    let from = if now - at > interval { now } else { at };
                    let next = from.saturating_add(interval / 2).saturating_add(self.chance.below(interval));
                    self.queue.push(Reverse((next, entry)));
                }
                None => drop(self.known.remove(&entry)),
            }
        }
        due
    }

    /// Sends those that are due.
    #[cold]
    pub(super) fn send(&mut self, burst: &mut Burst, doors: &mut Doors, ctx: &Context<'_>) {
        let mut mask: Mask = 0;
        for entry in self.take_due(ctx.snapshot, ctx.now) {
            let Ok((sa, _)) = encrypt::serving(ctx, entry) else { continue };
            let widest = ctx.snapshot.ports.iter().flatten().map(|port| port.mtu(family(sa))).max();
            let Some(mut mbuf) = doors.buffer(widest.unwrap_or_default()) else { continue };
            let header = mbuf.append(sa.template.least_dummy()).ok();
            if header.and_then(|bytes| sa.template.write_dummy(bytes)).is_none() {
                continue;
            }
            if let Ok(index) = burst.packets.push(mbuf) {
                ctx.counters.made.add(1);
                burst.meta[index].family = family(sa);
                burst.meta[index].entry = entry;
                mask |= 1 << index;
            }
        }
        // By which port they leave says how long they may be.
        let routed = route::route(burst, mask, ctx);
        burst.discard(routed.local, DropReason::NoRoute, ctx.counters);
        let Burst { packets, meta } = &mut *burst;
        for (index, mbuf) in packets.masked_mut(routed.transit) {
            let Ok((sa, slot)) = encrypt::serving(ctx, meta[index].entry) else { continue };
            let room = sa.template.room(encrypt::limit(ctx, sa, slot, meta[index].egress));
            let most = room.saturating_sub(mbuf.len()).min(mbuf.tailroom().saturating_sub(encrypt::TRAILING));
            let more = self.chance.below(most as u64 + 1) as usize;
            if mbuf.append(more).is_ok() {
                let _ = sa.template.write_dummy(mbuf.data_mut());
            }
        }
        way::dummies(burst, routed.transit, doors, ctx, &mut Stopwatch::idle());
    }
}

/// Of the packets that come of an SA.
fn family(sa: &OutboundSa) -> crate::burst::Family {
    sa.template.version().into()
}

/// Random numbers that nobody foresees, many to a system call.
struct Chance {
    bytes: [u8; 512],
    left: usize,
}

impl Chance {
    fn new() -> Chance {
        Chance { bytes: [0; 512], left: 0 }
    }

    /// A number below another; 0 if that is 0. Some are likelier than others, by one in 2^32.
    fn below(&mut self, end: u64) -> u64 {
        if self.left < 4 {
            // If the kernel has none, lengths and times are as they are: no less safe than without dummies.
            let _ = getrandom::fill(&mut self.bytes);
            self.left = self.bytes.len();
        }
        self.left -= 4;
        let random = self.bytes[self.left..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        ((u128::from(random) * u128::from(end)) >> 32) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_reaches_every_place_and_no_other() {
        let mut chance = Chance::new();
        let drawn: HashSet<u64> = (0..2000).map(|_| chance.below(10)).collect();
        assert_eq!(drawn, (0..10).collect());
        assert_eq!((chance.below(0), chance.below(1)), (0, 0));
    }
}
