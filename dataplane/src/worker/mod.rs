//! A worker: one thread on one core, which runs every packet of its queues to completion.
//!
//! It shares nothing that is written with another worker but the SAs' sequence numbers and windows, and it waits for
//! nobody. What it is to do comes as an immutable snapshot; only queues are handed over by message.

pub(crate) mod alarms;
mod allowance;
mod datagrams;
mod dummies;
mod fragments;
pub(crate) mod held;
mod idle;
mod oversize;
pub(crate) mod queues;
pub(crate) mod stopwatch;
mod way;

use crate::args::Idle;
use crate::burst::Burst;
use crate::reassembly::Aside;
use crate::snapshot::Snapshot;
use crate::stages::Context;
use alarms::{Alarm, Alarms};
use allowance::Allowance;
use crossbeam_channel::{Receiver, Sender};
use dummies::Dummies;
use held::Held;
use idle::Backoff;
use queues::{PortQueues, Queues};
use shm::{Counters, SaTable, Stage};
use std::sync::Arc;
use stopwatch::Stopwatch;
use way::Doors;

/// How often packets that wait try again, beside whenever something changed.
const RETRIES_PER_SECOND: u64 = 20;
/// How often fragments are looked at that wait for others.
const SWEEPS_PER_SECOND: u64 = 4;

/// What the manager tells one worker. It takes effect when the worker sees the next snapshot.
pub(crate) enum Order {
    /// From now on poll these; `None` gives the port up. What was there goes back by the channel, dropped or not.
    Port { number: u16, queues: Option<PortQueues>, returns: Sender<Option<PortQueues>> },
    /// From now on put what SAs ask of a crypto device to this queue.
    Crypto(dpdk::CryptoQueue),
    /// End the thread.
    Stop,
}

/// What all workers share with the manager.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) snapshots: Arc<epoch::Published<Snapshot>>,
    pub(crate) sas: Arc<SaTable>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) aside: Arc<Aside>,
}

/// What makes one worker.
pub(crate) struct Hiring {
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) of: usize,
    pub(crate) core: core_affinity::CoreId,
    pub(crate) idle: Idle,
    pub(crate) tsc_hz: u64,
    pub(crate) shared: Shared,
    pub(crate) orders: Receiver<Order>,
    pub(crate) alarms: Sender<Alarm>,
    /// For packets that the worker makes: such as others are, and as long as a packet can be.
    pub(crate) pool: dpdk::Mempool,
    pub(crate) large: dpdk::Mempool,
}

/// The thread's whole life. An error is a failure to start.
pub(crate) fn run(hiring: Hiring, started: &Sender<Result<(), String>>) {
    let Hiring { number, of, core, idle, tsc_hz, shared, orders, alarms, pool, large } = hiring;
    if !core_affinity::set_for_current(core) {
        let _ = started.send(Err(format!("worker {number} cannot be pinned to core {}", core.id)));
        return;
    }
    let _registered = match dpdk::register_thread() {
        Ok(registered) => registered,
        Err(error) => {
            let _ = started.send(Err(format!("worker {number} cannot be registered with DPDK: {error}")));
            return;
        }
    };
    let Shared { snapshots, sas, counters, aside } = shared;
    let Some(counters) = counters.worker(number) else {
        let _ = started.send(Err(format!("worker {number} has no room in the counters")));
        return;
    };
    let _ = started.send(Ok(()));

    let reader = snapshots.reader();
    let mut burst = Burst::new();
    let mut doors = Doors {
        queues: Queues::new(),
        for_neighbours: Held::for_neighbours(tsc_hz),
        for_sas: Held::for_sas(tsc_hz),
        alarms: Alarms::new(alarms, tsc_hz),
        pool,
        large,
        aside,
        answers: Allowance::new(tsc_hz),
        heard: Allowance::new(tsc_hz),
        crypto: None,
    };
    let mut backoff = Backoff::new(idle);
    let mut dummies = Dummies::new(number, of, tsc_hz);
    let mut ports = Vec::<u16>::new();
    let mut generation = 0;
    let mut bursts = 0_u64;
    let mut retry_at = 0;
    let mut shown = 0;
    let mut sweep_at = 0;
    loop {
        let snapshot = reader.pin();
        let mut now = dpdk::tsc();
        let changed = snapshot.generation != generation;
        if changed {
            generation = snapshot.generation;
            for order in orders.try_iter() {
                match order {
                    Order::Port { number, queues, returns } => {
                        let _ = returns.send(doors.queues.set(number, queues));
                    }
                    Order::Crypto(queue) => doors.crypto = Some(queue),
                    Order::Stop => return,
                }
            }
            // Queues may come a moment before the snapshot that knows their port.
            ports = doors.queues.numbers().filter(|&port| snapshot.port(port).is_some()).collect();
            dummies.follow(&snapshot, now);
        }
        // Before what comes next, so that packets of a flow stay in order.
        if doors.waiting() > 0 && (changed || now.wrapping_sub(retry_at) as i64 > 0) {
            retry_at = now.wrapping_add(tsc_hz / RETRIES_PER_SECOND);
            let ctx = Context { snapshot: &snapshot, sas: &sas, counters, worker: number, now };
            way::retry(&mut burst, &mut doors, &ctx);
        }
        let mut packets = 0;
        counters.polls.add(1);
        for &port in &ports {
            for source in [Source::Wire, Source::Linux] {
                let mut watch = Stopwatch::start(counters, bursts, now);
                let mask = source.receive(port, &mut burst, &mut doors.queues, counters);
                if mask == 0 {
                    continue;
                }
                watch.lap(Stage::Receive, mask);
                let ctx = Context { snapshot: &snapshot, sas: &sas, counters, worker: number, now };
                match source {
                    Source::Wire => way::from_wire(&mut burst, mask, port, &mut doors, &ctx, &mut watch),
                    Source::Linux => way::from_linux(&mut burst, mask, port, &mut doors, &ctx, &mut watch),
                }
                debug_assert_eq!(burst.packets.mask(), 0, "a packet left by no door");
                bursts += 1;
                packets += u64::from(mask.count_ones());
                now = dpdk::tsc();
            }
        }
        if dummies.any_due(now) {
            let ctx = Context { snapshot: &snapshot, sas: &sas, counters, worker: number, now };
            dummies.send(&mut burst, &mut doors, &ctx);
            debug_assert_eq!(burst.packets.mask(), 0, "a packet left by no door");
        }
        let waiting = doors.waiting();
        if waiting != shown {
            counters.held.set(waiting as u64);
            shown = waiting;
        }
        if now.wrapping_sub(sweep_at) as i64 > 0 {
            sweep_at = now.wrapping_add(tsc_hz / SWEEPS_PER_SECOND);
            doors.aside.sweep(now, counters);
        }
        drop(snapshot);
        if packets > 0 {
            counters.bursts.add(1);
            counters.packets.add(packets);
            backoff.busy();
        } else {
            counters.empty_polls.add(1);
            backoff.rest();
        }
    }
}

/// Where a burst comes from.
#[derive(Clone, Copy)]
enum Source {
    Wire,
    Linux,
}

impl Source {
    /// Fills the empty burst and counts what came.
    fn receive(
        self,
        port: u16,
        burst: &mut Burst,
        queues: &mut Queues,
        counters: &shm::WorkerCounters,
    ) -> crate::burst::Mask {
        let (Some(queues), Some(counters)) = (queues.port(port), counters.port(port)) else { return 0 };
        match (self, &mut queues.tap) {
            (Source::Wire, _) => {
                let mask = burst.packets.receive(&mut queues.wire.rx);
                if mask != 0 {
                    counters.rx_packets.add(u64::from(mask.count_ones()));
                    counters.rx_bytes.add(burst.packets.bytes(mask));
                }
                mask
            }
            (Source::Linux, Some(tap)) => {
                let mask = burst.packets.receive(&mut tap.rx);
                counters.from_linux.add(u64::from(mask.count_ones()));
                mask
            }
            (Source::Linux, None) => 0,
        }
    }
}
