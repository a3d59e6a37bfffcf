//! IKE in the daemon: datagrams, time, packets that want a tunnel and operators' wishes go to its endpoint; what that
//! says then is done by `outputs`.

use super::Daemon;
use crate::negotiate::children::{Child, Children};
use crate::negotiate::connections::{ConnectionError, Connections};
use crate::negotiate::failures::Failures;
use crate::negotiate::inherited::Inherited;
use crate::negotiate::pool::Pool;
use crate::negotiate::raise::{Raising, Try};
use crate::negotiate::sockets::{Datagram, PORTS, Sockets};
use crate::operator::trail::{IKEV2, IPSEC};
use crate::plan::PlannedSa;
use config::Config;
use ike::Settings;
use ike::endpoint::{Done, Endpoint, State};
use ike::message::IkeSpi;
use shm::Command;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver};
use zeroize::Zeroizing;

/// Datagrams, or pieces of arithmetic, that are taken at once before anything else has its turn. What comes of them shares a
/// transaction, whose cost grows with all tunnels that there are.
const BURST: usize = 256;
/// Tunnels of an earlier control plane that are raised anew in a tick.
const RAISED_AT_ONCE: usize = 64;
/// Bytes of the largest file of certificates.
const LARGEST_FILE: u64 = 1 << 20;

/// What the daemon has of IKE.
pub(super) struct Ike {
    pub(super) endpoint: Endpoint,
    pub(super) children: Children,
    /// What an earlier control plane left.
    pub(super) inherited: Inherited,
    pub(super) connections: Connections,
    pub(super) failures: Failures,
    pub(super) raising: Raising,
    pub(super) came: Receiver<Datagram>,
    pub(super) done: UnboundedReceiver<Done>,
    pub(super) sockets: Sockets,
    pub(super) pool: Pool,
    /// The IKE SA of each connection that stands or is being begun by us.
    pub(super) standing: BTreeMap<Arc<str>, IkeSpi>,
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
            inherited: Inherited::default(),
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
        let fading = [self.children.deadline(), self.inherited.deadline()];
        fading.into_iter().chain([self.endpoint.next_timeout()]).flatten().min()
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

    /// Some arithmetic is done, and perhaps more.
    pub(super) fn computed(&mut self, done: Done) {
        let mut next = Some(done);
        for _ in 0..BURST {
            let Some(done) = next else { break };
            self.ike.endpoint.handle_done(Instant::now(), done);
            next = self.ike.done.try_recv().ok();
        }
        if let Some(done) = next {
            self.ike.endpoint.handle_done(Instant::now(), done);
        }
        self.negotiate();
    }

    /// It is time for something.
    pub(super) fn ike_timer(&mut self) {
        let now = Instant::now();
        let faded = self.ike.children.faded(now);
        let remove = |sa: &PlannedSa| Command::RemoveSa { index: sa.install.index };
        let mut due = self.ike.children.settled(now);
        due.extend(faded.iter().map(remove).chain(self.ike.inherited.faded(now)));
        self.tell(&due);
        faded.iter().for_each(|sa| self.memory.forget(&sa.name()));
        self.ike.endpoint.handle_timeout(now);
        self.negotiate();
    }

    /// Goes on to the next peer where one takes too long, and raises what an earlier control plane left.
    pub(super) fn hasten(&mut self) {
        let now = Instant::now();
        let Ike { raising, connections, inherited, .. } = &mut self.ike;
        let mut late = raising.late(|policy| connections.peers(policy), now);
        if self.installed {
            let wanted = inherited.policies().filter_map(|policy| raising.wanted(policy, now));
            late.extend(wanted.take(RAISED_AT_ONCE));
        }
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
            tracing::info!(target: IPSEC, "crypto map {policy}: a packet wants the tunnel");
            self.attempt(&attempt);
            self.negotiate();
        }
        true
    }

    /// An SA nears its end or is past it. False if its key is written in the configuration, so that only people can renew it.
    pub(super) fn renew(&mut self, index: u32, is_over: bool) -> bool {
        if self.ike.inherited.indexes().any(|known| known == index) {
            // Another is being negotiated all the while.
            return true;
        }
        let Some(inbound) = self.ike.children.at(index).map(Child::spi) else {
            // One that is gone, or only takes what is still on its way: another has its place.
            return self.plan.sas.iter().all(|sa| sa.install.index != index);
        };
        let endpoint = &mut self.ike.endpoint;
        let now = Instant::now();
        let asked =
            if is_over { endpoint.delete_child(now, inbound) } else { endpoint.rekey_child(now, inbound) };
        if let Err(error) = asked {
            tracing::debug!(target: IPSEC, "SA {inbound}: {error}");
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
                tracing::info!(target: IKEV2, peer = %way.remote, "crypto map {}: asking {}", attempt.policy, way.remote);
                standing.insert(way.connection.clone(), ike);
                raising.begun(attempt, ike, now);
            }
            Err(error) => {
                raising.impossible(attempt, now);
                tracing::warn!(target: IKEV2, peer = %way.remote, "crypto map {}: cannot ask {}: {error}", attempt.policy, way.remote);
            }
        }
    }

    /// A peer that took too long is not waited for.
    fn give_up(&mut self, late: IkeSpi, now: Instant) {
        let begun = self.ike.endpoint.ike_sa(now, late);
        if begun.is_some_and(|sa| sa.state == State::Initiating) {
            tracing::warn!(target: IKEV2, "the peer does not answer; trying the next one");
            let _ = self.ike.endpoint.delete(now, late);
            self.ike.standing.retain(|_, ike| *ike != late);
            self.came_to_nothing(late, None, now);
        }
    }

    /// Whatever was tried by that IKE SA is tried with the next peer.
    pub(super) fn came_to_nothing(&mut self, ike: IkeSpi, only: Option<&Arc<str>>, now: Instant) {
        for policy in self.ike.raising.under(ike) {
            if only.is_none_or(|only| *only == policy) {
                let peers = self.ike.connections.peers(&policy);
                if let Some(next) = self.ike.raising.failed(&policy, peers, now) {
                    self.attempt(&next);
                }
            }
        }
    }
}
