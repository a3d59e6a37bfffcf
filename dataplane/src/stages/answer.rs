//! Answer: the ICMP message that says that a packet was too big, in the place of that packet (RFC 1191, section 4; RFC
//! 4443, section 3.2).

use crate::burst::Family;
use dpdk::Mbuf;
use packet::{checksum, extensions, icmp, ipv4, ipv6, protocol};
use std::net::IpAddr;

/// The longest answer, in bytes: what every way takes (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4 (c)).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1280;
const TTL: u8 = 64;

/// Who is to hear of this packet, if anybody may (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)): nobody of an ICMP
/// error, of a fragment out of the middle, or of a packet that is from nobody or everybody.
pub(crate) fn listener(family: Family, packet: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            let source = header.source();
            let nobody = source.is_unspecified() || source.is_broadcast() || source.is_multicast();
            let kind = header.payload().first().copied().unwrap_or_default();
            let is_error = header.protocol() == protocol::ICMP && matches!(kind, 3 | 4 | 5 | 11 | 12);
            (header.is_first_fragment() && !is_error && !nobody).then_some(source.into())
        }
        Family::V6 => {
            let upper = extensions::upper_layer(packet).ok()?;
            let source = ipv6::Packet::new_unchecked(packet).source();
            let kind = upper.bytes.first().copied().unwrap_or_default();
            let is_error = upper.number == protocol::ICMPV6 && kind < 128;
            let nobody = source.is_unspecified() || source.is_multicast();
            (!upper.is_later_fragment && !is_error && !nobody).then_some(source.into())
        }
    }
}

/// Makes a packet the answer to itself: to `to`, that `mtu` bytes would do. Who it is `from` is said later, by [`sign`].
/// `None` if there is no room.
pub(crate) fn too_big(mbuf: &mut Mbuf, family: Family, to: IpAddr, mtu: usize) -> Option<()> {
    let (header_len, longest) = match family {
        Family::V4 => (ipv4::HEADER_LEN, LONGEST_V4),
        Family::V6 => (ipv6::HEADER_LEN, LONGEST_V6),
    };
    let quoted = mbuf.len().min(longest - header_len - icmp::HEADER_LEN);
    mbuf.trim_back(mbuf.len() - quoted).ok()?;
    mbuf.prepend(header_len + icmp::HEADER_LEN).ok()?;
    let payload_len = icmp::HEADER_LEN + quoted;
    let bytes = mbuf.data_mut();
    match to {
        IpAddr::V4(destination) => {
            let header = ipv4::Repr {
                source: std::net::Ipv4Addr::UNSPECIFIED,
                destination,
                protocol: protocol::ICMP,
                // Internetwork control (RFC 1812, section 4.3.2.5).
                tos: 0xC0,
                ttl: TTL,
                df: false,
                identification: 0,
                payload_len,
            };
            header.emit(bytes).ok()?;
            let message = icmp::Repr {
                message_type: icmp::v4::UNREACHABLE,
                code: icmp::v4::FRAGMENTATION_NEEDED,
                rest: mtu.min(usize::from(u16::MAX)) as u32,
            };
            message.emit(bytes.get_mut(header_len..)?, 0).ok()
        }
        IpAddr::V6(destination) => {
            let header = ipv6::Repr {
                source: std::net::Ipv6Addr::UNSPECIFIED,
                destination,
                next_header: protocol::ICMPV6,
                traffic_class: 0xC0,
                flow_label: 0,
                hop_limit: TTL,
                payload_len,
            };
            header.emit(bytes).ok()?;
            // The checksum covers addresses, and is made when both are known.
            let message = icmp::Repr { message_type: icmp::v6::TOO_BIG, code: 0, rest: mtu as u32 };
            message.emit(bytes.get_mut(header_len..)?, 0).ok()
        }
    }
}

/// Says who an answer is from. `None` if the address is of another family.
pub(crate) fn sign(packet: &mut [u8], from: IpAddr) -> Option<()> {
    match from {
        IpAddr::V4(source) => {
            let header = ipv4::Packet::new_unchecked(&*packet);
            let (destination, payload_len) = (header.destination(), header.payload().len());
            let (protocol, tos, ttl) = (protocol::ICMP, header.tos(), header.ttl());
            let header = ipv4::Repr {
                source,
                destination,
                protocol,
                tos,
                ttl,
                df: false,
                identification: 0,
                payload_len,
            };
            header.emit(packet).ok()
        }
        IpAddr::V6(source) => {
            packet.get_mut(8..24)?.copy_from_slice(&source.octets());
            let destination = ipv6::Packet::new_unchecked(&*packet).destination().octets();
            let message = packet.get_mut(ipv6::HEADER_LEN..)?;
            let repr = icmp::Repr::parse(message).ok()?;
            let length = message.len() as u32;
            let sum = checksum::pseudo_header(&source.octets(), &destination, length, protocol::ICMPV6);
            repr.emit(message, sum).ok()
        }
    }
}
