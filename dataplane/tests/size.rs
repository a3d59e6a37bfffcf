//! Packets that are too long for their way, through the whole data plane: cut before or after encryption, or answered.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Outcome, Site, doors, made, received, run};
use model::{DontFragment, Fragmentation, SizeRules};
use packet::fragment::Cutter;
use packet::{checksum, ethernet, icmp, ipv4, ipv6, protocol};
use shm::{DropReason, PortIp};

/// A gateway whose WAN takes no more than that, and whose ports have addresses.
fn narrow(mtu: u16, size: SizeRules) -> Site {
    let lan = PortIp {
        address4: Some("10.1.0.1".parse().unwrap()),
        address6: Some("2001:db8:1::1".parse().unwrap()),
        ..PortIp::default()
    };
    let wan = PortIp { mtu4: Some(mtu), mtu6: Some(mtu.max(1280)), ..PortIp::default() };
    Site { ip: [lan, wan], size, ..Site::a() }
}

fn packet4(payload: usize, df: bool) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|byte| byte as u8).collect();
    let mut packet = datagram("10.1.0.9", "10.2.0.7", 64, &payload);
    packet[4..6].copy_from_slice(&[0x77, 0x01]);
    packet[6] = if df { 0x40 } else { 0 };
    ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
    packet
}

fn packet6(payload: usize) -> Vec<u8> {
    datagram("2001:db8:1::9", "2001:db8:2::7", 64, &vec![7; payload])
}

fn from_host(site: &Site, packet: &[u8]) -> Vec<u8> {
    frame(site.macs[0], site.neighbours[0], packet)
}

fn drops(outcome: &Outcome, reason: DropReason) -> u64 {
    outcome.counters.drops().get(&reason).copied().unwrap_or(0)
}

fn assert_conserved(outcome: &Outcome) {
    let counters = &outcome.counters;
    assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>(), "{counters:?}");
    assert_eq!(drops(outcome, DropReason::Internal), 0);
}

/// The MTU that the answer to the one packet sent names, if it is as it must be to the last byte but those.
fn answered(site: &Site, packet: &[u8]) -> Option<usize> {
    let outcome = run(site, &[from_host(site, packet)], &[]);
    assert_conserved(&outcome);
    let [answer] = &outcome.lan[..] else { return None };
    assert!(outcome.wan.is_empty());
    assert_eq!((drops(&outcome, DropReason::MtuExceeded), made(&outcome.counters)), (1, 1));
    assert_eq!(answer[..12], [site.neighbours[0], site.macs[0]].concat());
    let answer = &answer[ethernet::HEADER_LEN..];
    // What was forwarded has spent a hop when it is quoted.
    let mut seen = packet.to_vec();
    let (message, mtu) = if packet[0] >> 4 == 4 {
        ipv4::Packet::new_unchecked(&mut seen[..]).decrement_ttl();
        let header = ipv4::Packet::new_checked(answer).unwrap();
        header.verify_checksum().unwrap();
        assert_eq!(
            (header.source().to_string(), header.destination().to_string()),
            ("10.1.0.1".into(), "10.1.0.9".into())
        );
        let message = icmp::Packet::new_checked(header.payload()).unwrap();
        message.verify_checksum(0).unwrap();
        assert_eq!((message.message_type(), message.code()), (3, 4));
        (header.payload().to_vec(), message.rest() as usize)
    } else {
        ipv6::Packet::new_unchecked(&mut seen[..]).decrement_hop_limit();
        let header = ipv6::Packet::new_checked(answer).unwrap();
        assert_eq!(header.source().to_string(), "2001:db8:1::1");
        let (from, to) = (header.source().octets(), header.destination().octets());
        let sum = checksum::pseudo_header(&from, &to, header.payload_len().into(), protocol::ICMPV6);
        let message = icmp::Packet::new_checked(header.payload()).unwrap();
        message.verify_checksum(sum).unwrap();
        assert_eq!((message.message_type(), message.code()), (2, 0));
        (header.payload().to_vec(), message.rest() as usize)
    };
    assert!(seen.starts_with(&message[icmp::HEADER_LEN..]) && message.len() > 500);
    Some(mtu)
}

/// What an answer names passes, and what is one byte longer is answered again.
#[test]
fn an_answer_names_the_longest_that_passes() {
    for (number, mtu) in (1320_u16..1336).enumerate() {
        let over_v6 = Site {
            local: "2001:db8:ffff::1",
            remote: "2001:db8:ffff::2",
            ..narrow(mtu, SizeRules::default())
        };
        let sites = [
            narrow(mtu, SizeRules::default()),
            Site { udp_port: Some(4500), ..narrow(mtu, SizeRules::default()) },
            Site { suite: model::Suite::all().nth(number * 2).unwrap(), ..over_v6 },
        ];
        let site = &sites[number % sites.len()];
        let longest = answered(site, &packet4(1400, true)).unwrap();
        assert!((1200..usize::from(mtu)).contains(&longest), "{longest}");
        assert_eq!(answered(site, &packet4(longest - 27, true)), Some(longest));
        let passed = run(site, &[from_host(site, &packet4(longest - 28, true))], &[]);
        assert_eq!(passed.wan.len(), 1);
        assert!(passed.wan[0].len() <= usize::from(mtu) + ethernet::HEADER_LEN);
    }
}

/// IPv6 is told nothing below 1280 bytes; what is not longer is cut after encryption, and arrives.
#[test]
fn ipv6_has_its_1280_bytes() {
    let site = narrow(1500, SizeRules::default());
    let longest = answered(&site, &packet6(1480)).unwrap();
    assert_eq!(answered(&site, &packet6(longest - 47)), Some(longest));
    let site = narrow(1280, SizeRules::default());
    assert_eq!(answered(&site, &packet6(1233)), Some(1280));
    let passed = run(&site, &[from_host(&site, &packet6(1232))], &[]);
    assert_conserved(&passed);
    assert_eq!(passed.wan.len(), 2, "{:?}", passed.counters.drops());
    assert!(passed.wan.iter().all(|frame| ipv4::Packet::new_unchecked(&frame[14..]).is_fragment()));
}

/// What may be fragmented is: each fragment is a packet of its own to the peer, which forwards them as they were cut.
#[test]
fn fragments_before_encryption_arrive_as_fragments() {
    for df in [DontFragment::Copy, DontFragment::Set, DontFragment::Clear] {
        let site = narrow(1400, SizeRules { df, ..SizeRules::default() });
        let packet = packet4(1500, false);
        let here = run(&site, &[from_host(&site, &packet)], &[]);
        assert_conserved(&here);
        assert_eq!((here.wan.len(), made(&here.counters)), (2, 1), "{:?}", here.counters.drops());
        for esp in &here.wan {
            let outer = ipv4::Packet::new_checked(&esp[14..]).unwrap();
            assert_eq!((outer.has_df(), outer.is_fragment()), (df == DontFragment::Set, false));
            assert!(outer.total_len() <= 1400);
        }
        let there = run(&site.peer(), &[], &here.wan);
        let mut seen = packet.clone();
        for _ in 0..2 {
            ipv4::Packet::new_unchecked(&mut seen[..]).decrement_ttl();
        }
        assert_eq!(there.lan.len(), 2);
        let arrived: Vec<u8> = there.lan.iter().flat_map(|part| part[34..].to_vec()).collect();
        assert_eq!(arrived, seen[20..]);
    }
}

/// What came out of a tunnel and is too long for the hosts' link is answered into the tunnel, from an address that the other
/// end expects there, and not from that of the port by which the answer leaves.
#[test]
fn an_answer_into_a_tunnel_is_from_inside() {
    let site = narrow(1600, SizeRules::default());
    let lan = PortIp {
        address4: Some("10.2.0.1".parse().unwrap()),
        address6: Some("2001:db8:2::1".parse().unwrap()),
        mtu4: Some(1000),
        mtu6: Some(1300),
        ..PortIp::default()
    };
    let wan = PortIp {
        address4: Some("192.0.2.2".parse().unwrap()),
        address6: Some("2001:db8:ffff::2".parse().unwrap()),
        ..PortIp::default()
    };
    let peer = Site { ip: [lan, wan], ..site.peer() };
    for (packet, from, mtu) in
        [(packet4(1200, true), "10.2.0.1", 1000), (packet6(1300), "2001:db8:2::1", 1300)]
    {
        let here = run(&site, &[from_host(&site, &packet)], &[]);
        let there = run(&peer, &[], &here.wan);
        assert_conserved(&there);
        assert_eq!((there.wan.len(), there.lan.len()), (1, 0), "{:?}", there.counters.drops());
        let back = run(&site, &[], &there.wan);
        let [answer] = &back.lan[..] else { panic!("{:?}", back.counters.drops()) };
        let answer = &answer[ethernet::HEADER_LEN..];
        let (source, at) = if answer[0] >> 4 == 4 {
            (ipv4::Packet::new_unchecked(answer).source().to_string(), ipv4::HEADER_LEN)
        } else {
            (ipv6::Packet::new_unchecked(answer).source().to_string(), ipv6::HEADER_LEN)
        };
        assert_eq!(source, from);
        assert_eq!(icmp::Packet::new_checked(&answer[at..]).unwrap().rest(), mtu);
    }
}

/// In clear, too.
#[test]
fn a_router_fragments_or_answers() {
    let mut site = narrow(600, SizeRules::default());
    site.ip[0].mtu4 = Some(1500);
    let mut packet = packet4(1200, false);
    packet[16..20].copy_from_slice(&[192, 0, 2, 2]);
    ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
    let outcome = run(&site, &[from_host(&site, &packet)], &[]);
    assert_conserved(&outcome);
    let mut seen = packet.clone();
    ipv4::Packet::new_unchecked(&mut seen[..]).decrement_ttl();
    let mut cutter = Cutter::new(&seen, 600, None).unwrap();
    for part in &outcome.wan {
        let mut expected = vec![0; cutter.next_len().unwrap()];
        cutter.emit_next(&mut expected);
        assert_eq!(part[14..], expected);
    }
    assert_eq!((cutter.next_len(), outcome.wan.len()), (None, 3));
    packet[6] = 0x40;
    ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
    assert_eq!(answered(&site, &packet), Some(600));
}

/// Of a storm, few are answered; all are counted.
#[test]
fn answers_are_few() {
    let site = narrow(1400, SizeRules::default());
    let storm = vec![from_host(&site, &packet4(1500, true)); 3000];
    let outcome = run(&site, &storm, &[]);
    assert_conserved(&outcome);
    assert_eq!(drops(&outcome, DropReason::MtuExceeded), 3000);
    assert!((100..2000).contains(&outcome.lan.len()), "{}", outcome.lan.len());
}

/// Nobody is told of an error about an error, or of a fragment out of the middle.
#[test]
fn some_are_not_answered() {
    let site = narrow(1400, SizeRules::default());
    let mut error = packet4(1450, true);
    (error[9], error[20]) = (1, 3);
    let mut later = packet4(1450, true);
    later[7] = 9;
    for mut packet in [error, later] {
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        assert_eq!(answered(&site, &packet), None);
    }
}

/// After encryption, where that is wanted: no whole ESP packet is on the wire.
#[test]
fn fragments_after_encryption_are_of_esp() {
    let size = SizeRules { fragmentation: Fragmentation::AfterEncryption, ..SizeRules::default() };
    let site = narrow(1400, size);
    let over_v6 = Site { local: "2001:db8:ffff::1", remote: "2001:db8:ffff::2", ..site.clone() };
    let in_udp = Site { udp_port: Some(4500), ..site.clone() };
    for site in [site, over_v6, in_udp] {
        let here = run(&site, &[from_host(&site, &packet4(1500, false))], &[]);
        assert_conserved(&here);
        assert_eq!(here.wan.len(), 2, "{:?}", here.counters.drops());
        assert!(here.wan.iter().all(|frame| frame.len() <= 1414));
    }
}
