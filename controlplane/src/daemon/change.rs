//! Bringing the data plane and Linux to what is wanted, and taking it up again after either was lost.

use super::{AGAIN, ChangeError, Daemon, attached, ike, linux, load};
use crate::forwarding::{self, Forwarding, Sent, Step};
use crate::kernel::{KernelError, monitor};
use crate::link::InstallError;
use crate::negotiate::connections::Connections;
use crate::negotiate::inherited::Inherited;
use crate::operator::Answer;
use crate::plan::Plan;
use crate::policy::Folded;
use config::Config;
use shm::{Command, Control, LinkError, NextHop, PortId};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

impl Daemon {
    /// Gives the data plane the whole of a configuration, with the routes that Linux knows now.
    pub(super) fn install(&mut self, config: &Config, connections: &Connections) -> Result<(), ChangeError> {
        let link = self.link.as_mut().ok_or(ChangeError::NoDataPlane)?;
        link.remember(&mut self.memory, true);
        let present = link.present();
        let now = nanoseconds();
        let children = &mut self.ike.children;
        let plan = Plan::new(config, &present, &self.memory, now, &self.plan.entries, children)?;
        let ours: BTreeSet<u32> =
            plan.sas.iter().map(|sa| sa.install.index).chain(children.indexes()).collect();
        // Once all is installed, whatever else lives there is what we have just removed: in a moment it will not.
        let known: Option<BTreeSet<u32>> = self.installed.then(|| self.ike.inherited.indexes().collect());
        let is_gone = |index| known.as_ref().is_some_and(|known| !known.contains(&index));
        let inherited = Inherited::find(&present, &plan.entries, connections, |index| {
            ours.contains(&index) || is_gone(index)
        });
        let in_the_way = plan.in_the_way(&present);
        if !in_the_way.is_empty() {
            in_the_way.iter().for_each(|&port| self.policies.forget_port(port));
            let detach: Vec<Command> =
                in_the_way.into_iter().map(|port| Command::DetachPort { port }).collect();
            link.transact(&detach, false)?;
        }
        let compiling = Instant::now();
        let policies = self.policies.prepare(plan.policies.clone())?;
        let picture = Forwarding::compute(&self.facts, &linux::mirrors(&plan, &self.facts));
        let mut sent = Sent::default();
        let mut further = commands(&sent.difference(&picture));
        further.extend(children.commands(&self.memory, now));
        further.extend(inherited.commands());
        link.install(&plan, &policies, further)?;
        let took = compiling.elapsed();
        policies.iter().filter(|next| next.base.is_some() || next.change.is_some()).for_each(|next| {
            let published = next.published();
            let (map, rules, changes) = (&published.list().map, published.list().len(), published.changes());
            tracing::info!("crypto map {map}: {rules} rules, {changes} changes, in use after {took:.1?}");
        });
        self.policies.settle(policies);
        for sa in &plan.sas {
            self.memory.installed(sa.name(), &sa.install.key);
        }
        let indexes = plan.sas.iter().map(|sa| sa.install.index).chain(inherited.indexes()).collect();
        children.reserve(indexes, plan.entries.values().copied().collect());
        self.ike.inherited = inherited;
        (self.plan, self.picture, self.sent) = (plan, picture, sent);
        self.installed = true;
        self.due.install = None;
        self.fold();
        Ok(())
    }

    /// Has what changed compiled with its base, while the change does its work.
    fn fold(&mut self) {
        let Some(fold) = self.policies.fold() else { return };
        let (port, compilers) = (fold.port, self.compilers.clone());
        // Nobody takes it when we are about to end.
        if let Err(error) = fold.start(move |folded| drop(compilers.send(folded))) {
            self.policies.unfold(port);
            self.complain(format!("port {port}: cannot compile its crypto map in the background: {error}"));
        }
    }

    /// A background compiler is done.
    pub(super) fn folded(&mut self, folded: Folded) {
        let port = folded.port;
        match (self.policies.folded(folded), self.link.as_mut()) {
            (Ok(Some(next)), Some(link)) => match link.change(&[], std::slice::from_ref(&next)) {
                Ok(()) => {
                    let base = next.published().base();
                    tracing::info!(
                        "crypto map {}: {} rules compiled in the background in {:.1?}",
                        base.list.map,
                        base.list.len(),
                        base.took
                    );
                    self.policies.settle_one(next);
                }
                Err(InstallError::Link(error)) => self.lose(&error),
                Err(error) => {
                    self.policies.unfold(port);
                    self.complain(format!("the data plane does not take what was compiled anew: {error}"));
                }
            },
            (Ok(_), _) => {}
            (Err(error), _) => {
                self.complain(format!(
                    "port {port}: its crypto map stays changed, not compiled anew: {error}"
                ));
            }
        }
        self.fold();
    }

    /// Reads the configuration again. One that is wrong, or that the data plane does not take, changes nothing.
    pub(super) async fn reload(&mut self) -> Result<Answer, KernelError> {
        let refused = |reason: String, diagnostics: Vec<String>| {
            diagnostics.iter().for_each(|line| tracing::error!("{line}"));
            tracing::error!("not reloaded, all is as before: {reason}");
            Ok(Answer::Refused { reason, diagnostics })
        };
        let (config, warnings) = match load::load(&self.options.config) {
            Ok(loaded) => loaded,
            Err(error) => {
                let diagnostics = error.diagnostics().iter().map(ToString::to_string).collect();
                return refused(error.to_string(), diagnostics);
            }
        };
        let connections = match ike::connections(&config) {
            Ok(connections) => connections,
            Err(error) => return refused(error.to_string(), Vec::new()),
        };
        let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        match self.install(&config, &connections) {
            Ok(()) => {}
            Err(ChangeError::NoDataPlane) => {
                warnings
                    .push("the data plane is not there; it gets the configuration when it comes".to_owned());
            }
            Err(ChangeError::Install(InstallError::Link(error))) => {
                self.lose(&error);
                return refused(error.to_string(), Vec::new());
            }
            Err(error) => {
                // Ports may be detached already.
                self.reinstall();
                return refused(error.to_string(), Vec::new());
            }
        }
        self.config = config;
        let mut outcome = self.arrange().await;
        if outcome.is_ok() {
            outcome = self.settle().await;
        }
        self.endure(outcome)?;
        let config = self.config.clone();
        self.adopt(&config, connections);
        self.refresh();
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        tracing::info!(
            "reloaded: {} interfaces, {} SAs",
            self.plan.ports.len(),
            self.plan.sas.len() + 2 * self.ike.children.iter().count()
        );
        Ok(Answer::Reloaded { warnings })
    }

    /// Gives the data plane the whole of the configuration in use; tries again later if it does not take it.
    pub(super) fn reinstall(&mut self) {
        let config = self.config.clone();
        self.policies.forget();
        // They stay where they are.
        let connections = std::mem::take(&mut self.ike.connections);
        let outcome = self.install(&config, &connections);
        self.ike.connections = connections;
        match outcome {
            Ok(()) => {
                self.said.clear();
                self.due.settle_soon();
            }
            Err(ChangeError::NoDataPlane) => {}
            Err(ChangeError::Install(InstallError::Link(error))) => self.lose(&error),
            Err(error) => {
                self.installed = false;
                self.due.install = Some(Instant::now() + AGAIN);
                self.complain(format!("the data plane does not take the configuration: {error}"));
            }
        }
    }

    /// The connection to the data plane is of no use any more.
    pub(super) fn lose(&mut self, error: &LinkError) {
        if let Some(link) = self.link.take() {
            tracing::error!("{error}; waiting for it to come back");
            // Its memory outlives it: what it used last is where the next one goes on.
            link.remember(&mut self.memory, false);
            // The keys of these were its alone.
            self.ike.inherited.clear();
        }
        self.policies.forget();
        self.installed = false;
        self.due.install = None;
    }

    /// What waits for time to pass.
    pub(super) async fn tick(&mut self) -> Result<(), KernelError> {
        if self.link.is_none() {
            match Control::connect(&self.options.dataplane_socket) {
                Ok(control) => match attached(control) {
                    Ok(link) => {
                        self.link = Some(link);
                        self.reinstall();
                    }
                    Err(error) => self.complain(format!("cannot watch the data plane: {error}")),
                },
                Err(shm::ConnectError::NotRunning(_)) => {}
                Err(error) => self.complain(error.to_string()),
            }
        }
        self.listen();
        self.hasten();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if is_due(self.due.install) {
            self.reinstall();
        }
        if is_due(self.due.arrange) {
            self.arrange().await?;
            self.due.settle_soon();
        }
        Ok(())
    }

    /// Brings mirror TAPs and static routes to what is wanted.
    pub(super) async fn arrange(&mut self) -> Result<(), KernelError> {
        let (facts, failures) = linux::arrange(&self.handle, &self.config).await?;
        self.facts = facts;
        self.due.dump = false;
        self.due.arrange = (!failures.is_empty()).then(|| Instant::now() + AGAIN);
        self.arranged = linux::mirrors(&self.plan, &self.facts);
        for failure in failures {
            self.complain(format!("{failure}; trying again"));
        }
        Ok(())
    }

    /// Tells the data plane what Linux changed.
    pub(super) async fn settle(&mut self) -> Result<(), KernelError> {
        self.due.settle = None;
        let mirrors = linux::mirrors(&self.plan, &self.facts);
        if self.installed && mirrors != self.arranged && !mirrors.is_empty() {
            self.arrange().await?;
        } else if self.due.dump {
            self.due.dump = false;
            self.facts = monitor::dump(&self.handle).await?;
            if !linux::arrange_routes(&self.handle, &self.config, &self.facts).await? {
                self.due.arrange.get_or_insert_with(|| Instant::now() + AGAIN);
            }
        }
        let mirrors = linux::mirrors(&self.plan, &self.facts);
        let Some(link) = self.link.as_mut().filter(|_| self.installed) else { return Ok(()) };
        self.picture = Forwarding::compute(&self.facts, &mirrors);
        let steps = commands(&self.sent.difference(&self.picture));
        if steps.is_empty() {
            return Ok(());
        }
        match link.transact(&steps, false) {
            Ok(()) => tracing::debug!("{} changes of routes and neighbours", steps.len()),
            Err(InstallError::Link(error)) => self.lose(&error),
            Err(error) => {
                // What it holds is not what was told, so only the whole mends it.
                self.installed = false;
                self.due.install = Some(Instant::now() + AGAIN);
                self.complain(format!("the data plane does not take routes: {error}"));
            }
        }
        Ok(())
    }

    /// Says something once, however often it happens until something goes right.
    pub(super) fn complain(&mut self, what: String) {
        if self.said.len() < 1000 && self.said.insert(what.clone()) {
            tracing::warn!("{what}");
        }
    }
}

/// Since 1970.
pub(super) fn nanoseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Steps as the data plane's commands. What has no number there (it cannot be) is left out.
fn commands(steps: &[Step]) -> Vec<Command> {
    let command = |step: &Step| {
        Some(match *step {
            Step::RemoveRoute(prefix) => Command::RemoveRoute { prefix },
            Step::AddRoute(prefix, next_hop) => Command::AddRoute { prefix, next_hop },
            Step::SetNextHop(id, action) => Command::SetNextHop { id, hop: next_hop(action)? },
        })
    };
    steps.iter().filter_map(command).collect()
}

fn next_hop(action: forwarding::Action) -> Option<NextHop> {
    Some(match action {
        forwarding::Action::Local => NextHop::Local,
        forwarding::Action::Blackhole => NextHop::Blackhole,
        forwarding::Action::Glean { port } => NextHop::Glean { port: PortId::new(port)? },
        forwarding::Action::Forward { port, mac } => NextHop::Forward { port: PortId::new(port)?, mac },
    })
}
