//! What IOS has and Espalier does not: each is refused by its name, and with a reason.

use crate::source::{At, Word};

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

const IKEV1: &str = "it has no IKEv1 yet";
const IKEV2: &str =
    "agree on IKEv2 with the peer: write `crypto ikev2 proposal`, `policy`, `keyring` and `profile`";
const FILES: &str = "certificates come from files";
const TRUSTPOINT: &str = "write `crypto pki trustpoint NAME`, and `ca-certificate FILE` under it";

/// What would do instead, where something would.
pub(crate) fn mend(refusal: &Refusal) -> Option<&'static str> {
    match refusal.why {
        IKEV1 => Some(IKEV2),
        FILES => Some(TRUSTPOINT),
        LINUX => Some("remove the line, and set it in Linux"),
        _ => None,
    }
}

const PROMPT: &str = "it is said at the prompt, not in a configuration";
const IMAGES: &str = "Linux boots this machine";
const LINUX: &str = "that is Linux's on this machine";

/// At the beginning of a line, in any mode. Longer ones before their beginnings.
pub(crate) const TOP: [Refusal; 103] = [
    no_block(&["crypto", "isakmp", "policy"], IKEV1),
    no_block(&["crypto", "isakmp", "profile"], IKEV1),
    no_block(&["crypto", "isakmp", "client"], IKEV1),
    no(&["crypto", "isakmp"], IKEV1),
    no_block(&["crypto", "ikev2", "authorization"], "peers are given no addresses"),
    no_block(&["crypto", "ikev2", "name-mangler"], "peers are given no addresses"),
    no_block(&["crypto", "ikev2", "client"], "peers are given no addresses"),
    no(&["crypto", "ikev2", "cookie-challenge"], "cookies are asked for from 100 half-open IKE SAs on"),
    no(&["crypto", "ikev2", "fragmentation"], "fragments of IKE are agreed on by themselves (RFC 7383)"),
    no(&["crypto", "ikev2", "nat"], "keepalives are sent where there is a translator"),
    no(&["crypto", "ikev2", "limit"], "half-open IKE SAs are bounded by themselves"),
    no(&["crypto", "ikev2", "window"], "one request is under way at a time"),
    no(&["crypto", "ikev2", "http-url"], FILES),
    no(&["crypto", "ikev2", "certificate-cache"], FILES),
    no_block(&["crypto", "pki"], FILES),
    no_block(&["crypto", "ca"], FILES),
    no_block(&["crypto", "gdoi"], "group keys are not available"),
    no_block(&["crypto", "gkm"], "group keys are not available"),
    no_block(&["crypto", "identity"], IKEV1),
    no(&["crypto", "key"], "Espalier has no keys of its own"),
    no(&["crypto", "engine"], "crypto runs on the workers"),
    no(&["crypto", "logging"], "events are in `espalier stats`"),
    no(&["crypto", "ipsec", "security-association", "idle-time"], "SAs do not end for want of traffic"),
    no(
        &["crypto", "ipsec", "nat-transparency"],
        "IKE finds a translator by itself; an entry with manual keys says it by `set udp-encapsulation`",
    ),
    no(&["crypto", "ipsec", "optional"], "what a crypto map permits is protected or dropped"),
    no_block(&["ip", "access-list", "standard"], "a standard list says no destination"),
    no(&["ip", "nat"], "it translates no addresses"),
    no_block(&["ip", "vrf"], "VRFs are not available yet"),
    no_block(&["vrf"], "VRFs are not available yet"),
    no(&["ip", "prefix-list"], LINUX),
    no_block(&["ip", "sla"], LINUX),
    no(&["ip", "domain"], LINUX),
    no(&["ip", "domain-name"], LINUX),
    no(&["ip", "domain-lookup"], LINUX),
    no(&["ip", "host"], LINUX),
    no_block(&["ip", "dhcp"], LINUX),
    no(&["ip", "multicast-routing"], "multicast is not available"),
    no(&["ip", "flow-export"], "flows are not exported"),
    no(&["ip", "inspect"], "packet filters are not available yet"),
    no(&["ip", "local"], LINUX),
    no(&["ip", "scp"], LINUX),
    no(&["ip", "source-route"], "packets with source routes are Linux's on this machine"),
    no(&["ip", "subnet-zero"], "every subnet may be used"),
    no(&["ip", "classless"], "routes are always classless"),
    no(&["ip", "name-server"], LINUX),
    no(&["ip", "http"], LINUX),
    no(&["ip", "ssh"], LINUX),
    no(&["ip", "cef"], "every packet takes the fast way"),
    no(&["ip", "forward-protocol"], LINUX),
    no(&["ip", "default-gateway"], "write `ip route 0.0.0.0 0.0.0.0 GATEWAY`"),
    no(&["ipv6", "unicast-routing"], "IPv6 is always routed"),
    no(&["ipv6", "prefix-list"], LINUX),
    no_block(&["ipv6", "router"], "routing protocols run in Linux on this machine (FRR, BIRD)"),
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
    no(&["boot-start-marker"], IMAGES),
    no(&["boot-end-marker"], IMAGES),
    no_block(&["banner"], LINUX),
    no(&["cdp"], LINUX),
    no(&["lldp"], LINUX),
    no_block(&["object-group"], "rules name their addresses themselves"),
    no(&["zone"], "packet filters are not available yet"),
    no_block(&["zone-pair"], "packet filters are not available yet"),
    no_block(&["flow"], "flows are not exported"),
    no_block(&["track"], LINUX),
    no_block(&["event"], LINUX),
    no_block(&["call-home"], LINUX),
    no(&["platform"], "it runs on no router of Cisco's"),
    no(&["multilink"], "multilink PPP is not available"),
    no(&["mpls"], "MPLS is not available"),
    no_block(&["bridge-domain"], "it does not switch"),
    no_block(&["time-range"], "rules are the same at every time"),
    no_block(&["tacacs"], LINUX),
    no_block(&["radius"], LINUX),
    no(&["building", "configuration..."], PROMPT),
    no(&["current", "configuration"], PROMPT),
    no(&["configure"], PROMPT),
    no(&["show"], PROMPT),
    no(&["write"], PROMPT),
    no(&["copy"], PROMPT),
    no(&["debug"], PROMPT),
    no(&["clear"], PROMPT),
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
pub(crate) const INTERFACE: [Refusal; 48] = [
    no(&["ip", "nat"], "it translates no addresses"),
    no(&["ip", "access-group"], "packet filters are not available yet"),
    no(&["ip", "unnumbered"], "an interface has addresses of its own"),
    no(&["ip", "vrf"], "VRFs are not available yet"),
    no(&["vrf"], "VRFs are not available yet"),
    no(&["ip", "ospf"], "routing protocols run in Linux on this machine (FRR, BIRD)"),
    no(&["ip", "helper-address"], LINUX),
    no(&["ip", "redirects"], LINUX),
    no(&["ip", "unreachables"], LINUX),
    no(&["ip", "directed-broadcast"], LINUX),
    no(&["ip", "flow"], "flows are not exported"),
    no(&["ip", "igmp"], "multicast is not available"),
    no(&["ip", "pim"], "multicast is not available"),
    no(&["ip", "nhrp"], "tunnel interfaces are not available yet"),
    no(&["ip", "inspect"], "packet filters are not available yet"),
    no(&["ip", "virtual-reassembly"], "fragments are not put together on their way"),
    no(&["ip", "route-cache"], "every packet takes the fast way"),
    no(&["ip", "proxy-arp"], LINUX),
    no(&["ip", "verify"], "unicast RPF is not available yet"),
    no(&["ip", "policy"], "policy routing is not available"),
    no(&["ipv6", "enable"], "IPv6 is enabled by an address"),
    no(&["ipv6", "nd"], LINUX),
    no(&["ipv6", "ospf"], "routing protocols run in Linux on this machine (FRR, BIRD)"),
    no(&["ipv6", "traffic-filter"], "packet filters are not available yet"),
    no(&["duplex"], LINUX),
    no(&["speed"], LINUX),
    no(&["negotiation"], LINUX),
    no(&["tunnel"], "tunnel interfaces are not available yet"),
    no(&["standby"], "redundancy is not available yet"),
    no(&["vrrp"], "redundancy is not available yet"),
    no(&["service-policy"], "QoS is not available"),
    no(&["switchport"], "it does not switch"),
    no(&["channel-group"], "link aggregation is not available yet"),
    no(&["bandwidth"], LINUX),
    no(&["delay"], LINUX),
    no(&["media-type"], LINUX),
    no(&["carrier-delay"], LINUX),
    no(&["keepalive"], LINUX),
    no(&["arp"], LINUX),
    no(&["hold-queue"], LINUX),
    no(&["zone-member"], "packet filters are not available yet"),
    no(&["mpls"], "MPLS is not available"),
    no(&["ppp"], "PPP is not available"),
    no(&["pppoe"], "PPP is not available"),
    no(&["xconnect"], "it does not switch"),
    no(&["bridge-group"], "it does not switch"),
    no(&["service"], "it does not switch"),
    no(&["load-interval"], "counters are not averaged; see `espalier stats --watch`"),
];

/// Inside a `crypto map` entry.
pub(crate) const ENTRY: [Refusal; 8] = [
    no(&["set", "isakmp-profile"], IKEV1),
    no(&["set", "identity"], "a profile says who the peer is, by `match identity remote`"),
    no(&["set", "security-association", "level"], "an entry has one pair of SAs"),
    no(&["set", "security-association", "idle-time"], "SAs do not end for want of traffic"),
    no(
        &["set", "security-association", "replay"],
        "the window is the gateway's: `crypto ipsec security-association replay`",
    ),
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
