//! Secret bytes that wipe themselves and never print.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Keying material of one SA, as an ESP suite wants it: the cipher's key, the salt, the HMAC's key, such as there are
/// (for AES-GCM, RFC 4106 section 8.1: 16, 24 or 32 bytes of key, then 4 bytes of salt). See [`crate::KeyShape`].
///
/// Wiped when dropped; `Debug` prints the length only; compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyMaterial {
    bytes: [u8; KeyMaterial::MAX],
    len: u8,
}

impl KeyMaterial {
    /// The longest keying material of any suite, in bytes: AES-256 in counter mode with HMAC-SHA2-512.
    pub const MAX: usize = 32 + 4 + 64;

    /// Copies the bytes in; `None` if there are more than [`KeyMaterial::MAX`]. The caller wipes its own copy.
    pub fn new(bytes: &[u8]) -> Option<KeyMaterial> {
        let mut key = KeyMaterial { bytes: [0; KeyMaterial::MAX], len: u8::try_from(bytes.len()).ok()? };
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(key)
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for KeyMaterial {
    /// Takes the same time wherever the first difference stands.
    fn eq(&self, other: &KeyMaterial) -> bool {
        let difference =
            self.bytes.iter().zip(&other.bytes).fold(self.len ^ other.len, |d, (a, b)| d | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl Eq for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_and_bounds_its_length() {
        let key = KeyMaterial::new(&[0xAB; 20]).unwrap();
        assert_eq!(key.expose(), [0xAB; 20]);
        assert_eq!(format!("{key:?}"), "KeyMaterial(20 bytes)");
        assert!(KeyMaterial::new(&[0; KeyMaterial::MAX + 1]).is_none());
        assert_ne!(key, KeyMaterial::new(&[0xAB; 19]).unwrap());
        assert_eq!(key, key.clone());
    }
}
