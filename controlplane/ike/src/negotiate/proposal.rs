//! Proposals as a configuration has them, and as they go on the wire.

use crate::crypto::{Encryption, Group, Integrity, Prf};
use crate::message::{Proposal, ProtocolId, Transform, TransformType};

/// One `crypto ikev2 proposal`: of each list, one is to be chosen; earlier ones are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeProposal {
    /// Encryption.
    pub encryption: Vec<Encryption>,
    /// Integrity, beside encryption that has none of its own.
    pub integrity: Vec<Integrity>,
    /// Pseudorandom functions.
    pub prf: Vec<Prf>,
    /// Diffie-Hellman groups. The first of the first proposal is the one that an initiator guesses.
    pub groups: Vec<Group>,
}

/// One transform set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspProposal {
    /// Encryption.
    pub encryption: Vec<Encryption>,
    /// Integrity, beside encryption that has none of its own.
    pub integrity: Vec<Integrity>,
    /// Groups of a key exchange for each child SA (PFS); empty for none.
    pub groups: Vec<Group>,
    /// Extended sequence numbers, in order of preference: with, without, or both.
    pub esn: Vec<bool>,
}

/// Encryption with and without integrity of its own may not stand in one proposal (RFC 7296, section 3.3): two, then, in
/// the order in which their first algorithms stand.
fn by_kind(encryption: &[Encryption]) -> impl Iterator<Item = Vec<Encryption>> {
    let (aead, plain): (Vec<_>, Vec<_>) = encryption.iter().partition(|encryption| encryption.is_aead());
    let aead_first = encryption.first().is_some_and(|encryption| encryption.is_aead());
    let parts = if aead_first { [aead, plain] } else { [plain, aead] };
    parts.into_iter().filter(|part| !part.is_empty())
}

fn transforms<T: Copy + Into<Transform>>(algorithms: &[T]) -> impl Iterator<Item = Transform> {
    algorithms.iter().map(|&algorithm| algorithm.into())
}

fn numbered(protocol: ProtocolId, spi: &[u8], lists: impl Iterator<Item = Vec<Transform>>) -> Vec<Proposal> {
    // Numbers of proposals are a byte; nobody writes so many.
    (1..=u8::MAX)
        .zip(lists)
        .map(|(number, transforms)| Proposal { number, protocol, spi: spi.to_vec(), transforms })
        .collect()
}

/// `spi` is empty in IKE_SA_INIT, and the new SPI where an IKE SA is rekeyed.
pub(crate) fn ike_offer(proposals: &[IkeProposal], spi: &[u8]) -> Vec<Proposal> {
    let lists = proposals.iter().flat_map(|proposal| {
        by_kind(&proposal.encryption).map(|encryption| {
            let aead = encryption.first().is_some_and(|encryption| encryption.is_aead());
            let integrity = if aead { &[][..] } else { &proposal.integrity };
            transforms(&encryption)
                .chain(transforms(&proposal.prf))
                .chain(transforms(integrity))
                .chain(transforms(&proposal.groups))
                .collect()
        })
    });
    numbered(ProtocolId::IKE, spi, lists)
}

/// `spi` is that of our inbound SA.
pub(crate) fn esp_offer(proposals: &[EspProposal], spi: &[u8]) -> Vec<Proposal> {
    let lists = proposals.iter().flat_map(|proposal| {
        by_kind(&proposal.encryption).map(|encryption| {
            let aead = encryption.first().is_some_and(|encryption| encryption.is_aead());
            let integrity = if aead { &[][..] } else { &proposal.integrity };
            let esn = proposal.esn.iter().map(|&esn| Transform::new(TransformType::ESN, esn.into()));
            transforms(&encryption)
                .chain(transforms(integrity))
                .chain(transforms(&proposal.groups))
                .chain(esn)
                .collect()
        })
    });
    numbered(ProtocolId::ESP, spi, lists)
}

/// The same for IKE_AUTH, where there is no key exchange of the child's own (RFC 7296, section 1.2).
pub(crate) fn without_groups(mut proposals: Vec<Proposal>) -> Vec<Proposal> {
    for proposal in &mut proposals {
        proposal.transforms.retain(|transform| transform.kind != TransformType::DH);
    }
    proposals
}
