//! The checked configuration as a whole, and what can be asked of it.

use crate::{
    AccessList, CryptoMap, DynamicMap, Entry, EntryKey, Family, IkePolicy, IkeProfile, IkeProposal,
    Interface, IpsecProfile, Keying, Keyring, KeyringPeer, ManualKeys, Name, Negotiation, ReplayWindow,
    SaLifetime, SessionKey, StaticRoute, TfcSettings, TransformSet, Trustpoint, Verb,
};
use model::{DscpMap, Lifetime, Mode, Prefix, Selector, SizeRules, Suite, Tfc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A configuration without contradictions. Only [`crate::parse`] makes one: every name in it leads somewhere, every key has
/// the length that its suite wants, no key serves twice, and no inbound SPI stands for two SAs.
///
/// `Debug` and serde show no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    pub(crate) hostname: Option<Name>,
    pub(crate) replay: ReplayWindow,
    pub(crate) size: SizeRules,
    pub(crate) dscp: DscpMap,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) access_lists: BTreeMap<Name, AccessList>,
    pub(crate) transform_sets: BTreeMap<Name, TransformSet>,
    pub(crate) ike_proposals: BTreeMap<Name, IkeProposal>,
    pub(crate) ike_policies: BTreeMap<Name, IkePolicy>,
    pub(crate) keyrings: BTreeMap<Name, Keyring>,
    /// `crypto isakmp key`.
    pub(crate) keys: Vec<KeyringPeer>,
    pub(crate) trustpoints: BTreeMap<Name, Trustpoint>,
    pub(crate) ike_profiles: BTreeMap<Name, IkeProfile>,
    /// `crypto ikev2 dpd`, in seconds.
    pub(crate) dpd: Option<u16>,
    /// `crypto ipsec security-association lifetime`.
    pub(crate) lifetime: SaLifetime,
    /// `crypto ipsec security-association tfc-padding` and `dummy`.
    pub(crate) tfc: TfcSettings,
    pub(crate) ipsec_profiles: BTreeMap<Name, IpsecProfile>,
    pub(crate) dynamic_maps: BTreeMap<Name, DynamicMap>,
    pub(crate) crypto_maps: BTreeMap<Name, CryptoMap>,
    pub(crate) routes: Vec<StaticRoute>,
}

/// A crypto map entry with manual keys on an interface, with everything resolved: what its two SAs need.
#[derive(Clone, Debug)]
pub struct Tunnel<'a> {
    /// The entry's name.
    pub entry: EntryKey,
    /// The entry itself.
    pub settings: &'a Entry,
    /// What it says of its SAs.
    pub keys: &'a ManualKeys,
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
    /// Of the outbound SA.
    pub dscp: &'a DscpMap,
    /// Of the outbound SA; no padding in transport mode.
    pub tfc: Tfc,
    /// SPI and key of the inbound SA.
    pub inbound: &'a SessionKey,
    /// SPI and key of the outbound SA.
    pub outbound: &'a SessionKey,
    /// Which packets it is for, as the outbound SA sees them; a packet out of the inbound SA must match one of them
    /// [reversed](Selector::reversed). At most [`Config::MAX_SELECTORS`]. They are the `permit`s of its access lists; what a
    /// `deny` takes out of a later `permit` is not taken out here.
    pub selectors: Vec<Selector>,
}

/// A crypto map entry on an interface whose SAs IKE negotiates, or an entry of the dynamic map that it leads to.
#[derive(Clone, Debug)]
pub struct Negotiated<'a> {
    /// The crypto map's entry.
    pub entry: EntryKey,
    /// The dynamic map's, if it leads to one: its name and sequence number.
    pub dynamic: Option<EntryKey>,
    /// What is to be negotiated.
    pub negotiation: &'a Negotiation,
    /// The interface whose addresses tunnels begin at.
    pub source: &'a Interface,
    /// As [`Tunnel::selectors`]; none where a dynamic map leaves them to the peer.
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

    /// Code points of outer headers: `crypto ipsec dscp`.
    pub fn dscp(&self) -> &DscpMap {
        &self.dscp
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

    /// By name.
    pub fn ike_proposals(&self) -> &BTreeMap<Name, IkeProposal> {
        &self.ike_proposals
    }

    /// By name.
    pub fn ike_policies(&self) -> &BTreeMap<Name, IkePolicy> {
        &self.ike_policies
    }

    /// By name.
    pub fn ike_profiles(&self) -> &BTreeMap<Name, IkeProfile> {
        &self.ike_profiles
    }

    /// By name.
    pub fn keyrings(&self) -> &BTreeMap<Name, Keyring> {
        &self.keyrings
    }

    /// `crypto isakmp key`, in the order of the text.
    pub fn isakmp_keys(&self) -> &[KeyringPeer] {
        &self.keys
    }

    /// By name.
    pub fn trustpoints(&self) -> &BTreeMap<Name, Trustpoint> {
        &self.trustpoints
    }

    /// By name.
    pub fn dynamic_maps(&self) -> &BTreeMap<Name, DynamicMap> {
        &self.dynamic_maps
    }

    /// By name.
    pub fn ipsec_profiles(&self) -> &BTreeMap<Name, IpsecProfile> {
        &self.ipsec_profiles
    }

    /// `crypto ikev2 dpd`: after how many seconds of silence a peer is asked whether it is alive; `None` is never.
    pub fn dpd(&self) -> Option<u16> {
        self.dpd
    }

    /// How long the SAs of a negotiation may serve.
    pub fn lifetime(&self, negotiation: &Negotiation) -> Lifetime {
        let said = negotiation.lifetime.or(self.lifetime);
        let seconds = said.seconds.unwrap_or(SaLifetime::DEFAULT_SECONDS);
        Lifetime {
            time: Some(Duration::from_secs(seconds.into())),
            bytes: said.kilobytes.flatten().map(|kilobytes| u64::from(kilobytes) * 1024),
            packets: None,
        }
    }

    /// How outbound SAs hide the lengths of their packets, and when there are any: what an entry says, and where it says nothing,
    /// what the configuration says for all. Transport mode has no padding.
    pub fn tfc(&self, said: TfcSettings, mode: Mode) -> Tfc {
        let tfc = said.or(self.tfc);
        if mode == Mode::Transport { tfc.without_padding() } else { tfc }
    }

    /// The keys that a negotiation may use: those of its profile's keyring; without a profile, `crypto isakmp key` and every
    /// `crypto keyring`.
    pub fn shared_keys(&self, negotiation: &Negotiation) -> Vec<&KeyringPeer> {
        match negotiation.profile.as_ref().map(|name| self.ike_profiles.get(name)) {
            Some(profile) => {
                let keyring = profile.and_then(|profile| self.keyrings.get(profile.keyring.as_ref()?));
                keyring.iter().flat_map(|keyring| &keyring.peers).collect()
            }
            None => {
                let keyrings = self.keyrings.values().filter(|keyring| !keyring.ikev2);
                self.keys.iter().chain(keyrings.flat_map(|keyring| &keyring.peers)).collect()
            }
        }
    }

    /// The key that a negotiation uses with a peer of known address: that of the longest prefix; of equal ones the first.
    pub fn shared_key(&self, negotiation: &Negotiation, peer: IpAddr) -> Option<&KeyringPeer> {
        let profile = negotiation.profile.as_ref().and_then(|name| self.ike_profiles.get(name));
        let fits = |key: &&KeyringPeer| {
            let is_meant = |identity| profile.is_none_or(|profile| profile.accepts(identity));
            key.address.is_none_or(|prefix| prefix.contains(&peer))
                && key.identity.as_ref().is_none_or(is_meant)
        };
        let longest = |key: &&KeyringPeer| key.address.map_or(-1, |prefix| i32::from(prefix.prefix_len()));
        self.shared_keys(negotiation).into_iter().rev().filter(fits).max_by_key(longest)
    }

    /// Where the tunnels of a map begin: `local-address`, or the interface that it is on. `None` while it is on no interface.
    fn source(&self, map: &CryptoMap) -> Option<&Interface> {
        let on = self.interfaces.iter().find(|i| i.crypto_map.as_ref() == Some(&map.name))?;
        match &map.local_address {
            Some(name) => self.interface(name.as_str()),
            None => Some(on),
        }
    }

    /// Every crypto map entry with manual keys that is on an interface, once each, even if its map is on several (which
    /// `local-address` allows), in the order of maps and sequence numbers. Of a shut down interface, too.
    pub fn tunnels(&self) -> Vec<Tunnel<'_>> {
        let mut tunnels = Vec::new();
        for map in self.crypto_maps.values() {
            let Some(source) = self.source(map) else { continue };
            for (&sequence, entry) in &map.entries {
                let Keying::Manual(keys) = &entry.keying else { continue };
                let Some(local) = source.address_towards(keys.peer) else { continue };
                let Some(set) = self.transform_sets.get(&keys.transform_set) else { continue };
                let mode = self.mode(entry, set, local, keys.peer);
                tunnels.push(Tunnel {
                    entry: EntryKey { map: map.name.clone(), sequence },
                    settings: entry,
                    keys,
                    local,
                    peer: keys.peer,
                    suite: set.suite,
                    mode,
                    esn: set.esn,
                    replay: self.replay,
                    size: self.size,
                    dscp: &self.dscp,
                    tfc: self.tfc(keys.tfc, mode),
                    inbound: &keys.inbound,
                    outbound: &keys.outbound,
                    selectors: self.permits(entry),
                });
            }
        }
        tunnels
    }

    /// Every crypto map entry on an interface that IKE is to bring up, in the order of maps and sequence numbers; in the place of
    /// one that leads to a dynamic map, the entries of that.
    pub fn negotiated(&self) -> Vec<Negotiated<'_>> {
        let mut all = Vec::new();
        for map in self.crypto_maps.values() {
            let Some(source) = self.source(map) else { continue };
            for (&sequence, entry) in &map.entries {
                let key = EntryKey { map: map.name.clone(), sequence };
                let mut add = |entry: &Entry, dynamic, negotiation| {
                    let selectors = self.permits(entry);
                    all.push(Negotiated { entry: key.clone(), dynamic, negotiation, source, selectors });
                };
                match &entry.keying {
                    Keying::Manual(_) | Keying::Discard => {}
                    Keying::Negotiated(negotiation) => add(entry, None, negotiation),
                    Keying::Dynamic(name) => {
                        let entries = self.dynamic_maps.get(name).into_iter().flat_map(|map| &map.entries);
                        for (&sequence, entry) in entries {
                            if let Keying::Negotiated(negotiation) = &entry.keying {
                                add(entry, Some(EntryKey { map: name.clone(), sequence }), negotiation);
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// The mode of an entry whose tunnel begins at `local` and ends at `peer`: transport if its transform set says so and all that
    /// it permits goes from there to the peer; else tunnel.
    pub fn mode(&self, entry: &Entry, set: &TransformSet, local: IpAddr, peer: IpAddr) -> Mode {
        let between = |selector: &Selector| is_between(selector, local, peer);
        let transport = set.mode == Mode::Transport && self.permits(entry).iter().all(between);
        if transport { Mode::Transport } else { Mode::Tunnel }
    }

    /// An entry itself; of one that leads to a dynamic map, the entries of that.
    pub(crate) fn written_out<'a>(&'a self, entry: &'a Entry) -> Vec<&'a Entry> {
        match &entry.keying {
            Keying::Dynamic(name) => {
                self.dynamic_maps.get(name).map(|map| map.entries.values().collect()).unwrap_or_default()
            }
            _ => vec![entry],
        }
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
