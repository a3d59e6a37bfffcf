//! GMAC at any width: the hash of one run of bytes, additional data and text, with no key stream but the tag's mask.
//!
//! Groups of vectors multiply by the same power of the hash key in all lanes, and the last ones by falling powers, so that
//! lanes are added up only once. Unlike [`kernel`](super::kernel) it takes each packet by itself: there is no encryption
//! beside which to hash.

use super::ghash::Sum;
use super::schedule::{POWERS, Schedule};
use super::v128::V128;
use super::v256::V256;
use super::v512::V512;
use super::vector::{Vector, block};
use super::{Lanes, Width, copy_tag, is_tag};
use crate::batch::{BURST, Job};
use std::arch::x86_64::*;

impl Width {
    /// Authenticates a burst, as [`crate::authenticate`] says.
    pub(crate) fn authenticate(self, jobs: &mut [Job<'_>]) -> u64 {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::One => authenticate_128(jobs),
                Lanes::Two => authenticate_256(jobs),
                Lanes::Four => authenticate_512(jobs),
            }
        }
    }

    /// Verifies a burst, as [`crate::verify`] says.
    pub(crate) fn verify(self, jobs: &mut [Job<'_>]) -> u64 {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::One => verify_128(jobs),
                Lanes::Two => verify_256(jobs),
                Lanes::Four => verify_512(jobs),
            }
        }
    }
}

/// The burst's functions, compiled for a width.
macro_rules! compiled {
    ($vector:ident, $features:literal, $authenticate:ident, $verify:ident) => {
        #[target_feature(enable = $features)]
        fn $authenticate(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vector.
            unsafe { burst::<$vector, false>(jobs) }
        }

        #[target_feature(enable = $features)]
        fn $verify(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vector.
            unsafe { burst::<$vector, true>(jobs) }
        }
    };
}
compiled!(V128, "aes,pclmulqdq,ssse3,sse4.1", authenticate_128, verify_128);
compiled!(V256, "avx2,vaes,vpclmulqdq,aes,pclmulqdq", authenticate_256, verify_256);
compiled!(V512, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2", authenticate_512, verify_512);

/// Writes the ICVs, or compares them (`VERIFY`).
#[inline(always)]
unsafe fn burst<V: Vector, const VERIFY: bool>(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    for (index, job) in jobs.iter_mut().take(BURST).enumerate() {
        let (key, nonce, aad) = (job.key, job.nonce, job.aad);
        let (Some((text, icv)), Some(schedule)) = (job.parts(), key.schedule()) else {
            failed |= 1 << index;
            continue;
        };
        // SAFETY: the text is ours, the additional data no longer than a block, and the caller has V's instructions.
        let tag = unsafe {
            let hash = hash::<V>(schedule, (aad.block(), aad.as_slice().len()), text);
            _mm_xor_si128(hash, mask(schedule, &nonce))
        };
        if !VERIFY {
            copy_tag(tag, icv);
        } else if !is_tag(tag, icv) {
            text.fill(0);
            failed |= 1 << index;
        }
    }
    failed
}

/// The hash of additional data, the text right behind it, and the lengths.
#[inline(always)]
unsafe fn hash<V: Vector>(
    schedule: &Schedule,
    (mut head, aad_len): ([u8; 16], usize),
    text: &[u8],
) -> __m128i {
    // The first block: the additional data, and as much of the text as fits.
    head[aad_len..].iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
    let width = 16 * V::LANES;
    // Vectors of a group that is not the last; with fewer blocks than the last group may have.
    let group = const { if 8 * V::LANES < POWERS { 8 } else { (POWERS - 1) / V::LANES } };
    // With the first block, which is not there, in front of the rest.
    let mut at = text.as_ptr().wrapping_sub(aad_len);
    let mut start = 16;
    let mut left = aad_len + text.len();
    // SAFETY: bytes of the text are read, `left` from `at` on but for the first 16 of all; `blocks` and one for the lengths
    // are no more than there are powers; the caller has V's instructions.
    unsafe {
        // All of it counts as additional data.
        let lengths = _mm_set_epi64x(left as i64 * 8, 0);
        let mut hash = V::zero().with_first(block(&head)).reverse();
        while left > 16 * (POWERS - 1) {
            let first = V::load_part(at, start, width).reverse().xor(hash);
            let mut sum = Sum::zero();
            sum.add(first, power(schedule, group * V::LANES));
            for place in 1..group {
                let next = V::load(at.wrapping_add(width * place)).reverse();
                sum.add(next, power(schedule, (group - place) * V::LANES));
            }
            hash = sum.reduce();
            start = 0;
            at = at.wrapping_add(width * group);
            left -= width * group;
        }
        let blocks = left.div_ceil(16);
        let powers = schedule.powers(blocks + 1);
        let first = part::<V>(at, start, left, lengths).xor(hash);
        let mut sum = Sum::zero();
        sum.add(first, V::load(powers));
        for place in 1..=blocks / V::LANES {
            let next =
                part::<V>(at.wrapping_add(width * place), 0, left.saturating_sub(width * place), lengths);
            sum.add(next, V::load(powers.wrapping_add(width * place)));
        }
        V::broadcast(sum.total()).reverse().first()
    }
}

/// A power of the hash key in all lanes.
#[inline(always)]
unsafe fn power<V: Vector>(schedule: &Schedule, number: usize) -> V {
    // SAFETY: the schedule has that power, and the caller V's instructions.
    unsafe { V::broadcast(_mm_loadu_si128(schedule.powers(number).cast())) }
}

/// Bytes `start..left` from `at` on, as many as a vector has, turned over; and the lengths behind them if there is a lane.
#[inline(always)]
unsafe fn part<V: Vector>(at: *const u8, start: usize, left: usize, lengths: __m128i) -> V {
    let blocks = left.div_ceil(16);
    // SAFETY: the caller lets these bytes be read, and has V's instructions.
    unsafe {
        let part = V::load_part(at, start, left.min(16 * V::LANES).max(start)).reverse();
        if blocks < V::LANES { part.with_lane(blocks, lengths) } else { part }
    }
}

/// What masks the tag: the encrypted counter block 1.
#[inline(always)]
unsafe fn mask(schedule: &Schedule, nonce: &[u8; 12]) -> __m128i {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *nonce;
    let counter = [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1];
    // SAFETY: the caller has the instructions of every width.
    unsafe {
        let start = V128::broadcast(_mm_xor_si128(block(&counter), schedule.round(0)));
        let mut state = rounds(schedule, start, 1, 10);
        let last = schedule.last();
        if last > 10 {
            state = rounds(schedule, state, 10, 12);
            if last > 12 {
                state = rounds(schedule, state, 12, 14);
            }
        }
        state.aes_last(V128::broadcast(schedule.round(last))).first()
    }
}

/// Rounds `from..to` of AES.
#[inline(always)]
unsafe fn rounds(schedule: &Schedule, mut state: V128, from: usize, to: usize) -> V128 {
    for round in from..to {
        // SAFETY: the caller has the instructions of every width.
        state = unsafe { state.aes(V128::broadcast(schedule.round(round))) };
    }
    state
}
