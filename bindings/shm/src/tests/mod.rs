//! Both ends in one process: what each sees of the other, be it honest, gone, or out to do harm.

#![allow(clippy::unwrap_used)]

mod connection;
mod hostile;
mod messages;
mod plane;
mod policies;
mod rings;
mod samples;
mod segments;
mod state;
mod transactions;
mod villain;
mod wiping;

use plane::Plane;

/// How long an answer may take before a test has failed. Nothing is faster or slower for it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
