//! The ESP header (RFC 4303, section 2): SPI and the low half of the sequence number. What follows is the suite's.

use crate::{Error, field};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// A view of an ESP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks that the header is there; [`Error::Truncated`] otherwise.
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        if bytes.as_ref().len() < HEADER_LEN { Err(Error::Truncated) } else { Ok(Packet(bytes)) }
    }

    /// The security parameters index as it came; values below 256 are no SA's.
    #[inline]
    pub fn spi(&self) -> u32 {
        field::get_u32(self.0.as_ref(), 0)
    }

    /// The low 32 bits of the sequence number; with ESN the high ones are not sent.
    #[inline]
    pub fn sequence_low(&self) -> u32 {
        field::get_u32(self.0.as_ref(), 4)
    }

    /// What follows: IV, ciphertext, ICV.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        field::tail(self.0.as_ref(), HEADER_LEN)
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Security parameters index.
    pub spi: u32,
    /// The low 32 bits of the sequence number.
    pub sequence_low: u32,
}

impl Repr {
    /// Reads the header.
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr { spi: packet.spi(), sequence_low: packet.sequence_low() })
    }

    /// Writes the header to the first [`HEADER_LEN`] bytes; [`Error::Truncated`] if there are fewer.
    #[inline]
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let header = bytes.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Truncated)?;
        field::set_u32(header, 0, self.spi);
        field::set_u32(header, 4, self.sequence_low);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(spi: u32, sequence_low: u32) {
            let repr = Repr { spi, sequence_low };
            let mut bytes = [0; HEADER_LEN + 1];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
            let packet = Packet::new_checked(&bytes).unwrap();
            prop_assert_eq!(packet.payload(), &[0]);
            prop_assert_eq!(Repr::parse(&bytes[..HEADER_LEN - 1]), Err(Error::Truncated));
        }
    }
}
