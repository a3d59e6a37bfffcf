//! Hear: ICMP that says that ESP packets of ours were too big for their path (RFC 1191; RFC 8201). What a worker can see
//! from the message alone it checks; whether we sent such a packet lately the manager knows.

use crate::burst::{Burst, Family, Mask};
use crate::worker::alarms::Alarm;
use model::Spi;
use packet::{checksum, extensions, icmp, ipv4, ipv6, protocol};
use std::net::IpAddr;

/// The least that a path of IPv6 takes; whoever says less is not believed (RFC 8201, section 4).
const LEAST_V6: u32 = 1280;
/// What links have in common use, for routers that do not say what theirs takes (RFC 1191, section 7.1).
const PLATEAUS: [u16; 10] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

/// Calls `tell` for each of the packets of `mask`, which are to us, that is such a message.
pub(crate) fn hear(burst: &Burst, mask: Mask, mut tell: impl FnMut(Alarm)) {
    for (index, mbuf) in burst.packets.masked(mask) {
        let alarm = match burst.meta[index].family {
            Family::V4 => over_v4(mbuf.data()),
            Family::V6 => over_v6(mbuf.data()),
        };
        if let Some(alarm) = alarm {
            tell(alarm);
        }
    }
}

fn over_v4(packet: &[u8]) -> Option<Alarm> {
    let outer = ipv4::Packet::new_unchecked(packet);
    if outer.protocol() != protocol::ICMP || outer.is_fragment() {
        return None;
    }
    let message = icmp::Packet::new_checked(outer.payload()).ok()?;
    if (message.message_type(), message.code()) != (icmp::v4::UNREACHABLE, icmp::v4::FRAGMENTATION_NEEDED) {
        return None;
    }
    message.verify_checksum(0).ok()?;
    // The quoted packet is cut short, so that its length says more than there is.
    let quoted = message.payload();
    let header = ipv4::Packet::new_unchecked(quoted);
    if quoted.len() < ipv4::HEADER_LEN || quoted[0] >> 4 != 4 || !header.is_first_fragment() {
        return None;
    }
    let length = header.total_len();
    let mtu = match message.rest() as u16 {
        0 => *PLATEAUS.iter().find(|&&plateau| plateau < length)?,
        mtu => mtu,
    };
    let ends = (header.source().into(), header.destination().into());
    let text = quoted.get(header.header_len()..)?;
    alarm(header.protocol(), text, ends, mtu, length.into())
}

fn over_v6(packet: &[u8]) -> Option<Alarm> {
    let outer = ipv6::Packet::new_unchecked(packet);
    if outer.next_header() != protocol::ICMPV6 {
        return None;
    }
    let bytes = outer.payload();
    let message = icmp::Packet::new_checked(bytes).ok()?;
    if message.message_type() != icmp::v6::TOO_BIG || message.rest() < LEAST_V6 {
        return None;
    }
    let (from, to) = (outer.source().octets(), outer.destination().octets());
    message
        .verify_checksum(checksum::pseudo_header(&from, &to, bytes.len() as u32, protocol::ICMPV6))
        .ok()?;
    let quoted = message.payload();
    let header = ipv6::Packet::new_unchecked(quoted);
    if quoted.len() < ipv6::HEADER_LEN || quoted[0] >> 4 != 6 {
        return None;
    }
    // What we fragmented after encryption begins with a header of that, and what a host of transport mode sends may with
    // others; only a first fragment says whose it is.
    let end = extensions::chain_unchecked(quoted).end().ok().filter(|end| !end.is_later_fragment)?;
    let mtu = u16::try_from(message.rest()).ok()?;
    let ends = (header.source().into(), header.destination().into());
    alarm(end.number, end.bytes, ends, mtu, header.total_len())
}

/// Of what was quoted, behind its IP header.
fn alarm(number: u8, text: &[u8], ends: (IpAddr, IpAddr), mtu: u16, length: usize) -> Option<Alarm> {
    let esp = match number {
        protocol::ESP => text,
        protocol::UDP => text.get(packet::udp::HEADER_LEN..)?,
        _ => return None,
    };
    let [a, b, c, d, e, f, g, h] = *esp.first_chunk()?;
    let spi = Spi::new(u32::from_be_bytes([a, b, c, d])).ok()?;
    let sequence = u32::from_be_bytes([e, f, g, h]);
    // What it took could not have been too big.
    (length > usize::from(mtu)).then_some(Alarm::TooBig { spi, sequence, ends, mtu })
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: [u8; 16] = [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const PEER: [u8; 16] = [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    fn packet6(next_header: u8, len: usize, bytes: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; ipv6::HEADER_LEN];
        ipv6::Repr {
            source: PEER.into(),
            destination: US.into(),
            next_header,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            payload_len: len,
        }
        .emit(&mut packet)
        .unwrap();
        packet.extend(bytes);
        packet
    }

    /// A router's message about a packet of ours of `len` bytes behind its fixed header, of which it quotes these.
    fn told(mtu: u32, first: u8, len: usize, bytes: &[u8]) -> Option<Alarm> {
        let mut quoted = packet6(first, len, bytes);
        quoted[8..40].copy_from_slice(&[US, PEER].concat());
        let mut message = [&[icmp::v6::TOO_BIG, 0, 0, 0][..], &mtu.to_be_bytes(), &quoted].concat();
        let pseudo = checksum::pseudo_header(&PEER, &US, message.len() as u32, protocol::ICMPV6);
        let sum = checksum::finish(pseudo + checksum::sum(&message));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        over_v6(&packet6(protocol::ICMPV6, message.len(), &message))
    }

    #[test]
    fn the_quoted_chain_is_walked_to_esp() {
        let esp = [0, 0, 0x20, 1, 0, 0, 0, 9, 1, 2, 3, 4];
        let udp = [&[0x11, 0x94, 0x11, 0x94, 0, 20, 0, 0][..], &esp].concat();
        let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        let fragment = |next: u8, offset: u16| {
            let [high, low] = (offset << 3 | 1).to_be_bytes();
            [next, 0, high, low, 0, 0, 0, 7]
        };
        let heard = Some(Alarm::TooBig {
            spi: Spi::new(0x2001).unwrap(),
            sequence: 9,
            ends: (IpAddr::from(US), IpAddr::from(PEER)),
            mtu: 1400,
        });
        let chains = [
            (protocol::ESP, esp.to_vec()),
            (protocol::UDP, udp.clone()),
            (protocol::FRAGMENT, [&fragment(protocol::ESP, 0)[..], &esp].concat()),
            (protocol::FRAGMENT, [&fragment(protocol::UDP, 0)[..], &udp].concat()),
            (
                protocol::HOP_BY_HOP,
                [&options(protocol::ROUTING)[..], &options(44), &fragment(protocol::ESP, 0), &esp].concat(),
            ),
        ];
        for (first, chain) in &chains {
            assert_eq!(told(1400, *first, 1452, chain), heard, "{chain:?}");
            // It was not longer than that: of a fragment, its own length says so.
            assert_eq!(told(1400, *first, 1360, chain), None);
            // Cut short anywhere before the sequence number's end.
            for end in 0..chain.len() - 4 {
                assert_eq!(told(1400, *first, 1452, &chain[..end]), None, "{end} of {chain:?}");
            }
        }
        let later = [&fragment(protocol::ESP, 100)[..], &esp].concat();
        assert_eq!(told(1400, protocol::FRAGMENT, 1452, &later), None);
        let other = [&options(protocol::TCP)[..], &esp].concat();
        assert_eq!(told(1400, protocol::DESTINATION_OPTIONS, 1452, &other), None);
    }
}
