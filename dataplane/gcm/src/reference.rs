//! AES-GCM as NIST SP 800-38D writes it, a block at a time, over text that may lie in several pieces. Slow: for tests.

use crate::{NONCE_LEN, TAG_LEN};
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use model::KeyLen;
use subtle::ConstantTimeEq;

/// A key as the standard uses it: the block cipher, nothing precomputed.
pub struct Key(Cipher);

enum Cipher {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl Key {
    /// A key of 16, 24 or 32 bytes (without salt).
    ///
    /// # Errors
    /// [`WrongKeyLength`](crate::WrongKeyLength) if `bytes` is not as long as `length` says.
    pub fn new(bytes: &[u8], length: KeyLen) -> Result<Key, crate::WrongKeyLength> {
        let wrong = |_| crate::WrongKeyLength { key: length, len: bytes.len() };
        Ok(Key(match length {
            KeyLen::Aes128 => Cipher::Aes128(Aes128::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes192 => Cipher::Aes192(Aes192::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes256 => Cipher::Aes256(Aes256::new_from_slice(bytes).map_err(wrong)?),
        }))
    }

    fn encrypt_block(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Array::from(block);
        match &self.0 {
            Cipher::Aes128(cipher) => cipher.encrypt_block(&mut block),
            Cipher::Aes192(cipher) => cipher.encrypt_block(&mut block),
            Cipher::Aes256(cipher) => cipher.encrypt_block(&mut block),
        }
        block.into()
    }

    /// The block that counter mode starts from (section 7.1, step 2, for nonces of 96 bits).
    fn counter(&self, nonce: &[u8; NONCE_LEN], count: u32) -> [u8; 16] {
        let mut block = [0; 16];
        block[..NONCE_LEN].copy_from_slice(nonce);
        block[NONCE_LEN..].copy_from_slice(&count.to_be_bytes());
        self.encrypt_block(block)
    }

    /// Section 6.5: the key stream over all pieces, as if they were one. Encrypts and decrypts.
    fn apply_key_stream(&self, nonce: &[u8; NONCE_LEN], pieces: &mut [&mut [u8]]) {
        let bytes = pieces.iter_mut().flat_map(|piece| piece.iter_mut());
        let mut stream = [0; 16];
        for (place, byte) in bytes.enumerate() {
            if place % 16 == 0 {
                stream = self.counter(nonce, (place / 16) as u32 + 2);
            }
            *byte ^= stream[place % 16];
        }
    }

    /// Section 6.4: the hash under this key, of nothing yet.
    pub(crate) fn hash(&self) -> GHash {
        GHash::new(&Array::from(self.encrypt_block([0; 16])))
    }

    /// Section 7.1, steps 4 to 6: the tag over additional data and ciphertext.
    fn tag(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], pieces: &[&mut [u8]]) -> [u8; TAG_LEN] {
        let mut hash = self.hash();
        hash.update_padded(aad);
        let mut block = [0; 16];
        let mut len = 0;
        for byte in pieces.iter().flat_map(|piece| piece.iter()) {
            block[len % 16] = *byte;
            len += 1;
            if len % 16 == 0 {
                hash.update(&[Array::from(block)]);
                block = [0; 16];
            }
        }
        if len % 16 != 0 {
            hash.update(&[Array::from(block)]);
        }
        let lengths = ((aad.len() as u128 * 8) << 64) | (len as u128 * 8);
        hash.update(&[Array::from(lengths.to_be_bytes())]);
        let mask = self.counter(nonce, 1);
        let hash: [u8; 16] = hash.finalize().into();
        std::array::from_fn(|place| hash[place] ^ mask[place])
    }

    /// Encrypts the pieces as one text and gives the tag; a shorter ICV is its beginning.
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], pieces: &mut [&mut [u8]]) -> [u8; TAG_LEN] {
        self.apply_key_stream(nonce, pieces);
        self.tag(nonce, aad, pieces)
    }

    /// Verifies the ICV (16, 12 or 8 bytes) and decrypts the pieces as one text. `false` if it does not verify: then the
    /// text is zero.
    #[must_use]
    pub fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], pieces: &mut [&mut [u8]], icv: &[u8]) -> bool {
        let tag = self.tag(nonce, aad, pieces);
        let verified = matches!(icv.len(), 8 | 12 | 16)
            && tag.get(..icv.len()).is_some_and(|tag| bool::from(tag.ct_eq(icv)));
        if verified {
            self.apply_key_stream(nonce, pieces);
        } else {
            pieces.iter_mut().for_each(|piece| piece.fill(0));
        }
        verified
    }

    /// GMAC is GCM without text (section 3).
    pub fn authenticate(&self, nonce: &[u8; NONCE_LEN], data: &[u8]) -> [u8; TAG_LEN] {
        self.seal(nonce, data, &mut [])
    }

    /// Verifies the ICV (16, 12 or 8 bytes) of data.
    #[must_use]
    pub fn verify(&self, nonce: &[u8; NONCE_LEN], data: &[u8], icv: &[u8]) -> bool {
        self.open(nonce, data, &mut [], icv)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}
