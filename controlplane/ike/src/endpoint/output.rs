//! What an endpoint wants done, and what it has to tell.

use super::Job;
use crate::crypto::{EspSuite, IkeSuite};
use crate::identity::Identity;
use crate::message::IkeSpi;
use crate::negotiate::Explanation;
use crate::selector::TrafficSelector;
use model::{KeyMaterial, Lifetime, Mode, Spi};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// One thing, to be done in the order in which they come.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram. The marker that port 4500 wants is in it.
    Transmit {
        /// Our address and port.
        from: SocketAddr,
        /// The peer's.
        to: SocketAddr,
        /// The UDP payload.
        bytes: Vec<u8>,
    },
    /// Compute this, on any thread, and give it back; comes only where [`crate::Settings::jobs`] says so.
    Compute(Job),
    /// An IKE SA stands, its peer proved.
    IkeUp(Box<IkeUp>),
    /// An IKE SA took the place of another, and its children along.
    IkeRekeyed {
        /// Our SPI of the one that goes.
        old: IkeSpi,
        /// Our SPI of the one that stays.
        new: IkeSpi,
    },
    /// An IKE SA is no more. Its children were said to be down before.
    IkeDown {
        /// Our SPI.
        ike: IkeSpi,
        /// Its connection; `None` if none was found yet.
        connection: Option<Arc<str>>,
        /// Why.
        reason: Down,
    },
    /// Install a pair of SAs, the inbound one first.
    ChildUp(Box<ChildUp>),
    /// Send on this pair from now on: the one that it replaces is about to go.
    ChildSend {
        /// Its inbound SPI.
        inbound: Spi,
    },
    /// Remove a pair of SAs.
    ChildDown {
        /// Its inbound SPI.
        inbound: Spi,
        /// Its outbound SPI.
        outbound: Spi,
        /// Its policy.
        policy: Arc<str>,
        /// Why.
        reason: Down,
    },
    /// The peer's packets come from elsewhere now: send to there.
    PeerMoved {
        /// Our SPI of the IKE SA.
        ike: IkeSpi,
        /// Where to.
        remote: SocketAddr,
        /// Inbound SPIs of its child SAs.
        children: Vec<Spi>,
    },
    /// Something came to nothing. For the log, and for `show`.
    Failed(Box<Failed>),
}

/// An IKE SA, as it came up.
#[derive(Clone, Debug, Serialize)]
pub struct IkeUp {
    /// Our SPI.
    pub ike: IkeSpi,
    /// The peer's.
    pub peer_spi: IkeSpi,
    /// Its connection.
    pub connection: Arc<str>,
    /// Whether we initiated it.
    pub initiator: bool,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Who we are.
    pub local_identity: Identity,
    /// Who the peer is.
    pub remote_identity: Arc<Identity>,
    /// What protects it.
    pub suite: IkeSuite,
}

/// A pair of SAs to install.
#[derive(Clone, Debug)]
pub struct ChildUp {
    /// Our SPI of the IKE SA.
    pub ike: IkeSpi,
    /// The connection of the IKE SA.
    pub connection: Arc<str>,
    /// Who the peer is.
    pub remote_identity: Arc<Identity>,
    /// The policy that it serves.
    pub policy: Arc<str>,
    /// Algorithms.
    pub suite: EspSuite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// What arrives.
    pub inbound: (Spi, KeyMaterial),
    /// What we send.
    pub outbound: (Spi, KeyMaterial),
    /// Outer addresses, and the ports of ESP in UDP.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Whether ESP goes inside UDP, there being a NAT between (RFC 3948).
    pub udp: bool,
    /// Addresses behind us.
    pub local_selectors: Vec<TrafficSelector>,
    /// Addresses behind the peer.
    pub remote_selectors: Vec<TrafficSelector>,
    /// As its policy says.
    pub lifetime: Lifetime,
    /// After what to ask for another pair ([`super::Endpoint::rekey_child`]): a little less than the lifetime, by chance, so
    /// that the peer does not do so at once. The endpoint itself sees to the time.
    pub rekey_after: Lifetime,
    /// Whether the peer takes TFC padding (RFC 7296, section 3.10.1).
    pub tfc_padding: bool,
    /// The inbound SPI of the pair whose place it takes.
    pub replaces: Option<Spi>,
    /// Whether to send on it at once. Else the peer may not have it yet: wait for [`Output::ChildSend`] (or for its first
    /// packet), and send on the replaced pair until then.
    pub send: bool,
    /// Whether the peer asked for it, and so has it only once our answer has come. It may have been reauthenticated: where there
    /// is another pair of the same, that is known to be there.
    pub by_peer: bool,
}

/// Why an SA is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// We were told to.
    Asked,
    /// The peer deleted it.
    Peer,
    /// Another took its place.
    Replaced,
    /// The peer does not answer.
    Timeout,
    /// It was not rekeyed before its lifetime was over.
    Lifetime,
    /// Its IKE SA is no more.
    IkeGone,
    /// The peer came anew, and knows of no earlier SA (INITIAL_CONTACT).
    PeerRestarted,
    /// It never came to stand; a [`Output::Failed`] said why.
    Failed,
}

/// What came to nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Our SPI of the IKE SA; `None` if there was none yet.
    pub ike: Option<IkeSpi>,
    /// Its connection, if it was found.
    pub connection: Option<Arc<str>>,
    /// The child's policy, where it was about one.
    pub policy: Option<Arc<str>>,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Why.
    pub explanation: Explanation,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Datagrams that went.
    pub sent: u64,
    /// Requests and fragments of requests that were sent again.
    pub retransmitted: u64,
    /// Dropped: no message.
    pub malformed: u64,
    /// Dropped: for an IKE SA that is not here.
    pub unknown_spi: u64,
    /// Dropped: not sealed by the peer.
    pub unauthentic: u64,
    /// Dropped: a message ID that is not next.
    pub out_of_window: u64,
    /// Dropped: too many half-open IKE SAs.
    pub half_open_full: u64,
    /// Requests that were answered with a cookie only.
    pub cookies_sent: u64,
    /// Dropped: a message that makes no sense where its IKE SA stands.
    pub unexpected: u64,
    /// Dropped, to be sent again by the peer: the arithmetic of the same message is being done, or too much of others.
    pub busy: u64,
    /// Pieces of arithmetic that nobody else did (see [`crate::Settings::jobs`]).
    pub computed_at_once: u64,
    /// IKE SAs that came to stand.
    pub ike_up: u64,
    /// Negotiations that failed.
    pub failed: u64,
}
