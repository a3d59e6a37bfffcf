//! Fragments to the gateway, through the whole data plane: put together before decryption, and never believed twice.

#![allow(clippy::unwrap_used)]

mod gateway;

use acl::{Action, Rule};
use gateway::frames::{datagram, frame};
use gateway::{ENTRY, Outcome, Site, doors, made, received, run};
use model::{PortRange, Protocol, Selector};
use packet::fragment::Cutter;
use packet::{ethernet, ipv4, protocol};
use shm::DropReason;

fn drops(outcome: &Outcome, reason: DropReason) -> u64 {
    outcome.counters.drops().get(&reason).copied().unwrap_or(0)
}

fn assert_conserved(outcome: &Outcome) {
    let counters = &outcome.counters;
    assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>(), "{counters:?}");
    assert_eq!(drops(outcome, DropReason::Internal), 0);
}

/// A frame in fragments; each packet has an identification of its own.
fn cut(frame: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let (header, packet) = frame.split_at(ethernet::HEADER_LEN);
    let mut cutter = Cutter::new(packet, mtu, Some(identification)).unwrap();
    let mut fragments = Vec::new();
    while let Some(len) = cutter.next_len() {
        let mut fragment = [header, &vec![0; len]].concat();
        cutter.emit_next(&mut fragment[ethernet::HEADER_LEN..]);
        fragments.push(fragment);
    }
    fragments
}

/// Packets of many sizes, sealed by a gateway.
fn sealed(site: &Site) -> Vec<Vec<u8>> {
    let sizes = [300, 700, 1100, 1400];
    let frames: Vec<Vec<u8>> = sizes
        .map(|size| datagram("10.1.0.9", "10.2.0.7", 64, &vec![size as u8; size]))
        .iter()
        .map(|packet| frame(site.macs[0], site.neighbours[0], packet))
        .collect();
    let outcome = run(site, &frames, &[]);
    assert_eq!(outcome.wan.len(), sizes.len(), "{:?}", outcome.counters.drops());
    outcome.wan
}

fn sites() -> [Site; 4] {
    let v4 = Site::a();
    let v6 = Site { local: "2001:db8:ffff::1", remote: "2001:db8:ffff::2", ..Site::a() };
    let in_udp = |site: &Site| Site { udp_port: Some(4500), ..site.clone() };
    [in_udp(&v4), in_udp(&v6), v4, v6]
}

#[test]
fn esp_in_fragments_is_put_together() {
    for site in sites() {
        let whole = sealed(&site);
        let mut fragments: Vec<Vec<u8>> =
            (1..).zip(&whole).flat_map(|(number, frame)| cut(frame, 256, number)).collect();
        // Of all packets mixed, and the last before the first.
        fragments.reverse();
        fragments.sort_by_key(|fragment| fragment.len() % 7);
        let count = fragments.len() as u64;
        let outcome = run(&site.peer(), &[], &fragments);
        assert_conserved(&outcome);
        assert_eq!(outcome.lan.len(), whole.len(), "{:?}", outcome.counters.drops());
        let merged: u64 = outcome.counters.workers.iter().map(|worker| worker.merged).sum();
        assert_eq!(merged, count - whole.len() as u64);
    }
}

/// A packet that no buffer but a large one holds, sealed whole as its policy asks for ports, is put together and opened.
#[test]
fn a_giant_is_put_together() {
    let ports = PortRange::single(1000);
    let (inside, beyond) = ("10.1.0.0/16".parse().unwrap(), "10.2.0.0/16".parse().unwrap());
    let selector = Selector::new(inside, beyond, Protocol::UDP, ports, PortRange::ANY).unwrap();
    let site = Site { rules: Some(vec![Rule::new(selector, Action::Protect(ENTRY))]), ..Site::a() };
    let payload: Vec<u8> = (0..60_000_u32).map(|byte| ((byte * 7) >> 4) as u8).collect();
    let giant = datagram("10.1.0.9", "10.2.0.7", 64, &payload);
    let here = run(&site, &cut(&frame(site.macs[0], site.neighbours[0], &giant), 1500, 7), &[]);
    assert_conserved(&here);
    assert!(here.wan.len() > 37, "{:?}", here.counters.drops());
    assert_eq!(here.sas[0].counters.packets, 1);
    let there = run(&site.peer(), &[], &here.wan);
    assert_conserved(&there);
    let arrived: Vec<u8> = there.lan.iter().flat_map(|part| part[34..].to_vec()).collect();
    assert!(arrived == giant[20..], "{} bytes came: {:?}", arrived.len(), there.counters.drops());
}

/// A payload as long as a packet may be, whose header makes it longer than that.
#[test]
fn nothing_is_longer_than_a_packet_can_be() {
    let site = Site::a();
    let part = |offset: usize| {
        let len = (65_535 - offset).min(1480);
        let mut packet = datagram("192.0.2.2", "192.0.2.1", 64, &vec![1; len - 8]);
        packet[9] = protocol::ESP;
        let more = if offset + len < 65_535 { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&(more | (offset as u16 / 8)).to_be_bytes());
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        frame(site.macs[1], site.neighbours[1], &packet)
    };
    let fragments: Vec<Vec<u8>> = (0..65_535).step_by(1480).map(part).collect();
    let outcome = run(&site, &[], &fragments);
    assert_conserved(&outcome);
    assert_eq!(drops(&outcome, DropReason::IpFragment), 45, "{:?}", outcome.counters.drops());
}

/// What overlaps takes all of its packet with it, whatever comes later; a copy does nothing; the others are not touched.
#[test]
fn what_overlaps_is_not_believed() {
    for site in sites() {
        let whole = sealed(&site);
        let good = cut(&whole[1], 256, 1);
        let bad = cut(&whole[2], 256, 2);
        let mut other = bad[1].clone();
        *other.last_mut().unwrap() ^= 1;
        let mut fragments = vec![good[0].clone(), good[0].clone(), bad[0].clone(), bad[1].clone(), other];
        fragments.extend(bad[2..].to_vec());
        fragments.extend(good[1..].to_vec());
        let outcome = run(&site.peer(), &[], &fragments);
        assert_conserved(&outcome);
        assert_eq!(outcome.lan.len(), 1, "{:?}", outcome.counters.drops());
        assert_eq!(drops(&outcome, DropReason::FragmentAgain), 1);
        assert_eq!(drops(&outcome, DropReason::FragmentOverlap), bad.len() as u64 + 1);
    }
}

/// What never completes waits, and is counted as waiting; a storm of it makes the oldest go.
#[test]
fn what_never_completes_is_bounded() {
    let site = Site::a();
    let whole = sealed(&site);
    let firsts: Vec<Vec<u8>> = (0..5000).map(|number| cut(&whole[3], 800, number).swap_remove(0)).collect();
    let outcome = run(&site.peer(), &[], &firsts);
    assert_conserved(&outcome);
    let waiting = doors(&outcome.counters)[5];
    assert!((100..=512).contains(&waiting), "{waiting}");
    assert_eq!(drops(&outcome, DropReason::FragmentsFull), 5000 - waiting);
}

/// Tiny fragments, too many of them, and such as cannot be.
#[test]
fn what_cannot_be_is_named() {
    let site = Site::a();
    let whole = sealed(&site);
    let tiny = cut(&whole[3], 28, 1);
    assert!(tiny.len() > 150);
    let outcome = run(&site.peer(), &[], &tiny);
    assert_conserved(&outcome);
    assert_eq!(drops(&outcome, DropReason::FragmentsMany), 65);
    assert_eq!(drops(&outcome, DropReason::FragmentOverlap), tiny.len() as u64 - 65);
    // More to come, but of no multiple of eight; nothing at all; beyond the longest packet.
    let part = cut(&whole[0], 256, 2).swap_remove(0);
    let odd = [part[..part.len() - 3].to_vec(), part[..34].to_vec(), part.clone()];
    let odd: Vec<Vec<u8>> = odd
        .into_iter()
        .enumerate()
        .map(|(number, mut frame)| {
            let len = (frame.len() - 14) as u16;
            let packet = &mut frame[14..];
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[6..8].copy_from_slice(&if number == 2 { 0x1FFF_u16 } else { 0x2000 }.to_be_bytes());
            ipv4::Packet::new_unchecked(packet).fill_checksum();
            frame
        })
        .collect();
    let outcome = run(&site.peer(), &[], &odd);
    assert_conserved(&outcome);
    assert_eq!(drops(&outcome, DropReason::IpFragment), 3, "{:?}", outcome.counters.drops());
}

/// Fragments of what is not ESP are Linux's, as they came.
#[test]
fn other_datagrams_stay_linuxs() {
    let site = Site::a();
    let ike = datagram("192.0.2.2", "192.0.2.1", 64, &[9; 2000]);
    let fragments = cut(&frame(site.macs[1], site.neighbours[1], &ike), 1000, 7);
    let outcome = run(&site, &[], &fragments);
    assert_conserved(&outcome);
    // There is no mirror TAP in this laboratory.
    assert_eq!(drops(&outcome, DropReason::NoTap), fragments.len() as u64, "{:?}", outcome.counters.drops());
}
