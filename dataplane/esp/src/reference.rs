//! The slow twin, for AES-GCM: whole packets, copied, allocated, written line by line from RFC 4303, 4106, 4301 and 6040.
//!
//! It shares nothing with the quick way but the types of the parameters, so that a test that finds both equal has found
//! something. Not for the packet path.

use crate::tunnel::{DontFragment, Dscp, EcnMode};
use crate::{inbound, outbound};
use std::net::IpAddr;

/// A cipher with a key in it, such as AES-GCM.
pub trait Aead {
    /// Ciphertext, then the ICV at its full length of 16 bytes.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &[u8]) -> Vec<u8>;
    /// Plaintext of a ciphertext that ends with its ICV of `icv_len` bytes; `None` if the ICV does not verify.
    fn open(&self, nonce: [u8; 12], aad: &[u8], text_and_icv: &[u8], icv_len: usize) -> Option<Vec<u8>>;
}

/// What becomes of an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too short.
    Truncated,
    /// The ICV does not verify.
    BadIcv,
    /// The padding is wrong.
    BadPadding,
    /// Not an IP packet in tunnel mode.
    BadNextHeader(u8),
    /// Next header 59.
    Dummy,
    /// The inner packet is malformed.
    BadInner,
    /// Dropped by RFC 6040.
    Congestion,
}

/// The whole packet that leaves: outer header, ESP header, IV, ciphertext, ICV.
///
/// `None` for parameters or packets that are not supported.
pub fn encapsulate(
    sa: &outbound::Parameters,
    cipher: &impl Aead,
    sequence: u64,
    iv: u64,
    inner: &[u8],
) -> Option<Vec<u8>> {
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (sa.local, sa.remote) else { return None };

    // RFC 4303, section 2.4 to 2.6: the trailer.
    let mut text = inner.to_vec();
    let mut pad = 0;
    while !(text.len() + 2).is_multiple_of(4) {
        pad += 1;
        text.push(pad);
    }
    text.push(pad);
    let version = inner.first()? >> 4;
    text.push(match version {
        4 => 4,
        6 => 41,
        _ => return None,
    });

    // RFC 4106, sections 4 and 5: nonce and additional data.
    let nonce: [u8; 12] = [&sa.salt[..], &iv.to_be_bytes()].concat().try_into().ok()?;
    let aad = aad(sa.spi.get(), sequence, sa.esn);
    let mut sealed = cipher.seal(nonce, &aad, &text);
    sealed.truncate(text.len() + sa.suite.icv_len());

    // RFC 4301, section 5.1.2.1, and RFC 6040, section 4.1: the outer header.
    let (inner_tos, inner_df) = if version == 4 {
        (*inner.get(1)?, inner.get(6)? & 0x40 != 0)
    } else {
        (inner.first()? << 4 | inner.get(1)? >> 4, true)
    };
    let dscp = match sa.tunnel.dscp {
        Dscp::Copy => inner_tos / 4,
        Dscp::Set(dscp) => dscp,
    };
    let ecn = match sa.tunnel.ecn {
        EcnMode::Normal => inner_tos % 4,
        EcnMode::Compatibility => 0,
    };
    let df = match sa.tunnel.df {
        DontFragment::Copy => inner_df,
        DontFragment::Set => true,
        DontFragment::Clear => false,
    };
    let total = u16::try_from(20 + 4 + 4 + 8 + sealed.len()).ok()?;
    let mut packet = vec![0x45, dscp * 4 + ecn];
    packet.extend(total.to_be_bytes());
    packet.extend(if df { [0, 0] } else { (sequence as u16).to_be_bytes() });
    packet.extend(if df { [0x40, 0] } else { [0, 0] });
    packet.extend([sa.tunnel.ttl, 50, 0, 0]);
    packet.extend(local.octets());
    packet.extend(remote.octets());
    let checksum = !ones_complement_sum(&packet);
    packet.splice(10..12, checksum.to_be_bytes());

    packet.extend(sa.spi.get().to_be_bytes());
    packet.extend((sequence as u32).to_be_bytes());
    packet.extend(iv.to_be_bytes());
    packet.extend(sealed);
    Some(packet)
}

/// The packet inside an ESP packet that begins at its outer IPv4 header, and whose whole sequence number is known.
///
/// # Errors
/// [`Refusal`].
pub fn decapsulate(
    sa: &inbound::Parameters,
    cipher: &impl Aead,
    sequence: u64,
    packet: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let header_len = usize::from(packet.first().ok_or(Refusal::Truncated)? & 15) * 4;
    let esp = packet.get(header_len..).ok_or(Refusal::Truncated)?;
    if esp.len() < 4 + 4 + 8 + 2 + sa.shape.icv_len() {
        return Err(Refusal::Truncated);
    }
    let spi = u32::from_be_bytes([esp[0], esp[1], esp[2], esp[3]]);
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&sa.salt);
    nonce[4..].copy_from_slice(&esp[8..16]);
    let mut text = cipher
        .open(nonce, &aad(spi, sequence, sa.esn), &esp[16..], sa.shape.icv_len())
        .ok_or(Refusal::BadIcv)?;

    let next_header = text.pop().ok_or(Refusal::Truncated)?;
    let pad_len = text.pop().ok_or(Refusal::Truncated)?;
    for expected in (1..=pad_len).rev() {
        if text.pop() != Some(expected) {
            return Err(Refusal::BadPadding);
        }
    }
    if next_header == 59 {
        return Err(Refusal::Dummy);
    }
    if next_header != 4 && next_header != 41 {
        return Err(Refusal::BadNextHeader(next_header));
    }
    let mut inner = text;
    if inner.len() < if next_header == 4 { 20 } else { 40 } {
        return Err(Refusal::BadInner);
    }
    let total = if next_header == 4 {
        let header_len = usize::from(inner[0] & 15) * 4;
        let total = usize::from(inner[2]) * 256 + usize::from(inner[3]);
        let sound = inner[0] >> 4 == 4 && header_len >= 20 && header_len <= total && total <= inner.len();
        if !sound || ones_complement_sum(&inner[..header_len]) != 0xFFFF {
            return Err(Refusal::BadInner);
        }
        total
    } else {
        let total = 40 + usize::from(inner[4]) * 256 + usize::from(inner[5]);
        if inner[0] >> 4 != 6 || total > inner.len() {
            return Err(Refusal::BadInner);
        }
        total
    };
    inner.truncate(total);

    // RFC 6040, section 4.2, figure 4. Codepoints: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
    let outer_ecn = packet[1] % 4;
    let inner_ecn = if next_header == 4 { inner[1] % 4 } else { inner[1] / 16 % 4 };
    let ecn = match (inner_ecn, outer_ecn) {
        (0, 3) => return Err(Refusal::Congestion),
        (0, _) => 0,
        (_, 3) => 3,
        (2, 1) => 1,
        (inner, _) => inner,
    };
    if next_header == 4 {
        inner[1] = inner[1] / 4 * 4 + ecn;
        let header_len = usize::from(inner[0] & 15) * 4;
        inner[10..12].fill(0);
        let checksum = !ones_complement_sum(&inner[..header_len]);
        inner[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        inner[1] = inner[1] & 0b1100_1111 | ecn << 4;
    }
    Ok(inner)
}

/// RFC 4106, section 5, figures 2 and 3.
fn aad(spi: u32, sequence: u64, esn: bool) -> Vec<u8> {
    let mut aad = spi.to_be_bytes().to_vec();
    if esn {
        aad.extend(((sequence >> 32) as u32).to_be_bytes());
    }
    aad.extend((sequence as u32).to_be_bytes());
    aad
}

/// RFC 1071, byte by byte.
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, pair| {
        let word = u16::from(pair[0]) * 256 + u16::from(*pair.get(1).unwrap_or(&0));
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}
