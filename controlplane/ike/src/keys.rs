//! Keying material: of the IKE SA (RFC 7296, sections 2.13, 2.14 and 2.18) and of its children (section 2.17).

use crate::crypto::{Cipher, CryptoError, EspSuite, IkeSuite, Integrity, Prf, Secret, Shared};
use crate::message::IkeSpi;
use model::KeyMaterial;

/// What makes the keys of an IKE SA its own, beside the shared secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed<'a> {
    pub(crate) initiator_nonce: &'a [u8],
    pub(crate) responder_nonce: &'a [u8],
    pub(crate) initiator_spi: IkeSpi,
    pub(crate) responder_spi: IkeSpi,
}

/// What is kept of an IKE SA's keys; the ciphers hold theirs.
pub(crate) struct IkeKeys {
    pub(crate) prf: Prf,
    /// SK_d: children's keys come of it.
    pub(crate) derive: Secret,
    /// SK_pi.
    pub(crate) prove_initiator: Secret,
    /// SK_pr.
    pub(crate) prove_responder: Secret,
}

/// The two directions of an IKE SA.
pub(crate) struct Ciphers {
    pub(crate) from_initiator: Cipher,
    pub(crate) from_responder: Cipher,
}

/// SKEYSEED of a first IKE SA (section 2.14).
pub(crate) fn first_seed(prf: Prf, shared: &Shared, seed: &Seed<'_>) -> Result<Secret, CryptoError> {
    prf.compute(&[seed.initiator_nonce, seed.responder_nonce].concat(), &[shared.expose()])
}

/// SKEYSEED of an IKE SA that takes the place of one with `old` keys (section 2.18).
pub(crate) fn next_seed(old: &IkeKeys, shared: &Shared, seed: &Seed<'_>) -> Result<Secret, CryptoError> {
    old.prf.compute(old.derive.expose(), &[shared.expose(), seed.initiator_nonce, seed.responder_nonce])
}

/// All SK_ keys: prf+(SKEYSEED, Ni | Nr | SPIi | SPIr), cut in the order of section 2.14.
pub(crate) fn ike_keys(
    suite: &IkeSuite,
    skeyseed: &Secret,
    seed: &Seed<'_>,
) -> Result<(IkeKeys, Ciphers), CryptoError> {
    let (prf, encryption, integrity) = (suite.prf, suite.encryption, suite.integrity);
    let (prf_len, key_len) = (prf.output_len(), encryption.key_len());
    let integrity_len = integrity.map_or(0, Integrity::key_len);
    let spis = [seed.initiator_spi.0.to_be_bytes(), seed.responder_spi.0.to_be_bytes()].concat();
    let total = 3 * prf_len + 2 * integrity_len + 2 * key_len;
    let stream = prf.plus(skeyseed, &[seed.initiator_nonce, seed.responder_nonce, &spis], total)?;
    let mut cut = Cut(stream.expose());
    let derive = cut.next(prf_len);
    let (integrity_i, integrity_r) = (cut.next(integrity_len), cut.next(integrity_len));
    let (key_i, key_r) = (cut.next(key_len), cut.next(key_len));
    let keys =
        IkeKeys { prf, derive, prove_initiator: cut.next(prf_len), prove_responder: cut.next(prf_len) };
    let ciphers = Ciphers {
        from_initiator: Cipher::new(encryption, integrity, key_i, integrity_i),
        from_responder: Cipher::new(encryption, integrity, key_r, integrity_r),
    };
    Ok((keys, ciphers))
}

/// Keying material of a pair of child SAs: what the initiator of their exchange sends under, and what the responder does.
/// Each is the cipher's key, its salt, and the integrity key, which is also their order in the stream (section 2.17).
pub(crate) fn child_keys(
    keys: &IkeKeys,
    suite: &EspSuite,
    shared: Option<&Shared>,
    initiator_nonce: &[u8],
    responder_nonce: &[u8],
) -> Result<Option<(KeyMaterial, KeyMaterial)>, CryptoError> {
    let len = suite.key_material_len();
    let shared = shared.map_or(&[][..], Secret::expose);
    let stream = keys.prf.plus(&keys.derive, &[shared, initiator_nonce, responder_nonce], 2 * len)?;
    let (from_initiator, from_responder) = stream.expose().split_at(len.min(stream.expose().len()));
    Ok(KeyMaterial::new(from_initiator).zip(KeyMaterial::new(from_responder)))
}

/// Takes keys off the front of a stream.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn next(&mut self, len: usize) -> Secret {
        let (head, tail) = self.0.split_at(len.min(self.0.len()));
        self.0 = tail;
        Secret::new(head.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Encryption, Group};
    use model::{IcvLen, KeyLen};

    /// Against prf+ and the cutting of section 2.13, written out once more by hand.
    #[test]
    fn keys_are_cut_in_the_order_of_the_rfc() {
        let suite = IkeSuite {
            encryption: Encryption::AesCbc(KeyLen::Aes128),
            integrity: Some(Integrity::HmacSha1),
            prf: Prf::HmacSha1,
            group: Group::Modp1024,
        };
        let seed = Seed {
            initiator_nonce: &[1; 16],
            responder_nonce: &[2; 32],
            initiator_spi: IkeSpi(3),
            responder_spi: IkeSpi(4),
        };
        let skeyseed = first_seed(Prf::HmacSha1, &Secret::new(vec![5; 128]), &seed).unwrap();
        let (keys, _) = ike_keys(&suite, &skeyseed, &seed).unwrap();
        let fixed =
            [vec![1; 16], vec![2; 32], 3u64.to_be_bytes().to_vec(), 4u64.to_be_bytes().to_vec()].concat();
        let mut stream: Vec<u8> = Vec::new();
        let mut last = Vec::new();
        for counter in 1..=8u8 {
            let input = [last, fixed.clone(), vec![counter]].concat();
            last = Prf::HmacSha1.compute(skeyseed.expose(), &[&input]).unwrap().expose().to_vec();
            stream.extend(&last);
        }
        assert_eq!(keys.derive.expose(), &stream[..20]);
        assert_eq!(keys.prove_initiator.expose(), &stream[92..112]);
        assert_eq!(keys.prove_responder.expose(), &stream[112..132]);
    }

    #[test]
    fn every_suite_gets_the_keys_that_it_wants() {
        let (keys, _) = ike_keys(
            &IkeSuite {
                encryption: Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16),
                integrity: None,
                prf: Prf::HmacSha512,
                group: Group::P256,
            },
            &Secret::new(vec![1; 64]),
            &Seed {
                initiator_nonce: &[1; 32],
                responder_nonce: &[2; 32],
                initiator_spi: IkeSpi(1),
                responder_spi: IkeSpi(2),
            },
        )
        .unwrap();
        let key = KeyLen::Aes256;
        for (encryption, integrity, len) in [
            (Encryption::AesGcm(KeyLen::Aes128, IcvLen::Bytes8), None, 20),
            (Encryption::AesGcm(KeyLen::Aes192, IcvLen::Bytes12), None, 28),
            (Encryption::AesGcm(key, IcvLen::Bytes16), None, 36),
            (Encryption::AesGmac(key), None, 36),
            (Encryption::ChaCha20Poly1305, None, 36),
            (Encryption::AesGcmIiv(KeyLen::Aes192), None, 28),
            (Encryption::ChaCha20Poly1305Iiv, None, 36),
            (Encryption::AesCbc(key), Some(Integrity::HmacSha512), 96),
            (Encryption::AesCtr(KeyLen::Aes128), Some(Integrity::HmacSha256), 52),
            (Encryption::TripleDes, Some(Integrity::HmacSha1), 44),
            (Encryption::Null, Some(Integrity::HmacSha384), 48),
        ] {
            let suite = EspSuite { encryption, integrity, group: None, esn: false };
            let (i, r) = child_keys(&keys, &suite, None, &[1; 32], &[2; 32]).unwrap().unwrap();
            assert_eq!((i.expose().len(), r.expose().len()), (len, len), "{encryption}");
            assert_ne!(i, r);
            // A shared secret of its own changes them.
            let shared = Secret::new(vec![9; 32]);
            let (other, _) = child_keys(&keys, &suite, Some(&shared), &[1; 32], &[2; 32]).unwrap().unwrap();
            assert_ne!(i, other);
        }
    }
}
