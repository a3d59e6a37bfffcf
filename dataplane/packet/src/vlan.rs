//! IEEE 802.1Q tags: the four bytes after the addresses of a tagged frame.

use crate::ethernet::EtherType;
use crate::{Error, field};

/// Bytes of a tag's content: tag control information, and the Ethertype of what follows. The Ethertype that announces
/// the tag (0x8100) belongs to the header before it.
pub const HEADER_LEN: usize = 4;

/// A view of what follows an Ethernet header whose Ethertype is [`EtherType::VLAN`].
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks that the tag is there; [`Error::Truncated`] otherwise.
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        if bytes.as_ref().len() < HEADER_LEN { Err(Error::Truncated) } else { Ok(Packet(bytes)) }
    }

    /// VLAN identifier, 0 to 4095 (0: only a priority; 4095: reserved).
    #[inline]
    pub fn id(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 0) & 0x0FFF
    }

    /// Priority code point, 0 to 7.
    #[inline]
    pub fn priority(&self) -> u8 {
        field::get_u8(self.0.as_ref(), 0) >> 5
    }

    /// Drop eligible indicator.
    #[inline]
    pub fn drop_eligible(&self) -> bool {
        field::get_u8(self.0.as_ref(), 0) & 0x10 != 0
    }

    /// What the payload is.
    #[inline]
    pub fn ether_type(&self) -> EtherType {
        EtherType(field::get_u16(self.0.as_ref(), 2))
    }

    /// What follows the tag.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::tail(self.0.as_ref(), HEADER_LEN)
    }
}

/// The tag's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// VLAN identifier; only the low 12 bits are written.
    pub id: u16,
    /// Priority code point; only the low 3 bits are written.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// What follows the tag.
    pub ether_type: EtherType,
}

impl Repr {
    /// Reads the tag.
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr {
            id: packet.id(),
            priority: packet.priority(),
            drop_eligible: packet.drop_eligible(),
            ether_type: packet.ether_type(),
        })
    }

    /// Writes the tag to the first [`HEADER_LEN`] bytes; [`Error::Truncated`] if there are fewer.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let control =
            u16::from(self.priority & 7) << 13 | u16::from(self.drop_eligible) << 12 | self.id & 0x0FFF;
        field::set_u16(header, 0, control);
        field::set_u16(header, 2, self.ether_type.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(id in 0_u16..4096, priority in 0_u8..8, drop_eligible: bool, kind: u16) {
            let repr = Repr { id, priority, drop_eligible, ether_type: EtherType(kind) };
            let mut bytes = [0; HEADER_LEN];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            prop_assert_eq!(Repr::parse(&bytes[..3]), Err(Error::Truncated));
        }
    }
}
