//! What is looked up.

use crate::layout::{PORTS_SEEN, V4, V6};
use crate::lookup::{BURST, BackEnd, Burst};
use model::TcpFlags;

/// The fields of an IPv4 packet, in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
// In the order of `Words`, so that these are read at once.
#[repr(C)]
pub struct KeyV4 {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port, if [`KeyV4::has_ports`].
    pub source_port: u16,
    /// Destination port, if [`KeyV4::has_ports`].
    pub destination_port: u16,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// The packet has ports that can be seen. Without, only a rule of every port matches.
    pub has_ports: bool,
    /// The flags, where they can be seen; only rules that ask for some look at them.
    pub tcp_flags: TcpFlags,
    /// The traffic class, which IPv4 calls type of service; only rules that ask for one look at it.
    pub traffic_class: u8,
}

/// The fields of an IPv6 packet, in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyV6 {
    /// Source address.
    pub source: u128,
    /// Destination address.
    pub destination: u128,
    /// Source port, if [`KeyV6::has_ports`].
    pub source_port: u16,
    /// Destination port, if [`KeyV6::has_ports`].
    pub destination_port: u16,
    /// Number of the next-layer protocol, behind extension headers.
    pub protocol: u8,
    /// The packet has ports that can be seen. Without, only a rule of every port matches.
    pub has_ports: bool,
    /// The flags, where they can be seen; only rules that ask for some look at them.
    pub tcp_flags: TcpFlags,
    /// The traffic class, which IPv4 calls type of service; only rules that ask for one look at it.
    pub traffic_class: u8,
}

/// A key as the row of words that trees and blocks are about: source, destination, both ports (the destination's in the high
/// half), protocol with [`PORTS_SEEN`] and, in the high half, [`marks`].
///
/// Ports that cannot be seen may be any: a rule of certain ports asks for the bit, and a rule of every port matches all.
pub(crate) trait Words<const N: usize>: Sized {
    fn words(&self) -> [u32; N];

    /// Puts the words of these keys, no more than a burst has, into its columns.
    #[inline(always)]
    fn fill(_back_end: BackEnd, keys: &[Self], burst: &mut Burst<N>) {
        fill(keys, burst);
    }
}

/// As [`Words::fill`] says, key by key.
#[inline(always)]
pub(crate) fn fill<K: Words<N>, const N: usize>(keys: &[K], burst: &mut Burst<N>) {
    for (slot, key) in keys.iter().enumerate() {
        for (row, word) in burst.words.iter_mut().zip(key.words()) {
            row[slot % BURST] = word;
        }
        let seen = burst.words[N - 1][slot % BURST] & PORTS_SEEN != 0;
        burst.unseen[slot % BURST] = if seen { 0 } else { u32::MAX };
    }
}

/// Two ports as one word.
#[inline(always)]
pub(crate) const fn both(source: u16, destination: u16) -> u32 {
    (destination as u32) << 16 | source as u32
}

#[inline(always)]
const fn protocol_word(protocol: u8, has_ports: bool, tcp_flags: TcpFlags, traffic_class: u8) -> u32 {
    let ports = (has_ports as u32) << PORTS_SEEN.trailing_zeros();
    (protocol as u32) | ports | marks(tcp_flags.bits() as u16 | (traffic_class as u16) << 8)
}

/// Bits of [`Marks`](model::Marks) as they lie in the protocol's word.
#[inline(always)]
pub(crate) const fn marks(bits: u16) -> u32 {
    (bits as u32) << 16
}

/// The four words of an IPv6 address, the first bits first.
#[inline(always)]
pub(crate) const fn wide(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
}

impl Words<V4> for KeyV4 {
    #[inline(always)]
    fn words(&self) -> [u32; V4] {
        [
            self.source,
            self.destination,
            both(self.source_port, self.destination_port),
            protocol_word(self.protocol, self.has_ports, self.tcp_flags, self.traffic_class),
        ]
    }

    #[inline(always)]
    fn fill(back_end: BackEnd, keys: &[KeyV4], burst: &mut Burst<V4>) {
        back_end.fill_v4(keys, burst);
    }
}

impl Words<V6> for KeyV6 {
    #[inline(always)]
    fn words(&self) -> [u32; V6] {
        let [s0, s1, s2, s3] = wide(self.source);
        let [d0, d1, d2, d3] = wide(self.destination);
        let ports = both(self.source_port, self.destination_port);
        [
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
            ports,
            protocol_word(self.protocol, self.has_ports, self.tcp_flags, self.traffic_class),
        ]
    }
}
