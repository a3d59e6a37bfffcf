//! Compiled lists against the linear scan, changed lists too, and images that are not what they seem.

mod bursts;
mod change;
mod hostile;
mod shapes;
mod swaps;

use super::*;
use model::{Marks, PortRange, Prefix, Protocol, TcpFlags};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Few values, so that rules overlap and keys hit.
fn bits() -> impl Strategy<Value = u32> {
    (0_u32..4, 0_u32..4).prop_map(|(high, low)| high << 30 | 0x0A00_0000 | low)
}

/// Where ranges begin and end, and beside that.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![0_u16..9, 1022_u16..1026, 65533_u16..=65535]
}

fn ports() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        Just(PortRange::ANY),
        port().prop_map(PortRange::single),
        (port(), port()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ]
}

/// Mostly none, so that some lists have none at all.
fn marks() -> impl Strategy<Value = Marks> {
    let flags = (0_u8..64, 0_u8..64).prop_map(|(set, clear)| Marks::flags(set & !clear, clear).unwrap());
    let class = (any::<u8>(), prop::sample::select(vec![0xFC, 0xE0, 0x1E]));
    let class = class.prop_map(|(value, mask)| Marks::class(value, mask));
    let both = (flags.clone(), class.clone()).prop_map(|(flags, class)| flags.and(class).unwrap());
    prop_oneof![20 => Just(Marks::ANY), 1 => flags, 1 => class, 1 => both]
}

prop_compose! {
    fn rule()(
        v4: bool, source in bits(), destination in bits(),
        source_len in prop_oneof![Just(0_u8), Just(32), 0_u8..=32], destination_len in prop_oneof![Just(0_u8), Just(32), 0_u8..=32],
        protocol in prop_oneof![Just(Protocol::Any), Just(Protocol::UDP), Just(Protocol::TCP), Just(Protocol::Number(1))],
        source_port in ports(), destination_port in ports(),
        past in 0_u8..4, marks in marks(),
        action in prop_oneof![Just(Action::Bypass), Just(Action::Discard), (0_u32..9).prop_map(Action::Protect)],
    ) -> Rule {
        let prefix = |bits: u32, len: u8| -> Prefix {
            if v4 {
                Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap()
            } else {
                Prefix::new(Ipv6Addr::from_bits(wide(bits)).into(), (len * 4).saturating_sub(past)).unwrap()
            }
        };
        let (source, destination) = (prefix(source, source_len), prefix(destination, destination_len));
        let selector = Selector::new(source, destination, protocol, source_port, destination_port)
            .or_else(|_| Selector::new(source, destination, protocol, PortRange::ANY, PortRange::ANY));
        Rule { selector: selector.unwrap(), marks, action }
    }
}

/// An IPv6 address with the same bits in front and at the end.
fn wide(bits: u32) -> u128 {
    u128::from(bits) << 96 | u128::from(bits)
}

prop_compose! {
    fn key()(
        source in bits(), destination in bits(), source_port in port(), destination_port in port(),
        protocol in prop::sample::select(vec![1_u8, 6, 17, 50]), has_ports: bool,
        flags in prop::option::of(any::<u8>()), traffic_class in any::<u8>(),
    ) -> KeyV4 {
        let tcp_flags = flags.map_or(TcpFlags::UNSEEN, TcpFlags::seen);
        KeyV4 { source, destination, source_port, destination_port, protocol, has_ports, tcp_flags, traffic_class }
    }
}

fn widen(key: &KeyV4) -> KeyV6 {
    let KeyV4 { source, destination, source_port, destination_port, protocol, has_ports, .. } = *key;
    KeyV6 {
        source: wide(source),
        destination: wide(destination),
        source_port,
        destination_port,
        protocol,
        has_ports,
        tcp_flags: key.tcp_flags,
        traffic_class: key.traffic_class,
    }
}

/// All back ends find in the image what the linear scan finds, for these keys and as many of IPv6.
fn agree(rules: &[Rule], image: &Image, keys: &[KeyV4]) {
    let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
    let linear = Linear::new(rules);
    let none = vec![Verdict::NONE; keys.len()];
    let mut slow = [none.clone(), none.clone()];
    linear.lookup_v4(keys, &mut slow[0]);
    linear.lookup_v6(&wide, &mut slow[1]);
    for back_end in BackEnd::all() {
        let classifier = Classifier::verify(image.as_bytes()).unwrap().with(back_end);
        assert_eq!(classifier.rules() as usize, rules.len());
        assert_eq!(classifier.depth_v4(), linear.depth(true));
        assert_eq!(classifier.depth_v6(), linear.depth(false));
        let mut fast = [none.clone(), none.clone()];
        classifier.lookup_v4(keys, &mut fast[0]);
        classifier.lookup_v6(&wide, &mut fast[1]);
        assert_eq!(fast, slow, "{back_end:?}");
    }
}

proptest! {
    #[test]
    fn agrees_with_the_linear_scan(
        rules in prop::collection::vec(rule(), 0..60), keys in prop::collection::vec(key(), 1..64),
    ) {
        let image = compile(&rules, Limits::default()).unwrap();
        prop_assert_eq!(&image, &compile(&rules, Limits::default()).unwrap());
        agree(&rules, &image, &keys);
    }
}

#[test]
fn limits_are_errors() {
    let all = Selector::between("10.0.0.0/8".parse().unwrap(), "10.1.2.3/32".parse().unwrap()).unwrap();
    let rules = [Rule::new(all, Action::Bypass); 3];
    assert_eq!(
        compile(&rules, Limits { rules: 2, ..Limits::default() }),
        Err(CompileError::TooManyRules { rules: 3, limit: 2 })
    );
    let small = Limits { bytes: 200, ..Limits::default() };
    assert_eq!(compile(&rules, small), Err(CompileError::TooLarge { limit: 200 }));
}
