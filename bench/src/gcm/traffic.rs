//! Packets in buffers as a gateway has them: DPDK's mbufs, side by side in a pool, from which a worker takes those that it
//! gave back last.
//!
//! A lap is one pass over the buffers. There are as many as a worker has in hands: 32 to 128, of 256 KiB together, so that
//! packets come out of the second cache (a few small ones out of the first); with keys that no cache holds four times as
//! many, as a contender that prefetches cannot do so for the first burst of a lap.

use super::case::{Case, MANY, Op};
use super::contender::{BURST, Contender};
use crate::Error;
use crate::case::Size;
use crate::clock::Lap;
use gcm::{NONCE_LEN, TAG_LEN};
use std::ops::Range;

/// A cache line.
const LINE: usize = 64;
/// A large page of memory, which DPDK's pools lie in.
const PAGE: usize = 2 << 20;
/// `struct rte_mbuf` and DPDK's headroom, which lie before a frame.
const BEFORE: usize = 4 * LINE;
/// Bytes of a frame before the payload: Ethernet, IPv4, ESP and its IV.
const HEADERS: usize = 14 + 20 + 8 + 8;
/// Room for an ordinary frame, as DPDK has it; larger payloads get buffers that hold them.
const ROOM: usize = 2048;
/// Bytes of packets in a lap at most, unless that is less than [`BURST`] of them.
const LAP: usize = 256 << 10;

/// A packet to be sealed or opened.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Which key.
    pub key: usize,
    /// Salt and IV.
    pub nonce: [u8; NONCE_LEN],
    /// SPI and sequence number.
    pub aad: [u8; 8],
    /// The frame.
    pub buffer: &'a mut [u8],
    /// What of it is encrypted; the tag follows.
    pub text: Range<usize>,
}

impl Packet<'_> {
    /// The text and the place of the tag.
    pub fn parts(&mut self) -> Option<(&mut [u8], &mut [u8; TAG_LEN])> {
        let behind = self.buffer.get_mut(self.text.start..)?;
        let (text, tag) = behind.split_at_mut_checked(self.text.len())?;
        Some((text, tag.first_chunk_mut()?))
    }

    /// The text with the tag.
    pub fn sealed(&mut self) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.text.start..self.text.end + TAG_LEN)
    }
}

/// The buffers of a case, and what seals packets that are to be opened.
pub struct Traffic<'a> {
    case: Case,
    /// Keys of its own, so that no contender finds its keys warmed up.
    sealer: &'a dyn Contender,
    /// Every packet's payload begins so.
    clear: Vec<u8>,
    lengths: Vec<usize>,
    /// The same in the order of this lap.
    dealt: Vec<usize>,
    memory: Vec<u8>,
    stride: usize,
}

impl<'a> Traffic<'a> {
    /// Buffers for a case.
    pub fn new(case: Case, sealer: &'a dyn Contender) -> Traffic<'a> {
        let mixture = case.payload.lengths();
        let largest = mixture.iter().copied().max().unwrap_or(0);
        // An odd number of lines, as DPDK's pools take care of too: so buffers spread over all sets of a cache.
        let stride = ((BEFORE + ROOM.max(HEADERS + largest + TAG_LEN)).div_ceil(LINE) | 1) * LINE;
        let count = packets(case);
        let mut random = fastrand::Rng::with_seed(2);
        let mut clear = vec![0; largest];
        random.fill(&mut clear);
        Traffic {
            case,
            sealer,
            clear,
            lengths: mixture.into_iter().cycle().take(count).collect(),
            dealt: Vec::new(),
            memory: vec![0; PAGE + (count * stride).next_multiple_of(PAGE)],
            stride,
        }
    }

    /// Packets of a lap.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Fills the buffers anew: the same for the same `seed`. What is to be opened is sealed.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`], if that fails.
    pub fn deal(&mut self, seed: u64) -> Result<Vec<Packet<'_>>, Error> {
        let mut random = fastrand::Rng::with_seed(seed);
        self.dealt.clone_from(&self.lengths);
        random.shuffle(&mut self.dealt);
        let start = self.start();
        let buffers = self.memory.get_mut(start..).unwrap_or_default().chunks_exact_mut(self.stride);
        let mut packets = Vec::with_capacity(self.dealt.len());
        for (buffer, &length) in buffers.zip(&self.dealt) {
            let frame = buffer.get_mut(BEFORE..).unwrap_or_default();
            let text = HEADERS..HEADERS + length;
            if let (Some(to), Some(clear)) = (frame.get_mut(text.clone()), self.clear.get(..length)) {
                to.copy_from_slice(clear);
            }
            let mut nonce = [0; NONCE_LEN];
            random.fill(&mut nonce);
            let aad = random.u64(..).to_le_bytes();
            packets.push(Packet { key: random.usize(..self.case.keys), nonce, aad, buffer: frame, text });
        }
        if self.case.op == Op::Decrypt {
            let Lap { failed, .. } = self.sealer.lap(Op::Encrypt, &mut packets);
            if failed > 0 {
                return Err(Error::Generator(format!("{failed} packets could not be sealed")));
            }
        }
        Ok(packets)
    }

    /// Zeroes all that was dealt.
    pub fn wipe(&mut self) {
        let start = self.start();
        self.memory.get_mut(start..).unwrap_or_default().fill(0);
    }

    /// All buffers, with what lies between them.
    pub fn memory(&self) -> &[u8] {
        self.memory.get(self.start()..).unwrap_or_default()
    }

    /// Whether each payload is as it was before it was sealed.
    pub fn is_clear(&self) -> bool {
        let buffers = self.memory().chunks_exact(self.stride);
        buffers.zip(&self.dealt).all(|(buffer, &length)| {
            let text = BEFORE + HEADERS..BEFORE + HEADERS + length;
            buffer.get(text) == self.clear.get(..length)
        })
    }

    /// The pool begins where a large page can.
    fn start(&self) -> usize {
        self.memory.as_ptr().align_offset(PAGE).min(PAGE)
    }
}

/// Packets in hands at a time: whole bursts, and whole mixtures where payloads are mixed.
fn packets(case: Case) -> usize {
    let each = case.payload.mean() as usize + HEADERS + TAG_LEN;
    let times = if case.keys >= MANY { 4 } else { 1 };
    let unit = if case.payload == Size::Imix { 3 * BURST } else { BURST };
    let count = (times * LAP / each).min(times * 4 * BURST);
    (count / unit).max(1) * unit
}
