//! What passes through an SA, and its limits (RFC 4301, section 4.4.2.1).

use crate::snapshot::InboundSa;
use crate::worker::alarms::{Alarm, Alarms};
use model::Spi;
use shm::{Limits, SaSlot};

/// Counts what an SA carried. Whoever crosses a limit raises its alarm: of several workers, one.
#[inline]
pub(super) fn count(
    slot: &SaSlot,
    limits: &Limits,
    (index, spi): (u32, Spi),
    packets: u64,
    bytes: u64,
    alarms: &mut Alarms,
    now: u64,
) {
    let packets_before = slot.counters.packets.add(packets);
    let bytes_before = slot.counters.bytes.add(bytes);
    if *limits == Limits::default() {
        return;
    }
    let crosses = |limit: Option<u64>, before: u64, more: u64| {
        limit.is_some_and(|limit| before < limit && before.saturating_add(more) >= limit)
    };
    if crosses(limits.soft_packets, packets_before, packets)
        || crosses(limits.soft_bytes, bytes_before, bytes)
    {
        alarms.raise(Alarm::SoftExpired { index, spi }, now);
    }
    if crosses(limits.hard_packets, packets_before, packets)
        || crosses(limits.hard_bytes, bytes_before, bytes)
    {
        alarms.raise(Alarm::HardExpired { index, spi }, now);
    }
}

/// Counts packets that came one after the other out of one SA when another one's turn comes: atomic additions are dear.
pub(super) struct Tally<'a> {
    of: Option<(&'a InboundSa, &'a SaSlot)>,
    packets: u64,
    bytes: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new() -> Tally<'a> {
        Tally { of: None, packets: 0, bytes: 0 }
    }

    /// One packet of so many bytes came out of `sa`.
    #[inline]
    pub(super) fn add(
        &mut self,
        sa: &'a InboundSa,
        slot: &'a SaSlot,
        bytes: u64,
        alarms: &mut Alarms,
        now: u64,
    ) {
        if self.of.is_none_or(|(last, _)| !std::ptr::eq(last, sa)) {
            self.end(alarms, now);
            *self = Tally { of: Some((sa, slot)), packets: 0, bytes: 0 };
        }
        self.packets += 1;
        self.bytes += bytes;
    }

    /// Counts what was not yet.
    #[inline]
    pub(super) fn end(&self, alarms: &mut Alarms, now: u64) {
        if let Some((sa, slot)) = self.of {
            count(slot, &sa.limits, (sa.index, sa.spi), self.packets, self.bytes, alarms, now);
        }
    }
}

/// Whether an SA is past a hard limit. Bytes may overshoot it by what the workers hold in their hands.
#[inline]
pub(super) fn is_spent(slot: &SaSlot, limits: &Limits) -> bool {
    limits.hard_packets.is_some_and(|limit| slot.counters.packets.get() >= limit)
        || limits.hard_bytes.is_some_and(|limit| slot.counters.bytes.get() >= limit)
}
