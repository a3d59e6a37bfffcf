//! All that it takes to verify a peer's signature, in one piece that can be carried to another thread.

use super::{Trust, verify};
use crate::identity::Identity;
use crate::message::AuthMethod;
use std::sync::Arc;
use std::time::Duration;

/// A signature that may be a peer's.
pub(crate) struct Verifying {
    /// Whom we believe.
    pub(crate) trust: Arc<Trust>,
    /// What the peer sent, in DER, its own first.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Who it says it is.
    pub(crate) identity: Identity,
    /// What time it is, since 1970.
    pub(crate) now: Duration,
    /// How it signs.
    pub(crate) method: AuthMethod,
    /// What it signed.
    pub(crate) octets: Vec<u8>,
    /// The signature.
    pub(crate) data: Vec<u8>,
}

impl Verifying {
    /// Whether it is right, and the certificate that of whom it says; else why not.
    pub(crate) fn run(&self) -> Result<(), String> {
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let key = self.trust.check(&certificates, &self.identity, self.now)?;
        verify(&key, self.method, &self.data, &self.octets).map_err(str::to_owned)
    }
}

/// The same question, at whatever time.
impl PartialEq for Verifying {
    fn eq(&self, other: &Verifying) -> bool {
        Arc::ptr_eq(&self.trust, &other.trust)
            && self.certificates == other.certificates
            && (&self.identity, self.method) == (&other.identity, other.method)
            && (&self.octets, &self.data) == (&other.octets, &other.data)
    }
}
