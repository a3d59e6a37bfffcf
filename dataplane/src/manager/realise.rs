//! Doing a transaction: all of it, or none.

use super::crypto::Crypto;
use super::desired::{Capacity, Desired, Draft};
use super::path_mtu::PathMtus;
use super::policies::{self, InUse};
use super::ports::{self, OpenPort};
use super::routes;
use super::sas::{self, Built, Sas};
use crate::fib::Fibs;
use crate::snapshot::{MAX_PORTS, NextHop, PortView, Snapshot};
use crate::worker::alarms::Alarm;
use crate::worker::queues::PortQueues;
use crate::worker::{Order, Shared};
use crossbeam_channel::{Receiver, Sender};
use model::Spi;
use shm::{AttachPort, Event, Failure, PortId, Reason, Request, Server, Transaction};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the manager waits for a message before it looks at the workers' alarms.
const TICK: Duration = Duration::from_millis(5);
/// How often it reads the devices' own statistics.
const SURVEY: Duration = Duration::from_millis(500);
/// How long a worker may take to end the burst that it is in.
const LAST_BURST: Duration = Duration::from_secs(2);
/// How long a worker may take to give a port's queues back.
const HAND_BACK: Duration = Duration::from_secs(2);

/// What makes a manager.
pub(crate) struct Manager {
    server: Server,
    pool: dpdk::Mempool,
    shared: Shared,
    /// One channel to each worker.
    orders: Vec<Sender<Order>>,
    alarms: Receiver<Alarm>,
    desired: Desired,
    open: BTreeMap<PortId, OpenPort>,
    policies: InUse,
    sas: Sas,
    crypto: Crypto,
    path_mtus: PathMtus,
    fibs: Fibs,
    capacity: Capacity,
    generation: u64,
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
                    Request::ControlAttached { pid } => tracing::info!("control plane {pid} attached"),
                    Request::ControlDetached(why) => {
                        tracing::warn!("the control plane is gone ({why}); traffic flows on");
                    }
                }
            }
            self.hear();
            if survey_at <= Instant::now() {
                survey_at = Instant::now() + SURVEY;
                self.survey();
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
            if let Some(event) = event(alarm) {
                self.server.event(event);
            }
        }
        if moved {
            self.publish();
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

    fn transaction(&mut self, transaction: Transaction) {
        let Transaction { commit, replace, commands } = transaction;
        let messages = commands.len();
        let began = Instant::now();
        let outcome = self.realise(commands, replace);
        match &outcome {
            Ok(()) => tracing::debug!("transaction {commit}: {messages} messages in {:?}", began.elapsed()),
            Err(failure) => tracing::warn!("transaction {commit} refused: {failure}"),
        }
        self.server.ack(commit, outcome);
    }

    fn realise(&mut self, commands: Vec<(u64, shm::Command)>, replace: bool) -> Result<(), Failure> {
        let desired = std::mem::take(&mut self.desired);
        let outcome = self.realise_from(&desired, commands, replace);
        self.desired = desired;
        let plan = outcome?;
        self.desired.apply(plan.patch);

        // From here on nothing can fail. Slots that change hands are taken from the workers first.
        for &index in plan.leaving.iter().chain(plan.arriving.iter().map(|(index, _)| index)) {
            self.sas.remove(index);
        }
        for port in &plan.closing {
            self.policies.remove(port);
            self.server.set_policy(*port, None);
        }
        if self.sas.any_dying(plan.arriving.iter().map(|(index, _)| *index)) {
            self.publish();
            self.await_last_bursts();
            self.sas.bury();
        }
        for (index, built) in plan.arriving {
            if let Some(spec) = self.desired.sas.get(&index) {
                self.sas.insert(&spec.install, built);
            }
        }
        for (port, policy) in &plan.policies {
            match policy {
                Some((policy, _)) => drop(self.policies.insert(*port, Arc::clone(policy))),
                None => drop(self.policies.remove(port)),
            }
        }
        let mut hand_out = Vec::new();
        for (port, (open, queues)) in plan.opened {
            self.open.insert(port, open);
            hand_out.push((port, queues));
        }
        for (orders, queue) in self.orders.iter().zip(self.crypto.take_queues()) {
            let _ = orders.send(Order::Crypto(queue));
        }
        for (port, queues) in hand_out {
            self.hand_out(port, queues.into_iter().map(Some).collect());
        }
        self.publish();
        self.show_policies(plan.policies);
        self.close(&plan.closing);
        self.survey();
        Ok(())
    }

    /// All that can fail. What it did is undone if something after it fails.
    fn realise_from(
        &mut self,
        desired: &Desired,
        commands: Vec<(u64, shm::Command)>,
        replace: bool,
    ) -> Result<Plan, Failure> {
        let draft = desired.draft(commands, replace, self.capacity)?;
        let mut arriving = Vec::new();
        let mut leaving = Vec::new();
        for change in draft.sas.changes() {
            match change.after {
                Some(spec) => {
                    let built = sas::build(spec, None, &mut self.crypto).map_err(|reason| Failure {
                        number: change.number.unwrap_or_default(),
                        reason,
                        detail: u64::from(*change.key),
                    })?;
                    arriving.push((*change.key, built));
                }
                None => leaving.push(*change.key),
            }
        }
        let policies = policies::prepare(&mut self.server, &self.policies, &draft)?;
        let (opened, closing) = self.prepare_ports(&draft)?;
        self.route(desired, &draft)?;
        Ok(Plan { arriving, leaving, policies, opened, closing, patch: draft.into_patch() })
    }

    /// Opens the ports that are new and adjusts those that stay. Returns the new ones and the numbers of those to close.
    fn prepare_ports(&mut self, draft: &Draft<'_>) -> Result<(Opened, Vec<PortId>), Failure> {
        let mut opened = Opened::new();
        let mut closing = Vec::new();
        for change in draft.ports.changes() {
            let number = change.number.unwrap_or_default();
            match (change.before, change.after) {
                (None, Some(attach)) => {
                    let port = ports::open(attach, self.orders.len(), &self.pool)
                        .map_err(|ports::Refused { reason, detail }| Failure { number, reason, detail })?;
                    opened.insert(*change.key, port);
                }
                (Some(before), Some(after)) if before.mtu != after.mtu => {
                    if let Some(open) = self.open.get_mut(change.key)
                        && let Err(error) = open.wire.set_mtu(after.mtu)
                    {
                        tracing::error!("port {}: MTU {}: {error}", change.key, after.mtu);
                        return Err(Failure {
                            number,
                            reason: Reason::MtuRefused,
                            detail: u64::from(after.mtu),
                        });
                    }
                }
                (Some(_), Some(_)) | (None, None) => {}
                (Some(_), None) => closing.push(*change.key),
            }
        }
        Ok((opened, closing))
    }

    /// Brings next hops and FIBs from what they are to what is asked for. Workers see the new next hops before any route
    /// leads to them. A fresh FIB, if it takes one, comes with the snapshot of the whole transaction.
    fn route(&mut self, desired: &Desired, draft: &Draft<'_>) -> Result<(), Failure> {
        if draft.routes.changes().next().is_none() {
            return Ok(());
        }
        let mut next_hops = desired.next_hops.clone();
        for change in draft.next_hops.changes() {
            if let Some(hop) = change.after {
                next_hops.insert(*change.key, *hop);
            }
        }
        self.publish_next_hops(self.next_hops(&next_hops));
        // This also frees a FIB that was replaced before, so that there is room for another.
        self.await_last_bursts();
        routes::change(&mut self.fibs, &draft.routes).map_err(|routes::Refused { number, error }| {
            self.publish_next_hops(self.next_hops(&desired.next_hops));
            Failure {
                number: number.unwrap_or_default(),
                reason: Reason::RouteRefused,
                detail: error.errno(),
            }
        })
    }

    /// Shows observers the policies that workers use from now on, with all that was counted of their rules before.
    fn show_policies(&mut self, policies: Vec<policies::Next>) {
        if policies.iter().any(|(_, policy)| policy.as_ref().is_some_and(|(_, carry)| carry.is_needed())) {
            self.await_last_bursts();
        }
        for (port, policy) in policies {
            let shown = policy.map(|(policy, carry)| {
                carry.carry();
                policy.shown()
            });
            self.server.set_policy(port, shown);
        }
    }

    /// Waits until every worker sees the newest snapshot.
    fn await_last_bursts(&self) {
        if !self.shared.snapshots.wait_for_readers(LAST_BURST) {
            tracing::error!("a worker did not end its burst in {LAST_BURST:?}");
        }
    }

    fn next_hops(&self, hops: &BTreeMap<u32, shm::NextHop>) -> Arc<[NextHop]> {
        let length = hops.last_key_value().map_or(0, |(&id, _)| id as usize + 1);
        let mut table = vec![NextHop::Blackhole; length];
        for (&id, &hop) in hops {
            table[id as usize] = hop.into();
        }
        table.into()
    }

    /// The snapshot that is shown now, with other next hops.
    fn publish_next_hops(&mut self, next_hops: Arc<[NextHop]>) {
        self.generation += 1;
        let current = self.shared.snapshots.latest();
        self.shared.snapshots.publish(Arc::new(Snapshot {
            generation: self.generation,
            lowers_mss: current.lowers_mss,
            ports: current.ports.clone(),
            inbound: Arc::clone(&current.inbound),
            outbound: Arc::clone(&current.outbound),
            fibs: self.fibs.clone(),
            next_hops,
        }));
    }

    /// Shows the workers what there is now.
    fn publish(&mut self) {
        self.generation += 1;
        let view = |(port, attach): (&PortId, &AttachPort)| {
            let open = self.open.get(port)?;
            Some(PortView {
                mac: open.mac,
                mtu4: attach.ip.mtu4.map_or(attach.mtu, |mtu| mtu.min(attach.mtu)),
                mtu6: attach.ip.mtu6.map_or(attach.mtu, |mtu| mtu.min(attach.mtu)),
                mss4: attach.ip.mss4,
                mss6: attach.ip.mss6,
                address4: attach.ip.address4,
                address6: attach.ip.address6,
                vlan: attach.vlan,
                shutdown: attach.shutdown,
                policy: self.policies.get(port).cloned(),
            })
        };
        let mut ports = [const { None }; MAX_PORTS];
        for entry in &self.desired.ports {
            ports[entry.0.index()] = view(entry);
        }
        self.shared.snapshots.publish(Arc::new(Snapshot {
            generation: self.generation,
            lowers_mss: ports.iter().flatten().any(|port| port.mss4.or(port.mss6).is_some()),
            ports,
            inbound: Arc::new(self.sas.by_spi()),
            outbound: self.sas.by_entry(&self.desired.bindings),
            fibs: self.fibs.clone(),
            next_hops: self.next_hops(&self.desired.next_hops),
        }));
    }

    /// Gives each worker its queues of a port, or takes them (`None`). Returns where the old ones come back.
    fn hand_out(&self, port: PortId, queues: Vec<Option<PortQueues>>) -> Receiver<Option<PortQueues>> {
        let (returns, returned) = crossbeam_channel::bounded(self.orders.len());
        for (orders, queues) in self.orders.iter().zip(queues) {
            // The channel has room for every order that there can be; a worker that is gone needs no queues.
            let _ = orders.send(Order::Port { number: port.get(), queues, returns: returns.clone() });
        }
        returned
    }

    /// Takes ports from the workers, who no longer see them, and lets go of the devices.
    fn close(&mut self, closing: &[PortId]) {
        if closing.is_empty() {
            return;
        }
        let returning: Vec<_> = closing
            .iter()
            .map(|&port| (port, self.hand_out(port, self.orders.iter().map(|_| None).collect())))
            .collect();
        self.publish();
        for (port, returned) in returning {
            let deadline = Instant::now() + HAND_BACK;
            let back = self.orders.iter().filter(|_| returned.recv_deadline(deadline).is_ok()).count();
            if back < self.orders.len() {
                tracing::error!("port {port}: a worker did not give its queues back");
            }
            if let Some(open) = self.open.remove(&port) {
                drop(open);
                tracing::info!("port {port} detached");
            }
        }
    }

    /// Writes down what the devices and pools say of themselves, and cleans up behind the workers.
    fn survey(&mut self) {
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

/// Ports that are open, and their queues for each worker.
type Opened = BTreeMap<PortId, (OpenPort, Vec<PortQueues>)>;

/// A transaction that is sure to succeed.
struct Plan {
    arriving: Vec<(u32, Built)>,
    leaving: Vec<u32>,
    policies: Vec<policies::Next>,
    opened: Opened,
    closing: Vec<PortId>,
    patch: super::desired::DesiredPatch,
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
        // The manager's own affair.
        Alarm::PathMtu { .. } | Alarm::TooBig { .. } => return None,
        Alarm::PeerMoved { index, spi, peer } => Event::PeerMoved { index, spi, peer },
        Alarm::SequenceExhausted { index, spi } => Event::SequenceExhausted { index, spi },
        Alarm::SoftExpired { index, spi } => Event::SaSoftExpired { index, spi },
        Alarm::HardExpired { index, spi } => Event::SaHardExpired { index, spi },
    })
}
