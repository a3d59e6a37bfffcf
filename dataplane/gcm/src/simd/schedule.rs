//! A key as the kernels use it: the round keys of AES (FIPS 197, section 5.2) and powers of the hash key.

use super::bytes;
use super::ghash::dot;
use super::vector::block;
use model::KeyLen;
use std::arch::x86_64::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Powers of the hash key that are kept.
pub(super) const POWERS: usize = 44;
/// Round keys of AES-256, which has the most.
const ROUND_KEYS: usize = 15;

/// 960 bytes, without pointers. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(crate) struct Schedule {
    /// Highest power first: whoever reads whole vectors may read on, past the first power, into what follows.
    powers: [[u8; 16]; POWERS],
    /// Between what every packet uses, so that it costs no cache line of its own.
    #[zeroize(skip)]
    rounds_of: KeyLen,
    rounds: RoundKeys,
}

/// No round key lies across two cache lines.
#[derive(Clone, Zeroize)]
#[repr(C, align(16))]
struct RoundKeys([[u8; 16]; ROUND_KEYS]);

const _: () = assert!(size_of::<Schedule>() == 960);

impl Schedule {
    /// Expands a key of 16, 24 or 32 bytes; `None` for other lengths.
    #[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
    pub(super) fn new(key: &[u8]) -> Option<Schedule> {
        let rounds_of = [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256]
            .into_iter()
            .find(|length| length.bytes() == key.len())?;
        let mut schedule =
            Schedule { powers: [[0; 16]; POWERS], rounds_of, rounds: RoundKeys([[0; 16]; ROUND_KEYS]) };
        schedule.expand(key);
        schedule.raise();
        Some(schedule)
    }

    /// FIPS 197, figure 11: words of the key, each the sum of the one a key before it and a function of its neighbour.
    #[target_feature(enable = "aes,sse4.1")]
    fn expand(&mut self, key: &[u8]) {
        let wanted = 16 * (self.last() + 1);
        let words = self.rounds.0.as_flattened_mut();
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
        let last = self.last();
        let mut state = block(&self.rounds.0[0]);
        for round in &self.rounds.0[1..last] {
            state = _mm_aesenc_si128(state, block(round));
        }
        state = _mm_aesenclast_si128(state, block(&self.rounds.0[last]));
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
        block(&self.rounds.0[number])
    }

    /// Where a round key is.
    #[inline(always)]
    pub(super) fn round_at(&self, number: usize) -> *const u8 {
        self.rounds.0.as_ptr().wrapping_add(number).cast()
    }

    /// Number of the last round (FIPS 197, table 3).
    #[inline(always)]
    pub(super) fn last(&self) -> usize {
        match self.rounds_of {
            KeyLen::Aes128 => 10,
            KeyLen::Aes192 => 12,
            KeyLen::Aes256 => 14,
        }
    }

    /// Of the key that this was made of.
    pub(crate) fn key_len(&self) -> KeyLen {
        self.rounds_of
    }

    /// Brings what a text of so many bytes uses towards the core.
    #[inline(always)]
    pub(crate) fn prefetch(&self, text: usize) {
        // Lines that end behind the last round key of AES-128, and those that each text uses.
        const END: usize = (std::mem::offset_of!(Schedule, rounds) + 16 * (ROUND_KEYS - 4)).div_ceil(64);
        const ALWAYS: usize = 16 * (POWERS - 2) / 64;
        let line = |number: usize| {
            let place = std::ptr::from_ref(self).cast::<i8>().wrapping_add(64 * number);
            // SAFETY: a prefetch reads nothing that the program sees, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
        };
        (ALWAYS..END).for_each(line);
        // Beside the text's, a block for the additional data and one for the lengths.
        let blocks = text.div_ceil(16) + 2;
        let mut next = ALWAYS;
        while next * 4 > POWERS.saturating_sub(blocks) {
            next -= 1;
            line(next);
        }
    }
}

/// The S-box over the bytes of a word.
#[target_feature(enable = "aes,sse4.1")]
fn substitute(word: u32) -> u32 {
    _mm_extract_epi32::<0>(_mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word as i32))) as u32
}
