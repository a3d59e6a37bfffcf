//! The proof by a signature: RFC 7427, and for peers that do not know it RFC 7296, section 3.8, and RFC 4754.

use super::Credential;
use crate::crypto::CryptoError;
use crate::message::AuthMethod;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, PKeyRef, Private, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};

/// The hash algorithms that may be used in signatures, as SIGNATURE_HASH_ALGORITHMS names them: SHA-256, SHA-384, SHA-512,
/// and "identity" for Ed25519 (RFC 7427, section 4; RFC 8420). Not SHA-1.
pub(crate) const HASHES: [u8; 8] = [0, 2, 0, 3, 0, 4, 0, 5];

/// Which of them a peer named, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerHashes(u8);

impl PeerHashes {
    pub(crate) fn read(data: &[u8]) -> PeerHashes {
        let numbers = data.chunks_exact(2).filter_map(|pair| match pair {
            [0, number @ 1..=5] => Some(*number),
            _ => None,
        });
        PeerHashes(numbers.fold(0, |bits, number| bits | 1 << number))
    }

    fn has(self, number: u8) -> bool {
        self.0 & 1 << number != 0
    }
}

/// A hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    fn digest(self) -> MessageDigest {
        match self {
            Hash::Sha256 => MessageDigest::sha256(),
            Hash::Sha384 => MessageDigest::sha384(),
            Hash::Sha512 => MessageDigest::sha512(),
        }
    }

    /// In SIGNATURE_HASH_ALGORITHMS; less one, also the last byte of its object identifiers but for those of RSA.
    fn number(self) -> u8 {
        match self {
            Hash::Sha256 => 2,
            Hash::Sha384 => 3,
            Hash::Sha512 => 4,
        }
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
}

impl Algorithm {
    fn all() -> impl Iterator<Item = Algorithm> {
        let hashed = Hash::ALL
            .into_iter()
            .flat_map(|hash| [Algorithm::RsaPkcs1(hash), Algorithm::RsaPss(hash), Algorithm::Ecdsa(hash)]);
        hashed.chain([Algorithm::Ed25519])
    }

    /// Its AlgorithmIdentifier in DER, as RFC 7427, appendix A, and RFC 8420 have it.
    fn identifier(self) -> Vec<u8> {
        // 2.16.840.1.101.3.4.2.x with NULL parameters: a hash by itself.
        let hash = |hash: Hash| {
            [&[0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2, hash.number() - 1], &[5, 0][..]]
                .concat()
        };
        match self {
            // 1.2.840.113549.1.1.11 to 13.
            Algorithm::RsaPkcs1(hash) => {
                let last = hash.number() + 9;
                [&[0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, last], &[5, 0][..]]
                    .concat()
            }
            // 1.2.840.113549.1.1.10 with hash, MGF1 of the same hash, and a salt as long as that.
            Algorithm::RsaPss(one) => {
                let inner = hash(one);
                let salt = one.digest().size() as u8;
                [
                    &[
                        0x30, 0x41, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10, 0x30, 0x34,
                        0xA0, 0x0F,
                    ][..],
                    &inner,
                    &[0xA1, 0x1C, 0x30, 0x1A, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 8],
                    &inner,
                    &[0xA2, 3, 2, 1, salt],
                ]
                .concat()
            }
            // 1.2.840.10045.4.3.2 to 4.
            Algorithm::Ecdsa(hash) => {
                vec![0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, hash.number()]
            }
            Algorithm::Ed25519 => vec![0x30, 5, 6, 3, 0x2B, 101, 112],
        }
    }

    fn fits(self, key: Id) -> bool {
        match self {
            Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => key == Id::RSA,
            Algorithm::Ecdsa(_) => key == Id::EC,
            Algorithm::Ed25519 => key == Id::ED25519,
        }
    }

    fn hash(self) -> Option<Hash> {
        match self {
            Algorithm::RsaPkcs1(hash) | Algorithm::RsaPss(hash) | Algorithm::Ecdsa(hash) => Some(hash),
            Algorithm::Ed25519 => None,
        }
    }

    fn sign(self, key: &PKeyRef<Private>, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signer = match self.hash() {
            Some(hash) => Signer::new(hash.digest(), key)?,
            None => Signer::new_without_digest(key)?,
        };
        if let Algorithm::RsaPss(hash) = self {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            signer.set_rsa_mgf1_md(hash.digest())?;
        }
        signer.sign_oneshot_to_vec(octets)
    }

    fn verify(self, key: &PKeyRef<Public>, octets: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
        let mut verifier = match self.hash() {
            Some(hash) => Verifier::new(hash.digest(), key)?,
            None => Verifier::new_without_digest(key)?,
        };
        if let Algorithm::RsaPss(hash) = self {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            verifier.set_rsa_mgf1_md(hash.digest())?;
        }
        verifier.verify_oneshot(signature, octets)
    }
}

/// Of an elliptic curve: the hash that is as strong, and the method that named both before RFC 7427.
fn of_curve(key: &PKeyRef<impl openssl::pkey::HasPublic>) -> (Hash, AuthMethod) {
    match key.bits() {
        ..=256 => (Hash::Sha256, AuthMethod::ECDSA_256),
        257..=384 => (Hash::Sha384, AuthMethod::ECDSA_384),
        _ => (Hash::Sha512, AuthMethod::ECDSA_521),
    }
}

/// Signs, in the best way that the peer says it can verify.
pub(crate) fn sign(
    credential: &Credential,
    peer: PeerHashes,
    octets: &[u8],
) -> Result<(AuthMethod, Vec<u8>), CryptoError> {
    let key = &credential.key;
    let rsa = Hash::ALL.into_iter().find(|hash| peer.has(hash.number()));
    let algorithm = match (key.id(), rsa) {
        (Id::RSA, Some(hash)) if credential.pss => Algorithm::RsaPss(hash),
        (Id::RSA, Some(hash)) => Algorithm::RsaPkcs1(hash),
        (Id::RSA, None) => return Ok((AuthMethod::RSA_SIGNATURE, sign_sha1(key, octets)?)),
        (Id::EC, _) => match of_curve(key) {
            (hash, _) if peer.has(hash.number()) => Algorithm::Ecdsa(hash),
            (hash, method) => {
                return Ok((method, plain_ecdsa(key, &Algorithm::Ecdsa(hash).sign(key, octets)?)?));
            }
        },
        _ => Algorithm::Ed25519,
    };
    let identifier = algorithm.identifier();
    let signature = algorithm.sign(key, octets)?;
    Ok((AuthMethod::DIGITAL_SIGNATURE, [&[identifier.len() as u8], &identifier[..], &signature].concat()))
}

/// For peers that know nothing better (RFC 7296, section 3.8). Weak.
fn sign_sha1(key: &PKeyRef<Private>, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    Signer::new(MessageDigest::sha1(), key)?.sign_oneshot_to_vec(octets)
}

/// r and s, each as long as the curve's order, one after the other (RFC 4754, section 7).
fn plain_ecdsa(key: &PKeyRef<Private>, der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let signature = EcdsaSig::from_der(der)?;
    let len = key.bits().div_ceil(8) as i32;
    Ok([signature.r().to_vec_padded(len)?, signature.s().to_vec_padded(len)?].concat())
}

/// Whether the peer's signature is right; else why not.
pub(crate) fn verify(
    key: &PKey<Public>,
    method: AuthMethod,
    data: &[u8],
    octets: &[u8],
) -> Result<(), &'static str> {
    let right = match method {
        AuthMethod::DIGITAL_SIGNATURE => {
            let parts = data.split_first().and_then(|(len, rest)| rest.split_at_checked((*len).into()));
            let (identifier, signature) = parts.ok_or("its proof is malformed")?;
            let algorithm = Algorithm::all().find(|one| one.identifier() == identifier);
            let algorithm = algorithm.ok_or("it signs by an algorithm that we do not know")?;
            if !algorithm.fits(key.id()) {
                return Err("it signs by an algorithm that its key is not for");
            }
            algorithm.verify(key, octets, signature)
        }
        AuthMethod::RSA_SIGNATURE if key.id() == Id::RSA => {
            Verifier::new(MessageDigest::sha1(), key).and_then(|mut one| one.verify_oneshot(data, octets))
        }
        AuthMethod::ECDSA_256 | AuthMethod::ECDSA_384 | AuthMethod::ECDSA_521
            if key.id() == Id::EC && of_curve(key).1 == method =>
        {
            let (r, s) = data.split_at(data.len() / 2);
            BigNum::from_slice(r)
                .and_then(|r| EcdsaSig::from_private_components(r, BigNum::from_slice(s)?)?.to_der())
                .and_then(|der| Algorithm::Ecdsa(of_curve(key).0).verify(key, octets, &der))
        }
        _ => return Err("it proves itself in a way that its key is not for"),
    };
    match right {
        Ok(true) => Ok(()),
        _ => Err("its signature is wrong"),
    }
}
