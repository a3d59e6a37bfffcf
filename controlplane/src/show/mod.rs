//! What operators are shown: shared memory and the daemon's facts as documents (for programs) and texts (for people).
//!
//! Each page is a value made of a [`View`]: serde makes it JSON, [`Page::text`] prints it the way IOS would.

pub mod access_lists;
pub mod compiled;
pub mod crypto_map;
pub mod drops;
pub mod ikev2;
pub mod interfaces;
pub mod memory;
pub mod sa;
pub mod session;
pub mod stages;
pub mod stats;

use crate::operator::facts::ConfigFacts;
use crate::operator::sessions::PairFacts;
use serde::Serialize;
use shm::{CountersSnapshot, LinkError, Observer, PolicyImage, PortId, SaStatus};
use std::collections::HashMap;

/// A page that can be shown.
pub trait Page: Serialize {
    /// For people; ends with a line's end.
    fn text(&self) -> String;
}

/// The policy on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyHits {
    /// Number of the port.
    pub port: PortId,
    /// Number of the policy segment.
    pub segment: u32,
    /// The rules in their order.
    pub rules: Vec<RuleHits>,
}

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleHits {
    /// The line of the access list that it comes of.
    pub label: String,
    /// Packets that met it.
    pub hits: u64,
}

/// What a policy was compiled to.
#[derive(Clone, Debug)]
pub struct Images {
    /// Number of the port.
    pub port: PortId,
    /// The base.
    pub base: PolicyImage,
    /// The change that lies over it.
    pub change: Option<PolicyImage>,
}

impl Images {
    fn of(policy: &shm::PolicyView) -> Images {
        Images { port: policy.port(), base: policy.image().clone(), change: policy.change().cloned() }
    }
}

/// Everything that can be seen at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The data plane's counters.
    pub counters: CountersSnapshot,
    /// The live SAs by index.
    pub sas: Vec<SaStatus>,
    /// The policies in use.
    pub policies: Vec<PolicyHits>,
    /// What each of them was compiled to, in the same order.
    pub images: Vec<Images>,
    /// The configuration, where a daemon could be asked.
    pub facts: Option<ConfigFacts>,
    /// What the SAs serve that IKE negotiated, where that was asked.
    pub pairs: Vec<PairFacts>,
}

impl View {
    /// Looks.
    pub fn take(
        observer: &Observer,
        facts: Option<ConfigFacts>,
        pairs: Vec<PairFacts>,
    ) -> Result<View, LinkError> {
        let policies = observer.policies()?;
        Ok(View {
            images: policies.iter().map(Images::of).collect(),
            policies: policies.iter().map(policy).collect::<Option<_>>().ok_or(LinkError::Nonsense)?,
            counters: observer.counters().snapshot(),
            sas: observer.sa_table().live().collect(),
            facts,
            pairs,
        })
    }

    /// Packets that met the rules of each line, on all ports, by the line's label.
    pub fn hits(&self) -> HashMap<&str, u64> {
        let mut hits = HashMap::new();
        for rule in self.policies.iter().flat_map(|policy| &policy.rules) {
            let of_line: &mut u64 = hits.entry(rule.label.as_str()).or_default();
            *of_line = of_line.wrapping_add(rule.hits);
        }
        hits
    }

    fn hostname(&self) -> Option<String> {
        self.facts.as_ref().and_then(|facts| facts.hostname.clone())
    }
}

/// The rules in the order in which they are asked, which is not that of their numbers where the policy is changed.
fn policy(policy: &shm::PolicyView) -> Option<PolicyHits> {
    let order = match policy.change() {
        Some(change) => acl::Overlay::verify(change).ok()?.order(),
        None => (0..policy.image().numbers()).collect(),
    };
    let rule = |number| {
        let (label, hits) = policy.rule(number)?;
        Some(RuleHits { label: label.to_string(), hits })
    };
    Some(PolicyHits {
        port: policy.port(),
        segment: policy.image().segment(),
        rules: order.into_iter().map(rule).collect::<Option<_>>()?,
    })
}

/// A MAC address as programs like it: `02:00:5e:00:00:01`.
fn mac(bytes: shm::MacAddress) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// A MAC address as IOS writes it: `0200.5e00.0001`.
fn dotted(mac: &str) -> String {
    let digits: Vec<char> = mac.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(".")
}

/// `1 packet`, `2 packets`.
pub fn plural(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
