//! IPv6 (RFC 8200): the fixed header. Extension headers are [`crate::extensions`]'.

use crate::{Ecn, Error, field};
use std::net::Ipv6Addr;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// A view of an IPv6 packet. Bytes after its payload length (link-layer padding) are allowed and not part of it.
/// Jumbograms (RFC 2675) are not known: a payload length of 0 is an empty payload.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks version, and payload length against the bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadVersion`].
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        let data = bytes.as_ref();
        if data.first().is_some_and(|first| first >> 4 != 6) {
            return Err(Error::BadVersion);
        }
        let header = data.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if HEADER_LEN + payload_len > data.len() {
            return Err(Error::Truncated);
        }
        Ok(Packet(bytes))
    }

    /// A view of bytes that were checked before.
    #[inline]
    pub const fn new_unchecked(bytes: B) -> Packet<B> {
        Packet(bytes)
    }

    /// The bytes.
    #[inline]
    pub fn into_inner(self) -> B {
        self.0
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The byte that holds DSCP and ECN; it straddles the first two bytes.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (field::get_u16(self.data(), 0) >> 4) as u8
    }

    /// Differentiated services codepoint, 0 to 63.
    #[inline]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// Explicit congestion notification.
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_byte(self.traffic_class())
    }

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        field::get_u32(self.data(), 0) & 0x000F_FFFF
    }

    /// What follows the fixed header, extension headers included, in bytes.
    #[inline]
    pub fn payload_len(&self) -> u16 {
        field::get_u16(self.data(), 4)
    }

    /// Fixed header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(self.payload_len())
    }

    /// Number of the first extension header or next-layer protocol; see [`crate::protocol`].
    #[inline]
    pub fn next_header(&self) -> u8 {
        field::get_u8(self.data(), 6)
    }

    /// Hop limit.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        field::get_u8(self.data(), 7)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        field::get::<16>(self.data(), 8).into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        field::get::<16>(self.data(), 24).into()
    }

    /// What follows the fixed header, up to the payload length.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::between(self.data(), HEADER_LEN, self.total_len())
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Packet<B> {
    /// Takes one hop off the hop limit (RFC 8200, section 3). `None`, and nothing is changed, if none would be left:
    /// the packet must not be forwarded.
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> Option<u8> {
        let left = self.hop_limit().checked_sub(1).filter(|&left| left > 0)?;
        field::set_u8(self.0.as_mut(), 7, left);
        Some(left)
    }

    /// Sets the whole traffic class.
    #[inline]
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        let word = field::get_u16(self.data(), 0) & 0xF00F | u16::from(traffic_class) << 4;
        field::set_u16(self.0.as_mut(), 0, word);
    }

    /// Sets the ECN bits.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        let traffic_class = self.traffic_class() & !0b11 | ecn.bits();
        self.set_traffic_class(traffic_class);
    }

    /// Sets the DSCP (its low six bits).
    #[inline]
    pub fn set_dscp(&mut self, dscp: u8) {
        let traffic_class = dscp << 2 | self.traffic_class() & 0b11;
        self.set_traffic_class(traffic_class);
    }

    /// Sets the byte that names the first extension header or next-layer protocol.
    #[inline]
    pub fn set_next_header(&mut self, next_header: u8) {
        field::set_u8(self.0.as_mut(), 6, next_header);
    }

    /// Sets the payload length in bytes.
    #[inline]
    pub fn set_payload_len(&mut self, payload_len: u16) {
        field::set_u16(self.0.as_mut(), 4, payload_len);
    }
}

/// The fields of the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Number of the first extension header or next-layer protocol.
    pub next_header: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label; only the low 20 bits are written.
    pub flow_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// Payload, in bytes.
    pub payload_len: usize,
}

impl Repr {
    /// Reads the header. Errors as of [`Packet::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr {
            source: packet.source(),
            destination: packet.destination(),
            next_header: packet.next_header(),
            traffic_class: packet.traffic_class(),
            flow_label: packet.flow_label(),
            hop_limit: packet.hop_limit(),
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if there are fewer, [`Error::BadTotalLength`] if the payload is too long for IPv6.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let payload_len = u16::try_from(self.payload_len).map_err(|_| Error::BadTotalLength)?;
        field::set_u32(
            header,
            0,
            6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000F_FFFF,
        );
        field::set_u16(header, 4, payload_len);
        field::set(header, 6, [self.next_header, self.hop_limit]);
        field::set(header, 8, self.source.octets());
        field::set(header, 24, self.destination.octets());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_malformed_is_named() {
        let mut bytes = [0; HEADER_LEN + 4];
        bytes[0] = 0x60;
        bytes[5] = 4;
        assert!(Packet::new_checked(&bytes).is_ok());
        bytes[5] = 5;
        assert_eq!(Repr::parse(&bytes), Err(Error::Truncated));
        bytes[0] = 0x45;
        assert_eq!(Repr::parse(&bytes), Err(Error::BadVersion));
        assert_eq!(Repr::parse(&[0x60; HEADER_LEN - 1]), Err(Error::Truncated));
        assert_eq!(Repr::parse(&[]), Err(Error::Truncated));
    }

    #[test]
    fn the_last_hop_is_not_spent() {
        let mut bytes = [0x60; HEADER_LEN];
        for (hop_limit, left) in [(0, None), (1, None), (2, Some(1)), (255, Some(254))] {
            bytes[7] = hop_limit;
            assert_eq!(Packet::new_unchecked(&mut bytes[..]).decrement_hop_limit(), left);
            assert_eq!(bytes[7], left.unwrap_or(hop_limit));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_set(
            source: u128, destination: u128, next_header: u8, traffic_class: u8, flow_label in 0_u32..1 << 20,
            hop_limit: u8, payload_len in 0_usize..100, other: u8,
        ) {
            let repr = Repr {
                source: source.into(), destination: destination.into(), next_header, traffic_class, flow_label,
                hop_limit, payload_len,
            };
            let mut bytes = vec![0; HEADER_LEN + payload_len];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            let mut packet = Packet::new_checked(&mut bytes[..]).unwrap();
            packet.set_ecn(Ecn::from_byte(other));
            packet.set_dscp(other >> 2);
            prop_assert_eq!(Repr::parse(&bytes), Ok(Repr { traffic_class: other, ..repr }));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = Packet::new_checked(&bytes) {
                prop_assert_eq!(packet.payload().len(), usize::from(packet.payload_len()));
            }
        }
    }
}
