//! The words of a configuration, of IKE and of the data plane for the same algorithms. Pure.

use config::{DhGroup, IkeCipher, TransformSet};
use ike::crypto::{Encryption, EspSuite, Group, Integrity, Prf};
use ike::negotiate::{EspProposal, IkeProposal};
use model::{Cipher, Hmac, IcvLen, KeyLen, Suite};

/// A transform set as it is offered.
pub fn esp_proposal(set: &TransformSet, pfs: Option<DhGroup>) -> EspProposal {
    let (encryption, hmac) = match set.suite {
        Suite::AesGcm { key, icv } => (Encryption::AesGcm(key, icv), None),
        Suite::AesGcmIiv { key } => (Encryption::AesGcmIiv(key), None),
        Suite::AesGmac { key } => (Encryption::AesGmac(key), None),
        Suite::ChaCha20Poly1305 => (Encryption::ChaCha20Poly1305, None),
        Suite::ChaCha20Poly1305Iiv => (Encryption::ChaCha20Poly1305Iiv, None),
        Suite::CipherHmac { cipher, hmac } => {
            let encryption = match cipher {
                Cipher::Null => Encryption::Null,
                Cipher::TripleDesCbc => Encryption::TripleDes,
                Cipher::AesCbc(key) => Encryption::AesCbc(key),
                Cipher::AesCtr(key) => Encryption::AesCtr(key),
            };
            (encryption, Some(integrity(hmac)))
        }
    };
    EspProposal {
        encryption: vec![encryption],
        integrity: hmac.into_iter().collect(),
        groups: pfs.and_then(group).into_iter().collect(),
        esn: vec![set.esn],
    }
}

/// What was agreed on as the data plane calls it; `None` if no transform set says that.
pub fn suite(agreed: &EspSuite) -> Option<Suite> {
    let cipher = match agreed.encryption {
        Encryption::AesGcm(key, icv) => return Some(Suite::AesGcm { key, icv }),
        Encryption::AesGcmIiv(key) => return Some(Suite::AesGcmIiv { key }),
        Encryption::AesGmac(key) => return Some(Suite::AesGmac { key }),
        Encryption::ChaCha20Poly1305 => return Some(Suite::ChaCha20Poly1305),
        Encryption::ChaCha20Poly1305Iiv => return Some(Suite::ChaCha20Poly1305Iiv),
        Encryption::Null => Cipher::Null,
        Encryption::TripleDes => Cipher::TripleDesCbc,
        Encryption::AesCbc(key) => Cipher::AesCbc(key),
        Encryption::AesCtr(key) => Cipher::AesCtr(key),
    };
    let hmac = match agreed.integrity? {
        Integrity::HmacSha1 => Hmac::Sha1,
        Integrity::HmacSha256 => Hmac::Sha256,
        Integrity::HmacSha384 => Hmac::Sha384,
        Integrity::HmacSha512 => Hmac::Sha512,
    };
    Some(Suite::CipherHmac { cipher, hmac })
}

/// A proposal as it is offered.
pub fn ike_proposal(proposal: &config::IkeProposal) -> IkeProposal {
    let encryption = |cipher: &IkeCipher| match *cipher {
        IkeCipher::TripleDes => Encryption::TripleDes,
        IkeCipher::AesCbc(key) => Encryption::AesCbc(key),
        IkeCipher::AesGcm(key) => Encryption::AesGcm(key, IcvLen::Bytes16),
    };
    let prf = if proposal.prf.is_empty() { &proposal.integrity } else { &proposal.prf };
    IkeProposal {
        encryption: proposal.encryption.iter().map(encryption).collect(),
        integrity: proposal.integrity.iter().map(|&hmac| integrity(hmac)).collect(),
        prf: prf.iter().map(|&hmac| self::prf(hmac)).collect(),
        groups: proposal.groups.iter().filter_map(|&each| group(each)).collect(),
    }
}

/// What is offered where no `crypto ikev2 policy` is written: nothing weak, and something for every peer of today.
pub fn default_ike_proposals() -> Vec<IkeProposal> {
    let groups = vec![
        Group::X25519,
        Group::P256,
        Group::P384,
        Group::P521,
        Group::Modp2048,
        Group::Modp3072,
        Group::Modp4096,
    ];
    let prf = vec![Prf::HmacSha256, Prf::HmacSha384, Prf::HmacSha512];
    let keys = [KeyLen::Aes256, KeyLen::Aes128];
    vec![
        IkeProposal {
            encryption: keys.map(|key| Encryption::AesGcm(key, IcvLen::Bytes16)).to_vec(),
            integrity: Vec::new(),
            prf: prf.clone(),
            groups: groups.clone(),
        },
        IkeProposal {
            encryption: keys.map(Encryption::AesCbc).to_vec(),
            integrity: vec![Integrity::HmacSha256, Integrity::HmacSha384, Integrity::HmacSha512],
            prf,
            groups,
        },
    ]
}

fn group(group: DhGroup) -> Option<Group> {
    Group::from_id(group.number())
}

fn integrity(hmac: Hmac) -> Integrity {
    match hmac {
        Hmac::Sha1 => Integrity::HmacSha1,
        Hmac::Sha256 => Integrity::HmacSha256,
        Hmac::Sha384 => Integrity::HmacSha384,
        Hmac::Sha512 => Integrity::HmacSha512,
    }
}

fn prf(hmac: Hmac) -> Prf {
    match hmac {
        Hmac::Sha1 => Prf::HmacSha1,
        Hmac::Sha256 => Prf::HmacSha256,
        Hmac::Sha384 => Prf::HmacSha384,
        Hmac::Sha512 => Prf::HmacSha512,
    }
}

/// The weak choices of an IKE SA or of a child SA, for the log; empty if there are none.
pub fn weaknesses(
    encryption: Encryption,
    integrity: Option<Integrity>,
    prf: Option<Prf>,
    group: Option<Group>,
) -> Vec<String> {
    [
        encryption.is_weak().then(|| encryption.to_string()),
        integrity.filter(|one| one.is_weak()).map(|one| one.to_string()),
        prf.filter(|one| one.is_weak()).map(|one| one.to_string()),
        group.filter(|one| one.is_weak()).map(|one| one.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_comes_back_as_it_was_offered() {
        for suite in Suite::all() {
            let set = TransformSet {
                name: config::Name::new("SET").unwrap(),
                suite,
                esn: true,
                mode: model::Mode::Tunnel,
            };
            let offered = esp_proposal(&set, DhGroup::new(19));
            let agreed = EspSuite {
                encryption: offered.encryption[0],
                integrity: offered.integrity.first().copied(),
                group: offered.groups.first().copied(),
                esn: offered.esn[0],
            };
            assert_eq!(super::suite(&agreed), Some(suite));
            assert_eq!(agreed.group, Some(Group::P256));
            let shape = suite.key_shape();
            assert_eq!(agreed.key_material_len(), shape.cipher + shape.salt + shape.integrity);
        }
    }

    #[test]
    fn every_group_has_its_number() {
        assert!(
            DhGroup::ALL
                .iter()
                .all(|&each| group(each).is_some_and(|known| known.is_weak() == each.is_weak()))
        );
        assert_eq!(DhGroup::ALL.len(), Group::ALL.len());
    }
}
