//! Extended access lists: ordered rules that permit or deny packets by address, protocol and port.

use crate::Name;
use crate::marks::{ClassMatch, FlagMatch};
use model::{Marks, PortRange, Prefix, Protocol, Selector};
use serde::Serialize;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `ip access-list extended`, `access-list`.
    Ipv4,
    /// `ipv6 access-list`.
    Ipv6,
}

/// An access list. Its rules stand in the order of their sequence numbers; the first that matches decides, and what
/// none matches is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessList {
    /// A number (100 to 199, 2000 to 2699) or a name; lists of both families share one room of names.
    pub name: Name,
    /// Of every rule in it.
    pub family: Family,
    /// In the order of their sequence numbers, which are unique.
    pub rules: Vec<Rule>,
    /// Remarks after the last rule.
    pub remarks: Vec<String>,
}

/// What an access list says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// In a crypto map: protect it.
    Permit,
    /// In a crypto map: ask the next entry.
    Deny,
}

/// One line of an access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// From 1 to [`Rule::MAX_SEQUENCE`].
    pub sequence: u32,
    /// The remarks that stand before it.
    pub remarks: Vec<String>,
    /// Permit or deny.
    pub verb: Verb,
    /// Of the packet.
    pub protocol: Protocol,
    /// Source addresses, of the list's family, host bits clear.
    pub source: Prefix,
    /// Source ports.
    pub source_port: PortMatch,
    /// Destination addresses, of the list's family, host bits clear.
    pub destination: Prefix,
    /// Destination ports.
    pub destination_port: PortMatch,
    /// TCP flags.
    pub flags: FlagMatch,
    /// The traffic class.
    pub class: ClassMatch,
}

impl Rule {
    /// The largest sequence number that IOS knows.
    pub const MAX_SEQUENCE: u32 = i32::MAX as u32;

    /// The packets that it matches: one selector, or two for each `neq`.
    pub fn selectors(&self) -> Vec<Selector> {
        let mut selectors = Vec::with_capacity(1);
        for source_port in self.source_port.ranges() {
            for destination_port in self.destination_port.ranges() {
                let selector = Selector::new(
                    self.source,
                    self.destination,
                    self.protocol,
                    source_port,
                    destination_port,
                );
                // A rule out of `parse` never mixes families and has ports only where the protocol has.
                selectors.extend(selector);
            }
        }
        selectors
    }

    /// The same with the marks that packets must have beside: so many pairs of a selector and marks, which no packet matches
    /// two of, but for selectors that overlap.
    pub fn matches(&self) -> Vec<(Selector, Marks)> {
        let class = self.class.marks();
        let marks: Vec<Marks> = self.flags.marks().into_iter().filter_map(|flags| flags.and(class)).collect();
        let selectors = self.selectors().into_iter();
        selectors.flat_map(|selector| marks.iter().map(move |marks| (selector, *marks))).collect()
    }
}

/// Ports as an access list writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortMatch {
    /// Nothing written: every port, and packets that have none.
    Any,
    /// `eq`: this one.
    Eq(u16),
    /// `neq`: every other one.
    Neq(u16),
    /// `lt`: those below; not 0.
    Lt(u16),
    /// `gt`: those above; not 65535.
    Gt(u16),
    /// `range`: from the first to the second, both included.
    Range(u16, u16),
}

impl PortMatch {
    /// The same as ranges: one, but up to two for `neq`; none where no port is meant, which `parse` refuses.
    pub fn ranges(self) -> impl Iterator<Item = PortRange> + Clone {
        let below = |port: u16| port.checked_sub(1).and_then(|last| PortRange::new(0, last));
        let above = |port: u16| port.checked_add(1).and_then(|first| PortRange::new(first, u16::MAX));
        let (first, second) = match self {
            PortMatch::Any => (Some(PortRange::ANY), None),
            PortMatch::Eq(port) => (Some(PortRange::single(port)), None),
            PortMatch::Neq(port) => (below(port), above(port)),
            PortMatch::Lt(port) => (below(port), None),
            PortMatch::Gt(port) => (above(port), None),
            PortMatch::Range(from, to) => (PortRange::new(from, to), None),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_become_ranges() {
        let of = |ports: PortMatch| ports.ranges().map(|r| (r.start(), r.end())).collect::<Vec<_>>();
        assert_eq!(of(PortMatch::Any), [(0, 65535)]);
        assert_eq!(of(PortMatch::Eq(80)), [(80, 80)]);
        assert_eq!(of(PortMatch::Neq(80)), [(0, 79), (81, 65535)]);
        assert_eq!(of(PortMatch::Neq(0)), [(1, 65535)]);
        assert_eq!(of(PortMatch::Neq(65535)), [(0, 65534)]);
        assert_eq!(of(PortMatch::Lt(1)), [(0, 0)]);
        assert_eq!(of(PortMatch::Lt(0)), []);
        assert_eq!(of(PortMatch::Gt(65534)), [(65535, 65535)]);
        assert_eq!(of(PortMatch::Gt(65535)), []);
        assert_eq!(of(PortMatch::Range(5, 9)), [(5, 9)]);
    }
}
