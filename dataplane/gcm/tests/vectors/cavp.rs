//! NIST's Cryptographic Algorithm Validation Program, from where Debian installs its files.

use super::check::{Ran, Vector};
use super::esp::hex;
use std::collections::HashMap;
use std::path::Path;

const DIRECTORY: &str = "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM";

/// A file's vectors: paragraphs of `name = value`, beside which a wrong one says FAIL.
fn vectors(name: &str) -> Vec<Vector> {
    let path = Path::new(DIRECTORY).join(name);
    let file = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        let path = path.display();
        panic!("{path}: {error}; it comes with: apt-get install python3-cryptography-vectors (or: scripts/setup test)")
    });
    let file = file.replace('\r', "");
    let paragraphs = file.split("\n\n").filter(|paragraph| paragraph.contains("Count ="));
    paragraphs
        .map(|paragraph| {
            let fields: HashMap<&str, &str> =
                paragraph.lines().filter_map(|line| line.split_once(" =")).collect();
            let field = |name: &str| hex(fields[name].trim());
            let valid = !paragraph.contains("FAIL");
            Vector {
                key: field("Key"),
                nonce: field("IV"),
                aad: field("AAD"),
                text: valid.then(|| field("PT")),
                ciphertext: field("CT"),
                tag: field("Tag"),
                valid,
            }
        })
        .collect()
}

/// Those of all three key lengths.
fn run(kind: &str) -> Ran {
    let mut ran = Ran::default();
    for bits in [128, 192, 256] {
        vectors(&format!("{kind}{bits}.rsp")).iter().for_each(|vector| ran.run(vector));
    }
    ran
}

#[test]
fn encrypt() {
    assert_eq!(run("gcmEncryptExtIV"), Ran { reference: 7875, burst: 675, gmac: 675, other_nonces: 15_750 });
}

#[test]
fn decrypt() {
    assert_eq!(run("gcmDecrypt"), Ran { reference: 7875, burst: 675, gmac: 675, other_nonces: 15_750 });
}
