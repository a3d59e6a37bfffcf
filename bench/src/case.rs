//! What is measured: which way packets go, how long they are, how many tunnels they are spread over.

use model::{KeyLen, Suite};
use serde::{Serialize, Serializer};
use std::fmt;

/// What the gateway does with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Routes it past the policy: it leaves as it came.
    Forward,
    /// Puts it into a tunnel.
    Encrypt,
    /// Takes it out of one.
    Decrypt,
}

/// Lengths of the inner IPv4 packets, their headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of this length, in bytes.
    Bytes(usize),
    /// A mixture, in random order: see [`IMIX`].
    Imix,
}

/// Length in bytes, and how many of twelve packets have it: the simple IMIX, its longest packets short enough for a
/// tunnel through a path of 1500 bytes.
pub const IMIX: [(usize, usize); 3] = [(64, 7), (576, 4), (1420, 1)];

impl Size {
    /// The lengths in their proportion.
    pub fn lengths(self) -> Vec<usize> {
        match self {
            Size::Bytes(bytes) => vec![bytes],
            Size::Imix => IMIX.iter().flat_map(|&(bytes, times)| vec![bytes; times]).collect(),
        }
    }

    /// Bytes of a packet, on average.
    pub fn mean(self) -> f64 {
        let lengths = self.lengths();
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes}"),
            Size::Imix => f.write_str("imix"),
        }
    }
}

impl Serialize for Size {
    /// A number, or `"imix"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Size::Bytes(bytes) => serializer.serialize_u64(*bytes as u64),
            Size::Imix => serializer.serialize_str("imix"),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What happens to packets.
    pub way: Way,
    /// Their lengths.
    pub size: Size,
    /// Tunnels that they are spread over in random order, each with a policy rule, an SA each way and a peer of its own.
    pub tunnels: u32,
    /// Of each SA's key.
    pub key: KeyLen,
}

const SIZES: [Size; 7] = [
    Size::Bytes(64),
    Size::Bytes(128),
    Size::Bytes(256),
    Size::Bytes(512),
    Size::Bytes(1024),
    Size::Bytes(1420),
    Size::Imix,
];
const QUICK_SIZES: [Size; 2] = [Size::Bytes(64), Size::Bytes(1420)];
const MANY: u32 = 1000;

impl Case {
    /// All cases, or the few that show most.
    pub fn all(quick: bool) -> Vec<Case> {
        let sizes: &[Size] = if quick { &QUICK_SIZES } else { &SIZES };
        let protects: &[(u32, KeyLen)] = if quick {
            &[(1, KeyLen::Aes128), (MANY, KeyLen::Aes128)]
        } else {
            &[(1, KeyLen::Aes128), (MANY, KeyLen::Aes128), (1, KeyLen::Aes256)]
        };
        let mut cases = Vec::new();
        for (way, tunnels) in
            [(Way::Forward, &[(1, KeyLen::Aes128)][..]), (Way::Encrypt, protects), (Way::Decrypt, protects)]
        {
            for &(tunnels, key) in tunnels {
                cases.extend(sizes.iter().map(|&size| Case { way, size, tunnels, key }));
            }
        }
        cases
    }

    /// SAs that the packets go through: none where they only pass by.
    pub fn sas(&self) -> u32 {
        if self.way == Way::Forward { 0 } else { self.tunnels }
    }

    /// Bits of the keys that the packets meet: 0 where they only pass by.
    pub fn key_bits(&self) -> usize {
        if self.way == Way::Forward { 0 } else { self.key.bits() }
    }

    /// The suite of each SA.
    pub fn suite(&self) -> Suite {
        match self.key {
            KeyLen::Aes256 => Suite::AES_GCM_256,
            KeyLen::Aes128 | KeyLen::Aes192 => Suite::AES_GCM_128,
        }
    }
}

impl fmt::Display for Case {
    /// The name: `encrypt-64-1000sa-aes128`, or `forward-64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.way {
            Way::Forward => write!(f, "forward-{}", self.size),
            Way::Encrypt => write!(f, "encrypt-{}-{}sa-aes{}", self.size, self.tunnels, self.key.bits()),
            Way::Decrypt => write!(f, "decrypt-{}-{}sa-aes{}", self.size, self.tunnels, self.key.bits()),
        }
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
