//! A crypto map as one list of which the first match wins: the form that the ACL compiler takes.
//!
//! IOS asks the entries of a map one after the other. A `permit` in an entry's access list protects the packet by that entry
//! (or drops it, if that is what the entry is for);
//! a `deny` takes the packet away from that entry only, and the next one is asked; a packet that no entry permits passes as
//! it is. One list cannot say "go on there", so each `deny` is written out: as the rest of the map, narrowed to what was
//! denied, and then a bypass.

use crate::{AccessList, Config, CryptoMap, Keying, Verb};
use model::{Marks, PortRange, Prefix, Protocol, Selector};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most rules that a crypto map may come to.
pub const MAX_POLICY_RULES: usize = 1 << 18;
/// The most pairs of rules that are compared on the way there: a bound on time, not on what people write.
const MAX_WORK: usize = 1 << 24;
/// The longest label, in bytes: what a policy image has room for.
const MAX_LABEL: usize = 32;

/// What becomes of the packets of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAction {
    /// The map's entry of this sequence number protects them.
    Protect(u16),
    /// The tunnel of this number does, which belongs to one peer of a dynamic map; numbers are given by whoever knows these
    /// ([`policy_with`]).
    ProtectFor(u32),
    /// They pass as they are.
    Bypass,
    /// They do not pass.
    Discard,
}

/// One rule. The first that matches decides; what none matches passes as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyRule {
    /// Which packets, as they leave through the interface.
    pub selector: Selector,
    /// Of these, only those with such TCP flags and traffic class.
    pub marks: Marks,
    /// What becomes of them.
    pub action: PolicyAction,
    /// The line that decides, as `ACCESS-LIST:SEQUENCE`, such as `100:10`; ASCII, at most 32 bytes (the end of a longer list
    /// name is cut). Several rules may come of one line.
    pub label: Arc<str>,
}

/// A crypto map cannot be written as one list of reasonable length. [`crate::parse`] refuses such a map, so that of a map of
/// a [`Config`] this never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the crypto map comes to more than {MAX_POLICY_RULES} rules, since each `deny` repeats the entries after its own"
)]
pub struct PolicyError;

/// Flattens a crypto map of the configuration.
pub fn policy(config: &Config, map: &CryptoMap) -> Result<Vec<PolicyRule>, PolicyError> {
    policy_with(config, map, BTreeMap::new())
}

/// The same with the rules of tunnels that peers of its dynamic entries have, by the sequence numbers of these; they stand in
/// front of what the entry itself says.
pub fn policy_with(
    config: &Config,
    map: &CryptoMap,
    mut peers: BTreeMap<u16, Vec<PolicyRule>>,
) -> Result<Vec<PolicyRule>, PolicyError> {
    let mut entries = Vec::new();
    for (&sequence, entry) in &map.entries {
        let mut front = peers.remove(&sequence).unwrap_or_default();
        for entry in config.written_out(entry) {
            let lists = entry.access_lists.iter().filter_map(|name| config.access_lists.get(name)).collect();
            let permit = match entry.keying {
                Keying::Discard => PolicyAction::Discard,
                _ => PolicyAction::Protect(sequence),
            };
            entries.push(Flat { permit, front: std::mem::take(&mut front), lists });
        }
    }
    flatten(entries)
}

/// One entry to be flattened.
struct Flat<'a> {
    /// What becomes of what its lists permit.
    permit: PolicyAction,
    /// What stands in front of its lists.
    front: Vec<PolicyRule>,
    lists: Vec<&'a AccessList>,
}

/// From the last entry to the first, each in front of what comes of those behind it. `rest` holds that backwards, so that
/// what comes in front of it is added at its end.
fn flatten(entries: Vec<Flat<'_>>) -> Result<Vec<PolicyRule>, PolicyError> {
    let mut work = MAX_WORK;
    let mut rest: Vec<PolicyRule> = Vec::new();
    for Flat { permit, front: mut rules, lists } in entries.into_iter().rev() {
        // Lists of one entry are of different families, so their order says nothing.
        for list in lists {
            add_list(list, permit, &rest, &mut work, &mut rules)?;
        }
        rest.extend(rules.into_iter().rev());
        if rest.len() > MAX_POLICY_RULES {
            return Err(PolicyError);
        }
    }
    rest.reverse();
    Ok(rest)
}

/// Adds what one list says, of which `permit` becomes what it permits; `rest` is what comes of the entries behind it, backwards.
fn add_list(
    list: &AccessList,
    permit: PolicyAction,
    rest: &[PolicyRule],
    work: &mut usize,
    rules: &mut Vec<PolicyRule>,
) -> Result<(), PolicyError> {
    let is_permit = |(_, rule): &(usize, &crate::Rule)| rule.verb == Verb::Permit;
    let permits: Vec<(usize, (Selector, Marks))> = (list.rules.iter().enumerate().filter(is_permit))
        .flat_map(|(place, rule)| rule.matches().into_iter().map(move |both| (place, both)))
        .collect();
    for (place, rule) in list.rules.iter().enumerate() {
        let label: Arc<str> = label(list, rule.sequence).into();
        for (selector, marks) in rule.matches() {
            if rule.verb == Verb::Deny {
                let later = permits.partition_point(|(permit, _)| *permit < place);
                let later = permits.get(later..).unwrap_or_default();
                *work = work.checked_sub(rest.len() + later.len()).ok_or(PolicyError)?;
                let shields =
                    later.iter().any(|(_, permit)| meet((&selector, marks), (&permit.0, permit.1)).is_some());
                let narrowed = rest.iter().rev().filter_map(|rule| {
                    let (selector, marks) = meet((&selector, marks), (&rule.selector, rule.marks))?;
                    Some(PolicyRule { selector, marks, ..rule.clone() })
                });
                let before = rules.len();
                rules.extend(narrowed);
                if !shields && rules.len() > before {
                    // What it denies reaches the rest of the map without it, too.
                    rules.truncate(before);
                    continue;
                }
            }
            let action = match rule.verb {
                Verb::Permit => permit,
                Verb::Deny => PolicyAction::Bypass,
            };
            rules.push(PolicyRule { selector, marks, action, label: label.clone() });
            if rules.len() > MAX_POLICY_RULES {
                return Err(PolicyError);
            }
        }
    }
    Ok(())
}

fn label(list: &AccessList, sequence: u32) -> String {
    let sequence = sequence.to_string();
    let room = MAX_LABEL.saturating_sub(sequence.len() + 1);
    let name = list.name.as_str();
    format!("{}:{sequence}", name.get(..room).unwrap_or(name))
}

/// The packets that both mean.
fn meet((a, a_marks): (&Selector, Marks), (b, b_marks): (&Selector, Marks)) -> Option<(Selector, Marks)> {
    let marks = a_marks.and(b_marks)?;
    let protocol = match (a.protocol(), b.protocol()) {
        (Protocol::Any, other) | (other, Protocol::Any) => other,
        (one, other) => (one == other).then_some(one)?,
    };
    let selector = Selector::new(
        narrower(a.source(), b.source())?,
        narrower(a.destination(), b.destination())?,
        protocol,
        meet_ports(a.source_port(), b.source_port())?,
        meet_ports(a.destination_port(), b.destination_port())?,
    );
    Some((selector.ok()?, marks))
}

/// Two prefixes are nested or disjoint.
fn narrower(a: Prefix, b: Prefix) -> Option<Prefix> {
    if a.contains(&b) {
        Some(b)
    } else if b.contains(&a) {
        Some(a)
    } else {
        None
    }
}

fn meet_ports(a: PortRange, b: PortRange) -> Option<PortRange> {
    PortRange::new(a.start().max(b.start()), a.end().min(b.end()))
}
