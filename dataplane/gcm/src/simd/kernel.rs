//! Long packets through AES in counter mode and GHASH at once, at any width.
//!
//! A packet is a run of blocks: the additional data, the text, the lengths. The first one's place in the key stream is
//! taken by the counter block 1, whose encryption masks the tag, so that the two runs are one and the same but for the
//! lengths. A run is cut into whole units of [`Vector::UNIT`] vectors and a last one of as many as are left, which
//! are not fewer than some: a vector alone would have to wait for itself.
//!
//! A round of AES takes so long that several vectors must be under way, and so does a product; but what is encrypted
//! cannot be hashed before it is there. So the units of all packets go over one [`Line`]: while a unit is encrypted, the
//! one before it is hashed, be it of the same packet or not.

#![expect(clippy::needless_range_loop, reason = "several arrays go by the same place")]

use super::ghash::Sum;
use super::schedule::Schedule;
use super::short::LONGEST;
use super::v128::V128;
use super::vector::{COUNTERS, Vector};
use std::arch::x86_64::*;

/// A packet. Short ones ([`short`](super::short)) are the same.
pub(super) struct Packet<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) nonce: [u8; 12],
    /// Additional data, zero behind it, and its length in bytes.
    pub(super) aad: (__m128i, usize),
    /// The text, and its length in bytes.
    pub(super) text: (*mut u8, usize),
}

impl Packet<'_> {
    /// Nonce and round key 0, as they begin each block but for its counter.
    #[inline(always)]
    pub(super) fn start(&self) -> __m128i {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.nonce;
        let (low, high) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(rest));
        // SAFETY: every x86-64 has the instructions.
        unsafe { _mm_xor_si128(_mm_set_epi64x(i64::from(high), low as i64), self.schedule.round(0)) }
    }
}

/// Where units are encrypted and, one later, hashed.
pub(super) struct Line<V> {
    /// What the last unit left to be hashed: `count` vectors, with the hash before them added to the first.
    blocks: [V; LONGEST + 1],
    count: usize,
    /// The powers of the hash key for them.
    powers: *const u8,
    /// What masks the tag of the packet that is on its way.
    mask: __m128i,
}

/// A packet's state between its units.
struct Run<'a, V> {
    schedule: &'a Schedule,
    /// Nonce and round key 0 in each lane.
    start: V,
    /// Blocks of the packet before the unit.
    before: usize,
    /// Additional data.
    aad: __m128i,
    /// The lengths' block.
    lengths: __m128i,
}

impl<V: Vector> Line<V> {
    /// With nothing on it.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn new() -> Line<V> {
        // SAFETY: the caller has V's instructions.
        unsafe {
            Line {
                blocks: [V::zero(); LONGEST + 1],
                count: 0,
                powers: std::ptr::null(),
                mask: _mm_setzero_si128(),
            }
        }
    }

    /// Seals or opens (`SEAL`) a packet's text in place. Returns the tag of the packet before it, over what is, or was, its
    /// ciphertext; something, if there was none.
    ///
    /// # Safety
    /// The text can be read and written, and makes more than [`LONGEST`] vectors with a block in front, as the first unit is
    /// whole; the schedules of this packet and the one before are there, and the processor has
    /// the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn packet<const SEAL: bool>(&mut self, packet: &Packet<'_>) -> __m128i {
        let Packet { schedule, aad: (aad, aad_len), text: (text, len), .. } = *packet;
        let unit = 16 * V::LANES * V::UNIT;
        // With the additional data's block, which is not there, in front of the text.
        let mut at = text.wrapping_sub(16);
        let mut left = len + 16;
        // SAFETY: the caller lets the text be read and written, and has V's instructions; each unit gets `left` bytes of it,
        // the first one with the 16 before it that it does not touch. A last unit gets as many vectors as it has bytes for.
        unsafe {
            let mut run = Run {
                schedule,
                start: V::broadcast(packet.start()),
                before: 0,
                aad,
                lengths: _mm_set_epi64x((len as i64 * 8).swap_bytes(), (aad_len as i64 * 8).swap_bytes()),
            };
            let tag = self.whole::<true, SEAL>(&mut run, at);
            loop {
                at = at.wrapping_add(unit);
                left -= unit;
                if left <= 16 * V::LANES * LONGEST {
                    break;
                }
                self.whole::<false, SEAL>(&mut run, at);
            }
            self.last::<SEAL>(&mut run, at, left);
            tag
        }
    }

    /// The tag of the last packet.
    ///
    /// # Safety
    /// Its schedule is there, and the processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn end(self) -> __m128i {
        // SAFETY: as the caller says.
        unsafe {
            let mut hash = Hashing { place: self.count, sum: Sum::zero() };
            while hash.place > 0 {
                self.hash(&mut hash);
            }
            self.tag(hash.sum)
        }
    }

    /// A unit that is not its packet's last.
    ///
    /// # Safety
    /// As for [`Line::unit`], of as many bytes as it has.
    #[inline(always)]
    unsafe fn whole<const FIRST: bool, const SEAL: bool>(
        &mut self,
        run: &mut Run<'_, V>,
        at: *mut u8,
    ) -> __m128i {
        let blocks = V::LANES * V::UNIT;
        // SAFETY: as the caller says.
        unsafe {
            let tag = match V::UNIT {
                6 => self.unit::<6, FIRST, SEAL>(run, at, 16 * blocks),
                _ => self.unit::<8, FIRST, SEAL>(run, at, 16 * blocks),
            };
            self.count = V::UNIT;
            tag
        }
    }

    /// A packet's last unit, of `left` bytes.
    ///
    /// # Safety
    /// As for [`Line::unit`]; `left` makes [`LONGEST`] vectors at most, and more than that is longer than a whole unit.
    #[inline(always)]
    unsafe fn last<const SEAL: bool>(&mut self, run: &mut Run<'_, V>, at: *mut u8, left: usize) {
        let blocks = left.div_ceil(16);
        let vectors = left.div_ceil(16 * V::LANES);
        debug_assert!((LONGEST - V::UNIT + 1..=LONGEST).contains(&vectors));
        // SAFETY: as the caller says; so many vectors are left.
        unsafe {
            match vectors {
                3 if V::UNIT > 7 => self.unit::<3, false, SEAL>(run, at, left),
                4 if V::UNIT > 6 => self.unit::<4, false, SEAL>(run, at, left),
                5 if V::UNIT > 5 => self.unit::<5, false, SEAL>(run, at, left),
                6 if V::UNIT > 4 => self.unit::<6, false, SEAL>(run, at, left),
                7 => self.unit::<7, false, SEAL>(run, at, left),
                8 => self.unit::<8, false, SEAL>(run, at, left),
                9 => self.unit::<9, false, SEAL>(run, at, left),
                LONGEST => self.unit::<LONGEST, false, SEAL>(run, at, left),
                _ => std::hint::unreachable_unchecked(),
            };
            let free = blocks % V::LANES;
            self.count = vectors;
            if free == 0 {
                self.blocks[vectors] = V::zero().with_first(run.lengths);
                self.count += 1;
            } else {
                self.blocks[vectors - 1] = self.blocks[vectors - 1].with_lane(free, run.lengths);
            }
            self.powers = run.schedule.powers(blocks + 1);
        }
    }

    /// Encrypts or decrypts N vectors of which `end` bytes are there, and hashes those of the unit before. Returns the tag
    /// of the packet before if this unit is the `FIRST` of its packet; then block 0 is not the text's.
    ///
    /// # Safety
    /// The text from `at` on, of as many bytes, can be read and written; N - 1 vectors are shorter than that, and N are
    /// not.
    #[inline(always)]
    unsafe fn unit<const N: usize, const FIRST: bool, const SEAL: bool>(
        &mut self,
        run: &mut Run<'_, V>,
        at: *mut u8,
        end: usize,
    ) -> __m128i {
        let width = 16 * V::LANES;
        // SAFETY: the caller lets the bytes be read and written, and has V's instructions.
        unsafe {
            let mut states = if FIRST { counters::<V, N>(0) } else { counters(run.before) };
            run.before += N * V::LANES;
            for state in &mut states {
                *state = state.xor(run.start);
            }

            let mut hash = Hashing { place: self.count, sum: Sum::zero() };
            if FIRST {
                self.rounds_beside_any(run.schedule, &mut states, &mut hash);
            } else {
                self.rounds_beside_whole(run.schedule, &mut states, &mut hash);
            }
            let last = run.schedule.last();
            let key = V::broadcast(run.schedule.round(last));
            let mut mask = _mm_setzero_si128();
            for place in 0..N {
                let text = at.wrapping_add(width * place);
                let start = if FIRST && place == 0 { 16 } else { 0 };
                let end = end - width * place;
                let data = if place == N - 1 {
                    V::load_part(text, start, end)
                } else if start > 0 {
                    V::load_part(text, start, width)
                } else {
                    V::load(text)
                };
                let done = states[place].aes_last(key.xor(data));
                if FIRST && place == 0 {
                    mask = done.first();
                }
                if place == N - 1 {
                    done.store_part(text, start, end);
                } else if start > 0 {
                    done.store_part(text, start, width);
                } else {
                    done.store(text);
                }
                let mut hashed = if SEAL { done } else { data };
                if SEAL && place == N - 1 {
                    hashed = hashed.keep(end);
                }
                if FIRST && place == 0 {
                    hashed = hashed.with_first(run.aad);
                }
                self.blocks[place] = hashed;
            }
            if FIRST {
                let tag = self.tag(hash.sum);
                self.mask = mask;
                tag
            } else {
                self.blocks[0] = self.blocks[0].xor(hash.sum.reduce().reverse());
                _mm_setzero_si128()
            }
        }
    }

    /// All rounds but the last, and the hash of the unit before, however long that was.
    ///
    /// # Safety
    /// What this line remembers of the unit before is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn rounds_beside_any<const N: usize>(
        &self,
        schedule: &Schedule,
        states: &mut [V; N],
        hash: &mut Hashing<V>,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            macro_rules! rounds {
                ($($number:literal)*) => { $(
                    round(schedule, $number, states);
                    for state in states.iter_mut() {
                        *state = state.pin();
                    }
                    if hash.place > 0 {
                        self.hash(hash);
                    }
                )* };
            }
            rounds!(1 2 3 4 5 6 7 8 9);
            for number in 10..schedule.last() {
                round(schedule, number, states);
            }
            while hash.place > 0 {
                self.hash(hash);
            }
        }
    }

    /// The same beside a unit that was whole, which the one before is within a packet. With nothing to decide on the way;
    /// but then the compiler would put all of one before all of the other, if it were not hindered.
    ///
    /// # Safety
    /// As for [`Line::rounds_beside_any`], and the unit before was whole.
    #[inline(always)]
    unsafe fn rounds_beside_whole<const N: usize>(
        &self,
        schedule: &Schedule,
        states: &mut [V; N],
        hash: &mut Hashing<V>,
    ) {
        hash.place = V::UNIT;
        macro_rules! rounds {
            ($($number:literal)*) => { $(
                round(schedule, $number, states);
                for state in states.iter_mut() {
                    *state = state.pin();
                }
                if $number % 2 == 1 && $number < V::UNIT {
                    self.hash_whole(schedule, hash);
                    hash.sum.pin();
                }
            )* };
        }
        // SAFETY: as the caller says; no key has fewer rounds, and no unit more vectors.
        unsafe {
            rounds!(1 2 3 4 5 6 7 8 9);
            for number in 10..schedule.last() {
                round(schedule, number, states);
            }
        }
    }

    /// Adds one more vector of the unit before to its hash.
    ///
    /// # Safety
    /// There is one more, the schedule that its powers belong to is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn hash(&self, hash: &mut Hashing<V>) {
        hash.place -= 1;
        // SAFETY: there are as many powers as there are blocks, and the caller has V's instructions.
        unsafe {
            let power = V::load(self.powers.wrapping_add(16 * V::LANES * hash.place));
            hash.sum.add(self.blocks.get_unchecked(hash.place).reverse(), power);
        }
    }

    /// Adds two more vectors of a whole unit to its hash, multiplied in all lanes by the power that carries them to the same
    /// lane of the next unit's first vector.
    ///
    /// # Safety
    /// As for [`Line::hash`].
    #[inline(always)]
    unsafe fn hash_whole(&self, schedule: &Schedule, hash: &mut Hashing<V>) {
        hash.place -= 2;
        // SAFETY: as the caller says.
        unsafe {
            let mut blocks = [V::zero(); 2];
            let mut powers = [V::zero(); 2];
            for next in 0..2 {
                let place = hash.place + next;
                let from = schedule.powers(V::LANES * (V::UNIT - place));
                blocks[next] = self.blocks.get_unchecked(place).reverse();
                powers[next] = V::broadcast(_mm_loadu_si128(from.cast()));
            }
            hash.sum.add_two(blocks, powers);
        }
    }

    /// The tag that a packet's hash makes.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tag(&self, sum: Sum<V>) -> __m128i {
        // SAFETY: the caller has V's instructions.
        unsafe { _mm_xor_si128(V128::broadcast(sum.total()).reverse().first(), self.mask) }
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

/// Where the hashing of a unit stands: vectors that are left, from the last to the first, as the first waits longest for
/// the hash before it.
struct Hashing<V> {
    place: usize,
    sum: Sum<V>,
}
