//! The daemon's control socket: one JSON document a line, a question and its answer.
//!
//! To one question there is no end of answers: [`Question::Debug`].
//!
//! What shared memory shows, an operator's command reads there; the daemon is asked for what is not there, and to reload.

pub mod client;
pub mod facts;
pub mod server;
pub mod sessions;
pub mod trail;

use facts::ConfigFacts;
use serde::{Deserialize, Serialize};
use sessions::{PairFacts, SessionFacts};
use std::net::IpAddr;
use trail::Topic;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/espalier/control.sock";
/// Bytes of the longest question.
const MAX_QUESTION: u64 = 4096;

/// What the daemon can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
pub enum Question {
    /// What the configuration says.
    Facts,
    /// What IKE has negotiated, and what it has not.
    Sessions,
    /// What the SAs serve that IKE negotiated. There may be a hundred thousand.
    Pairs,
    /// To take tunnels down that IKE brought up.
    Clear {
        /// Those with this peer; `None`: all.
        peer: Option<IpAddr>,
    },
    /// What it traces from now on: a [`trail::Said`] a line, until whoever asks leaves.
    Debug {
        /// About this.
        topic: Topic,
        /// Only with this peer.
        peer: Option<IpAddr>,
    },
    /// To read the configuration again.
    Reload,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// To [`Question::Facts`].
    Facts(Box<ConfigFacts>),
    /// To [`Question::Sessions`].
    Sessions(Box<SessionFacts>),
    /// To [`Question::Pairs`].
    Pairs {
        /// In no order.
        pairs: Vec<PairFacts>,
    },
    /// To [`Question::Clear`].
    Cleared {
        /// IKE SAs that are gone.
        ike_sas: usize,
    },
    /// To [`Question::Reload`]: it is done.
    Reloaded {
        /// What the operator should look at all the same.
        warnings: Vec<String>,
    },
    /// Nothing was done, and everything is as before.
    Refused {
        /// Why, in one sentence.
        reason: String,
        /// What is wrong with the configuration, a line each.
        diagnostics: Vec<String>,
    },
}
