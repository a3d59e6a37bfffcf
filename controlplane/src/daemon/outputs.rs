//! What IKE's endpoint says, one output after the other: SAs come and go, and people hear of it. What the data plane and
//! peers are told of it waits for the end of the [turn](Turn).

use super::Daemon;
use super::change::nanoseconds;
use super::ike::Ike;
use super::turn::Turn;
use crate::negotiate::children::{Child, limits};
use crate::negotiate::connections::{self, Tunnel};
use crate::negotiate::suites;
use crate::operator::trail::{IKEV2, IPSEC};
use crate::plan::PlannedSa;
use config::Config;
use ike::RequestError;
use ike::endpoint::{ChildUp, Down, Failed, IkeUp, Output};
use ike::message::IkeSpi;
use model::{Direction, DscpMap, KeyMaterial, Selector, Spi, Tfc};
use shm::{Command, InstallSa};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Daemon {
    /// Does what one output says.
    pub(super) fn carry_out(&mut self, output: Output, turn: &mut Turn) {
        match output {
            Output::Transmit { from, to, bytes } => turn.send(from, to, bytes),
            Output::Compute(job) => self.ike.pool.start(job),
            Output::IkeUp(up) => self.ike_up(&up),
            Output::IkeRekeyed { old, new } => {
                tracing::info!(target: IKEV2, "IKE SA {old} was rekeyed; it is {new} now");
                self.ike.raising.rekeyed(old, new);
                self.ike.standing.values_mut().filter(|ike| **ike == old).for_each(|ike| *ike = new);
            }
            Output::IkeDown { ike, connection, reason } => self.ike_down(ike, connection.as_ref(), reason),
            Output::ChildUp(up) => self.child_up(up, turn),
            Output::ChildSend { inbound } => {
                let mut commands = self.ike.children.send(inbound);
                if let Some(child) = self.ike.children.get(inbound) {
                    commands.extend(self.ike.inherited.succeed(child.number, Instant::now()));
                }
                turn.tell(commands, None);
                self.follow_peers(inbound, turn);
            }
            Output::ChildDown { inbound, reason, .. } => self.child_down(inbound, reason, turn),
            Output::PeerMoved { remote, children, .. } => {
                // What it begins with is read from the data plane, so that all before must be there.
                self.finish(std::mem::take(turn));
                self.peer_moved(remote, &children);
            }
            Output::Failed(failed) => self.failed(&failed),
        }
    }

    fn ike_up(&mut self, up: &IkeUp) {
        let suite = up.suite;
        tracing::info!(
            target: IKEV2,
            peer = %up.remote.ip(),
            "IKE SA {} with {} ({}) stands: {} {} {}",
            up.ike,
            up.remote,
            up.remote_identity,
            suite.encryption,
            suite.prf,
            suite.group
        );
        let weak = suites::weaknesses(suite.encryption, suite.integrity, Some(suite.prf), Some(suite.group));
        if !weak.is_empty() {
            tracing::warn!(target: IKEV2, peer = %up.remote.ip(), "IKE SA {} with {} is weak: {}", up.ike, up.remote, weak.join(", "));
        }
        self.ike.standing.insert(up.connection.clone(), up.ike);
    }

    fn ike_down(&mut self, ike: IkeSpi, connection: Option<&Arc<str>>, reason: Down) {
        let whose = connection.map_or("an unknown peer", |name| name);
        tracing::info!(target: IKEV2, "IKE SA {ike} of {whose} is no more: {}", why(reason));
        self.ike.standing.retain(|_, known| *known != ike);
        if reason == Down::Timeout {
            let Ike { connections, raising, .. } = &mut self.ike;
            let uses = |tunnel: &Tunnel| tunnel.ways.iter().any(|way| Some(&way.connection) == connection);
            for (policy, tunnel) in connections.tunnels.iter().filter(|(_, tunnel)| uses(tunnel)) {
                raising.prefer_next(policy, tunnel.ways.len());
            }
        }
        self.came_to_nothing(ike, None, Instant::now());
    }

    fn failed(&mut self, failed: &Failed) {
        let now = Instant::now();
        if self.ike.failures.add(failed, now) {
            let whose = failed.policy.as_ref().or(failed.connection.as_ref());
            let whose = whose.map(|name| format!(" ({name})")).unwrap_or_default();
            tracing::warn!(target: IKEV2, peer = %failed.remote.ip(), "IKE with {}{whose} came to nothing: {}", failed.remote, failed.explanation);
        }
        if let Some(ike) = failed.ike {
            self.came_to_nothing(ike, failed.policy.as_ref(), now);
        }
    }

    fn child_up(&mut self, up: Box<ChildUp>, turn: &mut Turn) {
        let spi = up.inbound.0;
        match self.child(&up) {
            Ok(child) => {
                let number = child.number;
                let sends = child.sending;
                let mut commands = self.ike.children.add(child);
                if sends {
                    commands.extend(self.ike.inherited.succeed(number, Instant::now()));
                } else if up.send {
                    self.ike.children.send_later(spi, Instant::now());
                }
                turn.tell(commands, Some(up));
            }
            Err(why) => return self.refuse_child(spi, &up.policy, &why),
        }
        self.follow_peers(spi, turn);
    }

    /// The data plane has a pair.
    pub(super) fn stands(&mut self, up: &ChildUp) {
        let (spi, policy) = (up.inbound.0, &up.policy);
        if let Some(child) = self.ike.children.get(spi) {
            for sa in [&child.inbound, &child.outbound] {
                self.memory.installed(sa.name(), &sa.install.key);
            }
        }
        let kind = if up.replaces.is_some() { "has new keys" } else { "stands" };
        let udp = if up.udp { " in UDP" } else { "" };
        tracing::info!(
            target: IPSEC,
            peer = %up.remote.ip(),
            "crypto map {policy}: the tunnel to {}{udp} {kind}: SA {spi} in, {} out",
            up.remote,
            up.outbound.0
        );
        let weak = suites::weaknesses(up.suite.encryption, up.suite.integrity, None, up.suite.group);
        if !weak.is_empty() && up.replaces.is_none() {
            tracing::warn!(target: IPSEC, peer = %up.remote.ip(), "crypto map {policy}: the tunnel to {} is weak: {}", up.remote, weak.join(", "));
        }
        self.ike.raising.stands(policy);
        self.ike.failures.forget(up.remote.ip());
    }

    /// The pair of SAs as the data plane is to have it, or why it cannot.
    fn child(&mut self, up: &ChildUp) -> Result<Child, String> {
        let children = &mut self.ike.children;
        let tunnel = self.ike.connections.tunnels.get(&up.policy).ok_or("its entry is no more")?;
        let suite = suites::suite(&up.suite).ok_or("the data plane has no such suite")?;
        let selectors = connections::selectors(&tunnel.permits, &up.local_selectors, &up.remote_selectors);
        let selectors = selectors.ok_or_else(|| {
            format!("the peer left no selectors, or more than {} of them", Config::MAX_SELECTORS)
        })?;
        let number = match &tunnel.dynamic {
            None => self.plan.entries.get(&tunnel.entry).copied().ok_or("its entry has no number")?,
            Some(_) => {
                let before = up.replaces.and_then(|old| children.get(old)).map(|child| child.number);
                let same = || children.number_of(&up.policy, &up.remote_identity, &selectors);
                before.or_else(same).unwrap_or_else(|| children.free_number())
            }
        };
        let other_carries = children.carrier(number).is_some();
        let capacity = self.link.as_ref().map_or(u32::MAX, |link| link.control().sa_table().capacity());
        let [inbound, outbound] =
            children.free_indexes(capacity).ok_or("the data plane's SA table is full")?;
        let window = self.config.replay().packets();
        let wanted = self.config.tfc(tunnel.tfc, up.mode);
        let tfc = if up.tfc_padding { wanted } else { wanted.without_padding() };
        if tfc != wanted {
            tracing::warn!(
                target: IPSEC,
                peer = %up.remote.ip(),
                "crypto map {}: the peer takes no TFC padding, and so it is sent none",
                up.policy
            );
        }
        let sa = |direction, index, (spi, key): &(Spi, KeyMaterial), selectors: Vec<Selector>| {
            let is_inbound = direction == Direction::Inbound;
            let mut sa = PlannedSa {
                entry: tunnel.entry.clone(),
                install: Box::new(InstallSa {
                    index,
                    direction,
                    spi: *spi,
                    suite,
                    mode: up.mode,
                    key: key.clone(),
                    local: up.local.ip(),
                    remote: up.remote.ip(),
                    udp_port: up.udp.then_some(up.remote.port()),
                    extended_sequence: up.suite.esn,
                    replay_window: if is_inbound { window } else { 0 },
                    first_sequence: 1,
                    replay_floor: 0,
                    iv_base: 0,
                    limits: limits(&up.lifetime, &up.rekey_after),
                    entry: Some(number),
                    size: self.config.size(),
                    tfc: if is_inbound { Tfc::NONE } else { tfc },
                }),
                selectors,
                dscp: if is_inbound { DscpMap::COPY } else { self.config.dscp().clone() },
            };
            sa.resume(&self.memory, nanoseconds());
            sa
        };
        let reversed = selectors.iter().map(Selector::reversed).collect();
        Ok(Child {
            connection: up.connection.clone(),
            policy: up.policy.clone(),
            peer: up.remote_identity.clone(),
            entry: tunnel.entry.clone(),
            dynamic: tunnel.dynamic.clone(),
            number,
            inbound: sa(Direction::Inbound, inbound, &up.inbound, reversed),
            outbound: sa(Direction::Outbound, outbound, &up.outbound, selectors),
            sending: up.send && !(up.by_peer && other_carries),
        })
    }

    /// The data plane cannot have a pair.
    pub(super) fn refuse_child(&mut self, inbound: Spi, policy: &str, why: &str) {
        tracing::error!(target: IPSEC, "crypto map {policy}: the tunnel cannot be installed: {why}");
        if let Err(error @ RequestError::Busy(_)) = self.ike.endpoint.delete_child(Instant::now(), inbound) {
            tracing::debug!("{error}");
        }
    }

    fn child_down(&mut self, inbound: Spi, reason: Down, turn: &mut Turn) {
        // Where there is another pair of the same, what the peer sent by the old one may be on its way.
        let fades =
            matches!(reason, Down::Replaced | Down::PeerRestarted) || self.ike.children.has_other(inbound);
        let removed = self.ike.children.remove(inbound, Instant::now(), fades);
        let Some((commands, child)) = removed else { return };
        if !fades {
            self.memory.forget(&child.inbound.name());
        }
        let peer = child.outbound.install.remote;
        if reason == Down::Replaced {
            tracing::debug!(target: IPSEC, %peer, "crypto map {}: SA {inbound} is gone: {}", child.policy, why(reason));
        } else {
            tracing::info!(target: IPSEC, %peer, "crypto map {}: SA {inbound} is gone: {}", child.policy, why(reason));
        }
        if child.dynamic.is_some() {
            turn.follow(child.entry.map.clone());
        }
        turn.tell(commands, None);
        self.memory.forget(&child.outbound.name());
    }

    /// The peer's SAs go elsewhere.
    fn peer_moved(&mut self, remote: SocketAddr, moved: &[Spi]) {
        tracing::info!(target: IPSEC, peer = %remote.ip(), "a peer moved to {remote}");
        if let Some(link) = &self.link {
            link.remember(&mut self.memory, true);
        }
        for &inbound in moved {
            let Some(sa) = self.ike.children.move_peer(inbound, remote) else { continue };
            sa.resume(&self.memory, nanoseconds());
            let (name, key) = (sa.name(), sa.install.key.clone());
            let commands: Vec<Command> = sa.commands().collect();
            self.tell(&commands);
            self.memory.installed(name, &key);
        }
    }

    /// A pair of a dynamic entry has come or serves now: the crypto map's rules follow.
    fn follow_peers(&self, inbound: Spi, turn: &mut Turn) {
        let child = self.ike.children.get(inbound).filter(|child| child.dynamic.is_some());
        if let Some(child) = child {
            turn.follow(child.entry.map.clone());
        }
    }
}

/// As people say it.
const fn why(reason: Down) -> &'static str {
    match reason {
        Down::Asked => "we were told to end it",
        Down::Peer => "the peer ended it",
        Down::Replaced => "another took its place",
        Down::Timeout => "the peer does not answer",
        Down::Lifetime => "its lifetime is over",
        Down::IkeGone => "its IKE SA is no more",
        Down::PeerRestarted => "the peer came anew",
        Down::Failed => "it never came to stand",
    }
}
