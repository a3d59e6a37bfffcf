//! The words that every room of Espalier speaks: SPI, suite, selector, prefix, port range, lifetime.
//!
//! Pure and tiny: no I/O, no clock, no threads, no unsafe code, nothing of DPDK or of a wire format.
//! A type here makes nonsense unsayable, so that whoever holds one need not check it again.
#![forbid(unsafe_code)]

mod dscp;
mod key;
mod lifetime;
mod marks;
mod selector;
mod size;
mod spi;
mod suite;
mod tfc;

pub use dscp::DscpMap;
pub use ipnet::{IpNet as Prefix, Ipv4Net as Ipv4Prefix, Ipv6Net as Ipv6Prefix};
pub use key::KeyMaterial;
pub use lifetime::Lifetime;
pub use marks::{Marks, TcpFlags};
pub use selector::{PortRange, Protocol, Selector, SelectorError};
pub use size::{DontFragment, Fragmentation, SizeRules};
pub use spi::{Spi, SpiError};
pub use suite::{Cipher, Hmac, IcvLen, IvRule, KeyLen, KeyShape, Keys, Suite, WrongKeyLength};
pub use tfc::{Dummies, Tfc, TfcPadding};

use serde::{Deserialize, Serialize};

/// Which way an SA carries traffic, seen from this gateway (RFC 4301, section 4.1: an SA is simplex).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Packets to us: open and decapsulate.
    Inbound,
    /// Packets from us: encapsulate and seal.
    Outbound,
}

/// What ESP wraps (RFC 4301, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The whole IP packet goes inside a new one.
    Tunnel,
    /// Only what follows the IP header is protected.
    Transport,
}
