//! The image: little-endian 32-bit words, offsets instead of pointers.
//!
//! ```text
//! header   magic, version, number of rules, of nodes, of list places; roots of IPv4 and IPv6 (a node, or NONE)
//! rules    RULE_WORDS each, in the list's order
//! nodes    NODE_WORDS each, a binary trie over the destination: child for a 0 bit, child for a 1 bit, first list place,
//!          number of list places, the bit's place
//! lists    rule numbers, ascending at each node: the rules whose destination prefix ends there
//! ```
//!
//! Nodes stand only where ways part or prefixes end. The bits between are not looked at on the way: every rule is compared
//! whole with the key. A node's children come after it and look at later bits, so a walk always ends.

use crate::key::Key;
use crate::{Action, KeyV4, KeyV6, Verdict};

pub(crate) const MAGIC: u32 = 0x4C43_4145;
pub(crate) const VERSION: u32 = 2;
pub(crate) const HEADER_WORDS: usize = 7;
pub(crate) const RULE_WORDS: usize = 16;
pub(crate) const NODE_WORDS: usize = 5;
pub(crate) const NONE: u32 = u32::MAX;
/// In a rule's protocol: every protocol.
pub(crate) const ANY_PROTOCOL: u32 = 256;

pub(crate) mod action {
    pub(crate) const BYPASS: u32 = 0;
    pub(crate) const DISCARD: u32 = 1;
    pub(crate) const PROTECT: u32 = 2;
}

/// Why bytes are no image. The fault is theirs who made the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another magic number.
    #[error("the bytes are no compiled access list")]
    Magic,
    /// Another version.
    #[error("the compiled access list is of version {0}, not {VERSION}; run both planes from one build")]
    Version(u32),
    /// The parts do not add up to the whole.
    #[error("the compiled access list is not as long as its header says")]
    Length,
    /// A rule holds a value that it cannot hold.
    #[error("rule {0} of the compiled access list is malformed")]
    Rule(u32),
    /// A node leads backwards or out of the image.
    #[error("node {0} of the compiled access list is malformed")]
    Node(u32),
}

/// A verified image, over whatever holds its bytes.
#[derive(Debug)]
pub struct Classifier<B> {
    bytes: B,
    rules: u32,
    nodes_at: usize,
    lists_at: usize,
    roots: [u32; 2],
}

fn word(bytes: &[u8], place: usize) -> Option<u32> {
    let at = place.checked_mul(4)?;
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

impl<B: AsRef<[u8]>> Classifier<B> {
    /// Checks an image that may be anything, in time linear in its size, and takes it over. The bytes must not change
    /// afterwards; should they, look-ups give wrong verdicts, and still end and stay inside.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(bytes: B) -> Result<Classifier<B>, VerifyError> {
        let image = bytes.as_ref();
        let header = |place| word(image, place).ok_or(VerifyError::Length);
        if header(0)? != MAGIC {
            return Err(VerifyError::Magic);
        }
        if header(1)? != VERSION {
            return Err(VerifyError::Version(header(1)?));
        }
        let (rules, nodes, places) = (header(2)?, header(3)?, header(4)?);
        let roots = [header(5)?, header(6)?];
        // 32-bit counts times small constants: no overflow in 64 bits.
        let nodes_at = HEADER_WORDS + RULE_WORDS * rules as usize;
        let lists_at = nodes_at + NODE_WORDS * nodes as usize;
        if (lists_at + places as usize).checked_mul(4) != Some(image.len()) {
            return Err(VerifyError::Length);
        }
        let classifier = Classifier { rules, nodes_at, lists_at, roots, bytes };
        for rule in 0..rules {
            classifier.read_rule(rule).filter(StoredRule::is_sound).ok_or(VerifyError::Rule(rule))?;
        }
        for root in roots {
            if root != NONE && root >= nodes {
                return Err(VerifyError::Node(root));
            }
        }
        for node in 0..nodes {
            let [left, right, first, count, depth] = classifier.node(node).ok_or(VerifyError::Node(node))?;
            let deeper = |child| classifier.node(child).is_some_and(|child| depth < child[4]);
            let forwards = |child| child == NONE || (node < child && child < nodes && deeper(child));
            let inside = first.checked_add(count).is_some_and(|end| end <= places);
            if !forwards(left) || !forwards(right) || !inside || depth > 128 {
                return Err(VerifyError::Node(node));
            }
        }
        let image = classifier.bytes.as_ref();
        for place in 0..places as usize {
            match word(image, lists_at + place) {
                Some(rule) if rule < rules => {}
                _ => return Err(VerifyError::Length),
            }
        }
        Ok(classifier)
    }

    /// Rules of the list.
    pub const fn rules(&self) -> u32 {
        self.rules
    }

    /// What holds the bytes.
    pub const fn image(&self) -> &B {
        &self.bytes
    }

    /// A verdict for each IPv4 key, as far as both slices go.
    pub fn lookup_v4(&self, keys: &[KeyV4], verdicts: &mut [Verdict]) {
        for (key, verdict) in keys.iter().zip(verdicts) {
            *verdict = self.find(self.roots[0], &Key::from(key));
        }
    }

    /// A verdict for each IPv6 key, as far as both slices go.
    pub fn lookup_v6(&self, keys: &[KeyV6], verdicts: &mut [Verdict]) {
        for (key, verdict) in keys.iter().zip(verdicts) {
            *verdict = self.find(self.roots[1], &Key::from(key));
        }
    }

    /// Walks down the destination; of all rules on the way that match, the first in the list wins.
    fn find(&self, root: u32, key: &Key) -> Verdict {
        let mut best = self.rules;
        let mut found = None;
        let mut at = root;
        // The key's bits bound the walk, whatever the image has become.
        for _ in 0..=128 {
            let Some([left, right, first, count, depth]) = self.node(at) else { break };
            for place in first..first.saturating_add(count) {
                let Some(rule) = word(self.bytes.as_ref(), self.lists_at + place as usize) else { break };
                if rule >= best {
                    break;
                }
                if let Some(stored) = self.read_rule(rule).filter(|stored| stored.matches(key)) {
                    (best, found) = (rule, stored.action());
                    break;
                }
            }
            let bit = key.destination.checked_shl(depth).unwrap_or(0) >> 127;
            at = if bit == 0 { left } else { right };
        }
        found.map_or(Verdict::NONE, |action| Verdict::new(best, action))
    }

    fn node(&self, node: u32) -> Option<[u32; NODE_WORDS]> {
        let end = self.lists_at;
        let at = self.nodes_at + NODE_WORDS * node as usize;
        let bytes = self.bytes.as_ref();
        if at + NODE_WORDS > end {
            return None;
        }
        let bytes = bytes.get(at * 4..)?.first_chunk::<{ NODE_WORDS * 4 }>()?;
        let (words, _) = bytes.as_chunks::<4>();
        Some(std::array::from_fn(|place| u32::from_le_bytes(words[place])))
    }

    fn read_rule(&self, rule: u32) -> Option<StoredRule> {
        let at = HEADER_WORDS + RULE_WORDS * rule as usize;
        let bytes = self.bytes.as_ref().get(at * 4..)?.first_chunk::<{ RULE_WORDS * 4 }>()?;
        let (words, _) = bytes.as_chunks::<4>();
        let w = |place: usize| u32::from_le_bytes(words[place]);
        let wide =
            |place: usize| (0..4).fold(0_u128, |value, more| value << 32 | u128::from(w(place + more)));
        Some(StoredRule {
            source: wide(0),
            destination: wide(4),
            source_len: w(8),
            destination_len: w(9),
            protocol: w(10),
            source_ports: w(11),
            destination_ports: w(12),
            action: w(13),
            entry: w(14),
            reserved: w(15),
        })
    }
}

/// A rule as it stands in the image. Ports: the first in the low half, the last in the high half.
pub(crate) struct StoredRule {
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) source_len: u32,
    pub(crate) destination_len: u32,
    pub(crate) protocol: u32,
    pub(crate) source_ports: u32,
    pub(crate) destination_ports: u32,
    pub(crate) action: u32,
    pub(crate) entry: u32,
    pub(crate) reserved: u32,
}

/// Every port, and also no port.
pub(crate) const ANY_PORT: u32 = 0xFFFF_0000;

impl StoredRule {
    pub(crate) fn words(&self) -> [u32; RULE_WORDS] {
        let wide = |value: u128, place: u32| (value >> (96 - 32 * place)) as u32;
        [
            wide(self.source, 0),
            wide(self.source, 1),
            wide(self.source, 2),
            wide(self.source, 3),
            wide(self.destination, 0),
            wide(self.destination, 1),
            wide(self.destination, 2),
            wide(self.destination, 3),
            self.source_len,
            self.destination_len,
            self.protocol,
            self.source_ports,
            self.destination_ports,
            self.action,
            self.entry,
            self.reserved,
        ]
    }

    fn is_sound(&self) -> bool {
        let ordered = |ports: u32| ports & 0xFFFF <= ports >> 16;
        self.source_len <= 128
            && self.destination_len <= 128
            && self.protocol <= ANY_PROTOCOL
            && ordered(self.source_ports)
            && ordered(self.destination_ports)
            && self.action().is_some()
            && self.reserved == 0
    }

    fn action(&self) -> Option<Action> {
        match self.action {
            action::BYPASS => Some(Action::Bypass),
            action::DISCARD => Some(Action::Discard),
            action::PROTECT => Some(Action::Protect(self.entry)),
            _ => None,
        }
    }

    fn matches(&self, key: &Key) -> bool {
        let under = |address: u128, prefix: u128, len: u32| {
            len == 0 || (address ^ prefix).checked_shr(128_u32.saturating_sub(len)).unwrap_or(0) == 0
        };
        let within = |range: u32, port: u16| (range & 0xFFFF..=range >> 16).contains(&u32::from(port));
        (self.protocol == ANY_PROTOCOL || self.protocol == u32::from(key.protocol))
            && under(key.source, self.source, self.source_len)
            && under(key.destination, self.destination, self.destination_len)
            && match key.ports {
                Some((source, destination)) => {
                    within(self.source_ports, source) && within(self.destination_ports, destination)
                }
                None => self.source_ports == ANY_PORT && self.destination_ports == ANY_PORT,
            }
    }
}
