//! Whatever comes, every packet leaves by one door, every buffer comes back, and nothing passes that should not.
//!
//! Two whole data planes with a tunnel of every suite. B protects what honest hosts send. On its way to A it is flipped, cut,
//! fragmented, replayed and so on ([`mutate`]), and so is what A's own hosts send it. Every frame is counted by who throws
//! it, by the gateway, and by who catches it.
//!
//! `scripts/hostile` runs it with millions of packets and says what came of them; here it is some seconds of it.
#![allow(clippy::unwrap_used)]

#[path = "../gateway/mod.rs"]
mod gateway;
mod gateways;
mod mutate;
mod pipes;
mod report;
mod traffic;

use gateway::{Dataplane, LAN, PATIENCE, WAN, doors, made};
use gateways::{End, Tunnel};
use mutate::Wire;
use pipes::{Feed, catch};
use report::{Report, Said};
use shm::{Control, CountersSnapshot, DropReason, PortId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use traffic::Hosts;

/// How long waiting fragments may take to be let go, and the buffers to be surveyed.
const REST: Duration = Duration::from_secs(30);

/// What is asked for, by environment.
struct Settings {
    packets: u64,
    seed: u64,
    json: Option<PathBuf>,
    progress: bool,
}

impl Settings {
    fn new() -> Settings {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str| {
            text(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}, and no number")))
        };
        Settings {
            packets: number("ESPALIER_HOSTILE_PACKETS").unwrap_or(100_000),
            seed: number("ESPALIER_HOSTILE_SEED").or(number("PROPTEST_RNG_SEED")).unwrap_or(4303),
            json: text("ESPALIER_HOSTILE_JSON").map(PathBuf::from),
            progress: text("ESPALIER_HOSTILE_PROGRESS").is_some(),
        }
    }
}

/// A gateway that runs, and what was counted beside it.
struct Gateway {
    end: End,
    dataplane: Dataplane,
    control: Control,
    /// Buffers in use before there was a packet.
    buffers: u64,
}

impl Gateway {
    fn start(end: End, folder: &Path) -> Gateway {
        let folder = folder.join(end.name());
        std::fs::create_dir(&folder).unwrap();
        let mut dataplane = Dataplane::start(&folder);
        let control = dataplane.connect();
        let buffers = control.counters().snapshot().mbufs_in_use;
        Gateway { end, dataplane, control, buffers }
    }

    fn configure(&mut self, tunnels: &[Tunnel], folder: &Path) {
        let segment = self.control.offer(&gateways::policy(self.end, tunnels)).unwrap();
        let commands = gateways::commands(self.end, tunnels, folder, segment);
        let commit = self.control.submit(&commands, true).unwrap();
        self.control.wait_ack(commit, PATIENCE).unwrap();
    }

    fn counters(&self) -> CountersSnapshot {
        self.control.counters().snapshot()
    }

    fn received(&self) -> u64 {
        gateway::received(&self.counters())
    }

    /// The counters once so many packets came and none is left inside, by its own account.
    fn at_rest(&self, thrown: u64) -> CountersSnapshot {
        let mut deadline = Instant::now() + REST;
        let mut before = self.counters();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let counters = self.counters();
            if gateway::received(&counters) != gateway::received(&before) {
                deadline = Instant::now() + REST;
            }
            let inside = doors(&counters)[4] + doors(&counters)[5];
            let still = (doors(&before), made(&before)) == (doors(&counters), made(&counters));
            let buffers = counters.mbufs_in_use == self.buffers;
            if still && gateway::received(&counters) == thrown && inside == 0 && buffers {
                return counters;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {thrown} packets were thrown, {} received, and {inside} wait; {} buffers are in use, and {} were; {counters:?}",
                self.end.name(),
                gateway::received(&counters),
                counters.mbufs_in_use,
                self.buffers,
            );
            before = counters;
        }
    }

    /// Ends it and says what it counted.
    fn stop(self, counters: &CountersSnapshot) -> Said {
        let delivered =
            self.control.sa_table().live().map(|sa| (sa.descriptor.direction, sa.counters.packets)).collect();
        drop(self.control);
        self.dataplane.stop();
        Said::new(self.end, counters, delivered)
    }
}

/// What A's LAN has seen of B's hosts' packets.
#[derive(Default)]
struct Delivered {
    /// A bit for each number.
    seen: Vec<u64>,
    packets: u64,
    twice: u64,
    /// Above all numbers.
    end: u64,
}

impl Delivered {
    /// Numbers are counted from 0. One that is not among them was never sent; far beyond, there is no bit for it.
    const MOST: u64 = 1 << 30;

    fn note(&mut self, number: u64) {
        self.end = self.end.max(number.saturating_add(1));
        if number >= Self::MOST {
            return;
        }
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let count = if self.seen[word] & bit == 0 { &mut self.packets } else { &mut self.twice };
        *count += 1;
        self.seen[word] |= bit;
    }
}

/// Honest frames from B's hosts, until it is enough.
fn honest(pipe: PathBuf, mut hosts: Hosts, enough: Arc<AtomicBool>) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut feed = Feed::open(&pipe);
        while !enough.load(Ordering::Relaxed) {
            feed.throw(&hosts.frame());
        }
        feed.close()
    })
}

/// Frames from A's hosts on a hostile wire: so many.
fn inside(pipe: PathBuf, mut hosts: Hosts, mut wire: Wire, packets: u64) -> JoinHandle<Wire> {
    std::thread::spawn(move || {
        let mut feed = Feed::open(&pipe);
        let mut frames = Vec::new();
        while feed.frames < packets {
            wire.pass(hosts.frame(), &mut frames);
            frames.drain(..).for_each(|frame| feed.throw(&frame));
        }
        feed.close();
        wire
    })
}

/// What B protected on a hostile wire to A: so many frames, and then no more of it, however much there is.
fn between(
    from: PathBuf,
    to: PathBuf,
    mut wire: Wire,
    packets: u64,
    enough: Arc<AtomicBool>,
) -> JoinHandle<(u64, Wire)> {
    std::thread::spawn(move || {
        let mut feed = Some(Feed::open(&to));
        let mut frames = Vec::new();
        let caught = catch(&from, |frame| {
            if let Some(open) = &mut feed {
                wire.pass(untagged(frame), &mut frames);
                frames.drain(..).for_each(|frame| open.throw(&frame));
                if open.frames >= packets {
                    enough.store(true, Ordering::Relaxed);
                    feed.take().map(Feed::close);
                }
            }
        });
        (caught, wire)
    })
}

/// A frame of the WAN as it was before it got its tag.
fn untagged(frame: &[u8]) -> Vec<u8> {
    let tag = gateways::vlan(WAN).map_or(0, |_| 4);
    [&frame[..12], &frame[12 + tag..]].concat()
}

fn hold(settings: &Settings) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let pipe = |name: &str| folder.path().join(name);
    for name in ["a.lan.rx", "a.lan.tx", "a.wan.rx", "a.wan.tx", "b.lan.rx", "b.wan.tx"] {
        pipes::make(&pipe(name));
    }
    let tunnels = Tunnel::all();
    let begun = Instant::now();
    let [mut a, mut b] = [End::A, End::B].map(|end| Gateway::start(end, folder.path()));

    // All wait for the gateways to open the other ends.
    let enough = Arc::new(AtomicBool::new(false));
    let hosts = |end, number| Hosts::new(end, &tunnels, settings.seed.wrapping_mul(8).wrapping_add(number));
    let wire = |port, number| Wire::new(port, &tunnels, settings.seed.wrapping_mul(8).wrapping_add(number));
    let share = settings.packets / 2;
    let honest = honest(pipe("b.lan.rx"), hosts(End::B, 1), Arc::clone(&enough));
    let between = between(pipe("b.wan.tx"), pipe("a.wan.rx"), wire(WAN, 2), share, enough);
    let inside = inside(pipe("a.lan.rx"), hosts(End::A, 3), wire(LAN, 4), settings.packets - share);
    let (lan, wan) = (pipe("a.lan.tx"), pipe("a.wan.tx"));
    let on_lan = std::thread::spawn(move || {
        let mut delivered = Delivered::default();
        let frames = catch(&lan, |frame| {
            if let Some(number) = traffic::number(End::B, frame) {
                delivered.note(number);
            }
        });
        (frames, delivered)
    });
    let on_wan = std::thread::spawn(move || {
        let mut in_clear = 0;
        let frames = catch(&wan, |frame| {
            in_clear += u64::from(gateways::is_protected(&untagged(frame)));
        });
        (frames, in_clear)
    });
    // A first: what stands between waits for it, and B for that.
    a.configure(&tunnels, folder.path());
    b.configure(&tunnels, folder.path());

    let (mut last, mut moved) = (0, Instant::now());
    while !(inside.is_finished() && honest.is_finished()) {
        std::thread::sleep(Duration::from_millis(100));
        let received = a.received();
        if received != last {
            (last, moved) = (received, Instant::now());
        }
        assert!(
            moved.elapsed() < PATIENCE,
            "after {received} packets nothing moves: {:?} {:?}",
            a.counters(),
            b.counters()
        );
        if settings.progress {
            report::progress(received, settings.packets, begun.elapsed());
        }
    }
    let wire_inside = inside.join().unwrap();
    let from_hosts = honest.join().unwrap();
    let at_b = b.at_rest(from_hosts);
    let b = b.stop(&at_b);
    let (from_b, wire_between) = between.join().unwrap();
    let thrown = [&wire_inside, &wire_between].map(|wire| wire.thrown.values().sum::<u64>());
    let at_a = a.at_rest(thrown[0] + thrown[1]);
    let a = a.stop(&at_a);
    let ((lan_frames, delivered), (wan_frames, in_clear)) = (on_lan.join().unwrap(), on_wan.join().unwrap());

    // To the packet, on every port, by whoever is at its other end.
    let traffic = |counters: &CountersSnapshot, port| counters.traffic(PortId::new(port).unwrap());
    assert_eq!(
        [LAN, WAN].map(|port| traffic(&at_a, port).rx_packets),
        thrown,
        "what A received is not what was thrown"
    );
    assert_eq!(
        [LAN, WAN].map(|port| traffic(&at_a, port).tx_packets),
        [lan_frames, wan_frames],
        "what A sent is not what was caught"
    );
    assert_eq!(traffic(&at_b, WAN).tx_packets, from_b, "what B sent is not what was caught");
    for counters in [&at_a, &at_b] {
        let out: u64 = doors(counters).iter().sum();
        assert_eq!(
            out,
            gateway::received(counters) + made(counters),
            "packets are lost, or come from nowhere: {counters:?}"
        );
        assert_eq!(counters.drops()[&DropReason::Internal], 0);
    }
    // No packet came out of its tunnel twice, or that was not put in, and none left in clear that must not.
    assert!(delivered.end <= from_hosts, "a packet came out that nobody sent: number {}", delivered.end - 1);
    assert_eq!((delivered.twice, in_clear), (0, 0), "packets came out twice, and left in clear");
    Report::new(
        settings.packets,
        settings.seed,
        begun.elapsed(),
        [a, b],
        [wire_inside, wire_between],
        delivered.packets,
    )
}

#[test]
fn every_packet_is_accounted_for_and_every_buffer_comes_back() {
    let settings = Settings::new();
    println!("seed {}", settings.seed);
    let report = hold(&settings);
    println!("{report}");
    report.assert_met();
    if let Some(file) = &settings.json {
        std::fs::write(file, report.json()).unwrap();
    }
}
