//! What a suite makes of a packet: the lengths of IV and ICV, and the blocks that the text is whole multiples of.

use model::Suite;

/// Of one suite, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    iv: u8,
    alignment: u8,
    icv: u8,
}

impl Shape {
    /// Of a suite.
    pub const fn new(suite: Suite) -> Shape {
        Shape { iv: suite.iv_len() as u8, alignment: suite.alignment() as u8, icv: suite.icv_len() as u8 }
    }

    /// Bytes of IV: 0, 8 or 16.
    #[inline]
    pub const fn iv_len(self) -> usize {
        self.iv as usize
    }

    /// Bytes of ICV: 8 to 32.
    #[inline]
    pub const fn icv_len(self) -> usize {
        self.icv as usize
    }

    /// What the text is whole multiples of, in bytes: 4, 8 or 16.
    #[inline]
    pub const fn alignment(self) -> usize {
        self.alignment as usize
    }

    /// Bytes of padding that end inner packet, padding, pad length and next header where they must end (RFC 4303,
    /// section 2.4).
    #[inline]
    pub const fn pad_len(self, inner_len: usize) -> usize {
        // A power of two: 4, or a cipher's block of 8 or 16.
        0_usize.wrapping_sub(inner_len).wrapping_sub(2) & (self.alignment as usize - 1)
    }

    /// Whether a received text can be decrypted: whole blocks where the cipher has any. How long a text of another cipher
    /// is, is the sender's affair.
    #[inline]
    pub const fn is_whole(self, text_len: usize) -> bool {
        self.alignment <= 4 || text_len & (self.alignment as usize - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_ends_on_a_block() {
        for suite in Suite::all() {
            let shape = Shape::new(suite);
            assert_eq!((shape.iv_len(), shape.icv_len()), (suite.iv_len(), suite.icv_len()), "{suite}");
            for inner_len in 0..100 {
                let pad_len = shape.pad_len(inner_len);
                assert!(pad_len < suite.alignment(), "{suite}");
                assert!((inner_len + pad_len + 2).is_multiple_of(suite.alignment()), "{suite}");
                assert!(shape.is_whole(inner_len + pad_len + 2));
                assert_eq!(
                    shape.is_whole(inner_len),
                    suite.alignment() == 4 || inner_len % suite.alignment() == 0
                );
            }
        }
    }
}
