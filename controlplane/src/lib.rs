//! The decision process: reads the configuration, follows Linux, and feeds the data plane over shared memory.
//!
//! Two programs stand on it: the daemon `espalier-controlplane` and the operator's command `espalier`. It knows the
//! contract with the data plane (crate `shm`) and the image of a policy (crate `acl`); it may not know DPDK, a packet,
//! or how the data plane does anything. Pure decisions ([`forwarding`]) are apart from what talks to the world.
#![forbid(unsafe_code)]

pub mod daemon;
pub mod forwarding;
pub mod kernel;
pub mod link;
pub mod memory;
pub mod negotiate;
pub mod operator;
pub mod plan;
pub mod policy;
pub mod show;
