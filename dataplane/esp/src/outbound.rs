//! Encapsulation (RFC 4303, section 3.3) in tunnel mode over IPv4.

use crate::tunnel::{self, Version};
use crate::{Aad, Shape, iv};
use model::{Mode, Spi, Suite};
use packet::{checksum, esp, ipv4, protocol};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

/// Outer IPv4 header, ESP header; the IV, if there is one, follows.
const HEADER_LEN: usize = ipv4::HEADER_LEN + esp::HEADER_LEN;
/// Where the ESP header begins.
const ESP: usize = ipv4::HEADER_LEN;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;

/// What an outbound SA is, as far as its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Source of the outer header.
    pub local: IpAddr,
    /// Destination of the outer header.
    pub remote: IpAddr,
    /// Outer header fields.
    pub tunnel: tunnel::Options,
}

/// Parameters that are not supported. The fault is the configuration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// An outer header that is not IPv4.
    #[error("an outer header from {local} to {remote} is not supported; both addresses must be IPv4")]
    Outer {
        /// Source of the outer header.
        local: IpAddr,
        /// Destination of the outer header.
        remote: IpAddr,
    },
    /// Transport mode.
    #[error("transport mode is not supported; use tunnel mode")]
    Transport,
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
    /// The encapsulated packet would be longer than 65535 bytes.
    #[error("the encapsulated packet would be longer than 65535 bytes")]
    TooLong,
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

/// An outbound SA's headers, computed once.
#[derive(Clone, Debug)]
pub struct Template {
    /// Outer header, SPI; what differs from packet to packet is zero.
    header: [u8; HEADER_LEN],
    /// Of the outer header as it stands in `header`.
    sum: u64,
    spi: u32,
    salt: [u8; 4],
    shape: Shape,
    esn: bool,
    tunnel: tunnel::Options,
}

impl Template {
    /// Prepares the headers of an SA.
    ///
    /// # Errors
    /// [`Unsupported`].
    pub fn new(parameters: &Parameters) -> Result<Template, Unsupported> {
        let Parameters { local, remote, .. } = *parameters;
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (local, remote) else {
            return Err(Unsupported::Outer { local, remote });
        };
        if parameters.mode != Mode::Tunnel {
            return Err(Unsupported::Transport);
        }
        let outer = outer_header(source, destination, parameters.tunnel.ttl);
        let mut header = [0; HEADER_LEN];
        let (ip, rest) = header.split_at_mut(ESP);
        ip.copy_from_slice(&outer);
        rest[..4].copy_from_slice(&parameters.spi.get().to_be_bytes());
        Ok(Template {
            header,
            sum: checksum::sum(&outer),
            spi: parameters.spi.get(),
            salt: parameters.salt,
            shape: Shape::new(parameters.suite),
            esn: parameters.esn,
            tunnel: parameters.tunnel,
        })
    }

    /// Bytes by which a packet grows at its front: outer header, ESP header, IV.
    #[inline]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.shape.iv_len()
    }

    /// Bytes by which a packet of `inner_len` bytes grows at its back: padding (RFC 4303, section 2.4), pad length, next
    /// header, ICV.
    #[inline]
    pub const fn trailer_len(&self, inner_len: usize) -> usize {
        self.shape.pad_len(inner_len) + TRAILER_LEN + self.shape.icv_len()
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

/// Total length, identification, TOS, DF and checksum stay zero.
fn outer_header(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8) -> [u8; ipv4::HEADER_LEN] {
    let mut header = [0; ipv4::HEADER_LEN];
    header[0] = 0x45;
    header[8] = ttl;
    header[9] = protocol::ESP;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    header
}

/// Writes headers and trailer around an inner packet, so that only sealing is left to do.
///
/// `packet` has the inner packet, `inner_len` bytes, at [`Template::header_len`], and [`Template::trailer_len`] bytes after
/// that; what these places held does not matter. The inner header must be sound, and its TTL is not touched (see
/// [`tunnel`]). `sequence` comes from [`crate::sequence::allocate`], `iv` from [`iv::at`]: **neither may ever have been used
/// before with this key**.
///
/// # Errors
/// [`Error`]; then the packet is as it was.
#[inline]
pub fn encapsulate(
    template: &Template,
    sequence: u64,
    iv: u64,
    packet: &mut [u8],
    inner_len: usize,
) -> Result<Sealing, Error> {
    let pad_len = template.shape.pad_len(inner_len);
    let text_len = inner_len.checked_add(pad_len + TRAILER_LEN).ok_or(Error::WrongLength)?;
    let text = template.header_len();
    if packet.len().checked_sub(text + template.icv_len()) != Some(text_len) {
        return Err(Error::WrongLength);
    }
    let total_len = u16::try_from(packet.len()).map_err(|_| Error::TooLong)?;
    let (header, rest) = packet.split_first_chunk_mut::<HEADER_LEN>().ok_or(Error::WrongLength)?;
    let (iv_field, rest) = rest.split_at_mut_checked(template.iv_len()).ok_or(Error::WrongLength)?;
    let (inner, trailer) = rest.split_at_mut_checked(inner_len).ok_or(Error::WrongLength)?;
    let version = Version::of(inner).ok_or(Error::NotIp)?;

    let (tos, df) = template.tunnel.outer(version, inner);
    // An atomic datagram's identification says nothing (RFC 6864, section 4.1).
    let (identification, flags) = if df { (0, 0x4000) } else { (sequence as u16, 0) };
    let sum =
        template.sum + u64::from(tos) + u64::from(total_len) + u64::from(identification) + u64::from(flags);
    *header = template.header;
    header[1] = tos;
    header[2..4].copy_from_slice(&total_len.to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].copy_from_slice(&u16::to_be_bytes(flags));
    header[10..12].copy_from_slice(&checksum::finish(sum).to_be_bytes());
    header[ESP + 4..ESP + 8].copy_from_slice(&(sequence as u32).to_be_bytes());
    iv::write(iv_field, iv);

    for (byte, number) in trailer.iter_mut().zip(1..=pad_len as u8) {
        *byte = number;
    }
    if let Some([pad, next, ..]) = trailer.get_mut(pad_len..) {
        (*pad, *next) = (pad_len as u8, version.next_header());
    }
    Ok(Sealing {
        nonce: iv::nonce(template.salt, iv.to_be_bytes()),
        aad: Aad::new(template.spi, sequence, template.esn),
        text: text..text + text_len,
    })
}
#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
