//! The vocabulary of IOS: names of protocols and ports, and what its rules can say beyond ours.

use crate::Family;
use crate::source::Word;
use model::Protocol;

/// Names of protocols, with their numbers (`None`: every protocol), and for which family if not for both.
pub(crate) const PROTOCOLS: [(&str, Option<u8>, Option<Family>); 18] = [
    ("ip", None, Some(Family::Ipv4)),
    ("ipv6", None, Some(Family::Ipv6)),
    ("tcp", Some(6), None),
    ("udp", Some(17), None),
    ("icmp", Some(1), Some(Family::Ipv4)),
    ("icmp", Some(58), Some(Family::Ipv6)),
    ("sctp", Some(132), None),
    ("esp", Some(50), None),
    ("ahp", Some(51), None),
    ("gre", Some(47), None),
    ("ospf", Some(89), None),
    ("eigrp", Some(88), Some(Family::Ipv4)),
    ("igmp", Some(2), Some(Family::Ipv4)),
    ("ipinip", Some(4), Some(Family::Ipv4)),
    ("nos", Some(94), Some(Family::Ipv4)),
    ("pcp", Some(108), None),
    ("pim", Some(103), None),
    ("vrrp", Some(112), None),
];

/// Names of ports as IOS prints them; the port, and whether for TCP, for UDP.
const PORTS: [(&str, u16, bool, bool); 44] = [
    ("bgp", 179, true, false),
    ("biff", 512, false, true),
    ("bootpc", 68, false, true),
    ("bootps", 67, false, true),
    ("chargen", 19, true, false),
    ("cmd", 514, true, false),
    ("daytime", 13, true, false),
    ("discard", 9, true, true),
    ("domain", 53, true, true),
    ("echo", 7, true, true),
    ("exec", 512, true, false),
    ("finger", 79, true, false),
    ("ftp", 21, true, false),
    ("ftp-data", 20, true, false),
    ("gopher", 70, true, false),
    ("hostname", 101, true, false),
    ("ident", 113, true, false),
    ("irc", 194, true, false),
    ("isakmp", 500, false, true),
    ("klogin", 543, true, false),
    ("kshell", 544, true, false),
    ("login", 513, true, false),
    ("lpd", 515, true, false),
    ("nameserver", 42, false, true),
    ("netbios-dgm", 138, false, true),
    ("netbios-ns", 137, false, true),
    ("netbios-ss", 139, false, true),
    ("nntp", 119, true, false),
    ("non500-isakmp", 4500, false, true),
    ("ntp", 123, false, true),
    ("pop2", 109, true, false),
    ("pop3", 110, true, false),
    ("rip", 520, false, true),
    ("smtp", 25, true, false),
    ("snmp", 161, false, true),
    ("snmptrap", 162, false, true),
    ("sunrpc", 111, true, true),
    ("syslog", 514, false, true),
    ("tacacs", 49, true, true),
    ("telnet", 23, true, false),
    ("tftp", 69, false, true),
    ("time", 37, true, true),
    ("whois", 43, true, false),
    ("www", 80, true, false),
];

/// What people call ports, and what IOS calls them.
pub(crate) const PORT_MISNOMERS: [(&str, &str); 8] = [
    ("dhcp", "bootps"),
    ("dns", "domain"),
    ("http", "www"),
    ("https", "443"),
    ("ike", "isakmp"),
    ("ldap", "389"),
    ("rdp", "3389"),
    ("ssh", "22"),
];

pub(crate) fn port_by_name(name: &str, protocol: Protocol) -> Option<u16> {
    let fits = |(known, _, tcp, udp): &&(&str, u16, bool, bool)| {
        known.eq_ignore_ascii_case(name)
            && (*tcp && protocol == Protocol::TCP || *udp && protocol == Protocol::UDP)
    };
    PORTS.iter().find(fits).map(|(_, port, ..)| *port)
}

/// The names of a protocol's ports.
pub(crate) fn port_names(protocol: Protocol) -> impl Iterator<Item = &'static str> {
    let of = move |(_, _, tcp, udp): &&(&str, u16, bool, bool)| {
        *tcp && protocol == Protocol::TCP || *udp && protocol == Protocol::UDP
    };
    PORTS.iter().filter(of).map(|(name, ..)| *name)
}

/// What IOS can write at the end of a rule and Espalier does not have.
pub(crate) fn not_in_rules(word: &Word<'_>, protocol: Protocol) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 8] = [
        ("log", "hits are counted for every rule, but not logged"),
        ("log-input", "hits are counted for every rule, but not logged"),
        ("fragments", "a rule without ports matches fragments, too"),
        ("ttl", "rules match addresses, protocols and ports"),
        ("option", "rules match addresses, protocols and ports"),
        ("flow-label", "rules match addresses, protocols and ports"),
        ("time-range", "rules are the same at every time"),
        ("reflect", "it keeps no state of connections"),
    ];
    let known = KNOWN.iter().find(|(name, _)| word.is(name)).map(|(_, what)| *what);
    let icmp = matches!(protocol, Protocol::Number(1 | 58)) && !word.text.starts_with('!');
    known.or(icmp.then_some("rules do not look at ICMP types"))
}
