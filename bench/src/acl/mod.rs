//! What a packet costs our access lists.
//!
//! - [`shape`]: the three families of rule sets; [`rules`]: sets of them; [`trace`]: packets for a set.

pub mod files;
pub mod rules;
pub mod shape;
pub mod trace;
