//! The model as text again: what `show running-config` prints, and what [`crate::parse`] reads back as the same model.

mod ike;

use crate::marks::CodePoint;
use crate::source::MASK;
use crate::{
    AccessList, Config, Entry, Family, Interface, Keying, ManualKeys, PortMatch, ReplayWindow, Rule,
    SessionKey, Target, Verb,
};
use model::{DontFragment, DscpMap, Fragmentation, KeyShape, Mode, Prefix, Protocol};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Whether a text shows session keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Each is `****`. Such a text reads back as an error that says so.
    Masked,
    /// In hexadecimal: never for a screen or a log.
    Shown,
}

impl Config {
    /// As text, in an order in which every name is defined before it is used. Wiped when dropped, for it may hold keys.
    pub fn to_text(&self, secrets: Secrets) -> Zeroizing<String> {
        // A `String` that grows leaves copies behind, so the room for keys is there from the start.
        let mut text = String::with_capacity(if secrets == Secrets::Shown { self.length() } else { 0 });
        // Writing to a `String` does not fail.
        let _ = self.write(&mut text, secrets);
        Zeroizing::new(text)
    }

    fn length(&self) -> usize {
        self.to_text(Secrets::Masked).len()
            + self.crypto_maps.values().map(|map| map.entries.len()).sum::<usize>()
                * 4
                * model::KeyMaterial::MAX
            + ike::keys_length(self)
    }

    fn write(&self, text: &mut String, secrets: Secrets) -> std::fmt::Result {
        if let Some(name) = &self.hostname {
            writeln!(text, "hostname {name}\n!")?;
        }
        for list in self.access_lists.values() {
            write_access_list(text, list)?;
        }
        match self.replay {
            replay if replay == ReplayWindow::default() => {}
            ReplayWindow::Disabled => writeln!(text, "crypto ipsec security-association replay disable\n!")?,
            ReplayWindow::Packets(packets) => {
                writeln!(text, "crypto ipsec security-association replay window-size {packets}\n!")?;
            }
        }
        match self.size.df {
            DontFragment::Copy => {}
            DontFragment::Set => writeln!(text, "crypto ipsec df-bit set\n!")?,
            DontFragment::Clear => writeln!(text, "crypto ipsec df-bit clear\n!")?,
        }
        write_dscp(text, &self.dscp)?;
        if self.size.fragmentation == Fragmentation::AfterEncryption {
            writeln!(text, "crypto ipsec fragmentation after-encryption\n!")?;
        }
        ike::write(text, self, secrets)?;
        for set in self.transform_sets.values() {
            let mode = match set.mode {
                Mode::Tunnel => "tunnel",
                Mode::Transport => "transport",
            };
            writeln!(text, "crypto ipsec transform-set {} {}\n mode {mode}", set.name, set.suite)?;
            if set.esn {
                writeln!(text, " esn")?;
            }
            writeln!(text, "!")?;
        }
        ike::write_templates(text, self)?;
        for map in self.crypto_maps.values() {
            if let Some(interface) = &map.local_address {
                writeln!(text, "crypto map {} local-address {interface}", map.name)?;
            }
            for (sequence, entry) in &map.entries {
                write!(text, "crypto map {} {sequence} ", map.name)?;
                match &entry.keying {
                    Keying::Manual(keys) => {
                        writeln!(text, "ipsec-manual")?;
                        let set = self.transform_sets.get(&keys.transform_set);
                        write_manual(text, entry, keys, set.map(|set| set.suite.key_shape()), secrets)?;
                    }
                    Keying::Negotiated(_) => {
                        writeln!(text, "ipsec-isakmp")?;
                        ike::write_entry(text, entry)?;
                    }
                    Keying::Dynamic(name) => {
                        writeln!(text, "ipsec-isakmp dynamic {name}")?;
                        ike::write_entry(text, entry)?;
                    }
                    Keying::Discard => {
                        writeln!(text, "discard")?;
                        ike::write_entry(text, entry)?;
                    }
                }
            }
            writeln!(text, "!")?;
        }
        for interface in &self.interfaces {
            write_interface(text, interface)?;
        }
        for route in &self.routes {
            match route.prefix {
                Prefix::V4(prefix) => write!(text, "ip route {} {}", prefix.addr(), prefix.netmask())?,
                Prefix::V6(prefix) => write!(text, "ipv6 route {prefix}")?,
            }
            match &route.target {
                Target::Gateway(gateway) => write!(text, " {gateway}")?,
                Target::Interface { name, gateway: Some(gateway) } => write!(text, " {name} {gateway}")?,
                Target::Interface { name, gateway: None } => write!(text, " {name}")?,
                Target::Null => write!(text, " Null0")?,
            }
            if route.distance != crate::StaticRoute::DEFAULT_DISTANCE {
                write!(text, " {}", route.distance)?;
            }
            writeln!(text)?;
        }
        writeln!(text, "end")
    }
}

/// In as few lines as do: one for what most become, and one for each other.
fn write_dscp(text: &mut String, map: &DscpMap) -> std::fmt::Result {
    let others = |usual: Option<u8>| {
        let points = (0_u8..).zip(map.points().iter().copied());
        points.filter(move |&(inner, outer)| outer != usual.unwrap_or(inner))
    };
    let set = (0..DscpMap::POINTS as u8).map(Some).min_by_key(|&point| others(point).count()).flatten();
    let usual = set.filter(|&point| others(Some(point)).count() + 1 < others(None).count());
    if let Some(point) = usual {
        writeln!(text, "crypto ipsec dscp set {}", CodePoint(point))?;
    }
    for (inner, outer) in others(usual) {
        writeln!(text, "crypto ipsec dscp map {} {}", CodePoint(inner), CodePoint(outer))?;
    }
    if map.is_copy() { Ok(()) } else { writeln!(text, "!") }
}

fn write_access_list(text: &mut String, list: &AccessList) -> std::fmt::Result {
    match list.family {
        Family::Ipv4 => writeln!(text, "ip access-list extended {}", list.name)?,
        Family::Ipv6 => writeln!(text, "ipv6 access-list {}", list.name)?,
    }
    for rule in &list.rules {
        for remark in &rule.remarks {
            writeln!(text, " remark {remark}")?;
        }
        write_rule(text, list.family, rule)?;
    }
    for remark in &list.remarks {
        writeln!(text, " remark {remark}")?;
    }
    writeln!(text, "!")
}

/// A rule as it stands in its list.
fn write_rule(text: &mut String, family: Family, rule: &Rule) -> std::fmt::Result {
    let verb = match rule.verb {
        Verb::Permit => "permit",
        Verb::Deny => "deny",
    };
    match family {
        Family::Ipv4 => write!(text, " {} {verb}", rule.sequence)?,
        Family::Ipv6 => write!(text, " sequence {} {verb}", rule.sequence)?,
    }
    match (rule.protocol, family) {
        (Protocol::Any, Family::Ipv4) => write!(text, " ip")?,
        (Protocol::Any, Family::Ipv6) => write!(text, " ipv6")?,
        (Protocol::TCP, _) => write!(text, " tcp")?,
        (Protocol::UDP, _) => write!(text, " udp")?,
        (Protocol::Number(1), Family::Ipv4) | (Protocol::Number(58), Family::Ipv6) => write!(text, " icmp")?,
        (Protocol::Number(number), _) => write!(text, " {number}")?,
    }
    write_end(text, rule.source, rule.source_port)?;
    write_end(text, rule.destination, rule.destination_port)?;
    writeln!(text, "{}{}", rule.flags, rule.class)
}

impl Rule {
    /// As its list of this family writes it, such as `10 permit tcp any host 192.0.2.1 eq 80`.
    pub fn to_text(&self, family: Family) -> String {
        let mut text = String::new();
        let _ = write_rule(&mut text, family, self);
        text.trim().to_owned()
    }
}

fn write_end(text: &mut String, prefix: Prefix, ports: PortMatch) -> std::fmt::Result {
    match prefix {
        prefix if prefix.prefix_len() == 0 => write!(text, " any")?,
        prefix if prefix.prefix_len() == prefix.max_prefix_len() => write!(text, " host {}", prefix.addr())?,
        Prefix::V4(prefix) => write!(text, " {} {}", prefix.addr(), prefix.hostmask())?,
        Prefix::V6(prefix) => write!(text, " {prefix}")?,
    }
    match ports {
        PortMatch::Any => Ok(()),
        PortMatch::Eq(port) => write!(text, " eq {port}"),
        PortMatch::Neq(port) => write!(text, " neq {port}"),
        PortMatch::Lt(port) => write!(text, " lt {port}"),
        PortMatch::Gt(port) => write!(text, " gt {port}"),
        PortMatch::Range(from, to) => write!(text, " range {from} {to}"),
    }
}

fn write_manual(
    text: &mut String,
    entry: &Entry,
    keys: &ManualKeys,
    shape: Option<KeyShape>,
    secrets: Secrets,
) -> std::fmt::Result {
    if let Some(description) = &entry.description {
        writeln!(text, " description {description}")?;
    }
    writeln!(text, " set peer {}", keys.peer)?;
    write_key(text, "inbound", &keys.inbound, shape, secrets)?;
    write_key(text, "outbound", &keys.outbound, shape, secrets)?;
    writeln!(text, " set transform-set {}", keys.transform_set)?;
    if let Some(port) = keys.udp_port {
        writeln!(text, " set udp-encapsulation port {port}")?;
    }
    ike::write_tfc(text, " set security-association", keys.tfc)?;
    entry.access_lists.iter().try_for_each(|name| writeln!(text, " match address {name}"))
}

fn write_key(
    text: &mut String,
    direction: &str,
    key: &SessionKey,
    shape: Option<KeyShape>,
    secrets: Secrets,
) -> std::fmt::Result {
    write!(text, " set session-key {direction} esp {}", key.spi.get())?;
    // A checked configuration has the set, and keys as that wants them.
    let cipher = shape.map_or(usize::MAX, |shape| shape.cipher + shape.salt);
    let bytes = key.key.expose();
    let (cipher, authenticator) = bytes.split_at_checked(cipher).unwrap_or((bytes, &[]));
    for (word, part) in [("cipher", cipher), ("authenticator", authenticator)] {
        if part.is_empty() {
            continue;
        }
        write!(text, " {word} ")?;
        match secrets {
            Secrets::Masked => write!(text, "{MASK}")?,
            Secrets::Shown => part.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?,
        }
    }
    writeln!(text)
}

fn write_interface(text: &mut String, interface: &Interface) -> std::fmt::Result {
    writeln!(text, "interface {}", interface.name)?;
    if let Some(description) = &interface.description {
        writeln!(text, " description {description}")?;
    }
    writeln!(text, " device {}", interface.device)?;
    if interface.linux_name != Interface::linux_name_for(&interface.name) {
        writeln!(text, " linux-name {}", interface.linux_name)?;
    }
    if let Some(mac) = interface.mac {
        writeln!(text, " mac-address {mac}")?;
    }
    for (place, address) in interface.addresses.iter().enumerate() {
        let secondary = if place == 0 { "" } else { " secondary" };
        writeln!(text, " ip address {} {}{secondary}", address.addr(), address.netmask())?;
    }
    for address in &interface.addresses6 {
        writeln!(text, " ipv6 address {address}")?;
    }
    if interface.mtu != Interface::DEFAULT_MTU {
        writeln!(text, " mtu {}", interface.mtu)?;
    }
    if let Some(mtu) = interface.mtu4 {
        writeln!(text, " ip mtu {mtu}")?;
    }
    if let Some(mtu) = interface.mtu6 {
        writeln!(text, " ipv6 mtu {mtu}")?;
    }
    if let Some(mss) = interface.mss4 {
        writeln!(text, " ip tcp adjust-mss {mss}")?;
    }
    if let Some(mss) = interface.mss6 {
        writeln!(text, " ipv6 tcp adjust-mss {mss}")?;
    }
    if let Some(vlan) = interface.vlan {
        writeln!(text, " encapsulation dot1Q {vlan}")?;
    }
    if let Some(map) = &interface.crypto_map {
        writeln!(text, " crypto map {map}")?;
    }
    writeln!(text, "{}\n!", if interface.shutdown { " shutdown" } else { " no shutdown" })
}
