//! Who takes part.

use super::case::Op;
use super::traffic::Packet;
use crate::clock::Lap;
use model::KeyLen;

/// Packets that are given to a contender at a time.
pub const BURST: usize = 32;

/// The keys of a case, before any contender made its own of them.
#[derive(Debug)]
pub struct RawKeys {
    /// Of each.
    pub length: KeyLen,
    /// One behind the other.
    bytes: Vec<u8>,
}

impl RawKeys {
    /// So many random ones, always the same.
    pub fn new(length: KeyLen, count: usize) -> RawKeys {
        let mut bytes = vec![0; count * length.bytes()];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        RawKeys { length, bytes }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.length.bytes())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bytes.len() / self.length.bytes()
    }
}

/// An implementation of AES-GCM with its keys, expanded and side by side in memory, as its best user would keep them.
pub trait Contender {
    /// Its name in tables and files.
    fn name(&self) -> String;

    /// Bytes of an expanded key, without what it may keep behind pointers.
    fn key_bytes(&self) -> usize;

    /// Does that to the packets, a burst after the other. Packets are handed over in the form that it likes best, which is
    /// made before the clock starts.
    fn lap(&self, op: Op, packets: &mut [Packet<'_>]) -> Lap;
}
