//! IPv4 (RFC 791), with the TOS byte as DSCP (RFC 2474) and ECN (RFC 3168).

use crate::{Ecn, Error, checksum, field};
use std::net::Ipv4Addr;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

const DF: u16 = 0x4000;
const MF: u16 = 0x2000;
const OFFSET: u16 = 0x1FFF;

/// A view of an IPv4 packet. Bytes after its total length (link-layer padding) are allowed and not part of it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks version, header length, and total length against the bytes. The header checksum is a check of its own:
    /// [`Packet::verify_checksum`].
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadVersion`], [`Error::BadHeaderLength`], [`Error::BadTotalLength`].
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        let data = bytes.as_ref();
        let Some(header) = data.first_chunk::<HEADER_LEN>() else {
            return Err(if data.first().is_some_and(|first| first >> 4 != 4) {
                Error::BadVersion
            } else {
                Error::Truncated
            });
        };
        if header[0] >> 4 != 4 {
            return Err(Error::BadVersion);
        }
        let header_len = usize::from(header[0] & 0x0F) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if total_len < HEADER_LEN {
            return Err(Error::BadTotalLength);
        }
        if header_len < HEADER_LEN || header_len > total_len {
            return Err(Error::BadHeaderLength);
        }
        if total_len > data.len() {
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

    /// Verifies the header checksum, options included.
    ///
    /// # Errors
    /// [`Error::BadChecksum`].
    #[inline]
    pub fn verify_checksum(&self) -> Result<(), Error> {
        let sound = match (self.data().first(), self.data().first_chunk::<HEADER_LEN>()) {
            (Some(0x45), Some(header)) => checksum::verify(header),
            _ => checksum::verify(self.header()),
        };
        if sound { Ok(()) } else { Err(Error::BadChecksum) }
    }

    /// The header, options included.
    #[inline]
    pub fn header(&self) -> &[u8] {
        field::between(self.data(), 0, self.header_len())
    }

    /// Header length in bytes, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(field::get_u8(self.data(), 0) & 0x0F) * 4
    }

    /// The byte that holds DSCP and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        field::get_u8(self.data(), 1)
    }

    /// Differentiated services codepoint, 0 to 63.
    #[inline]
    pub fn dscp(&self) -> u8 {
        self.tos() >> 2
    }

    /// Explicit congestion notification.
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_byte(self.tos())
    }

    /// Header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> u16 {
        field::get_u16(self.data(), 2)
    }

    /// Identification, for reassembly.
    #[inline]
    pub fn identification(&self) -> u16 {
        field::get_u16(self.data(), 4)
    }

    /// Don't fragment.
    #[inline]
    pub fn has_df(&self) -> bool {
        field::get_u16(self.data(), 6) & DF != 0
    }

    /// More fragments follow.
    #[inline]
    pub fn has_mf(&self) -> bool {
        field::get_u16(self.data(), 6) & MF != 0
    }

    /// Where in the whole packet's payload this fragment begins, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        (field::get_u16(self.data(), 6) & OFFSET) << 3
    }

    /// Whether it is a fragment: the first, the last or one between.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        field::get_u16(self.data(), 6) & (MF | OFFSET) != 0
    }

    /// Whether the payload begins with the next layer's header: a whole packet or the first fragment.
    #[inline]
    pub fn is_first_fragment(&self) -> bool {
        field::get_u16(self.data(), 6) & OFFSET == 0
    }

    /// Time to live, in hops.
    #[inline]
    pub fn ttl(&self) -> u8 {
        field::get_u8(self.data(), 8)
    }

    /// Number of the next-layer protocol; see [`crate::protocol`].
    #[inline]
    pub fn protocol(&self) -> u8 {
        field::get_u8(self.data(), 9)
    }

    /// The checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        field::get_u16(self.data(), 10)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        field::get::<4>(self.data(), 12).into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        field::get::<4>(self.data(), 16).into()
    }

    /// What follows the header, up to the total length.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::between(self.data(), self.header_len(), usize::from(self.total_len()))
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Packet<B> {
    /// Changes one word of the header and the checksum with it (RFC 1624).
    #[inline]
    fn set_word(&mut self, at: usize, new: u16) {
        let bytes = self.0.as_mut();
        let old = field::get_u16(bytes, at);
        let updated = checksum::update(field::get_u16(bytes, 10), old, new);
        field::set_u16(bytes, at, new);
        field::set_u16(bytes, 10, updated);
    }

    /// Takes one hop off the TTL, and updates the checksum (RFC 1812, section 5.3.1; RFC 1624).
    /// `None`, and nothing is changed, if none would be left: the packet must not be forwarded.
    #[inline]
    pub fn decrement_ttl(&mut self) -> Option<u8> {
        let left = self.ttl().checked_sub(1).filter(|&left| left > 0)?;
        let protocol = self.protocol();
        self.set_word(8, u16::from_be_bytes([left, protocol]));
        Some(left)
    }

    /// Sets the number of the next-layer protocol, and updates the checksum.
    #[inline]
    pub fn set_protocol(&mut self, protocol: u8) {
        let ttl = self.ttl();
        self.set_word(8, u16::from_be_bytes([ttl, protocol]));
    }

    /// Sets the whole TOS byte, and updates the checksum.
    #[inline]
    pub fn set_tos(&mut self, tos: u8) {
        let first = field::get_u8(self.data(), 0);
        self.set_word(0, u16::from_be_bytes([first, tos]));
    }

    /// Sets the ECN bits, and updates the checksum.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        let tos = self.tos() & !0b11 | ecn.bits();
        self.set_tos(tos);
    }

    /// Sets the DSCP (its low six bits), and updates the checksum.
    #[inline]
    pub fn set_dscp(&mut self, dscp: u8) {
        let tos = dscp << 2 | self.tos() & 0b11;
        self.set_tos(tos);
    }

    /// Sets the total length in bytes, and updates the checksum.
    #[inline]
    pub fn set_total_len(&mut self, total_len: u16) {
        self.set_word(2, total_len);
    }

    /// Computes the header checksum from nothing and writes it.
    pub fn fill_checksum(&mut self) {
        field::set_u16(self.0.as_mut(), 10, 0);
        let field = checksum::checksum(self.header());
        field::set_u16(self.0.as_mut(), 10, field);
    }
}

/// The fields of a header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live, in hops.
    pub ttl: u8,
    /// Don't fragment.
    pub df: bool,
    /// Identification, for reassembly.
    pub identification: u16,
    /// Payload, in bytes.
    pub payload_len: usize,
}

impl Repr {
    /// Reads a header and verifies its checksum; options and fragmentation are not represented.
    ///
    /// # Errors
    /// Those of [`Packet::new_checked`] and [`Packet::verify_checksum`].
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        packet.verify_checksum()?;
        Ok(Repr {
            source: packet.source(),
            destination: packet.destination(),
            protocol: packet.protocol(),
            tos: packet.tos(),
            ttl: packet.ttl(),
            df: packet.has_df(),
            identification: packet.identification(),
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header and its checksum to the first [`HEADER_LEN`] bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if there are fewer, [`Error::BadTotalLength`] if the payload is too long for IPv4.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let total_len =
            self.payload_len.checked_add(HEADER_LEN).and_then(|length| u16::try_from(length).ok());
        field::set(header, 0, [0x45, self.tos]);
        field::set_u16(header, 2, total_len.ok_or(Error::BadTotalLength)?);
        field::set_u16(header, 4, self.identification);
        field::set_u16(header, 6, if self.df { DF } else { 0 });
        field::set(header, 8, [self.ttl, self.protocol, 0, 0]);
        field::set(header, 12, self.source.octets());
        field::set(header, 16, self.destination.octets());
        let sum = checksum::checksum(header);
        field::set_u16(header, 10, sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A well-known header with checksum 0xb861.
    const KNOWN: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7,
    ];

    #[test]
    fn reads_a_known_header() {
        let mut bytes = KNOWN.to_vec();
        assert_eq!(Packet::new_checked(&bytes).unwrap_err(), Error::Truncated);
        bytes.resize(0x80, 7);
        let packet = Packet::new_checked(&bytes).unwrap();
        assert_eq!(packet.verify_checksum(), Ok(()));
        assert_eq!(packet.source(), Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(packet.destination(), Ipv4Addr::new(192, 168, 0, 199));
        assert_eq!((packet.protocol(), packet.ttl(), packet.total_len()), (17, 64, 0x73));
        assert!(packet.has_df() && !packet.is_fragment() && packet.is_first_fragment());
        assert_eq!(packet.payload().len(), 0x73 - 20);
    }

    #[test]
    fn what_is_malformed_is_named() {
        let check = |change: fn(&mut [u8])| {
            let mut bytes = [0; 40];
            Repr {
                source: Ipv4Addr::LOCALHOST,
                destination: Ipv4Addr::LOCALHOST,
                protocol: 1,
                tos: 0,
                ttl: 1,
                df: false,
                identification: 0,
                payload_len: 20,
            }
            .emit(&mut bytes)
            .unwrap();
            change(&mut bytes);
            Repr::parse(&bytes).unwrap_err()
        };
        assert_eq!(check(|bytes| bytes[0] = 0x65), Error::BadVersion);
        assert_eq!(check(|bytes| bytes[0] = 0x44), Error::BadHeaderLength);
        assert_eq!(check(|bytes| bytes[0] = 0x4B), Error::BadHeaderLength);
        assert_eq!(check(|bytes| bytes[3] = 19), Error::BadTotalLength);
        assert_eq!(check(|bytes| bytes[3] = 41), Error::Truncated);
        assert_eq!(check(|bytes| bytes[8] = 2), Error::BadChecksum);
        assert_eq!(Packet::new_checked([0x60_u8; 5]).unwrap_err(), Error::BadVersion);
        assert_eq!(Packet::new_checked([]).unwrap_err(), Error::Truncated);
    }

    #[test]
    fn the_last_hop_is_not_spent() {
        for ttl in [0, 1] {
            let mut bytes = KNOWN;
            bytes[8] = ttl;
            let before = bytes;
            assert_eq!(Packet::new_unchecked(&mut bytes[..]).decrement_ttl(), None);
            assert_eq!(bytes, before);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            source: u32, destination: u32, protocol: u8, tos: u8, ttl: u8, df: bool, identification: u16,
            payload_len in 0_usize..100,
        ) {
            let repr = Repr {
                source: source.into(), destination: destination.into(), protocol, tos, ttl, df, identification,
                payload_len,
            };
            let mut bytes = vec![0; HEADER_LEN + payload_len];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
        }

        #[test]
        fn every_setter_keeps_the_checksum(
            mut bytes in prop::collection::vec(any::<u8>(), 60..100), words in 5_u8..=15, tos: u8, total_len: u16,
        ) {
            bytes[0] = 0x40 | words;
            bytes[2..4].copy_from_slice(&[0, 60]);
            let mut packet = Packet::new_checked(&mut bytes[..]).unwrap();
            packet.fill_checksum();
            let before = packet.ttl();
            if let Some(left) = packet.decrement_ttl() {
                prop_assert_eq!((left, packet.ttl()), (before - 1, before - 1));
            }
            prop_assert_eq!(packet.verify_checksum(), Ok(()));
            packet.set_ecn(Ecn::from_byte(tos));
            packet.set_dscp(tos >> 2);
            prop_assert_eq!((packet.tos(), packet.verify_checksum()), (tos, Ok(())));
            packet.set_total_len(total_len);
            prop_assert_eq!((packet.total_len(), packet.verify_checksum()), (total_len, Ok(())));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..80), sane: bool) {
            let mut bytes = bytes;
            if sane && bytes.len() > 3 {
                bytes[0] = 0x40 | bytes[0] & 0x07;
                bytes[2] = 0;
            }
            if let Ok(packet) = Packet::new_checked(&bytes) {
                let length = packet.header().len() + packet.payload().len();
                prop_assert_eq!(length, usize::from(packet.total_len()));
                let _ = packet.verify_checksum();
            }
            let unchecked = Packet::new_unchecked(&mut bytes[..]).decrement_ttl();
            prop_assert_ne!(unchecked, Some(0));
        }
    }
}
