//! The proof by a key that both know (RFC 7296, section 2.15).

use super::SignedOctets;
use crate::crypto::{CryptoError, Prf, Secret};

const PAD: &[u8] = b"Key Pad for IKEv2";

/// AUTH = prf( prf(Shared Secret, "Key Pad for IKEv2"), octets ).
pub(crate) fn shared_key_auth(
    prf: Prf,
    key: &Secret,
    octets: &SignedOctets<'_>,
) -> Result<Secret, CryptoError> {
    let pad = prf.compute(key.expose(), &[PAD])?;
    let identity = prf.compute(octets.key.expose(), &[octets.identity])?;
    prf.compute(pad.expose(), &[octets.message, octets.nonce, identity.expose()])
}
