//! Interfaces: a DPDK device, its mirror TAP in Linux, its addresses, and the crypto map on it.

use crate::Name;
use model::{Ipv4Prefix, Ipv6Prefix};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// As the configuration writes it, such as `GigabitEthernet0/0` or `wan`.
    pub name: Name,
    /// Name of the mirror TAP in Linux: 1 to 15 of letters, digits, `.`, `_`, `-`; unique. See [`Interface::linux_name_for`].
    pub linux_name: Name,
    /// DPDK device string, such as `0000:01:00.0` or `net_af_packet0,iface=veth-wan`; at most 160 bytes.
    pub device: String,
    /// Station address; `None` keeps the device's own.
    pub mac: Option<MacAddress>,
    /// For people.
    pub description: Option<String>,
    /// `ip address`, the primary first; with host bits.
    pub addresses: Vec<Ipv4Prefix>,
    /// `ipv6 address`; with host bits.
    pub addresses6: Vec<Ipv6Prefix>,
    /// `mtu`: the largest IP packet that the link takes, in bytes, 68 to 9600.
    pub mtu: u16,
    /// `ip mtu`: the largest IPv4 packet that is sent, where it is less.
    pub mtu4: Option<u16>,
    /// `ipv6 mtu`: the largest IPv6 packet that is sent, where it is less.
    pub mtu6: Option<u16>,
    /// `ip tcp adjust-mss`: what TCP through it may offer at most, in bytes of a segment, 500 to 9560.
    pub mss4: Option<u16>,
    /// `ipv6 tcp adjust-mss`.
    pub mss6: Option<u16>,
    /// `encapsulation dot1Q`: all that it carries is tagged with this VLAN, 1 to 4094. Linux sees no tag.
    pub vlan: Option<u16>,
    /// The crypto map on it.
    pub crypto_map: Option<Name>,
    /// Administratively down.
    pub shutdown: bool,
}

impl Interface {
    /// The MTU where none is written.
    pub const DEFAULT_MTU: u16 = 1500;
    /// The longest name of a Linux interface, in bytes.
    pub const MAX_LINUX_NAME: usize = 15;
    /// The longest device string, in bytes.
    pub const MAX_DEVICE: usize = 160;

    /// Its primary IPv4 address with its prefix, where it has one.
    pub fn primary(&self) -> Option<Ipv4Prefix> {
        self.addresses.first().copied()
    }

    /// The address that a tunnel to this peer begins at: its first of the peer's family; of IPv6, that is not link-local.
    pub fn address_towards(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(_) => self.primary().map(|prefix| prefix.addr().into()),
            IpAddr::V6(_) => self.global6().map(IpAddr::from),
        }
    }

    /// Its first IPv6 address that is not link-local.
    pub fn global6(&self) -> Option<Ipv6Addr> {
        let mut addresses = self.addresses6.iter().map(Ipv6Prefix::addr);
        addresses.find(|address| !address.is_unicast_link_local())
    }

    /// The mirror TAP's name where the configuration gives none (`linux-name`): the name itself where Linux could take
    /// it, else shortened as IOS does (`GigabitEthernet0/0/1` is `Gi0-0-1`).
    pub fn linux_name_for(name: &Name) -> Name {
        let text = name.as_str();
        if Interface::is_linux_name(text) {
            return name.clone();
        }
        let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (kind, number) = text.split_at_checked(digits).unwrap_or((text, ""));
        let clean =
            |part: &str| -> String { part.chars().map(|c| if is_plain(c) { c } else { '-' }).collect() };
        let mut short: String = clean(kind).chars().take(2).collect();
        let number = clean(number);
        let room = Interface::MAX_LINUX_NAME.saturating_sub(short.len());
        // What tells interfaces of one kind apart stands at the end.
        short.extend(number.chars().skip(number.len().saturating_sub(room)));
        Name::new(&short).unwrap_or_else(|_| name.clone())
    }

    /// Whether Linux and a DPDK device string can take it for the name of an interface.
    pub fn is_linux_name(text: &str) -> bool {
        (1..=Interface::MAX_LINUX_NAME).contains(&text.len())
            && text.chars().all(is_plain)
            && !matches!(text, "." | ".." | "lo" | "all" | "default")
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A station's Ethernet address: neither a group address nor all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// `None` for a group address and for all zero.
    pub const fn new(bytes: [u8; 6]) -> Option<MacAddress> {
        match bytes {
            [0, 0, 0, 0, 0, 0] => None,
            [first, ..] if first & 1 == 1 => None,
            _ => Some(MacAddress(bytes)),
        }
    }

    /// In the order of the wire.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

/// As IOS writes it: `0200.5e00.0001`.
impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}{b:02x}.{c:02x}{d:02x}.{e:02x}{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_names_are_derived() {
        for (name, linux) in [
            ("wan", "wan"),
            ("Gi0.100", "Gi0.100"),
            ("GigabitEthernet0/0", "Gi0-0"),
            ("TenGigabitEthernet0/0/0.100", "Te0-0-0.100"),
            ("GigabitEthernet1234567/890123/4567", "Gi67-890123-4567"[..15].trim()),
            ("a-very-long-name-indeed", "a-"),
            ("/", "-"),
        ] {
            let derived = Interface::linux_name_for(&Name::new(name).unwrap());
            assert!(Interface::is_linux_name(derived.as_str()), "{derived}");
            if name.len() < 30 {
                assert_eq!(derived.as_str(), linux, "{name}");
            }
        }
        for bad in ["", "lo", "..", "a/b", "sixteen-letters-"] {
            assert!(!Interface::is_linux_name(bad), "{bad}");
        }
    }

    #[test]
    fn only_stations_have_addresses() {
        assert_eq!(MacAddress::new([0; 6]), None);
        assert_eq!(MacAddress::new([1, 0, 0, 0, 0, 1]), None);
        let mac = MacAddress::new([2, 0, 0x5e, 0, 0, 1]).unwrap();
        assert_eq!(mac.to_string(), "0200.5e00.0001");
    }
}
