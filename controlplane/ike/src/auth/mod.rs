//! Proofs of identity (RFC 7296, section 2.15): by a key that both know, or by a signature and a certificate.

mod credential;
mod psk;
mod signature;
mod trust;
mod verifying;

pub use credential::Credential;
pub(crate) use psk::shared_key_auth;
pub(crate) use signature::{HASHES, PeerHashes, sign, verify};
pub use trust::Trust;
pub(crate) use verifying::Verifying;

use crate::crypto::{CryptoError, Prf, Secret};
use openssl::x509::X509Name;

/// A certificate, a key or a CRL will not do. The operator's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is something else, or broken.
    #[error("this is not PEM of {0}")]
    NotPem(&'static str),
    /// The key belongs to another certificate.
    #[error("the private key is not that of the first certificate")]
    NotItsKey,
    /// Neither RSA, nor ECDSA, nor Ed25519.
    #[error("the key is neither RSA, nor ECDSA, nor Ed25519")]
    KeyType,
}

/// What an AUTH payload covers: the sender's first message, the other's nonce, and prf(SK_p, its identity).
pub(crate) struct SignedOctets<'a> {
    /// The sender's whole IKE_SA_INIT message, as it was on the wire.
    pub(crate) message: &'a [u8],
    /// The receiver's nonce.
    pub(crate) nonce: &'a [u8],
    /// The sender's SK_pi or SK_pr.
    pub(crate) key: &'a Secret,
    /// The body of the sender's identification payload.
    pub(crate) identity: &'a [u8],
}

impl SignedOctets<'_> {
    /// All of it in one piece, as signatures want it.
    pub(crate) fn to_bytes(&self, prf: Prf) -> Result<Vec<u8>, CryptoError> {
        let identity = prf.compute(self.key.expose(), &[self.identity])?;
        Ok([self.message, self.nonce, identity.expose()].concat())
    }
}

/// A DER-encoded distinguished name as text; `None` if it is none.
pub(crate) fn distinguished_name(der: &[u8]) -> Option<String> {
    let name = X509Name::from_der(der).ok()?;
    let entries = name.entries().map(|entry| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string().unwrap_or_default();
        format!("{kind}={value}")
    });
    Some(entries.collect::<Vec<_>>().join(", "))
}
