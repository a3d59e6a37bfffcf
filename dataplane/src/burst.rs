//! A burst of packets on its way through the stages.
//!
//! The packets stay where they are; stages pass masks of them on (bit *i* is packet *i*). Every stage takes a mask
//! and returns masks of what goes where; what it drops, it frees and counts by reason. So a packet leaves by exactly
//! one door, and an empty mask costs nothing.

use dpdk::Packets;
use shm::{DropReason, WorkerCounters};

/// A set of packets of one burst.
pub(crate) type Mask = u64;

/// Packets in a burst at most.
pub(crate) const BURST: usize = Mask::BITS as usize;

/// The family of the IP packet that a buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl From<Family> for esp::tunnel::Version {
    fn from(family: Family) -> esp::tunnel::Version {
        match family {
            Family::V4 => esp::tunnel::Version::V4,
            Family::V6 => esp::tunnel::Version::V6,
        }
    }
}

impl From<esp::tunnel::Version> for Family {
    fn from(version: esp::tunnel::Version) -> Family {
        match version {
            esp::tunnel::Version::V4 => Family::V4,
            esp::tunnel::Version::V6 => Family::V6,
        }
    }
}

/// What the stages know of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    /// Family of the IP packet that the buffer begins with.
    pub(crate) family: Family,
    /// It is not to be cut before it is sealed, as its fragments alone would not be protected as it is.
    pub(crate) whole: bool,
    /// Index into the snapshot's next hops, from the last route look-up.
    pub(crate) next_hop: u32,
    /// The port that the packet will leave by, from the last route look-up.
    pub(crate) egress: u16,
    /// Where its ESP header begins, in bytes, and the sender's UDP port (0: not in UDP), of what is to be decrypted.
    pub(crate) esp_at: u16,
    pub(crate) from_port: u16,
    /// The policy entry that protects it, from classification.
    pub(crate) entry: u32,
    /// When it began to wait, for an SA or for its neighbour's address, in TSC clocks; 0 if it does not.
    pub(crate) waiting_since: u64,
}

/// Up to [`BURST`] packets and what is known of each. From parsing on, a buffer begins at its IP header.
pub(crate) struct Burst {
    pub(crate) packets: Packets,
    pub(crate) meta: [Meta; BURST],
}

impl Burst {
    pub(crate) fn new() -> Burst {
        Burst { packets: Packets::new(), meta: [Meta::default(); BURST] }
    }

    /// Drops the packets of `mask`, all for one reason.
    pub(crate) fn discard(&mut self, mask: Mask, reason: DropReason, counters: &WorkerCounters) {
        if mask != 0 {
            counters.drop(reason, u64::from(mask.count_ones()));
            self.packets.free(mask);
        }
    }

    /// Those packets of `mask` that leave by `egress`.
    pub(crate) fn with_egress(&self, mask: Mask, egress: u16) -> Mask {
        bits(mask).filter(|&index| self.meta[index].egress == egress).fold(0, |same, index| same | 1 << index)
    }
}

/// The packets of a mask, lowest first.
pub(crate) fn bits(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (index < BURST).then_some(index)
    })
}

/// Collects what a stage drops while it walks over a burst. When the walk is over the stage frees [`Drops::mask`].
pub(crate) struct Drops<'a> {
    counters: &'a WorkerCounters,
    pub(crate) mask: Mask,
}

impl<'a> Drops<'a> {
    pub(crate) fn new(counters: &'a WorkerCounters) -> Drops<'a> {
        Drops { counters, mask: 0 }
    }

    /// Counts one packet's drop.
    #[inline]
    pub(crate) fn add(&mut self, index: usize, reason: DropReason) {
        self.counters.drop(reason, 1);
        self.mask |= 1 << index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_masks() {
        assert_eq!(bits(0).count(), 0);
        assert_eq!(bits(0b1010).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(bits(Mask::MAX).collect::<Vec<_>>(), (0..BURST).collect::<Vec<_>>());
    }
}
