//! Proofs of identity (RFC 7296, section 2.15).

mod psk;

pub(crate) use psk::shared_key_auth;

use openssl::x509::X509Name;

/// What an AUTH payload covers: the sender's first message, the other's nonce, and prf(SK_p, its identity).
pub(crate) struct SignedOctets<'a> {
    /// The sender's whole IKE_SA_INIT message, as it was on the wire.
    pub(crate) message: &'a [u8],
    /// The receiver's nonce.
    pub(crate) nonce: &'a [u8],
    /// The sender's SK_pi or SK_pr.
    pub(crate) key: &'a crate::crypto::Secret,
    /// The body of the sender's identification payload.
    pub(crate) identity: &'a [u8],
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
