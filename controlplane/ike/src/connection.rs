//! What we are willing to agree on with a peer: the model that a configuration becomes.

use crate::auth::{Credential, Trust};
use crate::crypto::Secret;
use crate::identity::{Identity, IdentityMatch};
use crate::negotiate::{EspProposal, IkeProposal};
use crate::selector::TrafficSelector;
use model::{Lifetime, Mode, Prefix};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One peer, or one kind of peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// For people, and to find it again.
    pub name: Arc<str>,
    /// Our address; `None` for any.
    pub local: Option<IpAddr>,
    /// Where its packets may come from.
    pub remote: Vec<Prefix>,
    /// For the IKE SA, in order of preference.
    pub proposals: Vec<IkeProposal>,
    /// Who we say we are.
    pub local_identity: Identity,
    /// Who the peer may say it is.
    pub remote_identity: IdentityMatch,
    /// How we prove it.
    pub local_proof: LocalProof,
    /// How the peer has to.
    pub remote_proof: RemoteProof,
    /// Its child SAs.
    pub children: Vec<Arc<ChildPolicy>>,
    /// How long the IKE SA may serve. It is rekeyed a little earlier, by chance, so that peers do not do so at once.
    pub lifetime: Option<Duration>,
    /// How long the proofs of both are good for. Before that, whoever began has another IKE SA take the place of this one, from
    /// scratch; with a time no longer than `lifetime`, it is not rekeyed before.
    pub reauth: Option<Duration>,
    /// After how much silence to ask whether the peer is alive.
    pub dpd: Option<Duration>,
}

/// How we prove who we are.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalProof {
    /// By a key that both know.
    SharedKey(Secret),
    /// By a signature, with certificates.
    Certificate(Arc<Credential>),
}

/// How a peer has to prove who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum RemoteProof {
    /// By a key that both know.
    SharedKey(Secret),
    /// By a signature, with certificates that lead to one of these authorities.
    Certificate(Arc<Trust>),
}

impl RemoteProof {
    /// What people call it.
    pub const fn name(&self) -> &'static str {
        match self {
            RemoteProof::SharedKey(_) => "pre-shared key",
            RemoteProof::Certificate(_) => "certificate",
        }
    }

    pub(crate) fn trust(&self) -> Option<&Trust> {
        match self {
            RemoteProof::SharedKey(_) => None,
            RemoteProof::Certificate(trust) => Some(trust),
        }
    }
}

/// What traffic to protect, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    /// For people, and to find it again.
    pub name: Arc<str>,
    /// In order of preference.
    pub proposals: Vec<EspProposal>,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Addresses behind us; empty for our own outer address.
    pub local: Vec<TrafficSelector>,
    /// Addresses behind the peer; empty for its outer address.
    pub remote: Vec<TrafficSelector>,
    /// How long its SAs may serve. They are rekeyed before that time; bytes and packets the data plane counts.
    pub lifetime: Lifetime,
}

impl Connection {
    /// Whether it is for packets between these addresses.
    pub(crate) fn fits(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.local.is_none_or(|wanted| wanted == local)
            && self.remote.iter().any(|prefix| prefix.contains(&remote))
    }
}
