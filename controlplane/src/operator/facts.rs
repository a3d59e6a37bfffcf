//! What only the daemon knows: the configuration behind the numbers in shared memory. Never a key.

use crate::plan::Plan;
use crate::policy::Policies;
use config::{Config, CryptoMap, Entry, EntryKey, Interface, Keying};
use model::Mode;
use serde::{Deserialize, Serialize};
use shm::PortId;
use std::net::IpAddr;

/// Everything, for one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFacts {
    /// `hostname`.
    pub hostname: Option<String>,
    /// The file that it was read from.
    pub file: String,
    /// Whether the data plane is there and holds it.
    pub installed: bool,
    /// In the order of the text.
    pub interfaces: Vec<InterfaceFacts>,
    /// By name.
    pub crypto_maps: Vec<MapFacts>,
    /// By name.
    pub access_lists: Vec<ListFacts>,
    /// The crypto maps of ports, as they were compiled.
    pub policies: Vec<PolicyFacts>,
}

/// How the policy of a port was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFacts {
    /// Number of the port.
    pub port: u16,
    /// The crypto map.
    pub crypto_map: String,
    /// How long its compilation as a whole took, in microseconds.
    pub compile_us: u64,
    /// It is being compiled anew, to take in what changed since.
    pub recompiling: bool,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFacts {
    /// In the configuration.
    pub name: String,
    /// Of its mirror TAP, and in the data plane.
    pub linux_name: String,
    /// DPDK's words for the device.
    pub device: String,
    /// For people.
    pub description: Option<String>,
    /// With the lengths of their prefixes.
    pub addresses: Vec<String>,
    /// The VLAN of all that it carries.
    pub vlan: Option<u16>,
    /// `ip mtu`: the largest IPv4 packet that is sent, where the link takes more.
    pub mtu4: Option<u16>,
    /// `ipv6 mtu`: the same of IPv6.
    pub mtu6: Option<u16>,
    /// The crypto map on it.
    pub crypto_map: Option<String>,
    /// Administratively down.
    pub shutdown: bool,
}

/// A crypto map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFacts {
    /// Its name.
    pub name: String,
    /// `local-address`.
    pub local_address: Option<String>,
    /// Names of the interfaces that it is on.
    pub interfaces: Vec<String>,
    /// By sequence number.
    pub entries: Vec<EntryFacts>,
}

/// A crypto map entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFacts {
    /// Its sequence number.
    pub sequence: u16,
    /// Its number in shared memory; none while the map is on no interface.
    pub number: Option<u32>,
    /// For people.
    pub description: Option<String>,
    /// Outer address of this side.
    pub local: Option<IpAddr>,
    /// Outer addresses of the peers, in the order in which they are tried; none where it leads to a dynamic map.
    pub peers: Vec<IpAddr>,
    /// ESP goes in UDP, to this port of the peer, as manual keys have it; else IKE finds out.
    pub udp_port: Option<u16>,
    /// Names of its transform sets, in the order of preference.
    pub transform_sets: Vec<String>,
    /// What they are.
    pub transforms: Vec<String>,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Extended sequence numbers.
    pub extended_sequence: bool,
    /// What its SAs come of.
    pub keying: KeyingFacts,
    /// Their names.
    pub access_lists: Vec<String>,
}

/// What the SAs of a crypto map entry come of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keying", rename_all = "lowercase")]
pub enum KeyingFacts {
    /// They are written down.
    Manual {
        /// Of the inbound SA.
        inbound_spi: u32,
        /// Of the outbound SA.
        outbound_spi: u32,
    },
    /// IKE negotiates them.
    Ikev2 {
        /// The profile, if one is named.
        profile: Option<String>,
        /// The group of a key exchange of their own.
        pfs_group: Option<u16>,
        /// Seconds.
        lifetime: Option<u64>,
        /// Bytes.
        lifetime_bytes: Option<u64>,
    },
    /// IKE negotiates them with whoever comes.
    Dynamic {
        /// The dynamic map.
        map: String,
    },
    /// There are none: what it permits is dropped.
    Discard,
}

/// An access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFacts {
    /// Its name or number.
    pub name: String,
    /// It is of IPv6 addresses.
    pub ipv6: bool,
    /// In their order.
    pub rules: Vec<RuleFacts>,
}

/// A line of an access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFacts {
    /// Its sequence number.
    pub sequence: u32,
    /// As the configuration writes it.
    pub text: String,
    /// As policies name it.
    pub label: String,
}

impl ConfigFacts {
    /// Gathers them.
    pub fn new(
        config: &Config,
        plan: &Plan,
        policies: &Policies,
        file: &str,
        installed: bool,
    ) -> ConfigFacts {
        ConfigFacts {
            hostname: config.hostname().map(ToString::to_string),
            file: file.to_owned(),
            installed,
            interfaces: config.interfaces().iter().map(interface).collect(),
            crypto_maps: config.crypto_maps().values().map(|m| map(config, plan, m)).collect(),
            access_lists: config.access_lists().values().map(list).collect(),
            policies: plan.policies.iter().filter_map(|(port, _)| policy(policies, *port)).collect(),
        }
    }
}

fn policy(policies: &Policies, port: PortId) -> Option<PolicyFacts> {
    let published = policies.on(port)?;
    Some(PolicyFacts {
        port: port.get(),
        crypto_map: published.list().map.to_string(),
        compile_us: published.base().took.as_micros() as u64,
        recompiling: policies.is_folding(port),
    })
}

fn interface(interface: &Interface) -> InterfaceFacts {
    let addresses = interface.addresses.iter().map(ToString::to_string);
    InterfaceFacts {
        name: interface.name.to_string(),
        linux_name: interface.linux_name.to_string(),
        device: interface.device.clone(),
        description: interface.description.clone(),
        addresses: addresses.chain(interface.addresses6.iter().map(ToString::to_string)).collect(),
        vlan: interface.vlan,
        mtu4: interface.mtu4,
        mtu6: interface.mtu6,
        crypto_map: interface.crypto_map.as_ref().map(ToString::to_string),
        shutdown: interface.shutdown,
    }
}

fn map(config: &Config, plan: &Plan, map: &CryptoMap) -> MapFacts {
    let on: Vec<&Interface> =
        config.interfaces().iter().filter(|i| i.crypto_map.as_ref() == Some(&map.name)).collect();
    let source = match &map.local_address {
        Some(name) => config.interface(name.as_str()),
        None => on.first().copied(),
    };
    let entries = map.entries.iter().map(|(&sequence, each)| {
        let key = EntryKey { map: map.name.clone(), sequence };
        let number = plan.entries.get(&key).copied();
        entry(config, source, sequence, number, each)
    });
    MapFacts {
        name: map.name.to_string(),
        local_address: map.local_address.as_ref().map(ToString::to_string),
        interfaces: on.iter().map(|interface| interface.name.to_string()).collect(),
        entries: entries.collect(),
    }
}

fn entry(
    config: &Config,
    source: Option<&Interface>,
    sequence: u16,
    number: Option<u32>,
    entry: &Entry,
) -> EntryFacts {
    let (peers, names, udp_port, keying) = match &entry.keying {
        Keying::Manual(keys) => {
            let facts = KeyingFacts::Manual {
                inbound_spi: keys.inbound.spi.get(),
                outbound_spi: keys.outbound.spi.get(),
            };
            (vec![keys.peer], vec![&keys.transform_set], keys.udp_port, facts)
        }
        Keying::Negotiated(negotiation) => {
            let lifetime = config.lifetime(negotiation);
            let facts = KeyingFacts::Ikev2 {
                profile: negotiation.profile.as_ref().map(ToString::to_string),
                pfs_group: negotiation.pfs.map(config::DhGroup::number),
                lifetime: lifetime.time.map(|time| time.as_secs()),
                lifetime_bytes: lifetime.bytes,
            };
            (negotiation.peers.clone(), negotiation.transform_sets.iter().collect(), None, facts)
        }
        Keying::Dynamic(map) => (Vec::new(), Vec::new(), None, KeyingFacts::Dynamic { map: map.to_string() }),
        Keying::Discard => (Vec::new(), Vec::new(), None, KeyingFacts::Discard),
    };
    let sets: Vec<_> = names.iter().filter_map(|name| config.transform_sets().get(*name)).collect();
    let ends = peers.first().and_then(|&peer| Some((source?.address_towards(peer)?, peer)));
    let mode = ends.zip(sets.first()).map(|((local, peer), set)| config.mode(entry, set, local, peer));
    EntryFacts {
        sequence,
        number,
        description: entry.description.clone(),
        local: ends.map(|(local, _)| local).or_else(|| source?.primary().map(|prefix| prefix.addr().into())),
        peers,
        udp_port,
        transform_sets: names.iter().map(ToString::to_string).collect(),
        transforms: sets.iter().map(|set| set.suite.to_string()).collect(),
        mode: mode.unwrap_or(Mode::Tunnel),
        extended_sequence: sets.iter().any(|set| set.esn),
        keying,
        access_lists: entry.access_lists.iter().map(ToString::to_string).collect(),
    }
}

fn list(list: &config::AccessList) -> ListFacts {
    let rules = list.rules.iter().map(|rule| RuleFacts {
        sequence: rule.sequence,
        text: rule.to_text(list.family),
        label: label(list.name.as_str(), rule.sequence),
    });
    ListFacts {
        name: list.name.to_string(),
        ipv6: list.family == config::Family::Ipv6,
        rules: rules.collect(),
    }
}

/// As [`config::PolicyRule::label`] names the line: the end of a long list name is cut.
fn label(list: &str, sequence: u32) -> String {
    let sequence = sequence.to_string();
    let room = shm::layout::LABEL_BYTES.saturating_sub(sequence.len() + 1);
    format!("{}:{sequence}", list.get(..room).unwrap_or(list))
}
