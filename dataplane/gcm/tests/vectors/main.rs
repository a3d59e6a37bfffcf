//! Published vectors, through every path that can express them, on every back end that runs here.
#![allow(clippy::unwrap_used, reason = "a test")]

mod cavp;
mod check;
mod esp;
mod wycheproof;
