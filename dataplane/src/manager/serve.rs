//! The manager's life: it hears the control plane, the workers and the devices, one at a time.

use super::crypto::Crypto;
use super::desired::{Capacity, Desired};
use super::limits::Told;
use super::path_mtu::PathMtus;
use super::policies::InUse;
use super::ports::OpenPort;
use super::sas::{self, Sas};
use crate::fib::Fibs;
use crate::worker::alarms::Alarm;
use crate::worker::{Order, Shared};
use crossbeam_channel::{Receiver, Sender};
use model::Spi;
use shm::{Event, Limits, PortId, Request, Server};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the manager waits for a message before it looks at the workers' alarms.
const TICK: Duration = Duration::from_millis(5);
/// How often it reads the devices' own statistics.
const SURVEY: Duration = Duration::from_millis(500);

/// What makes a manager.
pub(crate) struct Manager {
    pub(super) server: Server,
    pub(super) pool: dpdk::Mempool,
    pub(super) shared: Shared,
    /// One channel to each worker.
    pub(super) orders: Vec<Sender<Order>>,
    pub(super) alarms: Receiver<Alarm>,
    pub(super) desired: Desired,
    pub(super) open: BTreeMap<PortId, OpenPort>,
    pub(super) policies: InUse,
    pub(super) sas: Sas,
    pub(super) crypto: Crypto,
    path_mtus: PathMtus,
    pub(super) told: Told,
    pub(super) fibs: Fibs,
    pub(super) capacity: Capacity,
    pub(super) generation: u64,
}

impl Manager {
    pub(crate) fn new(
        server: Server,
        (pool, crypto): (dpdk::Mempool, Crypto),
        shared: Shared,
        orders: Vec<Sender<Order>>,
        alarms: Receiver<Alarm>,
        capacity: Capacity,
        secret: u32,
    ) -> Manager {
        let sas = Sas::new(Arc::clone(&shared.sas), secret);
        let fibs = shared.snapshots.latest().fibs.clone();
        Manager {
            server,
            pool,
            shared,
            orders,
            alarms,
            desired: Desired::default(),
            open: BTreeMap::new(),
            policies: InUse::new(),
            sas,
            crypto,
            path_mtus: PathMtus::default(),
            told: Told::default(),
            fibs,
            capacity,
            generation: 0,
        }
    }

    /// Serves until `stop`; then stops the workers and lets go of every port.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Result<(), shm::ServeError> {
        let mut survey_at = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for request in self.server.wait(TICK)? {
                match request {
                    Request::Transaction(transaction) => self.transaction(transaction),
                    Request::ControlAttached { pid } => {
                        tracing::info!("control plane {pid} attached");
                        self.told.forget_all();
                    }
                    Request::ControlDetached(why) => {
                        tracing::warn!("the control plane is gone ({why}); traffic flows on");
                    }
                }
            }
            self.hear();
            if survey_at <= Instant::now() {
                survey_at = Instant::now() + SURVEY;
                self.survey();
                self.look_at_limits();
                self.path_mtus.forget(&self.sas);
            }
        }
        self.stop();
        Ok(())
    }

    /// Does what the workers' alarms want done, and passes them on.
    fn hear(&mut self) {
        let mut moved = false;
        while let Ok(alarm) = self.alarms.try_recv() {
            if let Alarm::PeerMoved { index, spi, peer } = alarm {
                // It may be of an SA that is gone, or have been heard already.
                if !self.move_peer(index, spi, peer) {
                    continue;
                }
                moved = true;
            }
            if let Alarm::PathMtu { index, spi, mtu } = alarm {
                self.path_mtus.learn(&self.desired, &self.sas, (index, spi), mtu);
            }
            if let Alarm::TooBig { spi, sequence, ends, mtu } = alarm
                && let Some(index) = self.sas.sent_lately(spi, sequence, ends, mtu)
            {
                tracing::debug!("SA {index}: its path takes {mtu} bytes");
                self.path_mtus.learn(&self.desired, &self.sas, (index, spi), mtu);
            }
            if let Alarm::SoftExpired { index, spi }
            | Alarm::HardExpired { index, spi }
            | Alarm::SequenceExhausted { index, spi } = alarm
                && let Some(sa) = self.desired.sas.get(&index).filter(|sa| sa.install.spi == spi)
            {
                match (alarm, self.shared.sas.slot(index)) {
                    (Alarm::SequenceExhausted { .. }, _) => {
                        self.told.of_sequence(&sa.install, &mut self.server)
                    }
                    (_, Some(slot)) => self.told.of_counters(&sa.install, slot, &mut self.server),
                    _ => {}
                }
            }
            if let Some(event) = event(alarm) {
                self.server.event(event);
            }
        }
        if moved {
            self.publish();
        }
    }

    /// Tells the control plane of the limits that SAs reached and that no alarm told of.
    fn look_at_limits(&mut self) {
        for (&index, sa) in &self.desired.sas {
            if let Some(slot) = self.shared.sas.slot(index).filter(|_| sa.install.limits != Limits::default())
            {
                self.told.of_counters(&sa.install, slot, &mut self.server);
            }
        }
    }

    /// Has an inbound SA, and the outbound one that serves the same entry, take the peer for where it was seen.
    fn move_peer(&mut self, index: u32, spi: Spi, peer: SocketAddr) -> bool {
        let elsewhere = self.sas.is_elsewhere(index, peer);
        let inbound = self.desired.sas.get(&index).filter(|sa| elsewhere && sa.install.spi == spi);
        let Some(inbound) = inbound else { return false };
        let outbound = inbound.install.entry.and_then(|entry| self.desired.bindings.get(&entry));
        let mut moved = false;
        for index in [Some(&index), outbound].into_iter().flatten() {
            let Some(spec) = self.desired.sas.get(index).filter(|sa| sa.install.udp_port.is_some()) else {
                continue;
            };
            match sas::build(spec, Some(peer), &mut self.crypto) {
                Ok(built) => {
                    self.sas.move_peer(*index, peer, built);
                    moved = true;
                }
                Err(reason) => tracing::error!("SA {index}: its peer cannot be at {peer}: {reason}"),
            }
        }
        moved
    }

    fn stop(mut self) {
        let all: Vec<PortId> = self.open.keys().copied().collect();
        self.desired = Desired::default();
        self.policies.clear();
        self.close(&all);
        for orders in &self.orders {
            let _ = orders.send(Order::Stop);
        }
        self.publish();
    }

    /// Writes down what the devices and pools say of themselves, and cleans up behind the workers.
    pub(super) fn survey(&mut self) {
        if self.shared.snapshots.collect() == 0 {
            self.sas.bury();
        }
        let counters = &self.shared.counters;
        counters.set_mbufs(self.pool.in_use().into(), self.pool.available().into());
        for port in PortId::all() {
            let Some(open) = self.open.get_mut(&port) else {
                counters.clear_port(port);
                continue;
            };
            let Some(attach) = self.desired.ports.get(&port) else { continue };
            let link = open.wire.link();
            let stats = open.wire.stats().unwrap_or_default();
            counters.set_port(
                port,
                &shm::PortStatus {
                    name: attach.name,
                    device: attach.device,
                    mac: open.mac,
                    mtu: attach.mtu,
                    shutdown: attach.shutdown,
                    link_up: link.up,
                    speed_mbps: link.speed,
                    missed: stats.missed,
                    errors: stats.rx_errors + stats.tx_errors,
                    no_mbuf: stats.no_mbuf,
                },
            );
            if open.link_up != link.up {
                open.link_up = link.up;
                tracing::info!("port {port} ({}): link {}", attach.name, if link.up { "up" } else { "down" });
                self.server.event(Event::PortLink { port, up: link.up });
            }
        }
    }
}

/// What the control plane hears of an alarm.
fn event(alarm: Alarm) -> Option<Event> {
    Some(match alarm {
        Alarm::Acquire { entry, flow } => Event::Acquire {
            entry,
            flow: shm::Flow {
                source: flow.source,
                destination: flow.destination,
                protocol: flow.protocol,
                ports: flow.ports,
            },
        },
        Alarm::NeighbourNeeded { port, address } => {
            Event::NeighbourNeeded { port: PortId::new(port)?, address }
        }
        // The manager's own affair, or told by it when it has looked.
        Alarm::PathMtu { .. }
        | Alarm::TooBig { .. }
        | Alarm::SequenceExhausted { .. }
        | Alarm::SoftExpired { .. }
        | Alarm::HardExpired { .. } => return None,
        Alarm::PeerMoved { index, spi, peer } => Event::PeerMoved { index, spi, peer },
    })
}
