//! The security parameters index (RFC 4303, section 2.1).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A security parameters index: 32 bits, big-endian on the wire, host order here.
///
/// RFC 4303 reserves 0 for local use and 1 to 255 for IANA, so no SA can have one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Spi(u32);

/// The number is one of the reserved 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SPI {0} is reserved (RFC 4303, section 2.1); take one from 256 to 4294967295")]
pub struct SpiError(pub u32);

impl Spi {
    /// The smallest SPI that an SA may have.
    pub const MIN: Spi = Spi(256);

    /// Takes an SPI in host order; the reserved values 0 to 255 are an error.
    pub const fn new(value: u32) -> Result<Spi, SpiError> {
        if value < Spi::MIN.0 { Err(SpiError(value)) } else { Ok(Spi(value)) }
    }

    /// The value in host order.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Spi {
    type Error = SpiError;
    fn try_from(value: u32) -> Result<Spi, SpiError> {
        Spi::new(value)
    }
}

impl From<Spi> for u32 {
    fn from(spi: Spi) -> u32 {
        spi.0
    }
}

/// As IOS prints it: `0x1A2B3C4D`.
impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:X}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_values_are_refused() {
        assert_eq!(Spi::new(0), Err(SpiError(0)));
        assert_eq!(Spi::new(255), Err(SpiError(255)));
        assert_eq!(Spi::new(256).map(Spi::get), Ok(256));
        assert_eq!(Spi::new(u32::MAX).map(Spi::get), Ok(u32::MAX));
    }
}
