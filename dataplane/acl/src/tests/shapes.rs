//! Some thousand rules, shaped as lists in use are.

use super::*;
use fastrand::Rng;

/// How many in a hundred leave the source open, and the destination.
pub(super) const SHAPES: [(u32, u32); 4] = [(40, 1), (40, 50), (7, 7), (100, 100)];

/// An address in one of few networks, and how much of it a prefix takes.
fn network(random: &mut Rng, open: u32) -> (u32, u8) {
    let address = 0x0A00_0000 | random.u32(..6) << 16 | random.u32(..40) << 8 | random.u32(..256);
    let len =
        if random.u32(..100) < open { 0 } else { [8, 16, 20, 24, 24, 28, 32, 32, 32][random.usize(..9)] };
    (address, len)
}

fn range(random: &mut Rng) -> PortRange {
    let port = random.u16(..200);
    match random.u8(..6) {
        0 | 1 => PortRange::ANY,
        2 => PortRange::new(1024, u16::MAX).unwrap(),
        3 => PortRange::new(port, port * 7).unwrap(),
        _ => PortRange::single(port),
    }
}

pub(super) fn rule(random: &mut Rng, v4: bool, shape: (u32, u32)) -> Rule {
    let mut prefix = |open| -> Prefix {
        let (address, len) = network(random, open);
        match v4 {
            true => Prefix::new(Ipv4Addr::from_bits(address).into(), len).unwrap(),
            false => Prefix::new(Ipv6Addr::from_bits(wide(address)).into(), len * 4).unwrap(),
        }
    };
    let (source, destination) = (prefix(shape.0), prefix(shape.1));
    let protocol = [Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::Any][random.usize(..4)];
    let (from, to) = match protocol {
        Protocol::Any => (PortRange::ANY, PortRange::ANY),
        Protocol::Number(_) => (range(random), range(random)),
    };
    let selector = Selector::new(source, destination, protocol, from, to).unwrap();
    // In some lists, one of four asks for flags or a class.
    let marks = match random.u8(..8) {
        0 if shape.0 != shape.1 => Marks::class(random.u8(..), 0xFC),
        1 if shape.0 != shape.1 => Marks::flags(1 << random.u8(..3), 1 << random.u8(3..6)).unwrap(),
        _ => Marks::ANY,
    };
    Rule { selector, marks, action: Action::Protect(random.u32(..)) }
}

pub(super) fn key(random: &mut Rng) -> KeyV4 {
    KeyV4 {
        source: network(random, 0).0,
        destination: network(random, 0).0,
        source_port: random.u16(..300),
        destination_port: random.u16(..2000),
        protocol: [6, 17, 50][random.usize(..3)],
        has_ports: random.u8(..8) > 0,
        tcp_flags: TcpFlags::seen(random.u8(..)),
        traffic_class: random.u8(..),
    }
}

#[test]
fn thousands_of_rules_agree_with_the_linear_scan() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let mut random = Rng::with_seed(seed as u64);
        for count in [15, 300, 4000] {
            let rules: Vec<Rule> =
                (0..count).map(|number| rule(&mut random, number % 3 > 0, shape)).collect();
            let keys: Vec<KeyV4> = (0..500).map(|_| key(&mut random)).collect();
            agree(&rules, &compile(&rules, Limits::default()).unwrap(), &keys);
        }
    }
}

/// The same rules give the same bytes, on one core as on many.
#[test]
fn images_do_not_depend_on_the_number_of_cores() {
    let mut random = Rng::with_seed(9);
    let rules: Vec<Rule> = (0..3000).map(|number| rule(&mut random, number % 2 > 0, SHAPES[1])).collect();
    let on = |cores| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().unwrap();
        pool.install(|| compile(&rules, Limits::default()).unwrap())
    };
    assert_eq!(on(1), on(4));
}

/// What is told of an image is what was compiled: a tree for every root, no deeper than there are levels, over what rules say.
#[test]
fn the_shape_of_an_image_can_be_told() {
    let mut random = Rng::with_seed(11);
    let shape = |rules: &[Rule]| {
        let image = compile(rules, Limits::default()).unwrap();
        Classifier::verify(image.as_bytes()).unwrap().trees()
    };
    assert_eq!(shape(&[]), []);
    let one = [rule(&mut random, true, (0, 0))];
    assert_eq!(shape(&one), [TreeShape { leaves: 1, ..TreeShape::default() }]);
    let many: Vec<Rule> = (0..4000).map(|_| rule(&mut random, false, (0, 100))).collect();
    let trees = shape(&many);
    assert!(trees.iter().all(|tree| tree.ipv6 && !tree.destination), "{trees:?}");
    assert!(
        trees
            .iter()
            .any(|tree| tree.source && tree.depth > 0 && tree.tables >= tree.depth && tree.leaves > 10)
    );
}

/// Rules that nothing tells apart make long leaves, not deep trees or large images.
#[test]
fn identical_rules_stay_small() {
    let all = Selector::between("0.0.0.0/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()).unwrap();
    let rules = vec![Rule::new(all, Action::Discard); 5000];
    let image = compile(&rules, Limits::default()).unwrap();
    assert!(image.as_bytes().len() < 64 * rules.len());
    let keys: Vec<KeyV4> = (0..40).map(|_| key(&mut Rng::with_seed(1))).collect();
    agree(&rules, &image, &keys);
}
