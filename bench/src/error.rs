//! Why there is no figure.

use std::io;
use std::path::PathBuf;

/// Why a measurement ended without a figure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's: DPDK's ports and memory are root's.
    #[error("it must run as root, as the data plane does; use scripts/bench, or sudo")]
    NotRoot,
    /// The user's: nothing bears a name like this.
    #[error("no case has '{0}' in its name; --list shows the names")]
    NoSuchCase(String),
    /// The machine's.
    #[error(
        "{0} workers want as many cores side by side, the last of them the one that is measured on (--core)"
    )]
    TooFewCores(u32),
    /// The user's: SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The machine's or the build's: there is no such program.
    #[error("{0} is not there; build it with: cargo build --release -p espalier-dataplane -p bench")]
    NoProgram(PathBuf),
    /// The data plane, the bare ports or a peer's program ended, or do not answer.
    #[error("{who}: {why}{}", said(.log))]
    Process {
        /// Which process.
        who: &'static str,
        /// What happened.
        why: String,
        /// What it wrote to stderr.
        log: String,
    },
    /// The data plane did something else than it was measured for.
    #[error("{case}: {why}; the figure would mean nothing")]
    Unproven {
        /// The case's name.
        case: String,
        /// What does not add up.
        why: String,
    },
    /// Another's library does not do what it is measured for.
    #[error("{0} does not run here, or takes no keys of this length")]
    Peer(&'static str),
    /// The machine's: what access lists are measured beside is not here.
    #[error(
        "dpdk-test-acl is not installed; it is in Debian's package dpdk-dev: scripts/setup bench, or apt-get install dpdk-dev"
    )]
    NoRival,
    /// The generator's own packets are no packets: a mistake here.
    #[error("the generator is at fault: {0}")]
    Generator(String),
    /// DPDK refuses.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// The user's: a file that no measurement of ours wrote, or one of another version.
    #[error("{file} is no JSON of these measurements ({why}); measure anew")]
    Rows {
        /// Where it was read.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn said(log: &str) -> String {
    match log.trim() {
        "" => String::new(),
        log => format!("; it said:\n{log}"),
    }
}

impl Error {
    /// Names what was to be done when the system refused.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        |source| Error::Io { what, source }
    }
}
