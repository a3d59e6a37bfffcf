//! The slow twin: one rule after the other.

use crate::layout::action;
use crate::{Depth, KeyV4, KeyV6, Rule, Verdict};
use model::Protocol;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An uncompiled list.
#[derive(Clone, Debug)]
pub struct Linear<'a>(&'a [Rule]);

impl<'a> Linear<'a> {
    /// Over the rules as they stand.
    pub const fn new(rules: &'a [Rule]) -> Linear<'a> {
        Linear(rules)
    }

    fn find(&self, matches: impl Fn(&Rule) -> bool) -> Verdict {
        let found = self.0.iter().enumerate().find(|(_, rule)| matches(rule));
        found.map_or(Verdict::NONE, |(place, rule)| Verdict::new(place as u32, action::write(rule.action)))
    }

    /// How far into packets of a family the rules look.
    pub fn depth(&self, v4: bool) -> Depth {
        let of_family = self.0.iter().filter(|rule| rule.selector.is_ipv4() == v4);
        let depth = of_family.map(|Rule { selector, marks, .. }| match selector.protocol() {
            _ if marks.mask() & u16::from(u8::MAX) != 0 => Depth::Ports,
            _ if !(selector.source_port().is_any() && selector.destination_port().is_any()) => Depth::Ports,
            Protocol::Number(_) => Depth::Protocol,
            Protocol::Any => Depth::Addresses,
        });
        depth.max().unwrap_or(Depth::Addresses)
    }

    /// A verdict for each IPv4 key, as far as both slices go.
    pub fn lookup_v4(&self, keys: &[KeyV4], verdicts: &mut [Verdict]) {
        for (key, verdict) in keys.iter().zip(verdicts) {
            let ports = key.has_ports.then_some((key.source_port, key.destination_port));
            let (source, destination) =
                (Ipv4Addr::from_bits(key.source), Ipv4Addr::from_bits(key.destination));
            *verdict = self.find(|rule| {
                rule.selector.contains(source.into(), destination.into(), key.protocol, ports)
                    && rule.marks.contains(key.tcp_flags, key.traffic_class)
            });
        }
    }

    /// A verdict for each IPv6 key, as far as both slices go.
    pub fn lookup_v6(&self, keys: &[KeyV6], verdicts: &mut [Verdict]) {
        for (key, verdict) in keys.iter().zip(verdicts) {
            let ports = key.has_ports.then_some((key.source_port, key.destination_port));
            let (source, destination) =
                (Ipv6Addr::from_bits(key.source), Ipv6Addr::from_bits(key.destination));
            *verdict = self.find(|rule| {
                rule.selector.contains(source.into(), destination.into(), key.protocol, ports)
                    && rule.marks.contains(key.tcp_flags, key.traffic_class)
            });
        }
    }
}
