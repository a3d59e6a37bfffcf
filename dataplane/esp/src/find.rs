//! Finds ESP in a packet to us: directly over IP, behind IPv6 extension headers, or in UDP (RFC 3948).

use crate::tunnel::Version;
use crate::udp::{self, Payload};
use packet::{extensions, ipv4, ipv6, protocol};

/// What a packet to us is, as far as ESP goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An ESP packet.
    Esp {
        /// Where its ESP header begins, in bytes from the beginning of the IP packet.
        at: usize,
        /// Where it ends.
        end: usize,
        /// The sender's port, where it came in UDP.
        port: Option<u16>,
    },
    /// A keepalive of RFC 3948.
    Keepalive,
    /// A fragment of an ESP packet, which must be reassembled before anything else.
    Fragment,
    /// A fragment of a UDP datagram: whether ESP is in it, only the whole says.
    UdpFragment,
    /// Something else.
    Other,
}

/// Looks at a packet whose fixed header is sound, and which ends where its IP header says.
#[inline]
pub fn find(version: Version, packet: &[u8]) -> Found {
    let (number, at, is_fragment) = match version {
        Version::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            (header.protocol(), header.header_len(), header.is_fragment())
        }
        Version::V6 => match ipv6::Packet::new_unchecked(packet).next_header() {
            next if extensions::is_extension(next) => match behind_extensions(packet) {
                Some(found) => found,
                None => return Found::Other,
            },
            next => (next, ipv6::HEADER_LEN, false),
        },
    };
    match (number, is_fragment) {
        (protocol::ESP, false) => Found::Esp { at, end: packet.len(), port: None },
        (protocol::ESP, true) => Found::Fragment,
        (protocol::UDP, false) => in_udp(packet, at),
        (protocol::UDP, true) => Found::UdpFragment,
        _ => Found::Other,
    }
}

fn behind_extensions(packet: &[u8]) -> Option<(u8, usize, bool)> {
    let mut is_fragment = false;
    let mut last = None;
    for header in extensions::chain(packet).ok()? {
        let header = header.ok()?;
        is_fragment |= header.is_fragment();
        last = Some((header.number, header.at));
    }
    last.map(|(number, at)| (number, at, is_fragment))
}

fn in_udp(packet: &[u8], at: usize) -> Found {
    let datagram = packet.get(at..).unwrap_or_default();
    let Ok(datagram) = packet::udp::Packet::new_checked(datagram) else { return Found::Other };
    if datagram.destination() != udp::PORT {
        return Found::Other;
    }
    match Payload::of(datagram.payload()) {
        Payload::Esp => {
            let end = at + usize::from(datagram.length());
            Found::Esp { at: at + packet::udp::HEADER_LEN, end, port: Some(datagram.source()) }
        }
        Payload::Keepalive => Found::Keepalive,
        Payload::Other => Found::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(number: u8, word: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 24];
        packet[0] = 0x46;
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        packet[9] = number;
        packet.extend(payload);
        packet
    }

    fn datagram(port: u16, length: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [1234_u16, port, length, 0].map(u16::to_be_bytes).concat();
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn esp_is_found_where_it_is() {
        let esp = |at, end, port| Found::Esp { at, end, port };
        assert_eq!(find(Version::V4, &v4(50, 0x4000, b"espesp")), esp(24, 30, None));
        assert_eq!(find(Version::V4, &v4(50, 0x2000, b"esp")), Found::Fragment);
        assert_eq!(find(Version::V4, &v4(50, 0x0001, b"esp")), Found::Fragment);
        assert_eq!(find(Version::V4, &v4(6, 0, b"tcp")), Found::Other);
        let udp =
            |port, length, payload: &[u8]| find(Version::V4, &v4(17, 0, &datagram(port, length, payload)));
        assert_eq!(udp(4500, 12, b"esp!"), esp(32, 36, Some(1234)));
        assert_eq!(udp(4500, 12, b"esp! and what is none of it"), esp(32, 36, Some(1234)));
        assert_eq!(udp(4500, 13, b"esp!"), Found::Other, "cut off");
        assert_eq!(udp(4501, 12, b"esp!"), Found::Other);
        assert_eq!(udp(4500, 13, b"\0\0\0\0I"), Found::Other);
        assert_eq!(udp(4500, 9, b"\xFF"), Found::Keepalive);
        let part = v4(17, 0x2000, &datagram(4500, 12, b"esp!"));
        assert_eq!(find(Version::V4, &part), Found::UdpFragment, "ESP or IKE");
    }

    #[test]
    fn esp_is_found_behind_extension_headers() {
        let v6 = |first: u8, chain: &[u8]| {
            let mut packet = vec![0; 40];
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&(chain.len() as u16).to_be_bytes());
            packet[6] = first;
            packet.extend(chain);
            packet
        };
        let find = |first, chain: &[u8]| find(Version::V6, &v6(first, chain));
        assert_eq!(find(50, b"esp"), Found::Esp { at: 40, end: 43, port: None });
        let options = [50, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(find(60, &[&options[..], b"esp"].concat()), Found::Esp { at: 48, end: 51, port: None });
        let fragment = |offset: u8| [50, 0, 0, offset << 3 | 1, 0, 0, 0, 0];
        assert_eq!(find(44, &[&fragment(0)[..], b"esp"].concat()), Found::Fragment);
        assert_eq!(find(44, &[&fragment(3)[..], b"esp"].concat()), Found::Fragment);
        assert_eq!(find(43, &[50, 9]), Found::Other);
        let udp = [&[17, 0, 0, 0, 0, 0, 0, 0][..], &datagram(4500, 12, b"esp!")].concat();
        assert_eq!(find(0, &udp), Found::Esp { at: 56, end: 60, port: Some(1234) });
    }

    proptest! {
        #[test]
        fn what_is_found_lies_in_the_packet(mut packet in prop::collection::vec(any::<u8>(), 0..120), six: bool) {
            let version = if six { Version::V6 } else { Version::V4 };
            if let [first, ..] = &mut packet[..] {
                *first = if six { 0x60 } else { 0x45 };
            }
            if packet.len() > 40 {
                packet[9] = [50, 17, 6][usize::from(packet[9] % 3)];
                packet[6] = if six { [50, 17, 0, 43, 44, 60][usize::from(packet[6] % 6)] } else { 0 };
                let length = packet.len() as u16 - 40;
                packet[4..6].copy_from_slice(&length.to_be_bytes());
            }
            if let Found::Esp { at, end, .. } = find(version, &packet) {
                prop_assert!(end <= packet.len());
                prop_assert!(at <= end || end == packet.len());
            }
        }
    }
}
