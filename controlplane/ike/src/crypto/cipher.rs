//! One direction of an IKE SA's protection: encryption and integrity of an SK payload (RFC 7296, section 3.14; RFC 5282).

use super::{CryptoError, Encryption, Integrity, Secret, random};
use model::KeyLen;
use openssl::symm::{self, Crypter, Mode};

/// The longest ICV and salt that a cipher of IKE has.
const SALT: usize = 4;

/// Keys and algorithms of one direction. What is sealed gets an IV of its own.
pub(crate) struct Cipher {
    encryption: Encryption,
    integrity: Option<Integrity>,
    key: Secret,
    integrity_key: Secret,
    /// AES-GCM: the next IV. A number is never used twice with a key; each IKE SA has its own.
    next_iv: u64,
}

impl Cipher {
    /// `key` is the cipher's key and salt, `integrity_key` empty where there is no integrity of its own.
    pub(crate) fn new(
        encryption: Encryption,
        integrity: Option<Integrity>,
        key: Secret,
        integrity_key: Secret,
    ) -> Cipher {
        Cipher { encryption, integrity, key, integrity_key, next_iv: 0 }
    }

    pub(crate) fn iv_len(&self) -> usize {
        match self.encryption {
            Encryption::AesCbc(_) => 16,
            _ => 8,
        }
    }

    pub(crate) fn icv_len(&self) -> usize {
        self.integrity.map_or(self.encryption.icv_len(), Integrity::icv_len)
    }

    /// What plaintext, padding and the byte that counts it must be a multiple of, in bytes.
    pub(crate) fn block_len(&self) -> usize {
        match self.encryption {
            Encryption::AesCbc(_) => 16,
            Encryption::TripleDes => 8,
            _ => 1,
        }
    }

    /// Bytes that sealing adds to a plaintext of that length: IV, padding and its count, ICV.
    pub(crate) fn sealed_len(&self, plaintext: usize) -> usize {
        self.iv_len() + (plaintext + 1).next_multiple_of(self.block_len()) + self.icv_len()
    }

    fn openssl(&self) -> Option<symm::Cipher> {
        Some(match self.encryption {
            Encryption::TripleDes => symm::Cipher::des_ede3_cbc(),
            Encryption::AesCbc(KeyLen::Aes128) => symm::Cipher::aes_128_cbc(),
            Encryption::AesCbc(KeyLen::Aes192) => symm::Cipher::aes_192_cbc(),
            Encryption::AesCbc(KeyLen::Aes256) => symm::Cipher::aes_256_cbc(),
            Encryption::AesGcm(KeyLen::Aes128, _) => symm::Cipher::aes_128_gcm(),
            Encryption::AesGcm(KeyLen::Aes192, _) => symm::Cipher::aes_192_gcm(),
            Encryption::AesGcm(KeyLen::Aes256, _) => symm::Cipher::aes_256_gcm(),
            _ => return None,
        })
    }

    /// Key, and the nonce of RFC 5282 section 4: salt and IV.
    fn aead_key(&self, iv: &[u8]) -> Option<(&[u8], [u8; 12])> {
        let (key, salt) = self.key.expose().split_last_chunk::<SALT>()?;
        let mut nonce = [0; 12];
        nonce[..SALT].copy_from_slice(salt);
        nonce[SALT..].copy_from_slice(iv.get(..8)?);
        Some((key, nonce))
    }

    /// Appends IV, ciphertext of the padded plaintext, and ICV to `message`, all of which so far is authenticated with it.
    /// The lengths that the message says must already be those of the whole: see [`Cipher::sealed_len`].
    pub(crate) fn seal(&mut self, message: &mut Vec<u8>, plaintext: &Secret) -> Result<(), CryptoError> {
        let Some(cipher) = self.openssl() else { return Ok(()) };
        let padding =
            (plaintext.expose().len() + 1).next_multiple_of(self.block_len()) - plaintext.expose().len() - 1;
        let mut padded = Vec::with_capacity(plaintext.expose().len() + padding + 1);
        padded.extend(plaintext.expose());
        padded.resize(padded.len() + padding, 0);
        padded.push(padding as u8);
        let padded = Secret::new(padded);
        if self.encryption.is_aead() {
            let iv = self.next_iv.to_be_bytes();
            self.next_iv += 1;
            let Some((key, nonce)) = self.aead_key(&iv) else { return Ok(()) };
            let mut icv = [0; 16];
            let icv = &mut icv[..self.encryption.icv_len()];
            let sealed = symm::encrypt_aead(cipher, key, Some(&nonce), message, padded.expose(), icv)?;
            message.extend(iv);
            message.extend(sealed);
            message.extend(&*icv);
            return Ok(());
        }
        let iv = random::<16>()?;
        let iv = &iv[..self.iv_len()];
        message.extend(iv);
        message.extend(cbc(cipher, Mode::Encrypt, self.key.expose(), iv, padded.expose())?);
        if let Some(integrity) = self.integrity {
            message.extend(integrity.icv(&self.integrity_key, &[message])?);
        }
        Ok(())
    }

    /// Opens what [`Cipher::seal`] appended to `associated`. `None` if it is not what the peer sealed.
    pub(crate) fn open(&self, associated: &[u8], body: &[u8]) -> Option<Secret> {
        let cipher = self.openssl()?;
        let (iv, rest) = body.split_at_checked(self.iv_len())?;
        let (sealed, icv) = rest.split_at_checked(rest.len().checked_sub(self.icv_len())?)?;
        if sealed.is_empty() || sealed.len() % self.block_len() != 0 {
            return None;
        }
        let padded = if self.encryption.is_aead() {
            let (key, nonce) = self.aead_key(iv)?;
            symm::decrypt_aead(cipher, key, Some(&nonce), associated, sealed, icv).ok()?
        } else {
            let expected = self.integrity?.icv(&self.integrity_key, &[associated, iv, sealed]).ok()?;
            if expected.len() != icv.len() || !openssl::memcmp::eq(&expected, icv) {
                return None;
            }
            cbc(cipher, Mode::Decrypt, self.key.expose(), iv, sealed).ok()?
        };
        let mut plaintext = Secret::new(padded);
        let padding = usize::from(*plaintext.expose().last()?);
        let len = plaintext.expose().len().checked_sub(padding + 1)?;
        plaintext.truncate(len);
        Some(plaintext)
    }
}

/// Whole blocks, without padding of OpenSSL's own.
fn cbc(
    cipher: symm::Cipher,
    mode: Mode,
    key: &[u8],
    iv: &[u8],
    input: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut crypter = Crypter::new(cipher, mode, key, Some(iv))?;
    crypter.pad(false);
    let mut output = vec![0; input.len() + cipher.block_size()];
    let mut len = crypter.update(input, &mut output)?;
    len += crypter.finalize(output.get_mut(len..).unwrap_or_default())?;
    output.truncate(len);
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::IcvLen;

    fn cipher(encryption: Encryption, integrity: Option<Integrity>) -> Cipher {
        let key = Secret::new(vec![7; encryption.key_len()]);
        let integrity_key = Secret::new(vec![9; integrity.map_or(0, Integrity::key_len)]);
        Cipher::new(encryption, integrity, key, integrity_key)
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else() {
        let mut all = Vec::new();
        for key in [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256] {
            for icv in [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16] {
                all.push((Encryption::AesGcm(key, icv), None));
            }
            all.extend(Integrity::ALL.iter().map(|&integrity| (Encryption::AesCbc(key), Some(integrity))));
        }
        all.push((Encryption::TripleDes, Some(Integrity::HmacSha1)));
        for (encryption, integrity) in all {
            let mut cipher = cipher(encryption, integrity);
            for len in [0, 1, 15, 16, 100] {
                let plaintext = Secret::new(vec![3; len]);
                let mut message = b"header".to_vec();
                cipher.seal(&mut message, &plaintext).unwrap();
                assert_eq!(message.len(), 6 + cipher.sealed_len(len), "{encryption}");
                let (associated, body) = message.split_at(6);
                assert_eq!(cipher.open(associated, body), Some(plaintext), "{encryption}");
                assert_eq!(cipher.open(b"hEader", body), None);
                for place in 0..body.len() {
                    let mut changed = body.to_vec();
                    changed[place] ^= 1;
                    assert_eq!(cipher.open(associated, &changed), None, "{encryption} {place}");
                    assert_eq!(cipher.open(associated, &body[..place]), None);
                }
            }
        }
    }
}
