//! What becomes of honest frames on a hostile wire.

use super::gateway::frames::{frame, tagged};
use super::gateways::{End, Tunnel, vlan};
use super::traffic::{icmp_error, ip, udp};
use packet::{ipv4, protocol};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Ethernet header.
const L2: usize = 14;
/// Frames that are remembered, to be replayed.
const MEMORY: usize = 4096;
/// IPv6 extension headers, and what may pass for one.
const EXTENSIONS: [u8; 7] = [0, 43, 44, 60, 51, 135, 59];

/// A way to be hostile: what it is called, how often it is taken in proportion to the others, and what it does.
type Way = (&'static str, u32, fn(&mut Wire, Vec<u8>, &mut Vec<Vec<u8>>));

const WAYS: [Way; 17] = [
    ("as it was", 290, |_, frame, out| out.push(frame)),
    ("bytes flipped", 110, Wire::flipped),
    ("bytes flipped, checksum mended", 90, Wire::flipped_and_mended),
    ("cut short", 60, Wire::cut),
    ("more behind it", 40, Wire::longer),
    ("a wrong length", 80, Wire::wrong_length),
    ("in fragments", 50, Wire::fragments),
    ("a fragment that fits nothing", 30, Wire::stray),
    ("IPv4 options or extension headers", 60, Wire::extended),
    ("a wrong SPI or sequence number", 40, Wire::wrong_esp),
    ("replayed", 50, Wire::replayed),
    ("in an ICMP error", 40, Wire::quoted),
    ("VLAN tags", 20, Wire::in_vlans),
    ("UDP to 4500", 20, Wire::on_port_4500),
    ("in clear, or from nowhere", 20, Wire::in_clear),
    ("noise", 40, Wire::noise),
    ("giant", 10, Wire::giant),
];

/// A wire into a port of A.
pub(crate) struct Wire {
    random: fastrand::Rng,
    tunnels: Vec<Tunnel>,
    port: u16,
    vlan: Option<u16>,
    seen: Vec<Vec<u8>>,
    /// Frames thrown, by how they were hostile.
    pub(crate) thrown: BTreeMap<&'static str, u64>,
}

impl Wire {
    pub(crate) fn new(port: u16, tunnels: &[Tunnel], seed: u64) -> Wire {
        let random = fastrand::Rng::with_seed(seed);
        let vlan = vlan(port);
        Wire { random, tunnels: tunnels.to_vec(), port, vlan, seen: Vec::new(), thrown: BTreeMap::new() }
    }

    /// Puts what becomes of a frame without its tag behind `out`, in the port's VLAN if it is in one.
    pub(crate) fn pass(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let begin = out.len();
        self.alter(frame, out);
        let Some(vlan) = self.vlan else { return };
        for frame in &mut out[begin..] {
            if frame.len() >= 12 && self.random.u8(..64) != 0 {
                *frame = tagged(frame, vlan);
            }
        }
    }

    fn alter(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        if self.seen.len() < MEMORY {
            self.seen.push(frame.clone());
        } else {
            let place = self.random.usize(..MEMORY);
            self.seen[place].clone_from(&frame);
        }
        let total: u32 = WAYS.iter().map(|(_, weight, _)| weight).sum();
        let mut drawn = self.random.u32(..total);
        for (name, weight, way) in WAYS {
            if drawn < weight {
                let before = out.len();
                way(self, frame, out);
                *self.thrown.entry(name).or_default() += (out.len() - before) as u64;
                return;
            }
            drawn -= weight;
        }
    }

    fn some_bytes(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.random.usize(..=most)];
        self.random.fill(&mut bytes);
        bytes
    }

    /// A number at or beside an edge, or any.
    fn edge(&mut self) -> u16 {
        const EDGES: [u16; 12] = [0, 1, 7, 8, 19, 20, 21, 39, 40, 1500, 0x7FFF, 0xFFFF];
        if self.random.bool() { EDGES[self.random.usize(..EDGES.len())] } else { self.random.u16(..) }
    }

    fn flipped(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        // Mostly behind the stations' addresses, as what is for somebody else goes not far.
        let from = if self.random.u8(..8) == 0 { 0 } else { 12.min(frame.len()) };
        for _ in 0..self.random.usize(1..5) {
            if from < frame.len() {
                let at = self.random.usize(from..frame.len());
                frame[at] ^= if self.random.bool() { 1 << self.random.u8(..8) } else { self.random.u8(..) };
            }
        }
        out.push(frame);
    }

    fn flipped_and_mended(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        self.flipped(frame, out);
        out.last_mut().into_iter().for_each(|frame| mend(frame));
    }

    fn cut(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let len = self.random.usize(..=frame.len());
        frame.truncate(len);
        // As long as it says, or longer than it is.
        if self.random.bool() && frame.len() >= L2 + 20 {
            let len = (frame.len() - L2) as u16;
            match frame[L2] >> 4 {
                4 => frame[L2 + 2..L2 + 4].copy_from_slice(&len.to_be_bytes()),
                _ => frame[L2 + 4..L2 + 6].copy_from_slice(&len.saturating_sub(40).to_be_bytes()),
            }
            mend(&mut frame);
        }
        out.push(frame);
    }

    fn longer(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        frame.extend(self.some_bytes(300));
        out.push(frame);
    }

    /// In a header length, a total length, a UDP length or an extension's.
    fn wrong_length(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let value = self.edge();
        let is_v4 = frame.get(L2).is_some_and(|first| first >> 4 == 4);
        let header = if is_v4 { 20 } else { 40 };
        let at = match (self.random.u8(..3), is_v4) {
            (0, true) => L2 + 2,
            (0, false) => L2 + 4,
            // Of UDP, or where an extension header has its own.
            (1, _) => L2 + header + 4,
            (_, true) => {
                if let Some(first) = frame.get_mut(L2) {
                    *first = 0x40 | value as u8 & 15;
                }
                L2 + 2
            }
            (_, false) => L2 + header,
        };
        if let Some(place) = frame.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        mend(&mut frame);
        out.push(frame);
    }

    /// All in order, or in disorder, with one lost, one twice, or one that overlaps.
    fn fragments(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let whole = frame.len() <= L2 + 48;
        if whole {
            return out.push(frame);
        }
        let is_v4 = frame[L2] >> 4 == 4;
        let header = L2 + if is_v4 { 20 } else { 40 };
        let body = &frame[header..];
        // Whole words of eight bytes, few enough of them for most to be put together.
        let step = 8 * self.random.usize(1..=(body.len() / 8).max(1));
        let step = if self.random.u8(..16) == 0 { 8 } else { step.max(body.len() / 24 * 8).max(8) };
        let identification = self.random.u32(..);
        let begin = out.len();
        for at in (0..body.len()).step_by(step) {
            let overlap = if self.random.u8(..200) == 0 { 8.min(at) } else { 0 };
            let end = body.len().min(at + step);
            let piece = &body[at - overlap..end];
            out.push(fragment(&frame, (at - overlap) as u16, end < body.len(), identification, piece));
        }
        let pieces = out.len() - begin;
        let one = begin + self.random.usize(..pieces);
        match self.random.u8(..6) {
            0 => self.random.shuffle(&mut out[begin..]),
            1 if pieces > 1 => drop(out.swap_remove(one)),
            2 => out.insert(one, out[one].clone()),
            3 => {
                // The same place, other bytes.
                let mut other = out[one].clone();
                if let Some(last) = other.last_mut() {
                    *last ^= 1;
                }
                out.push(other);
            }
            _ => {}
        }
    }

    /// Tiny, far beyond the end, of no length, or of a length that is no multiple of eight, of a packet that never is whole.
    fn stray(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        if frame.len() <= L2 + 40 {
            return out.push(frame);
        }
        let offset = self.edge();
        // Few numbers, so that they meet.
        let (more, number, piece) = (self.random.bool(), self.random.u32(..64), self.some_bytes(1400));
        let piece =
            if self.random.bool() { &piece[..piece.len() / 8 * 8] } else { &piece[..piece.len().min(9)] };
        out.push(fragment(&frame, offset & !7, more, number, piece));
    }

    /// Options of IPv4, of any sort; or a chain of extension headers, of which some are well-formed.
    fn extended(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        if frame.len() <= L2 + 40 {
            return out.push(frame);
        }
        if frame[L2] >> 4 == 4 {
            let words = self.random.usize(1..=10);
            let mut options = vec![1; 4 * words];
            if self.random.bool() {
                self.random.fill(&mut options);
            }
            frame.splice(L2 + 20..L2 + 20, options);
            frame[L2] = 0x45 + words as u8;
            let total = (frame.len() - L2) as u16;
            frame[L2 + 2..L2 + 4].copy_from_slice(&total.to_be_bytes());
            mend(&mut frame);
        } else {
            let mut next = frame[L2 + 6];
            let (mut chain, headers) = (Vec::new(), self.random.usize(1..12));
            for _ in 0..headers {
                let kind = EXTENSIONS[self.random.usize(..EXTENSIONS.len())];
                let words = if kind == 44 { 0 } else { self.random.u8(..3) };
                let mut header = vec![next, words];
                // Padding, as options.
                let len = 8 + 8 * usize::from(words);
                header.extend([1, (len - 4) as u8]);
                header.resize(len, 0);
                if self.random.u8(..4) == 0 {
                    let (_, rest) = header.split_at_mut(1);
                    self.random.fill(rest);
                } else if kind == 44 {
                    header[2..4].fill(0);
                }
                chain.splice(0..0, header);
                next = kind;
            }
            frame[L2 + 6] = next;
            frame.splice(L2 + 40..L2 + 40, chain);
            let payload = (frame.len() - L2 - 40) as u16;
            frame[L2 + 4..L2 + 6].copy_from_slice(&payload.to_be_bytes());
        }
        out.push(frame);
    }

    /// Where ESP has them, if it is ESP directly over IP.
    fn wrong_esp(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let header = L2 + if frame.get(L2).is_some_and(|first| first >> 4 == 4) { 20 } else { 40 };
        let at = header + 4 * self.random.usize(..2);
        let value = match self.random.u8(..4) {
            0 => self.tunnels[self.random.usize(..self.tunnels.len())].spi(End::A),
            1 => self.random.u32(..),
            2 => u32::MAX - self.random.u32(..3),
            _ => self.random.u32(..70_000),
        };
        if let Some(place) = frame.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        out.push(frame);
    }

    fn replayed(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        out.push(frame);
        for _ in 0..self.random.usize(1..4) {
            out.push(self.seen[self.random.usize(..self.seen.len())].clone());
        }
    }

    /// To us or to a host, about what was on the wire, or about an error about it.
    fn quoted(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let Some(packet) = frame.get(L2..).filter(|packet| packet.len() > 40) else { return out.push(frame) };
        let is_v6 = packet[0] >> 4 == 6;
        let from = End::B.outer(is_v6);
        let host = self.tunnels[self.random.usize(..self.tunnels.len())].host(End::A, is_v6);
        let to = if self.random.bool() { End::A.outer(is_v6) } else { host };
        let mtu = self.edge();
        let mut error = icmp_error(from, to, mtu, packet);
        if self.random.u8(..4) == 0 {
            error = icmp_error(from, to, mtu, &error);
        }
        out.push([&frame[..12], if is_v6 { b"\x86\xDD" } else { b"\x08\x00" }, &error[..]].concat());
    }

    fn in_vlans(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        if frame.len() >= L2 {
            for _ in 0..self.random.usize(1..4) {
                frame = tagged(&frame, self.random.u16(..));
            }
        }
        out.push(frame);
    }

    /// Keepalives, IKE, and what is too short for either.
    fn on_port_4500(&mut self, _: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let mut payload = match self.random.u8(..4) {
            0 => vec![0xFF],
            1 => vec![0; 4],
            _ => Vec::new(),
        };
        if self.random.bool() {
            payload.extend(self.some_bytes(60));
        }
        let is_v6 = self.random.bool();
        let (from, to) = (End::B.outer(is_v6), End::A.outer(is_v6));
        out.push(self.framed(&ip(from, to, protocol::UDP, false, &udp(esp::udp::PORT, &payload))));
    }

    /// What ought to have been protected; sources and destinations that cannot be.
    fn in_clear(&mut self, _: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        const ODD: [&str; 10] = [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.5",
            "255.255.255.255",
            "198.51.100.1",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "2001:db8:9::1",
        ];
        let odd: IpAddr = ODD[self.random.usize(..ODD.len())].parse().unwrap();
        let tunnel = self.tunnels[self.random.usize(..self.tunnels.len())];
        let is_v6 = odd.is_ipv6();
        let (near, far) = (tunnel.host(End::A, is_v6), tunnel.host(End::B, is_v6));
        let (from, to) = match self.random.u8(..4) {
            0 => (odd, near),
            1 => (near, odd),
            _ => (far, near),
        };
        out.push(self.framed(&ip(from, to, protocol::UDP, true, &udp(2000, b"in clear"))));
    }

    fn noise(&mut self, frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let mut noise = self.some_bytes(300);
        let keep = [0, 6, 12, 14, 15, 24][self.random.usize(..6)];
        let keep = keep.min(noise.len()).min(frame.len());
        noise[..keep].copy_from_slice(&frame[..keep]);
        out.push(noise);
    }

    /// Longer than any buffer, and sometimes it says so.
    fn giant(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        frame.resize(self.random.usize(1600..12_000).max(frame.len()), 0xEE);
        let len = (frame.len() - L2) as u16;
        if self.random.bool() {
            match frame[L2] >> 4 {
                4 => frame[L2 + 2..L2 + 4].copy_from_slice(&len.to_be_bytes()),
                _ => frame[L2 + 4..L2 + 6].copy_from_slice(&(len - 40).to_be_bytes()),
            }
            mend(&mut frame);
        }
        out.push(frame);
    }

    /// Another packet in the place of a frame's.
    fn framed(&self, packet: &[u8]) -> Vec<u8> {
        frame(End::A.mac(self.port), End::A.neighbour(self.port), packet)
    }
}

/// Makes the checksum of an IPv4 header right, as far as there is one.
fn mend(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(L2..).filter(|packet| packet.len() >= 20) else { return };
    let header = usize::from(packet[0] & 15) * 4;
    if packet[0] >> 4 == 4 && (20..=packet.len()).contains(&header) {
        ipv4::Packet::new_unchecked(packet).fill_checksum();
    }
}

/// A piece of a frame's packet as a fragment.
fn fragment(frame: &[u8], offset: u16, more: bool, number: u32, piece: &[u8]) -> Vec<u8> {
    if frame[L2] >> 4 == 4 {
        let mut bytes = [&frame[..L2 + 20], piece].concat();
        bytes[L2] = 0x45;
        bytes[L2 + 2..L2 + 4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
        bytes[L2 + 4..L2 + 6].copy_from_slice(&(number as u16).to_be_bytes());
        bytes[L2 + 6..L2 + 8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
        mend(&mut bytes);
        return bytes;
    }
    let mut header = vec![frame[L2 + 6], 0];
    header.extend((offset & !7 | u16::from(more)).to_be_bytes());
    header.extend(number.to_be_bytes());
    let mut bytes = [&frame[..L2 + 40], &header, piece].concat();
    bytes[L2 + 4..L2 + 6].copy_from_slice(&((8 + piece.len()) as u16).to_be_bytes());
    bytes[L2 + 6] = 44;
    bytes
}
