//! A crypto map as one ordered list of rules.

use acl::Rule;
use config::{Config, CryptoMap, EntryKey, Name, PolicyAction, PolicyError, PolicyRule};
use shm::Label;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rules, of which the first that matches decides, and where each comes from. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The crypto map.
    pub map: Name,
    /// In their order.
    pub rules: Arc<[Rule]>,
    /// One for each rule.
    pub labels: Vec<Label>,
}

impl List {
    /// Writes a crypto map out, with the numbers that its entries have in the data plane, and the rules of the peers of its
    /// dynamic entries.
    pub fn new(
        config: &Config,
        map: &CryptoMap,
        entries: &BTreeMap<EntryKey, u32>,
        peers: BTreeMap<u16, Vec<PolicyRule>>,
    ) -> Result<List, PolicyError> {
        let rules = config::policy_with(config, map, peers)?;
        let numbers: BTreeMap<u16, u32> = map
            .entries
            .keys()
            .filter_map(|&sequence| {
                let key = EntryKey { map: map.name.clone(), sequence };
                Some((sequence, *entries.get(&key)?))
            })
            .collect();
        let rule = |rule: &PolicyRule| {
            let action = match rule.action {
                PolicyAction::Bypass => acl::Action::Bypass,
                PolicyAction::Discard => acl::Action::Discard,
                PolicyAction::ProtectFor(number) => acl::Action::Protect(number),
                // An entry without a tunnel (its interface has no address, or its peers are yet to come) must not let packets out in clear.
                PolicyAction::Protect(sequence) => {
                    numbers.get(&sequence).map_or(acl::Action::Discard, |&entry| acl::Action::Protect(entry))
                }
            };
            Rule { selector: rule.selector, marks: rule.marks, action }
        };
        Ok(List { map: map.name.clone(), rules: rules.iter().map(rule).collect(), labels: labels(&rules) })
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Nothing matches.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// One for each rule. Rules in a row often bear the same: those of a hundred thousand peers of one entry.
fn labels(rules: &[PolicyRule]) -> Vec<Label> {
    let mut last: (&str, Label) = ("", Label::EMPTY);
    let label = |rule| {
        let PolicyRule { label, .. }: &PolicyRule = rule;
        if **label != *last.0 {
            last = (label, Label::lossy(label));
        }
        last.1
    };
    rules.iter().map(label).collect()
}
