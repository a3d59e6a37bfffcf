//! The three classical shapes of rule sets, as numbers: how long prefixes are, which ports and protocols rules ask for.
//!
//! The literature on packet classification describes real filters in these three families (Taylor and Turner, "ClassBench",
//! 2005, and what cites it): access lists ask for long prefixes and a service's port, firewalls leave much open, and
//! IP chains lie between. The numbers here are our own, drawn by hand to those descriptions.

use serde::Serialize;
use std::fmt;
use std::ops::RangeInclusive;

/// A family of rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// An access list: long prefixes, any source port, mostly one service of a host or a network.
    Acl,
    /// A firewall: either side is often open, and so are ports.
    Fw,
    /// An IP chain: both sides mostly narrow, some rules that are open at one side.
    Ipc,
}

/// Something that is picked as often as its weight is heavy.
pub(super) type Weighted<T> = (u32, T);

/// Which ports a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortClass {
    /// All of them.
    Any,
    /// 0 to 1023.
    WellKnown,
    /// 1024 to 65535.
    Ephemeral,
    /// Some other range.
    Range,
    /// One.
    Exact,
}

/// The numbers of a shape. Weights are of a hundred.
pub(super) struct Profile {
    /// Lengths of the source and of the destination prefix, which do not come independently.
    pub(super) lengths: &'static [Weighted<(RangeInclusive<u8>, RangeInclusive<u8>)>],
    /// Of a rule whose protocol has ports.
    pub(super) source_ports: &'static [Weighted<PortClass>],
    /// Of a rule whose protocol has ports.
    pub(super) destination_ports: &'static [Weighted<PortClass>],
    /// IANA numbers; `None` is any.
    pub(super) protocols: &'static [Weighted<Option<u8>>],
}

const HOST: RangeInclusive<u8> = 32..=32;
const OPEN: RangeInclusive<u8> = 0..=0;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ESP: u8 = 50;

use PortClass::{Any, Ephemeral, Exact, Range, WellKnown};

const ACL: Profile = Profile {
    lengths: &[
        (33, (16..=28, HOST)),
        (25, (HOST, HOST)),
        (20, (20..=28, 24..=31)),
        (12, (OPEN, 24..=32)),
        (7, (HOST, 16..=24)),
        (3, (OPEN, 16..=23)),
    ],
    source_ports: &[(98, Any), (1, Ephemeral), (1, Exact)],
    destination_ports: &[(28, Any), (6, Ephemeral), (12, Range), (54, Exact)],
    protocols: &[(75, Some(TCP)), (15, Some(UDP)), (5, Some(ICMP)), (5, None)],
};

const FW: Profile = Profile {
    lengths: &[
        (25, (OPEN, HOST)),
        (14, (OPEN, 16..=28)),
        (20, (HOST, OPEN)),
        (10, (16..=28, OPEN)),
        (15, (HOST, HOST)),
        (15, (24..=32, 16..=32)),
        (1, (OPEN, OPEN)),
    ],
    source_ports: &[(72, Any), (12, Ephemeral), (3, Range), (13, Exact)],
    destination_ports: &[(34, Any), (2, WellKnown), (10, Ephemeral), (9, Range), (45, Exact)],
    protocols: &[
        (55, Some(TCP)),
        (29, Some(UDP)),
        (6, Some(ICMP)),
        (2, Some(GRE)),
        (2, Some(ESP)),
        (6, None),
    ],
};

const IPC: Profile = Profile {
    lengths: &[
        (30, (HOST, HOST)),
        (19, (24..=31, HOST)),
        (15, (HOST, 24..=31)),
        (20, (16..=27, 16..=27)),
        (8, (OPEN, 24..=32)),
        (8, (24..=32, OPEN)),
    ],
    source_ports: &[(60, Any), (1, WellKnown), (8, Ephemeral), (3, Range), (28, Exact)],
    destination_ports: &[(48, Any), (1, WellKnown), (7, Ephemeral), (6, Range), (38, Exact)],
    protocols: &[
        (50, Some(TCP)),
        (30, Some(UDP)),
        (8, Some(ICMP)),
        (2, Some(GRE)),
        (2, Some(ESP)),
        (8, None),
    ],
};

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 3] = [Shape::Acl, Shape::Fw, Shape::Ipc];

    pub(super) const fn profile(self) -> &'static Profile {
        match self {
            Shape::Acl => &ACL,
            Shape::Fw => &FW,
            Shape::Ipc => &IPC,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shape::Acl => "acl",
            Shape::Fw => "fw",
            Shape::Ipc => "ipc",
        })
    }
}
