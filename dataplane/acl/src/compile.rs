//! From rules to an image.

use crate::image::{
    ANY_PROTOCOL, HEADER_WORDS, MAGIC, NODE_WORDS, NONE, RULE_WORDS, StoredRule, VERSION, action,
};
use crate::{Action, Rule};
use model::{PortRange, Prefix, Protocol};
use std::collections::BTreeMap;

/// What an image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rules at most.
    pub rules: usize,
    /// Bytes of the image at most.
    pub bytes: usize,
}

impl Default for Limits {
    /// A million rules, 1 GiB.
    fn default() -> Limits {
        Limits { rules: 1 << 20, bytes: 1 << 30 }
    }
}

/// Why rules were not compiled. The fault is the operator's, who asks for too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// More rules than allowed.
    #[error(
        "{rules} rules are more than the {limit} that one policy may have; merge prefixes or split the policy"
    )]
    TooManyRules {
        /// What there are.
        rules: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A larger image than allowed.
    #[error("the compiled rules take more than {limit} bytes; merge prefixes or split the policy")]
    TooLarge {
        /// What is allowed.
        limit: usize,
    },
}

/// Compiled rules, ready to be handed to the data plane. The same rules give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Vec<u8>);

impl Image {
    /// The bytes, for [`Classifier::verify`](crate::Classifier::verify).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Image {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The rules of one destination prefix, by their numbers.
struct Group {
    bits: u128,
    len: u32,
    rules: Vec<u32>,
}

struct Node {
    /// Bits that lead here.
    depth: u32,
    children: [u32; 2],
    /// The first place in the lists, and the number of places.
    rules: [u32; 2],
}

/// Nodes and lists as they will stand in the image.
#[derive(Default)]
struct Trie {
    nodes: Vec<Node>,
    lists: Vec<u32>,
}

impl Trie {
    /// Adds a trie over groups that are sorted by bits and then length, all different. Returns its root.
    ///
    /// A node stands where the ways part or a prefix ends, and nowhere else, so there are fewer than two for each group.
    fn add(&mut self, groups: &[Group]) -> u32 {
        let [first, below @ ..] = groups else { return NONE };
        let common = groups.last().map_or(128, |last| (first.bits ^ last.bits).leading_zeros());
        // A prefix of them all is the first of them, as sorting has it.
        let (depth, rules, rest) = match common >= first.len {
            true => (first.len, first.rules.as_slice(), below),
            false => (common, [].as_slice(), groups),
        };
        let node = self.nodes.len();
        let list = [self.lists.len() as u32, rules.len() as u32];
        self.lists.extend(rules);
        self.nodes.push(Node { depth, children: [NONE; 2], rules: list });
        let zeros = rest.partition_point(|group| group.bits << depth >> 127 == 0);
        let (left, right) = rest.split_at(zeros);
        let children = [self.add(left), self.add(right)];
        self.nodes[node].children = children;
        node as u32
    }
}

/// Compiles rules in their order.
///
/// # Errors
/// [`CompileError`], before more memory is taken than the limits allow (a small multiple of them).
pub fn compile(rules: &[Rule], limits: Limits) -> Result<Image, CompileError> {
    if rules.len() > limits.rules || rules.len() >= NONE as usize / 2 {
        return Err(CompileError::TooManyRules {
            rules: rules.len(),
            limit: limits.rules.min(NONE as usize / 2),
        });
    }
    // Each rule has a place in a list, and at most two nodes.
    let words = HEADER_WORDS + (RULE_WORDS + 1 + 2 * NODE_WORDS) * rules.len();
    if words * 4 > limits.bytes {
        return Err(CompileError::TooLarge { limit: limits.bytes });
    }
    let mut trie = Trie::default();
    let roots = [true, false].map(|ipv4| {
        let mut groups = BTreeMap::<(u128, u32), Vec<u32>>::new();
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.selector.is_ipv4() == ipv4) {
            groups.entry(prefix(rule.selector.destination())).or_default().push(number as u32);
        }
        let groups: Vec<Group> =
            groups.into_iter().map(|((bits, len), rules)| Group { bits, len, rules }).collect();
        trie.add(&groups)
    });
    let mut words =
        vec![MAGIC, VERSION, rules.len() as u32, trie.nodes.len() as u32, trie.lists.len() as u32];
    words.extend(roots);
    for rule in rules {
        words.extend(stored(rule).words());
    }
    for Node { depth, children: [left, right], rules: [first, count] } in trie.nodes {
        words.extend([left, right, first, count, depth]);
    }
    words.extend(trie.lists);
    Ok(Image(words.into_iter().flat_map(u32::to_le_bytes).collect()))
}

/// Left-aligned bits, and their number.
fn prefix(prefix: Prefix) -> (u128, u32) {
    match prefix {
        Prefix::V4(prefix) => (u128::from(prefix.network().to_bits()) << 96, u32::from(prefix.prefix_len())),
        Prefix::V6(prefix) => (prefix.network().to_bits(), u32::from(prefix.prefix_len())),
    }
}

fn stored(rule: &Rule) -> StoredRule {
    let (source, source_len) = prefix(rule.selector.source());
    let (destination, destination_len) = prefix(rule.selector.destination());
    let ports = |range: PortRange| u32::from(range.start()) | u32::from(range.end()) << 16;
    let (action, entry) = match rule.action {
        Action::Bypass => (action::BYPASS, 0),
        Action::Discard => (action::DISCARD, 0),
        Action::Protect(entry) => (action::PROTECT, entry),
    };
    StoredRule {
        source,
        destination,
        source_len,
        destination_len,
        protocol: match rule.selector.protocol() {
            Protocol::Any => ANY_PROTOCOL,
            Protocol::Number(number) => u32::from(number),
        },
        source_ports: ports(rule.selector.source_port()),
        destination_ports: ports(rule.selector.destination_port()),
        action,
        entry,
        reserved: 0,
    }
}
