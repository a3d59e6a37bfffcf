//! Out.

use super::{Aead, aad, divide, next_layer_sum, ones_complement_sum, renamed};
use crate::outbound;
use crate::tunnel::{Dscp, EcnMode};
use model::DontFragment;
use model::Mode;
use std::net::IpAddr;

/// The whole packet that leaves: IP header, perhaps UDP header, ESP header, IV, ciphertext, ICV.
///
/// `None` for packets that cannot be protected so.
pub fn encapsulate(
    sa: &outbound::Parameters,
    cipher: &impl Aead,
    sequence: u64,
    iv: u64,
    inner: &[u8],
) -> Option<Vec<u8>> {
    let version = inner.first()? >> 4;
    // What is protected, and, in transport mode, what stands before it.
    let (kept, protected, next) = match sa.mode {
        Mode::Tunnel => (None, inner.to_vec(), if version == 4 { 4 } else { 41 }),
        Mode::Transport => {
            // RFC 4303, section 3.1.1: what the path reads stays outside.
            let path = |number: &u8| matches!(number, 0 | 43 | 44);
            let divided = divide(inner, |number, behind| !path(&number) && !behind.iter().any(path))?;
            (Some(divided.headers), divided.rest, divided.next)
        }
    };

    // RFC 4303, section 2.4 to 2.6: the trailer.
    let mut text = protected;
    let mut pad = 0;
    while !(text.len() + 2).is_multiple_of(4) {
        pad += 1;
        text.push(pad);
    }
    text.push(pad);
    text.push(next);

    // RFC 4106, sections 4 and 5: nonce and additional data. RFC 8750, section 4: the IV that is not sent.
    let implicit = sa.suite.iv_len() == 0;
    let iv = if implicit { sequence } else { iv };
    let nonce: [u8; 12] = [&sa.salt[..], &iv.to_be_bytes()].concat().try_into().ok()?;
    let mut sealed = cipher.seal(nonce, &aad(sa.spi.get(), sequence, sa.esn), &text);
    sealed.truncate(text.len() + sa.suite.icv_len());

    let mut esp = sa.spi.get().to_be_bytes().to_vec();
    esp.extend((sequence as u32).to_be_bytes());
    if !implicit {
        esp.extend(iv.to_be_bytes());
    }
    esp.extend(sealed);

    // RFC 3948, section 2.1.
    let number = if sa.udp_port.is_some() { 17 } else { 50 };
    if let Some(port) = sa.udp_port {
        let length = u16::try_from(8 + esp.len()).ok()?;
        let mut datagram = [4500, port, length, 0].map(u16::to_be_bytes).concat();
        datagram.extend(esp);
        esp = datagram;
    }
    let mut packet = match kept {
        Some(headers) => renamed(headers, number, esp.len())?,
        None => outer(sa, inner, version, sequence, number, esp.len())?,
    };
    if sa.udp_port.is_some() && sa.remote.is_ipv6() {
        let checksum = match !next_layer_sum(&packet, 17, &esp) {
            0 => 0xFFFF,
            other => other,
        };
        esp.splice(6..8, checksum.to_be_bytes());
    }
    packet.extend(esp);
    Some(packet)
}

/// RFC 4301, sections 5.1.2.1 and 5.1.2.2, and RFC 6040, section 4.1: the outer header.
fn outer(
    sa: &outbound::Parameters,
    inner: &[u8],
    version: u8,
    sequence: u64,
    number: u8,
    length: usize,
) -> Option<Vec<u8>> {
    let (inner_tos, inner_df) = match version {
        4 => (*inner.get(1)?, inner.get(6)? & 0x40 != 0),
        6 => (inner.first()? << 4 | inner.get(1)? >> 4, true),
        _ => return None,
    };
    let dscp = match &sa.tunnel.dscp {
        Dscp::Copy => inner_tos / 4,
        Dscp::Map(map) => map.points()[usize::from(inner_tos / 4)],
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
    let tos = dscp * 4 + ecn;
    match (sa.local, sa.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let total = u16::try_from(20 + length).ok()?;
            let mut packet = vec![0x45, tos];
            packet.extend(total.to_be_bytes());
            packet.extend(if df { [0, 0] } else { (sequence as u16).to_be_bytes() });
            packet.extend(if df { [0x40, 0] } else { [0, 0] });
            packet.extend([sa.tunnel.ttl, number, 0, 0]);
            packet.extend(local.octets());
            packet.extend(remote.octets());
            let checksum = !ones_complement_sum(&packet);
            packet.splice(10..12, checksum.to_be_bytes());
            Some(packet)
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let word = 6 << 28 | u32::from(tos) << 20 | sa.tunnel.flow_label;
            let mut packet = word.to_be_bytes().to_vec();
            packet.extend(u16::try_from(length).ok()?.to_be_bytes());
            packet.extend([number, sa.tunnel.ttl]);
            packet.extend(local.octets());
            packet.extend(remote.octets());
            Some(packet)
        }
        _ => None,
    }
}
