//! Decapsulation (RFC 4303, section 3.4) in tunnel and transport mode.

use crate::tunnel::{self, Version};
use crate::{Aad, Shape, iv, sequence, transport, udp};
use model::{Mode, Suite};
use packet::{Ecn, esp, extensions, ipv4, ipv6, protocol};
use std::ops::Range;

/// Pad length and next header.
const TRAILER_LEN: usize = 2;

/// What an inbound SA is, as far as opening its packets needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Tunnel or transport.
    pub mode: Mode,
    /// Of the keying material: the first 4 bytes of the nonce, where the suite has one.
    pub salt: [u8; 4],
    /// Lengths of IV, text and ICV.
    pub shape: Shape,
    /// Extended (64-bit) sequence numbers.
    pub esn: bool,
    /// Size of the replay window in packets; 0 is none.
    pub window: u32,
}

impl Parameters {
    /// With the lengths of a suite.
    pub const fn new(suite: Suite, mode: Mode, salt: [u8; 4], esn: bool, window: u32) -> Parameters {
        Parameters { mode, salt, shape: Shape::new(suite), esn, window }
    }
}

/// What is wrong with an ESP packet. The fault is the packet's: its sender's, or the path's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too short for ESP header, IV, pad length, next header and ICV.
    #[error("the packet is too short for ESP header, IV, trailer and ICV")]
    Truncated,
    /// The text is not whole blocks of its cipher.
    #[error("the text is not whole blocks of its cipher")]
    BrokenBlock,
    /// The padding is longer than the packet, or is not 1, 2, 3, ... (RFC 4303, section 2.4).
    #[error("the padding is longer than the packet, or is not 1, 2, 3, ...")]
    BadPadding,
    /// Tunnel mode: what is inside is neither IPv4 nor IPv6.
    #[error("next header {0} is not of tunnel mode (4 or 41)")]
    BadNextHeader(u8),
    /// A dummy packet, which traffic flow confidentiality sends (RFC 4303, section 2.6). To be dropped, and no fault.
    #[error("a dummy packet")]
    Dummy,
    /// The inner packet is malformed.
    #[error("the inner packet is malformed: {0}")]
    BadInner(#[from] packet::Error),
    /// The packet met congestion, and its inner header cannot say so (RFC 6040, section 4.2).
    #[error("the packet met congestion, and its inner header cannot say so")]
    Congestion,
}

/// What opening needs to know about a packet. The ICV lies right behind `text`, up to the packet's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The whole sequence number; its high half is inferred, where there is one.
    pub sequence: u64,
    /// Salt and IV, as counter modes take them.
    pub nonce: [u8; iv::NONCE_LEN],
    /// What is authenticated beside the text.
    pub aad: Aad,
    /// What is to be decrypted, in place, within the packet.
    pub text: Range<usize>,
}

/// The packet that was inside, or in transport mode the packet without its ESP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its bytes within the packet that came, without padding.
    pub range: Range<usize>,
    /// Its family.
    pub version: Version,
}

/// Reads the ESP header of a packet.
///
/// `packet` ends where the outer IP packet ends (link-layer padding is cut off), and its ESP header is at `esp_offset`.
/// The SA was found by its SPI. `highest` is [`crate::replay::Window::highest`].
///
/// # Errors
/// [`Error::Truncated`], [`Error::BrokenBlock`].
#[inline]
pub fn prepare(
    parameters: &Parameters,
    packet: &[u8],
    esp_offset: usize,
    highest: u64,
) -> Result<Opening, Error> {
    // Where there is no IV there is an ICV, longer than one: no whole packet has fewer bytes.
    const HEADER_LEN: usize = esp::HEADER_LEN + iv::LEN;
    let header = packet.get(esp_offset..).and_then(|esp| esp.first_chunk::<HEADER_LEN>());
    let [s0, s1, s2, s3, l0, l1, l2, l3, iv @ ..] = *header.ok_or(Error::Truncated)?;
    let start = esp_offset + esp::HEADER_LEN + parameters.shape.iv_len();
    let end = packet.len().checked_sub(parameters.shape.icv_len()).ok_or(Error::Truncated)?;
    if end < start + TRAILER_LEN {
        return Err(Error::Truncated);
    }
    if !parameters.shape.is_whole(end - start) {
        return Err(Error::BrokenBlock);
    }
    let low = u32::from_be_bytes([l0, l1, l2, l3]);
    let sequence =
        if parameters.esn { sequence::infer(highest, parameters.window, low) } else { u64::from(low) };
    // Of a suite that sends none: it is the sequence number (RFC 8750), or nobody asks for it.
    let iv = if parameters.shape.iv_len() == 0 { sequence.to_be_bytes() } else { iv };
    Ok(Opening {
        sequence,
        nonce: iv::nonce(parameters.salt, iv),
        aad: Aad::new(u32::from_be_bytes([s0, s1, s2, s3]), sequence, parameters.esn),
        text: start..end,
    })
}

/// Takes the inner packet out of a packet whose ICV has verified and whose text is decrypted.
///
/// `packet` is as it was for [`prepare`], and begins at the outer IP header; `text` is [`Opening::text`]. Checks the padding.
///
/// In tunnel mode it checks the inner header (lengths, and the checksum of IPv4), cuts off what traffic flow confidentiality
/// put behind the inner packet (RFC 4303, section 2.7), and joins the ECN of both headers into the inner one (RFC 6040). The
/// inner TTL is not touched (see [`tunnel`]).
///
/// In transport mode the packet's headers move up to the text, and name it; of a packet that came in UDP, the next layer's
/// checksum is made anew (see [`udp`]).
///
/// # Errors
/// All of [`Error`].
#[inline]
pub fn finish(mode: Mode, packet: &mut [u8], text: Range<usize>) -> Result<Inner, Error> {
    let start = text.start;
    let outer_ecn = outer_ecn(packet);
    let bytes = packet.get_mut(text).ok_or(Error::Truncated)?;
    let (body, &mut [pad_len, next_header]) = bytes.split_last_chunk_mut().ok_or(Error::Truncated)?;
    let body_len = body.len().checked_sub(usize::from(pad_len)).ok_or(Error::BadPadding)?;
    let (body, padding) = body.split_at_mut_checked(body_len).ok_or(Error::BadPadding)?;
    if !is_padding(padding) {
        return Err(Error::BadPadding);
    }
    if next_header == protocol::NO_NEXT_HEADER {
        return Err(Error::Dummy);
    }
    if mode == Mode::Transport {
        return out_of_transport(packet, start, body_len, next_header);
    }
    let (version, length) = match next_header {
        protocol::IPV4 => {
            let mut inner = ipv4::Packet::new_checked(body)?;
            inner.verify_checksum()?;
            let ecn = tunnel::decapsulated_ecn(outer_ecn, inner.ecn()).ok_or(Error::Congestion)?;
            if ecn != inner.ecn() {
                inner.set_ecn(ecn);
            }
            (Version::V4, usize::from(inner.total_len()))
        }
        protocol::IPV6 => {
            let mut inner = ipv6::Packet::new_checked(body)?;
            let ecn = tunnel::decapsulated_ecn(outer_ecn, inner.ecn()).ok_or(Error::Congestion)?;
            if ecn != inner.ecn() {
                inner.set_ecn(ecn);
            }
            (Version::V6, inner.total_len())
        }
        other => return Err(Error::BadNextHeader(other)),
    };
    Ok(Inner { range: start..start + length, version })
}

/// Whether these bytes, 255 at most, count from 1 on (RFC 4303, section 2.4).
#[inline]
fn is_padding(bytes: &[u8]) -> bool {
    // Of AES-GCM there are three at most. A loop over them ends where the processor does not foresee it.
    match *bytes {
        [] => true,
        [a] => a == 1,
        [a, b] => [a, b] == [1, 2],
        [a, b, c] => [a, b, c] == [1, 2, 3],
        _ => bytes.iter().copied().eq(1..=bytes.len() as u8),
    }
}

/// The packet's headers go to where the text begins, which is `body_len` bytes of `next_header`.
fn out_of_transport(
    packet: &mut [u8],
    start: usize,
    body_len: usize,
    next_header: u8,
) -> Result<Inner, Error> {
    let version = Version::of(packet).ok_or(Error::BadInner(packet::Error::BadVersion))?;
    let (header_len, named_at) = match version {
        Version::V4 => (ipv4::Packet::new_unchecked(&*packet).header_len(), transport::PROTOCOL),
        Version::V6 => {
            // In UDP, what the IP header counts and the datagram does not is cut off.
            let end = extensions::chain_unchecked(packet).end()?;
            (end.at, end.named_at)
        }
    };
    let came_in_udp = packet.get(named_at) == Some(&protocol::UDP);
    let (begin, end) = (start.checked_sub(header_len), start + body_len);
    // The ESP header at least is between the two, and `start` is inside of the packet.
    let begin = begin.filter(|&begin| begin > 0).ok_or(Error::Truncated)?;
    packet.copy_within(..header_len, begin);
    let whole = packet.get_mut(begin..end).ok_or(Error::Truncated)?;
    match version {
        Version::V4 => {
            let mut header = ipv4::Packet::new_unchecked(&mut *whole);
            header.set_total_len((header_len + body_len) as u16);
            header.set_protocol(next_header);
        }
        Version::V6 => {
            let payload_len = header_len + body_len - ipv6::HEADER_LEN;
            ipv6::Packet::new_unchecked(&mut *whole).set_payload_len(payload_len as u16);
            if let Some(name) = whole.get_mut(named_at) {
                *name = next_header;
            }
        }
    }
    if came_in_udp {
        udp::mend_checksum(whole);
    }
    Ok(Inner { range: begin..end, version })
}

/// Of the outer header, which whoever found the ESP header has checked.
#[inline]
fn outer_ecn(packet: &[u8]) -> Ecn {
    match Version::of(packet) {
        Some(Version::V4) => ipv4::Packet::new_unchecked(packet).ecn(),
        Some(Version::V6) => ipv6::Packet::new_unchecked(packet).ecn(),
        None => Ecn::NotEct,
    }
}
#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
