//! AES-GCM for bursts of ESP packets (NIST SP 800-38D, as RFC 4106 uses it): independent packets, each with its key,
//! nonce and additional data, sealed or opened in place.
//!
//! Pure: bytes in, bytes out. It knows no ESP header, no SA and no buffer; who gives it a nonce twice under one key breaks
//! the cipher, and only the caller can see to it.
//!
//! [`reference`](mod@reference) is the slow twin, written straight from the standard; it also takes text in segments.
#![forbid(unsafe_code)]

mod batch;
mod key;
pub mod reference;

pub use batch::{Aad, BURST, Job, open, seal};
pub use key::{Key, WrongKeyLength};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of a whole tag; a shorter ICV is its beginning.
pub const TAG_LEN: usize = 16;

/// The name of what does the work.
pub const fn back_end() -> &'static str {
    "aes-gcm"
}
