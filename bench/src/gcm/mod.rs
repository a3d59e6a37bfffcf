//! What a packet costs our AES-GCM and its peers: `espalier-bench gcm`. In the order of a run:
//!
//! - [`case`](mod@case): what is measured.
//! - [`traffic`]: packets in buffers as a gateway has them, dealt again before each lap.
//! - [`contender`]: what one who takes part must do: our back ends ([`ours`]), and, with the feature `peers`, the libraries
//!   of `peers` and `ipsec_mb`.
//! - [`guard`](crate::guard): laps that somebody else's work slowed down are run again.
//! - [`contest`]: proof that all do the same, rounds, medians of paired ratios.
//! - [`report`]: a table for people, rows for programs.

pub mod case;
pub mod contender;
pub mod contest;
#[cfg(feature = "peers")]
#[allow(unsafe_code)]
mod ipsec_mb;
pub mod ours;
#[cfg(feature = "peers")]
mod peers;
pub mod report;
pub mod traffic;

use contender::{Contender, RawKeys};
use gcm::BackEnd;

/// Everyone who can take part on this machine, with these keys: our back ends, the chosen one first, then the peers.
///
/// # Errors
///
/// A peer that cannot be set up: [`Error::Peer`](crate::Error::Peer).
pub fn contenders(keys: &RawKeys, prefetch: bool) -> Result<Vec<Box<dyn Contender>>, crate::Error> {
    let chosen = BackEnd::chosen();
    let mut back_ends = BackEnd::available();
    back_ends.sort_by_key(|&each| each != chosen);
    let mut all: Vec<Box<dyn Contender>> = Vec::new();
    for back_end in back_ends {
        all.push(Box::new(ours::Ours::new(back_end, keys, prefetch)?));
    }
    #[cfg(feature = "peers")]
    {
        all.extend(ipsec_mb::contenders(keys, prefetch)?);
        all.extend(peers::contenders(keys)?);
    }
    Ok(all)
}

/// Which peers there are.
#[cfg(feature = "peers")]
fn peers_built() -> String {
    format!("libipsec-mb {}", ipsec_mb::version())
}

/// Which peers there are.
#[cfg(not(feature = "peers"))]
fn peers_built() -> String {
    "built without peers; scripts/bench gcm builds with them".to_owned()
}
