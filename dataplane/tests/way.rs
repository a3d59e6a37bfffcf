//! The whole data plane as a process, between capture files: whatever comes in leaves by one door, and what one gateway
//! protects the other brings back, once.

#![allow(clippy::unwrap_used)]

mod gateway;

use acl::{Action, Rule};
use esp::find::{Found, find};
use esp::tunnel::Version;
use gateway::frames::{datagram, frame, tagged};
use gateway::{Dataplane, Outcome, PATIENCE, Site, doors, made, received, run};
use model::{Cipher, Direction, Hmac, IcvLen, KeyLen, Selector, Suite};
use packet::{ethernet, ipv4, ipv6, protocol};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shm::DropReason;

/// What hosts behind `site` send to hosts behind its peer: every size, both families.
fn conversation(site: &Site) -> Vec<Vec<u8>> {
    let sizes = (0..64).chain([100, 500, 1000, 1400, 1410, 1411, 1412]);
    sizes
        .flat_map(|size| {
            let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let four = datagram("10.1.0.9", "10.2.0.7", 64, &payload);
            let six = datagram("2001:db8:1::9", "2001:db8:2::7", 64, &payload);
            [four, six].map(|packet| frame(site.macs[0], site.neighbours[0], &packet))
        })
        .collect()
}

/// The conversation as it must arrive: two hops later, in frames of the far LAN.
fn arrived(site: &Site, peer: &Site) -> Vec<Vec<u8>> {
    let mut frames = conversation(site);
    for bytes in &mut frames {
        let (_, packet) = bytes.split_at_mut(ethernet::HEADER_LEN);
        for _ in 0..2 {
            match packet[0] >> 4 {
                4 => drop(ipv4::Packet::new_unchecked(&mut *packet).decrement_ttl()),
                _ => drop(ipv6::Packet::new_unchecked(&mut *packet).decrement_hop_limit()),
            }
        }
        let whole = frame(peer.neighbours[0], peer.macs[0], packet);
        *bytes = whole;
    }
    frames
}

fn drops(outcome: &Outcome, reason: DropReason) -> u64 {
    outcome.counters.drops().get(&reason).copied().unwrap_or(0)
}

/// Where the ESP header of a frame begins.
fn esp_at(frame: &[u8]) -> usize {
    let packet = &frame[ethernet::HEADER_LEN..];
    match find(Version::of(packet).unwrap(), packet) {
        Found::Esp { at, end, .. } if end == packet.len() => ethernet::HEADER_LEN + at,
        other => panic!("{other:?} in {packet:?}"),
    }
}

fn there_and_back(site: &Site) {
    let peer = site.peer();
    let sent = conversation(site);
    let count = sent.len() as u64;
    let here = run(site, &sent, &[]);
    assert_eq!(here.wan.len() as u64, count, "{:?}", here.counters.drops());
    assert!(here.lan.is_empty());
    assert_eq!(here.hits, count);
    assert_eq!(here.sas[0].counters.packets, count);
    assert_eq!(here.sas[0].next_sequence, site.first_sequence + count);
    for esp in &here.wan {
        esp_at(esp);
        let shows = |window: &[u8]| (0..16).all(|at| window[at] == window[0].wrapping_add(at as u8));
        assert!(is_readable(site.suite) || !esp.windows(16).any(shows));
    }

    // Every packet twice, and once with a bit turned over, first.
    let mut hostile = Vec::new();
    for (number, esp) in here.wan.iter().enumerate() {
        let mut tampered = esp.clone();
        // Somewhere behind the SPI and the sequence number: the IV, the text or the ICV.
        let at = esp_at(esp) + 8;
        let at = at + number * 7 % (esp.len() - at);
        tampered[at] ^= 1 << (number % 8);
        hostile.extend([tampered, esp.clone(), esp.clone()]);
    }
    let there = run(&peer, &[], &hostile);
    assert_eq!(there.lan, arrived(site, &peer), "{:?}", there.counters.drops());
    assert!(there.wan.is_empty());
    assert_eq!(there.sas[1].counters.packets, count);
    assert_eq!(there.sas[1].counters.auth_failed, count);
    assert_eq!(there.sas[1].counters.replayed, count);
    assert_eq!(there.sas[1].highest, site.first_sequence + count - 1);
    assert_eq!(drops(&there, DropReason::EspBadIcv), count);
    assert_eq!(drops(&there, DropReason::EspReplayed), count);
}

fn is_readable(suite: Suite) -> bool {
    matches!(suite, Suite::AesGmac { .. } | Suite::CipherHmac { cipher: Cipher::Null, .. })
}

#[test]
fn what_one_protects_the_other_brings_back() {
    there_and_back(&Site::a());
}

/// Each suite beside the usual one, by our own kernel or by a crypto device, some of them past a whole run of low halves.
#[test]
fn so_it_is_with_every_kind_of_suite() {
    let with = |cipher, hmac| Suite::CipherHmac { cipher, hmac };
    let suites = [
        Suite::AesGcm { key: KeyLen::Aes192, icv: IcvLen::Bytes8 },
        Suite::AesGcm { key: KeyLen::Aes256, icv: IcvLen::Bytes12 },
        Suite::AesGmac { key: KeyLen::Aes192 },
        Suite::ChaCha20Poly1305,
        Suite::ChaCha20Poly1305Iiv,
        Suite::AesGcmIiv { key: KeyLen::Aes256 },
        with(Cipher::AesCbc(KeyLen::Aes256), Hmac::Sha256),
        with(Cipher::AesCtr(KeyLen::Aes192), Hmac::Sha512),
        with(Cipher::TripleDesCbc, Hmac::Sha1),
        with(Cipher::Null, Hmac::Sha384),
    ];
    for (number, suite) in suites.into_iter().enumerate() {
        let (esn, first_sequence) = if number % 2 == 0 { (false, 1) } else { (true, (1 << 32) - 50) };
        there_and_back(&Site { suite, esn, first_sequence, ..Site::a() });
    }
}

/// By our own kernel and by a device.
#[test]
fn also_over_ipv6_and_in_udp() {
    let cbc = Suite::CipherHmac { cipher: Cipher::AesCbc(KeyLen::Aes128), hmac: Hmac::Sha1 };
    for suite in [Suite::AES_GCM_128, Suite::AesGmac { key: KeyLen::Aes256 }, Suite::ChaCha20Poly1305, cbc] {
        let over_v4 = Site { suite, ..Site::a() };
        let over_v6 = Site { local: "2001:db8:ffff::1", remote: "2001:db8:ffff::2", ..over_v4.clone() };
        there_and_back(&Site { udp_port: Some(4500), ..over_v4 });
        there_and_back(&Site { udp_port: Some(4500), ..over_v6.clone() });
        there_and_back(&over_v6);
    }
}

/// Both ports in VLANs: what is of another, or of none, is not theirs.
#[test]
fn frames_have_their_ports_vlan() {
    let site = Site { vlans: [Some(7), Some(4094)], ..Site::a() };
    let plain = conversation(&site);
    // A priority is no matter.
    let mut lan: Vec<Vec<u8>> = plain.iter().map(|frame| tagged(frame, 7 | 5 << 13)).collect();
    lan.extend([
        plain[0].clone(),
        tagged(&plain[0], 8),
        tagged(&plain[0], 0),
        tagged(&tagged(&plain[0], 7), 9),
    ]);
    lan.push(plain[0][..13].to_vec());
    let here = run(&site, &lan, &[]);
    assert_eq!(here.wan.len(), plain.len(), "{:?}", here.counters.drops());
    assert_eq!((drops(&here, DropReason::WrongVlan), drops(&here, DropReason::Runt)), (4, 1));
    let untagged: Vec<Vec<u8>> = here.wan.iter().map(|frame| [&frame[..12], &frame[16..]].concat()).collect();
    assert!(std::iter::zip(&here.wan, &untagged).all(|(frame, bare)| *frame == tagged(bare, 4094)));

    let peer = site.peer();
    let there = run(&peer, &[], &here.wan);
    let expected: Vec<Vec<u8>> = arrived(&site, &peer).iter().map(|frame| tagged(frame, 7)).collect();
    assert_eq!(there.lan, expected, "{:?}", there.counters.drops());
}

/// The low half of the sequence number passes zero on the way.
#[test]
fn also_where_the_extended_sequence_number_carries() {
    there_and_back(&Site { esn: true, first_sequence: (1 << 32) - 50, ..Site::a() });
}

/// Without a device that has the suite, its SA is refused and says why; what needs none is not touched by that.
#[test]
fn an_sa_without_a_device_is_refused_and_no_other() {
    let refused = |device: &str, suite| {
        let folder = tempfile::tempdir().unwrap();
        let mut dataplane = Dataplane::start_with(folder.path(), &["--crypto", device]);
        let mut control = dataplane.connect();
        let mut install = |suite| {
            let site = Site { suite, ..Site::a() };
            let commands = [Direction::Outbound, Direction::Inbound].map(|way| site.sa(way as u32, way));
            let commit = control.submit(&commands, true).unwrap();
            control.wait_ack(commit, PATIENCE)
        };
        install(Suite::AES_GCM_256).unwrap();
        install(Suite::AesGmac { key: KeyLen::Aes128 }).unwrap();
        let outcome = install(suite);
        // The refusal changed nothing, and the next transaction is as good as any.
        install(Suite::AES_GCM_128).unwrap();
        drop(control);
        dataplane.stop();
        outcome.err().map(|error| error.to_string())
    };
    let cbc = Suite::CipherHmac { cipher: Cipher::AesCbc(KeyLen::Aes128), hmac: Hmac::Sha1 };
    assert_eq!(refused("crypto_openssl", cbc), None);
    for (device, suite) in [("crypto_no_such", cbc), ("crypto_openssl", Suite::ChaCha20Poly1305)] {
        let said = refused(device, suite).unwrap();
        assert!(said.contains("librte-crypto-ipsec-mb23"), "{said}");
    }
}

/// An SA sends its last number, and nothing after it: with ESN or without, by our own kernel or by a crypto device.
#[test]
fn no_number_is_used_after_the_last() {
    for (esn, suite) in
        [(false, Suite::AES_GCM_128), (true, Suite::AES_GCM_128), (false, Suite::ChaCha20Poly1305)]
    {
        let last = esp::sequence::last(esn);
        let site = Site { esn, suite, first_sequence: last - 2, ..Site::a() };
        let sent = conversation(&site);
        let here = run(&site, &sent, &[]);
        assert_eq!(here.wan.len(), 3);
        let low = here.wan[2][esp_at(&here.wan[2]) + 4..][..4].to_vec();
        assert_eq!(low, (last as u32).to_be_bytes());
        let refused = sent.len() as u64 - 3;
        assert_eq!(drops(&here, DropReason::EspSequenceExhausted), refused);
        assert_eq!(here.sas[0].next_sequence, last + 1);
        let counters = here.sas[0].counters;
        assert_eq!((counters.packets, counters.expired, counters.other), (3, refused, 0));
        let there = run(&site.peer(), &[], &here.wan);
        assert_eq!((there.lan.len(), there.sas[1].highest), (3, last));
    }
}

/// Congestion that the inner header cannot speak of is a drop, and its SA counts it (RFC 6040, section 4.2).
#[test]
fn what_met_congestion_and_cannot_say_so_is_an_error_of_its_sa() {
    let site = Site::a();
    let packet = datagram("10.1.0.9", "10.2.0.7", 64, b"not ECN-capable");
    let mut sealed = run(&site, &[frame(site.macs[0], site.neighbours[0], &packet)], &[]).wan;
    let mut outer = ipv4::Packet::new_unchecked(&mut sealed[0][ethernet::HEADER_LEN..]);
    outer.set_ecn(packet::Ecn::Ce);
    let there = run(&site.peer(), &[], &sealed);
    assert_eq!(drops(&there, DropReason::EspEcnDrop), 1, "{:?}", there.counters.drops());
    assert_eq!(there.sas[1].counters.other, 1);
}

/// What comes in clear where the map wants it protected, or out of an SA that is not for it, is not let in.
#[test]
fn nothing_comes_in_that_policy_forbids() {
    let site = Site::a();
    let peer = site.peer();
    let from_outside = |packet: &[u8]| frame(peer.macs[1], peer.neighbours[1], packet);
    // In clear: towards the LAN (forbidden) and past the map (allowed).
    let forbidden = datagram("10.1.0.9", "10.2.0.7", 64, b"in clear");
    let allowed = datagram("198.51.100.1", "10.2.0.7", 64, b"not the tunnel's");
    // Through the SA: from addresses that it is not for. The sender's map is wider than the receiver's selectors.
    let wider =
        Site { inside: ["10.0.0.0/8", "2001:db8:1::/48"], beyond: ["10.0.0.0/8", "2001:db8:2::/48"], ..site };
    let stranger = datagram("10.77.0.9", "10.88.0.7", 64, b"not what the SA is for");
    let sealed = run(&wider, &[frame(wider.macs[0], wider.neighbours[0], &stranger)], &[]);
    assert_eq!(sealed.wan.len(), 1, "{:?}", sealed.counters.drops());
    let mut unknown = sealed.wan[0].clone();
    unknown[ethernet::HEADER_LEN + ipv4::HEADER_LEN] ^= 0x80;
    let wan = [from_outside(&forbidden), from_outside(&allowed), sealed.wan[0].clone(), unknown];
    let outcome = run(&peer, &[], &wan);
    assert_eq!(outcome.lan.len(), 1, "{:?}", outcome.counters.drops());
    assert!(outcome.lan[0].ends_with(b"not the tunnel's"));
    assert_eq!(drops(&outcome, DropReason::PolicyCleartext), 1);
    assert_eq!(drops(&outcome, DropReason::EspSelectorMismatch), 1);
    assert_eq!(drops(&outcome, DropReason::EspUnknownSpi), 1);
    assert_eq!(outcome.sas[1].counters.selector_mismatch, 1);
}

/// What a map lets out in no way does not come in either, as while the peer is awaited that is to protect it.
#[test]
fn what_is_discarded_passes_in_neither_direction() {
    let between = |a: &str, b: &str| Selector::between(a.parse().unwrap(), b.parse().unwrap()).unwrap();
    let discard = |selector| Rule::new(selector, Action::Discard);
    let rules = vec![
        discard(between("10.1.0.0/16", "10.2.0.0/16")),
        discard(between("2001:db8:1::/48", "2001:db8:2::/48")),
    ];
    let site = Site { rules: Some(rules), ..Site::a() };
    let outwards = conversation(&site);
    let inwards =
        [("10.2.0.7", "10.1.0.9"), ("2001:db8:2::7", "2001:db8:1::9"), ("198.51.100.1", "10.1.0.9")];
    let inwards = inwards.map(|(source, destination)| {
        frame(site.macs[1], site.neighbours[1], &datagram(source, destination, 64, b"in clear"))
    });
    let outcome = run(&site, &outwards, &inwards);
    assert!(outcome.wan.is_empty());
    assert_eq!(outcome.lan.len(), 1, "{:?}", outcome.counters.drops());
    assert_eq!(drops(&outcome, DropReason::PolicyDiscard), outwards.len() as u64 + 2);
}

/// Frames that come close to what a gateway does with them, and frames that are nothing at all.
fn any_frame(site: Site) -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 1..300);
    let ends = || {
        prop::sample::select(vec!["10.1.0.9", "10.2.0.7", "192.0.2.1", "192.0.2.2", "224.0.0.5", "8.8.8.8"])
    };
    let ends6 = || prop::sample::select(vec!["2001:db8:1::9", "2001:db8:2::7", "fe80::1", "ff02::1", "::1"]);
    let to = prop::sample::select(vec![site.macs[0], site.macs[1], [0xFF; 6], [1, 0, 0x5E, 0, 0, 5], [2; 6]]);
    let ip = prop_oneof![
        (ends(), ends(), 0u8..4, bytes.clone()).prop_map(|(s, d, ttl, p)| datagram(s, d, ttl, &p)),
        (ends6(), ends6(), 0u8..4, bytes.clone()).prop_map(|(s, d, ttl, p)| datagram(s, d, ttl, &p)),
        // What claims to be ESP to us, in UDP.
        (ends(), prop::sample::select(vec![0_usize, 1, 4, 5, 40]), bytes.clone()).prop_map(
            |(source, len, text)| {
                let text: Vec<u8> = text.into_iter().map(|byte| byte | 0xF0).take(len).collect();
                let mut packet = datagram(source, "192.0.2.1", 9, &text);
                packet[ipv4::HEADER_LEN + 2..ipv4::HEADER_LEN + 4].copy_from_slice(&4500_u16.to_be_bytes());
                packet
            }
        ),
        // What claims to be ESP to us.
        (ends(), prop::bool::ANY, bytes.clone()).prop_map(|(source, known, text)| {
            let mut esp = if known { 0x2001_u32.to_be_bytes().to_vec() } else { Vec::new() };
            esp.extend(text);
            let mut packet = vec![0; ipv4::HEADER_LEN + esp.len()];
            ipv4::Repr {
                source: source.parse().unwrap(),
                destination: "192.0.2.1".parse().unwrap(),
                protocol: protocol::ESP,
                tos: 0,
                ttl: 9,
                df: false,
                identification: 1,
                payload_len: esp.len(),
            }
            .emit(&mut packet)
            .unwrap();
            packet[ipv4::HEADER_LEN..].copy_from_slice(&esp);
            packet
        }),
    ];
    let ip = prop_oneof![
        5 => ip,
        // In fragments that may or may not fit each other: few identities, so that they meet.
        2 => (ends(), ends(), 0_u16..40, 0_u16..3, prop::sample::select(vec![17_u8, 50]), bytes.clone()).prop_map(
            |(source, destination, place, id, number, p)| {
                let mut packet = datagram(source, destination, 9, &p);
                packet[4..6].copy_from_slice(&id.to_be_bytes());
                packet[6..8].copy_from_slice(&((place / 2) | ((place % 2) << 13)).to_be_bytes());
                packet[9] = number;
                ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
                packet
            }
        ),
        1 => (ends6(), prop::sample::select(vec![17_u8, 50, 60]), 0_u16..20, bytes.clone()).prop_map(|(s, next, place, p)| {
            let mut packet = datagram(s, "2001:db8:1::9", 9, &p);
            packet[6] = protocol::FRAGMENT;
            let word = ((place / 2) << 3) | (place % 2);
            if let Some(header) = packet.get_mut(40..48) {
                header.copy_from_slice(&[next, 0, (word >> 8) as u8, word as u8, 0, 0, 0, 1]);
            }
            packet
        }),
        // Too long for the way out, with and without DF.
        1 => (ends(), ends(), 1300_usize..1560, any::<bool>()).prop_map(|(s, d, len, df)| {
            let mut packet = datagram(s, d, 9, &vec![3; len]);
            packet[6] = if df { 0x40 } else { 0 };
            ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet
        }),
        // What routers say, quoting anything.
        1 => (ends(), prop::sample::select(vec![0_u16, 60, 600, 1400]), bytes.clone()).prop_map(|(s, mtu, quoted)| {
            let mut packet = datagram(s, "192.0.2.1", 9, &quoted);
            packet[9] = protocol::ICMP;
            let [high, low] = mtu.to_be_bytes();
            packet[20..28].copy_from_slice(&[3, 4, 0, 0, 0, 0, high, low]);
            let sum = packet::checksum::checksum(&packet[20..]);
            packet[22..24].copy_from_slice(&sum.to_be_bytes());
            ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet
        }),
    ];
    let framed = (to, ip).prop_map(move |(to, packet)| frame(to, site.neighbours[0], &packet));
    prop_oneof![
        1 => bytes,
        4 => framed.clone(),
        // With some bytes overwritten, cut short, or with more behind it.
        4 => (framed, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<u16>()).prop_map(
            |(mut frame, spots, len)| {
                for (at, byte) in spots {
                    let at = at.index(frame.len());
                    frame[at] = byte;
                }
                match len % 4 {
                    0 => frame.truncate(1 + usize::from(len) % frame.len()),
                    1 => frame.extend(vec![0xEE; usize::from(len) % 64]),
                    _ => {}
                }
                frame
            }
        ),
    ]
}

/// Frames, shown by their number: the drop counters say more than all the bytes.
#[derive(Clone)]
struct Frames(Vec<Vec<u8>>);

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} frames", self.0.len())
    }
}

#[test]
fn every_packet_leaves_by_one_door() {
    // Each case is a start-up, so: few cases of many packets. scripts/hostile throws them by the million.
    let mut runner = TestRunner::new(Config { cases: 6, max_shrink_iters: 0, ..Config::default() });
    let mut site = Site::a();
    let narrow = |address: &str| shm::PortIp {
        mtu4: Some(1400),
        mtu6: Some(1400),
        mss4: Some(1000),
        address4: Some(address.parse().unwrap()),
        ..shm::PortIp::default()
    };
    site.ip = ["10.1.0.1", "192.0.2.1"].map(narrow);
    let frames = || prop::collection::vec(any_frame(site.clone()), 200..800).prop_map(Frames);
    runner
        .run(&(frames(), frames()), |(Frames(lan), Frames(wan))| {
            let outcome = run(&site, &lan, &wan);
            let sent = (lan.len() + wan.len()) as u64;
            let doors = doors(&outcome.counters);
            prop_assert_eq!(received(&outcome.counters), sent);
            prop_assert_eq!(
                doors.iter().sum::<u64>(),
                sent + made(&outcome.counters),
                "doors {:?}, drops {:?}",
                doors,
                outcome.counters.drops()
            );
            let written = (outcome.lan.len() + outcome.wan.len()) as u64;
            prop_assert_eq!(doors[0], written);
            // Without a mirror TAP nothing goes to Linux, and nothing can be at fault inside.
            prop_assert_eq!(doors[1], 0);
            prop_assert_eq!(drops(&outcome, DropReason::Internal), 0);
            // Nothing that the map protects leaves the WAN in clear.
            for bytes in &outcome.wan {
                let inner = |prefix: &[u8]| bytes.windows(prefix.len()).any(|window| window == prefix);
                prop_assert!(!inner(&[10, 1, 0, 9, 10, 2, 0, 7]));
            }
            Ok(())
        })
        .unwrap();
}
