//! What only the daemon knows: the configuration behind the numbers in shared memory. Never a key.

use crate::plan::Plan;
use crate::policy::Policies;
use config::{Config, CryptoMap, EntryKey, Interface};
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
    /// Outer address of the peer.
    pub peer: IpAddr,
    /// ESP goes in UDP, to this port of the peer.
    pub udp_port: Option<u16>,
    /// Name of its transform set.
    pub transform_set: String,
    /// What that is.
    pub transform: String,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Extended sequence numbers.
    pub extended_sequence: bool,
    /// Of the inbound SA.
    pub inbound_spi: u32,
    /// Of the outbound SA.
    pub outbound_spi: u32,
    /// Their names.
    pub access_lists: Vec<String>,
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

    /// The crypto map and the entry of it that have a number in shared memory.
    pub fn entry(&self, number: u32) -> Option<(&MapFacts, &EntryFacts)> {
        let mut all =
            self.crypto_maps.iter().flat_map(|map| map.entries.iter().map(move |entry| (map, entry)));
        all.find(|(_, entry)| entry.number == Some(number))
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
    let entries = map.entries.iter().map(|(&sequence, entry)| {
        let set = config.transform_sets().get(&entry.transform_set);
        let local = source.and_then(|interface| interface.address_towards(entry.peer));
        EntryFacts {
            sequence,
            number: plan.entries.get(&EntryKey { map: map.name.clone(), sequence }).copied(),
            description: entry.description.clone(),
            local,
            peer: entry.peer,
            udp_port: entry.udp_port,
            transform_set: entry.transform_set.to_string(),
            transform: set.map(|set| set.suite.to_string()).unwrap_or_default(),
            mode: local.map_or(Mode::Tunnel, |local| config.mode(entry, local)),
            extended_sequence: set.is_some_and(|set| set.esn),
            inbound_spi: entry.inbound.spi.get(),
            outbound_spi: entry.outbound.spi.get(),
            access_lists: entry.access_lists.iter().map(ToString::to_string).collect(),
        }
    });
    MapFacts {
        name: map.name.to_string(),
        local_address: map.local_address.as_ref().map(ToString::to_string),
        interfaces: on.iter().map(|interface| interface.name.to_string()).collect(),
        entries: entries.collect(),
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
