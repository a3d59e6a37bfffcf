//! What is measured: the operation, the key's length, how many keys, how long the payload is.

use crate::case::Size;
use model::KeyLen;
use serde::Serialize;
use std::fmt;
use std::num::NonZeroUsize;

/// What is done to each packet, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Encrypted, and the tag written behind it.
    Encrypt,
    /// Verified and decrypted: the tag is right.
    Decrypt,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Encrypt => "encrypt",
            Op::Decrypt => "decrypt",
        })
    }
}

/// One column of one block of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Of the keys.
    pub key: KeyLen,
    /// How many there are; each packet's is any of them.
    pub keys: usize,
    /// What is done.
    pub op: Op,
    /// Bytes that are encrypted.
    pub payload: Size,
}

/// So many keys no cache holds; whoever can brings them in ahead.
pub const MANY: usize = 100_000;

const PAYLOADS: [Size; 9] = [
    Size::Bytes(40),
    Size::Bytes(64),
    Size::Bytes(128),
    Size::Bytes(256),
    Size::Bytes(512),
    Size::Bytes(1024),
    Size::Bytes(1420),
    Size::Bytes(8192),
    Size::Imix,
];
const QUICK_PAYLOADS: [Size; 4] = [Size::Bytes(64), Size::Bytes(512), Size::Bytes(1420), Size::Imix];

impl Case {
    /// All cases, or the few that show most. Those of the same keys are neighbours.
    pub fn all(quick: bool) -> Vec<Case> {
        let payloads: &[Size] = if quick { &QUICK_PAYLOADS } else { &PAYLOADS };
        let counts: &[usize] = if quick { &[1, 1000] } else { &[1, 1000, MANY] };
        let mut cases = Vec::new();
        for key in [KeyLen::Aes128, KeyLen::Aes256] {
            for &keys in counts {
                for op in [Op::Encrypt, Op::Decrypt] {
                    cases.extend(payloads.iter().map(|&payload| Case { key, keys, op, payload }));
                }
            }
        }
        cases
    }

    /// Encrypting with one key of 128 bits, every payload that `step` divides, from nothing to jumbo frames.
    pub fn sweep(step: NonZeroUsize) -> Vec<Case> {
        let payloads = (0..=LONGEST).step_by(step.get()).map(Size::Bytes);
        payloads.map(|payload| Case { key: KeyLen::Aes128, keys: 1, op: Op::Encrypt, payload }).collect()
    }
}

/// Bytes of the longest payload of a sweep.
const LONGEST: usize = 9000;

impl fmt::Display for Case {
    /// The name: `encrypt-64-1000keys-aes128`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.keys == 1 { "" } else { "s" };
        write!(f, "{}-{}-{}key{plural}-aes{}", self.op, self.payload, self.keys, self.key.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_quick_ones_are_among_all() {
        let names = |quick| Case::all(quick).iter().map(Case::to_string).collect::<Vec<_>>();
        let all: BTreeSet<String> = names(false).into_iter().collect();
        assert_eq!(all.len(), names(false).len());
        assert!(names(true).iter().all(|name| all.contains(name)));
    }
}
