//! Packets that the policy wants protected, and no SA carries yet: they ask for one, wait for it, and go.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Dataplane, ENTRY, OUTBOUND, PATIENCE, Site, doors, numbered, pcap};
use shm::{Command, Control, CountersSnapshot, DropReason, Event};
use std::time::{Duration, Instant};

/// What one policy entry may have waiting.
const SHARE: u64 = 32;

/// A gateway whose tunnel has all but an outbound SA, into which so many packets for it came.
struct Waiting {
    control: Control,
    dataplane: Dataplane,
    folder: tempfile::TempDir,
}

impl Waiting {
    fn start(packets: u64) -> Waiting {
        let (site, folder) = (Site::a(), tempfile::tempdir().unwrap());
        let packet = |number: u64| datagram("10.1.0.9", "10.2.0.7", 64, &number.to_be_bytes());
        let frames = (0..packets).map(|number| frame(site.macs[0], site.neighbours[0], &packet(number)));
        pcap::write(&folder.path().join("lan.in"), &frames.collect::<Vec<_>>()).unwrap();
        pcap::write(&folder.path().join("wan.in"), &[]).unwrap();
        let mut dataplane = Dataplane::start(folder.path());
        let mut control = dataplane.connect();
        let segment = control.offer(&site.policy()).unwrap();
        let mut commands = site.commands(folder.path(), segment);
        commands.retain(|command| !matches!(command, Command::BindEntry { .. }));
        let commit = control.submit(&commands, true).unwrap();
        control.wait_ack(commit, PATIENCE).unwrap();
        Waiting { control, dataplane, folder }
    }

    /// The counters, when they are as they should be.
    fn when(&self, what: &str, holds: impl Fn(&CountersSnapshot) -> bool) -> CountersSnapshot {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counters = self.control.counters().snapshot();
            if holds(&counters) {
                return counters;
            }
            assert!(Instant::now() < deadline, "not {what}: {counters:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn no_sa(counters: &CountersSnapshot) -> u64 {
    counters.drops().get(&DropReason::PolicyNoSa).copied().unwrap_or(0)
}

#[test]
fn the_first_packets_of_a_tunnel_are_not_lost() {
    let mut gateway = Waiting::start(SHARE + 9);
    let counters = gateway.when("all there", |counters| doors(counters).iter().sum::<u64>() == SHARE + 9);
    assert_eq!((doors(&counters), no_sa(&counters)), ([0, 0, 9, 0, SHARE, 0], 9));
    // Again and again while they wait.
    let mut asked = 0;
    let deadline = Instant::now() + PATIENCE;
    while asked < 2 {
        if let Some(event) = gateway.control.try_event().unwrap() {
            asked += u64::from(matches!(event, Event::Acquire { entry: ENTRY, flow } if flow.protocol == 17));
        }
        assert!(Instant::now() < deadline, "asked for an SA {asked} times");
    }

    let commit =
        gateway.control.submit(&[Command::BindEntry { entry: ENTRY, sa: Some(OUTBOUND) }], false).unwrap();
    gateway.control.wait_ack(commit, PATIENCE).unwrap();
    gateway.when("all gone", |counters| doors(counters) == [SHARE, 0, 9, 0, 0, 0]);
    let sa = gateway.control.sa_table().get(OUTBOUND).unwrap();
    assert_eq!((sa.counters.packets, sa.next_sequence), (SHARE, SHARE + 1));
    let observer = shm::Observer::connect(&gateway.dataplane.socket).unwrap();
    let hits: u64 = observer.policies().unwrap().iter().flat_map(numbered).map(|(_, hits)| hits).sum();
    assert_eq!(hits, SHARE + 9, "each is counted once, however often it was tried");
    drop(gateway.control);
    gateway.dataplane.stop();
    // In order, and all ESP.
    let sent = pcap::read(&gateway.folder.path().join("wan.out")).unwrap();
    let sequences = sent.iter().map(|frame| u32::from_be_bytes(frame[38..42].try_into().unwrap()));
    assert_eq!(sequences.collect::<Vec<_>>(), (1..=SHARE as u32).collect::<Vec<_>>());
    assert!(sent.iter().all(|frame| frame[23] == 50));
}

#[test]
fn they_do_not_wait_for_ever() {
    let gateway = Waiting::start(5);
    gateway.when("waiting", |counters| doors(counters) == [0, 0, 0, 0, 5, 0]);
    let counters = gateway.when("given up", |counters| doors(counters)[4] == 0);
    assert_eq!((doors(&counters), no_sa(&counters)), ([0, 0, 5, 0, 0, 0], 5));
    drop(gateway.control);
    gateway.dataplane.stop();
}
