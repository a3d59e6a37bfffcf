//! Why a negotiation came to nothing: both offers, field by field, and the first field in which they differ.
//!
//! It is for the operator of this end. Nothing of it goes to the peer, but what RFC 7296 has a notify for.

use crate::crypto::{Encryption, Group, Integrity, Prf};
use crate::identity::Identity;
use crate::message::{NotifyType, Proposal, Transform, TransformType};
use crate::selector::TrafficSelector;
use serde::{Serialize, Serializer};

/// A field of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// IKE or ESP, or what else a proposal is about.
    Protocol,
    /// Encryption.
    Encryption,
    /// Pseudorandom function.
    Prf,
    /// Integrity.
    Integrity,
    /// Diffie-Hellman group; of a child SA, PFS.
    Group,
    /// Extended sequence numbers.
    Esn,
}

/// Where two offers part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In what.
    pub field: Field,
    /// What we would take.
    pub ours: Vec<String>,
    /// What they would.
    pub theirs: Vec<String>,
}

/// All proposals of one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offer(pub Vec<Offered>);

/// One proposal: its fields, with the algorithms of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered(pub Vec<(Field, Vec<String>)>);

impl Offer {
    pub(crate) fn new(proposals: &[Proposal]) -> Offer {
        let of = |proposal: &Proposal, kind: TransformType| {
            let list: Vec<Transform> =
                proposal.transforms.iter().copied().filter(|transform| transform.kind == kind).collect();
            names(kind, &list)
        };
        let offered = |proposal: &Proposal| {
            let fields = [
                (Field::Encryption, of(proposal, TransformType::ENCR)),
                (Field::Prf, of(proposal, TransformType::PRF)),
                (Field::Integrity, of(proposal, TransformType::INTEG)),
                (Field::Group, of(proposal, TransformType::DH)),
                (Field::Esn, of(proposal, TransformType::ESN)),
            ];
            Offered(fields.into_iter().filter(|(_, names)| !names.is_empty()).collect())
        };
        Offer(proposals.iter().map(offered).collect())
    }
}

/// How people call them; what we do not know, by its number.
pub(super) fn names(kind: TransformType, list: &[Transform]) -> Vec<String> {
    let name = |&transform: &Transform| {
        let known = match (kind, transform.id) {
            (TransformType::ENCR, _) => Encryption::try_from(transform).ok().map(|one| one.to_string()),
            (TransformType::INTEG | TransformType::DH, 0) => Some("none".to_owned()),
            (TransformType::INTEG, _) => Integrity::try_from(transform).ok().map(|one| one.to_string()),
            (TransformType::PRF, _) => Prf::try_from(transform).ok().map(|one| one.to_string()),
            (TransformType::DH, _) => Group::try_from(transform).ok().map(|one| one.to_string()),
            (TransformType::ESN, 0) => Some("off".to_owned()),
            (TransformType::ESN, 1) => Some("on".to_owned()),
            _ => None,
        };
        known.unwrap_or_else(|| match transform.key_length {
            Some(bits) => format!("number {} of {bits} bits", transform.id),
            None => format!("number {}", transform.id),
        })
    };
    list.iter().map(name).collect()
}

/// The selectors that one end wants for a child SA, seen from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectorOffer {
    /// Addresses behind us.
    pub local: Vec<TrafficSelector>,
    /// Addresses behind the peer.
    pub remote: Vec<TrafficSelector>,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No proposal of one end fits one of the other.
    Proposals {
        /// Ours.
        ours: Offer,
        /// Theirs; `None` where the peer refused and did not say what it wants.
        theirs: Option<Offer>,
        /// The first field in which the two most alike proposals differ.
        difference: Option<Difference>,
    },
    /// No traffic that both mean.
    Selectors {
        /// Ours: one for each policy that was asked.
        ours: Vec<SelectorOffer>,
        /// Theirs; `None` where the peer refused and did not say what it wants.
        theirs: Option<SelectorOffer>,
    },
    /// One wants transport mode, the other tunnel mode.
    Mode {
        /// Ours.
        ours: model::Mode,
        /// Theirs.
        theirs: model::Mode,
    },
    /// The peer wants another group than the one that it was sent, and not one that we offer.
    KeyExchangeGroup {
        /// Ours.
        ours: Vec<Group>,
        /// Theirs, by number.
        theirs: u16,
    },
    /// Nobody here expects this peer.
    NoConnection,
    /// The peer is not who it should be.
    Identity {
        /// Who would do.
        wanted: String,
        /// Who it says it is.
        presented: Identity,
    },
    /// The peer wants us to be somebody else.
    OurIdentity {
        /// Who we are.
        ours: Identity,
        /// Who it wants.
        wanted: Identity,
    },
    /// The peer proves itself in another way than it should.
    Method {
        /// How it should.
        wanted: &'static str,
        /// How it does.
        presented: String,
    },
    /// The peer's proof is wrong: the pre-shared keys differ.
    SharedKey {
        /// Whose proof it was.
        identity: Identity,
    },
    /// The peer's signature or certificate will not do.
    Certificate {
        /// Whose it was.
        identity: Identity,
        /// Why not.
        reason: String,
    },
    /// The peer refused with this notify, which is all that it says.
    Refused(
        /// Its name or number.
        Refusal,
    ),
    /// The peer did not answer.
    Timeout {
        /// How often it was asked.
        tries: u32,
    },
    /// The peer broke the protocol.
    Protocol(
        /// How.
        String,
    ),
    /// We could not, for a reason of our own.
    Ours(
        /// Which.
        String,
    ),
}

/// A notify by which a peer refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub NotifyType);

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// During which exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// IKE_SA_INIT.
    Init,
    /// IKE_AUTH, what it says of the IKE SA.
    Auth,
    /// IKE_AUTH or CREATE_CHILD_SA, what it says of a child SA.
    Child,
    /// CREATE_CHILD_SA for a new IKE SA.
    Rekey,
    /// Any later one.
    Informational,
}

/// Why something failed, for `show` and the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// During what.
    pub stage: Stage,
    /// Whether the peer refused; else we did.
    pub by_peer: bool,
    /// Why.
    pub cause: Cause,
}
