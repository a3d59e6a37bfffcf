//! Transform sets, crypto maps and dynamic ones.

use crate::{DhGroup, Name, TfcSettings};
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

/// One entry of a crypto map, or of a dynamic one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// For people.
    pub description: Option<String>,
    /// Where its SAs come from.
    pub keying: Keying,
    /// `match address`: names of one IPv4 access list, or one IPv6 access list, or one of each, in that order. Only the entry of a
    /// dynamic map may have none, which then protects what its peers want protected.
    pub access_lists: Vec<Name>,
}

/// Where the SAs of an entry come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keying {
    /// `ipsec-manual`: they are written down.
    Manual(Box<ManualKeys>),
    /// `ipsec-isakmp`: IKE negotiates them with one of the peers.
    Negotiated(Negotiation),
    /// `ipsec-isakmp dynamic NAME`: IKE negotiates them with whoever comes, by an entry of that dynamic map.
    Dynamic(Name),
    /// `discard`: none; what the entry permits passes in neither direction. Not of IOS.
    Discard,
}

/// A tunnel's two SAs, written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManualKeys {
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
    /// What differs from [`Config::tfc`](crate::Config::tfc).
    pub tfc: TfcSettings,
}

/// What IKE is to negotiate, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Negotiation {
    /// In the order in which they are tried; none in a dynamic map.
    pub peers: Vec<IpAddr>,
    /// Names of transform sets in the order of preference, all of the same mode; at least one.
    pub transform_sets: Vec<Name>,
    /// `set pfs`: the group of each child SA's own key exchange.
    pub pfs: Option<DhGroup>,
    /// Name of the profile; `None`: each end is its address, and has the key that `crypto isakmp key` or a `crypto keyring` says.
    pub profile: Option<Name>,
    /// What differs from [`Config::lifetime`](crate::Config::lifetime).
    pub lifetime: SaLifetime,
    /// What differs from [`Config::tfc`](crate::Config::tfc).
    pub tfc: TfcSettings,
}

/// `lifetime seconds` and `lifetime kilobytes`, as far as they are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaLifetime {
    /// Seconds.
    pub seconds: Option<u32>,
    /// Kilobytes (of 1024 bytes) that pass; `Some(None)` is `disable`.
    pub kilobytes: Option<Option<u32>>,
}

impl SaLifetime {
    /// Seconds where nothing is said, as on IOS. IOS's limit of 4,608,000 kilobytes is not ours: a fast tunnel passes so much in
    /// a second.
    pub const DEFAULT_SECONDS: u32 = 3600;

    /// This, and where it says nothing, the other.
    pub fn or(self, other: SaLifetime) -> SaLifetime {
        SaLifetime { seconds: self.seconds.or(other.seconds), kilobytes: self.kilobytes.or(other.kilobytes) }
    }
}

/// `crypto dynamic-map`: entries for peers of unknown address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DynamicMap {
    /// Its name.
    pub name: Name,
    /// By sequence number, 1 to 65535; each is [`Keying::Negotiated`], without peers.
    pub entries: BTreeMap<u16, Entry>,
}

/// `crypto ipsec profile`: what an entry says of its SAs, for tunnel interfaces, of which there are none yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IpsecProfile {
    /// Its name.
    pub name: Name,
    /// Without peers.
    pub negotiation: Negotiation,
}

/// SPI and keying material of one direction. `Debug` and serde show the SPI only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionKey {
    /// SPI.
    pub spi: Spi,
    /// The keys of cipher and authenticator and the salt, as the entry's suite wants them.
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
