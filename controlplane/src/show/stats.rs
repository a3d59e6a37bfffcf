//! `espalier stats`: every counter, in one document.

use super::interfaces::Port;
use super::sa::{Association, associations};
use super::{PolicyHits, View};
use serde::Serialize;
use shm::{DropReason, PortId, PortTraffic, Stage, StageSnapshot, WorkerSnapshot};
use std::collections::BTreeMap;

/// The document.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// When it was taken, in nanoseconds since 1970.
    pub taken_at: u64,
    /// When the data plane started, in nanoseconds since 1970.
    pub started_at: u64,
    /// Names this life of the data plane.
    pub generation: u64,
    /// Its process.
    pub pid: u32,
    /// TSC clocks in a second.
    pub tsc_hz: u64,
    /// Packet memory is on hugepages.
    pub hugepages: bool,
    /// Name of the AES-GCM back end.
    pub crypto: String,
    /// What an idle worker does.
    pub idle: String,
    /// Events that the control plane was too slow for.
    pub events_lost: u64,
    /// Packet buffers in use.
    pub mbufs_in_use: u64,
    /// Packet buffers free.
    pub mbufs_available: u64,
    /// The attached ports, by number.
    pub ports: Vec<NamedPort>,
    /// By number.
    pub workers: Vec<Worker>,
    /// The live SAs, by index.
    pub sa: Vec<Association>,
    /// The policies in use, by port.
    pub policies: Vec<PolicyHits>,
    /// Over all workers.
    pub drops: BTreeMap<DropReason, u64>,
    /// Over all workers.
    pub stages: BTreeMap<Stage, StageTimes>,
}

/// A port under the name that Linux knows it by.
#[derive(Clone, Debug, Serialize)]
pub struct NamedPort {
    /// Of its mirror TAP.
    pub name: String,
    /// All else.
    #[serde(flatten)]
    pub port: Port,
}

/// What one worker counted.
#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    /// Its number.
    pub worker: usize,
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
    /// Every reason.
    pub drops: BTreeMap<DropReason, u64>,
    /// By the port's number.
    pub ports: Vec<WorkerPort>,
    /// Every stage.
    pub stages: BTreeMap<Stage, StageTimes>,
}

/// What one worker counted of one port.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerPort {
    /// The port's number.
    pub port: PortId,
    /// Of its mirror TAP; nothing for a port that is no longer attached.
    pub name: Option<String>,
    /// What passed.
    #[serde(flatten)]
    pub traffic: PortTraffic,
}

/// The times of a stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageTimes {
    /// Bursts measured.
    pub calls: u64,
    /// Packets in them.
    pub packets: u64,
    /// TSC clocks that they took.
    pub clocks: u64,
    /// How they spread; nothing where nothing was measured.
    pub clocks_per_packet: Option<Spread>,
}

/// A distribution; a value is known to within a sixteenth.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    /// Clocks by packets.
    pub mean: f64,
    /// The lowest.
    pub min: u64,
    /// Half of the packets took no more.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// Ninety-nine of a hundred.
    pub p99: u64,
    /// Nine hundred and ninety-nine of a thousand.
    pub p999: u64,
    /// The highest.
    pub max: u64,
}

impl Stats {
    /// Out of a view, taken at that time (nanoseconds since 1970).
    pub fn new(view: &View, taken_at: u64) -> Stats {
        let counters = &view.counters;
        let port = |(&number, status)| {
            let port = Port::new(number, status, counters.traffic(number));
            NamedPort { name: port.linux_name.clone(), port }
        };
        Stats {
            taken_at,
            started_at: counters.started_at,
            generation: counters.generation,
            pid: counters.pid,
            tsc_hz: counters.tsc_hz,
            hugepages: counters.hugepages,
            crypto: counters.crypto.clone(),
            idle: counters.idle.clone(),
            events_lost: counters.events_lost,
            mbufs_in_use: counters.mbufs_in_use,
            mbufs_available: counters.mbufs_available,
            ports: counters.ports.iter().map(port).collect(),
            workers: counters
                .workers
                .iter()
                .enumerate()
                .map(|(number, each)| worker(view, number, each))
                .collect(),
            sa: associations(view),
            policies: view.policies.clone(),
            drops: counters.drops(),
            stages: Stage::ALL.iter().map(|&stage| (stage, times(&counters.stage(stage)))).collect(),
        }
    }
}

fn worker(view: &View, number: usize, worker: &WorkerSnapshot) -> Worker {
    let port = |(&port, &traffic)| WorkerPort {
        port,
        name: view.counters.ports.get(&port).map(|status| status.name.to_string()),
        traffic,
    };
    Worker {
        worker: number,
        polls: worker.polls,
        empty_polls: worker.empty_polls,
        bursts: worker.bursts,
        packets: worker.packets,
        held: worker.held,
        made: worker.made,
        merged: worker.merged,
        stored: worker.stored,
        released: worker.released,
        drops: worker.drops.clone(),
        ports: worker.ports.iter().map(port).collect(),
        stages: worker.stages.iter().map(|(&stage, each)| (stage, times(each))).collect(),
    }
}

pub(super) fn times(stage: &StageSnapshot) -> StageTimes {
    let histogram = stage.histogram.to_hdr();
    let spread = (!histogram.is_empty() && stage.packets > 0).then(|| Spread {
        mean: stage.clocks as f64 / stage.packets as f64,
        min: histogram.min(),
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    });
    StageTimes { calls: stage.calls, packets: stage.packets, clocks: stage.clocks, clocks_per_packet: spread }
}
