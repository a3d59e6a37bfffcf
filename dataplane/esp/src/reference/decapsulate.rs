//! In.

use super::{Aead, Divided, Refusal, aad, divide, next_layer_sum, ones_complement_sum, renamed};
use crate::inbound;
use model::Mode;

/// The packet inside a whole IP packet with ESP in it, the whole of whose sequence number is known.
///
/// # Errors
/// [`Refusal`].
pub fn decapsulate(
    sa: &inbound::Parameters,
    cipher: &impl Aead,
    sequence: u64,
    packet: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let Divided { headers, rest, next } = divide(packet, |_, _| false).ok_or(Refusal::Truncated)?;
    let esp = match next {
        50 => rest,
        17 if rest.get(2..4) == Some(&[0x11, 0x94]) => {
            let length = usize::from(rest[4]) * 256 + usize::from(rest[5]);
            rest.get(8..length).ok_or(Refusal::Truncated)?.to_vec()
        }
        _ => return Err(Refusal::Truncated),
    };
    let iv_len = sa.shape.iv_len();
    if esp.len() < 4 + 4 + iv_len + 2 + sa.shape.icv_len() {
        return Err(Refusal::Truncated);
    }
    let spi = u32::from_be_bytes([esp[0], esp[1], esp[2], esp[3]]);
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&sa.salt);
    match iv_len {
        // RFC 8750, section 4.
        0 => nonce[4..].copy_from_slice(&sequence.to_be_bytes()),
        _ => nonce[4..].copy_from_slice(&esp[8..16]),
    }
    let mut text = cipher
        .open(nonce, &aad(spi, sequence, sa.esn), &esp[8 + iv_len..], sa.shape.icv_len())
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
    if sa.mode == Mode::Transport {
        return out_of_transport(headers, next == 17, next_header, text);
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
    let outer_ecn = if packet[0] >> 4 == 4 { packet[1] % 4 } else { packet[1] / 16 % 4 };
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

/// RFC 4303, section 3.4.4, and RFC 3948, section 3.1.2: the headers as if there had been no ESP, and the checksum of what
/// is behind them made anew if a translator may have been between.
fn out_of_transport(
    headers: Vec<u8>,
    was_in_udp: bool,
    next_header: u8,
    text: Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let mut packet = renamed(headers, next_header, text.len()).ok_or(Refusal::BadInner)?;
    packet.extend(text);
    let Some(Divided { headers, rest, next }) = divide(&packet, |_, _| false).filter(|_| was_in_udp) else {
        return Ok(packet);
    };
    let place = match next {
        6 => 16,
        17 if rest.get(6..8) != Some(&[0, 0]) => 6,
        58 => 2,
        _ => return Ok(packet),
    };
    let mut rest = rest;
    if rest.len() < place + 2 {
        return Ok(packet);
    }
    rest[place..place + 2].fill(0);
    let checksum = match !next_layer_sum(&headers, next, &rest) {
        0 if next == 17 => 0xFFFF,
        other => other,
    };
    rest[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
    Ok([headers, rest].concat())
}
