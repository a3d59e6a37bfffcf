//! Sans-IO IKEv2 (RFC 7296), both roles: bytes, time and requests in; bytes, timers and SA operations out.
//!
//! It knows the words of crate `model`, and OpenSSL for every primitive; it may not know sockets, clocks, threads, the
//! data plane, or how a configuration is written. Whoever drives an [`Endpoint`] gives it datagrams and the time, and does
//! what it says.
//!
//! Read in this order: [`message`] is what goes over the wire; [`crypto`] and `keys` what protects it; `identity` and
//! [`auth`] who is there; [`negotiate`] what is agreed on, and why not; [`connection`] what we are willing to; `sa` one IKE
//! SA through all its exchanges; [`endpoint`] all of them.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod auth;
pub mod connection;
pub mod crypto;
pub mod endpoint;
mod identity;
mod keys;
pub mod message;
pub mod negotiate;
mod sa;
mod selector;
mod settings;

pub use connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
pub use endpoint::{Endpoint, Output, RequestError};
pub use identity::{Identity, IdentityMatch};
pub use selector::{TrafficSelector, outbound_selectors};
pub use settings::Settings;
