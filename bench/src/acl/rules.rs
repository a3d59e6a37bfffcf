//! Rule sets of a shape, from ten to a million rules. The same seed gives the same rules; no two ask for the same.

use super::shape::{PortClass, Shape, Weighted};
use acl::{Action, Rule};
use fastrand::Rng;
use model::{PortRange, Prefix, Protocol, Selector};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// Draws after which a rule that exists already is looked for where there is more room.
const PATIENCE: usize = 8;

/// Addresses are never taken from here on, but by a rule that is open: 240.0.0.0/4 is nobody's (RFC 1112, section 4).
pub const RESERVED: u32 = 0xF000_0000;

/// So many rules of a shape, of IPv4, in the order of a list that people keep: narrow rules tend to come first, but not
/// always, so that some are shadowed.
///
/// No rule matches everything.
pub fn generate(shape: Shape, count: usize, seed: u64) -> Vec<Rule> {
    let mut random = Rng::with_seed(seed ^ (shape as u64) << 56);
    let mut sites = [Site::new(&mut random), Site::new(&mut random)];
    let services = Services::new(&mut random);
    let mut seen = HashSet::with_capacity(count);
    let mut rules: Vec<(u32, Rule)> = Vec::with_capacity(count);
    let mut failures = 0;
    while rules.len() < count {
        let drawn = draw(shape, &mut sites, &services, failures > PATIENCE, &mut random);
        let Some(selector) = drawn.filter(|&selector| seen.insert(selector)) else {
            failures += 1;
            continue;
        };
        failures = 0;
        let width = 64 - u32::from(selector.source().prefix_len() + selector.destination().prefix_len());
        let action = match random.u8(..10) {
            0..7 => Action::Protect(rules.len() as u32),
            7..9 => Action::Bypass,
            _ => Action::Discard,
        };
        rules.push((width + random.u32(..16), Rule::new(selector, action)));
    }
    rules.sort_by_key(|&(place, _)| place);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

/// A rule's selector; between hosts of any network at all if there must be `room`. `None` if it would match everything.
fn draw(
    shape: Shape,
    [sources, destinations]: &mut [Site; 2],
    services: &Services,
    room: bool,
    random: &mut Rng,
) -> Option<Selector> {
    let profile = shape.profile();
    let protocol = *pick(profile.protocols, random)?;
    let (source, destination) = pick(profile.lengths, random)?;
    let (source, destination) = (random.u8(source.clone()), random.u8(destination.clone()));
    if (source, destination, protocol) == (0, 0, None) {
        return None;
    }
    let (source, destination) = match room {
        true => (prefix(anywhere(random), 32)?, prefix(anywhere(random), 32)?),
        false => (sources.prefix(source, random)?, destinations.prefix(destination, random)?),
    };
    let protocol = protocol.map_or(Protocol::Any, Protocol::Number);
    let mut ports = |classes| match protocol.has_ports() {
        true => pick(classes, random).map(|&class| services.range(class, random)),
        false => Some(PortRange::ANY),
    };
    let (source_port, destination_port) = (ports(profile.source_ports)?, ports(profile.destination_ports)?);
    Selector::new(source, destination, protocol, source_port, destination_port).ok()
}

/// One of them, as often as its weight says.
fn pick<'a, T>(all: &'a [Weighted<T>], random: &mut Rng) -> Option<&'a T> {
    let mut left = random.u32(..all.iter().map(|(weight, _)| weight).sum::<u32>());
    all.iter()
        .find(|&&(weight, _)| {
            let found = left < weight;
            left = left.wrapping_sub(weight);
            found
        })
        .map(|(_, each)| each)
}

/// Any address that may be taken.
fn anywhere(random: &mut Rng) -> u32 {
    random.u32(..RESERVED)
}

fn prefix(address: u32, len: u8) -> Option<Prefix> {
    Prefix::new(IpAddr::V4(Ipv4Addr::from_bits(address)), len).ok()
}

/// Where a side's addresses lie. Networks are found by a walk from the first bit to the last, that at each fork takes the
/// busier way more often than the other: much more often near the root, as few blocks are in use, and hardly near the
/// hosts. So prefixes share their beginnings, and shorter ones hold longer ones, as deep as real ones do.
struct Site {
    salt: u64,
    /// Networks that rules ask for already, by the length of their prefix.
    known: Vec<Vec<u32>>,
}

/// How often of 256 a rule asks for a prefix that another rule asks for, too.
const SHARED: u8 = 160;

/// How often of 256 the busier way is taken, by the byte of the address.
const BUSY: [u8; 4] = [230, 216, 180, 150];

impl Site {
    fn new(random: &mut Rng) -> Site {
        Site { salt: random.u64(..), known: vec![Vec::new(); 33] }
    }

    /// A prefix of that length.
    fn prefix(&mut self, len: u8, random: &mut Rng) -> Option<Prefix> {
        let shared = random.u8(..) < SHARED;
        let known = self.known.get(usize::from(len)).and_then(|known| random.choice(known)).copied();
        let address = known.filter(|_| shared).unwrap_or_else(|| self.walk(len, random));
        if !shared && let Some(known) = self.known.get_mut(usize::from(len)) {
            known.push(address);
        }
        prefix(address, len)
    }

    fn walk(&self, len: u8, random: &mut Rng) -> u32 {
        let mut address = 0;
        for depth in 0..u32::from(len) {
            let busy = BUSY.get(depth as usize / 8).copied().unwrap_or_default();
            let way = self.busier(address, depth) ^ u32::from(random.u8(..) >= busy);
            address |= way << (31 - depth);
            // The last sixteenth is reserved: the fourth fork there has one way.
            if depth == 3 && address >= RESERVED {
                address &= !(1 << 28);
            }
        }
        address
    }

    /// The busier way at a fork, always the same one.
    fn busier(&self, address: u32, depth: u32) -> u32 {
        let mixed =
            (self.salt ^ u64::from(address) ^ u64::from(depth) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63) as u32
    }
}

/// Ports that rules ask for: a few services again and again, others rarely.
struct Services {
    exact: Vec<u16>,
    ranges: Vec<PortRange>,
}

impl Services {
    fn new(random: &mut Rng) -> Services {
        let mut exact = vec![80, 443, 53, 25, 22, 123, 161, 110, 143, 21, 389, 1521, 3306, 5060, 8080, 3389];
        exact.extend((0..48).map(|_| random.u16(1..)));
        let ranges = (0..32).map(|_| some_range(random)).collect();
        Services { exact, ranges }
    }

    fn range(&self, class: PortClass, random: &mut Rng) -> PortRange {
        let between = |start, end| PortRange::new(start, end).unwrap_or(PortRange::ANY);
        // The first are asked for most: the square of an even draw crowds at zero.
        let place = |count: usize, random: &mut Rng| (random.f64().powi(2) * count as f64) as usize;
        let common = random.u8(..10) < 8;
        match class {
            PortClass::Any => PortRange::ANY,
            PortClass::WellKnown => between(0, 1023),
            PortClass::Ephemeral => between(1024, u16::MAX),
            PortClass::Range => {
                let known = self.ranges.get(place(self.ranges.len(), random)).copied();
                known.filter(|_| common).unwrap_or_else(|| some_range(random))
            }
            PortClass::Exact => {
                let known = self.exact.get(place(self.exact.len(), random)).copied();
                PortRange::single(known.filter(|_| common).unwrap_or_else(|| random.u16(..)))
            }
        }
    }
}

/// A range that is none of the classes: from two ports to some thousands, now and then up to the last port.
fn some_range(random: &mut Rng) -> PortRange {
    let start = random.u16(1..60_000);
    let more = 1_u16 << random.u32(0..13);
    let end = if random.u8(..16) == 0 { u16::MAX } else { start.saturating_add(random.u16(1..=more)) };
    match (start, end) {
        (1024, u16::MAX) => PortRange::single(start),
        _ => PortRange::new(start, end).unwrap_or(PortRange::ANY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What part of the rules has the property.
    fn part(rules: &[Rule], has: impl Fn(&Selector) -> bool) -> f64 {
        rules.iter().filter(|rule| has(&rule.selector)).count() as f64 / rules.len() as f64
    }

    fn open(prefix: Prefix) -> bool {
        prefix.prefix_len() == 0
    }

    #[test]
    fn the_same_seed_gives_the_same_rules_and_another_gives_others() {
        for shape in Shape::ALL {
            assert_eq!(generate(shape, 1000, 1), generate(shape, 1000, 1));
            assert_ne!(generate(shape, 1000, 1), generate(shape, 1000, 2));
        }
        assert_ne!(generate(Shape::Fw, 100, 1), generate(Shape::Ipc, 100, 1));
    }

    #[test]
    fn there_are_as_many_as_asked_for_and_all_are_different() {
        for shape in Shape::ALL {
            for count in [0, 1, 10, 100, 1000, 30_000] {
                let rules = generate(shape, count, 1);
                let different: HashSet<Selector> = rules.iter().map(|rule| rule.selector).collect();
                assert_eq!((rules.len(), different.len()), (count, count), "{shape}");
            }
        }
    }

    #[test]
    fn nothing_matches_everything_and_none_but_open_sides_reach_what_is_reserved() {
        for rule in Shape::ALL.into_iter().flat_map(|shape| generate(shape, 10_000, 3)) {
            let selector = rule.selector;
            assert!(
                !open(selector.source())
                    || !open(selector.destination())
                    || selector.protocol() != Protocol::Any
            );
            for side in [selector.source(), selector.destination()] {
                let Prefix::V4(network) = side else { panic!("{side} is not IPv4") };
                assert!(open(side) || network.broadcast().to_bits() < RESERVED, "{side}");
            }
        }
    }

    #[test]
    fn each_shape_is_what_it_is_called() {
        let [acl, fw, ipc] = Shape::ALL.map(|shape| generate(shape, 20_000, 1));
        let one_open = |selector: &Selector| open(selector.source()) || open(selector.destination());
        let hosts = |selector: &Selector| selector.destination().prefix_len() == 32;
        assert!(part(&acl, one_open) < 0.2);
        assert!(part(&fw, one_open) > 0.6);
        assert!((0.1..0.25).contains(&part(&ipc, one_open)));
        assert!(part(&acl, hosts) > 0.5);

        let any_source = |selector: &Selector| selector.source_port().is_any();
        assert!(part(&acl, any_source) > 0.97);
        assert!((0.7..0.9).contains(&part(&fw, any_source)));
        assert!((0.5..0.8).contains(&part(&ipc, any_source)));
        let exact =
            |selector: &Selector| selector.destination_port().start() == selector.destination_port().end();
        assert!((0.4..0.6).contains(&part(&acl, exact)));
        let range = |selector: &Selector| {
            let ports = selector.destination_port();
            !exact(selector) && !ports.is_any() && ports.start() > 0 && ports.end() < u16::MAX
        };
        for rules in [&acl, &fw, &ipc] {
            assert!((0.02..0.2).contains(&part(rules, range)));
            assert!(part(rules, |selector| selector.protocol() == Protocol::TCP) > 0.4);
            assert!(part(rules, |selector| selector.protocol() == Protocol::Any) > 0.02);
        }
    }

    #[test]
    fn prefixes_nest_and_are_shared() {
        for shape in Shape::ALL {
            let rules = generate(shape, 10_000, 1);
            let all: HashSet<Prefix> = rules.iter().map(|rule| rule.selector.destination()).collect();
            assert!(all.len() < 6000, "{shape}: {} destinations are shared by none", all.len());
            // Prefixes, but for the open one, that hold this one.
            let depth = |inner: &&Prefix| {
                let IpAddr::V4(address) = inner.addr() else { return 0 };
                let outer = (1..inner.prefix_len()).filter_map(|len| prefix(address.to_bits(), len));
                outer.filter(|outer| all.contains(&outer.trunc())).count()
            };
            let nested = all.iter().filter(|each| depth(each) >= 2).count();
            assert!(nested * 10 > all.len(), "{shape}: only {nested} of {} lie in two others", all.len());
        }
    }
}
