//! The limits of an SA in packets and bytes (RFC 4301, section 4.4.2.1): each is told of once, and nothing passes a hard one.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Dataplane, INBOUND, OUTBOUND, PATIENCE, Site, doors, pcap, run};
use shm::{Command, Control, DropReason, Event, Limits};
use std::time::Instant;

const PACKETS: u64 = 300;
/// Bytes of each.
const BYTES: u64 = 100;
/// What a worker may have in its hands when a limit is passed.
const BURST: u64 = 64;
const SOFT: u64 = 100;
const HARD: u64 = 200;

/// What came of it: packets that passed the SA, those that it says it refused, drops by the two reasons, and all events of
/// the SA.
struct Outcome {
    passed: u64,
    refused: u64,
    expired: u64,
    exhausted: u64,
    events: Vec<Event>,
}

fn of_limits(events: &mut Vec<Event>, control: &mut Control) {
    while let Some(event) = control.try_event().unwrap() {
        let is_of_limits = matches!(
            event,
            Event::SaSoftExpired { .. } | Event::SaHardExpired { .. } | Event::SequenceExhausted { .. }
        );
        events.extend(is_of_limits.then_some(event));
    }
}

/// Packets that are to be protected.
fn outgoing(site: &Site) -> Vec<Vec<u8>> {
    let packet = datagram("10.1.0.9", "10.2.0.7", 64, &[7; BYTES as usize - 28]);
    (0..PACKETS).map(|_| frame(site.macs[0], site.neighbours[0], &packet)).collect()
}

/// Sends the packets through an SA with these limits.
fn limited(limits: Limits, inbound: bool) -> Outcome {
    let there = Site::a();
    let lan = outgoing(&there);
    let (site, lan, wan) = match inbound {
        true => (Site { limits, ..there.peer() }, vec![], run(&there, &lan, &[]).wan),
        false => (Site { limits, ..there }, lan, vec![]),
    };
    let folder = tempfile::tempdir().unwrap();
    pcap::write(&folder.path().join("lan.in"), &lan).unwrap();
    pcap::write(&folder.path().join("wan.in"), &wan).unwrap();
    let mut dataplane = Dataplane::start(folder.path());
    let mut control = dataplane.connect();
    let segment = control.offer(&site.policy()).unwrap();
    let commit = control.submit(&site.commands(folder.path(), segment), true).unwrap();
    control.wait_ack(commit, PATIENCE).unwrap();
    let mut events = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while doors(&control.counters().snapshot()).iter().sum::<u64>() < PACKETS
        || !events.iter().any(|event| matches!(event, Event::SaHardExpired { .. }))
    {
        of_limits(&mut events, &mut control);
        assert!(Instant::now() < deadline, "{events:?}, {:?}", control.counters().snapshot());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // What the manager had heard by then is in front of its answer.
    let commit = control.submit(&[Command::Barrier], false).unwrap();
    control.wait_ack(commit, PATIENCE).unwrap();
    of_limits(&mut events, &mut control);
    let index = if inbound { INBOUND } else { OUTBOUND };
    let drops = control.counters().snapshot().drops();
    let count = |reason| drops.get(&reason).copied().unwrap_or_default();
    let counters = control.sa_table().get(index).unwrap().counters;
    let outcome = Outcome {
        passed: counters.packets,
        refused: counters.expired,
        expired: count(DropReason::SaExpired),
        exhausted: count(DropReason::EspSequenceExhausted),
        events,
    };
    drop(control);
    dataplane.stop();
    outcome
}

fn assert_told_once(events: &[Event], inbound: bool) {
    let is_ours = |index: u32| index == if inbound { INBOUND } else { OUTBOUND };
    let soft = |event: &&Event| matches!(event, Event::SaSoftExpired { index, .. } if is_ours(*index));
    let hard = |event: &&Event| matches!(event, Event::SaHardExpired { index, .. } if is_ours(*index));
    assert_eq!(
        (events.iter().filter(soft).count(), events.iter().filter(hard).count()),
        (1, 1),
        "{events:?}"
    );
}

#[test]
fn packets() {
    let limits = Limits { soft_packets: Some(SOFT), hard_packets: Some(HARD), ..Limits::default() };
    let out = limited(limits, false);
    // A packet takes a number, and so this one is kept to the last packet.
    assert_eq!((out.passed, out.expired + out.exhausted), (HARD, PACKETS - HARD));
    assert_eq!(out.refused, PACKETS - HARD);
    assert_told_once(&out.events, false);
    let inn = limited(limits, true);
    assert!((HARD..HARD + BURST).contains(&inn.passed), "{}", inn.passed);
    assert_eq!((inn.passed + inn.expired, inn.exhausted), (PACKETS, 0));
    assert_eq!(inn.refused, inn.expired);
    assert_told_once(&inn.events, true);
}

#[test]
fn bytes() {
    let limits =
        Limits { soft_bytes: Some(SOFT * BYTES), hard_bytes: Some(HARD * BYTES), ..Limits::default() };
    for inbound in [false, true] {
        let outcome = limited(limits, inbound);
        assert!((HARD..HARD + BURST).contains(&outcome.passed), "{}", outcome.passed);
        assert_eq!((outcome.passed + outcome.expired, outcome.exhausted), (PACKETS, 0));
        assert_eq!(outcome.refused, outcome.expired);
        assert_told_once(&outcome.events, inbound);
    }
}

/// A control plane that comes when the limits were reached long ago is told, too; each once.
#[test]
fn who_was_not_there_is_told_later() {
    let limits = Limits { soft_packets: Some(SOFT), hard_bytes: Some(HARD * BYTES), ..Limits::default() };
    let site = Site { limits, ..Site::a() };
    let folder = tempfile::tempdir().unwrap();
    pcap::write(&folder.path().join("lan.in"), &outgoing(&site)).unwrap();
    pcap::write(&folder.path().join("wan.in"), &[]).unwrap();
    let mut dataplane = Dataplane::start(folder.path());
    let mut control = dataplane.connect();
    let segment = control.offer(&site.policy()).unwrap();
    let commit = control.submit(&site.commands(folder.path(), segment), true).unwrap();
    control.wait_ack(commit, PATIENCE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..3 {
        let mut events = Vec::new();
        while doors(&control.counters().snapshot()).iter().sum::<u64>() < PACKETS || events.len() < 2 {
            of_limits(&mut events, &mut control);
            assert!(Instant::now() < deadline, "{events:?}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        // The manager looks at the counters again meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(600));
        of_limits(&mut events, &mut control);
        assert_told_once(&events, false);
        drop(control);
        control = dataplane.connect();
    }
    drop(control);
    dataplane.stop();
}
