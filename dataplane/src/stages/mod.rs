//! The stages of a packet's way, one file and one entry function each.
//!
//! ```text
//! parse -> route -+-> ESP to us -> decrypt -> inbound policy -> route -+
//!                 +-> transit -----------------------------------------+-> classify -+-> protect -> encrypt -> route -+
//!                 +-> ours otherwise -> exception (Linux)                            +-> clear -----------------------+-> forward -> transmit
//! ```
//!
//! `worker::way` strings them together.

mod account;
mod ahead;
pub(crate) mod answer;
pub(crate) mod classify;
pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod exception;
pub(crate) mod exempt;
pub(crate) mod forward;
mod groups;
pub(crate) mod hear;
pub(crate) mod inbound_policy;
pub(crate) mod mss;
pub(crate) mod parse;
pub(crate) mod quoted;
pub(crate) mod route;
mod suites;
pub(crate) mod tag;
pub(crate) mod transmit;

use crate::snapshot::Snapshot;
use shm::{SaTable, WorkerCounters};

/// What every stage reads, for the time of one burst.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) sas: &'a SaTable,
    pub(crate) counters: &'a WorkerCounters,
    /// This worker's number.
    pub(crate) worker: usize,
    /// TSC clocks when the burst began.
    pub(crate) now: u64,
}
