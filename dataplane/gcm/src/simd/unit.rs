//! Units of a long packet: whole ones, beside which the whole one before is hashed, and what all have in common.
//!
//! AES and carry-less products share what executes them on some processors, and all look ahead only so far. So each round has
//! a few products among its vectors, evenly, and [`Vector::pin`] keeps the compiler from putting all of one kind first. Vectors of
//! a whole unit are multiplied in all lanes by the same power, the one that carries them to the same lane of the next
//! unit's first vector; two of them are multiplied by Karatsuba at once, in six products instead of eight.

#![expect(clippy::needless_range_loop, reason = "several arrays go by the same place")]

use super::ghash::Sum;
use super::schedule::Schedule;
use super::vector::{COUNTERS, Vector};
use std::arch::x86_64::*;

/// A packet's state between its units.
pub(super) struct Run<'a, V> {
    pub(super) schedule: &'a Schedule,
    /// Nonce and round key 0 in each lane.
    pub(super) start: V,
    /// Blocks of the packet before the unit.
    pub(super) before: usize,
    /// Additional data.
    pub(super) aad: __m128i,
    /// The lengths' block.
    pub(super) lengths: __m128i,
}

/// Pairs of vectors in a unit at most.
const PAIRS: usize = 4;

/// What a whole unit of U vectors is multiplied by.
pub(super) struct Carry<V, const U: usize> {
    /// Powers of the hash key, the first vector's and behind it the others'.
    powers: *const u8,
    /// For each pair of vectors, what [`halves`] makes of their powers.
    halves: [V; PAIRS],
}

impl<V: Vector, const U: usize> Carry<V, U> {
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn new(schedule: &Schedule) -> Self {
        const { assert!(U.is_multiple_of(2) && U <= 2 * PAIRS) };
        // SAFETY: the schedule has these powers; the caller has V's instructions.
        unsafe {
            let mut carry = Carry { powers: schedule.powers(V::LANES * U), halves: [V::zero(); PAIRS] };
            for pair in 0..U / 2 {
                carry.halves[pair] = halves(carry.power(2 * pair), carry.power(2 * pair + 1));
            }
            carry
        }
    }

    /// That vector's power.
    ///
    /// # Safety
    /// `place` is less than U, the schedule is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn power(&self, place: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { V::broadcast(_mm_loadu_si128(self.powers.wrapping_add(16 * V::LANES * place).cast())) }
    }
}

/// In each lane, the sum of `a`'s halves and the sum of `b`'s.
#[inline(always)]
unsafe fn halves<V: Vector>(a: V, b: V) -> V {
    // SAFETY: the caller has V's instructions.
    unsafe { a.lows(b).xor(a.highs(b)) }
}

impl<V: Vector> Run<'_, V> {
    /// Counter blocks of the next N vectors, with round key 0 added; of those of the packet's `FIRST` unit.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn states<const N: usize, const FIRST: bool>(&mut self) -> [V; N] {
        // SAFETY: as the caller says.
        unsafe {
            let mut states = counters::<V, N>(if FIRST { 0 } else { self.before });
            self.before += N * V::LANES;
            for state in &mut states {
                *state = state.xor(self.start);
            }
            states
        }
    }

    /// Encrypts or decrypts N vectors of which `end` bytes are there, and hashes the whole unit `before` them. What is to be
    /// hashed next, with that hash added, goes `to` where that unit was or elsewhere. Vectors are handed over by place, as
    /// whole arrays would be copied.
    ///
    /// # Safety
    /// The text from `at` on, of as many bytes, can be read and written; N - 1 vectors are shorter than that, and N are
    /// not. U vectors can be read and N written. The processor has the instructions of `V`.
    #[inline(always)]
    #[expect(unused_assignments, reason = "the last round begins no pair")]
    pub(super) unsafe fn further<const N: usize, const U: usize, const SEAL: bool>(
        &mut self,
        at: *mut u8,
        end: usize,
        before: *const V,
        carry: &Carry<V, U>,
        to: *mut V,
    ) {
        // SAFETY: as the caller says; no key has fewer rounds than ten, and no unit more vectors than eight.
        unsafe {
            let mut states = self.states::<N, false>();
            let zero = V::zero();
            let mut sum = Sum::zero();
            // Of the pair that is being multiplied.
            let (mut blocks, mut powers, mut low, mut high) = ([zero; 2], [zero; 2], [zero; 2], [zero; 2]);
            macro_rules! rounds {
                ($($number:literal)*) => { $(
                    let key = V::broadcast(self.schedule.round($number));
                    // The first pair comes last, as it waits longest for the hash before it.
                    let place = $number / 2 * 2 % U;
                    if $number == 1 || $number > U + 1 {
                        part::<V, N, 1>(&mut states, key, 0);
                    } else if $number % 2 == 0 {
                        for next in 0..2 {
                            blocks[next] = (*before.wrapping_add(place + next)).reverse();
                            powers[next] = carry.power(place + next);
                        }
                        low[0] = blocks[0].multiply::<0x00>(powers[0]).pin();
                        part::<V, N, 3>(&mut states, key, 0);
                        high[0] = blocks[0].multiply::<0x11>(powers[0]).pin();
                        part::<V, N, 3>(&mut states, key, 1);
                        low[1] = blocks[1].multiply::<0x00>(powers[1]).pin();
                        part::<V, N, 3>(&mut states, key, 2);
                    } else {
                        let (blocks_halves, powers_halves) = (halves(blocks[0], blocks[1]), carry.halves[place / 2]);
                        high[1] = blocks[1].multiply::<0x11>(powers[1]).pin();
                        part::<V, N, 3>(&mut states, key, 0);
                        let one = blocks_halves.multiply::<0x00>(powers_halves).pin();
                        part::<V, N, 3>(&mut states, key, 1);
                        let other = blocks_halves.multiply::<0x11>(powers_halves).pin();
                        part::<V, N, 3>(&mut states, key, 2);
                        sum.add_parts(low, [one, other], high);
                        sum.pin();
                    }
                )* };
            }
            rounds!(1 2 3 4 5 6 7 8 9);
            for number in 10..self.schedule.last() {
                round(self.schedule, number, &mut states);
            }
            self.finish::<N, false, SEAL>(at, end, &states, to);
            *to = (*to).xor(sum.by_karatsuba().reduce().reverse());
        }
    }

    /// The last round of N vectors, of which `end` bytes are there; of a packet's `FIRST` unit block 0 is not the text's.
    /// Returns what masks the tag then. What is to be hashed goes `to` that place.
    ///
    /// # Safety
    /// As for [`Run::further`]; if it is the first, the vectors are whole.
    #[inline(always)]
    pub(super) unsafe fn finish<const N: usize, const FIRST: bool, const SEAL: bool>(
        &self,
        at: *mut u8,
        end: usize,
        states: &[V; N],
        to: *mut V,
    ) -> __m128i {
        let width = 16 * V::LANES;
        // SAFETY: as the caller says.
        unsafe {
            let key = V::broadcast(self.schedule.round(self.schedule.last()));
            let mut mask = _mm_setzero_si128();
            for place in 0..N {
                let text = at.wrapping_add(width * place);
                let start = if FIRST && place == 0 { 16 } else { 0 };
                let cut = !FIRST && place == N - 1;
                let end = if cut { end - width * place } else { width };
                let part = cut || start > 0;
                let data = if part { V::load_part(text, start, end) } else { V::load(text) };
                let done = states[place].aes_last(key.xor(data));
                if part {
                    done.store_part(text, start, end);
                } else {
                    done.store(text);
                }
                let mut hashed = if SEAL { done } else { data };
                if SEAL && cut {
                    hashed = hashed.keep(end);
                }
                if FIRST && place == 0 {
                    mask = done.first();
                    hashed = hashed.with_first(self.aad);
                }
                *to.wrapping_add(place) = hashed;
            }
            mask
        }
    }
}

/// Counter blocks from that block of a packet on, big-endian; block 0 has counter 1.
#[inline(always)]
unsafe fn counters<V: Vector, const N: usize>(block: usize) -> [V; N] {
    // SAFETY: the table is read only where it is; the caller has V's instructions.
    unsafe {
        let mut counters = [V::zero(); N];
        if block + N * V::LANES <= COUNTERS.0.len() {
            for place in 0..N {
                counters[place] = V::load(COUNTERS.0.as_ptr().wrapping_add(block + place * V::LANES).cast());
            }
        } else {
            let first = V::iota().add32(V::broadcast(_mm_set_epi32((1 + block) as i32, 0, 0, 0)));
            for place in 0..N {
                let further = V::broadcast(_mm_set_epi32((place * V::LANES) as i32, 0, 0, 0));
                counters[place] = first.add32(further).counters_big_endian();
            }
        }
        counters
    }
}

/// One round of AES for all vectors.
#[inline(always)]
pub(super) unsafe fn round<V: Vector, const N: usize>(
    schedule: &Schedule,
    number: usize,
    states: &mut [V; N],
) {
    // SAFETY: the caller has V's instructions.
    unsafe {
        let key = V::broadcast(schedule.round(number));
        for state in states.iter_mut() {
            *state = state.aes(key);
        }
    }
}

/// A round for one of the vectors' `OF` parts, which the compiler leaves where it is.
#[inline(always)]
pub(super) unsafe fn part<V: Vector, const N: usize, const OF: usize>(
    states: &mut [V; N],
    key: V,
    part: usize,
) {
    for place in N * part / OF..N * (part + 1) / OF {
        // SAFETY: the caller has V's instructions.
        states[place] = unsafe { states[place].aes(key).pin() };
    }
}
