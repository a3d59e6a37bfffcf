//! The vocabulary of IOS: names of protocols and ports, and everything that Espalier refuses by name.

use crate::Family;
use crate::source::{At, Word};
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
    const KNOWN: [(&str, &str); 13] = [
        ("established", "it keeps no state of connections"),
        ("log", "hits are counted for every rule, but not logged"),
        ("log-input", "hits are counted for every rule, but not logged"),
        ("fragments", "a rule without ports matches fragments, too"),
        ("dscp", "rules match addresses, protocols and ports"),
        ("precedence", "rules match addresses, protocols and ports"),
        ("tos", "rules match addresses, protocols and ports"),
        ("ttl", "rules match addresses, protocols and ports"),
        ("option", "rules match addresses, protocols and ports"),
        ("flow-label", "rules match addresses, protocols and ports"),
        ("time-range", "rules are the same at every time"),
        ("reflect", "it keeps no state of connections"),
        ("match-all", "rules match addresses, protocols and ports"),
    ];
    let known = KNOWN.iter().find(|(name, _)| word.is(name)).map(|(_, what)| *what);
    let icmp = matches!(protocol, Protocol::Number(1 | 58)) && !word.text.starts_with('!');
    known.or(icmp.then_some("rules do not look at ICMP types"))
}

/// Something that IOS has and Espalier does not.
pub(crate) struct Refusal {
    /// The words that it begins with.
    pub(crate) words: &'static [&'static str],
    /// What it is, or why not.
    pub(crate) why: &'static str,
    /// Lines of its own follow, which say nothing without it.
    pub(crate) block: bool,
}

const fn no(words: &'static [&'static str], why: &'static str) -> Refusal {
    Refusal { words, why, block: false }
}

const fn no_block(words: &'static [&'static str], why: &'static str) -> Refusal {
    Refusal { words, why, block: true }
}

const IKEV1: &str = "Espalier has no IKE yet";
const MANUAL: &str = "give the keys by `set session-key` in a `crypto map NAME SEQUENCE ipsec-manual`";

/// What would do instead, where something would.
pub(crate) fn mend(refusal: &Refusal) -> Option<&'static str> {
    match refusal.why {
        IKEV1 => Some(MANUAL),
        LINUX => Some("remove the line, and set it in Linux"),
        _ => None,
    }
}

const LINUX: &str = "that is Linux's on this machine";

/// At the beginning of a line, in any mode. Longer ones before their beginnings.
pub(crate) const TOP: [Refusal; 60] = [
    no_block(&["crypto", "isakmp", "policy"], IKEV1),
    no_block(&["crypto", "isakmp", "profile"], IKEV1),
    no_block(&["crypto", "isakmp", "client"], IKEV1),
    no(&["crypto", "isakmp"], IKEV1),
    no_block(&["crypto", "ikev2"], IKEV1),
    no_block(&["crypto", "keyring"], IKEV1),
    no_block(&["crypto", "dynamic-map"], IKEV1),
    no_block(&["crypto", "pki"], IKEV1),
    no_block(&["crypto", "ca"], IKEV1),
    no_block(&["crypto", "gdoi"], "group keys are not available"),
    no_block(&["crypto", "gkm"], "group keys are not available"),
    no_block(&["crypto", "identity"], IKEV1),
    no(&["crypto", "key"], "Espalier has no keys of its own"),
    no(&["crypto", "engine"], "crypto runs on the workers"),
    no(&["crypto", "logging"], "events are in `espalier stats`"),
    no_block(&["crypto", "ipsec", "profile"], "tunnel interfaces are not available yet"),
    no(&["crypto", "ipsec", "security-association", "lifetime"], "SAs with manual keys have no lifetime"),
    no(&["crypto", "ipsec", "security-association", "idle-time"], "SAs with manual keys never expire"),
    no(&["crypto", "ipsec", "df-bit"], "the DF bit is copied (RFC 4301, section 8.1)"),
    no(
        &["crypto", "ipsec", "fragmentation"],
        "packets are fragmented before they are encrypted, or not at all",
    ),
    no(&["crypto", "ipsec", "nat-transparency"], "ESP in UDP is not available yet"),
    no(&["crypto", "ipsec", "optional"], "what a crypto map permits is protected or dropped"),
    no_block(&["ip", "access-list", "standard"], "a standard list says no destination"),
    no(&["ip", "nat"], "it translates no addresses"),
    no_block(&["ip", "vrf"], "VRFs are not available yet"),
    no_block(&["vrf"], "VRFs are not available yet"),
    no(&["ip", "prefix-list"], LINUX),
    no_block(&["ip", "sla"], LINUX),
    no(&["ip", "domain"], LINUX),
    no(&["ip", "name-server"], LINUX),
    no(&["ip", "http"], LINUX),
    no(&["ip", "ssh"], LINUX),
    no(&["ip", "cef"], "every packet takes the fast way"),
    no(&["ip", "forward-protocol"], LINUX),
    no(&["ip", "default-gateway"], "write `ip route 0.0.0.0 0.0.0.0 GATEWAY`"),
    no(&["ipv6", "unicast-routing"], "IPv6 is always routed"),
    no(&["ipv6", "cef"], "every packet takes the fast way"),
    no_block(&["router"], "routing protocols run in Linux on this machine (FRR, BIRD)"),
    no_block(&["route-map"], LINUX),
    no_block(&["class-map"], "QoS is not available"),
    no_block(&["policy-map"], "QoS is not available"),
    no(&["version"], "it has no versions of IOS"),
    no(&["service"], LINUX),
    no(&["enable"], LINUX),
    no(&["username"], LINUX),
    no(&["aaa"], LINUX),
    no(&["snmp-server"], "statistics come from `espalier stats`"),
    no(&["logging"], LINUX),
    no(&["ntp"], LINUX),
    no(&["clock"], LINUX),
    no(&["boot"], LINUX),
    no(&["banner"], LINUX),
    no(&["license"], LINUX),
    no_block(&["line"], LINUX),
    no_block(&["archive"], LINUX),
    no_block(&["redundancy"], "redundancy is not available yet"),
    no_block(&["control-plane"], LINUX),
    no(&["spanning-tree"], "it does not switch"),
    no_block(&["vlan"], "it does not switch"),
    no_block(&["key"], LINUX),
];

/// Inside `interface`.
pub(crate) const INTERFACE: [Refusal; 26] = [
    no(&["ip", "nat"], "it translates no addresses"),
    no(&["ip", "access-group"], "packet filters are not available yet"),
    no(&["ip", "unnumbered"], "an interface has addresses of its own"),
    no(&["ip", "vrf"], "VRFs are not available yet"),
    no(&["vrf"], "VRFs are not available yet"),
    no(&["ip", "tcp"], "the MSS is not touched"),
    no(&["ip", "ospf"], "routing protocols run in Linux on this machine (FRR, BIRD)"),
    no(&["ip", "helper-address"], LINUX),
    no(&["ip", "proxy-arp"], LINUX),
    no(&["ip", "verify"], "unicast RPF is not available yet"),
    no(&["ip", "policy"], "policy routing is not available"),
    no(&["ipv6", "enable"], "IPv6 is enabled by an address"),
    no(&["ipv6", "nd"], LINUX),
    no(&["ipv6", "traffic-filter"], "packet filters are not available yet"),
    no(&["duplex"], LINUX),
    no(&["speed"], LINUX),
    no(&["negotiation"], LINUX),
    no(&["encapsulation"], "VLAN interfaces are not available yet"),
    no(&["tunnel"], "tunnel interfaces are not available yet"),
    no(&["standby"], "redundancy is not available yet"),
    no(&["vrrp"], "redundancy is not available yet"),
    no(&["service-policy"], "QoS is not available"),
    no(&["switchport"], "it does not switch"),
    no(&["channel-group"], "link aggregation is not available yet"),
    no(&["bandwidth"], LINUX),
    no(&["load-interval"], "counters are not averaged; see `espalier stats --watch`"),
];

/// Inside a `crypto map` entry.
pub(crate) const ENTRY: [Refusal; 8] = [
    no(&["set", "pfs"], IKEV1),
    no(&["set", "isakmp-profile"], IKEV1),
    no(&["set", "ikev2-profile"], IKEV1),
    no(&["set", "identity"], IKEV1),
    no(&["set", "security-association"], "SAs with manual keys neither expire nor differ by entry"),
    no(&["set", "ip"], "packet filters are not available yet"),
    no(&["reverse-route"], "write the routes by `ip route`"),
    no(&["qos"], "QoS is not available"),
];

/// The first of the table that these words begin with, and where it stands in the line.
pub(crate) fn refusal<'r>(table: &'r [Refusal], words: &[Word<'_>]) -> Option<(&'r Refusal, At)> {
    let refusal = table.iter().find(|refusal| {
        refusal.words.len() <= words.len()
            && refusal.words.iter().zip(words).all(|(known, word)| word.is(known))
    })?;
    let first = words.first()?;
    let last = words.get(refusal.words.len() - 1)?;
    Some((refusal, first.at.to(last.at)))
}
