//! The endpoint: all IKE SAs of a gateway, driven by datagrams, time and requests.

mod cookie;
mod first;
mod index;
mod job;
mod output;
mod parked;
mod request;
mod view;

pub use job::{Done, Job};
pub(crate) use job::{Jobs, Owner, Ready, Signing, Work};
pub use output::{ChildUp, Counters, Down, Failed, IkeUp, Output};
pub use request::RequestError;
pub use view::{ChildView, IkeView, State};

use crate::connection::Connection;
use crate::crypto::{CryptoError, random};
use crate::message::{ExchangeType, Header, IkeSpi};
use crate::sa::{Chance, Context, Effect, IkeSa};
use crate::settings::Settings;
use cookie::Cookies;
use index::{Index, Peer};
use model::Spi;
use parked::Parked;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All IKE SAs of a gateway.
///
/// Give it every datagram of the two IKE ports ([`Endpoint::handle_datagram`]), wake it when it wants to be
/// ([`Endpoint::next_timeout`], [`Endpoint::handle_timeout`]), ask it for what you want, and after each of these do what
/// [`Endpoint::poll`] gives until there is no more. It never blocks but for the arithmetic of Diffie-Hellman and of
/// signatures, and not for that where [`Settings::jobs`] gives it to somebody else. Time is what the caller says it is; it must not go backwards.
pub struct Endpoint {
    settings: Settings,
    connections: Vec<Arc<Connection>>,
    index: Index,
    child_spis: HashMap<Spi, IkeSpi>,
    cookies: Cookies,
    chance: Chance,
    clock: (Instant, Duration),
    jobs: Jobs,
    parked: Parked,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Endpoint {
    /// An endpoint without connections. `since_1970` is what time it is in the world at `now`: certificates end by that.
    ///
    /// # Errors
    /// [`CryptoError`] if OpenSSL has no chance to give.
    pub fn new(settings: Settings, now: Instant, since_1970: Duration) -> Result<Endpoint, CryptoError> {
        Ok(Endpoint {
            chance: Chance::new(settings.seed)?,
            settings,
            connections: Vec::new(),
            index: Index::default(),
            child_spis: HashMap::new(),
            cookies: Cookies::new(now)?,
            clock: (now, since_1970),
            jobs: Jobs::default(),
            parked: Parked::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    /// What it is willing to agree on from now on; of several that fit a peer, the first is preferred. IKE SAs that stand go
    /// on as they were agreed on; whoever wants them gone deletes them.
    pub fn set_connections(&mut self, connections: Vec<Arc<Connection>>) {
        self.connections = connections;
    }

    /// Sets the world's time, where it was found to be another than what [`Endpoint::new`] was told.
    pub fn set_clock(&mut self, now: Instant, since_1970: Duration) {
        self.clock = (now, since_1970);
    }

    /// Keeps an SPI of ESP from being used, such as one of a manual key.
    pub fn reserve(&mut self, spi: Spi) {
        self.child_spis.entry(spi).or_insert(IkeSpi(0));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When [`Endpoint::handle_timeout`] is wanted; `None` for never.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.index.next_timer().map(|(at, _)| at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, spi)) = self.index.next_timer() {
            if at > now {
                return;
            }
            self.with(now, spi, IkeSa::tick);
        }
    }

    /// Takes a datagram that came from `from` to our `to`. On the NAT port it begins with four zeros, unless it is a
    /// keepalive; what is ESP there is not for us.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.counters.received += 1;
        let datagram = if to.port() == self.settings.nat_port {
            match bytes {
                [0xFF] => return,
                [0, 0, 0, 0, datagram @ ..] => datagram,
                _ => return self.counters.malformed += 1,
            }
        } else {
            bytes
        };
        let Ok(header) = Header::parse(datagram) else { return self.counters.malformed += 1 };
        if header.major_version != 2 || header.initiator_spi == IkeSpi(0) {
            return self.counters.malformed += 1;
        }
        let path = (to, from);
        if header.exchange == ExchangeType::IKE_SA_INIT && !header.response {
            return self.first_request(now, path, &header, datagram);
        }
        // Whoever initiated the IKE SA says so in every message: ours is the other SPI.
        let ours = if header.from_initiator { header.responder_spi } else { header.initiator_spi };
        let known = self.with(now, ours, |sa, ctx| {
            let peer = sa.peer_spi();
            let theirs = if sa.is_initiator { header.responder_spi } else { header.initiator_spi };
            if sa.is_initiator != header.from_initiator && (peer == theirs || peer == IkeSpi(0)) {
                sa.handle(ctx, path, &header, datagram);
            } else {
                ctx.counters.unexpected += 1;
            }
        });
        if known.is_none() {
            self.counters.unknown_spi += 1;
        }
    }

    fn fresh_spi(&self) -> Result<IkeSpi, CryptoError> {
        loop {
            let spi = IkeSpi(u64::from_be_bytes(random()?));
            if spi != IkeSpi(0) && !self.index.contains(spi) {
                return Ok(spi);
            }
        }
    }

    fn context(&mut self, now: Instant, known_peer: bool) -> Context<'_> {
        Context {
            now,
            since_1970: self.clock.1 + now.saturating_duration_since(self.clock.0),
            settings: &self.settings,
            outputs: &mut self.outputs,
            counters: &mut self.counters,
            child_spis: &mut self.child_spis,
            effects: Vec::new(),
            chance: &mut self.chance,
            jobs: &mut self.jobs,
            ready: Ready::default(),
            known_peer,
        }
    }

    /// Lets one IKE SA do something, and does what that means for others. `None` if it is not there.
    fn with<T>(
        &mut self,
        now: Instant,
        spi: IkeSpi,
        action: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut sa = self.index.take(spi)?;
        let known_peer = sa.connection().is_some_and(|one| self.index.has_standing(&one.name));
        let mut ctx = self.context(now, known_peer);
        let result = action(&mut sa, &mut ctx);
        let effects = ctx.effects;
        let peer = sa.connection().map(|one| one.name.clone()).zip(sa.peer_identity.clone());
        self.index.put(sa, &self.settings);
        for effect in effects {
            self.carry_out(now, spi, peer.as_ref(), effect);
        }
        Some(result)
    }

    /// The IKE SAs that stand with the same peer, but for that one.
    fn others(&self, peer: Option<&Peer>, but: IkeSpi) -> Vec<IkeSpi> {
        let all = peer.map(|peer| self.index.with_peer(peer)).unwrap_or_default();
        all.into_iter().filter(|spi| *spi != but).collect()
    }

    fn carry_out(&mut self, now: Instant, by: IkeSpi, peer: Option<&Peer>, effect: Effect) {
        match effect {
            Effect::Add(sa) => self.index.put(sa, &self.settings),
            Effect::Inherit { to, children, tasks } => {
                if !self.index.contains(to) {
                    let mut ctx = self.context(now, false);
                    return children.into_iter().for_each(|child| child.lost(&mut ctx, Down::IkeGone));
                }
                for child in &children {
                    self.child_spis.insert(child.inbound, to);
                }
                self.with(now, to, |sa, ctx| sa.take_over(ctx, children, tasks));
            }
            Effect::Delete(spi) => {
                self.with(now, spi, |sa, ctx| sa.delete(ctx, Down::Replaced));
            }
            Effect::InitialContact => {
                for spi in self.others(peer, by) {
                    self.with(now, spi, |sa, ctx| sa.delete(ctx, Down::PeerRestarted));
                }
            }
            Effect::TakeOver => {
                for spi in self.others(peer, by) {
                    let tasks = self.with(now, spi, |sa, ctx| sa.give_way(ctx, by));
                    for task in tasks.into_iter().flatten() {
                        self.with(now, by, |sa, ctx| sa.ask(ctx, task));
                    }
                }
            }
        }
    }
}

#[cfg(fuzzing)]
impl Endpoint {
    /// For the fuzzer alone: sends whatever it likes as a request of an IKE SA that stands.
    pub fn send_raw(&mut self, now: Instant, ike: IkeSpi, exchange: u8, first: u8, chain: &[u8]) {
        let exchange = ExchangeType(ExchangeType::IKE_AUTH.0 + exchange % 3);
        self.with(now, ike, |sa, ctx| {
            sa.request_raw(ctx, exchange, crate::message::PayloadType(first), chain);
        });
    }
}
