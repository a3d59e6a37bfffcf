//! Two workers on one SA, each on a core of its own: no sequence number twice, none left out, and each packet of the peer's
//! taken once, whichever worker meets it first.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Outcome, Site, doors, made, received, run};
use packet::ethernet;
use shm::DropReason;
use std::collections::BTreeSet;

const WORKERS: usize = 2;
/// All of them fit into the window, so that none is too old, however far one worker is ahead of the other.
const PACKETS: u32 = 40_000;
const WINDOW: u32 = 65_536;

fn site() -> Site {
    Site { workers: WORKERS, replay_window: WINDOW, esn: true, ..Site::a() }
}

/// Each with a number that no other has.
fn numbered() -> Vec<Vec<u8>> {
    let site = site();
    let packets = (0..PACKETS).map(|number| datagram("10.1.0.9", "10.2.0.7", 64, &number.to_be_bytes()));
    packets.map(|packet| frame(site.macs[0], site.neighbours[0], &packet)).collect()
}

/// The number in a packet.
fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame.last_chunk().unwrap())
}

/// The low half of the sequence number of an ESP packet in IPv4.
fn sequence(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame[ethernet::HEADER_LEN + 20 + 4..].first_chunk().unwrap())
}

fn assert_both_worked(outcome: &Outcome) {
    let counters = &outcome.counters;
    assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>(), "{counters:?}");
    let packets: Vec<u64> = counters.workers.iter().map(|worker| worker.packets).collect();
    assert_eq!(packets, [received(counters) / 2; WORKERS]);
}

#[test]
fn two_workers_share_an_sa() {
    let sent = numbered();
    let here = run(&site(), &sent, &[]);
    assert_both_worked(&here);
    assert_eq!(here.wan.len(), sent.len(), "{:?}", here.counters.drops());
    let numbers: BTreeSet<u32> = here.wan.iter().map(|esp| sequence(esp)).collect();
    assert_eq!((numbers.len(), numbers.first(), numbers.last()), (sent.len(), Some(&1), Some(&PACKETS)));
    assert_eq!(here.sas[0].next_sequence, u64::from(PACKETS) + 1);
    assert_eq!(here.sas[0].counters.packets, u64::from(PACKETS));
    // Each worker sends what it seals in the order in which it took the numbers.
    for own in here.wan.chunks(sent.len() / WORKERS) {
        assert!(own.is_sorted_by_key(|esp| sequence(esp)));
    }

    // In the order of their numbers, each of them to both workers at about the same time.
    let mut arriving = here.wan;
    arriving.sort_by_key(|esp| sequence(esp));
    let twice: Vec<_> = arriving.into_iter().flat_map(|esp| [esp.clone(), esp]).collect();
    let there = run(&site().peer(), &[], &twice);
    assert_both_worked(&there);
    let mut came: Vec<u32> = there.lan.iter().map(|packet| number(packet)).collect();
    came.sort_unstable();
    assert!(came.iter().copied().eq(0..PACKETS), "{} came: {:?}", came.len(), there.counters.drops());
    let drops = there.counters.drops();
    assert_eq!(drops.get(&DropReason::EspReplayed), Some(&u64::from(PACKETS)), "{drops:?}");
    let sa = &there.sas[1];
    assert_eq!((sa.counters.packets, sa.counters.replayed), (PACKETS.into(), PACKETS.into()));
    assert_eq!(sa.highest, u64::from(PACKETS));
}

/// Both want the last numbers of an SA: each is used once, and none after the last.
#[test]
fn two_workers_come_to_the_last_number() {
    const LEFT: u64 = 1000;
    let site = Site { first_sequence: esp::sequence::last(true) - (LEFT - 1), ..site() };
    let sent = &numbered()[..4000];
    let here = run(&site, sent, &[]);
    assert_both_worked(&here);
    let numbers: BTreeSet<u32> = here.wan.iter().map(|esp| sequence(esp)).collect();
    assert_eq!((here.wan.len(), numbers.len(), numbers.last()), (1000, 1000, Some(&(u32::MAX - 1))));
    let sa = &here.sas[0];
    assert_eq!((sa.next_sequence, sa.counters.packets), (u64::MAX, LEFT));
    assert_eq!(sa.counters.expired, sent.len() as u64 - LEFT);
    assert_eq!(here.counters.drops().get(&DropReason::EspSequenceExhausted), Some(&sa.counters.expired));
}
