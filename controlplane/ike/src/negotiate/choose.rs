//! Choosing one of the peer's proposals (RFC 7296, sections 2.7 and 3.3.6).

use super::{Cause, Difference, Field, Offer};
use crate::crypto::{Encryption, EspSuite, Group, IkeSuite, Integrity, Prf};
use crate::message::{Proposal, Transform, TransformType};

/// In the order in which a difference is looked for.
const KINDS: [(TransformType, Field); 5] = [
    (TransformType::ENCR, Field::Encryption),
    (TransformType::PRF, Field::Prf),
    (TransformType::INTEG, Field::Integrity),
    (TransformType::DH, Field::Group),
    (TransformType::ESN, Field::Esn),
];

/// The first of our proposals that one of theirs fits, with one transform of each type, ours deciding. The chosen proposal
/// bears the number and the SPI of theirs.
pub(crate) fn choose(ours: &[Proposal], theirs: &[Proposal]) -> Result<Proposal, Cause> {
    // Of the pair that agrees furthest, the field where it ends: the one that people want to know of.
    let mut nearest: Option<(usize, Difference)> = None;
    for (our, their) in ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their))) {
        match pair(our, their) {
            Ok(transforms) => return Ok(Proposal { transforms, ..their.clone() }),
            Err((agreed, difference)) => {
                if nearest.as_ref().is_none_or(|(most, _)| agreed > *most) {
                    nearest = Some((agreed, difference));
                }
            }
        }
    }
    Err(Cause::Proposals {
        ours: Offer::new(ours),
        theirs: Some(Offer::new(theirs)),
        difference: nearest.map(|(_, difference)| difference),
    })
}

/// What was chosen of each type, or how many fields agree and the first that does not.
fn pair(our: &Proposal, their: &Proposal) -> Result<Vec<Transform>, (usize, Difference)> {
    if our.protocol != their.protocol {
        let protocol = |proposal: &Proposal| vec![proposal.protocol.to_string()];
        return Err((0, Difference { field: Field::Protocol, ours: protocol(our), theirs: protocol(their) }));
    }
    let mut chosen = Vec::new();
    for (agreed, (kind, field)) in KINDS.into_iter().enumerate() {
        let of = |proposal: &Proposal| -> Vec<Transform> {
            proposal.transforms.iter().copied().filter(|transform| transform.kind == kind).collect()
        };
        let (our, their) = (of(our), of(their));
        match common(kind, &our, &their) {
            Some(transform) => chosen.extend(transform),
            None => {
                let names = |list: &[Transform]| super::explain::names(kind, list);
                return Err((agreed + 1, Difference { field, ours: names(&our), theirs: names(&their) }));
            }
        }
    }
    // A type that we do not know must be chosen from, too, and cannot (section 3.3.6).
    let foreign = |transform: &&Transform| KINDS.iter().all(|(kind, _)| *kind != transform.kind);
    if let Some(transform) = their.transforms.iter().find(foreign) {
        let theirs = vec![format!("type {}", transform.kind)];
        return Err((KINDS.len(), Difference { field: Field::Protocol, ours: Vec::new(), theirs }));
    }
    Ok(chosen)
}

/// The first of ours that they have, too. Of integrity and of groups, none at all is the same as the transform NONE, which is
/// answered where it was offered. `Some(None)`: there is nothing to choose. `None`: they do not agree.
fn common(kind: TransformType, ours: &[Transform], theirs: &[Transform]) -> Option<Option<Transform>> {
    let usable = |one: &Transform| theirs.iter().any(|other| other == one);
    if let Some(&transform) = ours.iter().find(|one| usable(one)) {
        return Some(Some(transform));
    }
    let optional = matches!(kind, TransformType::INTEG | TransformType::DH);
    let none = Transform::new(kind, 0);
    let may_be_none = |list: &[Transform]| list.is_empty() || optional && list.contains(&none);
    (may_be_none(ours) && may_be_none(theirs)).then(|| theirs.contains(&none).then_some(none))
}

/// Whether an answer is one of what we offered: one proposal, one transform of each type.
pub(crate) fn accept(offer: &[Proposal], answer: &[Proposal]) -> Result<Proposal, Cause> {
    let refuse =
        || Cause::Proposals { ours: Offer::new(offer), theirs: Some(Offer::new(answer)), difference: None };
    let [one] = answer else { return Err(refuse()) };
    let chosen = choose(offer, answer)?;
    if chosen.transforms.len() == one.transforms.len() { Ok(chosen) } else { Err(refuse()) }
}

fn find<T: TryFrom<Transform>>(proposal: &Proposal) -> Option<T> {
    proposal.transforms.iter().find_map(|&transform| T::try_from(transform).ok())
}

/// The algorithms of a chosen IKE proposal. `None` if it is none that we can use.
pub(crate) fn ike_suite(chosen: &Proposal) -> Option<IkeSuite> {
    let encryption: Encryption = find(chosen)?;
    let integrity: Option<Integrity> = find(chosen);
    let whole = encryption.fits_ike() && encryption.is_aead() == integrity.is_none();
    whole.then_some(IkeSuite {
        encryption,
        integrity,
        prf: find::<Prf>(chosen)?,
        group: find::<Group>(chosen)?,
    })
}

/// The algorithms of a chosen ESP proposal. `None` if it is none that anybody should use: encryption without integrity.
pub(crate) fn esp_suite(chosen: &Proposal) -> Option<EspSuite> {
    let encryption: Encryption = find(chosen)?;
    let integrity: Option<Integrity> = find(chosen);
    let esn = chosen.transforms.iter().find(|transform| transform.kind == TransformType::ESN)?.id == 1;
    let whole = encryption.is_aead() == integrity.is_none();
    whole.then_some(EspSuite { encryption, integrity, group: find(chosen), esn })
}
