//! From rules to an image.

use crate::image::{
    ANY_PROTOCOL, HEADER_WORDS, MAGIC, NODE_WORDS, NONE, RULE_WORDS, StoredRule, VERSION, action,
};
use crate::{Action, Rule};
use model::{PortRange, Prefix, Protocol};

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

#[derive(Clone, Default)]
struct Node {
    children: [Option<u32>; 2],
    rules: Vec<u32>,
}

/// Compiles rules in their order.
///
/// # Errors
/// [`CompileError`], before more memory is taken than the limits allow (a small multiple of them).
pub fn compile(rules: &[Rule], limits: Limits) -> Result<Image, CompileError> {
    if rules.len() > limits.rules || rules.len() >= NONE as usize {
        return Err(CompileError::TooManyRules {
            rules: rules.len(),
            limit: limits.rules.min(NONE as usize),
        });
    }
    let too_large = CompileError::TooLarge { limit: limits.bytes };
    let mut nodes = Vec::<Node>::new();
    let mut roots = [None; 2];
    for (number, rule) in rules.iter().enumerate() {
        let (bits, len) = prefix(rule.selector.destination());
        let root = &mut roots[usize::from(!rule.selector.is_ipv4())];
        let mut at = *root.get_or_insert_with(|| push(&mut nodes));
        for depth in 0..len {
            let bit = (bits << depth >> 127) as usize;
            at = match nodes[at as usize].children[bit] {
                Some(child) => child,
                None => {
                    let child = push(&mut nodes);
                    nodes[at as usize].children[bit] = Some(child);
                    child
                }
            };
        }
        nodes[at as usize].rules.push(number as u32);
        // Rules and list places are as many as there are rules; nodes are what can explode.
        let words = HEADER_WORDS + (RULE_WORDS + 1) * rules.len() + NODE_WORDS * nodes.len();
        if words * 4 > limits.bytes || nodes.len() >= NONE as usize {
            return Err(too_large);
        }
    }
    let mut words = vec![MAGIC, VERSION, rules.len() as u32, nodes.len() as u32, rules.len() as u32];
    words.extend(roots.map(|root| root.unwrap_or(NONE)));
    for rule in rules {
        words.extend(stored(rule).words());
    }
    let mut first = 0;
    for node in &nodes {
        let [left, right] = node.children.map(|child| child.unwrap_or(NONE));
        words.extend([left, right, first, node.rules.len() as u32]);
        first += node.rules.len() as u32;
    }
    for node in &nodes {
        words.extend(&node.rules);
    }
    Ok(Image(words.into_iter().flat_map(u32::to_le_bytes).collect()))
}

/// A new node; made after its parent, so it comes after it.
fn push(nodes: &mut Vec<Node>) -> u32 {
    nodes.push(Node::default());
    nodes.len() as u32 - 1
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
