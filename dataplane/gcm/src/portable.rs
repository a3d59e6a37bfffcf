//! The portable back end: the library `aes-gcm`, a packet at a time; and for GMAC `ghash`, which it is made of.

use crate::batch::{Aad, BURST, Job};
use crate::key::WrongKeyLength;
use crate::{NONCE_LEN, TAG_LEN, reference};
use aes::Aes192;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use model::KeyLen;
use subtle::ConstantTimeEq;

/// A key as the libraries expand it.
pub(crate) struct Key {
    cipher: Cipher,
    /// The hash by itself, which `aes-gcm` keeps within. It wipes itself too.
    hash: GHash,
}

enum Cipher {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(Aes256Gcm),
}

/// The library's promise, checked by the compiler: an expanded key is wiped when it goes.
const fn wipes_itself<T: zeroize::ZeroizeOnDrop>() {}
const _: () = {
    wipes_itself::<aes::Aes128>();
    wipes_itself::<Aes192>();
    wipes_itself::<aes::Aes256>();
};

impl Key {
    pub(crate) fn new(bytes: &[u8], length: KeyLen) -> Result<Key, WrongKeyLength> {
        let wrong = |_| WrongKeyLength { key: length, len: bytes.len() };
        let hash = reference::Key::new(bytes, length)?.hash();
        let cipher = match length {
            KeyLen::Aes128 => Cipher::Aes128(Aes128Gcm::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes192 => Cipher::Aes192(AesGcm::new_from_slice(bytes).map_err(wrong)?),
            KeyLen::Aes256 => Cipher::Aes256(Aes256Gcm::new_from_slice(bytes).map_err(wrong)?),
        };
        Ok(Key { cipher, hash })
    }

    pub(crate) fn key_len(&self) -> KeyLen {
        match self.cipher {
            Cipher::Aes128(_) => KeyLen::Aes128,
            Cipher::Aes192(_) => KeyLen::Aes192,
            Cipher::Aes256(_) => KeyLen::Aes256,
        }
    }

    fn encrypt(&self, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8]) -> Option<Array<u8, U16>> {
        let nonce: &Array<u8, U12> = nonce.into();
        let (aad, text) = (aad.as_slice(), InOutBuf::from(text));
        match &self.cipher {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
            Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
        }
        .ok()
    }

    fn decrypt(&self, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8], icv: &[u8]) -> bool {
        let Ok(tag) = <&[u8; TAG_LEN]>::try_from(icv) else {
            return self.decrypt_short(nonce, aad, text, icv);
        };
        let (nonce, tag): (&Array<u8, U12>, &Array<u8, U16>) = (nonce.into(), tag.into());
        let (aad, text) = (aad.as_slice(), InOutBuf::from(text));
        match &self.cipher {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
            Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
        }
        .is_ok()
    }

    /// For ICVs of 8 and 12 bytes, which few peers want and `aes-gcm` does not compare: encrypting is its own inverse but
    /// for the tag, so the text is decrypted, encrypted for its tag, and decrypted again. Slow and rare.
    fn decrypt_short(&self, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8], icv: &[u8]) -> bool {
        let decrypted = self.encrypt(nonce, aad, text).is_some();
        let tag = self.encrypt(nonce, aad, text);
        let verified =
            tag.as_ref().and_then(|tag| tag.get(..icv.len())).is_some_and(|tag| bool::from(tag.ct_eq(icv)));
        decrypted && verified && self.encrypt(nonce, aad, text).is_some()
    }

    /// GMAC over additional data and the text right behind it.
    fn authenticate(&self, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &[u8]) -> Option<[u8; TAG_LEN]> {
        // The hash of nothing at all is zero, so this tag is what masks all tags.
        let mask = self.encrypt(nonce, &Aad::EMPTY, &mut [])?;
        let aad = aad.as_slice();
        let (head, rest) = text.split_at(text.len().min(16 - aad.len()));
        let mut first = [0; 16];
        for (to, byte) in first.iter_mut().zip(aad.iter().chain(head)) {
            *to = *byte;
        }
        let mut hash = self.hash.clone();
        hash.update_padded(first.get(..aad.len() + head.len())?);
        hash.update_padded(rest);
        let lengths = ((aad.len() + text.len()) as u128 * 8) << 64;
        hash.update(&[Array::from(lengths.to_be_bytes())]);
        let hash: [u8; TAG_LEN] = hash.finalize().into();
        Some(std::array::from_fn(|place| hash[place] ^ mask[place]))
    }
}

/// Seals a burst, as [`crate::seal`] says.
pub(crate) fn seal(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let done = job.parts().zip(key.portable()).and_then(|((text, icv), key)| {
            let tag = key.encrypt(&nonce, &aad, text)?;
            icv.copy_from_slice(tag.get(..icv.len())?);
            Some(())
        });
        failed |= u64::from(done.is_none()) << index;
    }
    failed
}

/// Opens a burst, as [`crate::open`] says.
pub(crate) fn open(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let verified = job.parts().zip(key.portable()).is_some_and(|((text, icv), key)| {
            let verified = key.decrypt(&nonce, &aad, text, icv);
            if !verified {
                text.fill(0);
            }
            verified
        });
        failed |= u64::from(!verified) << index;
    }
    failed
}

/// Authenticates a burst, as [`crate::authenticate`] says.
pub(crate) fn authenticate(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let done = job.parts().zip(key.portable()).and_then(|((text, icv), key)| {
            let tag = key.authenticate(&nonce, &aad, text)?;
            icv.copy_from_slice(tag.get(..icv.len())?);
            Some(())
        });
        failed |= u64::from(done.is_none()) << index;
    }
    failed
}

/// Verifies a burst, as [`crate::verify`] says.
pub(crate) fn verify(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let verified = job.parts().zip(key.portable()).is_some_and(|((text, icv), key)| {
            let tag = key.authenticate(&nonce, &aad, text);
            let tag = tag.as_ref().and_then(|tag| tag.get(..icv.len()));
            let verified = tag.is_some_and(|tag| bool::from(tag.ct_eq(icv)));
            if !verified {
                text.fill(0);
            }
            verified
        });
        failed |= u64::from(!verified) << index;
    }
    failed
}
