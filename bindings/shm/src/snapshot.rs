//! Copies of the counters as plain values, to look at, subtract and print.

use crate::command::PortId;
use crate::counters::{Globals, PortStatus, WorkerCounters};
use crate::histogram::HistogramSnapshot;
use crate::words::{DropReason, Stage};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything in the counters segment. Counters are read one by one while their writers go on, so sums of an instant may
/// be off by a few packets in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountersSnapshot {
    /// TSC clocks in a second; 0 before the data plane has described itself.
    pub tsc_hz: u64,
    /// When the data plane started, in nanoseconds since 1970.
    pub started_at: u64,
    /// A random number that names this life of the data plane.
    pub generation: u64,
    /// Its process.
    pub pid: u32,
    /// Packet memory is on hugepages.
    pub hugepages: bool,
    /// Name of the AES-GCM back end.
    pub crypto: String,
    /// What an idle worker does.
    pub idle: String,
    /// Events that found no room in their ring.
    pub events_lost: u64,
    /// Packet buffers in use.
    pub mbufs_in_use: u64,
    /// Packet buffers free.
    pub mbufs_available: u64,
    /// The attached ports, by number.
    pub ports: BTreeMap<PortId, PortStatus>,
    /// By the worker's number.
    pub workers: Vec<WorkerSnapshot>,
}

/// What one worker counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerSnapshot {
    /// Rounds over all queues.
    pub polls: u64,
    /// Rounds that found nothing.
    pub empty_polls: u64,
    /// Rounds that found packets.
    pub bursts: u64,
    /// Packets received from wires and from Linux.
    pub packets: u64,
    /// Packets that wait for an SA or a neighbour's address.
    pub held: u64,
    /// Packets that it made: further fragments of one, and answers in place of one.
    pub made: u64,
    /// Packets that became part of another one.
    pub merged: u64,
    /// Fragments that it put aside to wait for the others.
    pub stored: u64,
    /// Fragments that came out again, whoever put them aside.
    pub released: u64,
    /// Every reason, also those that never happened.
    pub drops: BTreeMap<DropReason, u64>,
    /// Every stage.
    pub stages: BTreeMap<Stage, StageSnapshot>,
    /// The ports that are attached or that anything was counted for.
    pub ports: BTreeMap<PortId, PortTraffic>,
}

/// The times of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageSnapshot {
    /// Bursts measured.
    pub calls: u64,
    /// Packets in them.
    pub packets: u64,
    /// TSC clocks that they took.
    pub clocks: u64,
    /// TSC clocks per packet.
    #[serde(skip)]
    pub histogram: HistogramSnapshot,
}

/// The traffic of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortTraffic {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes of them.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes of them.
    pub tx_bytes: u64,
    /// Frames handed to Linux.
    pub to_linux: u64,
    /// Frames taken from Linux.
    pub from_linux: u64,
}

impl PortTraffic {
    /// Adds another worker's.
    pub fn merge(&mut self, other: &PortTraffic) {
        let pairs = [
            (&mut self.rx_packets, other.rx_packets),
            (&mut self.rx_bytes, other.rx_bytes),
            (&mut self.tx_packets, other.tx_packets),
            (&mut self.tx_bytes, other.tx_bytes),
            (&mut self.to_linux, other.to_linux),
            (&mut self.from_linux, other.from_linux),
        ];
        for (sum, count) in pairs {
            *sum = sum.wrapping_add(count);
        }
    }
}

impl CountersSnapshot {
    pub(crate) fn take(globals: &Globals, workers: &[WorkerCounters]) -> CountersSnapshot {
        let (crypto, idle) = globals.crypto_and_idle();
        let ports: BTreeMap<PortId, PortStatus> = PortId::all()
            .zip(&globals.ports)
            .filter_map(|(port, guarded)| Some((port, PortStatus::from_words(&guarded.read()?)?)))
            .collect();
        let workers = workers.iter().map(|worker| WorkerSnapshot::take(worker, &ports)).collect();
        CountersSnapshot {
            tsc_hz: globals.tsc_hz.get(),
            started_at: globals.started_at.get(),
            generation: globals.generation.get(),
            pid: globals.pid.get() as u32,
            hugepages: globals.hugepages.get() != 0,
            crypto: crypto.as_str().to_owned(),
            idle: idle.as_str().to_owned(),
            events_lost: globals.events_lost.get(),
            mbufs_in_use: globals.mbufs_in_use.get(),
            mbufs_available: globals.mbufs_available.get(),
            ports,
            workers,
        }
    }

    /// Drops of all workers, by reason.
    pub fn drops(&self) -> BTreeMap<DropReason, u64> {
        let mut sums = BTreeMap::new();
        for (&reason, &count) in self.workers.iter().flat_map(|worker| &worker.drops) {
            let sum: &mut u64 = sums.entry(reason).or_default();
            *sum = sum.wrapping_add(count);
        }
        sums
    }

    /// The traffic of a port over all workers.
    pub fn traffic(&self, port: PortId) -> PortTraffic {
        let mut sum = PortTraffic::default();
        for traffic in self.workers.iter().filter_map(|worker| worker.ports.get(&port)) {
            sum.merge(traffic);
        }
        sum
    }

    /// The times of a stage over all workers.
    pub fn stage(&self, stage: Stage) -> StageSnapshot {
        let mut sum = StageSnapshot::default();
        for times in self.workers.iter().filter_map(|worker| worker.stages.get(&stage)) {
            sum.calls = sum.calls.wrapping_add(times.calls);
            sum.packets = sum.packets.wrapping_add(times.packets);
            sum.clocks = sum.clocks.wrapping_add(times.clocks);
            sum.histogram.merge(&times.histogram);
        }
        sum
    }
}

impl WorkerSnapshot {
    fn take(worker: &WorkerCounters, attached: &BTreeMap<PortId, PortStatus>) -> WorkerSnapshot {
        let stage = |&stage: &Stage| {
            let counters = worker.stage(stage);
            let times = StageSnapshot {
                calls: counters.calls.get(),
                packets: counters.packets.get(),
                clocks: counters.clocks.get(),
                histogram: counters.histogram.snapshot(),
            };
            (stage, times)
        };
        let port = |(port, counters): (PortId, &crate::PortCounters)| {
            let traffic = PortTraffic {
                rx_packets: counters.rx_packets.get(),
                rx_bytes: counters.rx_bytes.get(),
                tx_packets: counters.tx_packets.get(),
                tx_bytes: counters.tx_bytes.get(),
                to_linux: counters.to_linux.get(),
                from_linux: counters.from_linux.get(),
            };
            (attached.contains_key(&port) || traffic != PortTraffic::default()).then_some((port, traffic))
        };
        WorkerSnapshot {
            polls: worker.polls.get(),
            empty_polls: worker.empty_polls.get(),
            bursts: worker.bursts.get(),
            packets: worker.packets.get(),
            held: worker.held.get(),
            made: worker.made.get(),
            merged: worker.merged.get(),
            stored: worker.stored.get(),
            released: worker.released.get(),
            drops: DropReason::ALL
                .iter()
                .filter_map(|&reason| Some((reason, worker.drops.get(reason.index())?.get())))
                .collect(),
            stages: Stage::ALL.iter().map(stage).collect(),
            ports: PortId::all().zip(&worker.ports).filter_map(port).collect(),
        }
    }
}
