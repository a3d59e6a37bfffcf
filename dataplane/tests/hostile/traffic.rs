//! What honest hosts send to each other through the tunnels.

use super::gateway::{LAN, frames::frame};
use super::gateways::{BY_PORT, End, FORBIDDEN, Tunnel};
use packet::{checksum, ipv4, protocol};
use std::net::IpAddr;

/// What packets of one end begin their payload with, before their number.
fn mark(end: End) -> [u8; 4] {
    match end {
        End::A => *b"\xA1\xA2\xA3\xA4",
        End::B => *b"\xB1\xB2\xB3\xB4",
    }
}

/// The hosts behind one end.
pub(crate) struct Hosts {
    end: End,
    tunnels: Vec<Tunnel>,
    pub(crate) random: fastrand::Rng,
    /// The number of the next packet.
    next: u64,
}

impl Hosts {
    pub(crate) fn new(end: End, tunnels: &[Tunnel], seed: u64) -> Hosts {
        Hosts { end, tunnels: tunnels.to_vec(), random: fastrand::Rng::with_seed(seed), next: 0 }
    }

    /// A frame for the gateway's LAN.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        let packet = self.packet();
        frame(self.end.mac(LAN), self.end.neighbour(LAN), &packet)
    }

    /// Mostly short UDP, of either family, through any tunnel; also TCP and ICMP, and what is too long.
    fn packet(&mut self) -> Vec<u8> {
        let is_v6 = self.random.bool();
        let (source, destination) = self.flow(is_v6);
        let long = match self.random.u8(..16) {
            0..11 => self.random.usize(8..200),
            11..15 => self.random.usize(200..1330),
            _ => self.random.usize(1330..1530),
        };
        let mut payload = mark(self.end).to_vec();
        payload.extend(self.next.to_be_bytes());
        payload.resize(12 + long, self.next as u8);
        self.next += 1;
        let (number, segment) = match self.random.u8(..16) {
            0..12 => (protocol::UDP, udp(2000, &payload)),
            12..15 => (protocol::TCP, tcp(&payload)),
            _ => (
                if is_v6 { 58 } else { protocol::ICMP },
                [&[if is_v6 { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 1], &payload[..]].concat(),
            ),
        };
        let df = self.random.bool();
        let mut packet = ip(source, destination, number, df, &segment);
        if self.random.u8(..64) == 0 {
            expire(&mut packet);
        }
        packet
    }

    fn flow(&mut self, is_v6: bool) -> (IpAddr, IpAddr) {
        let other = self.end.other();
        if self.random.u8(..32) == 0 {
            let number = if self.random.bool() { BY_PORT } else { FORBIDDEN };
            return (self.end.beside(number, is_v6), other.beside(number, is_v6));
        }
        let tunnel = self.tunnels[self.random.usize(..self.tunnels.len())];
        (tunnel.host(self.end, is_v6), tunnel.host(other, is_v6))
    }
}

/// A whole IP packet.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, number: u8, df: bool, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0x45, 0, 0, 0, 0, 7, if df { 0x40 } else { 0 }, 0, 64, number, 0, 0];
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(payload);
            let total = packet.len() as u16;
            packet[2..4].copy_from_slice(&total.to_be_bytes());
            ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([number, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(payload);
            packet
        }
        _ => panic!("addresses of two families"),
    }
}

/// Leaves a packet no hop more.
fn expire(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        packet[8] = 1;
        ipv4::Packet::new_unchecked(packet).fill_checksum();
    } else {
        packet[7] = 1;
    }
}

/// A UDP datagram without a checksum.
pub(crate) fn udp(to: u16, payload: &[u8]) -> Vec<u8> {
    [&[1000_u16, to, 8 + payload.len() as u16, 0].map(u16::to_be_bytes).concat(), payload].concat()
}

/// A SYN that offers an MSS; its checksum is wrong, as who adjusts the MSS must not care.
fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut segment =
        vec![0x03, 0xE8, 0x07, 0xD0, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xFF, 0xFF, 0, 0, 0, 0];
    segment.extend([2, 4, 0x05, 0xB4]);
    segment.extend(payload);
    segment
}

/// An ICMP error to `to` that quotes a packet.
pub(crate) fn icmp_error(from: IpAddr, to: IpAddr, mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let quoted = &quoted[..quoted.len().min(1200)];
    let v6 = to.is_ipv6();
    let mut message = vec![if v6 { 2 } else { 3 }, if v6 { 0 } else { 4 }, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quoted);
    let pseudo = match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            checksum::pseudo_header(&from.octets(), &to.octets(), message.len() as u32, 58)
        }
        _ => 0,
    };
    let sum = checksum::fold(pseudo + checksum::sum(&message));
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    ip(from, to, if v6 { 58 } else { protocol::ICMP }, false, &message)
}

/// The number of a host's whole packet, or of its first fragment, that a LAN received from the tunnels; if it is one.
pub(crate) fn number(end: End, frame: &[u8]) -> Option<u64> {
    let packet = frame.get(14..)?;
    let (number, first, payload) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let first = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1FFF == 0;
            (*packet.get(9)?, first, packet.get(header..)?)
        }
        6 => (*packet.get(6)?, true, packet.get(40..)?),
        _ => return None,
    };
    let mark = mark(end);
    let payload = payload.get(8..)?.strip_prefix(&mark)?;
    (number == protocol::UDP && first)
        .then(|| u64::from_be_bytes(*payload.first_chunk().unwrap_or(&[0xFF; 8])))
}
