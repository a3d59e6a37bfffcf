//! What hosts send.

use packet::{ethernet, ipv4, ipv6, protocol, udp};
use std::net::IpAddr;

/// A packet in a frame.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ether_type = if packet[0] >> 4 == 6 { ethernet::EtherType::IPV6 } else { ethernet::EtherType::IPV4 };
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { destination: to.into(), source: from.into(), ether_type }.emit(&mut bytes).unwrap();
    bytes.extend(packet);
    bytes
}

/// A frame with a VLAN's tag in it.
pub(crate) fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let tag = [0x8100, vlan].map(u16::to_be_bytes).concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// A UDP packet of `payload` bytes in all sorts; its checksum is left out.
pub(crate) fn datagram(source: &str, destination: &str, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let udp = udp::Repr { source: 1000, destination: 2000, payload_len: payload.len() };
    let below = udp::HEADER_LEN + payload.len();
    let (mut packet, header_len) = match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0; ipv4::HEADER_LEN + below];
            ipv4::Repr {
                source,
                destination,
                protocol: protocol::UDP,
                tos: 0xB8,
                ttl,
                df: true,
                identification: 7,
                payload_len: below,
            }
            .emit(&mut packet)
            .unwrap();
            (packet, ipv4::HEADER_LEN)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0; ipv6::HEADER_LEN + below];
            ipv6::Repr {
                source,
                destination,
                next_header: protocol::UDP,
                traffic_class: 0xB8,
                flow_label: 0xABCDE,
                hop_limit: ttl,
                payload_len: below,
            }
            .emit(&mut packet)
            .unwrap();
            (packet, ipv6::HEADER_LEN)
        }
        _ => panic!("addresses of two families"),
    };
    udp.emit(&mut packet[header_len..]).unwrap();
    packet[header_len + udp::HEADER_LEN..].copy_from_slice(payload);
    packet
}
