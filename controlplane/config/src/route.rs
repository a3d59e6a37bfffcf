//! Static routes.

use crate::Name;
use model::Prefix;
use serde::Serialize;
use std::net::IpAddr;

/// One `ip route` or `ipv6 route`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaticRoute {
    /// Destinations, host bits clear.
    pub prefix: Prefix,
    /// Where to.
    pub target: Target,
    /// Administrative distance, 1 to 254; the lower, the better.
    pub distance: u8,
}

impl StaticRoute {
    /// The distance where none is written.
    pub const DEFAULT_DISTANCE: u8 = 1;
}

/// Where a static route leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// To a router, on whatever link it is reached by.
    Gateway(IpAddr),
    /// Out of an interface of the configuration, perhaps to a router on it.
    Interface {
        /// Of the configuration, not of Linux.
        name: Name,
        /// Of the prefix's family.
        gateway: Option<IpAddr>,
    },
    /// `Null0`: nowhere.
    Null,
}
