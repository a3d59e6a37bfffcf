//! ICMP errors out of a tunnel, from routers that no selector names (RFC 4301, section 6.2).

#![allow(clippy::unwrap_used)]

mod gateway;

use acl::{Action, Rule};
use gateway::frames::{datagram, frame};
use gateway::{ENTRY, Site, run};
use model::Selector;
use packet::{icmp, ipv4, ipv6, protocol};
use shm::DropReason;

/// An ICMP message of a type, with what it quotes.
fn message(from: &str, to: &str, kind: u8, quoted: &[u8]) -> Vec<u8> {
    // A packet of the right size, which then becomes another.
    let mut packet = datagram(from, to, 64, quoted);
    let v6 = packet[0] >> 4 == 6;
    let at = if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    packet[if v6 { 6 } else { 9 }] = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
    packet[at..at + icmp::HEADER_LEN].copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    if !v6 {
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
    }
    packet
}

#[test]
fn errors_are_judged_by_what_they_quote() {
    let site = Site::a();
    // What routers beyond the peer say goes into the tunnel there.
    let all = [("0.0.0.0/0", "10.1.0.0/16"), ("::/0", "2001:db8:1::/48")];
    let rules = all.map(|(from, to)| {
        Rule::new(
            Selector::between(from.parse().unwrap(), to.parse().unwrap()).unwrap(),
            Action::Protect(ENTRY),
        )
    });
    let peer = Site { rules: Some(rules.to_vec()), ..site.peer() };
    let families = [
        ("203.0.113.9", "10.1.0.9", "10.1.0.8", "10.2.0.7", "10.3.0.7", 11, 8),
        ("2001:db8:9::1", "2001:db8:1::9", "2001:db8:1::8", "2001:db8:2::7", "2001:db8:3::7", 3, 128),
    ];
    for (router, host, other, beyond, elsewhere, error, echo) in families {
        // A router quotes what it got; often no more than the beginning.
        let sent = |from: &str, to: &str| datagram(from, to, 60, &[5; 600])[..100].to_vec();
        let about = sent(host, beyond);
        let messages = [
            (true, message(router, host, error, &about)),
            (true, message(router, host, error, &about[..if about[0] >> 4 == 6 { 48 } else { 28 }])),
            // About what did not go there; about what another one sent; about what came from there.
            (false, message(router, host, error, &sent(host, elsewhere))),
            (false, message(router, other, error, &about)),
            (false, message(router, host, error, &sent(beyond, host))),
            // No error; nothing quoted; too little of it; not even a header.
            (false, message(router, host, echo, &about)),
            (false, message(router, host, error, &[])),
            (false, message(router, host, error, &about[..22])),
            (false, message(router, host, error, &about[..10])),
        ];
        let frames: Vec<_> =
            messages.iter().map(|(_, packet)| frame(peer.macs[0], peer.neighbours[0], packet)).collect();
        let sealed = run(&peer, &frames, &[]).wan;
        assert_eq!(sealed.len(), messages.len());
        let outcome = run(&site, &[], &sealed);
        let through: Vec<Vec<u8>> = outcome.lan.iter().map(|frame| frame[14..].to_vec()).collect();
        let meant = messages.iter().filter(|(meant, _)| *meant).count();
        assert_eq!(through.len(), meant, "{:?}", outcome.counters.drops());
        let refused = outcome.counters.drops()[&DropReason::EspSelectorMismatch];
        assert_eq!(refused, (messages.len() - meant) as u64);
    }
}
