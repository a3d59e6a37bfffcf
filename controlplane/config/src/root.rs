//! The checked configuration as a whole, and what can be asked of it.

use crate::{
    AccessList, CryptoMap, Entry, EntryKey, Family, Interface, Name, ReplayWindow, SessionKey, StaticRoute,
    TransformSet, Verb,
};
use model::{Mode, Prefix, Selector, SizeRules, Suite};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A configuration without contradictions. Only [`crate::parse`] makes one: every name in it leads somewhere, every key has
/// the length that its suite wants, no key serves twice, and no inbound SPI stands for two SAs.
///
/// `Debug` and serde show no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    pub(crate) hostname: Option<Name>,
    pub(crate) replay: ReplayWindow,
    pub(crate) size: SizeRules,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) access_lists: BTreeMap<Name, AccessList>,
    pub(crate) transform_sets: BTreeMap<Name, TransformSet>,
    pub(crate) crypto_maps: BTreeMap<Name, CryptoMap>,
    pub(crate) routes: Vec<StaticRoute>,
}

/// A crypto map entry on an interface, with everything resolved: what its two SAs need.
#[derive(Clone, Debug)]
pub struct Tunnel<'a> {
    /// The entry's name.
    pub entry: EntryKey,
    /// The entry itself.
    pub settings: &'a Entry,
    /// Outer address on this side.
    pub local: IpAddr,
    /// Outer address of the peer, of the same family.
    pub peer: IpAddr,
    /// Algorithms.
    pub suite: Suite,
    /// Transport if the transform set says so and all that is permitted goes between `local` and `peer`; else tunnel.
    pub mode: Mode,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Of the inbound SA.
    pub replay: ReplayWindow,
    /// Of the outbound SA.
    pub size: SizeRules,
    /// SPI and key of the inbound SA.
    pub inbound: &'a SessionKey,
    /// SPI and key of the outbound SA.
    pub outbound: &'a SessionKey,
    /// Which packets it is for, as the outbound SA sees them; a packet out of the inbound SA must match one of them
    /// [reversed](Selector::reversed). At most [`Config::MAX_SELECTORS`]. They are the `permit`s of its access lists; what a
    /// `deny` takes out of a later `permit` is not taken out here.
    pub selectors: Vec<Selector>,
}

impl Config {
    /// The most interfaces.
    pub const MAX_INTERFACES: usize = 32;
    /// The most selectors of one crypto map entry.
    pub const MAX_SELECTORS: usize = 64;

    /// `hostname`.
    pub fn hostname(&self) -> Option<&Name> {
        self.hostname.as_ref()
    }

    /// The anti-replay window of inbound SAs.
    pub fn replay(&self) -> ReplayWindow {
        self.replay
    }

    /// What becomes of packets too long for their SA: `crypto ipsec df-bit` and `crypto ipsec fragmentation`.
    pub fn size(&self) -> SizeRules {
        self.size
    }

    /// In the order of the text, which also numbers the data plane's ports.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// One interface by its name in the configuration, whatever the case of the letters.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name.as_str().eq_ignore_ascii_case(name))
    }

    /// By name.
    pub fn access_lists(&self) -> &BTreeMap<Name, AccessList> {
        &self.access_lists
    }

    /// By name.
    pub fn transform_sets(&self) -> &BTreeMap<Name, TransformSet> {
        &self.transform_sets
    }

    /// By name.
    pub fn crypto_maps(&self) -> &BTreeMap<Name, CryptoMap> {
        &self.crypto_maps
    }

    /// In the order of the text.
    pub fn routes(&self) -> &[StaticRoute] {
        &self.routes
    }

    /// One crypto map entry.
    pub fn entry(&self, key: &EntryKey) -> Option<&Entry> {
        self.crypto_maps.get(&key.map)?.entries.get(&key.sequence)
    }

    /// Every crypto map entry that is on an interface, once each, even if its map is on several (which `local-address`
    /// allows), in the order of maps and sequence numbers. Of a shut down interface, too.
    pub fn tunnels(&self) -> Vec<Tunnel<'_>> {
        let mut tunnels = Vec::new();
        for map in self.crypto_maps.values() {
            let on = self.interfaces.iter().find(|i| i.crypto_map.as_ref() == Some(&map.name));
            let source = match &map.local_address {
                Some(name) => on.and_then(|_| self.interface(name.as_str())),
                None => on,
            };
            let Some(source) = source else { continue };
            for (&sequence, entry) in &map.entries {
                let Some(local) = source.address_towards(entry.peer) else { continue };
                let Some(set) = self.transform_sets.get(&entry.transform_set) else { continue };
                tunnels.push(Tunnel {
                    entry: EntryKey { map: map.name.clone(), sequence },
                    settings: entry,
                    local,
                    peer: entry.peer,
                    suite: set.suite,
                    mode: self.mode(entry, local),
                    esn: set.esn,
                    replay: self.replay,
                    size: self.size,
                    inbound: &entry.inbound,
                    outbound: &entry.outbound,
                    selectors: self.permits(entry),
                });
            }
        }
        tunnels
    }

    /// The mode of an entry whose tunnel begins at `local`: transport if its transform set says so and all that it permits goes
    /// from there to the peer; else tunnel.
    pub fn mode(&self, entry: &Entry, local: IpAddr) -> Mode {
        let asked = self.transform_sets.get(&entry.transform_set).map_or(Mode::Tunnel, |set| set.mode);
        let between = |selector: &Selector| is_between(selector, local, entry.peer);
        if asked == Mode::Transport && self.permits(entry).iter().all(between) { asked } else { Mode::Tunnel }
    }

    /// What the access lists of an entry permit.
    fn permits(&self, entry: &Entry) -> Vec<Selector> {
        let lists = entry.access_lists.iter().filter_map(|name| self.access_lists.get(name));
        let permits = lists.flat_map(|list| &list.rules).filter(|rule| rule.verb == Verb::Permit);
        permits.flat_map(crate::Rule::selectors).collect()
    }

    /// The access list of one family of an entry.
    pub fn entry_access_list(&self, entry: &Entry, family: Family) -> Option<&AccessList> {
        let mut lists = entry.access_lists.iter().filter_map(|name| self.access_lists.get(name));
        lists.find(|list| list.family == family)
    }
}

/// Whether a selector is of packets from one address to the other, and no others.
fn is_between(selector: &Selector, source: IpAddr, destination: IpAddr) -> bool {
    selector.source() == Prefix::from(source) && selector.destination() == Prefix::from(destination)
}
