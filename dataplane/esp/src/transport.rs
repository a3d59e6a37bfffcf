//! Transport mode: where ESP stands in a packet (RFC 4303, section 3.1.1).
//!
//! IPv4: behind the header and its options. IPv6: behind every hop-by-hop, routing and fragment header, which the path must
//! read; destination options stand before ESP where a routing header follows them, as then they are for every stop, and
//! else behind it, which protects them.
//!
//! ESP protects whole packets in this mode, never fragments (RFC 4303, section 3.3.4); the header of a fragment that has it
//! all is a header like others.

use crate::tunnel::Version;
use packet::{extensions, ipv4, protocol};

/// Where the IPv4 header names what follows it.
pub(crate) const PROTOCOL: usize = 9;

/// A place for ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it begins, in bytes from the packet's beginning.
    pub(crate) at: usize,
    /// Where the byte is that names what is there.
    pub(crate) named_at: usize,
    /// What is there.
    pub(crate) next_header: u8,
}

/// Why a packet has no place for ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// It is a fragment.
    Fragment,
    /// It is no IP packet, or its extension headers are malformed.
    Malformed,
}

/// Where ESP goes in a packet whose fixed header is sound.
pub(crate) fn place(packet: &[u8]) -> Result<Place, NoPlace> {
    match Version::of(packet).ok_or(NoPlace::Malformed)? {
        Version::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            if header.is_fragment() {
                return Err(NoPlace::Fragment);
            }
            Ok(Place { at: header.header_len(), named_at: PROTOCOL, next_header: header.protocol() })
        }
        Version::V6 => {
            let mut place = None;
            for header in extensions::chain(packet).map_err(|_| NoPlace::Malformed)? {
                let header = header.map_err(|_| NoPlace::Malformed)?;
                if header.is_fragment() {
                    return Err(NoPlace::Fragment);
                }
                let of_the_path = header.is_extension() && header.number != protocol::DESTINATION_OPTIONS;
                if of_the_path {
                    place = None;
                } else {
                    let here = Place { at: header.at, named_at: header.named_at, next_header: header.number };
                    place = place.or(Some(here));
                }
            }
            place.ok_or(NoPlace::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::ipv6;

    fn v6(first: u8, chain: &[&[u8]]) -> Vec<u8> {
        let chain = chain.concat();
        let mut bytes = vec![0; ipv6::HEADER_LEN];
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&(chain.len() as u16).to_be_bytes());
        bytes[6] = first;
        bytes.extend(chain);
        bytes
    }

    #[test]
    fn ipv4_options_stay_before_esp() {
        let mut packet = vec![0; 28];
        packet[0] = 0x47;
        packet[9] = protocol::UDP;
        assert_eq!(place(&packet), Ok(Place { at: 28, named_at: 9, next_header: protocol::UDP }));
        for word in [0x2000_u16, 0x0001, 0x2001] {
            packet[6..8].copy_from_slice(&word.to_be_bytes());
            assert_eq!(place(&packet), Err(NoPlace::Fragment));
        }
    }

    #[test]
    fn headers_of_the_path_stay_before_esp() {
        let header = |next: u8| [next, 0, 0, 0, 0, 0, 0, 0];
        let (hop, routing) = (protocol::HOP_BY_HOP, protocol::ROUTING);
        let (fragment, options, tcp) = (protocol::FRAGMENT, protocol::DESTINATION_OPTIONS, protocol::TCP);
        for (headers, before) in [
            (&[][..], 0),
            (&[hop], 1),
            (&[hop, routing, fragment], 3),
            (&[options], 0),
            (&[hop, options], 1),
            (&[options, routing], 2),
            (&[hop, options, routing, options], 3),
            (&[options, routing, fragment, options, options], 3),
        ] {
            let nexts = headers.iter().skip(1).chain([&tcp]).map(|&next| header(next));
            let nexts: Vec<[u8; 8]> = nexts.take(headers.len()).collect();
            let parts: Vec<&[u8]> = nexts.iter().map(|part| &part[..]).chain([&b"text"[..]]).collect();
            let packet = v6(*headers.first().unwrap_or(&tcp), &parts);
            let expected = Place {
                at: 40 + 8 * before,
                named_at: if before == 0 { 6 } else { 40 + 8 * (before - 1) },
                next_header: *headers.get(before).unwrap_or(&tcp),
            };
            assert_eq!(place(&packet), Ok(expected), "{headers:?}");
        }
        let mut fragmented = v6(fragment, &[&header(tcp), b"text"]);
        fragmented[43] = 1;
        assert_eq!(place(&fragmented), Err(NoPlace::Fragment));
        assert_eq!(place(&v6(hop, &[])), Err(NoPlace::Malformed));
        assert_eq!(place(&[]), Err(NoPlace::Malformed));
    }
}
