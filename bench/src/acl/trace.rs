//! Packets for a rule set, drawn from its rules.

use super::rules::RESERVED;
use acl::{KeyV4, Rule};
use fastrand::Rng;
use model::{PortRange, Prefix, Protocol};
use serde::Serialize;
use std::fmt;

/// Which rules packets are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Locality {
    /// A few rules take most packets: what a rule takes falls with its rank, as Pareto has it.
    Hot,
    /// Every rule takes as many.
    All,
}

impl Locality {
    /// Both.
    pub const BOTH: [Locality; 2] = [Locality::Hot, Locality::All];
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Locality::Hot => "hot",
            Locality::All => "all",
        })
    }
}

/// Packets at least, so that what is around a pass of a trace is little against it.
pub const LEAST: usize = 1 << 15;
/// One packet of so many is drawn from no rule.
const STRAY: usize = 20;
/// The protocol of a packet that no rule asks for (RFC 3692, for experiments).
const NOBODYS: u8 = 253;

/// A trace, always the same for the same rules and seed. Those of [`Locality::All`] have a packet of each rule at least.
///
/// One packet of twenty is a stray: by turns one that no rule matches, and one that goes from a rule's source to another's
/// destination and may match something.
pub fn generate(rules: &[Rule], locality: Locality, seed: u64) -> Vec<KeyV4> {
    let mut random = Rng::with_seed(seed ^ (locality as u64) << 56);
    let mut order: Vec<usize> = (0..rules.len()).collect();
    random.shuffle(&mut order);
    let drawn = match locality {
        Locality::Hot => LEAST,
        Locality::All => LEAST.div_ceil(rules.len().max(1)) * rules.len(),
    };
    let mut keys = Vec::with_capacity(drawn + drawn / STRAY + 1);
    for number in 0..drawn {
        let place = match locality {
            // Ranks spread evenly by their logarithm: of a thousand rules, ten take a third.
            Locality::Hot => ((rules.len() as f64).powf(random.f64()) as usize).saturating_sub(1),
            Locality::All => number % rules.len(),
        };
        keys.extend(order.get(place).and_then(|&rule| rules.get(rule)).map(|rule| inside(rule, &mut random)));
        if number % STRAY == STRAY - 1 {
            keys.extend(stray(rules, (number / STRAY).is_multiple_of(2), &mut random));
        }
    }
    // Neighbours in the order are not met in that order again and again.
    if locality == Locality::All {
        random.shuffle(&mut keys);
    }
    keys
}

/// A packet that the rule matches. One of the four ends of its addresses and ports is met often.
fn inside(rule: &Rule, random: &mut Rng) -> KeyV4 {
    let selector = &rule.selector;
    let protocol = match selector.protocol() {
        Protocol::Number(number) => number,
        Protocol::Any => random.choice([1, 6, 6, 6, 17, 17, 47, 50]).unwrap_or(6),
    };
    let has_ports = Protocol::Number(protocol).has_ports();
    let mut port = |ports: PortRange| if has_ports { within(ports.start(), ports.end(), random) } else { 0 };
    let (source_port, destination_port) = (port(selector.source_port()), port(selector.destination_port()));
    KeyV4 {
        source: address(selector.source(), random),
        destination: address(selector.destination(), random),
        source_port,
        destination_port,
        protocol,
        has_ports,
        ..KeyV4::default()
    }
}

/// A number of the range, each end of it one time of eight.
fn within(start: u16, end: u16, random: &mut Rng) -> u16 {
    match random.u8(..8) {
        0 => start,
        1 => end,
        _ => random.u16(start..=end),
    }
}

/// An address of the prefix, each end of it one time of sixteen.
fn address(prefix: Prefix, random: &mut Rng) -> u32 {
    let Prefix::V4(prefix) = prefix else { return 0 };
    let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
    match random.u8(..16) {
        0 => first,
        1 => last,
        _ => random.u32(first..=last),
    }
}

fn stray(rules: &[Rule], from_nobody: bool, random: &mut Rng) -> Option<KeyV4> {
    if from_nobody {
        let (source, destination) = (random.u32(RESERVED..), random.u32(RESERVED..));
        return Some(KeyV4 { source, destination, protocol: NOBODYS, ..KeyV4::default() });
    }
    let (from, to) = (random.choice(rules)?, random.choice(rules)?);
    Some(KeyV4 { destination: inside(to, random).destination, ..inside(from, random) })
}

#[cfg(test)]
mod tests {
    use super::super::{rules, shape::Shape};
    use super::*;
    use acl::{Linear, Verdict};
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::Ipv4Addr;

    fn matches(rule: &Rule, key: &KeyV4) -> bool {
        let ports = key.has_ports.then_some((key.source_port, key.destination_port));
        let address = |bits| Ipv4Addr::from_bits(bits).into();
        rule.selector.contains(address(key.source), address(key.destination), key.protocol, ports)
    }

    #[test]
    fn the_same_seed_gives_the_same_packets_and_another_gives_others() {
        let rules = rules::generate(Shape::Acl, 100, 1);
        for locality in Locality::BOTH {
            assert_eq!(generate(&rules, locality, 1), generate(&rules, locality, 1));
            assert_ne!(generate(&rules, locality, 1), generate(&rules, locality, 2));
        }
    }

    #[test]
    fn a_packet_of_a_rule_matches_it() {
        let mut random = Rng::with_seed(1);
        for rule in Shape::ALL.into_iter().flat_map(|shape| rules::generate(shape, 2000, 1)) {
            let key = inside(&rule, &mut random);
            assert!(matches(&rule, &key), "{rule:?} {key:?}");
        }
    }

    #[test]
    fn all_rules_have_a_packet_and_some_packets_have_no_rule() {
        for shape in Shape::ALL {
            let rules = rules::generate(shape, 300, 1);
            let keys = generate(&rules, Locality::All, 1);
            assert!(keys.len() >= LEAST);
            assert!(rules.iter().all(|rule| keys.iter().any(|key| matches(rule, key))));
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            Linear::new(&rules).lookup_v4(&keys, &mut verdicts);
            let missed = verdicts.iter().filter(|verdict| verdict.rule().is_none()).count();
            assert!(
                (keys.len() / 50..keys.len() / 10).contains(&missed),
                "{shape}: {missed} of {}",
                keys.len()
            );
        }
    }

    #[test]
    fn few_rules_take_most_packets_of_a_hot_trace() {
        let rules = rules::generate(Shape::Acl, 1000, 1);
        let keys = generate(&rules, Locality::Hot, 1);
        let mut verdicts = vec![Verdict::NONE; keys.len()];
        Linear::new(&rules).lookup_v4(&keys, &mut verdicts);
        let mut hits = BTreeMap::<u32, usize>::new();
        verdicts
            .iter()
            .filter_map(|verdict| verdict.rule())
            .for_each(|rule| *hits.entry(rule).or_default() += 1);
        let mut hits: Vec<usize> = hits.into_values().collect();
        hits.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let top: usize = hits.iter().take(50).sum();
        assert!(top * 2 > keys.len(), "{top} of {}", keys.len());
    }

    #[test]
    fn ends_of_ranges_are_met() {
        let mut random = Rng::with_seed(1);
        let met: BTreeSet<u16> = (0..1000).map(|_| within(1024, u16::MAX, &mut random)).collect();
        assert!(met.contains(&1024) && met.contains(&u16::MAX));
        assert!(met.len() > 500);
        assert_eq!(within(80, 80, &mut random), 80);
    }
}
