//! What a worker tells the manager: rarely, boundedly, and without waiting.

use crossbeam_channel::Sender;
use model::Spi;
use std::net::{IpAddr, SocketAddr};

/// Something that the control plane should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Alarm {
    /// A packet wants protection and its policy entry has no SA.
    Acquire {
        /// The policy entry.
        entry: u32,
        /// The packet that asked.
        flow: packet::flow::FiveTuple,
    },
    /// A packet's next hop is on a link, but its link-layer address is not known.
    NeighbourNeeded {
        /// The port of the link.
        port: u16,
        /// Who is to be found.
        address: IpAddr,
    },
    /// The peer of an SA in UDP was seen somewhere else.
    PeerMoved {
        /// The inbound SA's slot.
        index: u32,
        /// Its SPI.
        spi: Spi,
        /// Where the peer is now.
        peer: SocketAddr,
    },
    /// The path of an outbound SA takes less than was thought.
    PathMtu {
        /// The SA's slot.
        index: u32,
        /// Its SPI.
        spi: Spi,
        /// What it takes, in bytes of the outer packet.
        mtu: u16,
    },
    /// Somebody says that an ESP packet of ours was too big for its path.
    TooBig {
        /// What is quoted: the SPI, the low half of the sequence number, source and destination.
        spi: Spi,
        sequence: u32,
        ends: (IpAddr, IpAddr),
        /// What the path takes, in bytes of the outer packet.
        mtu: u16,
    },
    /// An outbound SA has used its last sequence number.
    SequenceExhausted {
        /// The SA's slot.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
    /// An SA has crossed its soft limit.
    SoftExpired {
        /// The SA's slot.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
    /// An SA has reached its hard limit.
    HardExpired {
        /// The SA's slot.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
}

impl Alarm {
    /// Alarms with equal subjects are one alarm to the rate limit. An SA is its slot and its SPI: another may have the slot
    /// soon.
    fn subject(&self) -> u64 {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        match self {
            Alarm::Acquire { entry, .. } => hasher.hash_one((1, entry)),
            Alarm::NeighbourNeeded { port, address } => hasher.hash_one((2, port, address)),
            Alarm::SequenceExhausted { index, spi } => hasher.hash_one((3, index, spi)),
            Alarm::SoftExpired { index, spi } => hasher.hash_one((4, index, spi)),
            Alarm::HardExpired { index, spi } => hasher.hash_one((5, index, spi)),
            Alarm::TooBig { spi, ends, mtu, .. } => hasher.hash_one((8, spi, ends, mtu)),
            Alarm::PathMtu { index, spi, mtu } => hasher.hash_one((7, index, spi, mtu)),
            // A peer that moves on at once is another matter.
            Alarm::PeerMoved { index, spi, peer } => hasher.hash_one((6, index, spi, peer)),
        }
    }
}

/// Raises alarms, each subject at most once in [`Alarms::PAUSE_MS`]. A storm of packets raises a trickle of alarms;
/// what is lost to a full channel or to two subjects in one place is raised again by the next packet. Only a limit is crossed
/// once: the manager looks for those by itself, too.
#[derive(Debug)]
pub(crate) struct Alarms {
    channel: Sender<Alarm>,
    /// Subject and time of the last alarm, in a place that the subject chooses.
    recent: Box<[(u64, u64); Alarms::PLACES]>,
    pause: u64,
}

impl Alarms {
    const PLACES: usize = 256;
    const PAUSE_MS: u64 = 100;

    pub(crate) fn new(channel: Sender<Alarm>, tsc_hz: u64) -> Alarms {
        Alarms {
            channel,
            recent: Box::new([(0, 0); Alarms::PLACES]),
            pause: tsc_hz / 1000 * Alarms::PAUSE_MS,
        }
    }

    /// `now` in TSC clocks.
    pub(crate) fn raise(&mut self, alarm: Alarm, now: u64) {
        let subject = alarm.subject();
        let place = &mut self.recent[subject as usize % Alarms::PLACES];
        if place.0 == subject && now.wrapping_sub(place.1) < self.pause {
            return;
        }
        if self.channel.try_send(alarm).is_ok() {
            *place = (subject, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_one_alarm() {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let mut alarms = Alarms::new(sender, 1_000_000);
        let alarm = Alarm::NeighbourNeeded { port: 1, address: "192.0.2.1".parse().unwrap() };
        for now in 1..90_000 {
            alarms.raise(alarm, now);
        }
        assert_eq!(receiver.len(), 1);
        alarms.raise(Alarm::SequenceExhausted { index: 1, spi: Spi::MIN }, 90_000);
        alarms.raise(alarm, 200_000);
        assert_eq!(receiver.len(), 3);
    }

    #[test]
    fn who_takes_over_a_slot_is_heard_at_once() {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let mut alarms = Alarms::new(sender, 1_000_000);
        let (index, spis) = (1, [256, 257].map(|spi| Spi::new(spi).unwrap()));
        let peer = "192.0.2.1:4500".parse().unwrap();
        let kinds: [fn(u32, Spi, SocketAddr) -> Alarm; 5] = [
            |index, spi, _| Alarm::SoftExpired { index, spi },
            |index, spi, _| Alarm::HardExpired { index, spi },
            |index, spi, _| Alarm::SequenceExhausted { index, spi },
            |index, spi, _| Alarm::PathMtu { index, spi, mtu: 1400 },
            |index, spi, peer| Alarm::PeerMoved { index, spi, peer },
        ];
        for raised in kinds {
            for spi in [spis[0], spis[0], spis[1]] {
                alarms.raise(raised(index, spi, peer), 7);
            }
            assert_eq!(receiver.try_iter().count(), 2);
        }
    }

    #[test]
    fn what_found_no_room_may_come_again_at_once() {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let mut alarms = Alarms::new(sender, 1_000_000);
        let (first, second) = (1, 2);
        for index in [first, second] {
            alarms.raise(Alarm::HardExpired { index, spi: Spi::MIN }, 7);
        }
        assert_eq!(receiver.try_iter().count(), 1);
        alarms.raise(Alarm::HardExpired { index: second, spi: Spi::MIN }, 8);
        assert_eq!(receiver.try_iter().count(), 1);
    }
}
