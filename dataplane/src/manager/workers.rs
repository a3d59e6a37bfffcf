//! What the workers see, and which queues are theirs.

use super::serve::Manager;
use crate::snapshot::{MAX_PORTS, NextHop, PortView, Snapshot};
use crate::worker::Order;
use crate::worker::queues::PortQueues;
use crossbeam_channel::Receiver;
use shm::{AttachPort, PortId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a worker may take to end the burst that it is in.
const LAST_BURST: Duration = Duration::from_secs(2);
/// How long a worker may take to give a port's queues back.
const HAND_BACK: Duration = Duration::from_secs(2);

impl Manager {
    /// Waits until every worker sees the newest snapshot.
    pub(super) fn await_last_bursts(&self) {
        if !self.shared.snapshots.wait_for_readers(LAST_BURST) {
            tracing::error!("a worker did not end its burst in {LAST_BURST:?}");
        }
    }

    pub(super) fn next_hops(&self, hops: &BTreeMap<u32, shm::NextHop>) -> Arc<[NextHop]> {
        let length = hops.last_key_value().map_or(0, |(&id, _)| id as usize + 1);
        let mut table = vec![NextHop::Blackhole; length];
        for (&id, &hop) in hops {
            table[id as usize] = hop.into();
        }
        table.into()
    }

    /// Shows the workers what they see now, but for what `amend` changes of it.
    pub(super) fn publish_amended(&mut self, amend: impl FnOnce(&mut Snapshot)) {
        self.generation += 1;
        let mut snapshot = Snapshot::clone(&self.shared.snapshots.latest());
        snapshot.generation = self.generation;
        amend(&mut snapshot);
        self.shared.snapshots.publish(Arc::new(snapshot));
    }

    /// Shows the workers what there is now.
    pub(super) fn publish(&mut self) {
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
            inbound: self.sas.by_spi(),
            outbound: self.sas.by_entry(),
            dummies: self.sas.with_dummies(),
            fibs: self.fibs.clone(),
            next_hops: self.next_hops(&self.desired.next_hops),
        }));
    }

    /// Gives each worker its queues of a port, or takes them (`None`). Returns where the old ones come back.
    pub(super) fn hand_out(
        &self,
        port: PortId,
        queues: Vec<Option<PortQueues>>,
    ) -> Receiver<Option<PortQueues>> {
        let (returns, returned) = crossbeam_channel::bounded(self.orders.len());
        for (orders, queues) in self.orders.iter().zip(queues) {
            // The channel has room for every order that there can be; a worker that is gone needs no queues.
            let _ = orders.send(Order::Port { number: port.get(), queues, returns: returns.clone() });
        }
        returned
    }

    /// Takes ports from the workers, who no longer see them, and lets go of the devices.
    pub(super) fn close(&mut self, closing: &[PortId]) {
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
}
