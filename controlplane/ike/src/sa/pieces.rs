//! What several exchanges write and read alike.

use super::{Abilities, nat};
use crate::auth::{HASHES, PeerHashes};
use crate::crypto::Group;
use crate::message::{IkeSpi, NotifyType, Payload, Proposal};
use crate::negotiate::{Cause, Offer, Refusal};
use std::net::SocketAddr;

/// How we know each other.
pub(super) const VENDOR_ID: &[u8] = b"Espalier IKEv2";
/// Bytes of the nonces that we send: at least half of any function's key (section 2.10).
pub(super) const NONCE: usize = 32;
/// The notifies that both sides send along.
pub(super) struct Extras {
    source: [u8; 20],
    destination: [u8; 20],
}

impl Extras {
    pub(super) fn new(initiator: IkeSpi, responder: IkeSpi, local: SocketAddr, remote: SocketAddr) -> Extras {
        Extras {
            source: nat::hash(initiator, responder, local),
            destination: nat::hash(initiator, responder, remote),
        }
    }

    pub(super) fn payloads(&self) -> [Payload<'_>; 5] {
        [
            Payload::notify(NotifyType::NAT_DETECTION_SOURCE_IP, &self.source),
            Payload::notify(NotifyType::NAT_DETECTION_DESTINATION_IP, &self.destination),
            Payload::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]),
            Payload::notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, &HASHES),
            Payload::VendorId(VENDOR_ID),
        ]
    }
}

impl Abilities {
    pub(super) fn read(payloads: &[Payload<'_>]) -> Abilities {
        let said = |kind: NotifyType| notify(payloads, kind).is_some();
        Abilities {
            fragmentation: said(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED),
            childless: said(NotifyType::CHILDLESS_IKEV2_SUPPORTED),
            hashes: notify(payloads, NotifyType::SIGNATURE_HASH_ALGORITHMS)
                .map(PeerHashes::read)
                .unwrap_or_default(),
            espalier: payloads.contains(&Payload::VendorId(VENDOR_ID)),
        }
    }
}

/// The data of the first notify of that kind.
pub(super) fn notify<'a>(payloads: &[Payload<'a>], kind: NotifyType) -> Option<&'a [u8]> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind == kind => Some(notify.data),
        _ => None,
    })
}

/// The first notify that reports an error.
pub(super) fn error_notify(payloads: &[Payload<'_>]) -> Option<NotifyType> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind.is_error() => Some(notify.kind),
        _ => None,
    })
}

/// The three payloads that every exchange of keys has.
pub(super) struct Exchange<'p, 'a> {
    pub(super) proposals: &'p [Proposal],
    pub(super) group: u16,
    pub(super) public: &'a [u8],
    pub(super) nonce: &'a [u8],
}

impl<'p, 'a> Exchange<'p, 'a> {
    pub(super) fn read(payloads: &'p [Payload<'a>]) -> Option<Exchange<'p, 'a>> {
        let (mut sa, mut ke, mut ni) = (None, None, None);
        for payload in payloads {
            match payload {
                Payload::Sa(proposals) => sa = Some(proposals.as_slice()),
                Payload::KeyExchange { group, data } => ke = Some((*group, *data)),
                Payload::Nonce(nonce) => ni = Some(*nonce),
                _ => {}
            }
        }
        let (proposals, (group, public), nonce) = (sa?, ke?, ni?);
        Some(Exchange { proposals, group, public, nonce })
    }
}

/// The group that a peer asks for in an INVALID_KE_PAYLOAD.
pub(super) fn wanted_group(data: &[u8]) -> u16 {
    <[u8; 2]>::try_from(data).map_or(0, u16::from_be_bytes)
}

/// Whether and which group of an offer has that number.
pub(super) fn offered_group(offer: &[Proposal], number: u16) -> Option<Group> {
    let groups = offer.iter().flat_map(|proposal| &proposal.transforms);
    groups.filter_map(|&transform| Group::try_from(transform).ok()).find(|group| group.id() == number)
}

/// What a refusal means: with Espalier at the other end, also what it would have taken.
pub(super) fn refused(payloads: &[Payload<'_>], kind: NotifyType, offer: &[Proposal]) -> Cause {
    if kind != NotifyType::NO_PROPOSAL_CHOSEN {
        return Cause::Refused(Refusal(kind));
    }
    let said = notify(payloads, NotifyType::ESPALIER_OFFER).and_then(crate::message::parse_proposals);
    match said {
        Some(theirs) => {
            crate::negotiate::choose(offer, &theirs).err().unwrap_or(Cause::Refused(Refusal(kind)))
        }
        None => Cause::Proposals { ours: Offer::new(offer), theirs: None, difference: None },
    }
}
