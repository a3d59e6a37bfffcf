//! HMAC, and the pseudorandom functions made of it (RFC 7296, section 2.13).

use super::{CryptoError, Integrity, Prf, Secret};
use openssl::hash::{Hasher, MessageDigest};
use std::sync::OnceLock;
use zeroize::{Zeroize, Zeroizing};

/// The longest block that a hash function of ours has.
const LONGEST_BLOCK: usize = 128;

/// A hash function that has taken nothing yet. OpenSSL looks one up by its name each time that it is asked for one, or for a
/// MAC of it, which takes longer than hashing what IKE hashes. So each is looked up once, and copied.
fn fresh(digest: MessageDigest) -> Result<Hasher, CryptoError> {
    static KNOWN: [OnceLock<Hasher>; 4] = [const { OnceLock::new() }; 4];
    let place = [20, 32, 48].iter().position(|size| *size == digest.size()).unwrap_or(3);
    let known = &KNOWN[place];
    if let Some(hasher) = known.get() {
        return Ok(hasher.clone());
    }
    let hasher = Hasher::new(digest)?;
    Ok(known.get_or_init(|| hasher).clone())
}

/// The hash of the parts, one after the other.
fn hash(digest: MessageDigest, parts: &[&[u8]]) -> Result<Secret, CryptoError> {
    let mut hasher = fresh(digest)?;
    for part in parts {
        hasher.update(part)?;
    }
    let mut hash = hasher.finish()?;
    let secret = Secret::new(hash.to_vec());
    hash.zeroize();
    Ok(secret)
}

/// RFC 2104.
fn hmac(digest: MessageDigest, key: &[u8], parts: &[&[u8]]) -> Result<Secret, CryptoError> {
    let block = digest.block_size().min(LONGEST_BLOCK);
    if key.len() > block {
        let key = hash(digest, &[key])?;
        return hmac(digest, key.expose(), parts);
    }
    let mut pad = Zeroizing::new([0; LONGEST_BLOCK]);
    pad[..key.len()].copy_from_slice(key);
    pad.iter_mut().for_each(|byte| *byte ^= 0x36);
    let mut inner = vec![&pad[..block]];
    inner.extend(parts);
    let inner = hash(digest, &inner)?;
    pad.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5C);
    hash(digest, &[&pad[..block], inner.expose()])
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

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::pkey::PKey;
    use openssl::sign::Signer;
    use proptest::prelude::*;

    proptest! {
        /// Against OpenSSL's own.
        #[test]
        fn hmac_is_hmac(
            function in prop::sample::select(&[Prf::HmacSha1, Prf::HmacSha256, Prf::HmacSha384, Prf::HmacSha512][..]),
            key in prop::collection::vec(any::<u8>(), 1..300),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let key_of_openssl = PKey::hmac(&key).unwrap();
            let mut signer = Signer::new(function.digest(), &key_of_openssl).unwrap();
            let expected = signer.sign_oneshot_to_vec(&parts.concat()).unwrap();
            let computed = function.compute(&key, &parts).unwrap();
            prop_assert_eq!(computed.expose(), &expected[..]);
        }
    }

    #[test]
    fn an_empty_key_is_a_key() {
        let computed = Prf::HmacSha256.compute(&[], &[]).unwrap();
        // HMAC-SHA-256 of nothing with no key, as everybody else computes it.
        assert_eq!(computed.expose()[..4], [0xB6, 0x13, 0x67, 0x9A]);
    }
}
