//! What must not be forgotten of an SA when either process dies: its sequence numbers and IVs. Pure.

use model::{Direction, KeyMaterial, Spi};
use shm::{SaDescriptor, SaStatus};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What tells one SA from another, whatever its index: RFC 4301, section 4.1, and the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaName {
    outbound: bool,
    spi: Spi,
    local: IpAddr,
    remote: IpAddr,
}

impl SaName {
    /// Of an SA that the configuration wants.
    pub fn new(direction: Direction, spi: Spi, local: IpAddr, remote: IpAddr) -> SaName {
        SaName { outbound: direction == Direction::Outbound, spi, local, remote }
    }

    /// Of an SA in the data plane's table.
    pub fn of(descriptor: &SaDescriptor) -> SaName {
        SaName::new(descriptor.direction, descriptor.spi, descriptor.local, descriptor.remote)
    }
}

/// Where an SA stands when it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Outbound: the first sequence number to use.
    pub first_sequence: u64,
    /// Inbound: all up to here counts as seen.
    pub replay_floor: u64,
    /// Outbound: IV less sequence number.
    pub iv_base: u64,
}

#[derive(Clone, Debug)]
struct Past {
    next_sequence: u64,
    highest: u64,
    next_iv: u64,
    /// Workers may still be using it.
    live: bool,
    /// The key that it has, where this process knows it.
    key: Option<KeyMaterial>,
}

/// Sequence numbers that workers may take between our reading of a live SA and its replacement.
const HEADWAY: u64 = 1 << 16;

/// Every SA that was ever seen, as it was left.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    past: BTreeMap<SaName, Past>,
}

impl Memory {
    /// Takes in what a table shows. What an earlier life of the data plane used counts as much as what this one does.
    /// `live` says whether that data plane still runs.
    pub fn learn(&mut self, sas: impl IntoIterator<Item = SaStatus>, live: bool) {
        self.past.values_mut().for_each(|past| past.live = false);
        for sa in sas {
            let descriptor = &sa.descriptor;
            let past = self.past.entry(SaName::of(descriptor)).or_insert(Past {
                next_sequence: 1,
                highest: 0,
                next_iv: 0,
                live: false,
                key: None,
            });
            past.next_sequence = past.next_sequence.max(sa.next_sequence);
            past.highest = past.highest.max(sa.highest);
            past.next_iv = past.next_iv.max(descriptor.iv_base.wrapping_add(sa.next_sequence));
            past.live |= live && descriptor.live;
        }
    }

    /// Where an SA with this key is to start, at `now` (nanoseconds since 1970).
    ///
    /// Its IVs lie above every IV ever used under that name, and above the nanoseconds of every life that is forgotten, as
    /// no SA carries a packet a nanosecond. With another key than before it is a new SA, whose peer counts from 1.
    pub fn start(&self, name: &SaName, key: &KeyMaterial, extended: bool, now: u64) -> Start {
        let past = self.past.get(name);
        let same = past.filter(|past| past.key.as_ref().is_none_or(|known| known == key));
        let last = if extended { u64::MAX } else { u64::from(u32::MAX) };
        let first_sequence = same.map_or(1, |past| {
            let headway = if past.live { HEADWAY } else { 0 };
            past.next_sequence.saturating_add(headway).clamp(1, last)
        });
        let replay_floor = same.map_or(0, |past| past.highest.min(last));
        let first_iv = past.map_or(now, |past| past.next_iv.saturating_add(HEADWAY).max(now));
        Start { first_sequence, replay_floor, iv_base: first_iv.wrapping_sub(first_sequence) }
    }

    /// Forgets an SA that never comes again, its key having been of one negotiation.
    pub fn forget(&mut self, name: &SaName) {
        self.past.remove(name);
    }

    /// Writes down the key that an SA was installed with. Had it another one before, the past is that one's.
    pub fn installed(&mut self, name: SaName, key: &KeyMaterial) {
        let past = self.past.entry(name).or_insert(Past {
            next_sequence: 1,
            highest: 0,
            next_iv: 0,
            live: true,
            key: None,
        });
        if past.key.as_ref().is_some_and(|known| known != key) {
            (past.next_sequence, past.highest) = (1, 0);
        }
        past.key = Some(key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Mode, Suite};
    use shm::{Limits, SaCounts};

    fn name(direction: Direction) -> SaName {
        let [local, remote] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        SaName::new(direction, Spi::new(0x1000).unwrap(), local, remote)
    }

    fn status(direction: Direction, next_sequence: u64, highest: u64, iv_base: u64) -> SaStatus {
        let descriptor = SaDescriptor {
            live: true,
            index: 0,
            spi: Spi::new(0x1000).unwrap(),
            direction,
            suite: Suite::AES_GCM_128,
            mode: Mode::Tunnel,
            local: "192.0.2.1".parse().unwrap(),
            remote: "192.0.2.2".parse().unwrap(),
            udp_port: None,
            moved_to: None,
            entry: Some(0),
            extended_sequence: false,
            replay_window: 4096,
            limits: Limits::default(),
            first_sequence: 1,
            replay_floor: 0,
            iv_base,
            tfc: model::Tfc::NONE,
            installed_at: 0,
        };
        SaStatus { descriptor, next_sequence, highest, path_mtu: None, counters: SaCounts::default() }
    }

    fn key(byte: u8) -> KeyMaterial {
        KeyMaterial::new(&[byte; 20]).unwrap()
    }

    fn first_iv(start: Start) -> u64 {
        start.iv_base.wrapping_add(start.first_sequence)
    }

    #[test]
    fn a_new_sa_starts_at_one_with_the_clock_in_its_iv() {
        let start = Memory::default().start(&name(Direction::Outbound), &key(1), false, 5_000_000);
        assert_eq!((start.first_sequence, start.replay_floor, first_iv(start)), (1, 0, 5_000_000));
    }

    #[test]
    fn after_the_data_plane_died_all_goes_on_above_what_was_used() {
        let mut memory = Memory::default();
        memory.learn([status(Direction::Outbound, 700, 0, 1_000_000)], false);
        memory.learn([status(Direction::Inbound, 1, 900, 0)], false);
        let out = memory.start(&name(Direction::Outbound), &key(1), false, 2_000_000);
        assert_eq!((out.first_sequence, first_iv(out)), (700, 2_000_000));
        // A clock that was set back does not bring an IV back.
        let back = memory.start(&name(Direction::Outbound), &key(1), false, 10);
        assert!(first_iv(back) >= 1_000_700, "{back:?}");
        assert_eq!(memory.start(&name(Direction::Inbound), &key(1), false, 0).replay_floor, 900);
        // An empty table of the next life takes nothing away.
        memory.learn([], true);
        assert_eq!(memory.start(&name(Direction::Outbound), &key(1), false, 0).first_sequence, 700);
    }

    #[test]
    fn a_live_sa_leaves_room_for_what_workers_take_meanwhile() {
        let mut memory = Memory::default();
        memory.learn([status(Direction::Outbound, 700, 0, 0)], true);
        assert_eq!(memory.start(&name(Direction::Outbound), &key(1), false, 0).first_sequence, 700 + HEADWAY);
        memory.learn([status(Direction::Outbound, u64::from(u32::MAX) + 1, 0, 0)], true);
        let start = memory.start(&name(Direction::Outbound), &key(1), false, 0);
        assert_eq!(start.first_sequence, u64::from(u32::MAX), "what cannot be sent is not asked for");
    }

    #[test]
    fn another_key_is_another_sa_but_not_another_clock() {
        let mut memory = Memory::default();
        memory.learn([status(Direction::Outbound, 700, 0, 1_000_000)], false);
        memory.learn([status(Direction::Inbound, 1, 900, 0)], false);
        memory.installed(name(Direction::Outbound), &key(1));
        memory.installed(name(Direction::Inbound), &key(1));
        let out = memory.start(&name(Direction::Outbound), &key(2), false, 10);
        assert_eq!(out.first_sequence, 1);
        assert!(first_iv(out) > 1_000_700);
        assert_eq!(memory.start(&name(Direction::Inbound), &key(2), false, 0).replay_floor, 0);
        assert_eq!(memory.start(&name(Direction::Inbound), &key(1), false, 0).replay_floor, 900);
        memory.installed(name(Direction::Inbound), &key(2));
        assert_eq!(memory.start(&name(Direction::Inbound), &key(1), false, 0).replay_floor, 0);
    }
}
