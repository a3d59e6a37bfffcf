//! A crypto map as one list, beside the slow reading: entry by entry, access list by access list, line by line.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

use config::{
    AccessList, ClassMatch, Config, CryptoMap, Family, FlagMatch, Keying, PolicyAction, PortMatch, Rule,
    Verb, parse, policy, render,
};
use model::{Prefix, TcpFlags};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a rule can ask of a packet; `ports` is `None` in a fragment that is not the first.
#[derive(Clone, Debug)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: Option<(u16, u16)>,
    flags: Option<u8>,
    class: u8,
}

fn is_in(address: IpAddr, prefix: Prefix) -> bool {
    let length = u32::from(prefix.prefix_len());
    match (address, prefix.addr()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros() >= length,
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros() >= length,
        _ => false,
    }
}

fn is_meant(port: Option<u16>, ports: PortMatch) -> bool {
    match (ports, port) {
        // Every port is also none (RFC 4301, section 4.4.1.1).
        (PortMatch::Any | PortMatch::Range(0, u16::MAX), _) => true,
        (_, None) => false,
        (PortMatch::Eq(known), Some(port)) => port == known,
        (PortMatch::Neq(known), Some(port)) => port != known,
        (PortMatch::Lt(known), Some(port)) => port < known,
        (PortMatch::Gt(known), Some(port)) => port > known,
        (PortMatch::Range(from, to), Some(port)) => from <= port && port <= to,
    }
}

fn matches(rule: &Rule, packet: &Packet) -> bool {
    rule.protocol.contains(packet.protocol)
        && is_in(packet.source, rule.source)
        && is_in(packet.destination, rule.destination)
        && is_meant(packet.ports.map(|(source, _)| source), rule.source_port)
        && is_meant(packet.ports.map(|(_, destination)| destination), rule.destination_port)
        && has_flags(packet.flags, rule.flags)
        && is_of_class(packet.class, rule.class)
}

fn has_flags(flags: Option<u8>, asked: FlagMatch) -> bool {
    match (asked, flags) {
        (FlagMatch::Any, _) => true,
        (_, None) => false,
        // ACK or RST.
        (FlagMatch::Established, Some(flags)) => flags & 0x14 != 0,
        (FlagMatch::All { set, clear }, Some(flags)) => flags & set == set && flags & clear == 0,
        (FlagMatch::AnyOf { set, clear }, Some(flags)) => flags & set != 0 || flags & clear != clear,
    }
}

fn is_of_class(class: u8, asked: ClassMatch) -> bool {
    match asked {
        ClassMatch::Any => true,
        ClassMatch::Dscp(value) => class / 4 == value,
        ClassMatch::Precedence(value) => class / 32 == value,
        ClassMatch::Tos(value) => class / 2 % 16 == value,
    }
}

/// The entry that takes the packet, and the line that says so.
fn slow(config: &Config, map: &CryptoMap, packet: &Packet) -> Option<(PolicyAction, String)> {
    let family = if packet.source.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let first = |list: &AccessList| list.rules.iter().find(|rule| matches(rule, packet)).cloned();
    map.entries.iter().find_map(|(&sequence, entry)| {
        let list = config.entry_access_list(entry, family)?;
        let rule = first(list).filter(|rule| rule.verb == Verb::Permit)?;
        let action = match entry.keying {
            Keying::Discard => PolicyAction::Discard,
            _ => PolicyAction::Protect(sequence),
        };
        Some((action, format!("{}:{}", list.name, rule.sequence)))
    })
}

/// Few addresses, near each other, so that rules meet.
fn address() -> impl Strategy<Value = u32> {
    let octet = || select(vec![0_u32, 1, 127, 128, 255]);
    (octet(), octet()).prop_map(|(third, fourth)| 0x0a00_0000 | third << 8 | fourth)
}

/// The same addresses in IPv6: at the end of a prefix.
fn wide(address: u32) -> Ipv6Addr {
    (u128::from(0x2001_0db8_u32) << 96 | u128::from(address)).into()
}

const PORTS: [u16; 7] = [0, 1, 79, 80, 81, 443, 65535];

fn ports() -> impl Strategy<Value = String> {
    let port = || select(PORTS.to_vec());
    prop_oneof![
        3 => Just(String::new()),
        1 => port().prop_map(|port| format!("eq {port}")),
        1 => port().prop_map(|port| format!("neq {port}")),
        1 => port().prop_map(|port| format!("lt {}", port.max(1))),
        1 => port().prop_map(|port| format!("gt {}", port.min(65534))),
        1 => (port(), port()).prop_map(|(a, b)| format!("range {} {}", a.min(b), a.max(b))),
    ]
}

/// An end of a rule, for IPv4 and for IPv6.
fn end() -> impl Strategy<Value = (String, String)> {
    (address(), select(vec![0_u32, 8, 16, 17, 24, 25, 32])).prop_map(|(address, length)| {
        let wildcard = u32::MAX.checked_shr(length).unwrap_or(0);
        let (v4, v6) = (Ipv4Addr::from(address & !wildcard), wide(address & !wildcard));
        (format!("{v4} {}", Ipv4Addr::from(wildcard)), format!("{v6}/{}", 96 + length))
    })
}

/// What a rule asks for at its end.
fn marks() -> impl Strategy<Value = (&'static str, &'static str)> {
    let flags = ["", "", "", "established", "match-all +syn -ack", "match-any +fin -psh", "ack urg"];
    (select(flags.to_vec()), select(vec!["", "", "", "dscp ef", "dscp 0", "dscp af31"]))
}

/// A rule for IPv4 and the like for IPv6.
fn rule() -> impl Strategy<Value = (String, String)> {
    let verb = select(vec!["permit", "permit", "deny"]);
    (verb, select(vec!["ip", "tcp", "tcp", "17"]), end(), ports(), end(), ports(), marks()).prop_map(
        |(verb, protocol, from, mut from_port, to, mut to_port, (flags, class))| {
            if protocol == "ip" {
                from_port.clear();
                to_port.clear();
            }
            let flags = if protocol == "tcp" { flags } else { "" };
            let wide = if protocol == "ip" { "ipv6" } else { protocol };
            (
                format!(" {verb} {protocol} {} {from_port} {} {to_port} {class} {flags}\n", from.0, to.0),
                format!(" {verb} {wide} {} {from_port} {} {to_port} {flags} {class}\n", from.1, to.1),
            )
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let ports =
        prop_oneof![4 => (select(PORTS.to_vec()), select(PORTS.to_vec())).prop_map(Some), 1 => Just(None)];
    let marks = (any::<u8>(), select(vec![0_u8, 1, 26 << 2, 46 << 2]));
    (any::<bool>(), address(), address(), select(vec![1, 6, 6, 17]), ports, marks).prop_map(
        |(v6, source, destination, protocol, ports, (flags, class))| {
            let of = |address| if v6 { wide(address).into() } else { Ipv4Addr::from(address).into() };
            let ports = ports.filter(|_| protocol != 1);
            let flags = (protocol == 6 && ports.is_some()).then_some(flags & 0x3F);
            Packet { source: of(source), destination: of(destination), protocol, ports, flags, class }
        },
    )
}

/// The rules of an entry, for IPv4 and for IPv6; which of the two it has: IPv6, IPv4 or both; and whether it discards.
type EntryText = (Vec<(String, String)>, u8, bool);

/// A map of such entries.
fn text(entries: &[EntryText]) -> String {
    let mut text = String::from("crypto ipsec transform-set SET esp-gcm 128\n");
    text += "interface wan\n device 0000:01:00.0\n ip address 192.0.2.1 255.255.255.0\n crypto map MAP\n";
    for (place, (rules, families, discards)) in entries.iter().enumerate() {
        let header =
            format!("crypto map MAP {} {}\n", place + 1, if *discards { "discard" } else { "ipsec-manual" });
        text += &header;
        if !discards {
            text += " set peer 192.0.2.2\n set transform-set SET\n";
            for (key, direction) in ["inbound", "outbound"].iter().enumerate() {
                let spi = 1000 + 2 * place + key;
                let _ = writeln!(text, " set session-key {direction} esp {spi} cipher {spi:040x}");
            }
        }
        for (family, list) in ["ip access-list extended FOUR", "ipv6 access-list SIX"].iter().enumerate() {
            if usize::from(*families) == 1 - family {
                continue;
            }
            let name = list.split(' ').next_back().unwrap_or_default();
            let _ = writeln!(text, " match address {name}-{place}");
        }
        for (family, list) in ["ip access-list extended FOUR", "ipv6 access-list SIX"].iter().enumerate() {
            let _ = writeln!(text, "{list}-{place}");
            rules.iter().for_each(|rule| text.push_str(if family == 0 { &rule.0 } else { &rule.1 }));
        }
        text += &header;
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn one_list_says_what_the_map_says(
        entries in vec((vec(rule(), 0..8), 0_u8..3, weighted(0.3)), 1..5),
        packets in vec(packet(), 100),
    ) {
        let text = text(&entries);
        let (config, _) = parse("random.conf", &text).unwrap_or_else(|e| panic!("{text}{}", render(&e, false)));
        let map = config.crypto_maps().values().next().unwrap();
        let rules = policy(&config, map).unwrap();
        let tunnels = config.tunnels();
        for packet in &packets {
            let contains = |selector: &model::Selector| {
                selector.contains(packet.source, packet.destination, packet.protocol, packet.ports)
            };
            let flags = packet.flags.map_or(TcpFlags::UNSEEN, TcpFlags::seen);
            let first = rules.iter().find(|rule| {
                contains(&rule.selector) && rule.marks.contains(flags, packet.class)
            });
            let quick = first.and_then(|rule| match rule.action {
                PolicyAction::ProtectFor(_) => unreachable!("there are no peers"),
                PolicyAction::Protect(_) | PolicyAction::Discard => Some((rule.action, rule.label.to_string())),
                PolicyAction::Bypass => None,
            });
            let slow = slow(&config, map, packet);
            prop_assert_eq!(&quick, &slow, "{:?}\n{}", packet, text);
            // What an entry protects is what the selectors of its SA are for.
            if let Some((PolicyAction::Protect(entry), _)) = quick {
                let tunnel = tunnels.iter().find(|tunnel| tunnel.entry.sequence == entry).unwrap();
                prop_assert!(tunnel.selectors.iter().any(contains), "{:?}\n{}", packet, text);
            }
        }
    }
}

/// Each `deny` repeats what comes after its entry, so that few lines could ask for a list without end.
#[test]
fn a_map_that_comes_to_too_much_is_refused() {
    let deny = |i: usize| {
        (format!(" deny ip host 10.0.0.{i} any\n"), format!(" deny ipv6 host 2001:db8::{i} any\n"))
    };
    let mut rules: Vec<(String, String)> = (1..64).map(deny).collect();
    rules.push((" permit ip any any\n".into(), " permit ipv6 any any\n".into()));
    let entries = vec![(rules, 2, false); 60];
    let Err(errors) = parse("long.conf", &text(&entries)) else { panic!("it was taken") };
    assert_eq!(errors.len(), 1, "{}", render(&errors, false));
    assert!(errors[0].message.contains("comes to more than"), "{}", errors[0]);
    assert_eq!(errors[0].place.line, 6);
}
