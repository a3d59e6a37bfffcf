//! What becomes of packets that are too long for the way that they are to go.

use serde::{Deserialize, Serialize};

/// Where the outer DF comes from (RFC 4301, sections 5.1.2.1, note 4, and 8.1); of no meaning in transport mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DontFragment {
    /// From an inner IPv4 header. An IPv6 packet has no such bit, but is never fragmented on its way (RFC 8200,
    /// section 5), so it counts as having it set.
    #[default]
    Copy,
    /// Always set.
    Set,
    /// Never set.
    Clear,
}

/// When a packet that may be fragmented, and must be, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fragmentation {
    /// Before: the peer gets whole ESP packets, and the last host puts the fragments together.
    #[default]
    BeforeEncryption,
    /// After: the peer must put ESP packets together. In transport mode it is always so (RFC 4303, section 3.3.4).
    AfterEncryption,
}

/// Both, of one SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SizeRules {
    /// DF of the outer header.
    pub df: DontFragment,
    /// When packets are fragmented.
    pub fragmentation: Fragmentation,
}
