//! Header views and checksums: Ethernet, VLAN, ARP, IPv4, IPv6 and its extension headers, UDP, ICMP, ESP, and the 5-tuple
//! of a packet.
//!
//! Pure: bytes in, fields out. It knows no policy, no SA, no port and no buffer but the slice that it is given, so what
//! it says of a packet is only whether its headers are sound.
//!
//! Each protocol has a `Packet` view over bytes, checked once by `new_checked` and then read field by field, and a
//! `Repr` that a caller fills in and emits. No input can make either panic: a view that was made without its check
//! (`new_unchecked`) reads zeros past the end of its bytes and writes nothing there.
//!
//! Numbers are in host order; bytes are in network order only inside the slices.
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod ecn;
pub mod esp;
pub mod ethernet;
pub mod extensions;
mod field;
pub mod flow;
pub mod fragment;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod protocol;
pub mod tcp;
pub mod udp;
pub mod vlan;

pub use ecn::Ecn;

/// What is wrong with a packet's headers. The fault is the packet's, never the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The bytes end before the header, or the length that it states, does.
    #[error("the bytes end before the packet does")]
    Truncated,
    /// The IP version is not the one that was expected.
    #[error("the IP version is not the expected one")]
    BadVersion,
    /// The header length is below the protocol's minimum, or beyond the packet's own length.
    #[error("the header length is below the minimum or beyond the packet")]
    BadHeaderLength,
    /// The length that the packet states for itself cannot hold its own header.
    #[error("the packet's stated length cannot hold its header")]
    BadTotalLength,
    /// The checksum does not verify.
    #[error("the checksum does not verify")]
    BadChecksum,
    /// An IPv6 extension header where none of its kind may be (RFC 8200, section 4.1).
    #[error("an IPv6 extension header stands where it may not")]
    BadExtension,
    /// More IPv6 extension headers than [`extensions::MAX`].
    #[error("too many IPv6 extension headers (more than {})", extensions::MAX)]
    TooManyExtensions,
    /// ARP for something other than IPv4 over Ethernet.
    #[error("ARP for another hardware or protocol than IPv4 over Ethernet")]
    UnknownArp,
}
