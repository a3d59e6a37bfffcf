//! How long an SA may serve (RFC 4301, section 4.4.2.1).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of one SA; whichever is reached first ends it. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Since the SA was installed.
    pub time: Option<Duration>,
    /// Bytes that were given to ESP to protect, before encapsulation.
    pub bytes: Option<u64>,
    /// Packets protected.
    pub packets: Option<u64>,
}
