//! Doing a transaction: all of it, or none.

use super::desired::{Desired, Draft};
use super::policies;
use super::ports::{self, OpenPort};
use super::routes::{self, Withdrawn};
use super::sas::{self, Binding, Built};
use super::serve::Manager;
use crate::worker::Order;
use crate::worker::queues::PortQueues;
use shm::{Failure, PortId, Reason, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Manager {
    pub(super) fn transaction(&mut self, transaction: Transaction) {
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

        // From here on nothing can fail. Slots that change hands are taken from the workers first.
        for &index in plan.leaving.iter().chain(plan.arriving.iter().map(|(index, _)| index)) {
            self.sas.remove(index);
            self.told.forget(index);
        }
        for port in &plan.closing {
            self.policies.remove(port);
            self.server.set_policy(*port, None);
        }
        if self.sas.any_dying(plan.arriving.iter().map(|(index, _)| *index)) {
            let (inbound, outbound) = (self.sas.by_spi(), self.sas.by_entry());
            self.publish_amended(|shown| (shown.inbound, shown.outbound) = (inbound, outbound));
            self.await_last_bursts();
            self.sas.bury();
        }
        self.desired.apply(plan.patch);
        for (index, built) in plan.arriving {
            if let Some(spec) = self.desired.sas.get(&index) {
                self.sas.insert(&spec.install, built);
            }
        }
        plan.bindings.into_iter().for_each(|binding| self.sas.bind(binding));
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
        if !plan.withdrawn.is_empty() {
            self.await_last_bursts();
            routes::settle(&self.fibs, plan.withdrawn);
        }
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
        let withdrawn = self.route(desired, &draft)?;
        let bindings = draft.bindings.changes().map(|change| Binding {
            entry: *change.key,
            before: change.before.copied(),
            after: change.after.copied(),
        });
        let bindings = bindings.collect();
        let patch = draft.into_patch();
        Ok(Plan { arriving, leaving, bindings, policies, opened, closing, withdrawn, patch })
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
    ///
    /// Workers see a change in a FIB at once, and a policy by the next snapshot only. So where both change, routes are
    /// withdrawn, and settled when the snapshot is seen: what they lead to is lost for that instant, and nothing leaves in
    /// clear that one policy or the other wants protected.
    fn route(&mut self, desired: &Desired, draft: &Draft<'_>) -> Result<Withdrawn, Failure> {
        if draft.routes.changes().next().is_none() {
            return Ok(Withdrawn::default());
        }
        let refused = |routes::Refused { number, error }| Failure {
            number: number.unwrap_or_default(),
            reason: Reason::RouteRefused,
            detail: error.errno(),
        };
        if draft.policies.changes().any(|change| self.open.contains_key(change.key)) {
            self.await_last_bursts();
            return routes::withdraw(&mut self.fibs, &draft.routes).map_err(refused);
        }
        let mut next_hops = desired.next_hops.clone();
        for change in draft.next_hops.changes() {
            if let Some(hop) = change.after {
                next_hops.insert(*change.key, *hop);
            }
        }
        let next_hops = self.next_hops(&next_hops);
        self.publish_amended(|shown| shown.next_hops = next_hops);
        // This also frees a FIB that was replaced before, so that there is room for another.
        self.await_last_bursts();
        routes::change(&mut self.fibs, &draft.routes).map_err(|error| {
            let next_hops = self.next_hops(&desired.next_hops);
            self.publish_amended(|shown| shown.next_hops = next_hops);
            refused(error)
        })?;
        Ok(Withdrawn::default())
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
}

/// Ports that are open, and their queues for each worker.
type Opened = BTreeMap<PortId, (OpenPort, Vec<PortQueues>)>;

/// A transaction that is sure to succeed.
struct Plan {
    arriving: Vec<(u32, Built)>,
    leaving: Vec<u32>,
    bindings: Vec<Binding>,
    policies: Vec<policies::Next>,
    opened: Opened,
    closing: Vec<PortId>,
    /// Routes to settle when workers see the outcome.
    withdrawn: Withdrawn,
    patch: super::desired::DesiredPatch,
}
