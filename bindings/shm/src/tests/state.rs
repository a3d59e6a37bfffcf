//! What outlives either side: SAs with their numbers and windows, and the counters.

use super::{Plane, samples};
use crate::layout::{HEADER_BYTES, MAX_PORTS, MAX_REPLAY_WINDOW, MAX_WORKERS};
use crate::memory::Mapping;
use crate::{
    Counters, Description, Device, DropReason, Hits, PortId, PortName, PortStatus, PortTraffic, SaCounts,
    SaStatus, SaTable, SaTableError, SaTableView, Stage, window_words,
};
use model::Direction;
use proptest::prelude::*;
use rustix::io::Errno;
use std::sync::atomic::Ordering::Relaxed;

fn view(table: &SaTable) -> SaTableView {
    SaTableView::open(table.fd().try_clone_to_owned().unwrap()).unwrap()
}

/// Has every worker's traces in it.
fn use_up(table: &SaTable, index: u32, seed: u64) {
    let slot = table.slot(index).unwrap();
    slot.next_sequence.fetch_add(100 + seed, Relaxed);
    slot.highest.fetch_max(200 + seed, Relaxed);
    let c = &slot.counters;
    let counters = [
        &c.packets,
        &c.bytes,
        &c.auth_failed,
        &c.replayed,
        &c.too_old,
        &c.selector_mismatch,
        &c.malformed,
        &c.expired,
        &c.other,
    ];
    counters.iter().zip(seed..).for_each(|(counter, count)| assert_eq!(counter.add(count), 0));
    let words = window_words(4096);
    for (word, value) in table.window(index, words).unwrap_or_default().iter().zip(seed..) {
        word.store(value, Relaxed);
    }
}

#[test]
fn a_peer_that_moved_is_seen_until_its_sa_is_installed_anew() {
    let plane = Plane::start();
    let table = plane.with(|server| server.sa_table());
    let sa = crate::InstallSa { udp_port: Some(4500), ..samples::sa(1, Direction::Inbound) };
    table.install(&sa).unwrap();
    let seen = || view(&table).get(1).unwrap().descriptor;
    assert_eq!((seen().udp_port, seen().moved_to), (Some(4500), None));
    let there = "198.51.100.7:61234".parse().unwrap();
    table.set_peer(1, there);
    assert_eq!((seen().remote, seen().moved_to), (sa.remote, Some(there)));
    // Of another family, or of no SA at all.
    table.set_peer(1, "[2001:db8::1]:4500".parse().unwrap());
    table.set_peer(2, there);
    assert_eq!(seen().moved_to, Some(there));
    table.install(&sa).unwrap();
    assert_eq!(seen().moved_to, None);
}

/// Killed while traffic flows: the workers have not noticed, and the next control plane sees what they do.
#[test]
fn a_control_plane_that_dies_takes_no_state_with_it() {
    let plane = Plane::start();
    let table = plane.with(|server| server.sa_table());
    let control = plane.control();
    let (outbound, inbound) = (samples::sa(2, Direction::Outbound), samples::sa(5, Direction::Inbound));
    table.install(&outbound).unwrap();
    table.install(&inbound).unwrap();
    use_up(&table, 2, 1);
    use_up(&table, 5, 1000);
    let before: Vec<SaStatus> = control.sa_table().all().collect();
    let generation = control.generation();
    drop(control);
    plane.next();
    table.slot(2).unwrap().next_sequence.fetch_add(64, Relaxed);

    let control = plane.control();
    assert_eq!(control.generation(), generation);
    let [out, inn] = control.sa_table().live().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(out, SaStatus { next_sequence: before[0].next_sequence + 64, ..before[0] });
    assert_eq!(inn, before[1]);
    assert_eq!((out.next_sequence, inn.highest), (1 + 101 + 64, 1200));
    assert_eq!(inn.counters.packets, 1000);
    assert_eq!(inn.counters.other, 1008);
    let words = window_words(inbound.replay_window);
    let window = table.window(5, words).unwrap();
    assert!(window.iter().map(|word| word.load(Relaxed)).eq((1000..).take(words)));
}

/// Above which numbers the next one has to go on.
#[test]
fn the_table_of_a_dead_data_plane_can_be_read() {
    let mut plane = Plane::start();
    let (control, observer) = (plane.control(), plane.observer());
    plane.with(|server| {
        let table = server.sa_table();
        table.install(&samples::sa(7, Direction::Outbound)).unwrap();
        use_up(&table, 7, 900);
        server.counters().worker(1).unwrap().drop(DropReason::NoRoute, 12);
    });
    plane.stop();
    for table in [control.sa_table(), observer.sa_table()] {
        assert_eq!(table.get(7).unwrap().next_sequence, 1001);
    }
    for counters in [control.counters(), observer.counters()] {
        assert_eq!(counters.snapshot().drops()[&DropReason::NoRoute], 12);
    }
}

#[test]
fn a_slot_is_new_for_every_sa_and_readable_after_its_end() {
    let table = SaTable::create(4).unwrap();
    let view = view(&table);
    assert_eq!(view.all().count(), 0);
    table.clear(0);
    table.clear(99);
    let sa = samples::sa(3, Direction::Inbound);
    table.install(&sa).unwrap();
    use_up(&table, 3, 50);
    let live = view.get(3).unwrap();
    table.clear(3);
    let mut over = live;
    over.descriptor.live = false;
    assert_eq!(view.get(3), Some(over));
    assert_eq!((view.live().count(), view.all().count()), (0, 1));
    assert!(table.window(3, window_words(sa.replay_window)).is_none());

    let again = crate::InstallSa { first_sequence: 77, replay_floor: 66, ..sa };
    table.install(&again).unwrap();
    let status = view.get(3).unwrap();
    assert!(status.descriptor.live);
    assert_eq!((status.next_sequence, status.highest), (77, 66));
    assert_eq!(status.counters, SaCounts::default());
    let window = table.window(3, window_words(sa.replay_window)).unwrap();
    assert!(window.iter().all(|word| word.load(Relaxed) == 0));
    assert!(table.window(3, 8).is_none(), "a window of another size is not the SA's");
    let beyond = crate::InstallSa { index: 4, ..again };
    assert_eq!(table.install(&beyond), Err(SaTableError::NoSuchIndex { index: 4, capacity: 4 }));
    assert_eq!((view.get(4), view.get(u32::MAX)), (None, None));
}

proptest! {
    #[test]
    fn an_sa_is_described_as_it_was_installed(sa in samples::install_sa(), index in 0..4_u32) {
        let table = SaTable::create(4).unwrap();
        let sa = crate::InstallSa { index, ..sa };
        table.install(&sa).unwrap();
        let status = view(&table).get(index).unwrap();
        let d = status.descriptor;
        prop_assert!(d.live && d.installed_at > 0);
        prop_assert_eq!((d.index, d.spi, d.direction, d.suite), (index, sa.spi, sa.direction, sa.suite));
        prop_assert_eq!((d.mode, d.local, d.remote, d.entry), (sa.mode, sa.local, sa.remote, sa.entry));
        prop_assert_eq!((d.extended_sequence, d.replay_window), (sa.extended_sequence, sa.replay_window));
        prop_assert_eq!((d.limits, d.iv_base), (sa.limits, sa.iv_base));
        prop_assert_eq!((d.first_sequence, status.next_sequence), (sa.first_sequence, sa.first_sequence));
        prop_assert_eq!((d.replay_floor, status.highest), (sa.replay_floor, sa.replay_floor));
    }

    /// Whatever the mixture of sizes: every SA that fits the table gets its window, and no two share a word.
    #[test]
    fn windows_of_different_sas_are_apart(
        steps in prop::collection::vec((0..6_u32, 0..=MAX_REPLAY_WINDOW, any::<bool>()), 1..40),
    ) {
        let table = SaTable::create(6).unwrap();
        let mut sizes = [0; 6];
        for (step, (index, packets, clear)) in steps.into_iter().enumerate() {
            if clear {
                table.clear(index);
                sizes[index as usize] = 0;
                continue;
            }
            let sa = samples::sa(index, Direction::Inbound);
            table.install(&crate::InstallSa { replay_window: packets, ..sa }).unwrap();
            let window = table.window(index, window_words(packets)).unwrap();
            prop_assert!(window.iter().all(|word| word.load(Relaxed) == 0));
            sizes[index as usize] = window.len();
            let mark = (step as u64) << 32 | u64::from(index) << 8 | 1;
            window.iter().for_each(|word| word.store(mark, Relaxed));
            for (other, size) in sizes.into_iter().enumerate() {
                let window = table.window(other as u32, size).unwrap();
                prop_assert!(window.iter().all(|word| word.load(Relaxed) as u8 == 1));
                prop_assert!(window.iter().all(|word| (word.load(Relaxed) >> 8) as u8 == other as u8));
            }
        }
    }
}

/// Readers are handed files that the kernel lets nobody write, whatever they try.
#[test]
fn only_the_data_plane_can_write_its_segments() {
    let (sas, counters) = (SaTable::create(1).unwrap(), Counters::create(1, 0).unwrap());
    let hits = Hits::create(1, 1).unwrap();
    for fd in [sas.fd(), counters.fd(), hits.fd()] {
        assert_eq!(rustix::io::pwrite(fd, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(fd, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(fd, 1 << 40), Err(Errno::PERM));
        assert!(Mapping::new(fd, HEADER_BYTES, true).is_err());
        assert!(Mapping::new(fd, HEADER_BYTES, false).is_ok());
    }
}

fn port(number: u16) -> PortId {
    PortId::new(number).unwrap()
}

/// Each counter has a place of its own, and readers find it there.
#[test]
fn what_a_worker_counts_is_read_where_it_was_counted() {
    let plane = Plane::start();
    let observer = plane.observer();
    let counters = plane.with(|server| server.counters());
    assert!(counters.worker(Plane::SETUP.workers).is_none());
    for worker in 0..2 {
        let c = counters.worker(worker as usize).unwrap();
        let gauges = [&c.polls, &c.empty_polls, &c.bursts, &c.packets, &c.held];
        gauges.iter().zip(1..).for_each(|(counter, n)| counter.set(n + 10 * worker));
        DropReason::ALL.iter().zip(100..).for_each(|(&reason, n)| c.drop(reason, n + worker));
        Stage::ALL.iter().zip(1..).for_each(|(&stage, n)| c.stage(stage).record(n, n * 50));
        c.stage(Stage::Parse).record(0, 12345);
        for number in 0..MAX_PORTS as u16 {
            let p = c.port(number).unwrap();
            let all = [&p.rx_packets, &p.rx_bytes, &p.tx_packets, &p.tx_bytes, &p.to_linux, &p.from_linux];
            all.iter().zip(1..).for_each(|(counter, n)| counter.add(n * (u64::from(number) + worker)));
        }
        assert!(c.port(MAX_PORTS as u16).is_none());
    }
    let seen = observer.counters().snapshot();
    assert_eq!(seen, counters.snapshot());
    for (worker, w) in seen.workers.iter().enumerate() {
        let gauges = [w.polls, w.empty_polls, w.bursts, w.packets, w.held];
        assert_eq!(gauges, [1, 2, 3, 4, 5].map(|n| n + 10 * worker as u64));
        assert!(w.drops.values().copied().eq((100..).take(DropReason::ALL.len()).map(|n| n + worker as u64)));
        // Port 0 of worker 0 counted nothing and is not attached.
        assert_eq!(w.ports.len(), MAX_PORTS - usize::from(worker == 0));
    }
    assert_eq!(seen.drops()[&DropReason::ALL[7]], 107 + 108);
    let traffic = seen.traffic(port(9));
    let sum = 9 + 10;
    let awaited = [1, 2, 3, 4, 5, 6].map(|n| n * sum);
    let PortTraffic { rx_packets, rx_bytes, tx_packets, tx_bytes, to_linux, from_linux } = traffic;
    assert_eq!([rx_packets, rx_bytes, tx_packets, tx_bytes, to_linux, from_linux], awaited);
    for (&stage, n) in Stage::ALL.iter().zip(1_u64..) {
        let times = seen.stage(stage);
        assert_eq!((times.calls, times.packets, times.clocks), (2, 2 * n, 2 * n * 50));
        assert_eq!(times.histogram.buckets().map(|(_, count)| count).sum::<u64>(), 2 * n);
        assert!(times.histogram.buckets().all(|(clocks, _)| (48..=52).contains(&clocks)));
    }
}

#[test]
fn the_data_plane_describes_itself_and_its_ports() {
    let counters = Counters::create(MAX_WORKERS, 7).unwrap();
    let long = "x".repeat(100);
    counters.describe(&Description { tsc_hz: 3, hugepages: true, crypto: &long, idle: "pause" });
    counters.set_mbufs(5, 6);
    counters.lose_event();
    let status = PortStatus {
        name: PortName::new("exactly-15-byte").unwrap(),
        device: Device::new(&"d".repeat(160)).unwrap(),
        mac: [2, 1, 2, 3, 4, 5],
        mtu: 9600,
        shutdown: true,
        link_up: false,
        speed_mbps: 100_000,
        missed: 1,
        errors: 2,
        no_mbuf: 3,
    };
    let other = PortStatus { shutdown: false, link_up: true, name: PortName::EMPTY, ..status };
    counters.set_port(port(0), &status);
    counters.set_port(port(31), &other);
    let view = crate::CountersView::open(counters.fd().try_clone_to_owned().unwrap()).unwrap();
    let seen = view.snapshot();
    assert_eq!((seen.tsc_hz, seen.hugepages, seen.generation), (3, true, 7));
    assert_eq!((seen.crypto.as_str(), seen.idle.as_str()), (&long[..32], "pause"));
    assert_eq!((seen.mbufs_in_use, seen.mbufs_available, seen.events_lost), (5, 6, 1));
    assert_eq!(seen.pid, std::process::id());
    assert!(seen.started_at > 0);
    assert_eq!(seen.workers.len(), MAX_WORKERS);
    assert!(seen.ports.into_iter().eq([(port(0), status), (port(31), other)]));
    assert_eq!((view.port(port(31)), view.port(port(1))), (Some(other), None));
    counters.clear_port(port(31));
    assert_eq!(view.port(port(31)), None);
    // The worker that tells the device's numbers knows what is attached: such a port is shown even before its first packet.
    assert!(view.snapshot().workers.iter().all(|worker| worker.ports.keys().eq([&port(0)])));
}
