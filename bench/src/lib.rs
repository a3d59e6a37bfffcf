//! What measures Espalier.
//!
//! `espalier-bench gateway` runs the real `espalier-dataplane`, one worker, between DPDK software ports with no kernel
//! in the way, and says what a packet costs it; beside each row stands what the ports cost by themselves. It is the data
//! plane's control plane: it says which tunnels there are and hands over the keys. In the order of a run:
//!
//! - [`case`](mod@case): what is measured.
//! - [`frames`]: the traffic, made before, and [`peers`], who protect what is to be decrypted; [`pcap`] files of it.
//! - [`tunnels`]: what the data plane is told to be.
//! - [`dataplane`]: its process, which can be stopped and resumed, and what it counted.
//! - [`ports`]: the same ports in another process, which does nothing but pass packets on.
//! - [`measure`]: rounds of the one and the other, the proof that packets were protected, medians.
//! - [`report`]: a table for people, rows for programs.
//!
//! `espalier-bench gcm` measures our AES-GCM beside others: [`gcm`]. `espalier-bench acl` measures our access lists beside
//! DPDK's: [`acl`]. `espalier-bench rings` measures the gateway behind rings that another core fills: [`rings`]. What they share: [`command`], [`clock`], [`guard`] and
//! [`progress`]. `espalier-bench memory` says what SAs cost in memory: [`memory`]. `espalier-bench report` makes a page of what they wrote:
//! [`whole`].
//!
//! `cargo bench -p bench --features micro` measures single pieces (`benches/`).
// But for the clock, and the calls into C of `gcm`.
#![deny(unsafe_code)]

pub mod acl;
pub mod case;
#[allow(unsafe_code)]
pub mod clock;
pub mod command;
pub mod dataplane;
mod error;
pub mod frames;
pub mod gcm;
pub mod guard;
pub mod measure;
pub mod memory;
pub mod pcap;
pub mod peers;
pub mod ports;
pub mod progress;
pub mod report;
pub mod rings;
mod samples;
pub mod stand;
pub mod tunnels;
pub mod whole;

pub use error::Error;
