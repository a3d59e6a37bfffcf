//! The trie against the linear scan, and images that are not what they seem.

use super::*;
use crate::lookup::BackEnd;
use model::{PortRange, Prefix, Protocol};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Few values, so that rules overlap and keys hit.
fn bits() -> impl Strategy<Value = u32> {
    (0_u32..4, 0_u32..4).prop_map(|(high, low)| high << 30 | 0x0A00_0000 | low)
}

fn ports() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        Just(PortRange::ANY),
        (0_u16..4).prop_map(PortRange::single),
        (0_u16..3, 3_u16..9).prop_map(|(start, end)| PortRange::new(start, end).unwrap()),
    ]
}

prop_compose! {
    fn rule()(
        v4: bool, source in bits(), destination in bits(),
        source_len in prop_oneof![Just(0_u8), Just(32), 0_u8..=32], destination_len in prop_oneof![Just(0_u8), Just(32), 0_u8..=32],
        protocol in prop_oneof![Just(Protocol::Any), Just(Protocol::UDP), Just(Protocol::TCP), Just(Protocol::Number(1))],
        source_port in ports(), destination_port in ports(),
        action in prop_oneof![Just(Action::Bypass), Just(Action::Discard), (0_u32..9).prop_map(Action::Protect)],
    ) -> Rule {
        let prefix = |bits: u32, len: u8| -> Prefix {
            if v4 {
                Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap()
            } else {
                Prefix::new(Ipv6Addr::from_bits(wide(bits)).into(), len * 4).unwrap()
            }
        };
        let (source, destination) = (prefix(source, source_len), prefix(destination, destination_len));
        let selector = Selector::new(source, destination, protocol, source_port, destination_port)
            .or_else(|_| Selector::new(source, destination, protocol, PortRange::ANY, PortRange::ANY));
        Rule { selector: selector.unwrap(), action }
    }
}

/// An IPv6 address with the same bits in front and at the end.
fn wide(bits: u32) -> u128 {
    u128::from(bits) << 96 | u128::from(bits)
}

prop_compose! {
    fn key()(
        source in bits(), destination in bits(), source_port in 0_u16..9, destination_port in 0_u16..9,
        protocol in prop::sample::select(vec![1_u8, 6, 17, 50]), has_ports: bool,
    ) -> KeyV4 {
        KeyV4 { source, destination, source_port, destination_port, protocol, has_ports }
    }
}

fn widen(key: &KeyV4) -> KeyV6 {
    let KeyV4 { source, destination, source_port, destination_port, protocol, has_ports } = *key;
    KeyV6 {
        source: wide(source),
        destination: wide(destination),
        source_port,
        destination_port,
        protocol,
        has_ports,
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

    /// Whatever is done to an image, it is refused, or look-ups in it end without a panic.
    #[test]
    fn hostile_images_do_no_harm(
        rules in prop::collection::vec(rule(), 0..20), keys in prop::collection::vec(key(), 1..16),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(),
        truncate: bool,
    ) {
        let mut bytes = compile(&rules, Limits::default()).unwrap().as_bytes().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(classifier) = Classifier::verify(bytes) {
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            classifier.lookup_v4(&keys, &mut verdicts);
            classifier.lookup_v6(&keys.iter().map(widen).collect::<Vec<_>>(), &mut verdicts);
        }
    }

    #[test]
    fn random_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Classifier::verify(bytes).is_err());
    }
}

#[test]
fn limits_are_errors() {
    let all = Selector::between("10.0.0.0/8".parse().unwrap(), "10.1.2.3/32".parse().unwrap()).unwrap();
    let rules = [Rule { selector: all, action: Action::Bypass }; 3];
    assert_eq!(
        compile(&rules, Limits { rules: 2, ..Limits::default() }),
        Err(CompileError::TooManyRules { rules: 3, limit: 2 })
    );
    let small = Limits { bytes: 200, ..Limits::default() };
    assert_eq!(compile(&rules, small), Err(CompileError::TooLarge { limit: 200 }));
}

/// A list, and how to change it: what is done, and where.
fn changes() -> impl Strategy<Value = Vec<(bool, prop::sample::Index, Rule)>> {
    prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), rule()), 1..24)
}

proptest! {
    /// At every step, the list with its changes is the list that it should be.
    #[test]
    fn a_changed_list_agrees_with_the_linear_scan(
        rules in prop::collection::vec(rule(), 0..60), changes in changes(), keys in prop::collection::vec(key(), 1..64),
    ) {
        let image = compile(&rules, Limits::default()).unwrap();
        let bases = BackEnd::all().into_iter().map(|back_end| Classifier::verify(image.as_bytes()).unwrap().with(back_end));
        let bases: Vec<_> = bases.collect();
        let mut delta = Delta::new(rules.len() as u32);
        let mut list: Vec<(u32, Rule)> = (0..).zip(rules.iter().copied()).collect();
        for (insert, place, rule) in changes {
            let at = place.index(list.len() + 1);
            let there = list.get(at).map(|(number, _)| *number);
            match there {
                Some(number) if !insert => {
                    list.remove(at);
                    delta.remove(number).unwrap();
                    prop_assert_eq!(delta.remove(number), Err(DeltaError::NoSuchRule(number)));
                    prop_assert_eq!(delta.insert(Some(number), rule), Err(DeltaError::NoSuchRule(number)));
                }
                _ => list.insert(at, (delta.insert(there, rule).unwrap(), rule)),
            }
            prop_assert_eq!(delta.order(), list.iter().map(|(number, _)| *number).collect::<Vec<_>>());
            let overlay = Overlay::verify(delta.compile(Limits::default()).unwrap()).unwrap();
            prop_assert!(list.iter().all(|(number, _)| *number < overlay.numbers()));
            let now: Vec<Rule> = list.iter().map(|(_, rule)| *rule).collect();
            let mut slow = vec![Verdict::NONE; keys.len()];
            let numbered = |verdict: &Verdict| (verdict.rule().map(|rule| list[rule as usize].0), verdict.action());
            let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
            for base in &bases {
                let changed = overlay.over(base).unwrap();
                let mut fast = slow.clone();
                Linear::new(&now).lookup_v4(&keys, &mut slow);
                changed.lookup_v4(&keys, &mut fast);
                prop_assert!(fast.iter().map(|verdict| (verdict.rule(), verdict.action())).eq(slow.iter().map(numbered)));
                Linear::new(&now).lookup_v6(&wide, &mut slow);
                changed.lookup_v6(&wide, &mut fast);
                prop_assert!(fast.iter().map(|verdict| (verdict.rule(), verdict.action())).eq(slow.iter().map(numbered)));
            }
        }
    }

    /// Whatever is done to a delta, it is refused, or look-ups through it end without a panic.
    #[test]
    fn hostile_deltas_do_no_harm(
        rules in prop::collection::vec(rule(), 0..20), added in changes(), keys in prop::collection::vec(key(), 1..16),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let base = Classifier::verify(compile(&rules, Limits::default()).unwrap()).unwrap();
        let mut delta = Delta::new(rules.len() as u32);
        for (remove, place, rule) in added {
            if remove && !rules.is_empty() {
                let _ = delta.remove(place.index(rules.len()) as u32);
            }
            delta.insert(None, rule).unwrap();
        }
        let mut bytes = delta.compile(Limits::default()).unwrap().as_bytes().to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(overlay) = Overlay::verify(bytes)
            && let Some(changed) = overlay.over(&base)
        {
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            changed.lookup_v4(&keys, &mut verdicts);
            changed.lookup_v6(&keys.iter().map(widen).collect::<Vec<_>>(), &mut verdicts);
        }
    }
}
