//! Additional authenticated data of AES-GCM in ESP (RFC 4106, section 5).

/// The ESP header as it is authenticated: SPI and sequence number, big-endian.
///
/// 8 bytes (SPI, 32-bit sequence number), or 12 with ESN (SPI, high half, low half), although the high half is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    /// The data, zeros, and in the last byte how long the data are.
    bytes: [u8; 16],
}

impl Aad {
    /// The longest, in bytes.
    pub const MAX: usize = 12;

    /// Of one packet. Without ESN only the low half of `sequence` counts.
    #[inline]
    pub const fn new(spi: u32, sequence: u64, esn: bool) -> Aad {
        // In one word, which is written at once.
        let (spi, sequence) = (spi.swap_bytes() as u128, sequence.swap_bytes());
        let (word, len) = match esn {
            true => (spi | (sequence as u128) << 32, 12),
            false => (spi | (sequence >> 32 << 32) as u128, 8_u128),
        };
        Aad { bytes: (word | len << 120).to_le_bytes() }
    }

    /// The data: 8 or 12 bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or(&self.bytes)
    }

    /// In bytes: 8 or 12.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> usize {
        self.bytes[15] as usize
    }

    /// The data, followed by zeros, and in the last of the 16 bytes how long the data are.
    #[inline]
    pub const fn padded(&self) -> [u8; 16] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_rfc_4106_draws_it() {
        let short = Aad::new(0x1122_3344, 0xAABB_CCDD_0102_0304, false);
        assert_eq!(short.as_slice(), [0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4]);
        let long = Aad::new(0x1122_3344, 0xAABB_CCDD_0102_0304, true);
        assert_eq!(long.as_slice(), [0x11, 0x22, 0x33, 0x44, 0xAA, 0xBB, 0xCC, 0xDD, 1, 2, 3, 4]);
        assert_eq!((short.len(), long.len()), (8, 12));
    }
}
