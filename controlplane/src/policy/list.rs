//! A crypto map as one ordered list of rules.

use acl::Rule;
use config::{Config, CryptoMap, EntryKey, Name, PolicyAction, PolicyError};
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
    /// Writes a crypto map out, with the numbers that its entries have in the data plane.
    pub fn new(
        config: &Config,
        map: &CryptoMap,
        entries: &BTreeMap<EntryKey, u32>,
    ) -> Result<List, PolicyError> {
        let rules = config::policy(config, map)?;
        let numbers: BTreeMap<u16, u32> = map
            .entries
            .keys()
            .filter_map(|&sequence| {
                let key = EntryKey { map: map.name.clone(), sequence };
                Some((sequence, *entries.get(&key)?))
            })
            .collect();
        let rule = |rule: &config::PolicyRule| {
            let action = match rule.action {
                PolicyAction::Bypass => acl::Action::Bypass,
                // An entry without a tunnel (its interface has no address) must not let packets out in clear.
                PolicyAction::Protect(sequence) => {
                    numbers.get(&sequence).map_or(acl::Action::Discard, |&entry| acl::Action::Protect(entry))
                }
            };
            Rule { selector: rule.selector, action }
        };
        Ok(List {
            map: map.name.clone(),
            rules: rules.iter().map(rule).collect(),
            labels: rules.iter().map(|rule| Label::lossy(&rule.label)).collect(),
        })
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
