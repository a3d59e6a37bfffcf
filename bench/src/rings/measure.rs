//! A case's figures: the peak, what a packet's way takes at parts of it, and the proof that every packet is accounted for.

use super::case::Case;
use super::generator::{Latency, ROUND, Ran, Wanted};
use super::process::Process;
use super::report::{Load, Row};
use crate::case::Way;
use crate::dataplane::{Dataplane, Machine};
use crate::error::Error;
use crate::measure::{by_stage, into, out, unproven};
use crate::samples::median;
use crate::tunnels::End;
use crate::tunnels::Role;
use crate::{frames, pcap, peers};
use shm::CountersSnapshot;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds at the peak; the median counts.
    pub rounds: usize,
    /// Of each.
    pub peak: Duration,
    /// At each part of it.
    pub part: Duration,
}

/// Between two runs, as a part of their time.
const REST: u32 = 4;
/// In percent of the peak.
const PARTS: [u32; 3] = [10, 50, 90];

impl Effort {
    /// The default, or less.
    pub fn new(quick: bool) -> Effort {
        let ms = Duration::from_millis;
        if quick {
            Effort { rounds: 3, peak: ms(100), part: ms(200) }
        } else {
            Effort { rounds: 5, peak: ms(200), part: ms(800) }
        }
    }
}

/// Measures one case: a row for the peak, and one for each part of it.
///
/// # Errors
///
/// [`Error::Unproven`] if packets are missing and no reason was counted, or did not become what the case says;
/// [`Error::Interrupted`] once `stop` is set.
pub fn measure(
    case: &Case,
    machine: &Machine,
    core: usize,
    effort: Effort,
    stop: &AtomicBool,
) -> Result<Vec<Row>, Error> {
    let folder = tempfile::Builder::new()
        .prefix("espalier-bench-")
        .tempdir()
        .map_err(Error::io("cannot make a temporary folder"))?;
    let traffic = frames::generate(&case.traffic, ROUND)?;
    let frames = match case.traffic.way {
        Way::Decrypt => &peers::protect(&traffic.frames, &case.traffic, machine, folder.path())?,
        Way::Forward | Way::Encrypt => &traffic.frames,
    };
    let capture = folder.path().join("round.pcap");
    pcap::write(&capture, frames.iter().map(Vec::as_slice))
        .map_err(Error::io(format!("cannot write {}", capture.display())))?;
    let devices = case.ring.gateway(folder.path());
    // A worker that sleeps would add its naps to every packet's way.
    let role = Role { case: &case.traffic, end: End::Ours, devices: &devices, idle: "busy", window: 0 };
    let mut gateway = Dataplane::start(machine, role, folder.path())?;
    gateway.resume()?;
    let generator = Process::start(machine, core, case, &capture, folder.path())?;
    gateway.stop()?;
    let mut bench = Bench { case, gateway, generator, mean: case.traffic.size.mean() };

    // Caches and predictors get used to the work.
    bench.run(&[None], effort.peak, Load::Peak)?;
    let peak = bench.run(&vec![None; effort.rounds], effort.peak, Load::Peak)?;
    let mut rows = vec![peak.clone()];
    for part in PARTS {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let rate = peak.mpps * 1e6 * f64::from(part) / 100.0;
        rows.push(bench.run(&[Some(rate)], effort.part, Load::Percent(part))?);
    }
    Ok(rows)
}

/// A gateway that stands still, and its generator.
struct Bench<'a> {
    case: &'a Case,
    gateway: Dataplane,
    generator: Process,
    /// Bytes of an inner packet.
    mean: f64,
}

impl Bench<'_> {
    /// One row of so many runs, each at its rate.
    fn run(&mut self, rates: &[Option<f64>], time: Duration, load: Load) -> Result<Row, Error> {
        let (before, began) = (self.gateway.counters(), self.gateway.worker_time()?);
        let mut rans = Vec::new();
        for &rate in rates {
            self.gateway.resume()?;
            let ran = self.generator.run(Wanted { rate, milliseconds: time.as_millis() as u64 });
            self.gateway.stop()?;
            rans.push(ran?);
            // What else wants these cores, and Linux does not let wait for ever, has them now.
            std::thread::sleep(time / REST);
        }
        let (after, ended) = (self.gateway.counters(), self.gateway.worker_time()?);
        let drops = self.account(&rans, &before, &after)?;
        let stages = by_stage(&before, &after);
        let clocks: f64 = stages.values().sum();
        let count = |of: fn(&shm::WorkerSnapshot) -> u64| {
            let sum = |counters: &CountersSnapshot| counters.workers.iter().map(of).sum::<u64>();
            (sum(&after) - sum(&before)) as f64
        };
        let worked = (ended - began) as f64 * after.tsc_hz as f64 / 1e9;
        let (bursts, packets) = (count(|worker| worker.bursts), count(|worker| worker.packets));
        let mpps = median(rans.iter().map(|ran| ran.rate).collect()) / 1e6;
        Ok(Row {
            ring: self.case.ring,
            case: self.case.traffic.way,
            size: self.case.traffic.size,
            sas: self.case.traffic.sas(),
            load,
            mpps,
            gbps: mpps * self.mean * 8.0 / 1e3,
            clocks,
            busy: clocks * packets / worked.max(1.0),
            burst: packets / bursts.max(1.0),
            sent: rans.iter().map(|ran| ran.sent).sum(),
            received: rans.iter().map(|ran| ran.received).sum(),
            drops,
            latency: match (load, rans.as_slice()) {
                (Load::Percent(_), [ran]) => Some(ran.latency),
                _ => None,
            },
            tsc_mhz: after.tsc_hz as f64 / 1e6,
            hugepages: after.hugepages,
            crypto: after.crypto,
            stages,
        })
    }

    /// Holds the generator's counts against the gateway's: what was sent came in, and what did not come back was dropped
    /// for a reason. The drops, by reason.
    fn account(
        &self,
        rans: &[Ran],
        before: &CountersSnapshot,
        after: &CountersSnapshot,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let sum = |of: fn(&Ran) -> u64| rans.iter().map(of).sum::<u64>();
        let (sent, received, strays) = (sum(|ran| ran.sent), sum(|ran| ran.received), sum(|ran| ran.strays));
        let earlier = before.drops();
        let drops: BTreeMap<String, u64> = after
            .drops()
            .iter()
            .map(|(reason, count)| (reason.name().to_owned(), count - earlier.get(reason).unwrap_or(&0)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let dropped: u64 = drops.values().sum();
        let traffic = &self.case.traffic;
        let came_in = into(after, traffic).rx_packets - into(before, traffic).rx_packets;
        let (out_before, out_after) = (out(before, traffic), out(after, traffic));
        let left = out_after.tx_packets - out_before.tx_packets;
        let bytes_left = out_after.tx_bytes - out_before.tx_bytes;
        let ensure = |sound: bool, why: String| {
            if sound { Ok(()) } else { Err(unproven(self.case, why)) }
        };
        ensure(received > 0, format!("of {sent} packets none came back; drops: {drops:?}"))?;
        ensure(strays == 0, format!("{strays} frames came that nobody had sent"))?;
        ensure(came_in == sent, format!("{sent} packets were sent, and {came_in} came in"))?;
        ensure(left == received, format!("{left} packets left, and {received} came back"))?;
        let bytes = sum(|ran| ran.bytes);
        ensure(bytes_left == bytes, format!("{bytes_left} bytes left, and {bytes} came back"))?;
        ensure(
            sent == received + dropped,
            format!("{sent} packets were sent, {received} came back, and drops account for {drops:?}"),
        )?;
        Ok(drops)
    }
}

/// The percentiles in microseconds, as people read them.
pub(super) fn microseconds(latency: Latency) -> [f64; 4] {
    [latency.p50, latency.p99, latency.p999, latency.max].map(|nanoseconds| nanoseconds as f64 / 1e3)
}
