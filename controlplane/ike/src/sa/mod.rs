//! One IKE SA: where it stands, what it waits for, and what happens to it next.
//!
//! [`exchange`] carries messages in and out, [`life`] knows the time and the end; each other file is one exchange or one
//! part of it.

mod auth;
mod auth_respond;
mod child;
mod child_answer;
mod child_conclude;
mod create_child;
mod create_child_respond;
mod exchange;
mod foresee;
#[cfg(fuzzing)]
mod fuzzing;
mod informational;
mod init;
mod init_respond;
mod jitter;
mod life;
pub(crate) mod nat;
mod pieces;
mod protect;
mod reauth;
mod rekey;
mod waiting;
mod window;

pub(crate) use child::{Child, Offering};
pub(crate) use exchange::NON_ESP_MARKER;
pub(crate) use init_respond::{Answer, answer as answer_first, offered, respond as respond_to_first};
pub(crate) use jitter::Chance;

use crate::auth::PeerHashes;
use crate::connection::{ChildPolicy, Connection};
use crate::endpoint::{Counters, Down, Failed, Jobs, Output, Ready};
use crate::identity::Identity;
use crate::keys::IkeKeys;
use crate::message::IkeSpi;
use crate::negotiate::{Cause, Explanation, Stage};
use crate::settings::Settings;
use model::Spi;
use nat::Nat;
use protect::Protection;
use reauth::Authentication;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting::Waiting;
use window::Window;

/// What an IKE SA may use of its endpoint while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// The same in the world's time, for certificates.
    pub(crate) since_1970: Duration,
    pub(crate) settings: &'a Settings,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) counters: &'a mut Counters,
    /// Which IKE SA has which inbound SPI of ESP.
    pub(crate) child_spis: &'a mut HashMap<Spi, IkeSpi>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) chance: &'a mut Chance,
    pub(crate) jobs: &'a mut Jobs,
    /// Arithmetic that somebody has done for what is handled.
    pub(crate) ready: Ready,
    /// Whether the connection has another IKE SA that stands.
    pub(crate) known_peer: bool,
}

impl Context<'_> {
    /// How long a peer may try to reach us before it gives up.
    fn patience(&self) -> Duration {
        self.settings.retransmit_after.saturating_mul(1 << self.settings.tries.min(10))
    }
}

/// What an IKE SA wants done to others.
pub(crate) enum Effect {
    /// One that takes its own place.
    Add(Box<IkeSa>),
    /// Its children and waiting requests go there.
    Inherit { to: IkeSpi, children: Vec<Child>, tasks: VecDeque<Task> },
    /// Delete it, as one of two that a collision made.
    Delete(IkeSpi),
    /// The peer knows of no other.
    InitialContact,
    /// It has all that it was begun for, in the place of another.
    TakeOver,
}

/// What is to be asked of the peer when the window is free.
pub(crate) enum Task {
    /// The first of all.
    Init,
    /// The second.
    Auth(Box<auth::Proofs>),
    Child(Arc<ChildPolicy>),
    RekeyChild(Spi),
    DeleteChild(Spi, Down),
    RekeyIke,
    DeleteIke(Down),
    Liveness,
}

/// What the outstanding request was about.
pub(crate) enum Pending {
    Init(Box<init::Initiating>),
    Auth(Box<auth::Authenticating>),
    Child(Box<Offering>),
    Rekey(Box<rekey::Rekeying>),
    DeleteChild(Vec<Spi>),
    DeleteIke,
    Liveness,
}

/// Where an IKE SA stands.
pub(crate) enum Phase {
    /// We asked, in IKE_SA_INIT or IKE_AUTH; [`Pending`] knows what.
    Initiating,
    /// We answered IKE_SA_INIT.
    HalfOpen(Box<auth::Proofs>),
    Established,
    /// Another stands in its place; the peer is about to delete it.
    Replaced,
    /// It is over and only answers what it has answered before, or waits for the answer to its deletion.
    Closing,
    /// To be forgotten.
    Dead,
}

/// What the peer said that it can.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Abilities {
    pub(crate) fragmentation: bool,
    pub(crate) childless: bool,
    pub(crate) espalier: bool,
    /// For signatures (RFC 7427); none if it does not know of that.
    pub(crate) hashes: PeerHashes,
}

/// A second SA that the peer made in the place of an old one while we were about to (RFC 7296, section 2.8.1).
pub(crate) struct Rival<S> {
    pub(crate) spi: S,
    pub(crate) lowest_nonce: Vec<u8>,
}

/// One IKE SA.
pub(crate) struct IkeSa {
    pub(crate) initiator_spi: IkeSpi,
    pub(crate) responder_spi: IkeSpi,
    pub(crate) is_initiator: bool,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Where the peer was when it began.
    pub(crate) begun_from: SocketAddr,
    pub(crate) nat: Nat,
    pub(crate) phase: Phase,
    /// Those that could be meant; one, once the peer is proved.
    pub(crate) connections: Vec<Arc<Connection>>,
    pub(crate) peer_identity: Option<Arc<Identity>>,
    authentication: Authentication,
    /// Whether it was begun to take the place of another, which still stands.
    takes_over: bool,
    pub(crate) abilities: Abilities,
    /// Whether anybody outside knows of it, and is to hear of its end. One that was made to take another's place is not
    /// known before it has taken over.
    pub(crate) announced: bool,
    pub(crate) protection: Option<Protection>,
    pub(crate) keys: Option<IkeKeys>,
    pub(crate) window: Window,
    waiting: Vec<Waiting>,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) children: Vec<Child>,
    /// When it is forgotten, whatever it waits for.
    pub(crate) expires: Option<Instant>,
    pub(crate) rekey_at: Option<Instant>,
    /// When its lifetime is over, if it could not be rekeyed.
    pub(crate) ends_at: Option<Instant>,
    /// Tasks wait until then.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) last_heard: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) since: Instant,
}

impl IkeSa {
    pub(crate) fn new(
        now: Instant,
        is_initiator: bool,
        spis: (IkeSpi, IkeSpi),
        (local, remote): (SocketAddr, SocketAddr),
        phase: Phase,
    ) -> IkeSa {
        IkeSa {
            initiator_spi: spis.0,
            responder_spi: spis.1,
            is_initiator,
            local,
            remote,
            begun_from: remote,
            nat: Nat::default(),
            phase,
            connections: Vec::new(),
            peer_identity: None,
            authentication: Authentication::default(),
            takes_over: false,
            abilities: Abilities::default(),
            announced: false,
            protection: None,
            keys: None,
            window: Window::new(),
            waiting: Vec::new(),
            tasks: VecDeque::new(),
            children: Vec::new(),
            expires: None,
            rekey_at: None,
            ends_at: None,
            retry_at: None,
            last_heard: now,
            last_sent: now,
            since: now,
        }
    }

    /// Ours: its name in the endpoint.
    pub(crate) fn spi(&self) -> IkeSpi {
        if self.is_initiator { self.initiator_spi } else { self.responder_spi }
    }

    pub(crate) fn peer_spi(&self) -> IkeSpi {
        if self.is_initiator { self.responder_spi } else { self.initiator_spi }
    }

    /// The one that it is for; `None` while several could be meant.
    pub(crate) fn connection(&self) -> Option<&Arc<Connection>> {
        match self.connections.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    fn connection_name(&self) -> Option<Arc<str>> {
        self.connection().map(|connection| connection.name.clone())
    }

    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.phase, Phase::HalfOpen(_))
    }

    /// Whether somebody began it who has not proved anything: of these there may only be so many.
    pub(crate) fn is_unproved(&self) -> bool {
        let failed =
            matches!(self.phase, Phase::Closing) && !self.is_initiator && self.peer_identity.is_none();
        self.is_half_open() || failed
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether it stands, and no other of two that a collision made may do so in its stead.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_established() && self.announced
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead)
    }

    /// Tells of something that came to nothing.
    pub(crate) fn report(
        &self,
        ctx: &mut Context<'_>,
        policy: Option<&ChildPolicy>,
        stage: Stage,
        by_peer: bool,
        cause: Cause,
    ) {
        ctx.counters.failed += 1;
        ctx.outputs.push_back(Output::Failed(Box::new(Failed {
            ike: Some(self.spi()),
            connection: self.connection_name(),
            policy: policy.map(|policy| policy.name.clone()),
            local: self.local,
            remote: self.remote,
            explanation: Explanation { stage, by_peer, cause },
        })));
    }
}
