//! Rules as ternary patterns over the words of a key.

use crate::Rule;
use crate::block::Lane;
use crate::key::{both, marks, wide};
use crate::layout::{PORTS_SEEN, V4, V6, pick};
use model::{PortRange, Prefix, Protocol};

/// Of the last word of a key: the protocol.
const PROTOCOL: u32 = 0xFF;
/// And what [`marks`] makes.
const MARKS: u32 = marks(u16::MAX);

/// A rule over keys of `N` words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern<const N: usize> {
    /// Which of two rules is first.
    pub(crate) rank: u32,
    /// What the key's words must be, where `mask` has ones. For ports: what all ports of the ranges begin with.
    pub(crate) value: [u32; N],
    pub(crate) mask: [u32; N],
    /// The first ports of both ranges.
    pub(crate) first: u32,
    /// How many ports follow the first ones.
    pub(crate) extent: u32,
}

impl<const N: usize> Pattern<N> {
    fn new(rank: u32, rule: &Rule, addresses: impl Iterator<Item = (u32, u32)>) -> Pattern<N> {
        let selector = &rule.selector;
        let mut pattern = Pattern { rank, value: [0; N], mask: [0; N], first: 0, extent: 0 };
        for (word, (value, mask)) in addresses.take(N - 2).enumerate() {
            (pattern.value[word], pattern.mask[word]) = (value, mask);
        }
        let (source, destination) = (selector.source_port(), selector.destination_port());
        pattern.first = both(source.start(), destination.start());
        let extent = |range: PortRange| range.end() - range.start();
        pattern.extent = both(extent(source), extent(destination));
        pattern.mask[N - 2] = both(fixed(source), fixed(destination));
        pattern.value[N - 2] = pattern.first & pattern.mask[N - 2];
        if let Protocol::Number(number) = selector.protocol() {
            (pattern.value[N - 1], pattern.mask[N - 1]) = (u32::from(number), PROTOCOL);
        }
        pattern.value[N - 1] |= marks(rule.marks.value());
        pattern.mask[N - 1] |= marks(rule.marks.mask());
        if !(source.is_any() && destination.is_any()) {
            pattern.value[N - 1] |= PORTS_SEEN;
            pattern.mask[N - 1] |= PORTS_SEEN;
        }
        pattern
    }

    /// Of some bits of a word, every value that keys have which match: every subset of the bits that it does not ask for.
    pub(crate) fn values(&self, word: usize, mask: u32) -> impl Iterator<Item = u32> + use<N> {
        let fixed = pick(self.value[word] & self.mask[word], mask);
        let free = pick(!self.mask[word], mask);
        let mut next = Some(0_u32);
        std::iter::from_fn(move || {
            let subset = next?;
            next = Some(subset.wrapping_sub(free) & free).filter(|subset| *subset != 0);
            Some(fixed | subset)
        })
    }

    /// As it lies in a block.
    pub(crate) fn lane(&self) -> Lane<N> {
        Lane {
            words: std::array::from_fn(|word| (self.value[word], self.mask[word].count_zeros() as u8)),
            first: self.first,
            extent: self.extent,
            rank: self.rank,
            protocol: self.value[N - 1] as u8,
            mask: self.mask[N - 1] as u8,
            marks: (self.value[N - 1] & MARKS, self.mask[N - 1] & MARKS),
        }
    }

    /// Whether it asks for TCP flags or a traffic class.
    pub(crate) fn is_marked(&self) -> bool {
        self.mask[N - 1] & MARKS != 0
    }

    /// A key that matches; which one is drawn from `state`.
    pub(crate) fn some_key(&self, state: &mut u64) -> [u32; N] {
        // splitmix64, which is as good as any here.
        let mut random = || {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ mixed >> 31) as u32
        };
        let mut key = std::array::from_fn(|word| self.value[word] | random() & !self.mask[word]);
        let mut port = |shift: u32| {
            let (first, extent) = (self.first >> shift & 0xFFFF, self.extent >> shift & 0xFFFF);
            (first + random() % (extent + 1)) << shift
        };
        key[N - 2] = port(0) | port(16);
        key[N - 1] = key[N - 1] & (PROTOCOL | MARKS) | PORTS_SEEN;
        key
    }

    /// Whether a key matches.
    pub(crate) fn matches(&self, key: &[u32; N]) -> bool {
        let within = |shift: u32| {
            let port = |word: u32| (word >> shift) as u16;
            port(key[N - 2]).wrapping_sub(port(self.first)) <= port(self.extent)
        };
        (0..N).all(|word| (key[word] ^ self.value[word]) & self.mask[word] == 0) && within(0) && within(16)
    }
}

/// The bits that all ports of a range have in common, from the first on.
const fn fixed(range: PortRange) -> u16 {
    let same = (range.start() ^ range.end()).leading_zeros();
    !(u16::MAX as u32 >> same) as u16
}

/// Words of a family's keys, of which a rule may be.
pub(crate) trait Family: Sized {
    /// `None` if the rule is of the other family.
    fn pattern(rank: u32, rule: &Rule) -> Option<Self>;
}

impl Family for Pattern<V4> {
    fn pattern(rank: u32, rule: &Rule) -> Option<Pattern<V4>> {
        let words = [rule.selector.source(), rule.selector.destination()].into_iter().map(|prefix| {
            let (bits, mask) = left_aligned(prefix);
            ((bits >> 96) as u32, (mask >> 96) as u32)
        });
        rule.selector.is_ipv4().then(|| Pattern::new(rank, rule, words))
    }
}

impl Family for Pattern<V6> {
    fn pattern(rank: u32, rule: &Rule) -> Option<Pattern<V6>> {
        let words = [rule.selector.source(), rule.selector.destination()].into_iter().flat_map(|prefix| {
            let (bits, mask) = left_aligned(prefix);
            wide(bits).into_iter().zip(wide(mask))
        });
        (!rule.selector.is_ipv4()).then(|| Pattern::new(rank, rule, words))
    }
}

/// The rules of a family.
pub(crate) fn of_rules<const N: usize>(rules: &[Rule], rank: impl Fn(u32) -> u32) -> Vec<Pattern<N>>
where
    Pattern<N>: Family,
{
    (0..).zip(rules).filter_map(|(place, rule)| Pattern::pattern(rank(place), rule)).collect()
}

/// A prefix's bits and mask in the first bits of 128.
fn left_aligned(prefix: Prefix) -> (u128, u128) {
    let (bits, len) = match prefix {
        Prefix::V4(prefix) => (u128::from(prefix.network().to_bits()) << 96, u32::from(prefix.prefix_len())),
        Prefix::V6(prefix) => (prefix.network().to_bits(), u32::from(prefix.prefix_len())),
    };
    (bits, !u128::MAX.checked_shr(len).unwrap_or(0))
}
