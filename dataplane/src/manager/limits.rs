//! The limits of SAs (RFC 4301, section 4.4.2.1): the control plane is told of each that is reached, once.
//!
//! The worker that crosses a limit raises an alarm, so that this is soon. But an alarm is lost when too many wait, and an
//! event when nobody reads; what an SA has counted is not. So an alarm is no more than a reason to look at the counters of its
//! SA now, and those of all SAs are looked at now and then.

use shm::{Event, InstallSa, SaSlot, Server};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Limit {
    Soft,
    Hard,
    Sequence,
}

/// What this control plane was told, by the slots of the SAs.
#[derive(Debug, Default)]
pub(super) struct Told {
    limits: BTreeSet<(u32, Limit)>,
}

impl Told {
    /// Another SA takes this slot, or none.
    pub(super) fn forget(&mut self, index: u32) {
        for limit in [Limit::Soft, Limit::Hard, Limit::Sequence] {
            self.limits.remove(&(index, limit));
        }
    }

    /// Another control plane has come, which was told nothing.
    pub(super) fn forget_all(&mut self) {
        self.limits.clear();
    }

    /// Tells of the limits of packets and bytes that an SA has reached.
    pub(super) fn of_counters(&mut self, sa: &InstallSa, slot: &SaSlot, server: &mut Server) {
        let (index, spi, limits) = (sa.index, sa.spi, &sa.limits);
        let (packets, bytes) = (slot.counters.packets.get(), slot.counters.bytes.get());
        let reached = |of_packets: Option<u64>, of_bytes: Option<u64>| {
            of_packets.is_some_and(|limit| packets >= limit) || of_bytes.is_some_and(|limit| bytes >= limit)
        };
        if reached(limits.soft_packets, limits.soft_bytes) {
            self.once((index, Limit::Soft), Event::SaSoftExpired { index, spi }, server);
        }
        if reached(limits.hard_packets, limits.hard_bytes) {
            self.once((index, Limit::Hard), Event::SaHardExpired { index, spi }, server);
        }
    }

    /// Tells that a packet wanted a sequence number of an SA that has none. Each such packet says so again.
    pub(super) fn of_sequence(&mut self, sa: &InstallSa, server: &mut Server) {
        let (index, spi) = (sa.index, sa.spi);
        self.once((index, Limit::Sequence), Event::SequenceExhausted { index, spi }, server);
    }

    fn once(&mut self, limit: (u32, Limit), event: Event, server: &mut Server) {
        // Without a control plane nothing is lost that will not be told to the next one.
        if !self.limits.contains(&limit) && server.is_controlled() && server.event(event) {
            self.limits.insert(limit);
        }
    }
}
