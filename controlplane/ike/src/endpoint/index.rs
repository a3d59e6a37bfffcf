//! The IKE SAs of an endpoint, and the ways to find one.

use crate::identity::Identity;
use crate::message::IkeSpi;
use crate::sa::IkeSa;
use crate::settings::Settings;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// All of them.
#[derive(Default)]
pub(crate) struct Index {
    all: HashMap<IkeSpi, Entry>,
    timers: BTreeSet<(Instant, IkeSpi)>,
    /// Those that have no proof of their peer, by where and under which SPI it began.
    half_open: HashMap<(SocketAddr, IkeSpi), IkeSpi>,
    /// Those that stand, by connection and peer.
    peers: HashMap<Peer, BTreeSet<IkeSpi>>,
    /// How many stand, by connection.
    standing: HashMap<Arc<str>, usize>,
}

/// A connection, and who is at its other end.
pub(crate) type Peer = (Arc<str>, Arc<Identity>);

struct Entry {
    sa: Box<IkeSa>,
    timer: Option<Instant>,
    half_open: Option<(SocketAddr, IkeSpi)>,
    peer: Option<Peer>,
}

impl Index {
    pub(crate) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// The half-open one that a first request from there made.
    pub(crate) fn begun(&self, from: SocketAddr, spi: IkeSpi) -> Option<IkeSpi> {
        self.half_open.get(&(from, spi)).copied()
    }

    pub(crate) fn contains(&self, spi: IkeSpi) -> bool {
        self.all.contains_key(&spi)
    }

    pub(crate) fn get(&self, spi: IkeSpi) -> Option<&IkeSa> {
        self.all.get(&spi).map(|entry| entry.sa.as_ref())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &IkeSa> {
        self.all.values().map(|entry| entry.sa.as_ref())
    }

    /// Whether the connection has one that stands.
    pub(crate) fn has_standing(&self, connection: &str) -> bool {
        self.standing.contains_key(connection)
    }

    /// Those that stand with that peer.
    pub(crate) fn with_peer(&self, peer: &Peer) -> Vec<IkeSpi> {
        self.peers.get(peer).map(|spis| spis.iter().copied().collect()).unwrap_or_default()
    }

    /// Takes one out, to be changed and put back.
    pub(crate) fn take(&mut self, spi: IkeSpi) -> Option<Box<IkeSa>> {
        let entry = self.all.remove(&spi)?;
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, spi));
        }
        if let Some(begun) = entry.half_open {
            self.half_open.remove(&begun);
        }
        if let Some(key) = entry.peer {
            if let Some(count) = self.standing.get_mut(&key.0) {
                *count -= 1;
                if *count == 0 {
                    self.standing.remove(&key.0);
                }
            }
            if let Some(spis) = self.peers.get_mut(&key) {
                spis.remove(&spi);
                if spis.is_empty() {
                    self.peers.remove(&key);
                }
            }
        }
        Some(entry.sa)
    }

    /// Puts one in, unless it is dead.
    pub(crate) fn put(&mut self, sa: Box<IkeSa>, settings: &Settings) {
        if sa.is_dead() {
            return;
        }
        let spi = sa.spi();
        let timer = sa.deadline(settings);
        if let Some(at) = timer {
            self.timers.insert((at, spi));
        }
        let half_open = sa.is_unproved().then_some((sa.begun_from, sa.initiator_spi));
        if let Some(begun) = half_open {
            self.half_open.insert(begun, spi);
        }
        let standing = sa.connection().filter(|_| sa.is_established()).map(|one| one.name.clone());
        let peer = standing.zip(sa.peer_identity.clone());
        if let Some(key) = &peer {
            *self.standing.entry(key.0.clone()).or_default() += 1;
            self.peers.entry(key.clone()).or_default().insert(spi);
        }
        self.all.insert(spi, Entry { sa, timer, half_open, peer });
    }

    /// When the first of them wants to be woken, and which.
    pub(crate) fn next_timer(&self) -> Option<(Instant, IkeSpi)> {
        self.timers.first().copied()
    }
}
