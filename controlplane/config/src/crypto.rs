//! Transform sets and crypto maps.

use crate::Name;
use model::{KeyMaterial, Mode, Spi, Suite};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// `crypto ipsec transform-set`: how ESP protects packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransformSet {
    /// Its name.
    pub name: Name,
    /// Algorithms.
    pub suite: Suite,
    /// Extended (64-bit) sequence numbers (RFC 4303, section 2.2.1).
    pub esn: bool,
    /// What is asked for. An entry has transport mode only if all that it permits goes between the tunnel's ends, and
    /// else tunnel mode, as in IOS: see [`crate::Tunnel::mode`].
    pub mode: Mode,
}

/// `crypto map`: entries that say which packets to protect, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CryptoMap {
    /// Its name.
    pub name: Name,
    /// `local-address`: the interface whose first address, of the peer's family, is the outer source address of each entry. `None`: the
    /// interface that the map is on.
    pub local_address: Option<Name>,
    /// By sequence number, 1 to 65535; asked in this order.
    pub entries: BTreeMap<u16, Entry>,
}

/// One entry of a crypto map, with manual keys (`ipsec-manual`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// For people.
    pub description: Option<String>,
    /// The other end of the tunnel.
    pub peer: IpAddr,
    /// `set udp-encapsulation`: ESP goes in UDP (RFC 3948), to this port of the peer. Not of IOS, where IKE finds it out.
    pub udp_port: Option<u16>,
    /// Name of its transform set.
    pub transform_set: Name,
    /// `set session-key inbound esp`.
    pub inbound: SessionKey,
    /// `set session-key outbound esp`.
    pub outbound: SessionKey,
    /// `match address`: names of one IPv4 access list, or one IPv6 access list, or one of each, in that order.
    pub access_lists: Vec<Name>,
}

/// SPI and keying material of one direction. `Debug` and serde show the SPI only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionKey {
    /// SPI.
    pub spi: Spi,
    /// AES key and salt, as long as the entry's suite wants.
    #[serde(skip)]
    pub key: KeyMaterial,
}

/// Names one crypto map entry of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EntryKey {
    /// The crypto map.
    pub map: Name,
    /// The entry's sequence number.
    pub sequence: u16,
}

/// As people say it: `mymap 10`.
impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.map, self.sequence)
    }
}

/// `crypto ipsec security-association replay`: the anti-replay window of inbound SAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayWindow {
    /// Packets: [`ReplayWindow::MIN`] to [`ReplayWindow::MAX`].
    Packets(u32),
    /// No check.
    Disabled,
}

impl ReplayWindow {
    /// The smallest window, in packets; RFC 4303, section 3.4.3, wants at least 32.
    pub const MIN: u32 = 32;
    /// The largest window, in packets.
    pub const MAX: u32 = 1 << 16;

    /// In packets; 0 is no check.
    pub const fn packets(self) -> u32 {
        match self {
            ReplayWindow::Packets(packets) => packets,
            ReplayWindow::Disabled => 0,
        }
    }
}

/// 4096 packets.
impl Default for ReplayWindow {
    fn default() -> ReplayWindow {
        ReplayWindow::Packets(4096)
    }
}
