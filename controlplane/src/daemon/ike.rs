//! IKE in the daemon: datagrams, time and packets that want a tunnel go to the endpoint; what it says is done, in its order.

use super::{Daemon, change::nanoseconds};
use crate::link::InstallError;
use crate::negotiate::children::{Child, Children, limits};
use crate::negotiate::connections::{self, ConnectionError, Connections, Tunnel};
use crate::negotiate::failures::Failures;
use crate::negotiate::pool::Pool;
use crate::negotiate::raise::{Raising, Try};
use crate::negotiate::sockets::{Datagram, PORTS, Sockets};
use crate::negotiate::suites;
use crate::plan::PlannedSa;
use config::{Config, Name};
use ike::endpoint::{ChildUp, Done, Down, Endpoint, Failed, IkeUp, Output, State};
use ike::message::IkeSpi;
use ike::{RequestError, Settings};
use model::{Direction, KeyMaterial, Selector, Spi};
use shm::{Command, InstallSa};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver};
use zeroize::Zeroizing;

/// Datagrams that are taken at once before anything else has its turn.
const BURST: usize = 64;
/// Bytes of the largest file of certificates.
const LARGEST_FILE: u64 = 1 << 20;

/// What the daemon has of IKE.
pub(super) struct Ike {
    pub(super) endpoint: Endpoint,
    pub(super) children: Children,
    pub(super) connections: Connections,
    pub(super) failures: Failures,
    pub(super) raising: Raising,
    pub(super) came: Receiver<Datagram>,
    pub(super) done: UnboundedReceiver<Done>,
    sockets: Sockets,
    pool: Pool,
    /// The IKE SA of each connection that stands or is being begun by us.
    standing: BTreeMap<Arc<str>, IkeSpi>,
}

impl Ike {
    /// Nothing negotiated, nobody known. Must be called inside a tokio runtime.
    pub(super) fn new() -> io::Result<Ike> {
        let settings = Settings {
            jobs: true,
            // A peer is given up after half a minute, and not after two.
            retransmit_after: Duration::from_millis(500),
            ..Settings::default()
        };
        let endpoint = Endpoint::new(settings, Instant::now(), since_1970()).map_err(io::Error::other)?;
        let (sockets, came) = Sockets::new();
        let (sender, done) = mpsc::unbounded_channel();
        Ok(Ike {
            endpoint,
            children: Children::default(),
            connections: Connections::default(),
            failures: Failures::default(),
            raising: Raising::default(),
            came,
            done,
            sockets,
            pool: Pool::new(sender)?,
            standing: BTreeMap::new(),
        })
    }

    /// When time alone brings something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.endpoint.next_timeout(), self.children.deadline()].into_iter().flatten().min()
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whom a configuration has IKE talk to, its certificates read.
pub(super) fn connections(config: &Config) -> Result<Connections, ConnectionError> {
    Connections::new(config, &read_file)
}

fn read_file(path: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Room for all of it from the start: a buffer that grows leaves copies of keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Daemon {
    /// A configuration is in use: IKE talks to whom it names. Tunnels whose lines did not change do not notice.
    pub(super) fn adopt(&mut self, config: &Config, mut connections: Connections) {
        let now = Instant::now();
        let changed: BTreeSet<Arc<str>> = connections.keep(&self.ike.connections).into_iter().collect();
        let ike = &mut self.ike;
        ike.endpoint.set_clock(now, since_1970());
        for tunnel in config.tunnels() {
            ike.endpoint.reserve(tunnel.inbound.spi);
        }
        ike.endpoint.set_connections(connections.all.clone());
        let is_changed = |name: &Option<Arc<str>>| name.as_ref().is_some_and(|name| changed.contains(name));
        let gone: Vec<IkeSpi> =
            ike.endpoint.ike_sas(now).filter(|sa| is_changed(&sa.connection)).map(|sa| sa.ike).collect();
        for spi in gone {
            // It was there a moment ago.
            let _ = ike.endpoint.delete(now, spi);
        }
        ike.standing.retain(|name, _| !changed.contains(name));
        ike.raising.retain(|policy| connections.tunnels.contains_key(policy));
        ike.raising.hurry();
        ike.sockets.want(connections.locals.clone());
        ike.connections = connections;
        self.negotiate();
        self.listen();
    }

    /// Opens the sockets that are not open yet: an address may take a moment until it is there.
    pub(super) fn listen(&mut self) {
        if let Err((at, error)) = self.ike.sockets.open() {
            let more = match error.kind() {
                io::ErrorKind::AddrInUse => "; is there another IKE daemon?",
                _ => "",
            };
            self.complain(format!("cannot listen for IKE on {at}: {error}{more}; trying again"));
        }
    }

    /// A datagram came, and perhaps more.
    pub(super) fn datagram(&mut self, first: Datagram) {
        let mut next = Some(first);
        for _ in 0..BURST {
            let Some(Datagram { from, to, bytes }) = next else { break };
            self.ike.endpoint.handle_datagram(Instant::now(), from, to, &bytes);
            next = self.ike.came.try_recv().ok();
        }
        if let Some(Datagram { from, to, bytes }) = next {
            self.ike.endpoint.handle_datagram(Instant::now(), from, to, &bytes);
        }
        self.negotiate();
    }

    /// Some arithmetic is done.
    pub(super) fn computed(&mut self, done: Done) {
        self.ike.endpoint.handle_done(Instant::now(), done);
        self.negotiate();
    }

    /// It is time for something.
    pub(super) fn ike_timer(&mut self) {
        let now = Instant::now();
        let faded = self.ike.children.faded(now);
        let remove = |sa: &PlannedSa| Command::RemoveSa { index: sa.install.index };
        self.tell(&faded.iter().map(remove).collect::<Vec<_>>());
        faded.iter().for_each(|sa| self.memory.forget(&sa.name()));
        self.ike.endpoint.handle_timeout(now);
        self.negotiate();
    }

    /// Goes on to the next peer where one takes too long.
    pub(super) fn hasten(&mut self) {
        let Ike { raising, connections, .. } = &mut self.ike;
        let late = raising.late(|policy| connections.peers(policy), Instant::now());
        late.into_iter().for_each(|attempt| self.attempt(&attempt));
        self.negotiate();
    }

    /// A packet wants an entry's tunnel. False if that entry is not IKE's to bring up.
    pub(super) fn acquire(&mut self, number: u32) -> bool {
        let key = self.plan.entry(number);
        let Some(policy) = key.and_then(|key| self.ike.connections.by_entry.get(key)).cloned() else {
            // A peer of a dynamic entry that is no more, or not again: only it can begin.
            return self.ike.children.serves(number);
        };
        if self.ike.children.carrier(number).is_none()
            && let Some(attempt) = self.ike.raising.wanted(&policy, Instant::now())
        {
            tracing::info!("crypto map {policy}: a packet wants the tunnel");
            self.attempt(&attempt);
            self.negotiate();
        }
        true
    }

    /// An SA nears its end or is past it. False if it is not IKE's.
    pub(super) fn renew(&mut self, index: u32, is_over: bool) -> bool {
        let Some(inbound) = self.ike.children.at(index).map(Child::spi) else { return false };
        let endpoint = &mut self.ike.endpoint;
        let now = Instant::now();
        let asked =
            if is_over { endpoint.delete_child(now, inbound) } else { endpoint.rekey_child(now, inbound) };
        if let Err(error) = asked {
            tracing::debug!("SA {inbound}: {error}");
        }
        self.negotiate();
        true
    }

    /// Takes tunnels down, those with one peer or all; how many IKE SAs that were.
    pub(super) fn clear_sessions(&mut self, peer: Option<IpAddr>) -> usize {
        let now = Instant::now();
        let endpoint = &mut self.ike.endpoint;
        let of_peer = |remote: SocketAddr| peer.is_none_or(|peer| peer == remote.ip());
        let all: Vec<IkeSpi> =
            endpoint.ike_sas(now).filter(|sa| of_peer(sa.remote)).map(|sa| sa.ike).collect();
        let cleared = all.into_iter().filter(|&spi| endpoint.delete(now, spi).is_ok()).count();
        self.ike.raising.hurry();
        self.negotiate();
        cleared
    }

    /// Begins an attempt, and if it cannot be begun, leaves it for a while.
    fn attempt(&mut self, attempt: &Try) {
        let now = Instant::now();
        if let Some(late) = attempt.give_up {
            self.give_up(late, now);
        }
        let Ike { endpoint, connections, raising, standing, .. } = &mut self.ike;
        let way = connections.tunnels.get(&attempt.policy).and_then(|tunnel| tunnel.ways.get(attempt.place));
        let Some(way) = way else { return };
        let is_usable = |ike: &IkeSpi| {
            let state = endpoint.ike_sa(now, *ike).map(|sa| sa.state);
            matches!(state, Some(State::Established | State::Initiating))
        };
        let known = standing.get(&way.connection).copied().filter(is_usable);
        let asked = match known {
            Some(ike) => endpoint.create_child(now, ike, &attempt.policy).map(|()| ike),
            None => {
                let [local, remote] =
                    [way.local, way.remote].map(|address| SocketAddr::new(address, PORTS[0]));
                endpoint.initiate(now, &way.connection, Some(&attempt.policy), local, remote)
            }
        };
        match asked {
            Ok(ike) => {
                tracing::info!("crypto map {}: asking {}", attempt.policy, way.remote);
                standing.insert(way.connection.clone(), ike);
                raising.begun(attempt, ike, now);
            }
            Err(error) => {
                raising.impossible(attempt, now);
                tracing::warn!("crypto map {}: cannot ask {}: {error}", attempt.policy, way.remote);
            }
        }
    }

    /// A peer that took too long is not waited for.
    fn give_up(&mut self, late: IkeSpi, now: Instant) {
        let begun = self.ike.endpoint.ike_sa(now, late);
        if begun.is_some_and(|sa| sa.state == State::Initiating) {
            tracing::warn!("the peer does not answer; trying the next one");
            let _ = self.ike.endpoint.delete(now, late);
            self.ike.standing.retain(|_, ike| *ike != late);
            self.came_to_nothing(late, None, now);
        }
    }

    /// Whatever was tried by that IKE SA is tried with the next peer.
    fn came_to_nothing(&mut self, ike: IkeSpi, only: Option<&Arc<str>>, now: Instant) {
        for policy in self.ike.raising.under(ike) {
            if only.is_none_or(|only| *only == policy) {
                let peers = self.ike.connections.peers(&policy);
                if let Some(next) = self.ike.raising.failed(&policy, peers, now) {
                    self.attempt(&next);
                }
            }
        }
    }

    /// Does what the endpoint says, in its order, until it says nothing more.
    pub(super) fn negotiate(&mut self) {
        while let Some(output) = self.ike.endpoint.poll() {
            match output {
                Output::Transmit { from, to, bytes } => self.ike.sockets.send(from, to, &bytes),
                Output::Compute(job) => self.ike.pool.start(job),
                Output::IkeUp(up) => self.ike_up(&up),
                Output::IkeRekeyed { old, new } => {
                    tracing::info!("IKE SA {old} was rekeyed; it is {new} now");
                    self.ike.raising.rekeyed(old, new);
                    self.ike.standing.values_mut().filter(|ike| **ike == old).for_each(|ike| *ike = new);
                }
                Output::IkeDown { ike, connection, reason } => {
                    self.ike_down(ike, connection.as_ref(), reason)
                }
                Output::ChildUp(up) => self.child_up(*up),
                Output::ChildSend { inbound } => {
                    let commands = self.ike.children.send(inbound);
                    self.tell(&commands);
                    self.follow_peers(inbound);
                }
                Output::ChildDown { inbound, reason, .. } => self.child_down(inbound, reason),
                Output::PeerMoved { remote, children, .. } => self.peer_moved(remote, &children),
                Output::Failed(failed) => self.failed(&failed),
            }
        }
    }

    fn ike_up(&mut self, up: &IkeUp) {
        let suite = up.suite;
        tracing::info!(
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
            tracing::warn!("IKE SA {} with {} is weak: {}", up.ike, up.remote, weak.join(", "));
        }
        self.ike.standing.insert(up.connection.clone(), up.ike);
    }

    fn ike_down(&mut self, ike: IkeSpi, connection: Option<&Arc<str>>, reason: Down) {
        let whose = connection.map_or("an unknown peer", |name| name);
        tracing::info!("IKE SA {ike} of {whose} is no more: {}", why(reason));
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
            tracing::warn!("IKE with {}{whose} came to nothing: {}", failed.remote, failed.explanation);
        }
        if let Some(ike) = failed.ike {
            self.came_to_nothing(ike, failed.policy.as_ref(), now);
        }
    }

    fn child_up(&mut self, up: ChildUp) {
        let (spi, policy) = (up.inbound.0, up.policy.clone());
        let child = match self.child(&up) {
            Ok(child) => child,
            Err(why) => return self.refuse_child(spi, &policy, &why),
        };
        let is_dynamic = child.dynamic.is_some();
        let commands = self.ike.children.add(child);
        if let Err(why) = self.try_tell(&commands) {
            self.ike.children.forget(spi);
            return self.refuse_child(spi, &policy, &why);
        }
        if let Some(child) = self.ike.children.get(spi) {
            for sa in [&child.inbound, &child.outbound] {
                self.memory.installed(sa.name(), &sa.install.key);
            }
        }
        let kind = if up.replaces.is_some() { "has new keys" } else { "stands" };
        let udp = if up.udp { " in UDP" } else { "" };
        tracing::info!(
            "crypto map {policy}: the tunnel to {}{udp} {kind}: SA {spi} in, {} out",
            up.remote,
            up.outbound.0
        );
        let weak = suites::weaknesses(up.suite.encryption, up.suite.integrity, None, up.suite.group);
        if !weak.is_empty() && up.replaces.is_none() {
            tracing::warn!("crypto map {policy}: the tunnel to {} is weak: {}", up.remote, weak.join(", "));
        }
        if is_dynamic {
            self.follow_peers(spi);
        }
        self.ike.raising.stands(&policy);
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
                before.unwrap_or_else(|| children.free_number())
            }
        };
        let capacity = self.link.as_ref().map_or(u32::MAX, |link| link.control().sa_table().capacity());
        let [inbound, outbound] =
            children.free_indexes(capacity).ok_or("the data plane's SA table is full")?;
        let window = self.config.replay().packets();
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
                    limits: limits(&up.lifetime, up.suite.esn),
                    entry: Some(number),
                }),
                selectors,
            };
            sa.resume(&self.memory, nanoseconds());
            sa
        };
        let reversed = selectors.iter().map(Selector::reversed).collect();
        Ok(Child {
            connection: up.connection.clone(),
            policy: up.policy.clone(),
            entry: tunnel.entry.clone(),
            dynamic: tunnel.dynamic.clone(),
            number,
            inbound: sa(Direction::Inbound, inbound, &up.inbound, reversed),
            outbound: sa(Direction::Outbound, outbound, &up.outbound, selectors),
            sending: up.send,
        })
    }

    fn refuse_child(&mut self, inbound: Spi, policy: &str, why: &str) {
        tracing::error!("crypto map {policy}: the tunnel cannot be installed: {why}");
        if let Err(error @ RequestError::Busy(_)) = self.ike.endpoint.delete_child(Instant::now(), inbound) {
            tracing::debug!("{error}");
        }
    }

    fn child_down(&mut self, inbound: Spi, reason: Down) {
        let fades = reason == Down::Replaced;
        let removed = self.ike.children.remove(inbound, Instant::now(), fades);
        let Some((commands, child)) = removed else { return };
        if !fades {
            self.memory.forget(&child.inbound.name());
        }
        if reason == Down::Replaced {
            tracing::debug!("crypto map {}: SA {inbound} is gone: {}", child.policy, why(reason));
        } else {
            tracing::info!("crypto map {}: SA {inbound} is gone: {}", child.policy, why(reason));
        }
        if child.dynamic.is_some() {
            self.follow_map(&child.entry.map);
        }
        self.tell(&commands);
        self.memory.forget(&child.outbound.name());
    }

    /// The peer's SAs go elsewhere.
    fn peer_moved(&mut self, remote: SocketAddr, moved: &[Spi]) {
        tracing::info!("a peer moved to {remote}");
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
    fn follow_peers(&mut self, inbound: Spi) {
        let child = self.ike.children.get(inbound).filter(|child| child.dynamic.is_some());
        if let Some(map) = child.map(|child| child.entry.map.clone()) {
            self.follow_map(&map);
        }
    }

    /// Brings the policies of a crypto map to what peers of its dynamic entries have now.
    fn follow_map(&mut self, map: &Name) {
        let (Some(link), true) = (self.link.as_mut(), self.installed) else { return };
        let lists = match self.plan.lists(&self.config, &self.ike.children) {
            Ok(lists) => lists.into_iter().filter(|(_, list)| list.map == *map).collect::<Vec<_>>(),
            Err(error) => return self.complain(error.to_string()),
        };
        let all = match self.policies.prepare(lists) {
            Ok(all) => all,
            Err(error) => return self.complain(error.to_string()),
        };
        for next in all {
            match link.change(&next) {
                Ok(()) => self.policies.settle_one(next),
                Err(InstallError::Link(error)) => return self.lose(&error),
                Err(error) => {
                    return self.complain(format!("the data plane does not take a peer's rules: {error}"));
                }
            }
        }
    }

    /// As [`Daemon::try_tell`], where nothing can be done about it.
    fn tell(&mut self, commands: &[Command]) {
        if let Err(why) = self.try_tell(commands) {
            self.complain(format!("the data plane does not follow IKE: {why}"));
        }
    }

    /// Has the data plane do something. While it is not there, that is for later: it is given the whole when it comes.
    fn try_tell(&mut self, commands: &[Command]) -> Result<(), String> {
        let (Some(link), true, false) = (self.link.as_mut(), self.installed, commands.is_empty()) else {
            return Ok(());
        };
        match link.transact(commands, false) {
            Ok(()) => Ok(()),
            Err(InstallError::Link(error)) => {
                self.lose(&error);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// As people say it.
pub(super) const fn why(reason: Down) -> &'static str {
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
