//! What else of ours there is to measure: a list that was changed, and one of IPv6.

use acl::{CompileError, Delta, Image, KeyV4, KeyV6, Limits, Rule, Verdict, compile};
use fastrand::Rng;
use model::{Prefix, Selector};
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Lines that are written anew.
pub const CHANGES: [usize; 3] = [1, 100, 1000];
/// Lists of fewer rules are compiled as a whole whenever they change.
const LONG: usize = 1000;

/// A base with some lines written anew: they match what they did, and do something else, or the same.
pub struct Changed {
    /// How many lines.
    pub lines: usize,
    /// The compiled change.
    pub image: Image,
    /// Milliseconds that compiling it took.
    pub build_ms: f64,
    /// The number of each rule of the list as it is now.
    pub numbers: Vec<u32>,
}

impl Changed {
    /// Those that a set has.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn all(rules: &[Rule], image: &Image, seed: u64) -> Result<Vec<Changed>, CompileError> {
        let unchanged = Delta::new(rules.into(), Arc::new(image.clone()));
        let some = CHANGES.into_iter().filter(|lines| rules.len() >= LONG.max(*lines));
        some.map(|lines| Changed::new(rules, unchanged.clone(), lines, seed)).collect()
    }

    fn new(rules: &[Rule], mut delta: Delta, lines: usize, seed: u64) -> Result<Changed, CompileError> {
        let mut random = Rng::with_seed(seed);
        let mut numbers: Vec<u32> = (0..rules.len() as u32).collect();
        for place in random.choose_multiple(0..rules.len(), lines) {
            let (before, rule) = (place as u32, rules.get(place));
            let added = rule.and_then(|rule| delta.insert(Some(before), *rule).ok());
            let removed = delta.remove(before);
            if let (Some(number), Some(added), Ok(())) = (numbers.get_mut(place), added, removed) {
                *number = added;
            }
        }
        let begun = std::time::Instant::now();
        let image = delta.compile(Limits::default())?;
        Ok(Changed { lines, image, build_ms: begun.elapsed().as_secs_f64() * 1e3, numbers })
    }

    /// A verdict as the base would give it, if its rules had these numbers.
    pub fn renumbered(&self, verdict: Verdict) -> (Option<u32>, Option<acl::Action>) {
        (verdict.rule().and_then(|rule| self.numbers.get(rule as usize).copied()), verdict.action())
    }
}

/// The same rules and keys, of IPv6: addresses are 32 bits longer in front, and a host has 64 bits of its own.
pub struct Wide {
    /// The compiled rules.
    pub image: Image,
    /// Milliseconds that it took.
    pub build_ms: f64,
}

impl Wide {
    /// Of rules of IPv4.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn new(rules: &[Rule]) -> Result<Wide, CompileError> {
        let rules: Vec<Rule> = rules.iter().filter_map(widen).collect();
        let begun = std::time::Instant::now();
        let image = compile(&rules, Limits::default())?;
        Ok(Wide { image, build_ms: begun.elapsed().as_secs_f64() * 1e3 })
    }
}

fn widen(rule: &Rule) -> Option<Rule> {
    let selector = &rule.selector;
    let prefix = |prefix: Prefix| {
        let Prefix::V4(prefix) = prefix else { return None };
        let len = match prefix.prefix_len() {
            0 => 0,
            32 => 128,
            len => 32 + len,
        };
        Prefix::new(Ipv6Addr::from_bits(address(prefix.network().to_bits())).into(), len).ok()
    };
    let (source, destination) = (prefix(selector.source())?, prefix(selector.destination())?);
    let (from, to) = (selector.source_port(), selector.destination_port());
    let selector = Selector::new(source, destination, selector.protocol(), from, to).ok()?;
    Some(Rule::new(selector, rule.action))
}

/// In a network for documentation (RFC 3849), with an interface identifier that is any, but always the same.
fn address(bits: u32) -> u128 {
    let identifier = u64::from(bits).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    0x2001_0DB8_u128 << 96 | u128::from(bits) << 64 | u128::from(identifier)
}

/// A key for the rules that [`Wide::new`] makes.
pub fn wide_key(key: &KeyV4) -> KeyV6 {
    let KeyV4 {
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        has_ports,
        tcp_flags,
        traffic_class,
    } = *key;
    let (source, destination) = (address(source), address(destination));
    KeyV6 {
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        has_ports,
        tcp_flags,
        traffic_class,
    }
}
