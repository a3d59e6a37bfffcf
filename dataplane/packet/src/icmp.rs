//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the eight bytes that every message begins with.

use crate::{Error, checksum, field};

/// Bytes of the header: type, code, checksum, and four bytes whose meaning the type gives.
pub const HEADER_LEN: usize = 8;

/// Types and codes of ICMP for IPv4.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: fragmentation needed and DF set; the low half of `rest` is the next hop's MTU
    /// (RFC 1191, section 4).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded; code 0 is in transit.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;

    /// Whether messages of this type quote the packet that went wrong. (Redirects and quenches do, too; they are for the
    /// sender's own link, or for nobody.)
    pub const fn is_error(message_type: u8) -> bool {
        matches!(message_type, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}

/// Types of ICMPv6.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big; `rest` is the next hop's MTU.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded; code 0 is in transit.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;

    /// Whether messages of this type quote the packet that went wrong (RFC 4443, section 2.1).
    pub const fn is_error(message_type: u8) -> bool {
        message_type > 0 && message_type < 128
    }
}

/// A view of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks that the header is there; [`Error::Truncated`] otherwise.
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        if bytes.as_ref().len() < HEADER_LEN { Err(Error::Truncated) } else { Ok(Packet(bytes)) }
    }

    /// Message type: see [`v4`] and [`v6`].
    pub fn message_type(&self) -> u8 {
        field::get_u8(self.0.as_ref(), 0)
    }

    /// Code, refining the type.
    pub fn code(&self) -> u8 {
        field::get_u8(self.0.as_ref(), 1)
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        field::get_u16(self.0.as_ref(), 2)
    }

    /// The second word: identifier and sequence number of an echo, MTU, pointer, or unused.
    pub fn rest(&self) -> u32 {
        field::get_u32(self.0.as_ref(), 4)
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        field::tail(self.0.as_ref(), HEADER_LEN)
    }

    /// Verifies the checksum over all bytes. `pseudo_header` is 0 for ICMP, and
    /// [`checksum::pseudo_header`] for ICMPv6 (RFC 4443, section 2.3).
    ///
    /// # Errors
    /// [`Error::BadChecksum`].
    pub fn verify_checksum(&self, pseudo_header: u64) -> Result<(), Error> {
        let sum = pseudo_header + checksum::sum(self.0.as_ref());
        if checksum::fold(sum) == 0xFFFF { Ok(()) } else { Err(Error::BadChecksum) }
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Message type.
    pub message_type: u8,
    /// Code.
    pub code: u8,
    /// The second word.
    pub rest: u32,
}

impl Repr {
    /// Reads the header.
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr { message_type: packet.message_type(), code: packet.code(), rest: packet.rest() })
    }

    /// Writes the header of a message whose payload is written, and the checksum of both. `pseudo_header` as in
    /// [`Packet::verify_checksum`]. [`Error::Truncated`] if there are fewer than [`HEADER_LEN`] bytes.
    pub fn emit(&self, bytes: &mut [u8], pseudo_header: u64) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        field::set(header, 0, [self.message_type, self.code, 0, 0]);
        field::set_u32(header, 4, self.rest);
        let field = checksum::finish(pseudo_header + checksum::sum(bytes));
        field::set_u16(bytes, 2, field);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_verifies(
            message_type: u8, code: u8, rest: u32, payload in prop::collection::vec(any::<u8>(), 0..60),
            flip: prop::sample::Index, pseudo_header in 0_u64..1 << 40,
        ) {
            let repr = Repr { message_type, code, rest };
            let mut bytes = vec![0; HEADER_LEN];
            bytes.extend(&payload);
            repr.emit(&mut bytes, pseudo_header).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            let packet = Packet::new_checked(&bytes).unwrap();
            prop_assert_eq!(packet.verify_checksum(pseudo_header), Ok(()));
            prop_assert_eq!(packet.payload(), payload);
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x10;
            let packet = Packet::new_checked(&bytes).unwrap();
            prop_assert_eq!(packet.verify_checksum(pseudo_header), Err(Error::BadChecksum));
        }
    }

    #[test]
    fn short_bytes_are_refused() {
        assert_eq!(Repr::parse(&[8; HEADER_LEN - 1]), Err(Error::Truncated));
    }
}
