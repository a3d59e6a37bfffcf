//! IKE at work: what peers are told and believed, and the tunnels that come of it.
//!
//! The protocol is crate `ike`'s, which knows neither sockets nor the data plane. Here is what it lacks: [`connections`] make
//! of a configuration whom we talk to and how; [`sockets`] carry its datagrams, [`pool`] does its arithmetic; [`children`]
//! are the SAs that it agreed on, as the data plane holds them; [`raise`] decides when a packet that wants a tunnel raises
//! one, and with which peer; [`failures`] remember what came to nothing. The daemon (`daemon::ike` and `daemon::outputs`) puts them together.

pub mod children;
pub mod connections;
pub mod failures;
pub mod inherited;
pub mod pool;
pub mod raise;
pub mod sockets;
pub mod suites;
