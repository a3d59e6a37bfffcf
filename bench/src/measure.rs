//! A case's figures: rounds of the gateway and of its bare ports in turn, so that a machine whose pace drifts is fair to
//! both, and the proof that the gateway did what it is measured for.
//!
//! Time is that of the worker's thread, not the clock's on the wall: who else wants the core does not count. So a clock
//! per packet is what a packet costs, and a rate is what the worker does when the core is its own.

use crate::case::{Case, Way};
use crate::dataplane::{Dataplane, Machine};
use crate::error::Error;
use crate::frames::{self, Frames};
use crate::peers;
use crate::ports::{self, Ports};
use crate::samples::{median, ratio};
use crate::tunnels::Role;
use crate::tunnels::{End, LAN, WAN};
use crate::{pcap, report::Row};
use model::Direction;
use shm::{CountersSnapshot, PortId, PortTraffic, Stage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Packets that may be in a worker's hands when it is stopped.
const IN_FLIGHT: u64 = 64;

/// How long a case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds; the median counts.
    pub rounds: usize,
    /// Of the gateway's worker on its core, in each round.
    pub gateway: Duration,
    /// Of the bare ports on that core, in each round.
    pub ports: Duration,
}

impl Effort {
    /// The default, or less.
    pub fn new(quick: bool) -> Effort {
        let ms = Duration::from_millis;
        if quick {
            Effort { rounds: 9, gateway: ms(60), ports: ms(30) }
        } else {
            Effort { rounds: 15, gateway: ms(80), ports: ms(40) }
        }
    }
}

/// Measures one case.
///
/// # Errors
///
/// [`Error::Unproven`] if packets did not become what the case says; [`Error::Interrupted`] once `stop` is set.
pub fn measure(case: &Case, machine: &Machine, effort: Effort, stop: &AtomicBool) -> Result<Row, Error> {
    let folder = tempfile::Builder::new()
        .prefix("espalier-bench-")
        .tempdir()
        .map_err(Error::io("cannot make a temporary folder"))?;
    let capture = folder.path().join("in.pcap");
    let traffic = frames::generate(case, frames::SHORTEST_ROUND)?;
    let frames = match case.way {
        Way::Decrypt => &peers::protect(&traffic.frames, case, machine, folder.path())?,
        Way::Forward | Way::Encrypt => &traffic.frames,
    };
    pcap::write(&capture, frames.iter().map(Vec::as_slice))
        .map_err(Error::io(format!("cannot write {}", capture.display())))?;
    let devices = |workers| {
        let (input, output) = ports::devices(&capture, workers);
        ports::facing(&input, &output, case.way == Way::Decrypt)
    };
    let (input, output) = ports::devices(&capture, 1);
    let mut bare = Ports::start(machine, (&input, &output), folder.path())?;
    let start = |case: &Case| {
        let name = format!("{}", case.workers);
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).map_err(Error::io(format!("cannot make {}", folder.display())))?;
        // It never idles while it is measured; sleeping is for the moments before.
        let role = Role { case, end: End::Ours, devices: &devices(case.workers), idle: "sleep", window: 0 };
        Dataplane::start(machine, role, &folder)
    };
    let mut gateway = start(case)?;
    // What more than one worker are held against.
    let single = Case { workers: 1, ..*case };
    let mut alone = if case.workers > 1 { Some(start(&single)?) } else { None };
    // Caches and predictors get used to the work.
    bare.run(effort.ports)?;
    gateway.run(effort.gateway)?;
    if let Some(alone) = &mut alone {
        alone.run(effort.gateway)?;
    }

    let tsc_hz = gateway.counters().tsc_hz as f64;
    let mut clocks = Vec::new();
    let mut alone_clocks = Vec::new();
    let mut port_clocks = Vec::new();
    let warm = gateway.counters();
    for _ in 0..effort.rounds {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        clocks.push(round(&mut gateway, case, effort.gateway)? * tsc_hz / 1e9);
        if let Some(alone) = &mut alone {
            alone_clocks.push(round(alone, &single, effort.gateway)? * tsc_hz / 1e9);
        }
        let passed = bare.run(effort.ports)?;
        port_clocks.push(passed.nanoseconds as f64 * tsc_hz / 1e9 / passed.packets.max(1) as f64);
    }
    let counters = gateway.counters();
    prove(case, &traffic, &counters, &gateway.sas())?;
    if let Some(alone) = &alone {
        prove(&single, &traffic, &alone.counters(), &alone.sas())?;
    }
    let stages = by_stage(&warm, &counters);
    let (clocks_best, spread) = (lowest(&clocks), spread(&clocks));
    let workers = f64::from(case.workers);
    let speedup = (case.workers > 1).then(|| workers * ratio(&alone_clocks, &clocks));
    let clocks = median(clocks);
    let mpps = workers * tsc_hz / clocks / 1e6;
    Ok(Row {
        case: case.way,
        size: case.size,
        sas: case.sas(),
        key_bits: case.key_bits(),
        suite: case.other_suite(),
        headers: case.headers.name(),
        workers: (case.workers > 1).then_some(case.workers),
        speedup,
        mpps,
        gbps: mpps * case.size.mean() * 8.0 / 1e3,
        clocks,
        clocks_best,
        port_clocks: median(port_clocks),
        spread,
        tsc_mhz: tsc_hz / 1e6,
        hugepages: counters.hugepages,
        crypto: counters.crypto,
        stages,
    })
}

/// Nanoseconds that a packet took of the gateway's workers, of so much of their time.
fn round(gateway: &mut Dataplane, case: &Case, time: Duration) -> Result<f64, Error> {
    let (before, began) = (gateway.counters(), gateway.worker_time()?);
    gateway.run(time)?;
    let (after, ended) = (gateway.counters(), gateway.worker_time()?);
    match out(&after, case).tx_packets - out(&before, case).tx_packets {
        0 => Err(unproven(case, format!("nothing came out; drops: {}", drops(&after)))),
        sent => Ok((ended - began) as f64 / sent as f64),
    }
}

/// The traffic of the port that packets come in by.
pub(crate) fn into(counters: &CountersSnapshot, case: &Case) -> PortTraffic {
    traffic(counters, if case.way == Way::Decrypt { WAN } else { LAN })
}

/// The traffic of the port that they leave by.
pub(crate) fn out(counters: &CountersSnapshot, case: &Case) -> PortTraffic {
    traffic(counters, if case.way == Way::Decrypt { LAN } else { WAN })
}

fn traffic(counters: &CountersSnapshot, port: u16) -> PortTraffic {
    PortId::new(port).map(|port| counters.traffic(port)).unwrap_or_default()
}

/// Clocks of each stage per packet received, of those bursts that the data plane timed, but for the slowest twentieth of
/// packets: the data plane cannot know in which bursts its worker lost the core to somebody else.
pub(crate) fn by_stage(before: &CountersSnapshot, after: &CountersSnapshot) -> BTreeMap<Stage, f64> {
    let received = after.stage(Stage::Receive).packets - before.stage(Stage::Receive).packets;
    let clocks = |stage: Stage| {
        let (before, after) = (before.stage(stage), after.stage(stage));
        let packets = after.packets - before.packets;
        let (mut clocks, mut counted) = (0, 0);
        for (each, times) in after.histogram.since(&before.histogram).buckets() {
            let times = times.min((packets - packets / 20).saturating_sub(counted));
            clocks += each * times;
            counted += times;
        }
        // A packet may pass a stage more than once.
        (counted > 0 && received > 0)
            .then(|| clocks as f64 / counted as f64 * packets as f64 / received as f64)
    };
    Stage::ALL.iter().filter_map(|&stage| Some((stage, clocks(stage)?))).collect()
}

fn drops(counters: &CountersSnapshot) -> String {
    let drops = counters.drops();
    let drops: Vec<_> = drops.iter().filter(|&(_, &packets)| packets > 0).collect();
    format!("{drops:?}")
}

pub(crate) fn unproven(case: &impl ToString, why: String) -> Error {
    Error::Unproven { case: case.to_string(), why }
}

/// Holds what was counted from the start against what must have happened: every packet came out, as long as it must be,
/// and went through its SA, and none was dropped.
fn prove(
    case: &Case,
    round: &Frames,
    counters: &CountersSnapshot,
    sas: &[shm::SaStatus],
) -> Result<(), Error> {
    let ensure = |sound: bool, why: &dyn Fn() -> String| {
        if sound { Ok(()) } else { Err(unproven(case, why())) }
    };
    let (into, out) = (into(counters, case), out(counters, case));
    let in_flight = IN_FLIGHT * u64::from(case.workers);
    ensure(counters.drops().values().all(|&packets| packets == 0), &|| {
        format!("packets were dropped: {}", drops(counters))
    })?;
    ensure(into.rx_packets.abs_diff(out.tx_packets) <= in_flight, &|| {
        format!("{} packets came in and {} left", into.rx_packets, out.tx_packets)
    })?;
    // In whole rounds it is exact; an unfinished one of a worker is off by less than its own bytes.
    let bytes = u128::from(out.tx_packets) * u128::from(round.bytes_out) / round.frames.len().max(1) as u128;
    let unfinished = u128::from(round.bytes_out) * u128::from(case.workers);
    ensure(bytes.abs_diff(u128::from(out.tx_bytes)) <= unfinished, &|| {
        format!("{} bytes left in {} packets, not {bytes}", out.tx_bytes, out.tx_packets)
    })?;

    let direction = if case.way == Way::Decrypt { Direction::Inbound } else { Direction::Outbound };
    let (ours, others): (Vec<&shm::SaStatus>, Vec<_>) =
        sas.iter().partition(|sa| sa.descriptor.direction == direction);
    ensure(others.iter().all(|sa| sa.counters.packets == 0), &|| {
        "packets went through SAs of the other direction".to_owned()
    })?;
    let through: u64 = ours.iter().map(|sa| sa.counters.packets).sum();
    if case.way == Way::Forward {
        return ensure(through == 0, &|| format!("{through} packets went through an SA"));
    }
    ensure(ours.len() == case.tunnels as usize && ours.iter().all(|sa| sa.counters.packets > 0), &|| {
        format!("of {} SAs some carried nothing", ours.len())
    })?;
    ensure(through.abs_diff(out.tx_packets) <= in_flight, &|| {
        format!("{through} packets went through SAs, and {} left", out.tx_packets)
    })
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// The distance of the extremes, as a part of the median.
fn spread(values: &[f64]) -> f64 {
    (values.iter().copied().fold(f64::NAN, f64::max) - lowest(values)) / median(values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_of_the_extremes() {
        assert_eq!(spread(&[1.0, 2.0, 3.0]), 1.0);
    }
}
