//! Encapsulation (RFC 4303, section 3.3): tunnel and transport mode, over IPv4 and IPv6, also in UDP (RFC 3948).
//!
//! What stands before the text of a packet is made once for each SA: in tunnel mode outer header, UDP header, ESP header;
//! in transport mode UDP and ESP header, between a packet's own headers and the rest of it.

use crate::transport::{self, NoPlace};
use crate::tunnel::{self, Version};
use crate::{Aad, Shape, iv, udp};
use model::{Mode, Spi, Suite};
use packet::{checksum, esp, extensions, ipv4, ipv6, protocol, udp as datagram};
use std::net::IpAddr;
use std::ops::Range;

/// ESP header; the IV, if there is one, follows.
const ESP: usize = esp::HEADER_LEN;
/// UDP and ESP header.
const UDP: usize = datagram::HEADER_LEN + ESP;
/// What stands before the IV in tunnel mode: over IPv4 or IPv6, and in UDP there.
const V4: usize = ipv4::HEADER_LEN + ESP;
const V4_UDP: usize = ipv4::HEADER_LEN + UDP;
const V6: usize = ipv6::HEADER_LEN + ESP;
const V6_UDP: usize = ipv6::HEADER_LEN + UDP;
/// The longest of them.
const LONGEST: usize = V6_UDP;
/// Pad length and next header.
pub(crate) const TRAILER_LEN: usize = 2;

/// What an outbound SA is, as far as its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Security parameters index.
    pub spi: Spi,
    /// Algorithms.
    pub suite: Suite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Of the keying material: the first 4 bytes of the nonce, where the suite has one.
    pub salt: [u8; 4],
    /// Extended (64-bit) sequence numbers.
    pub esn: bool,
    /// This end: the source of outer headers, or of the packets themselves in transport mode.
    pub local: IpAddr,
    /// The other end: their destination.
    pub remote: IpAddr,
    /// In UDP, to this port of the peer; `None`: ESP directly over IP.
    pub udp_port: Option<u16>,
    /// Outer header fields; of no meaning in transport mode.
    pub tunnel: tunnel::Options,
}

/// The SA's ends are of two families. The fault is the configuration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no packet can be from {local} to {remote}; both addresses must be of one family")]
pub struct MixedFamilies {
    /// This end.
    pub local: IpAddr,
    /// The other end.
    pub remote: IpAddr,
}

/// Why a packet cannot be encapsulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The buffer is not as long as header, inner packet and trailer together. The fault is the caller's.
    #[error("the buffer is not as long as header, inner packet and trailer together")]
    WrongLength,
    /// What is to be encapsulated is no IP packet.
    #[error("what is to be encapsulated is no IP packet")]
    NotIp,
    /// The encapsulated packet would be longer than its header can say.
    #[error("the encapsulated packet would be longer than its header can say")]
    TooLong,
    /// Transport mode: a fragment (RFC 4303, section 3.3.4).
    #[error("a fragment cannot be protected in transport mode")]
    Fragment,
    /// Transport mode: the packet goes not from one end of the SA to the other.
    #[error("transport mode is for packets between the SA's ends only")]
    OtherEnds,
}

/// What sealing needs to know about an encapsulated packet. The ICV goes right behind `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Salt and IV, as counter modes take them.
    pub nonce: [u8; iv::NONCE_LEN],
    /// What is authenticated beside the text.
    pub aad: Aad,
    /// What is to be encrypted, in place, within the packet: inner packet, padding, pad length, next header.
    pub text: Range<usize>,
}

/// What an SA puts before the IV of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    Tunnel4,
    Tunnel4Udp,
    Tunnel6,
    Tunnel6Udp,
    Transport,
}

/// An outbound SA's headers, computed once.
#[derive(Clone, Debug)]
pub struct Template {
    front: Front,
    /// What stands before the IV; what differs from packet to packet is zero.
    header: [u8; LONGEST],
    /// Of these, so many bytes.
    header_len: usize,
    /// Of the outer IPv4 header as it stands in `header`.
    sum: u64,
    spi: u32,
    salt: [u8; 4],
    pub(crate) shape: Shape,
    esn: bool,
    in_udp: bool,
    local: IpAddr,
    remote: IpAddr,
    tunnel: tunnel::Options,
}

impl Template {
    /// Prepares the headers of an SA.
    ///
    /// # Errors
    /// [`MixedFamilies`].
    pub fn new(parameters: &Parameters) -> Result<Template, MixedFamilies> {
        let Parameters { local, remote, udp_port, ref tunnel, .. } = *parameters;
        let number = if udp_port.is_some() { protocol::UDP } else { protocol::ESP };
        let (front, outer) = match (parameters.mode, local, remote) {
            (_, IpAddr::V4(_), IpAddr::V6(_)) | (_, IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(MixedFamilies { local, remote });
            }
            (Mode::Transport, ..) => (Front::Transport, Vec::new()),
            (Mode::Tunnel, IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut outer = vec![0; ipv4::HEADER_LEN];
                outer[0] = 0x45;
                outer[8..10].copy_from_slice(&[tunnel.ttl, number]);
                outer[12..16].copy_from_slice(&source.octets());
                outer[16..].copy_from_slice(&destination.octets());
                (if udp_port.is_some() { Front::Tunnel4Udp } else { Front::Tunnel4 }, outer)
            }
            (Mode::Tunnel, IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut outer = vec![0; ipv6::HEADER_LEN];
                let label = tunnel.flow_label & 0x000F_FFFF;
                outer[..4].copy_from_slice(&(6 << 28 | label).to_be_bytes());
                outer[6..8].copy_from_slice(&[number, tunnel.ttl]);
                outer[8..24].copy_from_slice(&source.octets());
                outer[24..].copy_from_slice(&destination.octets());
                (if udp_port.is_some() { Front::Tunnel6Udp } else { Front::Tunnel6 }, outer)
            }
        };
        let ports = udp_port.map(|port| [udp::PORT, port, 0, 0].map(u16::to_be_bytes).concat());
        let spi = parameters.spi.get().to_be_bytes();
        let fixed = [&outer[..], &ports.unwrap_or_default(), &spi, &[0; ESP - 4]].concat();
        let mut header = [0; LONGEST];
        header[..fixed.len()].copy_from_slice(&fixed);
        Ok(Template {
            front,
            header,
            header_len: fixed.len(),
            sum: checksum::sum(&outer),
            spi: parameters.spi.get(),
            salt: parameters.salt,
            shape: Shape::new(parameters.suite),
            esn: parameters.esn,
            in_udp: udp_port.is_some(),
            local,
            remote,
            tunnel: tunnel.clone(),
        })
    }

    /// Bytes by which a packet grows at its front: outer header, UDP header, ESP header, IV, as far as the SA has them.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.header_len + self.shape.iv_len()
    }

    /// Where the packets that come of it are from, and to.
    #[inline]
    pub const fn ends(&self) -> (IpAddr, IpAddr) {
        (self.local, self.remote)
    }

    /// Family of the packets that come of it.
    #[inline]
    pub const fn version(&self) -> Version {
        Version::of_address(self.remote)
    }

    /// Whether a sealed packet wants [`complete`].
    #[inline]
    pub const fn completes(&self) -> bool {
        self.in_udp && self.remote.is_ipv6()
    }

    /// Bytes by which a packet grows at its back: padding (RFC 4303, section 2.4), pad length, next header, ICV.
    ///
    /// Transport mode leaves headers of the packet itself outside of the text, which is to end on a block.
    #[inline]
    pub fn trailer_len(&self, inner: &[u8]) -> usize {
        let outside = self.outside(inner);
        self.shape.pad_len(inner.len().saturating_sub(outside)) + TRAILER_LEN + self.shape.icv_len()
    }

    /// Bytes of a packet that stay outside of the text.
    #[inline]
    pub(crate) fn outside(&self, inner: &[u8]) -> usize {
        match self.front {
            // What has no place for ESP is refused later.
            Front::Transport => transport::place(inner).map_or(0, |place| place.at),
            _ => 0,
        }
    }

    /// Whether it is of transport mode.
    #[inline]
    pub const fn is_transport(&self) -> bool {
        matches!(self.front, Front::Transport)
    }

    #[inline(always)]
    fn sealing(&self, numbers: Numbers, text: Range<usize>) -> Sealing {
        Sealing {
            nonce: iv::nonce(self.salt, numbers.iv.to_be_bytes()),
            aad: Aad::new(self.spi, numbers.sequence, self.esn),
            text,
        }
    }

    /// Bytes of ICV.
    #[inline]
    pub const fn icv_len(&self) -> usize {
        self.shape.icv_len()
    }

    /// Bytes of IV, right before the text.
    #[inline]
    pub const fn iv_len(&self) -> usize {
        self.shape.iv_len()
    }

    /// Whether sequence numbers are extended.
    #[inline]
    pub const fn esn(&self) -> bool {
        self.esn
    }

    /// Security parameters index, host order.
    #[inline]
    pub const fn spi(&self) -> u32 {
        self.spi
    }
}

/// What differs between packets of an SA.
#[derive(Clone, Copy)]
struct Numbers {
    sequence: u64,
    iv: u64,
}

/// Writes headers and trailer around an inner packet, so that only sealing is left to do.
///
/// `packet` has the inner packet, `inner_len` bytes, at [`Template::header_len`], and [`Template::trailer_len`] bytes after
/// that; what these places held does not matter. In transport mode the "inner packet" is the packet itself, and its headers
/// move to the front. The inner header must be sound, and its TTL is not touched (see [`tunnel`]). `sequence` comes from
/// [`crate::sequence::allocate`], `iv` from [`iv::at`]: **neither may ever have been used before with this key**.
///
/// # Errors
/// [`Error`]; then the packet is as it was.
#[inline(always)]
pub fn encapsulate(
    template: &Template,
    sequence: u64,
    iv: u64,
    packet: &mut [u8],
    inner_len: usize,
) -> Result<Sealing, Error> {
    let numbers = Numbers { sequence, iv };
    // The usual way is inlined, and what comes of it stays in registers: out of memory, where it was just put in pieces, it
    // would be read with a wait for each packet.
    let text = match template.front {
        Front::Tunnel4 => in_tunnel::<V4>(template, numbers, packet, inner_len)?,
        _ => less_often(template, numbers, packet, inner_len)?,
    };
    Ok(template.sealing(numbers, text))
}

#[inline(never)]
fn less_often(
    template: &Template,
    numbers: Numbers,
    packet: &mut [u8],
    inner_len: usize,
) -> Result<Range<usize>, Error> {
    match template.front {
        Front::Tunnel4 => in_tunnel::<V4>(template, numbers, packet, inner_len),
        Front::Tunnel4Udp => in_tunnel::<V4_UDP>(template, numbers, packet, inner_len),
        Front::Tunnel6 => in_tunnel::<V6>(template, numbers, packet, inner_len),
        Front::Tunnel6Udp => in_tunnel::<V6_UDP>(template, numbers, packet, inner_len),
        Front::Transport => in_transport(template, numbers, packet, inner_len),
    }
}

/// `FRONT`: bytes of outer header, UDP header and ESP header, which also says which of these there are.
#[inline(always)]
fn in_tunnel<const FRONT: usize>(
    template: &Template,
    numbers: Numbers,
    packet: &mut [u8],
    inner_len: usize,
) -> Result<Range<usize>, Error> {
    let pad_len = template.shape.pad_len(inner_len);
    let text_len = inner_len.checked_add(pad_len + TRAILER_LEN).ok_or(Error::WrongLength)?;
    let text = FRONT + template.iv_len();
    let outer_len = packet.len();
    if outer_len.checked_sub(text + template.icv_len()) != Some(text_len) {
        return Err(Error::WrongLength);
    }
    let over_v4 = const { FRONT == V4 || FRONT == V4_UDP };
    let stated_len = if over_v4 { outer_len } else { outer_len - ipv6::HEADER_LEN };
    let stated_len = u16::try_from(stated_len).map_err(|_| Error::TooLong)?;
    let (header, rest) = packet.split_first_chunk_mut::<FRONT>().ok_or(Error::WrongLength)?;
    let (iv_field, rest) = rest.split_at_mut_checked(template.iv_len()).ok_or(Error::WrongLength)?;
    let (inner, trailer) = rest.split_at_mut_checked(inner_len).ok_or(Error::WrongLength)?;
    let version = Version::of(inner).ok_or(Error::NotIp)?;

    let (tos, df) = template.tunnel.outer(version, inner);
    *header = *template.header.first_chunk().ok_or(Error::WrongLength)?;
    if over_v4 {
        // An atomic datagram's identification says nothing (RFC 6864, section 4.1).
        let (identification, flags) = if df { (0, 0x4000) } else { (numbers.sequence as u16, 0) };
        let sum = template.sum
            + u64::from(tos)
            + u64::from(stated_len)
            + u64::from(identification)
            + u64::from(flags);
        header[1] = tos;
        header[2..4].copy_from_slice(&stated_len.to_be_bytes());
        header[4..6].copy_from_slice(&identification.to_be_bytes());
        header[6..8].copy_from_slice(&u16::to_be_bytes(flags));
        header[10..12].copy_from_slice(&checksum::finish(sum).to_be_bytes());
    } else {
        header[0] |= tos >> 4;
        header[1] |= tos << 4;
        header[4..6].copy_from_slice(&stated_len.to_be_bytes());
    }
    if const { FRONT == V4_UDP || FRONT == V6_UDP } {
        let in_udp = (outer_len - (FRONT - UDP)) as u16;
        header[FRONT - UDP + 4..FRONT - UDP + 6].copy_from_slice(&in_udp.to_be_bytes());
    }
    header[FRONT - ESP + 4..].copy_from_slice(&(numbers.sequence as u32).to_be_bytes());
    iv::write(iv_field, numbers.iv);

    end_text(trailer, pad_len, version.next_header());
    Ok(text..text + text_len)
}

/// The packet's own headers move to the front, up to the place for ESP, and name what is there now.
fn in_transport(
    template: &Template,
    numbers: Numbers,
    packet: &mut [u8],
    inner_len: usize,
) -> Result<Range<usize>, Error> {
    let front = template.header_len();
    let outer_len = packet.len();
    let inner = packet.get(front..).and_then(|rest| rest.get(..inner_len)).ok_or(Error::WrongLength)?;
    let place = transport::place(inner).map_err(|none| match none {
        NoPlace::Fragment => Error::Fragment,
        NoPlace::Malformed => Error::NotIp,
    })?;
    let protected_len = inner_len.checked_sub(place.at).ok_or(Error::NotIp)?;
    let pad_len = template.shape.pad_len(protected_len);
    let text_len = protected_len + pad_len + TRAILER_LEN;
    let text = front + place.at..front + place.at + text_len;
    if text.end + template.icv_len() != outer_len {
        return Err(Error::WrongLength);
    }
    let (ends, ip_len) = match Version::of(inner).ok_or(Error::NotIp)? {
        Version::V4 => {
            let header = ipv4::Packet::new_unchecked(inner);
            ((IpAddr::V4(header.source()), IpAddr::V4(header.destination())), outer_len)
        }
        Version::V6 => {
            let header = ipv6::Packet::new_unchecked(inner);
            let payload_len = outer_len.checked_sub(ipv6::HEADER_LEN).ok_or(Error::WrongLength)?;
            ((IpAddr::V6(header.source()), IpAddr::V6(header.destination())), payload_len)
        }
    };
    if ends != (template.local, template.remote) {
        return Err(Error::OtherEnds);
    }
    let ip_len = u16::try_from(ip_len).map_err(|_| Error::TooLong)?;

    packet.copy_within(front..front + place.at, 0);
    let number = if template.in_udp { protocol::UDP } else { protocol::ESP };
    match template.version() {
        Version::V4 => {
            let mut header = ipv4::Packet::new_unchecked(&mut *packet);
            header.set_total_len(ip_len);
            header.set_protocol(number);
        }
        Version::V6 => {
            ipv6::Packet::new_unchecked(&mut *packet).set_payload_len(ip_len);
            if let Some(name) = packet.get_mut(place.named_at) {
                *name = number;
            }
        }
    }
    let (before, after) = packet.split_at_mut(text.start);
    if let Some((_, header)) = before.split_at_mut_checked(place.at)
        && let Some((header, iv_field)) = header.split_at_mut_checked(template.header_len)
        && let Some(fixed) = template.header.get(..template.header_len)
        && header.len() == fixed.len()
    {
        header.copy_from_slice(fixed);
        if template.in_udp {
            let in_udp = (outer_len - place.at) as u16;
            header[4..6].copy_from_slice(&in_udp.to_be_bytes());
        }
        let sequence = template.header_len - 4;
        header[sequence..].copy_from_slice(&(numbers.sequence as u32).to_be_bytes());
        iv::write(iv_field, numbers.iv);
    }
    if let Some(trailer) = after.get_mut(protected_len..) {
        end_text(trailer, pad_len, place.next_header);
    }
    Ok(text)
}

/// Padding, pad length and next header (RFC 4303, section 2.4).
#[inline(always)]
fn end_text(trailer: &mut [u8], pad_len: usize, next_header: u8) {
    // All at once where it is short, as it is for AES-GCM. What is written behind it is in the place of the ICV.
    if pad_len <= 6
        && let Some(word) = trailer.first_chunk_mut()
    {
        let end = u64::from(next_header) << 8 | pad_len as u64;
        *word = (0x06_05_04_03_02_01 & ((1 << (8 * pad_len)) - 1) | end << (8 * pad_len)).to_le_bytes();
        return;
    }
    for (byte, number) in trailer.iter_mut().zip(1..=pad_len as u8) {
        *byte = number;
    }
    if let Some([pad, next, ..]) = trailer.get_mut(pad_len..) {
        (*pad, *next) = (pad_len as u8, next_header);
    }
}

/// Does what can be done to a packet only when it is sealed, where [`Template::completes`]: the UDP checksum over IPv6
/// (see [`udp`]).
pub fn complete(template: &Template, packet: &mut [u8]) {
    let Ok(upper) = extensions::upper_layer(packet) else { return };
    let (at, is_udp) = (upper.at, upper.number == protocol::UDP);
    if let Some(bytes) = packet.get_mut(at..).filter(|_| is_udp) {
        // It is there, and as long as it says: we wrote it.
        let _ = datagram::fill_checksum(bytes, template.local, template.remote);
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
