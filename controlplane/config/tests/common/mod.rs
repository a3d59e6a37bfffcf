//! Good configurations: those of the repository, and random ones of every statement there is.

#![allow(dead_code)] // Each test takes what it needs.

use model::{IvRule, Suite};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Those of the repository, with all their keys.
pub(crate) const GOOD: [&str; 6] = [
    include_str!("../../testdata/gateway.conf"),
    include_str!("../../testdata/ikev2.conf"),
    include_str!("../../../../scripts/demo/gw-a.conf"),
    include_str!("../../../../scripts/demo/gw-b.conf"),
    include_str!("../../../../scripts/e2e/manual/gw-a.conf"),
    include_str!("../../../../scripts/e2e/manual/gw-b.conf"),
];

const MAPS: usize = 3;

/// A configuration that nothing is wrong with, its sections in random order.
pub(crate) fn configs() -> impl Strategy<Value = String> {
    // Of manual keys, which have no implicit IV.
    let suites = Suite::all().filter(|suite| suite.iv_rule() != IvRule::Sequence);
    let suites = select(suites.collect::<Vec<_>>());
    let parts = (vec(lists4(), 1..4), vec(lists6(), 0..3), vec((suites, any::<bool>()), 1..4));
    let parts = (
        parts,
        option::of("[a-z][a-z0-9-]{0,20}"),
        (option::of(replays()), (sizes(), code_points()).prop_map(|(sizes, points)| sizes + &points)),
        vec(routes(), 0..6),
    );
    (parts, negotiations()).prop_flat_map(
        |(((lists4, lists6, sets), hostname, (replay, sizes), routes), negotiations)| {
            let maps = vec(maps(lists4.len(), lists6.len(), sets.clone()), MAPS);
            (maps, vec(interfaces(), 1..5)).prop_flat_map(move |(maps, interfaces)| {
                let mut sections: Vec<String> =
                    hostname.iter().map(|name| format!("hostname {name}\n")).collect();
                sections.extend(replay.iter().cloned());
                sections.push(sizes.clone());
                sections.extend(negotiations.iter().cloned());
                sections.extend(lists4.iter().enumerate().map(|(i, list)| list.replace("LIST", &list4(i))));
                sections.extend(lists6.iter().enumerate().map(|(i, list)| list.replace("LIST", &list6(i))));
                sections.extend(sets.iter().enumerate().map(|(i, set)| transform_set(i, *set)));
                let mut keys = 0;
                let on = maps.iter().take(interfaces.len()).enumerate();
                sections
                    .extend(on.map(|(i, map)| numbered(map, &mut keys).replace("MAP", &format!("MAP{i}"))));
                sections.extend(interfaces.iter().enumerate().map(|(i, interface)| place(i, interface)));
                // One of each destination, so that none is said twice.
                let destination = |route: &String| route.trim().split(' ').take(4).collect::<String>();
                sections.extend(
                    BTreeMap::from_iter(routes.iter().map(|r| (destination(r), r.clone()))).into_values(),
                );
                Just(sections).prop_shuffle().prop_map(|sections| sections.join("!\n"))
            })
        },
    )
}

fn list4(place: usize) -> String {
    ["100", "ip-list", "2699"][place].to_owned()
}

fn list6(place: usize) -> String {
    ["SIX", "199six"][place].to_owned()
}

fn transform_set(place: usize, (suite, esn): (Suite, bool)) -> String {
    let mode = if place.is_multiple_of(2) { "tunnel" } else { "transport" };
    let esn = if esn { " esn\n" } else { "" };
    format!("crypto ipsec transform-set SET{place} {suite}\n mode {mode}\n{esn}")
}

/// What becomes of packets that are too long.
fn sizes() -> impl Strategy<Value = String> {
    let df = select(vec![
        "",
        "crypto ipsec df-bit copy\n",
        "crypto ipsec df-bit set\n",
        "crypto ipsec df-bit clear\n",
    ]);
    let when = select(vec!["", "before-encryption", "after-encryption"]);
    (df, when).prop_map(|(df, when)| match when {
        "" => df.to_owned(),
        when => format!("{df}crypto ipsec fragmentation {when}\n"),
    })
}

/// Code points of outer headers.
fn code_points() -> impl Strategy<Value = String> {
    let usual = select(vec!["", "copy", "set ef", "set 0", "set 63"]);
    let others = prop::collection::btree_map(0_u8..64, 0_u8..64, 0..5);
    (usual, others).prop_map(|(usual, others)| {
        let usual = if usual.is_empty() { String::new() } else { format!("crypto ipsec dscp {usual}\n") };
        let others = others.iter().map(|(inner, outer)| format!("crypto ipsec dscp map {inner} {outer}\n"));
        usual + &others.collect::<String>()
    })
}

fn replays() -> impl Strategy<Value = String> {
    let window = (32_u32..=65536).prop_map(|window| format!("window-size {window}"));
    prop_oneof![1 => Just("disable".to_owned()), 3 => window]
        .prop_map(|window| format!("crypto ipsec security-association replay {window}\n"))
}

pub(crate) fn v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![any::<u32>(), select(vec![0, 1, 0x0a01_0000, 0x0a01_0001, u32::MAX])].prop_map(Ipv4Addr::from)
}

pub(crate) fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let near = (0_u16..4, 0_u16..4).prop_map(|(a, b)| Ipv6Addr::new(0x2001, 0xdb8, a, 0, 0, 0, 0, b));
    prop_oneof![any::<u128>().prop_map(Ipv6Addr::from), near]
}

fn end4() -> impl Strategy<Value = String> {
    let prefix = (v4(), 0_u32..=32).prop_map(|(address, length)| {
        let wildcard = u32::MAX.checked_shr(length).unwrap_or(0);
        format!("{} {}", Ipv4Addr::from(u32::from(address) & !wildcard), Ipv4Addr::from(wildcard))
    });
    prop_oneof![Just("any".to_owned()), v4().prop_map(|host| format!("host {host}")), prefix]
}

fn end6() -> impl Strategy<Value = String> {
    let prefix = (v6(), 0_u32..=128).prop_map(|(address, length)| {
        let host = u128::MAX.checked_shr(length).unwrap_or(0);
        format!("{}/{length}", Ipv6Addr::from(u128::from(address) & !host))
    });
    prop_oneof![Just("any".to_owned()), v6().prop_map(|host| format!("host {host}")), prefix]
}

fn ports() -> impl Strategy<Value = String> {
    let port = || prop_oneof![any::<u16>(), select(vec![0, 1, 80, 65534, 65535])];
    prop_oneof![
        2 => Just(String::new()),
        1 => port().prop_map(|port| format!(" eq {port}")),
        1 => port().prop_map(|port| format!(" neq {port}")),
        1 => (1..=u16::MAX).prop_map(|port| format!(" lt {port}")),
        1 => (0..u16::MAX).prop_map(|port| format!(" gt {port}")),
        1 => (port(), port()).prop_map(|(a, b)| format!(" range {} {}", a.min(b), a.max(b))),
    ]
}

/// One rule; `all` is the word for every protocol.
fn rules<S: Strategy<Value = String>>(all: &'static str, end: fn() -> S) -> impl Strategy<Value = String> {
    let verb = || select(vec!["permit", "deny"]);
    let plain = prop_oneof![
        select(vec![all, "icmp", "esp", "ahp", "gre", "ospf", "pim"]).prop_map(str::to_owned),
        any::<u8>().prop_map(|number| number.to_string()),
    ];
    let class =
        || prop_oneof![4 => Just(String::new()), 1 => (0..64).prop_map(|value| format!(" dscp {value}"))];
    let plain = (verb(), plain, end(), end(), class())
        .prop_map(|(verb, protocol, from, to, class)| format!("{verb} {protocol} {from} {to}{class}"));
    let flags = select(vec!["", " established", " match-all +syn -ack", " match-any -FIN +urg +psh", " rst"]);
    let protocol = select(vec!["tcp", "udp", "sctp", "TCP", "17", "33", "136"]);
    let with_ports = (verb(), protocol, end(), ports(), end(), ports(), (flags, class())).prop_map(
        |(verb, protocol, from, from_port, to, to_port, (flags, class))| {
            let flags = if protocol.eq_ignore_ascii_case("tcp") { flags } else { "" };
            format!("{verb} {protocol} {from}{from_port} {to}{to_port}{flags}{class}")
        },
    );
    prop_oneof![plain, with_ports]
}

/// Lines of a named list: rules with and without sequence numbers, and remarks.
fn lines<S: Strategy<Value = String>>(
    sequence: &'static str,
    rules: impl Fn() -> S,
) -> impl Strategy<Value = String> {
    let line =
        (prop::bool::weighted(0.2), 1_u32..50, option::weighted(0.2, "[!-~][ -~]{0,30}[!-~]"), rules());
    vec(line, 0..10).prop_map(move |lines| {
        let mut last = 0;
        let mut text = String::new();
        for (numbered, step, remark, rule) in lines {
            text.extend(remark.map(|remark| format!(" remark {remark}\n")));
            last += if numbered { step } else { 10 };
            let number = if numbered { format!("{sequence}{last} ") } else { String::new() };
            text += &format!(" {number}{rule}\n");
        }
        // So that no map protects nothing.
        text + " permit 253 any any\n remark the last\n"
    })
}

fn lists4() -> impl Strategy<Value = String> {
    lines("", || rules("ip", end4)).prop_map(|lines| format!("ip access-list extended LIST\n{lines}"))
}

fn lists6() -> impl Strategy<Value = String> {
    lines("sequence ", || rules("ipv6", end6)).prop_map(|lines| format!("ipv6 access-list LIST\n{lines}"))
}

/// Entries without their SPIs and keys, which [`numbered`] fills in.
fn maps(lists4: usize, lists6: usize, sets: Vec<(Suite, bool)>) -> impl Strategy<Value = String> {
    let entry =
        (0..sets.len(), 0..lists4, option::of(0..lists6.max(1)), option::of("[!-~]{1,20}"), 1_u8..250);
    let sequences = subsequence((1_u16..=65535).step_by(97).collect::<Vec<_>>(), 1..5);
    sequences.prop_flat_map(move |sequences| {
        let sets = sets.clone();
        vec(entry.clone(), sequences.len()).prop_map(move |entries| {
            let mut text = String::new();
            for (sequence, (set, list, list_6, description, peer)) in sequences.iter().zip(entries) {
                text += &format!("crypto map MAP {sequence} ipsec-manual\n set peer 203.0.113.{peer}\n");
                text.extend(description.map(|description| format!(" description {description}\n")));
                text += &format!(" set transform-set SET{set}\n match address {}\n", list4(list));
                text += [
                    " set security-association dummy disable\n",
                    " set security-association tfc-padding 64\n",
                    "",
                ][usize::from(peer % 3)];
                text += [" set udp-encapsulation\n", " set udp-encapsulation port 61000\n", "", ""]
                    [usize::from(peer % 4)];
                let list_6 = list_6.filter(|_| lists6 > 0);
                text.extend(list_6.map(|list| format!(" match address {}\n", list6(list))));
                let shape = sets[set].0.key_shape();
                let part = |word, len| if len == 0 { String::new() } else { format!(" {word} BYTES{len}") };
                let keys =
                    part("cipher", shape.cipher + shape.salt) + &part("authenticator", shape.integrity);
                text += &format!(
                    " set session-key inbound esp SPI{keys}\n set session-key outbound esp SPI{keys}\n"
                );
            }
            text
        })
    })
}

/// Gives each key line an SPI and keys that no other has.
fn numbered(map: &str, keys: &mut u32) -> String {
    let mut filled = |word: &str| {
        *keys += 1;
        match word.strip_prefix("BYTES") {
            Some(len) => {
                let rest = len.parse::<usize>().unwrap() * 2 - 8;
                format!("{}{:08x}", &"c0ffee".repeat(24)[..rest], *keys)
            }
            None if word == "SPI" => (1000 + *keys).to_string(),
            None => word.to_owned(),
        }
    };
    let mut line = |line: &str| line.split(' ').map(&mut filled).collect::<Vec<_>>().join(" ") + "\n";
    map.lines().map(&mut line).collect()
}

/// What IKE is told, and entries that use it. Each section ends whatever block was open.
fn negotiations() -> impl Strategy<Value = Vec<String>> {
    let hashes = || subsequence(vec!["sha1", "sha256", "sha384", "sha512"], 1..4).prop_shuffle();
    let groups = subsequence(vec!["2", "5", "14", "15", "16", "19", "20", "21", "31"], 1..5).prop_shuffle();
    let aead = subsequence(vec!["aes-gcm-128", "aes-gcm-192", "aes-gcm-256"], 1..3).prop_shuffle();
    let plain = subsequence(vec!["3des", "aes-cbc-128", "aes-cbc-192", "aes-cbc-256"], 1..4).prop_shuffle();
    let algorithms = prop_oneof![
        (aead, hashes()).prop_map(|(c, p)| format!(" encryption {}\n prf {}\n", c.join(" "), p.join(" "))),
        (plain, hashes()).prop_map(|(c, i)| format!(
            " encryption {}\n integrity {}\n",
            c.join(" "),
            i.join(" ")
        )),
    ];
    let key = || {
        let text = "[!-~]{1,40}".prop_filter("not a mask", |key| !key.starts_with("****"));
        prop_oneof![text.prop_map(|key| format!("0 {key}")), "hex ([0-9a-f]{2}){1,40}"]
    };
    let keys = prop_oneof![
        key().prop_map(|key| format!("  pre-shared-key {key}\n")),
        (key(), key())
            .prop_map(|(l, r)| format!("  pre-shared-key local {l}\n  pre-shared-key remote {r}\n")),
    ];
    let whose = select(vec![
        "  address 203.0.113.0/24\n",
        "  address 203.0.113.0 255.255.255.0\n  identity address 203.0.113.7\n",
    ]);
    let rules = vec![
        "address 203.0.113.0 255.255.255.0",
        "fqdn a.example",
        "fqdn domain example",
        "email a@example",
        "email domain example",
        "key-id x",
        "any",
        "address 2001:db8::/32",
    ];
    let rules = subsequence(rules, 1..8).prop_map(|mut rules| {
        rules.push("address 203.0.113.7");
        rules.iter().map(|rule| format!(" match identity remote {rule}\n")).collect::<String>()
    });
    let extra =
        vec![" lifetime 300\n", " reauth 600\n", " dpd 10 2 periodic\n", " identity local key-id us\n"];
    let extra = subsequence(extra, 0..5);
    let globals = vec![
        "crypto ikev2 dpd 30\n",
        "crypto ipsec security-association lifetime seconds 900\n",
        "crypto ipsec security-association lifetime kilobytes 5000\n",
        "crypto ipsec security-association dummy pps 25\n",
        "crypto ipsec security-association tfc-padding mtu\n",
    ];
    let of_entry = vec![
        " set pfs group20\n",
        " set security-association lifetime seconds 600\n",
        " set security-association lifetime kilobytes disable\n",
        " set security-association dummy seconds 3600\n",
        " set security-association tfc-padding 9600\n",
        " set peer 203.0.113.8\n",
    ];
    let parts = (
        algorithms,
        groups,
        keys,
        whose,
        rules,
        extra,
        subsequence(globals, 0..6),
        subsequence(of_entry, 0..7),
    );
    parts.prop_map(|(algorithms, groups, keys, whose, rules, extra, globals, of_entry)| {
        let sets = "crypto ipsec transform-set N1 esp-gcm 256 implicit-iv\ncrypto ipsec transform-set N2 esp-aes esp-sha256-hmac\n";
        let template = of_entry.iter().filter(|line| !line.contains("peer")).copied().collect::<String>();
        let mut sections = vec![
            format!("crypto ikev2 proposal P\n{algorithms} group {}\n", groups.join(" ")),
            "crypto ikev2 policy P\n proposal P\n".to_owned(),
            format!("crypto ikev2 keyring K\n peer one\n{whose}{keys}"),
            format!(
                "crypto ikev2 profile F\n{rules} authentication local pre-share\n authentication remote pre-share\n \
                 keyring local K\n{}",
                extra.concat()
            ),
            sets.to_owned(),
            format!("crypto dynamic-map D 7\n set transform-set N2\n set ikev2-profile F\n{template}"),
            "ip access-list extended NEGOTIATED\n permit ip any host 198.18.0.1\n".to_owned(),
            format!(
                "crypto map NEGOTIATED 5 ipsec-isakmp\n set peer 203.0.113.7\n set transform-set N1 N2\n \
                 set ikev2-profile F\n match address NEGOTIATED\n{}",
                of_entry.concat()
            ),
            "crypto map NEGOTIATED 9 ipsec-isakmp dynamic D\n".to_owned(),
            "crypto map NEGOTIATED 3 discard\n description nobody's\n match address NEGOTIATED\n".to_owned(),
            "interface negotiated\n device 0000:09:00.0\n ip address 10.200.0.1 255.255.255.0\n crypto map NEGOTIATED\n"
                .to_owned(),
        ];
        sections.extend(globals.iter().map(|line| (*line).to_owned()));
        sections
    })
}

/// The lines of an interface that have nothing to do with other interfaces.
fn interfaces() -> impl Strategy<Value = String> {
    let extra = vec![
        " description to the Internet, and back\n",
        " shutdown\n",
        " ip mtu 1400\n mtu 9000\n",
        " ipv6 mtu 1280\n",
        " ip tcp adjust-mss 1360\n",
        " ipv6 tcp adjust-mss 1340\n",
        " ip address 10.NUM.1.1 255.255.255.0 secondary\n",
        " ipv6 address 2001:db8:NUM::1/64\n ipv6 address 2001:db8:NUM:1::1/64\n",
        " mac-address 0200.5e00.000NUM\n",
        " encapsulation dot1Q 10NUM\n",
        " linux-name tapNUM\n",
    ];
    subsequence(extra, 0..11).prop_shuffle().prop_map(|lines| lines.concat())
}

fn place(place: usize, lines: &str) -> String {
    let name = ["GigabitEthernet0/NUM", "wan", "TenGigabitEthernet 0/0/NUM", "lan.NUM"][place % 4];
    let map = if place < MAPS { format!(" crypto map MAP{place}\n") } else { String::new() };
    let text = format!(
        "interface {name}\n ip address 10.NUM.0.1 255.255.255.0\n device 0000:01:00.NUM\n{lines}{map}"
    );
    text.replace("NUM", &place.to_string())
}

fn routes() -> impl Strategy<Value = String> {
    let distance = || option::of(1_u8..=254).prop_map(|d| d.map(|d| format!(" {d}")).unwrap_or_default());
    let target = select(vec!["192.0.2.9", "Null0", "GigabitEthernet 0/0", "gigabitethernet0/0 192.0.2.10"]);
    let target6 = select(vec!["2001:db8:9::9", "null0", "GigabitEthernet0/0 fe80::1"]);
    let v4 = (v4(), 0_u32..=32, target, distance()).prop_map(|(address, length, target, distance)| {
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        let prefix = Ipv4Addr::from(u32::from(address) & !host);
        format!("ip route {prefix} {} {target}{distance}\n", Ipv4Addr::from(!host))
    });
    let v6 = (v6(), 0_u32..=128, target6, distance()).prop_map(|(address, length, target, distance)| {
        let host = u128::MAX.checked_shr(length).unwrap_or(0);
        format!("ipv6 route {}/{length} {target}{distance}\n", Ipv6Addr::from(u128::from(address) & !host))
    });
    prop_oneof![v4, v6]
}
