//! SAs that an earlier control plane negotiated: they carry traffic until ours take their place. Pure.
//!
//! Their keys died with it, but the data plane has them. One is known by the number of the entry that it serves, if this
//! configuration gives that number to an entry with the same ends; another entry's it cannot become, as its selectors are
//! checked at both ends. What a dynamic entry's peer may be sent was known to the dead alone, so such a peer must come again.

use super::connections::Connections;
use crate::plan::Present;
use config::EntryKey;
use model::Direction;
use shm::{Command, SaDescriptor};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an inbound one takes what is still on its way.
const FADE: Duration = Duration::from_secs(3);

/// All of them.
#[derive(Debug, Default)]
pub struct Inherited {
    by_number: BTreeMap<u32, Legacy>,
    /// Indexes of inbound SAs that were succeeded.
    fading: VecDeque<(Instant, u32)>,
}

/// Those of one entry.
#[derive(Debug)]
struct Legacy {
    policy: Arc<str>,
    inbound: Vec<u32>,
    /// In the order of their coming: the last one carries what leaves.
    outbound: Vec<(u64, u32)>,
}

impl Inherited {
    /// What of that which the data plane holds is nobody's of ours (`is_ours`, by index), and serves an entry all the same.
    pub fn find(
        present: &Present,
        entries: &BTreeMap<EntryKey, u32>,
        connections: &Connections,
        is_ours: impl Fn(u32) -> bool,
    ) -> Inherited {
        let policies: BTreeMap<u32, &Arc<str>> = connections
            .by_entry
            .iter()
            .filter_map(|(key, policy)| Some((*entries.get(key)?, policy)))
            .collect();
        let mut found = Inherited::default();
        let live = present.sas.iter().map(|sa| &sa.descriptor).filter(|sa| sa.live && !is_ours(sa.index));
        for sa in live {
            let Some((number, policy)) = sa.entry.and_then(|number| Some((number, *policies.get(&number)?)))
            else {
                continue;
            };
            if !has_ends(connections, policy, sa) {
                continue;
            }
            let legacy = found.by_number.entry(number).or_insert_with(|| Legacy {
                policy: Arc::clone(policy),
                inbound: Vec::new(),
                outbound: Vec::new(),
            });
            match sa.direction {
                Direction::Inbound => legacy.inbound.push(sa.index),
                Direction::Outbound => legacy.outbound.push((sa.installed_at, sa.index)),
            }
        }
        found.by_number.values_mut().for_each(|legacy| legacy.outbound.sort_unstable());
        found
    }

    /// What has the data plane keep them, in a transaction that lists everything.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = self.indexes().map(|index| Command::KeepSa { index }).collect();
        for (&entry, legacy) in &self.by_number {
            if let Some(&(_, index)) = legacy.outbound.last() {
                commands.push(Command::BindEntry { entry, sa: Some(index) });
            }
        }
        commands
    }

    /// Their places in the SA table.
    pub fn indexes(&self) -> impl Iterator<Item = u32> {
        let of = |legacy: &Legacy| -> Vec<u32> {
            legacy.inbound.iter().copied().chain(legacy.outbound.iter().map(|(_, index)| *index)).collect()
        };
        self.by_number.values().flat_map(of).chain(self.fading.iter().map(|(_, index)| *index))
    }

    /// Entries that have them, and want others.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_number.values().map(|legacy| &legacy.policy)
    }

    /// Nothing is left of them: the data plane that had them is gone.
    pub fn clear(&mut self) {
        *self = Inherited::default();
    }

    /// One of ours carries what leaves by that entry: theirs go, inbound ones a little later.
    pub fn succeed(&mut self, number: u32, now: Instant) -> Vec<Command> {
        let Some(legacy) = self.by_number.remove(&number) else { return Vec::new() };
        self.fading.extend(legacy.inbound.into_iter().map(|index| (now + FADE, index)));
        legacy.outbound.into_iter().map(|(_, index)| Command::RemoveSa { index }).collect()
    }

    /// When the first of those that fade is gone.
    pub fn deadline(&self) -> Option<Instant> {
        self.fading.front().map(|(at, _)| *at)
    }

    /// Those that have faded.
    pub fn faded(&mut self, now: Instant) -> Vec<Command> {
        let count = self.fading.iter().take_while(|(at, _)| *at <= now).count();
        self.fading.drain(..count).map(|(_, index)| Command::RemoveSa { index }).collect()
    }
}

fn has_ends(connections: &Connections, policy: &str, sa: &SaDescriptor) -> bool {
    let tunnel = connections.tunnels.get(policy);
    tunnel
        .is_some_and(|tunnel| tunnel.ways.iter().any(|way| way.local == sa.local && way.remote == sa.remote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiate::connections::{Tunnel, Way};
    use model::{Mode, Spi, Suite};
    use shm::{Limits, SaCounts, SaStatus};

    fn entry(sequence: u16) -> EntryKey {
        EntryKey { map: config::Name::new("SITES").unwrap(), sequence }
    }

    fn sa(index: u32, entry: u32, remote: &str, installed_at: u64) -> SaStatus {
        let descriptor = SaDescriptor {
            live: true,
            index,
            spi: Spi::new(0x1000 + index).unwrap(),
            direction: if index.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound },
            suite: Suite::AES_GCM_128,
            mode: Mode::Tunnel,
            local: "192.0.2.1".parse().unwrap(),
            remote: remote.parse().unwrap(),
            udp_port: None,
            moved_to: None,
            entry: Some(entry),
            extended_sequence: false,
            replay_window: 4096,
            limits: Limits::default(),
            first_sequence: 1,
            replay_floor: 0,
            iv_base: 0,
            tfc: model::Tfc::NONE,
            installed_at,
        };
        SaStatus { descriptor, next_sequence: 1, highest: 0, path_mtu: None, counters: SaCounts::default() }
    }

    /// Entry 10 has number 0 and the peer 192.0.2.2, entry 20 number 1 and 192.0.2.3.
    fn found(sas: Vec<SaStatus>) -> Inherited {
        let mut connections = Connections::default();
        let mut entries = BTreeMap::new();
        for (number, (sequence, remote)) in [(10, "192.0.2.2"), (20, "192.0.2.3")].into_iter().enumerate() {
            let policy: Arc<str> = format!("SITES {sequence}").into();
            let [local, remote] = ["192.0.2.1", remote].map(|text| text.parse().unwrap());
            let ways = vec![Way { connection: "peer".into(), local, remote }];
            let (entry_key, permits, tfc) = (entry(sequence), Vec::new(), config::TfcSettings::default());
            let tunnel = Tunnel { entry: entry_key, dynamic: None, ways, permits, tfc };
            connections.tunnels.insert(Arc::clone(&policy), tunnel);
            connections.by_entry.insert(entry(sequence), policy);
            entries.insert(entry(sequence), number as u32);
        }
        let present = Present { sas, ..Present::default() };
        Inherited::find(&present, &entries, &connections, |index| index >= 100)
    }

    #[test]
    fn what_has_the_ends_of_its_entry_is_kept_until_another_succeeds_it() {
        // Two pairs while one took the place of another; one that is ours; one that has another peer; one of no entry that there is.
        let sas = vec![
            sa(3, 0, "192.0.2.2", 900),
            sa(0, 0, "192.0.2.2", 100),
            sa(1, 0, "192.0.2.2", 100),
            sa(2, 0, "192.0.2.2", 900),
            sa(101, 0, "192.0.2.2", 900),
            sa(5, 1, "192.0.2.2", 900),
            sa(7, 2, "192.0.2.2", 900),
        ];
        let mut inherited = found(sas);
        assert_eq!(inherited.policies().map(|policy| &**policy).collect::<Vec<_>>(), ["SITES 10"]);
        let kept = [0, 2, 1, 3].map(|index| Command::KeepSa { index });
        let bound = Command::BindEntry { entry: 0, sa: Some(3) };
        assert_eq!(inherited.commands(), [kept.as_slice(), &[bound]].concat());
        let now = Instant::now();
        assert!(inherited.succeed(1, now).is_empty());
        assert_eq!(inherited.succeed(0, now), [1, 3].map(|index| Command::RemoveSa { index }));
        assert_eq!((inherited.policies().count(), inherited.deadline()), (0, Some(now + FADE)));
        assert_eq!(inherited.indexes().collect::<Vec<_>>(), [0, 2]);
        assert!(inherited.faded(now).is_empty());
        assert_eq!(inherited.faded(now + FADE), [0, 2].map(|index| Command::RemoveSa { index }));
        assert_eq!(inherited.deadline(), None);
    }
}
