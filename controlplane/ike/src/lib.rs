//! Sans-IO IKEv2.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod auth;
pub mod crypto;
mod identity;
mod keys;
pub mod message;
mod selector;

pub use identity::{Identity, IdentityMatch};
pub use selector::{TrafficSelector, outbound_selectors};
