//! What passes through an SA, and its limits (RFC 4301, section 4.4.2.1).

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

/// Whether an SA is past a hard limit. Bytes may overshoot it by what the workers hold in their hands.
#[inline]
pub(super) fn is_spent(slot: &SaSlot, limits: &Limits) -> bool {
    limits.hard_packets.is_some_and(|limit| slot.counters.packets.get() >= limit)
        || limits.hard_bytes.is_some_and(|limit| slot.counters.bytes.get() >= limit)
}
