//! What an SA serves, which only the daemon knows: the entry of a crypto map, found once for all SAs.

use crate::operator::facts::{EntryFacts, KeyingFacts, MapFacts};
use crate::operator::sessions::PairFacts;
use crate::show::View;
use shm::SaDescriptor;
use std::collections::HashMap;
use std::net::IpAddr;

/// All of it.
pub(super) struct Served<'v> {
    /// Whether a daemon could be asked.
    asked: bool,
    maps: HashMap<&'v str, &'v MapFacts>,
    /// By the entry's number in shared memory.
    entries: HashMap<u32, (&'v MapFacts, &'v EntryFacts)>,
    /// By the index of either SA.
    pairs: HashMap<u32, &'v PairFacts>,
    /// The largest packets that each interface sends, of IPv4 and of IPv6, by its name.
    mtus: HashMap<&'v str, (u16, u16)>,
}

/// What one SA serves, as far as it is known.
#[derive(Default)]
pub(super) struct Serves<'v> {
    pub(super) map: Option<&'v MapFacts>,
    pub(super) sequence: Option<u16>,
    pub(super) dynamic: Option<&'v String>,
    pub(super) manual: Option<bool>,
    pub(super) ends_in: Option<u64>,
}

impl<'v> Served<'v> {
    pub(super) fn of(view: &'v View) -> Served<'v> {
        let maps = || view.facts.iter().flat_map(|facts| &facts.crypto_maps);
        let entries = maps().flat_map(|map| map.entries.iter().map(move |entry| (map, entry)));
        let ports: HashMap<&str, u16> =
            view.counters.ports.values().map(|port| (port.name.as_str(), port.mtu)).collect();
        let interfaces = view.facts.iter().flat_map(|facts| &facts.interfaces).filter_map(|interface| {
            let mtu = *ports.get(interface.linux_name.as_str())?;
            let least = |ip: Option<u16>| ip.map_or(mtu, |ip| ip.min(mtu));
            Some((interface.name.as_str(), (least(interface.mtu4), least(interface.mtu6))))
        });
        Served {
            asked: view.facts.is_some(),
            maps: maps().map(|map| (map.name.as_str(), map)).collect(),
            entries: entries.filter_map(|each| Some((each.1.number?, each))).collect(),
            pairs: view.pairs.iter().flat_map(|pair| [(pair.inbound, pair), (pair.outbound, pair)]).collect(),
            mtus: interfaces.collect(),
        }
    }

    /// What an SA serves.
    pub(super) fn by(&self, sa: &SaDescriptor) -> Serves<'v> {
        if !self.asked {
            return Serves::default();
        }
        if let Some(pair) = self.pairs.get(&sa.index) {
            return Serves {
                map: self.maps.get(pair.map.as_str()).copied(),
                sequence: Some(pair.sequence),
                dynamic: pair.dynamic.as_ref(),
                manual: Some(false),
                ends_in: pair.ends_in,
            };
        }
        let entry = sa.entry.and_then(|number| self.entries.get(&number));
        Serves {
            map: entry.map(|(map, _)| *map),
            sequence: entry.map(|(_, entry)| entry.sequence),
            manual: Some(entry.is_some_and(|(_, entry)| matches!(entry.keying, KeyingFacts::Manual { .. }))),
            ..Serves::default()
        }
    }

    /// The largest packet of an address's family that the interfaces of a crypto map all send.
    pub(super) fn mtu(&self, map: &MapFacts, local: IpAddr) -> Option<u16> {
        let mtus = map.interfaces.iter().filter_map(|name| self.mtus.get(name.as_str()));
        mtus.map(|&(v4, v6)| if local.is_ipv4() { v4 } else { v6 }).min()
    }
}
