//! Hear: ICMP that says that ESP packets of ours were too big for their path (RFC 1191; RFC 8201). What a worker can see
//! from the message alone it checks; whether we sent such a packet lately the manager knows.

use crate::burst::{Burst, Family, Mask};
use crate::worker::alarms::Alarm;
use model::Spi;
use packet::{checksum, icmp, ipv4, ipv6, protocol};
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
    let mtu = u16::try_from(message.rest()).ok()?;
    let ends = (header.source().into(), header.destination().into());
    alarm(header.next_header(), quoted.get(ipv6::HEADER_LEN..)?, ends, mtu, header.total_len())
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
