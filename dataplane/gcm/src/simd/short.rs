//! Packets of few vectors, and of equally many: the path of most packets of most networks.
//!
//! What a short packet costs is less its AES than all that is around it, so nothing is decided on the way here: the code for
//! packets of N vectors is one straight line, in which a packet is encrypted and the one before it is hashed.

#![expect(clippy::needless_range_loop, reason = "several arrays go by the same place")]

use super::ghash::Sum;
use super::kernel::Packet;
use super::schedule::POWERS;
use super::v128::V128;
use super::vector::{COUNTERS, Vector};
use std::arch::x86_64::*;

/// Vectors of a short packet at most.
pub(super) const LONGEST: usize = 10;

/// What a hash of nothing is multiplied by.
static NO_POWERS: [[u8; 16]; POWERS] = [[0; 16]; POWERS];

/// A packet of N vectors that is encrypted, or decrypted, and not yet hashed. With a `TAIL` of 1 or 2 the last vector has so
/// many blocks and is gone through at half the width; with 0 it has others.
pub(super) struct Pending<V, const N: usize, const TAIL: usize> {
    /// Additional data, ciphertext, and the lengths if a lane is left for them.
    blocks: [V; N],
    /// The lengths, if none is.
    lengths: Option<__m128i>,
    /// The powers of the hash key for the blocks.
    powers: *const u8,
    /// What masks the tag.
    mask: __m128i,
}

impl<V: Vector, const N: usize, const TAIL: usize> Pending<V, N, TAIL> {
    /// Nothing that matters.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        // SAFETY: the caller has V's instructions.
        unsafe {
            Pending {
                blocks: [V::zero(); N],
                lengths: None,
                powers: NO_POWERS.as_ptr().cast(),
                mask: _mm_setzero_si128(),
            }
        }
    }

    /// Seals or opens (`SEAL`) a packet's text in place, and takes the place of the packet before it, whose tag is returned.
    ///
    /// # Safety
    /// The text can be read and written, and makes N vectors with a block in front of it, the last of them with something
    /// in it, as many blocks as `TAIL` says; the schedules of this packet and the one before are there; the processor has
    /// the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn packet<const SEAL: bool>(&mut self, packet: &Packet<'_>) -> __m128i {
        const { assert!(N > 0 && N <= LONGEST && 2 * TAIL <= V::LANES) };
        let Packet { schedule, aad: (aad, aad_len), text: (text, len), .. } = *packet;
        let width = 16 * V::LANES;
        // With the additional data's block, which is not there, in front of the text.
        let at = text.wrapping_sub(16);
        let end = len + 16 - width * (N - 1);
        // SAFETY: the caller lets the text be read and written, and has V's instructions. No key has fewer rounds than ten.
        unsafe {
            let start = V::broadcast(packet.start());
            let mut states = [V::zero(); N];
            for place in 0..N {
                let counters = V::load(COUNTERS.0.as_ptr().wrapping_add(place * V::LANES).cast());
                states[place] = start.xor(counters);
            }
            let mut hash = self.hash();
            macro_rules! rounds {
                ($($number:literal)*) => { $(
                    let key = V::broadcast(schedule.round($number));
                    for place in 0..N {
                        states[place] = Self::aes(place, states[place], key).pin();
                    }
                    if $number <= N {
                        self.multiply(&mut hash, $number - 1);
                    }
                )* };
            }
            rounds!(1 2 3 4 5 6 7 8 9);
            for place in 9..N {
                self.multiply(&mut hash, place);
            }
            let tag = self.tag(hash);
            let last = schedule.last();
            for number in 10..last {
                let key = V::broadcast(schedule.round(number));
                for place in 0..N {
                    states[place] = Self::aes(place, states[place], key);
                }
            }

            let key = V::broadcast(schedule.round(last));
            for place in 0..N {
                let text = at.wrapping_add(width * place);
                let from = if place == 0 { 16 } else { 0 };
                let to = if place == N - 1 { end } else { width };
                let part = place == 0 || place == N - 1;
                let data = if part { V::load_part(text, from, to) } else { V::load(text) };
                let done = if Self::halved(place) {
                    V::from_half(states[place].half().aes_last(key.half().xor(data.half())))
                } else {
                    states[place].aes_last(key.xor(data))
                };
                if part {
                    done.store_part(text, from, to)
                } else {
                    done.store(text)
                }
                let mut hashed = if SEAL { done } else { data };
                if SEAL && place == N - 1 {
                    hashed = hashed.keep(to);
                }
                if place == 0 {
                    self.mask = done.first();
                    hashed = hashed.with_first(aad);
                }
                self.blocks[place] = hashed;
            }
            let lengths = _mm_set_epi64x((len as i64 * 8).swap_bytes(), (aad_len as i64 * 8).swap_bytes());
            let blocks = if TAIL > 0 { TAIL } else { end.div_ceil(16) };
            if blocks < V::LANES {
                // There is but one lane that can be free of two.
                let lane = if V::LANES == 2 { 1 } else { blocks };
                self.blocks[N - 1] = self.blocks[N - 1].with_lane(lane, lengths);
                self.lengths = None;
            } else {
                self.lengths = Some(lengths);
            }
            self.powers = schedule.powers((N - 1) * V::LANES + blocks + 1);
            tag
        }
    }

    /// Whether the vector of that place is gone through at half the width.
    #[inline(always)]
    const fn halved(place: usize) -> bool {
        TAIL > 0 && place == N - 1
    }

    /// A round of AES for the vector of that place.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn aes(place: usize, state: V, key: V) -> V {
        // SAFETY: as the caller says.
        unsafe {
            if Self::halved(place) { V::from_half(state.half().aes(key.half())) } else { state.aes(key) }
        }
    }

    /// The beginning of the hash: the lengths, if they are not among the blocks.
    ///
    /// # Safety
    /// The packet's schedule is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn hash(&self) -> Hash<V> {
        // SAFETY: the first power is the last, with enough behind it; the caller has V's instructions.
        unsafe {
            let mut sum = Sum::zero();
            if TAIL == 0
                && let Some(lengths) = self.lengths
            {
                let power = V::load(self.powers.wrapping_add(16 * V::LANES * N));
                sum.add(V::zero().with_first(lengths).reverse(), power);
            }
            Hash { sum, low: V::zero(), high: V::zero() }
        }
    }

    /// Adds the product of the vector of that place to the hash. They come in order.
    ///
    /// # Safety
    /// The packet's schedule is there, and the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn multiply(&self, hash: &mut Hash<V>, place: usize) {
        // SAFETY: there are as many powers as blocks; the rest is as the caller says.
        unsafe {
            let block = self.blocks[place].reverse();
            let power = V::load(self.powers.wrapping_add(16 * V::LANES * place));
            let (low, between, high);
            if Self::halved(place) && TAIL < 2 {
                let (block, power) = (block.half(), power.half());
                low = V::from_half(block.multiply::<0x00>(power)).pin();
                between = [
                    V::from_half(block.multiply::<0x01>(power)),
                    V::from_half(block.multiply::<0x10>(power)),
                ];
                high = V::from_half(block.multiply::<0x11>(power)).pin();
            } else {
                low = block.multiply::<0x00>(power).pin();
                between = [block.multiply::<0x01>(power), block.multiply::<0x10>(power)];
                high = block.multiply::<0x11>(power).pin();
            }
            let between = [between[0].pin(), between[1].pin()];
            if place % 2 == 1 {
                hash.sum.add_parts([hash.low, low], between, [hash.high, high]);
            } else if place == N - 1 {
                hash.sum.add_parts([low], between, [high]);
            } else {
                hash.sum.add_parts([], between, []);
                (hash.low, hash.high) = (low, high);
            }
            hash.sum.pin();
        }
    }

    /// The tag that a hash makes.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tag(&self, hash: Hash<V>) -> __m128i {
        // SAFETY: as the caller says.
        unsafe { _mm_xor_si128(V128::broadcast(hash.sum.total()).reverse().first(), self.mask) }
    }

    /// The tag of the last packet.
    ///
    /// # Safety
    /// Its schedule is there, and the processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn end(self) -> __m128i {
        // SAFETY: as the caller says.
        unsafe {
            let mut hash = self.hash();
            for place in 0..N {
                self.multiply(&mut hash, place);
            }
            self.tag(hash)
        }
    }
}

/// Where the hashing of a packet stands.
struct Hash<V> {
    sum: Sum<V>,
    /// Of the vector before, if its place is even: what is added with the next one's.
    low: V,
    high: V,
}
