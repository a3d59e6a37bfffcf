//! An AES-GCM key, expanded.

use aes::Aes192;
use aes_gcm::aead::consts::U12;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
use model::KeyLen;
use std::fmt;

/// A key in the form that sealing and opening use. It holds no pointer, wipes itself when dropped and prints nothing.
pub struct Key(pub(crate) Cipher);

/// By length.
pub(crate) enum Cipher {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(Aes256Gcm),
}

/// The key has not the length that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an AES key of {} bits has {} bytes, not {len}", key.bits(), key.bytes())]
pub struct WrongKeyLength {
    /// What it was for.
    pub key: KeyLen,
    /// What was given, in bytes.
    pub len: usize,
}

impl Key {
    /// Expands a key of 16, 24 or 32 bytes (without salt). The caller wipes its own copy.
    ///
    /// # Errors
    /// [`WrongKeyLength`] if `bytes` is not as long as `length` says.
    pub fn new(bytes: &[u8], length: KeyLen) -> Result<Key, WrongKeyLength> {
        let wrong = |_| WrongKeyLength { key: length, len: bytes.len() };
        Ok(Key(match length {
            KeyLen::Aes128 => Cipher::Aes128(Aes128Gcm::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes192 => Cipher::Aes192(AesGcm::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes256 => Cipher::Aes256(Aes256Gcm::new_from_slice(bytes).map_err(wrong)?),
        }))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match &self.0 {
            Cipher::Aes128(_) => 128,
            Cipher::Aes192(_) => 192,
            Cipher::Aes256(_) => 256,
        };
        write!(f, "Key({bits} bits)")
    }
}

/// The libraries' promise, checked by the compiler: an expanded key is wiped when it goes.
const fn wipes_itself<T: zeroize::ZeroizeOnDrop>() {}
const _: () = {
    wipes_itself::<aes::Aes128>();
    wipes_itself::<Aes192>();
    wipes_itself::<aes::Aes256>();
};
