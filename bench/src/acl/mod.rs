//! What a packet costs our access lists and DPDK's `rte_acl`: `espalier-bench acl`. In the order of a run:
//!
//! - [`case`](mod@case): what is measured.
//! - [`shape`]: the three families of rule sets; [`rules`]: sets of them; [`trace`]: packets for a set.
//! - [`field`]: a set made ready, in [`files`] too, and proof that all classify alike.
//! - [`forms`]: a list that was changed, and one of IPv6.
//! - [`contender`]: what one who takes part must do: our look-up, the linear scan; and [`rival`], which is another
//!   process, by each [`method`].
//! - [`contest`]: rounds, medians of paired ratios.
//! - [`report`]: a table for people, rows for programs.

pub mod case;
pub mod contender;
pub mod contest;
pub mod field;
pub mod files;
pub mod forms;
pub mod method;
pub mod report;
pub mod rival;
pub mod rules;
pub mod shape;
pub mod trace;
