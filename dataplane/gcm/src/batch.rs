//! Sealing and opening a burst.

use crate::key::{Cipher, Key};
use crate::{NONCE_LEN, TAG_LEN};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::array::Array;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::inout::InOutBuf;
use model::IcvLen;
use std::ops::Range;
use subtle::ConstantTimeEq;

/// Jobs of one call at most, as outcomes are bits of a word.
pub const BURST: usize = 64;

/// Additional authenticated data: 8 bytes, or 12 with extended sequence numbers (RFC 4106, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    bytes: [u8; Aad::MAX],
    len: u8,
}

impl Aad {
    /// The longest, in bytes.
    pub const MAX: usize = 12;

    /// Copies the bytes in; `None` if there are more than [`Aad::MAX`].
    #[inline]
    pub fn new(bytes: &[u8]) -> Option<Aad> {
        let mut aad = Aad { bytes: [0; Aad::MAX], len: bytes.len() as u8 };
        aad.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(aad)
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl From<[u8; 8]> for Aad {
    fn from([a, b, c, d, e, f, g, h]: [u8; 8]) -> Aad {
        Aad { bytes: [a, b, c, d, e, f, g, h, 0, 0, 0, 0], len: 8 }
    }
}

impl From<[u8; 12]> for Aad {
    fn from(bytes: [u8; 12]) -> Aad {
        Aad { bytes, len: 12 }
    }
}

/// One packet to be sealed or opened, independent of all others in its burst.
#[derive(Debug)]
pub struct Job<'a> {
    /// The key.
    pub key: &'a Key,
    /// Salt and IV. Never twice with one key when sealing.
    pub nonce: [u8; NONCE_LEN],
    /// What is authenticated beside the text.
    pub aad: Aad,
    /// The packet. Bytes outside of text and ICV are neither changed nor authenticated.
    pub packet: &'a mut [u8],
    /// What is encrypted, within `packet`, 0 to 65,535 bytes. The ICV follows at once.
    pub text: Range<usize>,
    /// Bytes of the ICV.
    pub icv: IcvLen,
}

impl Job<'_> {
    /// The text and the ICV behind it; `None` if the packet has no such place.
    fn parts(&mut self) -> Option<(&mut [u8], &mut [u8])> {
        let end = self.text.end.checked_add(self.icv.bytes())?;
        let len = self.text.end.checked_sub(self.text.start)?;
        self.packet.get_mut(self.text.start..end)?.split_at_mut_checked(len)
    }
}

/// Encrypts the text of each job and writes the ICV behind it. Returns which jobs were not done (bit *i* for job *i*):
/// those that have no room for text and ICV where they say, and those beyond the first [`BURST`] are not done either.
/// A packet that was not done is as it was, and must not be sent.
#[must_use = "a packet that was not sealed must not be sent"]
pub fn seal(jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let done = job.parts().and_then(|(text, icv)| {
            let tag = encrypt(key, &nonce, &aad, text)?;
            icv.copy_from_slice(tag.get(..icv.len())?);
            Some(())
        });
        failed |= u64::from(done.is_none()) << index;
    }
    failed
}

/// Verifies the ICV of each job and decrypts its text. Returns which jobs failed (bit *i* for job *i*): their text is
/// zero. A job that has no room for text and ICV where it says fails, and nothing of it is changed; those beyond the
/// first [`BURST`] are not looked at.
#[must_use = "what failed must not be used"]
pub fn open(jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let verified = job.parts().is_some_and(|(text, icv)| {
            let verified = decrypt(key, &nonce, &aad, text, icv);
            if !verified {
                text.fill(0);
            }
            verified
        });
        failed |= u64::from(!verified) << index;
    }
    failed
}

fn encrypt(key: &Key, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8]) -> Option<Array<u8, U16>> {
    let nonce: &Array<u8, U12> = nonce.into();
    let (aad, text) = (aad.as_slice(), InOutBuf::from(text));
    match &key.0 {
        Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
        Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
        Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
    }
    .ok()
}

fn decrypt(key: &Key, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8], icv: &[u8]) -> bool {
    let Ok(tag) = <&[u8; TAG_LEN]>::try_from(icv) else { return decrypt_short(key, nonce, aad, text, icv) };
    let (nonce, tag): (&Array<u8, U12>, &Array<u8, U16>) = (nonce.into(), tag.into());
    let (aad, text) = (aad.as_slice(), InOutBuf::from(text));
    match &key.0 {
        Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
        Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
        Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
    }
    .is_ok()
}

/// For ICVs of 8 and 12 bytes, which few peers want and `aes-gcm` does not compare: encrypting is its own inverse but for
/// the tag, so the text is decrypted, encrypted for its tag, and decrypted again. Slow and rare.
fn decrypt_short(key: &Key, nonce: &[u8; NONCE_LEN], aad: &Aad, text: &mut [u8], icv: &[u8]) -> bool {
    let decrypted = encrypt(key, nonce, aad, text).is_some();
    let tag = encrypt(key, nonce, aad, text);
    let verified =
        tag.as_ref().and_then(|tag| tag.get(..icv.len())).is_some_and(|tag| bool::from(tag.ct_eq(icv)));
    decrypted && verified && encrypt(key, nonce, aad, text).is_some()
}

#[cfg(test)]
mod tests;
