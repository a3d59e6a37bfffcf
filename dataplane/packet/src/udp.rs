//! UDP (RFC 768).

use crate::{Error, checksum, field, protocol};
use std::net::IpAddr;

/// Bytes of a UDP header.
pub const HEADER_LEN: usize = 8;

/// A view of a UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks the header and its length field; bytes after the datagram are allowed.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadTotalLength`].
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        let data = bytes.as_ref();
        let header = data.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let length = usize::from(field::get_u16(header, 4));
        if length < HEADER_LEN {
            return Err(Error::BadTotalLength);
        }
        if length > data.len() {
            return Err(Error::Truncated);
        }
        Ok(Packet(bytes))
    }

    /// Source port.
    #[inline]
    pub fn source(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 0)
    }

    /// Destination port.
    #[inline]
    pub fn destination(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 2)
    }

    /// Header and payload, in bytes.
    #[inline]
    pub fn length(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 4)
    }

    /// The checksum field; 0 is none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 6)
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::between(self.0.as_ref(), HEADER_LEN, usize::from(self.length()))
    }

    /// Verifies the checksum. None at all is right over IPv4 and wrong over IPv6 (RFC 8200, section 8.1).
    ///
    /// # Errors
    /// [`Error::BadChecksum`].
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> Result<(), Error> {
        if self.checksum() == 0 && source.is_ipv4() {
            return Ok(());
        }
        let datagram = field::between(self.0.as_ref(), 0, usize::from(self.length()));
        let sum = pseudo_header(source, destination, self.length()) + checksum::sum(datagram);
        if self.checksum() != 0 && checksum::fold(sum) == 0xFFFF { Ok(()) } else { Err(Error::BadChecksum) }
    }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: u16) -> u64 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::pseudo_header(&source.octets(), &destination.octets(), length.into(), protocol::UDP)
        }
        (source, destination) => {
            checksum::pseudo_header(&octets6(source), &octets6(destination), length.into(), protocol::UDP)
        }
    }
}

fn octets6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
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
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header, with no checksum, to the first [`HEADER_LEN`] bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if there are fewer, [`Error::BadTotalLength`] if the payload is too long for UDP.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let length = self.payload_len.checked_add(HEADER_LEN).and_then(|length| u16::try_from(length).ok());
        field::set_u16(header, 0, self.source);
        field::set_u16(header, 2, self.destination);
        field::set_u16(header, 4, length.ok_or(Error::BadTotalLength)?);
        field::set_u16(header, 6, 0);
        Ok(())
    }
}

/// Fills the checksum field of a datagram whose header and payload are written. A sum of zero is sent as all ones.
///
/// # Errors
/// Those of [`Packet::new_checked`].
pub fn fill_checksum(bytes: &mut [u8], source: IpAddr, destination: IpAddr) -> Result<(), Error> {
    let length = Packet::new_checked(&*bytes)?.length();
    field::set_u16(bytes, 6, 0);
    let sum = pseudo_header(source, destination, length)
        + checksum::sum(field::between(bytes, 0, usize::from(length)));
    let field = match checksum::finish(sum) {
        0 => 0xFFFF,
        other => other,
    };
    field::set_u16(bytes, 6, field);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    proptest! {
        #[test]
        fn what_is_written_is_read_and_verifies(
            source: u16, destination: u16, payload in prop::collection::vec(any::<u8>(), 0..100),
            trailing in 0_usize..4, flip: prop::sample::Index, addresses: (u128, u128), v4: bool,
        ) {
            let (from, to): (IpAddr, IpAddr) = if v4 {
                (Ipv4Addr::from(addresses.0 as u32).into(), Ipv4Addr::from(addresses.1 as u32).into())
            } else {
                (Ipv6Addr::from(addresses.0).into(), Ipv6Addr::from(addresses.1).into())
            };
            let repr = Repr { source, destination, payload_len: payload.len() };
            let mut bytes = vec![0; HEADER_LEN];
            repr.emit(&mut bytes).unwrap();
            bytes.extend(&payload);
            let end = bytes.len();
            bytes.resize(end + trailing, 0xAA);
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            fill_checksum(&mut bytes, from, to).unwrap();
            let packet = Packet::new_checked(&bytes).unwrap();
            prop_assert_eq!(packet.payload(), &payload);
            prop_assert_eq!(packet.verify_checksum(from, to), Ok(()));
            let at = flip.index(end);
            if !(4..6).contains(&at) {
                bytes[at] ^= 1;
                let packet = Packet::new_checked(&bytes).unwrap();
                prop_assert_eq!(packet.verify_checksum(from, to), Err(Error::BadChecksum));
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(packet) = Packet::new_checked(&bytes) {
                prop_assert_eq!(packet.payload().len() + HEADER_LEN, usize::from(packet.length()));
            }
        }
    }

    #[test]
    fn no_checksum_is_right_over_ipv4_only() {
        let mut bytes = [0; HEADER_LEN];
        Repr { source: 1, destination: 2, payload_len: 0 }.emit(&mut bytes).unwrap();
        let packet = Packet::new_checked(&bytes).unwrap();
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        assert_eq!(packet.verify_checksum(v4, v4), Ok(()));
        assert_eq!(packet.verify_checksum(v6, v6), Err(Error::BadChecksum));
    }
}
