//! Primitives, all of them OpenSSL's: Diffie-Hellman, pseudorandom functions, ciphers. And which there are.

mod algorithm;
mod cipher;
mod dh;
mod prf;
mod secret;
mod suite;

pub use algorithm::{Encryption, Group, Integrity, Prf};
pub(crate) use cipher::Cipher;
pub use dh::{DhError, KeyPair, Shared};
pub use secret::Secret;
pub use suite::{EspSuite, IkeSuite};

use openssl::error::ErrorStack;

/// OpenSSL could not do what it always can: out of memory, or a build of it without an algorithm. Ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("OpenSSL: {0}")]
pub struct CryptoError(#[from] pub ErrorStack);

/// Fills with chance.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes)
}
