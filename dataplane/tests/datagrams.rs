//! Fragments on their way through a gateway whose policy knows flows by their ports (RFC 4301, section 7): what becomes of a
//! datagram is what the linear scan says of it whole, and what it wants protected never leaves in clear.

#![allow(clippy::unwrap_used)]

mod gateway;

use acl::{Action, KeyV4, KeyV6, Linear, Rule, Verdict};
use gateway::frames::{datagram, frame};
use gateway::{ENTRY, Outcome, Site, doors, made, received, run};
use model::{Marks, PortRange, Prefix, Protocol, Selector, TcpFlags};
use packet::fragment::{Cutter, Part};
use packet::{ethernet, ipv4, ipv6, protocol};
use proptest::prelude::*;
use shm::DropReason;

/// Few values, so that rules are met.
const HOSTS: u8 = 3;
const PORTS: u16 = 4;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const EXPEDITED: u8 = 46 << 2;

/// A packet before it is cut.
#[derive(Clone, Debug)]
struct Sent {
    v6: bool,
    hosts: (u8, u8),
    protocol: u8,
    ports: (u16, u16),
    /// Of TCP.
    flags: u8,
    class: u8,
    /// Destination options stand before the protocol, so that later fragments of IPv6 do not say it.
    hidden: bool,
    payload: usize,
    mtu: usize,
    /// One fragment is lost on the way.
    lost: Option<prop::sample::Index>,
}

impl Sent {
    fn addresses(&self) -> (String, String) {
        let (from, to) = self.hosts;
        match self.v6 {
            false => (format!("10.1.0.{from}"), format!("10.2.0.{to}")),
            true => (format!("2001:db8:1::{from}"), format!("2001:db8:2::{to}")),
        }
    }

    /// The packet, which is full of its number.
    fn packet(&self, number: u32) -> Vec<u8> {
        let (source, destination) = self.addresses();
        let mut packet = datagram(&source, &destination, 64, &vec![number as u8; self.payload]);
        let at = if self.v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        packet[at..at + 2].copy_from_slice(&self.ports.0.to_be_bytes());
        packet[at + 2..at + 4].copy_from_slice(&self.ports.1.to_be_bytes());
        packet[at + 13] = self.flags;
        if self.v6 {
            packet[..2].copy_from_slice(&(6 << 12 | u16::from(self.class) << 4).to_be_bytes());
            packet[6] = self.protocol;
            if self.hidden {
                packet[6] = protocol::DESTINATION_OPTIONS;
                packet.splice(at..at, [self.protocol, 0, 1, 4, 0, 0, 0, 0]);
                let len = (packet.len() - at) as u16;
                packet[4..6].copy_from_slice(&len.to_be_bytes());
            }
        } else {
            packet[1] = self.class;
            packet[6] = 0;
            packet[9] = self.protocol;
            packet[4..6].copy_from_slice(&(number as u16).to_be_bytes());
            ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        }
        packet
    }

    /// Bytes of it behind the IP header.
    fn behind(&self) -> usize {
        self.packet(0).len() - if self.v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
    }

    fn fragments(&self, number: u32) -> Vec<Vec<u8>> {
        let packet = self.packet(number);
        let mut cutter = Cutter::new(&packet, self.mtu, Some(number)).unwrap();
        let mut fragments = Vec::new();
        while let Some(len) = cutter.next_len() {
            let mut fragment = vec![0; len];
            cutter.emit_next(&mut fragment);
            fragments.push(fragment);
        }
        fragments
    }

    /// What the rules say of the whole.
    fn action(&self, rules: &[Rule]) -> Action {
        let (source, destination) = self.addresses();
        let has_ports = protocol::has_ports(self.protocol);
        let ((source_port, destination_port), protocol) = (self.ports, self.protocol);
        let tcp_flags = if protocol == protocol::TCP { TcpFlags::seen(self.flags) } else { TcpFlags::UNSEEN };
        let traffic_class = self.class;
        let mut verdict = [Verdict::NONE];
        if self.v6 {
            let bits = |address: String| address.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
            let (source, destination) = (bits(source), bits(destination));
            let key = KeyV6 {
                source,
                destination,
                source_port,
                destination_port,
                protocol,
                has_ports,
                tcp_flags,
                traffic_class,
            };
            Linear::new(rules).lookup_v6(&[key], &mut verdict);
        } else {
            let bits = |address: String| address.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
            let (source, destination) = (bits(source), bits(destination));
            let key = KeyV4 {
                source,
                destination,
                source_port,
                destination_port,
                protocol,
                has_ports,
                tcp_flags,
                traffic_class,
            };
            Linear::new(rules).lookup_v4(&[key], &mut verdict);
        }
        verdict[0].action().unwrap_or(Action::Bypass)
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let protocols = vec![protocol::UDP, protocol::UDP, protocol::TCP, 132, 47];
    (
        any::<bool>(),
        (1..=HOSTS, 1..=HOSTS),
        prop::sample::select(protocols),
        (0..PORTS, 0..PORTS),
        (prop::sample::select(vec![SYN, ACK, SYN | ACK]), prop::sample::select(vec![0, EXPEDITED])),
        any::<bool>(),
        300_usize..1400,
        300_usize..900,
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
    )
        .prop_map(|(v6, hosts, protocol, ports, (flags, class), hidden, payload, mtu, lost)| Sent {
            v6,
            hosts,
            protocol,
            ports,
            flags,
            class,
            hidden: v6 && hidden,
            payload,
            mtu,
            lost,
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    let ports = || {
        prop_oneof![
            Just(PortRange::ANY),
            (0..PORTS).prop_map(PortRange::single),
            (0..PORTS).prop_map(|to| PortRange::new(0, to).unwrap()),
        ]
    };
    let protocols = vec![Protocol::Any, Protocol::UDP, Protocol::TCP, Protocol::Number(47)];
    let actions = vec![Action::Protect(ENTRY), Action::Protect(ENTRY), Action::Bypass, Action::Discard];
    let hosts = || prop::option::of(1..=HOSTS);
    let none = Marks::ANY;
    let flags = |set, clear| Marks::flags(set, clear).unwrap();
    let marks = vec![none, none, flags(ACK, 0), flags(SYN, ACK), Marks::class(EXPEDITED, 0xFC)];
    (
        any::<bool>(),
        (hosts(), hosts()),
        prop::sample::select(protocols),
        (ports(), ports()),
        prop::sample::select(marks),
        prop::sample::select(actions),
    )
        .prop_map(|(v6, hosts, protocol, (from, to), marks, action)| {
            let prefix = |side: u8, host: Option<u8>| -> Prefix {
                let text = match (v6, host) {
                    (false, None) => format!("10.{side}.0.0/16"),
                    (false, Some(host)) => format!("10.{side}.0.{host}/32"),
                    (true, None) => format!("2001:db8:{side}::/48"),
                    (true, Some(host)) => format!("2001:db8:{side}::{host}/128"),
                };
                text.parse().unwrap()
            };
            let (source, destination) = (prefix(1, hosts.0), prefix(2, hosts.1));
            let selector = Selector::new(source, destination, protocol, from, to)
                .or_else(|_| Selector::new(source, destination, protocol, PortRange::ANY, PortRange::ANY));
            Rule { selector: selector.unwrap(), marks, action }
        })
}

fn is_esp(packet: &[u8]) -> bool {
    packet[if packet[0] >> 4 == 4 { 9 } else { 6 }] == protocol::ESP
}

/// The number of the datagram that a packet is of. One that is whole ends with it.
fn number(packet: &[u8]) -> usize {
    match Part::of(packet) {
        Some(part) => part.identity.identification as usize,
        None => packet.last().copied().unwrap().into(),
    }
}

fn packets(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame[ethernet::HEADER_LEN..].to_vec()).collect()
}

fn conserved(outcome: &Outcome) {
    let counters = &outcome.counters;
    assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>(), "{counters:?}");
    assert_eq!(counters.drops().get(&DropReason::Internal).copied().unwrap_or(0), 0);
}

proptest! {
    // Each takes two data planes.
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_datagrams_fragments_share_its_fate(
        rules in prop::collection::vec(rule(), 1..8), all in prop::collection::vec(sent(), 1..20), shuffle: u64,
    ) {
        let site = Site { rules: Some(rules.clone()), ..Site::a() };
        let mut frames = Vec::new();
        for (number, sent) in (0..).zip(&all) {
            let mut fragments = sent.fragments(number);
            if let Some(lost) = sent.lost {
                fragments.remove(lost.index(fragments.len()));
            }
            frames.extend(fragments.iter().map(|packet| frame(site.macs[0], site.neighbours[0], packet)));
        }
        // Of all datagrams mixed, in an order of chance.
        let mut state = shuffle;
        frames.sort_by_cached_key(|_| {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            state >> 32
        });
        let outcome = run(&site, &frames, &[]);
        conserved(&outcome);
        let (esp, clear): (Vec<_>, Vec<_>) = packets(&outcome.wan).into_iter().partition(|packet| is_esp(packet));
        let mut left = vec![0; all.len()];
        for packet in &clear {
            let sent = &all[number(packet)];
            prop_assert_eq!(sent.action(&rules), Action::Bypass, "{:?} in clear", sent);
            left[number(packet)] += 1;
        }
        let peer = site.peer();
        let sealed: Vec<_> = esp.iter().map(|packet| frame(peer.macs[1], peer.neighbours[1], packet)).collect();
        let opened = run(&peer, &[], &sealed);
        conserved(&opened);
        let mut arrived = vec![0; all.len()];
        for packet in packets(&opened.lan) {
            let sent = &all[number(&packet)];
            prop_assert_eq!(sent.action(&rules), Action::Protect(ENTRY), "{:?} was protected", sent);
            let part = Part::of(&packet);
            arrived[number(&packet)] += part.map_or(sent.behind(), |part| part.payload.len());
        }
        for (number, sent) in all.iter().enumerate().filter(|(_, sent)| sent.lost.is_none()) {
            let fragments = sent.fragments(0).len();
            let (clear, inside) = (left[number], arrived[number]);
            match sent.action(&rules) {
                Action::Bypass => prop_assert_eq!((clear, inside), (fragments, 0), "{:?}", sent),
                Action::Discard => prop_assert_eq!((clear, inside), (0, 0), "{:?}", sent),
                Action::Protect(_) => prop_assert_eq!((clear, inside), (0, sent.behind()), "{:?}", sent),
            }
        }
    }
}

/// What came in clear is refused with all its fragments if its ports say that it should have been protected or dropped, and let
/// through with all of them if they do not.
#[test]
fn a_datagrams_fragments_come_in_clear_together() {
    let any = PortRange::ANY;
    let rule = |(port, action): (u16, Action), (source, destination): (&str, &str)| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let selector = Selector::new(source, destination, Protocol::UDP, PortRange::single(port), any);
        Rule::new(selector.unwrap(), action)
    };
    let prefixes = [("10.1.0.0/16", "10.2.0.0/16"), ("2001:db8:1::/48", "2001:db8:2::/48")];
    let said = [(1, Action::Protect(ENTRY)), (3, Action::Discard)];
    let rules: Vec<Rule> =
        said.iter().flat_map(|&said| prefixes.map(|prefixes| rule(said, prefixes))).collect();
    let site = Site { rules: Some(rules.clone()), ..Site::a() };
    let sent = |v6, port| Sent {
        v6,
        hosts: (1, 2),
        protocol: protocol::UDP,
        ports: (port, 7),
        flags: 0,
        class: 0,
        hidden: false,
        payload: 1300,
        mtu: 600,
        lost: None,
    };
    // As if they came from beyond: the site's own view turned around.
    let mirror = Site { inside: site.beyond, beyond: site.inside, ..site.clone() };
    let (cleartext, discard) = (Some(DropReason::PolicyCleartext), Some(DropReason::PolicyDiscard));
    for (port, refused) in [(1, cleartext), (2, None), (3, discard)] {
        for v6 in [false, true] {
            let turned: Vec<Rule> =
                rules.iter().map(|rule| Rule { selector: rule.selector.reversed(), ..*rule }).collect();
            let site = Site { rules: Some(turned), ..mirror.clone() };
            let mut fragments = sent(v6, port).fragments(1);
            fragments.reverse();
            let frames: Vec<_> =
                fragments.iter().map(|packet| frame(site.macs[1], site.neighbours[1], packet)).collect();
            let outcome = run(&site, &[], &frames);
            conserved(&outcome);
            let count = fragments.len() as u64;
            let drops = outcome.counters.drops();
            let expected = refused.map(|reason| (reason, count));
            assert!(
                drops.iter().filter(|(_, count)| **count != 0).map(|(r, c)| (*r, *c)).eq(expected),
                "{drops:?}"
            );
            assert_eq!(outcome.lan.len() as u64, if refused.is_some() { 0 } else { count });
        }
    }
}
