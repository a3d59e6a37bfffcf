//! What each statement means: text in, model out.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

use config::{
    ClassMatch, Config, Family, FlagMatch, IkeCipher, IkeIdentity, Negotiated, PortMatch, Proof,
    ReplayWindow, Rule, Secrets, Severity, StaticRoute, Target, Verb, parse, render,
};
use model::{DscpMap, Dummies, Hmac, KeyLen, Mode, Protocol, Suite, Tfc, TfcPadding};
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn good(text: &str) -> Config {
    match parse("good.conf", text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{text}\n{}", render(&errors, false)),
    }
}

/// The places and messages of the errors.
fn errors(text: &str) -> Vec<(usize, String)> {
    let Err(diagnostics) = parse("bad.conf", text) else { panic!("it was taken:\n{text}") };
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|error| (error.place.line, error.message.clone())).collect()
}

/// What each inner code point becomes outside.
#[test]
fn code_points_of_outer_headers() {
    let map = |text: &str| good(text).dscp().clone();
    assert!(map("").is_copy() && map("crypto ipsec dscp copy\n").is_copy());
    let hidden = map("crypto ipsec dscp set af21\n");
    assert!((0..64).all(|point| hidden.of(point) == 18));
    let mapped = map("crypto ipsec dscp map ef 0\ncrypto ipsec dscp map 63 cs1\n");
    let others = (0..64).filter(|&point| mapped.of(point) != point).collect::<Vec<u8>>();
    assert_eq!((mapped.of(46), mapped.of(63), others), (0, 8, vec![46, 63]));
    let both = map("crypto ipsec dscp map 8 8\ncrypto ipsec dscp set 0\n");
    let mut points = [0; DscpMap::POINTS];
    points[8] = 8;
    assert_eq!(Some(both), DscpMap::new(points));
}

/// The rule that a line of `access-list 100` means.
fn rule(line: &str) -> Rule {
    good(&format!("access-list 100 {line}\n")).access_lists()["100"].rules[0].clone()
}

fn rule6(line: &str) -> Rule {
    good(&format!("ipv6 access-list SIX\n {line}\n")).access_lists()["SIX"].rules[0].clone()
}

#[test]
fn the_whole_of_a_configuration() {
    let config = good(include_str!("../testdata/gateway.conf"));
    assert_eq!(config.hostname().unwrap().as_str(), "gw-a");
    assert_eq!(config.replay(), ReplayWindow::Packets(1024));
    let names: Vec<&str> = config.interfaces().iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["GigabitEthernet0/0", "lan", "spare"]);

    let wan = config.interface("gigabitethernet0/0").unwrap();
    assert_eq!(wan.device, "net_af_packet0,iface=veth-wan");
    assert_eq!(wan.linux_name.as_str(), "Gi0-0");
    assert_eq!(wan.description.as_deref(), Some("to the Internet"));
    assert_eq!(wan.mac.unwrap().bytes(), [2, 0, 0x5e, 0, 0, 1]);
    assert_eq!(wan.addresses, ["203.0.113.1/24".parse().unwrap()]);
    assert_eq!((wan.mtu, wan.shutdown), (1500, false));
    assert_eq!(wan.crypto_map.as_ref().unwrap().as_str(), "WAN");
    let lan = config.interface("lan").unwrap();
    assert_eq!(lan.linux_name.as_str(), "lan0");
    assert_eq!(lan.addresses, ["10.1.0.1/16".parse().unwrap(), "10.11.0.1/16".parse().unwrap()]);
    assert_eq!(lan.addresses6, ["2001:db8:1::1/64".parse().unwrap()]);
    assert_eq!((lan.mtu, &lan.crypto_map), (9000, &None));
    assert!(config.interface("spare").unwrap().shutdown);

    let set = &config.transform_sets()["STRONG"];
    assert_eq!((set.suite, set.mode, set.esn), (Suite::AES_GCM_256, Mode::Tunnel, true));
    let set = &config.transform_sets()["PLAIN"];
    assert_eq!((set.suite, set.mode, set.esn), (Suite::AES_GCM_128, Mode::Tunnel, false));

    let tunnels = config.tunnels();
    let [site, servers] = tunnels.as_slice() else { panic!("{tunnels:?}") };
    assert_eq!((site.entry.to_string(), servers.entry.to_string()), ("WAN 10".into(), "WAN 20".into()));
    assert_eq!(site.local, Ipv4Addr::new(203, 0, 113, 1));
    assert_eq!(site.peer, Ipv4Addr::new(203, 0, 113, 2));
    assert_eq!((site.mode, site.keys.udp_port), (Mode::Tunnel, None));
    assert_eq!((site.inbound.spi.get(), site.outbound.spi.get()), (256, 0x101));
    assert_eq!(site.outbound.key.expose()[..4], [0xf0, 1, 2, 3]);
    assert_eq!((site.suite, site.esn), (Suite::AES_GCM_256, true));
    assert_eq!(site.settings.description.as_deref(), Some("the other site"));
    assert_eq!(
        site.settings.access_lists.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["100", "SERVERS6"]
    );

    let list = &config.access_lists()["SERVERS"];
    assert_eq!(list.family, Family::Ipv4);
    assert_eq!(list.rules.iter().map(|rule| rule.sequence).collect::<Vec<_>>(), [10, 20, 30, 40]);
    assert_eq!(list.rules[1].remarks, ["no telnet"]);
    assert_eq!(config.access_lists()["100"].rules[0].remarks, ["everything between the two sites"]);
    assert_eq!(config.access_lists()["SERVERS6"].family, Family::Ipv6);

    let route =
        |prefix: &str, target, distance| StaticRoute { prefix: prefix.parse().unwrap(), target, distance };
    let out = |name: &str, gateway: &str| Target::Interface {
        name: config.interface(name).unwrap().name.clone(),
        gateway: Some(gateway.parse().unwrap()),
    };
    let routes = [
        route("10.2.0.0/16", Target::Gateway("203.0.113.2".parse().unwrap()), 1),
        route("0.0.0.0/0", out("GigabitEthernet0/0", "203.0.113.254"), 250),
        route("10.99.0.0/16", Target::Null, 1),
        route("2001:db8:2::/48", out("lan", "fe80::1"), 1),
    ];
    assert_eq!(config.routes(), routes);
}

#[test]
fn what_ike_is_told() {
    let config = good(include_str!("../testdata/ikev2.conf"));
    let gcm = &config.ike_proposals()["GCM"];
    assert_eq!(gcm.encryption, [IkeCipher::AesGcm(KeyLen::Aes256), IkeCipher::AesGcm(KeyLen::Aes128)]);
    assert_eq!((&*gcm.prf, &*gcm.integrity), (&[Hmac::Sha384, Hmac::Sha256][..], &[][..]));
    assert_eq!(gcm.groups.iter().map(|group| group.number()).collect::<Vec<_>>(), [31, 19]);
    let policy = &config.ike_policies()["DEFAULT"];
    assert_eq!(policy.proposals.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["GCM", "OLD"]);

    let profile = &config.ike_profiles()["SITES"];
    assert_eq!((profile.local, profile.remote), (Proof::PreShare, Proof::PreShare));
    assert_eq!((profile.lifetime, profile.reauth), (28_800, Some(86_400)));
    assert_eq!((profile.dpd, config.dpd()), (Some(30), Some(60)));
    let name = |text: &str| IkeIdentity::Fqdn(text.to_owned());
    assert_eq!(profile.identity, Some(name("gw-a.example.net")));
    assert!(profile.accepts(&name("GW-C.example.net")) && !profile.accepts(&name("gw-b.example.net")));
    let spokes = &config.ike_profiles()["SPOKES"];
    assert!(spokes.accepts(&name("gw-b.example.net")) && !spokes.accepts(&name("badexample.net")));
    assert!(spokes.accepts(&IkeIdentity::Email("a@example.net".to_owned())));
    assert_eq!(config.trustpoints()["CA"].private_key.as_deref(), Some("/etc/espalier/gw-a.key"));

    let negotiated = config.negotiated();
    let [site, other, spoke, last] = negotiated.as_slice() else { panic!("{negotiated:?}") };
    assert_eq!((site.entry.to_string(), site.dynamic.as_ref()), ("SITES 10".to_owned(), None));
    assert_eq!(site.negotiation.peers.len(), 2);
    assert_eq!(site.negotiation.pfs.unwrap().number(), 19);
    let lifetime = |negotiated: &Negotiated<'_>| {
        let lifetime = config.lifetime(negotiated.negotiation);
        (lifetime.time.unwrap().as_secs(), lifetime.bytes)
    };
    assert_eq!(lifetime(site), (3600, Some(4_608_000 << 10)));
    assert_eq!(lifetime(spoke), (28_800, None));
    let tfc = |negotiated: &Negotiated<'_>, mode| config.tfc(negotiated.negotiation.tfc, mode);
    let both = Tfc { padding: TfcPadding::Mtu, dummies: Dummies::PerSecond(5) };
    assert_eq!(tfc(site, Mode::Tunnel), both);
    assert_eq!(tfc(site, Mode::Transport), Tfc { padding: TfcPadding::None, ..both });
    assert_eq!(tfc(spoke, Mode::Tunnel), Tfc { padding: TfcPadding::UpTo(700), dummies: Dummies::None });
    assert_eq!(spoke.dynamic.as_ref().unwrap().to_string(), "SPOKES 10");
    assert_eq!((spoke.selectors.len(), last.selectors.len()), (1, 0));

    // The longest prefix has the key; where there is no profile, IKEv1's words are asked.
    let key = |negotiated: &Negotiated<'_>, peer: &str| {
        let key = config.shared_key(negotiated.negotiation, peer.parse().unwrap())?;
        Some(String::from_utf8_lossy(key.local.expose()).into_owned())
    };
    assert_eq!(key(site, "192.0.2.2").unwrap(), "5ec2e7-of-the-two");
    assert_eq!(key(site, "198.51.100.2").unwrap(), "5ec2e7-of-ours");
    assert_eq!(key(site, "192.0.2.9"), None);
    assert_eq!(key(other, "203.0.113.9").unwrap(), "5ec2e7-of-the-third");
    assert_eq!(key(other, "203.0.113.8").unwrap(), "5ec2e7-of-the-net");
    assert!(!format!("{config:?}").contains("5ec2e7"));
}

/// One key for whoever comes is the hole that IOS's examples have; a key for each is not.
#[test]
fn a_key_for_everybody_is_warned_of() {
    let dangers = |peer: &str| {
        let text = include_str!("../testdata/broken/wildcard.conf").replace(" frobnicate\n", "");
        let (_, said) = parse("hub.conf", &text.replace("  address 0.0.0.0 0.0.0.0\n", peer)).unwrap();
        said.iter().filter(|warning| warning.message.starts_with("DANGER")).count()
    };
    assert_eq!(dangers("  address 0.0.0.0 0.0.0.0\n"), 1);
    assert_eq!(dangers("  address 0.0.0.0\n"), 1);
    assert_eq!(dangers("  address 0.0.0.0 0.0.0.0\n  identity fqdn gw-b\n"), 0);
    assert_eq!(dangers("  address 192.0.2.0 255.255.255.0\n"), 0);
}

#[test]
fn verbs_protocols_and_addresses() {
    let plain = rule("permit ip any any");
    assert_eq!((plain.sequence, plain.verb, plain.protocol), (10, Verb::Permit, Protocol::Any));
    assert_eq!(plain.source, "0.0.0.0/0".parse().unwrap());
    assert_eq!(rule("deny ip any any").verb, Verb::Deny);
    for (name, number) in [
        ("tcp", 6),
        ("udp", 17),
        ("icmp", 1),
        ("esp", 50),
        ("ahp", 51),
        ("gre", 47),
        ("0", 0),
        ("255", 255),
        ("SCTP", 132),
    ] {
        assert_eq!(rule(&format!("permit {name} any any")).protocol, Protocol::Number(number), "{name}");
    }
    for (text, prefix) in [
        ("any", "0.0.0.0/0"),
        ("host 10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3 0.0.0.0", "10.1.2.3/32"),
        ("10.1.2.0 0.0.0.255", "10.1.2.0/24"),
        ("10.1.2.4 0.0.0.3", "10.1.2.4/30"),
        ("10.1.0.0 0.0.127.255", "10.1.0.0/17"),
        ("0.0.0.0 255.255.255.255", "0.0.0.0/0"),
        // IOS clears the bits behind the mask, too.
        ("10.1.2.3 0.0.0.255", "10.1.2.0/24"),
    ] {
        let rule = rule(&format!("permit ip {text} {text}"));
        assert_eq!(
            (rule.source, rule.destination),
            (prefix.parse().unwrap(), prefix.parse().unwrap()),
            "{text}"
        );
    }
    assert_eq!(rule6("permit ipv6 any host 2001:db8::1").destination, "2001:db8::1/128".parse().unwrap());
    assert_eq!(rule6("permit ipv6 2001:db8::/32 any").source, "2001:db8::/32".parse().unwrap());
    assert_eq!(rule6("permit icmp any any").protocol, Protocol::Number(58));
    assert_eq!(rule6("sequence 7 deny tcp any any").sequence, 7);
}

#[test]
fn ports_by_number_and_by_name() {
    for (text, ports) in [
        ("", PortMatch::Any),
        ("eq 80", PortMatch::Eq(80)),
        ("eq www", PortMatch::Eq(80)),
        ("neq 65535", PortMatch::Neq(65535)),
        ("lt 1", PortMatch::Lt(1)),
        ("gt 65534", PortMatch::Gt(65534)),
        ("range 1000 2000", PortMatch::Range(1000, 2000)),
        ("range ftp-data ftp", PortMatch::Range(20, 21)),
        ("range 7 7", PortMatch::Range(7, 7)),
    ] {
        assert_eq!(rule(&format!("permit tcp any {text} any")).source_port, ports, "{text}");
        assert_eq!(rule(&format!("permit tcp any any {text}")).destination_port, ports, "{text}");
        assert_eq!(rule6(&format!("permit tcp any any {text}")).destination_port, ports, "{text}");
    }
    let both = rule("permit udp any eq 500 any neq non500-isakmp");
    assert_eq!((both.source_port, both.destination_port), (PortMatch::Eq(500), PortMatch::Neq(4500)));
    // One name, and two ports.
    assert_eq!(rule("permit tcp any any eq cmd").destination_port, PortMatch::Eq(514));
    assert_eq!(rule("permit udp any any eq syslog").destination_port, PortMatch::Eq(514));
}

#[test]
fn flags_and_classes_by_number_and_by_name() {
    let (fin, syn, ack, urg) = (1, 2, 16, 32);
    for (text, flags) in [
        ("", FlagMatch::Any),
        ("established", FlagMatch::Established),
        ("match-all +syn -ack", FlagMatch::All { set: syn, clear: ack }),
        ("match-any +FIN -urg", FlagMatch::AnyOf { set: fin, clear: urg }),
        ("syn ack", FlagMatch::AnyOf { set: syn | ack, clear: 0 }),
    ] {
        assert_eq!(rule(&format!("permit tcp any any {text}")).flags, flags, "{text}");
        assert_eq!(rule6(&format!("permit tcp any any eq 80 {text}")).flags, flags, "{text}");
        let both = rule(&format!("permit tcp any any dscp ef {text}"));
        assert_eq!((both.flags, both.class), (flags, ClassMatch::Dscp(46)), "{text}");
    }
    for (text, class) in [
        ("dscp af11", ClassMatch::Dscp(10)),
        ("dscp 63", ClassMatch::Dscp(63)),
        ("precedence critical", ClassMatch::Precedence(5)),
        ("tos 15", ClassMatch::Tos(15)),
    ] {
        assert_eq!(rule(&format!("permit ip any any {text}")).class, class, "{text}");
    }
    for text in [
        "permit udp any any established",
        "permit tcp any any match-all",
        "permit tcp any any match-all +syn -syn",
        "permit tcp any any match-any syn",
        "permit tcp any any established ack",
        "permit ip any any dscp 64",
        "permit ip any any dscp ef tos 2",
    ] {
        let said = errors(&format!("ip access-list extended LIST\n {text}\n"));
        assert_eq!(said.len(), 1, "{text}");
    }
}

#[test]
fn numbers_of_rules_decide_their_order() {
    let config = good(
        "ip access-list extended LIST\n 20 permit tcp any any\n 5 deny udp any any\n permit 47 any any\n\
         access-list 100 permit tcp any any\naccess-list 100 permit udp any any\n\
         ip access-list extended 100\n 15 deny icmp any any\n",
    );
    let rules = |name: &str| -> Vec<(u32, Protocol)> {
        config.access_lists()[name].rules.iter().map(|rule| (rule.sequence, rule.protocol)).collect()
    };
    assert_eq!(rules("LIST"), [(5, Protocol::UDP), (20, Protocol::TCP), (30, Protocol::Number(47))]);
    // A numbered list goes on as a named one.
    assert_eq!(rules("100"), [(10, Protocol::TCP), (15, Protocol::Number(1)), (20, Protocol::UDP)]);
}

/// As in IOS: keywords in any case, `!` and blank lines anywhere, indentation as one likes, sections in any order and
/// several times, `exit` and `end`.
#[test]
fn form_says_nothing() {
    let plain = good(include_str!("../testdata/gateway.conf"));
    let text = include_str!("../testdata/gateway.conf");
    let flat: String =
        text.lines().map(|line| line.trim_start().to_owned() + "\r\n\r\n! a comment\r\n").collect();
    assert_eq!(good(flat.replace("end\r\n\r\n! a comment\r\n", "end\r\n\r\n").as_str()), plain);
    let wide: String =
        text.lines().map(|line| format!("  {}\n", line.replace(" permit ", "\tPERMIT   "))).collect();
    assert_eq!(good(&wide), plain);
    assert_eq!(good(&format!("\u{feff}{text}\n! after the end\n\n")), plain);
    let interface = "interface lan\n device a\nexit\ninterface LAN\n ip address 10.0.0.1 255.0.0.0\nend\n";
    assert_eq!(good(interface).interfaces().len(), 1);
    assert_eq!(
        good("interface lan\n device a\n no ip address\n no ipv6 address\n no shutdown\n").tunnels().len(),
        0
    );
    assert_eq!(good(""), Config::default());
}

#[test]
fn a_vlan_of_an_interface() {
    let vlan = |line: &str| format!("interface lan\n device a\n {line}\n");
    assert_eq!(good(&vlan("encapsulation dot1q 100")).interfaces()[0].vlan, Some(100));
    assert_eq!(good(&vlan("shutdown")).interfaces()[0].vlan, None);
    for bad in [
        "encapsulation dot1Q 0",
        "encapsulation dot1Q 4095",
        "encapsulation dot1Q 5 native",
        "encapsulation isl 5",
    ] {
        assert_eq!(errors(&vlan(bad)).len(), 1, "{bad}");
    }
}

/// Mode, where the tunnel begins, the port of ESP in UDP, and how many warnings there were.
type Seen = (Mode, String, Option<u16>, usize);

/// Entries of every mode and family, on an interface that has addresses of both.
fn tunnels(peer: &str, list: &str, extra: &str) -> Result<Seen, Vec<(usize, String)>> {
    let keys = "00".repeat(19);
    let text = format!(
        "interface wan\n device a\n ip address 192.0.2.1 255.255.255.0\n ipv6 address fe80::9/64\n \
         ipv6 address 2001:db8::1/64\n crypto map M\ncrypto ipsec transform-set T esp-gcm 128\n mode transport\n{list}\n\
         crypto map M 10 ipsec-manual\n set peer {peer}\n set transform-set T\n match address L\n{extra} \
         set session-key inbound esp 256 cipher {keys}01\n set session-key outbound esp 257 cipher {keys}02\n"
    );
    match parse("modes.conf", &text) {
        Ok((config, warnings)) => {
            let tunnels = config.tunnels();
            let again = good(&config.to_text(Secrets::Shown));
            assert_eq!(again, config);
            let [tunnel] = tunnels.as_slice() else { panic!("{tunnels:?}") };
            Ok((tunnel.mode, tunnel.local.to_string(), tunnel.keys.udp_port, warnings.len()))
        }
        Err(_) => Err(errors(&text)),
    }
}

#[test]
fn transport_mode_is_for_what_goes_between_the_ends() {
    let hosts = "access-list L permit ip host 192.0.2.1 host 192.0.2.2";
    let hosts = hosts.replace("access-list L", "ip access-list extended L\n");
    let one = |list: &str| tunnels("192.0.2.2", list, "").unwrap();
    assert_eq!(one(&hosts), (Mode::Transport, "192.0.2.1".into(), None, 0));
    assert_eq!(one(&hosts.replace(" ip host", " gre host")), (Mode::Transport, "192.0.2.1".into(), None, 0));
    for wider in [
        hosts.replace("host 192.0.2.2", "any"),
        hosts.replace("host 192.0.2.1", "host 192.0.2.9"),
        format!("{hosts}\n permit ip 10.0.0.0 0.255.255.255 any"),
    ] {
        assert_eq!(one(&wider), (Mode::Tunnel, "192.0.2.1".into(), None, 1), "{wider}");
    }
    let six = "ipv6 access-list L\n permit ipv6 host 2001:db8::1 host 2001:db8:9::2";
    let at = tunnels("2001:db8:9::2", six, "").unwrap();
    assert_eq!(at, (Mode::Transport, "2001:db8::1".into(), None, 0), "not the link-local address");
}

#[test]
fn esp_in_udp_and_peers_over_ipv6() {
    let any = "ipv6 access-list L\n permit ipv6 any any";
    for (line, port) in [
        (" set udp-encapsulation\n", Some(4500)),
        (" set udp-encapsulation port 61000\n", Some(61000)),
        ("", None),
    ] {
        assert_eq!(tunnels("2001:db8::2", any, line), Ok((Mode::Tunnel, "2001:db8::1".into(), port, 1)));
    }
    for (peer, extra) in [
        ("fe80::2", ""),
        ("::ffff:192.0.2.2", ""),
        ("ff02::1", ""),
        ("2001:db8::1", ""),
        ("192.0.2", ""),
        ("2001:db8::2", " set udp-encapsulation port 0\n"),
        ("2001:db8::2", " set udp-encapsulation port\n"),
        ("2001:db8::2", " set udp-encapsulation 4500 4500\n"),
    ] {
        assert!(tunnels(peer, any, extra).is_err(), "{peer} {extra}");
    }
    let text = "interface wan\n device a\n ip address 192.0.2.1 255.255.255.0\n crypto map M\n\
                crypto map M 10 ipsec-manual\n set peer 2001:db8::2\n";
    let said = errors(text);
    assert!(said.iter().any(|(line, said)| *line == 4 && said.contains("no IPv6 address")), "{said:?}");
}

/// Whatever a router can say beyond us is an error of its own line that names it, and says so only once a block.
#[test]
fn what_is_not_there_is_refused_by_name() {
    for (text, line, name) in [
        ("crypto isakmp policy 10\n encr aes 256\n group 14\n", 1, "`crypto isakmp policy`"),
        ("!\ncrypto isakmp profile P\n keyring default\n", 2, "`crypto isakmp profile`"),
        ("crypto pki certificate chain CA\n certificate ca 01\n", 1, "`crypto pki`"),
        ("crypto map M isakmp authorization list X\n", 1, "`isakmp`"),
        ("crypto ipsec transform-set T esp-des esp-sha-hmac\n", 1, "`esp-des`"),
        ("crypto ipsec transform-set T esp-aes 256 esp-md5-hmac\n", 1, "`esp-md5-hmac`"),
        ("crypto ipsec transform-set T ah-sha-hmac\n", 1, "`ah-sha-hmac`"),
        ("ip access-list standard S\n permit 10.0.0.0\n", 1, "`ip access-list standard`"),
        ("access-list 100 permit tcp any any reflect R\n", 1, "`reflect`"),
        ("ip nat inside source list 1 interface wan overload\n", 1, "`ip nat`"),
        ("router bgp 65000\n neighbor 192.0.2.1 remote-as 65001\n", 1, "`router`"),
        ("interface a\n device a\n ip access-group 100 in\n", 3, "`ip access-group`"),
        ("interface a\n device a\n ip address dhcp\n", 3, "`dhcp`"),
        ("ip route vrf RED 10.0.0.0 255.0.0.0 192.0.2.1\n", 1, "`vrf`"),
    ] {
        let said = errors(text);
        assert_eq!(said.len(), 1, "{text}{said:?}");
        assert_eq!(said[0].0, line, "{text}{said:?}");
        assert!(said[0].1.starts_with(name) && said[0].1.contains("not available"), "{text}{said:?}");
    }
}

/// Every suite's name is read as that suite, in whatever order IOS may have it, and what is weak is said to be.
#[test]
fn every_suite_has_its_words() {
    let read = |transforms: &str| {
        let (config, said) = parse("a", &format!("crypto ipsec transform-set T {transforms}\n")).unwrap();
        let weak = said.iter().filter(|warning| warning.message.contains("weak")).count();
        (config.transform_sets()["T"].suite, weak)
    };
    for suite in Suite::all() {
        assert_eq!(read(&suite.to_string()), (suite, suite.weaknesses().count()), "{suite}");
        if let Suite::CipherHmac { cipher, hmac } = suite {
            assert_eq!(read(&format!("{hmac} {cipher}")).0, suite, "{suite}");
        }
    }
    assert_eq!(read("esp-aes esp-sha-hmac").0, read("ESP-AES 128 ESP-SHA-HMAC").0);
    assert_eq!(read("esp-gcm 256 icv 16").0, Suite::AES_GCM_256);
}

#[test]
fn running_configuration_masks_keys() {
    let text = good(include_str!("../testdata/gateway.conf")).to_text(Secrets::Masked);
    assert!(text.contains(" set session-key inbound esp 256 cipher ****\n"), "{}", &*text);
    assert!(!text.contains("0001020304"), "{}", &*text);
}

proptest! {
    /// Of all masks just the netmasks make a prefix, and of all wildcard masks just their inverses.
    #[test]
    fn masks_are_prefixes(bits: u32, length in 0_u32..=32, is_mask: bool) {
        let mask = if is_mask { u32::MAX.checked_shl(32 - length).unwrap_or(0) } else { bits };
        let length = mask.leading_ones();
        let is_netmask = length + mask.trailing_zeros() == 32;
        let netmask = parse("a", &format!("ip route 0.0.0.0 {} Null0\n", Ipv4Addr::from(mask)));
        let wildcard = parse("a", &format!("access-list 100 permit ip 0.0.0.0 {} any\n", Ipv4Addr::from(!mask)));
        match is_netmask {
            true => {
                prop_assert_eq!(u32::from(netmask.unwrap().0.routes()[0].prefix.prefix_len()), length);
                let list = wildcard.unwrap().0.access_lists()["100"].clone();
                prop_assert_eq!(u32::from(list.rules[0].source.prefix_len()), length);
            }
            false => prop_assert!(netmask.is_err() && wildcard.is_err(), "{}", Ipv4Addr::from(mask)),
        }
    }
}
