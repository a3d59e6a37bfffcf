//! Sans-IO IKEv2.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod message;
mod selector;

pub use selector::{TrafficSelector, outbound_selectors};
