//! What `show` wants to know.

use super::Endpoint;
use crate::crypto::{EspSuite, IkeSuite};
use crate::identity::Identity;
use crate::message::IkeSpi;
use crate::sa::{Child, IkeSa, Phase};
use crate::selector::TrafficSelector;
use model::{Mode, Spi};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where an IKE SA stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// We have asked, and have no proof of the peer yet.
    Initiating,
    /// We have answered, and have no proof of the peer yet.
    HalfOpen,
    /// It stands.
    Established,
    /// Another stands in its place, or may come to.
    Replaced,
    /// It is over.
    Closing,
}

/// One IKE SA.
#[derive(Clone, Debug, Serialize)]
pub struct IkeView {
    /// Our SPI.
    pub ike: IkeSpi,
    /// The peer's; 0 if it is not known yet.
    pub peer_spi: IkeSpi,
    /// Where it stands.
    pub state: State,
    /// Whether we initiated it.
    pub initiator: bool,
    /// Its connection; `None` while several could be meant.
    pub connection: Option<Arc<str>>,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Whether we are behind a NAT.
    pub local_nat: bool,
    /// Whether the peer is.
    pub remote_nat: bool,
    /// Who the peer is, once it is proved.
    pub remote_identity: Option<Arc<Identity>>,
    /// What protects it.
    pub suite: Option<IkeSuite>,
    /// Since it stands, or since it began.
    pub age: Duration,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Its child SAs.
    pub children: Vec<ChildView>,
}

/// One pair of child SAs.
#[derive(Clone, Debug, Serialize)]
pub struct ChildView {
    /// Its policy.
    pub policy: Arc<str>,
    /// SPI of what arrives.
    pub inbound: Spi,
    /// SPI of what we send.
    pub outbound: Spi,
    /// What protects it.
    pub suite: EspSuite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Addresses behind us.
    pub local_selectors: Vec<TrafficSelector>,
    /// Addresses behind the peer.
    pub remote_selectors: Vec<TrafficSelector>,
    /// Since it was installed.
    pub age: Duration,
    /// In how long it is rekeyed; `None` if never, or if that has begun.
    pub rekey_in: Option<Duration>,
    /// In how long its lifetime is over; `None` if never.
    pub ends_in: Option<Duration>,
}

impl Endpoint {
    /// All IKE SAs, in no order.
    pub fn ike_sas(&self, now: Instant) -> impl Iterator<Item = IkeView> {
        self.index.iter().map(move |sa| view(sa, now))
    }

    /// One of them, by our SPI.
    pub fn ike_sa(&self, now: Instant, ike: IkeSpi) -> Option<IkeView> {
        self.index.get(ike).map(|sa| view(sa, now))
    }

    /// How many peers have begun that have not proved anything, those that failed a moment ago included.
    pub fn half_open(&self) -> usize {
        self.index.half_open() + self.parked.len()
    }
}

fn view(sa: &IkeSa, now: Instant) -> IkeView {
    IkeView {
        ike: sa.spi(),
        peer_spi: sa.peer_spi(),
        state: match sa.phase {
            Phase::Initiating => State::Initiating,
            Phase::HalfOpen(_) => State::HalfOpen,
            Phase::Established if sa.announced => State::Established,
            Phase::Established => State::Replaced,
            Phase::Replaced => State::Replaced,
            Phase::Closing | Phase::Dead => State::Closing,
        },
        initiator: sa.is_initiator,
        connection: sa.connection().map(|connection| connection.name.clone()),
        local: sa.local,
        remote: sa.remote,
        local_nat: sa.nat.ours,
        remote_nat: sa.nat.theirs,
        remote_identity: sa.peer_identity.clone(),
        suite: sa.protection.as_ref().map(|protection| protection.suite),
        age: now.saturating_duration_since(sa.since),
        waiting: sa.tasks.len(),
        children: sa.children.iter().map(|child| child_view(child, now)).collect(),
    }
}

fn child_view(child: &Child, now: Instant) -> ChildView {
    ChildView {
        policy: child.policy.name.clone(),
        inbound: child.inbound,
        outbound: child.outbound,
        suite: child.suite,
        mode: child.mode,
        local_selectors: child.local_selectors.clone(),
        remote_selectors: child.remote_selectors.clone(),
        age: now.saturating_duration_since(child.since),
        rekey_in: child.rekey_at.map(|at| at.saturating_duration_since(now)),
        ends_in: child.ends_at().map(|at| at.saturating_duration_since(now)),
    }
}
