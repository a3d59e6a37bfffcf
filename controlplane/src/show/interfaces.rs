//! `show interfaces`.

use super::{Page, View, dotted, mac, plural};
use crate::operator::facts::InterfaceFacts;
use serde::Serialize;
use shm::{PortId, PortStatus, PortTraffic};
use std::fmt::Write as _;

/// All interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interfaces {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By the port's number, those that the data plane does not have in the end.
    pub interfaces: Vec<InterfacePage>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfacePage {
    /// In the configuration; where no daemon could be asked, in Linux.
    pub name: String,
    /// What the data plane says of it; nothing while it is not attached.
    #[serde(flatten)]
    pub port: Option<Port>,
    /// For people.
    pub description: Option<String>,
    /// With the lengths of their prefixes.
    pub addresses: Vec<String>,
    /// The VLAN of all that it carries.
    pub vlan: Option<u16>,
    /// The crypto map on it.
    pub crypto_map: Option<String>,
}

/// A port of the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its number.
    pub port: PortId,
    /// Its mirror TAP.
    pub linux_name: String,
    /// DPDK's words for the device.
    pub device: String,
    /// Station address.
    pub mac: String,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Administratively down.
    pub shutdown: bool,
    /// The link is up.
    pub link_up: bool,
    /// In Mbit/s, where the device knows.
    pub speed_mbps: Option<u32>,
    /// Packets that the device dropped because nobody took them in time.
    pub missed: u64,
    /// Packets that the device could not receive or send.
    pub errors: u64,
    /// Times that the device found no buffer.
    pub no_mbuf: u64,
    /// What passed, over all workers.
    #[serde(flatten)]
    pub traffic: PortTraffic,
}

impl Port {
    pub(super) fn new(number: PortId, status: &PortStatus, traffic: PortTraffic) -> Port {
        Port {
            port: number,
            linux_name: status.name.to_string(),
            device: status.device.to_string(),
            mac: mac(status.mac),
            mtu: status.mtu,
            shutdown: status.shutdown,
            link_up: status.link_up,
            speed_mbps: Some(status.speed_mbps).filter(|&speed| speed != 0 && speed != u32::MAX),
            missed: status.missed,
            errors: status.errors,
            no_mbuf: status.no_mbuf,
            traffic,
        }
    }
}

impl Interfaces {
    /// Out of a view.
    pub fn new(view: &View) -> Interfaces {
        let mut of_config: Vec<&InterfaceFacts> =
            view.facts.iter().flat_map(|facts| &facts.interfaces).collect();
        let mut interfaces = Vec::new();
        for (&number, status) in &view.counters.ports {
            let place = of_config.iter().position(|interface| interface.linux_name == status.name.as_str());
            let facts = place.map(|place| of_config.remove(place));
            let port = Port::new(number, status, view.counters.traffic(number));
            let name = facts.map_or_else(|| port.linux_name.clone(), |facts| facts.name.clone());
            interfaces.push(page(name, Some(port), facts));
        }
        interfaces.extend(of_config.into_iter().map(|facts| page(facts.name.clone(), None, Some(facts))));
        Interfaces { hostname: view.hostname(), interfaces }
    }
}

fn page(name: String, port: Option<Port>, facts: Option<&InterfaceFacts>) -> InterfacePage {
    InterfacePage {
        name,
        port,
        description: facts.and_then(|facts| facts.description.clone()),
        addresses: facts.map(|facts| facts.addresses.clone()).unwrap_or_default(),
        vlan: facts.and_then(|facts| facts.vlan),
        crypto_map: facts.and_then(|facts| facts.crypto_map.clone()),
    }
}

impl Page for Interfaces {
    fn text(&self) -> String {
        if self.interfaces.is_empty() {
            return "There are no interfaces.\n".to_owned();
        }
        let mut text = String::new();
        for interface in &self.interfaces {
            // Writing to a `String` does not fail.
            let _ = write_interface(&mut text, interface);
        }
        text
    }
}

fn write_interface(text: &mut String, interface: &InterfacePage) -> std::fmt::Result {
    let Some(port) = &interface.port else {
        return writeln!(text, "{} is not attached to the data plane", interface.name);
    };
    let up = |up| if up { "up" } else { "down" };
    let administrative = if port.shutdown { "administratively down" } else { up(port.link_up) };
    let protocol = up(port.link_up && !port.shutdown);
    writeln!(text, "{} is {administrative}, line protocol is {protocol}", interface.name)?;
    writeln!(text, "  Hardware is {}, address is {}", port.device, dotted(&port.mac))?;
    if let Some(description) = &interface.description {
        writeln!(text, "  Description: {description}")?;
    }
    for address in &interface.addresses {
        writeln!(text, "  Internet address is {address}")?;
    }
    let speed = port.speed_mbps.map(|speed| format!(", {speed} Mbit/s")).unwrap_or_default();
    writeln!(text, "  MTU {} bytes{speed}, port {}, mirror TAP {}", port.mtu, port.port, port.linux_name)?;
    if let Some(vlan) = interface.vlan {
        writeln!(text, "  Encapsulation 802.1Q Virtual LAN, Vlan ID {vlan}")?;
    }
    if let Some(map) = &interface.crypto_map {
        writeln!(text, "  Crypto map {map}")?;
    }
    let t = &port.traffic;
    writeln!(text, "     {} input, {}", plural(t.rx_packets, "packet"), plural(t.rx_bytes, "byte"))?;
    writeln!(
        text,
        "     {}, {} missed, {} no buffer",
        plural(port.errors, "error"),
        port.missed,
        port.no_mbuf
    )?;
    writeln!(text, "     {} output, {}", plural(t.tx_packets, "packet"), plural(t.tx_bytes, "byte"))?;
    writeln!(text, "     {} to Linux, {} from Linux", plural(t.to_linux, "packet"), t.from_linux)
}
