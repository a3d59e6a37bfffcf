//! A key as the kernels use it: the round keys of AES (FIPS 197, section 5.2) and powers of the hash key.

use super::bytes;
use super::ghash::dot;
use super::vector::block;
use std::arch::x86_64::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Powers of the hash key that are kept.
pub(super) const POWERS: usize = 20;
/// Round keys of AES-256, which has the most.
const ROUND_KEYS: usize = 15;

/// 576 bytes, without pointers. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(crate) struct Schedule {
    /// Highest power first: whoever reads whole vectors may read on, past the first power, into what follows.
    powers: [[u8; 16]; POWERS],
    /// Rounds of AES: 10, 12 or 14. Between what every packet uses, so that it costs no cache line of its own.
    last: u32,
    rounds: [[u8; 16]; ROUND_KEYS],
}

const _: () = assert!(size_of::<Schedule>() == 576);

impl Schedule {
    /// Expands a key of 16, 24 or 32 bytes; `None` for other lengths.
    #[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
    pub(super) fn new(key: &[u8]) -> Option<Schedule> {
        let last = match key.len() {
            16 => 10,
            24 => 12,
            32 => 14,
            _ => return None,
        };
        let mut schedule = Schedule { powers: [[0; 16]; POWERS], last, rounds: [[0; 16]; ROUND_KEYS] };
        schedule.expand(key);
        schedule.raise();
        Some(schedule)
    }

    /// FIPS 197, figure 11: words of the key, each the sum of the one a key before it and a function of its neighbour.
    #[target_feature(enable = "aes,sse4.1")]
    fn expand(&mut self, key: &[u8]) {
        let words = self.rounds.as_flattened_mut();
        let wanted = 16 * (self.last as usize + 1);
        words[..key.len()].copy_from_slice(key);
        let mut constant: u32 = 1;
        for at in (key.len()..wanted).step_by(4) {
            let mut word = u32::from_le_bytes([words[at - 4], words[at - 3], words[at - 2], words[at - 1]]);
            if at % key.len() == 0 {
                word = substitute(word).rotate_right(8) ^ constant;
                constant = (constant << 1) ^ (0x11B & (constant >> 7).wrapping_neg());
            } else if key.len() == 32 && at % 32 == 16 {
                word = substitute(word);
            }
            for (place, byte) in word.to_le_bytes().into_iter().enumerate() {
                words[at + place] = words[at + place - key.len()] ^ byte;
            }
        }
    }

    /// The hash key is what AES makes of zero. Turned over and doubled, it hashes by [`dot`] products (RFC 8452,
    /// appendix A).
    #[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
    fn raise(&mut self) {
        let last = self.last as usize;
        let mut state = block(&self.rounds[0]);
        for round in &self.rounds[1..last] {
            state = _mm_aesenc_si128(state, block(round));
        }
        state = _mm_aesenclast_si128(state, block(&self.rounds[last]));
        let hash_key = u128::from_be_bytes(bytes(state));
        let doubled = (hash_key << 1) ^ ((hash_key >> 127).wrapping_neg() & ((0xC2 << 120) | 1));
        let first = block(&doubled.to_le_bytes());
        let mut power = first;
        for place in self.powers.iter_mut().rev() {
            *place = bytes(power);
            // SAFETY: this has the instructions of 128 bits.
            power = unsafe { dot(power, first) };
        }
    }

    /// The first of `count` powers down to the first: `count` blocks, behind which 48 more bytes can be read. 1 to
    /// [`POWERS`].
    #[inline(always)]
    pub(super) fn powers(&self, count: usize) -> *const u8 {
        debug_assert!((1..=POWERS).contains(&count));
        self.powers.as_ptr().cast::<u8>().wrapping_add(16 * (POWERS - count))
    }

    /// A round key.
    #[inline(always)]
    pub(super) fn round(&self, number: usize) -> __m128i {
        block(&self.rounds[number])
    }

    /// Number of the last round.
    #[inline(always)]
    pub(super) fn last(&self) -> usize {
        self.last as usize
    }

    /// Brings what packets of that many blocks use towards the core.
    #[inline(always)]
    pub(crate) fn prefetch(&self, blocks: usize) {
        let end = std::mem::offset_of!(Schedule, rounds) + 16 * (ROUND_KEYS - 4);
        let from = 16 * POWERS.saturating_sub(blocks);
        for line in from / 64..end.div_ceil(64) {
            let place = std::ptr::from_ref(self).cast::<i8>().wrapping_add(64 * line);
            // SAFETY: a prefetch reads nothing that the program sees, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
        }
    }
}

/// The S-box over the bytes of a word.
#[target_feature(enable = "aes,sse4.1")]
fn substitute(word: u32) -> u32 {
    _mm_extract_epi32::<0>(_mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word as i32))) as u32
}
