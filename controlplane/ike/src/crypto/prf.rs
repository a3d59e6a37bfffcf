//! HMAC, and the pseudorandom functions made of it (RFC 7296, section 2.13).

use super::{CryptoError, Integrity, Prf, Secret};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

fn hmac(digest: MessageDigest, key: &[u8], parts: &[&[u8]]) -> Result<Secret, CryptoError> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(digest, &key)?;
    for part in parts {
        signer.update(part)?;
    }
    Ok(Secret::new(signer.sign_to_vec()?))
}

impl Integrity {
    /// The ICV of the parts, one after the other.
    pub(crate) fn icv(self, key: &Secret, parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
        let digest = match self {
            Integrity::HmacSha1 => MessageDigest::sha1(),
            Integrity::HmacSha256 => MessageDigest::sha256(),
            Integrity::HmacSha384 => MessageDigest::sha384(),
            Integrity::HmacSha512 => MessageDigest::sha512(),
        };
        let mut icv = hmac(digest, key.expose(), parts)?.expose().to_vec();
        icv.truncate(self.icv_len());
        Ok(icv)
    }
}

impl Prf {
    fn digest(self) -> MessageDigest {
        match self {
            Prf::HmacSha1 => MessageDigest::sha1(),
            Prf::HmacSha256 => MessageDigest::sha256(),
            Prf::HmacSha384 => MessageDigest::sha384(),
            Prf::HmacSha512 => MessageDigest::sha512(),
        }
    }

    /// Bytes that it gives, which are also the bytes of key that it wants.
    pub(crate) fn output_len(self) -> usize {
        self.digest().size()
    }

    /// prf(key, parts one after the other).
    pub(crate) fn compute(self, key: &[u8], parts: &[&[u8]]) -> Result<Secret, CryptoError> {
        hmac(self.digest(), key, parts)
    }

    /// prf+(key, seed), `len` bytes of it; at most 255 times what the function gives at once.
    pub(crate) fn plus(self, key: &Secret, seed: &[&[u8]], len: usize) -> Result<Secret, CryptoError> {
        let mut stream = Vec::with_capacity(len + self.output_len());
        let mut last = Secret::new(Vec::new());
        for counter in 1..=u8::MAX {
            let counter = [counter];
            let mut parts = vec![last.expose()];
            parts.extend(seed);
            parts.push(&counter);
            let block = self.compute(key.expose(), &parts)?;
            stream.extend(block.expose());
            last = block;
            if stream.len() >= len {
                break;
            }
        }
        // The room was there from the start, so that nothing was left behind elsewhere.
        let mut stream = Secret::new(stream);
        stream.truncate(len);
        Ok(stream)
    }
}
