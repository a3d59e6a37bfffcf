//! AES-GCM for bursts of ESP packets (NIST SP 800-38D, as RFC 4106 uses it): independent packets, each with its key,
//! nonce and additional data, sealed or opened in place; or, by GMAC (RFC 4543), authenticated and verified only.
//!
//! Pure: bytes in, bytes out. It knows no ESP header, no SA and no buffer; who gives it a nonce twice under one key breaks
//! the cipher, and only the caller can see to it.
//!
//! [`reference`](mod@reference) is the slow twin, written straight from the standard.
//!
//! The work is done by a [`BackEnd`]: our own kernel, as wide as the processor allows, or the library
//! `aes-gcm`. `unsafe` is in `simd` alone.
#![deny(unsafe_code)]

mod back_end;
mod batch;
mod gmac;
mod key;
mod pieces;
mod portable;
pub mod reference;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod simd;

pub use back_end::{BackEnd, NoSuchBackEnd};
pub use batch::{Aad, BURST, Job, open, open_by, seal, seal_by};
pub use gmac::{authenticate, authenticate_by, verify, verify_by};
pub use key::{Key, WrongKeyLength};
pub use pieces::{Pieces, authenticate_pieces, open_pieces, seal_pieces, verify_pieces};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of a whole tag; a shorter ICV is its beginning.
pub const TAG_LEN: usize = 16;
