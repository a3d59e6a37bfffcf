//! SAs whose suite a crypto device does: how their packets are put to it.
//!
//! ChaCha20-Poly1305 is one algorithm (RFC 7634). The others are a cipher and an HMAC over ESP header, IV and ciphertext
//! (RFC 4303, section 2.8). With extended sequence numbers the high half follows the ciphertext in what is authenticated,
//! and is not sent (section 2.2.1). It is written where the ICV goes; meanwhile the ICV is with the device's operation.

use dpdk::{Cipher, CryptoJob, CryptoOutcome, Cryptodev, DIGEST_MAX, Mac, Session, Transform, Way};
use esp::Aad;
use esp::inbound::Opening;
use esp::outbound::Sealing;
use model::{Hmac, Keys, Suite};
use packet::esp as esp_header;
use std::ops::Range;

/// The first block that counter mode uses (RFC 3686, section 4).
const FIRST_BLOCK: [u8; 4] = [0, 0, 0, 1];

/// One SA in a crypto device.
pub(crate) struct DeviceSa {
    session: Session,
    scheme: Scheme,
    iv_len: usize,
    icv_len: usize,
}

/// What the device takes for an IV, and from where on it encrypts.
#[derive(Clone, Copy, Debug)]
enum Scheme {
    /// Salt and IV.
    ChaCha20Poly1305,
    /// None.
    Null,
    /// Salt, IV and the number of the first block.
    Counter,
    /// The IV; on the way out it is a counter that is encrypted with the text (see [`esp::iv`]).
    Cbc,
}

impl DeviceSa {
    /// Makes a session; `None` for a suite that is not a device's.
    ///
    /// # Errors
    /// What [`Cryptodev::session`] says.
    pub(crate) fn new(
        device: &Cryptodev,
        way: Way,
        suite: Suite,
        keys: &Keys<'_>,
        esn: bool,
    ) -> Option<Result<DeviceSa, dpdk::Error>> {
        let (scheme, transform) = match suite {
            Suite::AesGcm { .. } | Suite::AesGcmIiv { .. } | Suite::AesGmac { .. } => return None,
            Suite::ChaCha20Poly1305 | Suite::ChaCha20Poly1305Iiv => {
                let aad = Aad::new(0, 0, esn).len() as u8;
                (Scheme::ChaCha20Poly1305, Transform::ChaCha20Poly1305 { key: keys.cipher, aad })
            }
            Suite::CipherHmac { cipher, hmac } => {
                let (scheme, cipher) = match cipher {
                    model::Cipher::Null => (Scheme::Null, None),
                    model::Cipher::TripleDesCbc => (Scheme::Cbc, Some(Cipher::TripleDesCbc)),
                    model::Cipher::AesCbc(_) => (Scheme::Cbc, Some(Cipher::AesCbc)),
                    model::Cipher::AesCtr(_) => (Scheme::Counter, Some(Cipher::AesCtr)),
                };
                let mac = match hmac {
                    Hmac::Sha1 => Mac::HmacSha1,
                    Hmac::Sha256 => Mac::HmacSha256,
                    Hmac::Sha384 => Mac::HmacSha384,
                    Hmac::Sha512 => Mac::HmacSha512,
                };
                let cipher = cipher.map(|cipher| (cipher, keys.cipher));
                let digest = hmac.icv_len() as u8;
                (scheme, Transform::CipherMac { cipher, mac: (mac, keys.integrity), digest })
            }
        };
        Some(device.session(way, &transform).map(|session| DeviceSa {
            session,
            scheme,
            iv_len: suite.iv_len(),
            icv_len: suite.icv_len(),
        }))
    }

    /// The job of an encapsulated packet, of which only the ICV is missing. `None` if the packet has no room for one.
    #[inline]
    pub(crate) fn seal(&self, slot: usize, packet: &mut [u8], sealing: &Sealing) -> Option<CryptoJob<'_>> {
        let Sealing { nonce, aad, ref text } = *sealing;
        let mut job = self.job(slot, nonce, &aad, text, packet)?;
        if let Scheme::Cbc = self.scheme {
            job.text.start = text.start.checked_sub(self.iv_len)?;
        }
        Some(job)
    }

    /// Writes the ICV of a packet that is sealed.
    #[inline]
    pub(crate) fn finish(&self, job: &CryptoJob<'_>, packet: &mut [u8]) -> Option<()> {
        let icv = job.digest.get(..self.icv_len)?;
        packet.get_mut(job.text.end..)?.get_mut(..self.icv_len)?.copy_from_slice(icv);
        Some(())
    }

    /// The job of a packet that came in. `None` if it is too short, which
    /// [`esp::inbound::prepare`] has seen to.
    #[inline]
    pub(crate) fn open(&self, slot: usize, packet: &mut [u8], opening: &Opening) -> Option<CryptoJob<'_>> {
        let text = &opening.text;
        let mut digest = [0; DIGEST_MAX];
        let icv = packet.get(text.end..)?.get(..self.icv_len)?;
        digest.get_mut(..self.icv_len)?.copy_from_slice(icv);
        let mut iv = [0; 16];
        if let Scheme::Cbc = self.scheme {
            let field = packet.get(text.start.checked_sub(self.iv_len)?..text.start)?;
            iv.get_mut(..self.iv_len)?.copy_from_slice(field);
        }
        let mut job = self.job(slot, opening.nonce, &opening.aad, text, packet)?;
        job.digest = digest;
        if let Scheme::Cbc = self.scheme {
            job.iv = iv;
        }
        Some(job)
    }

    /// What both ways have in common. Writes the high half of the sequence number where it is authenticated.
    #[inline]
    fn job(
        &self,
        slot: usize,
        nonce: [u8; esp::iv::NONCE_LEN],
        aad: &Aad,
        text: &Range<usize>,
        packet: &mut [u8],
    ) -> Option<CryptoJob<'_>> {
        let mut iv = [0; 16];
        let (front, back) = iv.split_first_chunk_mut()?;
        let mut covered = text.start.checked_sub(self.iv_len + esp_header::HEADER_LEN)?..text.end;
        match self.scheme {
            Scheme::ChaCha20Poly1305 => *front = nonce,
            Scheme::Counter => {
                *front = nonce;
                back.copy_from_slice(&FIRST_BLOCK);
            }
            Scheme::Null | Scheme::Cbc => {}
        }
        let mut padded = aad.padded();
        padded[15] = 0;
        if let (Scheme::Null | Scheme::Counter | Scheme::Cbc, Aad::MAX) = (self.scheme, aad.len()) {
            let high = padded.get(4..8)?;
            packet.get_mut(text.end..)?.get_mut(..high.len())?.copy_from_slice(high);
            covered.end += high.len();
        }
        let (session, text) = (&self.session, text.clone());
        let (digest, outcome) = ([0; DIGEST_MAX], CryptoOutcome::Failed);
        Some(CryptoJob { session, slot, iv, aad: padded, text, covered, digest, outcome })
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
