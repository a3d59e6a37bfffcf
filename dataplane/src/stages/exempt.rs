//! Exempt: what no policy may take of the gateway's own talk, as without it there would be no SA and no neighbour: IKE
//! (RFC 4301, section 4.4.1, as in IOS), and neighbour discovery (RFC 4861), which cannot come from beyond the link.

use crate::burst::{Burst, Family, Mask};
use esp::udp::{PORT, Payload};
use packet::{extensions, ipv4, ipv6, protocol, udp};

/// IKE's port where there is no translator on the way (RFC 7296, section 2).
const IKE: u16 = 500;
/// Router solicitation to redirect (RFC 4861, section 4).
const NEIGHBOUR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;
/// The hop limit of a packet that no router has forwarded (RFC 4861, section 6.1).
const UNFORWARDED: u8 = 255;

/// Which end of a packet is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    Source,
    Destination,
}

/// The packets of `mask`, from or to the gateway itself, that go past every policy.
pub(crate) fn exempt(burst: &Burst, mask: Mask, ours: Ours) -> Mask {
    let exempt = burst.packets.masked(mask).filter(|(index, mbuf)| {
        let family = burst.meta[*index].family;
        is_exempt(family, mbuf.data(), ours)
    });
    exempt.fold(0, |exempt: Mask, (index, _)| exempt | 1 << index)
}

fn is_exempt(family: Family, packet: &[u8], ours: Ours) -> bool {
    match family {
        Family::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            header.protocol() == protocol::UDP && header.is_first_fragment() && is_ike(header.payload(), ours)
        }
        Family::V6 => {
            let Ok(upper) = extensions::upper_layer(packet) else { return false };
            let unforwarded = ipv6::Packet::new_unchecked(packet).hop_limit() == UNFORWARDED;
            match upper.number {
                _ if upper.is_later_fragment => false,
                protocol::UDP => is_ike(upper.bytes, ours),
                protocol::ICMPV6 if unforwarded => {
                    upper.bytes.first().is_some_and(|kind| NEIGHBOUR_DISCOVERY.contains(kind))
                }
                _ => false,
            }
        }
    }
}

fn is_ike(bytes: &[u8], ours: Ours) -> bool {
    let Ok(datagram) = udp::Packet::new_checked(bytes) else { return false };
    let port = match ours {
        Ours::Source => datagram.source(),
        Ours::Destination => datagram.destination(),
    };
    port == IKE || port == PORT && Payload::of(datagram.payload()) != Payload::Esp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [source, destination, 8 + payload.len() as u16, 0].map(u16::to_be_bytes).concat();
        bytes.extend(payload);
        bytes
    }

    fn v4(payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([0; 8]);
        packet.extend(payload);
        packet
    }

    fn v6(number: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, number, hop_limit];
        packet.extend([0; 32]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn ike_goes_past() {
        for (source, destination, payload, from_us, to_us) in [
            (500, 500, &b"IKE"[..], true, true),
            (61000, 500, b"IKE", false, true),
            (4500, 61000, b"\0\0\0\0IKE", true, false),
            (4500, 4500, b"\xFF", true, true),
            (4500, 4500, b"\0\0\x10\x01ESP", false, false),
            (501, 499, b"IKE", false, false),
        ] {
            let bytes = datagram(source, destination, payload);
            for (family, packet) in [(Family::V4, v4(&bytes)), (Family::V6, v6(17, 64, &bytes))] {
                assert_eq!(is_exempt(family, &packet, Ours::Source), from_us, "{source} {destination}");
                assert_eq!(is_exempt(family, &packet, Ours::Destination), to_us, "{source} {destination}");
            }
        }
        let mut tcp = v4(&datagram(500, 500, b"IKE"));
        tcp[9] = 6;
        assert!(!is_exempt(Family::V4, &tcp, Ours::Source));
    }

    #[test]
    fn neighbour_discovery_goes_past() {
        for (kind, hop_limit, past) in
            [(135, 255, true), (136, 255, true), (135, 254, false), (128, 255, false)]
        {
            let packet = v6(58, hop_limit, &[kind, 0, 0, 0]);
            assert_eq!(is_exempt(Family::V6, &packet, Ours::Destination), past, "{kind}");
        }
        assert!(!is_exempt(Family::V6, &v6(58, 255, &[]), Ours::Source));
        assert!(!is_exempt(Family::V6, &[], Ours::Source));
    }
}
