//! Explanations as people read them.

use super::explain::{Cause, Difference, Explanation, Field, Offer, Offered, Refusal, SelectorOffer, Stage};
use crate::message::NotifyType;
use std::fmt;

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Protocol => "protocol",
            Field::Encryption => "encryption",
            Field::Prf => "prf",
            Field::Integrity => "integrity",
            Field::Group => "dh-group",
            Field::Esn => "esn",
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Init => "IKE_SA_INIT",
            Stage::Auth => "IKE_AUTH",
            Stage::Child => "child SA",
            Stage::Rekey => "rekeying of the IKE SA",
            Stage::Informational => "INFORMATIONAL",
        })
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> =
            self.0.iter().map(|(field, names)| format!("{field} {}", names.join(" "))).collect();
        f.write_str(&fields.join(", "))
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proposals: Vec<String> = self.0.iter().map(|proposal| format!("({proposal})")).collect();
        f.write_str(&proposals.join(" or "))
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(" ") }
}

impl fmt::Display for SelectorOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local {} remote {}", list(&self.local), list(&self.remote))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Proposals { ours, theirs, difference } => {
                if let Some(Difference { field, ours, theirs }) = difference {
                    write!(f, "no proposal in common: first difference in {field}: ")?;
                    write!(f, "ours {}, theirs {}; ", list(ours), list(theirs))?;
                } else {
                    f.write_str("no proposal in common; ")?;
                }
                match theirs {
                    Some(theirs) => write!(f, "we offer {ours}; they offer {theirs}"),
                    None => write!(f, "we offer {ours}; they do not say what they offer"),
                }
            }
            Cause::Selectors { ours, theirs } => {
                let ours: Vec<String> = ours.iter().map(|one| format!("({one})")).collect();
                let theirs = theirs.as_ref().map(|theirs| format!("they want ({theirs})"));
                let theirs = theirs.as_deref().unwrap_or("they do not say what they want");
                write!(f, "no traffic selectors in common: we want {}; {theirs}", ours.join(" or "))
            }
            Cause::Mode { ours, theirs } => write!(f, "mode differs: ours {ours:?}, theirs {theirs:?}"),
            Cause::KeyExchangeGroup { ours, theirs } => {
                write!(f, "first difference in dh-group: ours {}, theirs group{theirs}", list(ours))
            }
            Cause::NoConnection => f.write_str("no connection is configured for this peer's address"),
            Cause::Identity { wanted, presented } => {
                write!(f, "identity differs: the peer should be {wanted} and says it is {presented}")
            }
            Cause::OurIdentity { ours, wanted } => {
                write!(f, "identity differs: we are {ours} and the peer wants {wanted}")
            }
            Cause::Method { wanted, presented } => {
                write!(f, "authentication differs: the peer should use {wanted} and uses {presented}")
            }
            Cause::SharedKey { identity } => {
                write!(f, "the pre-shared key of {identity} is not the one that the peer has")
            }
            Cause::Certificate { identity, reason } => write!(f, "the certificate of {identity}: {reason}"),
            Cause::Refused(Refusal(NotifyType::AUTHENTICATION_FAILED)) => f.write_str(
                "AUTHENTICATION_FAILED: to the peer, our identity or our proof of it is wrong; its log says which",
            ),
            Cause::Refused(Refusal(kind)) => write!(f, "{kind}"),
            Cause::Timeout { tries } => write!(f, "the peer did not answer; it was asked {tries} times"),
            Cause::Protocol(what) => write!(f, "the peer broke the protocol: {what}"),
            Cause::Ours(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.by_peer { "the peer refused" } else { "refused" };
        write!(f, "{}: {who}: {}", self.stage, self.cause)
    }
}
