//! Fragments of IPv4 (RFC 791, section 3.2) and IPv6 (RFC 8200, section 4.5).

mod cut;
mod join;

pub use cut::{Cutter, Uncuttable};
pub use join::{Assembly, Identity, MOST, Misfit, Part};

/// The least that a fragment must carry unless it is the last, in bytes: what offsets count in.
pub const UNIT: usize = 8;
/// Bytes of IPv6's fragment header.
pub const HEADER_LEN: usize = 8;
