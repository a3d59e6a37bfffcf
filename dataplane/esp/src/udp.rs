//! ESP in UDP (RFC 3948): what a datagram to our port holds, and the checksums that address translation breaks.
//!
//! The UDP checksum says nothing that the ICV does not say better. Over IPv4 it is sent as zero (section 2.1). Over IPv6 a
//! checksum of zero is allowed only where the other end is known to take it (RFC 6936, section 5, rules 3 and 4), and
//! most do not, so there it is computed, once the packet is sealed: [`crate::outbound::complete`]. What comes is not
//! verified, whatever it is: a damaged packet fails its ICV, and a keepalive does nothing.

use crate::tunnel::Version;
use packet::{checksum, extensions, ipv4, ipv6, protocol};

/// The port of ESP in UDP, on our side always, and on the peer's until a translator maps it.
pub const PORT: u16 = 4500;

/// What a keepalive consists of (section 2.3).
const KEEPALIVE: [u8; 1] = [0xFF];

/// Four bytes of zero, where an SPI would be: the rest is IKE (section 2.2).
const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// The payload of a datagram to [`PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// An ESP packet.
    Esp,
    /// Something to keep a translator's mapping alive; nothing is to be done about it.
    Keepalive,
    /// IKE behind its marker, or what is too short to be anything: not ours.
    Other,
}

impl Payload {
    /// Of these bytes.
    #[inline]
    pub fn of(payload: &[u8]) -> Payload {
        match payload.first_chunk() {
            Some(&NON_ESP_MARKER) => Payload::Other,
            Some(_) => Payload::Esp,
            None if payload == KEEPALIVE => Payload::Keepalive,
            None => Payload::Other,
        }
    }
}

/// Computes the checksum of the next layer anew (section 3.1.2, second way): a translator changed addresses that it covers,
/// and could not mend it, as it was encrypted.
///
/// `packet` is a whole IP packet that came out of an SA in transport mode. TCP, UDP and ICMPv6 have such checksums; a UDP
/// checksum of zero stays.
pub(crate) fn mend_checksum(packet: &mut [u8]) {
    let Some((upper, number)) = upper_layer(packet) else { return };
    let field = match number {
        protocol::TCP => upper + 16,
        protocol::UDP => upper + 6,
        protocol::ICMPV6 => upper + 2,
        _ => return,
    };
    let Some((before, rest)) = packet.split_at_mut_checked(field) else { return };
    let Some((place, after)) = rest.split_first_chunk_mut::<2>() else { return };
    if number == protocol::UDP && *place == [0, 0] {
        return;
    }
    // The field is at an even place of the next layer, so that the parts' sums add up.
    let covered = before.get(upper..).unwrap_or_default();
    let length = (covered.len() + 2 + after.len()) as u32;
    let sum = addresses(before) + u64::from(length) + u64::from(number);
    let field = checksum::finish(sum + checksum::sum(covered) + checksum::sum(after));
    *place = if field == 0 && number == protocol::UDP { [0xFF; 2] } else { field.to_be_bytes() };
}

/// Where the next layer begins, and its number; `None` for a packet that is not whole.
fn upper_layer(packet: &[u8]) -> Option<(usize, u8)> {
    match Version::of(packet)? {
        Version::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            (!header.is_fragment()).then(|| (header.header_len(), header.protocol()))
        }
        Version::V6 => {
            let mut last = None;
            for header in extensions::chain(packet).ok()? {
                let header = header.ok()?;
                if header.is_fragment() {
                    return None;
                }
                last = Some((header.at, header.number));
            }
            last
        }
    }
}

/// The sum of the addresses of a packet, as its pseudo-header has them.
fn addresses(packet: &[u8]) -> u64 {
    let place = match Version::of(packet) {
        Some(Version::V4) => 12..ipv4::HEADER_LEN,
        _ => 8..ipv6::HEADER_LEN,
    };
    packet.get(place).map_or(0, checksum::sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_told_apart() {
        for (payload, expected) in [
            (&[][..], Payload::Other),
            (&[0xFF], Payload::Keepalive),
            (&[0xFE], Payload::Other),
            (&[0xFF, 0xFF], Payload::Other),
            (&[0, 0, 0], Payload::Other),
            (&[0, 0, 0, 0], Payload::Other),
            (&[0, 0, 0, 0, 1, 2, 3], Payload::Other),
            (&[0, 0, 0, 1], Payload::Esp),
            (&[0xFF, 0xFF, 0xFF, 0xFF], Payload::Esp),
        ] {
            assert_eq!(Payload::of(payload), expected, "{payload:?}");
        }
    }
}
