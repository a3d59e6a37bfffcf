//! Bytes that claim to be an image, or a change of one: whatever they are, they are refused, or looked up without a panic and
//! without a read out of bounds (which the address sanitizer sees, as each has an allocation of exactly its size).
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir dataplane/acl/fuzz verify
//! ```
//!
//! An input begins with a byte that says what the rest is. Even: an image and a change as they are, the first two bytes being
//! the image's length. Odd: rules and how to damage what they compile to, so that what is damaged was whole before.
#![no_main]

use acl::{Action, Classifier, Delta, KeyV4, KeyV6, Limits, Overlay, Rule, Verdict, compile};
use libfuzzer_sys::fuzz_target;
use model::{Marks, PortRange, Prefix, Protocol, Selector, TcpFlags};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 {
        let Some((len, rest)) = rest.split_first_chunk() else { return };
        let (image, change) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        try_out(image.to_vec(), change.to_vec());
    } else {
        damage(*kind, rest);
    }
});

/// Compiles rules of 8 bytes each, and a change of them, and damages both.
fn damage(kind: u8, data: &[u8]) {
    let (base, added) = (usize::from(kind >> 1 & 7), usize::from(kind >> 4 & 7));
    let (rules, damage) = data.split_at((8 * (base + added)).min(data.len()));
    let rules: Vec<Rule> = rules.as_chunks().0.iter().map(|bytes| rule(*bytes)).collect();
    let (first, more) = rules.split_at(base.min(rules.len()));
    let limits = Limits::default();
    let image = compile(first, limits).expect("few rules");
    let mut delta = Delta::new(first.into(), image.clone().into());
    for (place, rule) in more.iter().enumerate() {
        let place = place as u32;
        // The one before may be gone already, and then it comes at the end.
        if delta.insert(Some(place), *rule).is_err() {
            delta.insert(None, *rule).expect("there is room");
        }
        if kind > 127 {
            let _ = delta.remove(place);
        }
    }
    let mut image = image.as_bytes().to_vec();
    let mut change = delta.compile(limits).expect("few rules").as_bytes().to_vec();
    for &[which, low, high, value] in damage.as_chunks().0 {
        let bytes = if which % 2 == 0 { &mut image } else { &mut change };
        let place = usize::from(u16::from_le_bytes([low, high]));
        match which >> 1 {
            0 => bytes.truncate(place % (bytes.len() + 1)),
            1 => bytes.resize(bytes.len() + place % 512, value),
            _ if bytes.is_empty() => {}
            which => {
                let place = place % bytes.len();
                bytes[place] = if which % 2 == 0 { value } else { bytes[place].wrapping_add(value) };
            }
        }
    }
    // Exactly as large as it is.
    image.shrink_to_fit();
    change.shrink_to_fit();
    try_out(image, change);
}

fn rule([from, from_len, to, to_len, protocol, port, more, action]: [u8; 8]) -> Rule {
    let prefix = |bits: u8, len: u8| {
        let bits = u32::from(bits) << 24 | u32::from(bits & 3);
        let (address, len) = if protocol & 1 == 0 {
            (IpAddr::from(Ipv4Addr::from_bits(bits)), len % 33)
        } else {
            (IpAddr::from(Ipv6Addr::from_bits(u128::from(bits) << 96 | u128::from(bits))), len % 129)
        };
        Prefix::new(address, len).expect("a length that there is")
    };
    let (from, to) = (prefix(from, from_len), prefix(to, to_len));
    let (protocol, ports) = match protocol >> 1 & 3 {
        0 => (Protocol::Any, PortRange::ANY),
        1 => (Protocol::Number(protocol), PortRange::ANY),
        _ => {
            let (first, last) = (u16::from(port), u16::from(port) + u16::from(more) * 200);
            (Protocol::TCP, PortRange::new(first, last).expect("in order"))
        }
    };
    let selector = Selector::new(from, to, protocol, PortRange::ANY, ports).expect("one family");
    let action = match action % 3 {
        0 => Action::Bypass,
        1 => Action::Discard,
        _ => Action::Protect(u32::from(action)),
    };
    let marks = [Marks::ANY, Marks::class(more, 0xFC), Marks::flags(0x12, 0x01).expect("two flags are not one")];
    Rule { selector, marks: marks[usize::from(to_len) % 3], action }
}

/// Looks up in whatever passes.
fn try_out(image: Vec<u8>, change: Vec<u8>) {
    // Keys that are in the image, and others.
    let seeds: Vec<u32> = (image.as_chunks().0.iter().rev().take(40))
        .chain(change.as_chunks().0.iter().rev().take(40))
        .map(|word| u32::from_le_bytes(*word))
        .chain([0, 0x0A00_0001, u32::MAX])
        .collect();
    let keys: Vec<KeyV4> = seeds
        .iter()
        .zip(seeds.iter().rev())
        .map(|(&source, &destination)| KeyV4 {
            source,
            destination,
            source_port: source as u16,
            destination_port: destination as u16,
            protocol: if source % 2 == 0 { 6 } else { destination as u8 },
            has_ports: source % 3 > 0,
            tcp_flags: TcpFlags::seen(source as u8),
            traffic_class: destination as u8,
        })
        .collect();
    let wide = |bits: u32| u128::from(bits) << 96 | u128::from(bits);
    let keys6: Vec<KeyV6> = keys
        .iter()
        .map(|key| KeyV6 {
            source: wide(key.source),
            destination: wide(key.destination),
            source_port: key.source_port,
            destination_port: key.destination_port,
            protocol: key.protocol,
            has_ports: key.has_ports,
            tcp_flags: key.tcp_flags,
            traffic_class: key.traffic_class,
        })
        .collect();
    let mut verdicts = vec![Verdict::NONE; keys.len()];
    let overlay = Overlay::verify(change);
    if let Ok(overlay) = &overlay {
        // A list that may be as long as a header says is written out only where that is little.
        if overlay.base() < 1 << 16 {
            assert!(overlay.order().len() as u64 >= u64::from(overlay.added()));
        }
        let _ = (overlay.numbers(), overlay.trees(), overlay.leaves());
    }
    let Ok(base) = Classifier::verify(image) else { return };
    base.lookup_v4(&keys, &mut verdicts);
    base.lookup_v6(&keys6, &mut verdicts);
    assert!(base.trees().iter().all(|tree| tree.depth < 64));
    if let Some(changed) = overlay.as_ref().ok().and_then(|overlay| overlay.over(&base)) {
        changed.lookup_v4(&keys, &mut verdicts);
        changed.lookup_v6(&keys6, &mut verdicts);
    }
}
