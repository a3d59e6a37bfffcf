//! One packet through AES in counter mode and GHASH at once, at any width.
//!
//! A packet is a run of blocks: the additional data, the text, the lengths. The first one's place in the key stream is
//! taken by the counter block 1, whose encryption masks the tag, so that the two runs are one and the same but for the
//! lengths. They go in groups of vectors; all but the last group multiply by the same power of the hash key in all lanes,
//! and the last one by falling powers, so that lanes are added up only once.

#![expect(clippy::needless_range_loop, reason = "several arrays go by the same place")]

use super::ghash::Sum;
use super::schedule::Schedule;
use super::vector::Vector;
use std::arch::x86_64::*;

/// Vectors of a group that is not the last.
const GROUP: usize = 4;
/// Vectors of the last group at most.
const LAST: usize = 5;

/// What stays the same from group to group, and what goes over.
struct Run<'a, V> {
    schedule: &'a Schedule,
    /// Nonce and round key 0 in each lane.
    start: V,
    /// The group's first counters, least byte first.
    counters: V,
    /// The hash of the groups before, spread over the lanes.
    hash: V,
    /// Additional data.
    aad: __m128i,
    /// What masks the tag.
    mask: __m128i,
    /// The lengths' block, turned over.
    lengths: __m128i,
}

/// Seals or opens (`SEAL`) the text in place. Returns the tag over what is, or was, the ciphertext.
///
/// # Safety
/// `len` bytes at `text` can be read and written, and the processor has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn packet<V: Vector, const SEAL: bool>(
    schedule: &Schedule,
    nonce: &[u8; 12],
    (aad, aad_len): (__m128i, usize),
    text: *mut u8,
    len: usize,
) -> __m128i {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *nonce;
    let (low, high) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(rest));
    // SAFETY: the caller has V's instructions.
    let mut run = unsafe {
        Run {
            schedule,
            start: V::broadcast(_mm_xor_si128(
                _mm_set_epi64x(i64::from(high), low as i64),
                schedule.round(0),
            )),
            counters: V::iota(),
            hash: V::zero(),
            aad,
            mask: _mm_setzero_si128(),
            lengths: _mm_set_epi64x(aad_len as i64 * 8, len as i64 * 8),
        }
    };
    let width = 16 * V::LANES;
    // From here on with the additional data's block, which is not there, in front of the text.
    let mut at = text.wrapping_sub(16);
    let mut left = len + 16;
    // SAFETY: the caller lets the text be read and written; each group gets `left` bytes of it, the first one with the 16
    // before it that it does not touch. A last group gets as many vectors as it has bytes for, and no more than LAST.
    unsafe {
        if left <= width * LAST - 16 {
            return match left.div_ceil(width) {
                1 => run.last::<1, true, SEAL>(at, left),
                2 => run.last::<2, true, SEAL>(at, left),
                3 => run.last::<3, true, SEAL>(at, left),
                4 => run.last::<4, true, SEAL>(at, left),
                _ => run.last::<LAST, true, SEAL>(at, left),
            };
        }
        run.group::<true, SEAL>(at);
        loop {
            at = at.wrapping_add(width * GROUP);
            left -= width * GROUP;
            if left <= width * LAST - 16 {
                break;
            }
            run.group::<false, SEAL>(at);
        }
        match left.div_ceil(width) {
            1 => run.last::<1, false, SEAL>(at, left),
            2 => run.last::<2, false, SEAL>(at, left),
            3 => run.last::<3, false, SEAL>(at, left),
            4 => run.last::<4, false, SEAL>(at, left),
            _ => run.last::<LAST, false, SEAL>(at, left),
        }
    }
}

impl<V: Vector> Run<'_, V> {
    /// A group of whole vectors. Of the `FIRST`, block 0 is not the text's.
    ///
    /// # Safety
    /// The text from `at` on, of as many bytes, can be read and written.
    #[inline(always)]
    unsafe fn group<const FIRST: bool, const SEAL: bool>(&mut self, at: *mut u8) {
        // SAFETY: as the caller says.
        unsafe {
            let hashed = self.crypt::<GROUP, FIRST, SEAL>(at, 16 * V::LANES * GROUP);
            let mut sum = Sum::product(hashed[0], self.power(GROUP * V::LANES));
            for place in 1..GROUP {
                sum = sum.add(hashed[place], self.power((GROUP - place) * V::LANES));
            }
            self.hash = sum.reduce();
        }
    }

    /// The last group: `left` bytes in `N` vectors, the last of which may be short. Returns the tag.
    ///
    /// # Safety
    /// The text from `at` on, of as many bytes, can be read and written; N - 1 vectors are shorter than that, and N are
    /// not; room is left for a block in [`LAST`] vectors.
    #[inline(always)]
    unsafe fn last<const N: usize, const FIRST: bool, const SEAL: bool>(
        &mut self,
        at: *mut u8,
        left: usize,
    ) -> __m128i {
        let blocks = left.div_ceil(16);
        let free = blocks % V::LANES;
        // SAFETY: as the caller says; `blocks` and one for the lengths are no more than there are powers.
        unsafe {
            let mut hashed = self.crypt::<N, FIRST, SEAL>(at, left);
            if free != 0 {
                hashed[N - 1] = hashed[N - 1].with_lane(free, self.lengths);
            }
            let powers = self.schedule.powers(blocks + 1);
            let mut sum = Sum::product(hashed[0], V::load(powers));
            for place in 1..N {
                sum = sum.add(hashed[place], V::load(powers.wrapping_add(16 * V::LANES * place)));
            }
            if free == 0 {
                sum = sum.add(V::zero().with_first(self.lengths), V::load(self.schedule.powers(1)));
            }
            _mm_xor_si128(V::broadcast(sum.total()).reverse().first(), self.mask)
        }
    }

    /// A power of the hash key in all lanes.
    #[inline(always)]
    unsafe fn power(&self, number: usize) -> V {
        // SAFETY: the schedule has that power, and the caller V's instructions.
        unsafe { V::broadcast(_mm_loadu_si128(self.schedule.powers(number).cast())) }
    }

    /// Encrypts or decrypts N vectors of which `end` bytes are there, and returns what is to be hashed of them, turned
    /// over, with the hash up to here in it.
    ///
    /// # Safety
    /// As for [`Run::last`].
    #[inline(always)]
    unsafe fn crypt<const N: usize, const FIRST: bool, const SEAL: bool>(
        &mut self,
        at: *mut u8,
        end: usize,
    ) -> [V; N] {
        let width = 16 * V::LANES;
        // SAFETY: the caller lets the bytes be read and written, and has V's instructions.
        unsafe {
            let mut data = [V::zero(); N];
            let mut states = [V::zero(); N];
            let step = |number: usize| V::broadcast(_mm_set_epi32(number as i32, 0, 0, 0));
            for place in 0..N {
                let from = at.wrapping_add(width * place);
                let start = if FIRST && place == 0 { 16 } else { 0 };
                data[place] = if place == N - 1 {
                    V::load_part(from, start, end - width * place)
                } else if start > 0 {
                    V::load_part(from, start, width)
                } else {
                    V::load(from)
                };
                // Known when this is compiled, in the first group.
                let counters = if FIRST { V::iota() } else { self.counters };
                let first = if FIRST { 1 } else { 0 };
                let counters = counters.add32(step(first + place * V::LANES)).counters_big_endian();
                states[place] = self.start.xor(counters);
            }
            if FIRST {
                self.counters = V::iota().add32(step(1 + N * V::LANES));
            } else {
                self.counters = self.counters.add32(step(N * V::LANES));
            }

            self.rounds::<N>(&mut states, 1, 10);
            let last = self.schedule.last();
            if last > 10 {
                self.rounds::<N>(&mut states, 10, 12);
                if last > 12 {
                    self.rounds::<N>(&mut states, 12, 14);
                }
            }
            let key = V::broadcast(self.schedule.round(last));
            for place in 0..N {
                states[place] = states[place].aes_last(key.xor(data[place]));
            }
            if FIRST {
                self.mask = states[0].first();
            }

            for place in 0..N {
                let to = at.wrapping_add(width * place);
                let start = if FIRST && place == 0 { 16 } else { 0 };
                if place == N - 1 {
                    states[place].store_part(to, start, end - width * place);
                } else if start > 0 {
                    states[place].store_part(to, start, width);
                } else {
                    states[place].store(to);
                }
            }
            let mut hashed = if SEAL { states } else { data };
            if SEAL {
                hashed[N - 1] = hashed[N - 1].keep(end - width * (N - 1));
            }
            if FIRST {
                hashed[0] = hashed[0].with_first(self.aad);
            }
            for block in &mut hashed {
                *block = block.reverse();
            }
            if !FIRST {
                hashed[0] = hashed[0].xor(self.hash);
            }
            hashed
        }
    }

    /// Rounds `from..to` of AES, all vectors side by side.
    #[inline(always)]
    unsafe fn rounds<const N: usize>(&self, states: &mut [V; N], from: usize, to: usize) {
        for round in from..to {
            // SAFETY: the caller has V's instructions.
            unsafe {
                let key = V::broadcast(self.schedule.round(round));
                for state in states.iter_mut() {
                    *state = state.aes(key);
                }
            }
        }
    }
}
