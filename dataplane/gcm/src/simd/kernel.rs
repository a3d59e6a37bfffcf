//! Long packets through AES in counter mode and GHASH at once, at any width.
//!
//! A packet is a run of blocks: the additional data, the text, the lengths. The first one's place in the key stream is
//! taken by the counter block 1, whose encryption masks the tag, so that the two runs are one and the same but for the
//! lengths. A run is cut into whole units of [`Vector::UNIT`] vectors and a last one of as many as are left, which
//! are not fewer than some: a vector alone would have to wait for itself.
//!
//! A round of AES takes so long that several vectors must be under way, and so does a product; but what is encrypted
//! cannot be hashed before it is there. So the units of all packets go over one [`Line`]: while a unit is encrypted, the
//! one before it is hashed, be it of the same packet or not. What goes on within a unit is in [`unit`](super::unit).

use super::ghash::Sum;
use super::schedule::Schedule;
use super::short::LONGEST;
use super::unit::{Carry, Run, part, round};
use super::v128::V128;
use super::vector::Vector;
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
        // SAFETY: as the caller says.
        unsafe {
            match V::UNIT {
                6 => self.units::<6, SEAL>(packet),
                _ => self.units::<8, SEAL>(packet),
            }
        }
    }

    /// [`Line::packet`] in units of U vectors.
    ///
    /// # Safety
    /// As for [`Line::packet`], with U for V's unit.
    #[inline(always)]
    unsafe fn units<const U: usize, const SEAL: bool>(&mut self, packet: &Packet<'_>) -> __m128i {
        let Packet { schedule, aad: (aad, aad_len), text: (text, len), .. } = *packet;
        let unit = 16 * V::LANES * U;
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
            let mut blocks = [V::zero(); U];
            let blocks = blocks.as_mut_ptr();
            let tag = self.first::<U, SEAL>(&mut run, at, blocks);
            let carry = Carry::<V, U>::new(schedule);
            loop {
                at = at.wrapping_add(unit);
                left -= unit;
                if left <= 16 * V::LANES * LONGEST {
                    break;
                }
                run.further::<U, U, SEAL>(at, unit, blocks, &carry, blocks);
            }
            self.last::<U, SEAL>(&mut run, at, left, blocks, &carry);
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
            let mut hash = Hashing { left: self.count, sum: Sum::zero() };
            while hash.left > 0 {
                self.hash(&mut hash);
            }
            self.tag(hash.sum)
        }
    }

    /// A packet's first unit, which is whole. Returns the tag of the packet before. What is to be hashed goes `to` that place.
    ///
    /// # Safety
    /// What this line remembers of the packet before is there, the text's bytes of the unit can be read and written, U
    /// vectors can be written, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn first<const U: usize, const SEAL: bool>(
        &mut self,
        run: &mut Run<'_, V>,
        at: *mut u8,
        to: *mut V,
    ) -> __m128i {
        // SAFETY: as the caller says.
        unsafe {
            let mut states = run.states::<U, true>();
            let mut hash = Hashing { left: self.count, sum: Sum::zero() };
            macro_rules! rounds {
                ($($number:literal)*) => { $(
                    let key = V::broadcast(run.schedule.round($number));
                    if hash.left > 0 {
                        let (block, power) = self.next(&mut hash);
                        let low = block.multiply::<0x00>(power).pin();
                        part::<V, U, 4>(&mut states, key, 0);
                        let one = block.multiply::<0x01>(power).pin();
                        part::<V, U, 4>(&mut states, key, 1);
                        let other = block.multiply::<0x10>(power).pin();
                        part::<V, U, 4>(&mut states, key, 2);
                        let high = block.multiply::<0x11>(power).pin();
                        part::<V, U, 4>(&mut states, key, 3);
                        hash.sum.add_parts([low], [one, other], [high]);
                        hash.sum.pin();
                    } else {
                        part::<V, U, 1>(&mut states, key, 0);
                    }
                )* };
            }
            rounds!(1 2 3 4 5 6 7 8 9);
            for number in 10..run.schedule.last() {
                round(run.schedule, number, &mut states);
            }
            while hash.left > 0 {
                self.hash(&mut hash);
            }
            let mask = run.finish::<U, true, SEAL>(at, 16 * V::LANES * U, &states, to);
            let tag = self.tag(hash.sum);
            self.mask = mask;
            tag
        }
    }

    /// A packet's last unit, of `left` bytes.
    ///
    /// # Safety
    /// As for [`Run::further`]; `left` makes [`LONGEST`] vectors at most, and more than that is longer than a whole unit.
    #[inline(always)]
    unsafe fn last<const U: usize, const SEAL: bool>(
        &mut self,
        run: &mut Run<'_, V>,
        at: *mut u8,
        left: usize,
        before: *const V,
        carry: &Carry<V, U>,
    ) {
        let blocks = left.div_ceil(16);
        let vectors = left.div_ceil(16 * V::LANES);
        debug_assert!((LONGEST - V::UNIT + 1..=LONGEST).contains(&vectors));
        let free = blocks % V::LANES;
        macro_rules! last {
            ($count:literal) => {
                run.further::<$count, U, SEAL>(at, left, before, carry, self.blocks.as_mut_ptr())
            };
        }
        // SAFETY: as the caller says; so many vectors are left.
        unsafe {
            match vectors {
                3 if V::UNIT > 7 => last!(3),
                4 if V::UNIT > 6 => last!(4),
                5 if V::UNIT > 5 => last!(5),
                6 if V::UNIT > 4 => last!(6),
                7 => last!(7),
                8 => last!(8),
                9 => last!(9),
                LONGEST => last!(10),
                _ => std::hint::unreachable_unchecked(),
            };
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

    /// Adds one more vector of the unit before to its hash.
    ///
    /// # Safety
    /// There is one more, the schedule that its powers belong to is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn hash(&self, hash: &mut Hashing<V>) {
        // SAFETY: as the caller says.
        unsafe {
            let (block, power) = self.next(hash);
            hash.sum.add(block, power);
        }
    }

    /// What is to be hashed next, turned over, and its powers: the second vector and so on, as the first waits longest for
    /// the hash before it.
    #[inline(always)]
    unsafe fn next(&self, hash: &mut Hashing<V>) -> (V, V) {
        let place = if hash.left > 1 { self.count + 1 - hash.left } else { 0 };
        hash.left -= 1;
        // SAFETY: there are as many powers as there are blocks, and the caller has V's instructions.
        unsafe {
            let power = V::load(self.powers.wrapping_add(16 * V::LANES * place));
            (self.blocks.get_unchecked(place).reverse(), power)
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

/// Where the hashing of a packet's last unit stands.
struct Hashing<V> {
    /// Vectors that are left.
    left: usize,
    sum: Sum<V>,
}
