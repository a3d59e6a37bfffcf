//! Ethernet II frames (RFC 894, IEEE 802.3), without the frame check sequence.

use crate::{Error, field};
use std::fmt;

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;

/// A 48-bit station address.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 6]);

impl Address {
    /// All ones.
    pub const BROADCAST: Address = Address([0xFF; 6]);

    /// Whether the group bit is set: multicast and broadcast.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl From<[u8; 6]> for Address {
    fn from(bytes: [u8; 6]) -> Address {
        Address(bytes)
    }
}

/// As Linux prints it: `02:00:5e:10:00:01`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP.
    pub const ARP: EtherType = EtherType(0x0806);
    /// An IEEE 802.1Q tag.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// An IEEE 802.1ad service tag.
    pub const SERVICE_VLAN: EtherType = EtherType(0x88A8);
    /// IPv6.
    pub const IPV6: EtherType = EtherType(0x86DD);
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtherType({:#06x})", self.0)
    }
}

/// A view of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks that the header is there; [`Error::Truncated`] otherwise.
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        if bytes.as_ref().len() < HEADER_LEN { Err(Error::Truncated) } else { Ok(Packet(bytes)) }
    }

    /// A view of bytes that were checked before.
    #[inline]
    pub const fn new_unchecked(bytes: B) -> Packet<B> {
        Packet(bytes)
    }

    /// Who it is for.
    #[inline]
    pub fn destination(&self) -> Address {
        Address(field::get(self.0.as_ref(), 0))
    }

    /// Who sent it.
    #[inline]
    pub fn source(&self) -> Address {
        Address(field::get(self.0.as_ref(), 6))
    }

    /// What the payload is; below 0x0600 it is an IEEE 802.3 length.
    #[inline]
    pub fn ether_type(&self) -> EtherType {
        EtherType(field::get_u16(self.0.as_ref(), 12))
    }

    /// What follows the header, link-layer padding included.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::tail(self.0.as_ref(), HEADER_LEN)
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Who it is for.
    pub destination: Address,
    /// Who sends it.
    pub source: Address,
    /// What it carries.
    pub ether_type: EtherType,
}

impl Repr {
    /// Reads the header.
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr {
            destination: packet.destination(),
            source: packet.source(),
            ether_type: packet.ether_type(),
        })
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes; [`Error::Truncated`] if there are fewer.
    #[inline]
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        field::set(header, 0, self.destination.0);
        field::set(header, 6, self.source.0);
        field::set_u16(header, 12, self.ether_type.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(destination: [u8; 6], source: [u8; 6], ether_type: u16) {
            let repr = Repr {
                destination: Address(destination),
                source: Address(source),
                ether_type: EtherType(ether_type),
            };
            let mut bytes = [0; HEADER_LEN + 3];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            let packet = Packet::new_checked(&bytes).unwrap();
            prop_assert_eq!(packet.payload(), &[0; 3]);
        }
    }

    #[test]
    fn short_bytes_are_refused() {
        assert_eq!(Repr::parse(&[0; HEADER_LEN - 1]), Err(Error::Truncated));
        let repr =
            Repr { destination: Address::BROADCAST, source: Address([2; 6]), ether_type: EtherType::ARP };
        assert_eq!(repr.emit(&mut [0; HEADER_LEN - 1]), Err(Error::Truncated));
        assert!(repr.destination.is_group() && !repr.source.is_group());
        assert_eq!(repr.source.to_string(), "02:02:02:02:02:02");
    }
}
