//! What we prove ourselves with: a private key and the certificates that go with it.

use super::CertificateError;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::X509;
use std::fmt;

/// A private key, its certificate, and those between that and an authority which the peer trusts.
pub struct Credential {
    pub(super) key: PKey<Private>,
    /// DER, our own first.
    chain: Vec<Vec<u8>>,
    pub(super) pss: bool,
}

impl Credential {
    /// Out of PEM: the certificates, our own first, and the key, not encrypted. With `pss`, an RSA key signs by RSASSA-PSS,
    /// which is better and which not every peer can verify; else by PKCS#1.
    ///
    /// # Errors
    /// [`CertificateError`] if one of them is not what it should be, or if they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8], pss: bool) -> Result<Credential, CertificateError> {
        let certificates =
            X509::stack_from_pem(certificates).map_err(|_| CertificateError::NotPem("a certificate"))?;
        let key = PKey::private_key_from_pem_callback(key, |_| Ok(0))
            .map_err(|_| CertificateError::NotPem("a private key without a passphrase"))?;
        let own = certificates.first().ok_or(CertificateError::NotPem("a certificate"))?;
        if !own.public_key().is_ok_and(|public| public.public_eq(&key)) {
            return Err(CertificateError::NotItsKey);
        }
        if !matches!(key.id(), Id::RSA | Id::EC | Id::ED25519) {
            return Err(CertificateError::KeyType);
        }
        let chain = certificates.iter().map(|one| one.to_der()).collect::<Result<_, _>>();
        Ok(Credential { chain: chain.map_err(|_| CertificateError::NotPem("a certificate"))?, key, pss })
    }

    /// DER, our own first.
    pub(crate) fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
}

/// The same certificates, with the same key.
impl PartialEq for Credential {
    fn eq(&self, other: &Credential) -> bool {
        self.chain == other.chain && self.pss == other.pss && self.key.public_eq(&other.key)
    }
}

/// OpenSSL wipes the key; here it is not printed.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} certificates)", self.chain.len())
    }
}
