//! A burst, cut into classes of packets that are done alike.
//!
//! With 512 bits, packets of few blocks go four abreast ([`abreast`]), unless nearly each has another key. Other packets
//! of few vectors go over a line made for their class ([`short`](super::short)), all longer ones over another
//! ([`kernel`](super::kernel)). Each has the next packets under way before the last ones' tags are there.

use super::abreast::{self, Keys};
use super::kernel::{Line, Packet};
use super::schedule::Schedule;
use super::short::{LONGEST, Pending};
use super::v128::V128;
use super::v256::V256;
use super::v512::V512;
use super::vector::{Vector, block};
use super::{copy_tag, is_tag};
use crate::TAG_LEN;
use crate::batch::{BURST, Job};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// The burst's functions, compiled for a width.
macro_rules! compiled {
    ($vector:ident, abreast: $abreast:literal, $features:literal, $seal:ident, $open:ident) => {
        #[target_feature(enable = $features)]
        pub(super) fn $seal(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vectors.
            unsafe { run::<$vector, $abreast, true>(jobs) }
        }

        #[target_feature(enable = $features)]
        pub(super) fn $open(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vectors.
            unsafe { run::<$vector, $abreast, false>(jobs) }
        }
    };
}
compiled!(V128, abreast: false, "aes,pclmulqdq,ssse3,sse4.1", seal_128, open_128);
compiled!(V256, abreast: false, "avx2,vaes,vpclmulqdq,aes,pclmulqdq", seal_256, open_256);
compiled!(
    V512,
    abreast: true,
    "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2",
    seal_512,
    open_512
);

/// The jobs that are not done. `SEAL` writes their tags; otherwise what has another tag is wiped, and not done.
///
/// Jobs of a class are done one after the other, whatever is between them.
///
/// # Safety
/// The processor has the instructions of `V`, and of [`V512`] if short packets go `ABREAST`.
#[inline(always)]
unsafe fn run<V: Vector, const ABREAST: bool, const SEAL: bool>(jobs: &mut [Job<'_>]) -> u64 {
    let mut classes = Classes::new();
    let Sorted { mut present, mut failed, whole, keys: different } = sort::<V, ABREAST>(jobs, &mut classes);
    // To bring four keys into their lanes costs more than going abreast spares.
    let abreast = ABREAST && 2 * different <= jobs.len();
    let mut keys = MaybeUninit::uninit();
    let keys = Keys::nobodys(&mut keys);
    // Always in the same order, which the processor learns.
    while present != 0 {
        let class = present.trailing_zeros() as u8;
        present &= present - 1;
        let mask = classes.of(class);
        // SAFETY: the class says how many blocks or vectors the packets make; their texts and ICVs are in their packets, and
        // their keys ours; the caller has the vectors' instructions.
        failed |= unsafe {
            match class {
                0 | 16 | 32 if abreast => abreast::all::<0, 1, 2, SEAL>(jobs, mask, whole, keys),
                1 | 17 | 33 if abreast => abreast::all::<1, 2, 3, SEAL>(jobs, mask, whole, keys),
                2 | 18 | 34 if abreast => abreast::all::<2, 3, 4, SEAL>(jobs, mask, whole, keys),
                3 | 19 | 35 if abreast => abreast::all::<3, 4, 5, SEAL>(jobs, mask, whole, keys),
                4 | 20 | 36 if abreast => abreast::all::<4, 5, 6, SEAL>(jobs, mask, whole, keys),
                5 | 21 | 37 if abreast => abreast::all::<5, 6, 7, SEAL>(jobs, mask, whole, keys),
                6 | 22 | 38 if abreast => abreast::all::<6, 7, 8, SEAL>(jobs, mask, whole, keys),
                7 | 23 | 39 if abreast => abreast::all::<7, 8, 9, SEAL>(jobs, mask, whole, keys),
                8 | 24 | 40 if abreast => abreast::all::<8, 9, 10, SEAL>(jobs, mask, whole, keys),
                9 | 25 | 41 if abreast => abreast::all::<9, 10, 11, SEAL>(jobs, mask, whole, keys),
                // Two blocks at a time, the first of which is the additional data's.
                ..=SHORT if ABREAST => match (class % LENGTHS + 2) / 2 {
                    1 => go::<Pending<V256, 1>, SEAL>(jobs, mask),
                    2 => go::<Pending<V256, 2>, SEAL>(jobs, mask),
                    3 => go::<Pending<V256, 3>, SEAL>(jobs, mask),
                    4 => go::<Pending<V256, 4>, SEAL>(jobs, mask),
                    _ => go::<Pending<V256, 5>, SEAL>(jobs, mask),
                },
                48 => go::<Pending<V, 1>, SEAL>(jobs, mask),
                49 => go::<Pending<V, 2>, SEAL>(jobs, mask),
                50 => go::<Pending<V, 3>, SEAL>(jobs, mask),
                51 => go::<Pending<V, 4>, SEAL>(jobs, mask),
                52 => go::<Pending<V, 5>, SEAL>(jobs, mask),
                53 => go::<Pending<V, 6>, SEAL>(jobs, mask),
                54 => go::<Pending<V, 7>, SEAL>(jobs, mask),
                55 => go::<Pending<V, 8>, SEAL>(jobs, mask),
                56 => go::<Pending<V, 9>, SEAL>(jobs, mask),
                57 => go::<Pending<V, 10>, SEAL>(jobs, mask),
                _ => go::<Line<V>, SEAL>(jobs, mask),
            }
        };
    }
    if ABREAST {
        // SAFETY: the caller has V512's instructions.
        unsafe { Keys::wipe(keys) };
    }
    failed
}

/// What a burst consists of.
struct Sorted {
    /// A bit for each class that there is.
    present: u64,
    /// Jobs that cannot be done.
    failed: u64,
    /// All tags are whole.
    whole: bool,
    /// How many jobs have not the key of the one before.
    keys: usize,
}

/// Finds the class of each job, and prefetches its key. A function of its own, so that it has the registers for itself.
#[inline(never)]
fn sort<V: Vector, const ABREAST: bool>(jobs: &[Job<'_>], classes: &mut Classes) -> Sorted {
    let (mut present, mut failed, mut keys) = (0, 0, 0);
    // Bits in which an ICV's length is another than a tag's.
    let mut cut = 0;
    let mut last = std::ptr::null();
    for (index, job) in jobs.iter().take(BURST).enumerate() {
        let icv = job.icv.bytes();
        let (Some(schedule), Some(len), Some(behind)) = (
            job.key.schedule(),
            job.text.end.checked_sub(job.text.start),
            job.packet.len().checked_sub(job.text.end),
        ) else {
            failed |= 1 << index;
            continue;
        };
        if behind < icv {
            failed |= 1 << index;
            continue;
        }
        if !std::ptr::eq(schedule, last) {
            schedule.prefetch(len);
            last = schedule;
            keys += 1;
        }
        let class = class::<V, ABREAST>(len, schedule);
        classes.0[index] = class;
        present |= 1 << class;
        cut |= icv ^ TAG_LEN;
    }
    Sorted { present, failed, whole: cut == 0, keys }
}

/// A class of packets abreast is so many times the place of their keys' length among all, and the blocks of a text.
const LENGTHS: u8 = 16;
/// A class of other short packets is this and the number of their vectors.
const SHORT: u8 = 47;
/// All longer packets.
const LONG: u8 = 63;

const _: () =
    assert!(abreast::MOST < LENGTHS as usize && 3 * LENGTHS <= SHORT + 1 && SHORT + (LONGEST as u8) < LONG);

/// By which code a text of that many bytes is done.
#[inline(always)]
fn class<V: Vector, const ABREAST: bool>(text: usize, schedule: &Schedule) -> u8 {
    let blocks = text.div_ceil(16);
    if ABREAST && blocks <= abreast::MOST {
        return LENGTHS * schedule.key_len() as u8 + blocks as u8;
    }
    let vectors = (blocks + 1).div_ceil(V::LANES);
    if vectors <= LONGEST { SHORT + vectors as u8 } else { LONG }
}

/// The class of each job.
#[repr(align(64))]
struct Classes([u8; BURST]);

impl Classes {
    /// None is of a class that there is.
    fn new() -> Classes {
        Classes([u8::MAX; BURST])
    }

    /// Which jobs are of that class.
    #[inline(always)]
    fn of(&self, class: u8) -> u64 {
        let mut mask = 0;
        for (part, sixteen) in self.0.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: every x86-64 has the instructions.
            let same =
                unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(block(sixteen), _mm_set1_epi8(class as i8))) };
            mask |= (same as u64) << (16 * part);
        }
        mask
    }
}

/// A way for the packets of a class, one after the other: each tag comes with the next packet.
trait Way {
    /// With nothing on it.
    unsafe fn new() -> Self;
    /// Seals or opens a packet of the class; the tag of the one before.
    unsafe fn packet<const SEAL: bool>(&mut self, packet: &Packet<'_>) -> __m128i;
    /// The tag of the last packet.
    unsafe fn end(self) -> __m128i;
}

macro_rules! way {
    ($way:ty, $($generics:tt)*) => {
        impl<$($generics)*> Way for $way {
            #[inline(always)]
            unsafe fn new() -> Self {
                // SAFETY: as the caller says.
                unsafe { <$way>::new() }
            }

            #[inline(always)]
            unsafe fn packet<const SEAL: bool>(&mut self, packet: &Packet<'_>) -> __m128i {
                // SAFETY: as the caller says.
                unsafe { <$way>::packet::<SEAL>(self, packet) }
            }

            #[inline(always)]
            unsafe fn end(self) -> __m128i {
                // SAFETY: as the caller says.
                unsafe { <$way>::end(self) }
            }
        }
    };
}
way!(Pending<V, N>, V: Vector, const N: usize);
way!(Line<V>, V: Vector);

/// The jobs of `mask`.
///
/// # Safety
/// Their texts are as long as the way wants them; the processor has the instructions of its vectors.
#[inline(always)]
unsafe fn go<W: Way, const SEAL: bool>(jobs: &mut [Job<'_>], mut mask: u64) -> u64 {
    let mut failed = 0;
    // SAFETY: packets are the jobs', as the keys are, and the rest is as the caller says.
    unsafe {
        let mut way = W::new();
        let mut before = Outcome::NONE;
        while mask != 0 {
            let index = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let Some((packet, outcome)) = jobs.get_mut(index).and_then(|job| packet(job, index)) else {
                failed |= 1 << index;
                continue;
            };
            let tag = way.packet::<SEAL>(&packet);
            failed |= before.settle::<SEAL>(tag);
            before = outcome;
        }
        failed | before.settle::<SEAL>(way.end())
    }
}

/// What the kernel needs of a job; `None` if there is no such place in its packet, or its key is not ours.
#[inline(always)]
fn packet<'a>(job: &mut Job<'a>, index: usize) -> Option<(Packet<'a>, Outcome)> {
    let (schedule, nonce, aad) = (job.key.schedule()?, job.nonce, job.aad);
    let (text, icv) = job.parts()?;
    let outcome = Outcome {
        job: 1 << index,
        icv: (icv.as_mut_ptr(), icv.len()),
        text: (text.as_mut_ptr(), text.len()),
    };
    let text = outcome.text;
    Some((Packet { schedule, nonce, aad: (block(&aad.block()), aad.as_slice().len()), text }, outcome))
}

/// What is to be done with the tag of a packet that is on its way.
struct Outcome {
    /// Its bit; none if there is no packet.
    job: u64,
    icv: (*mut u8, usize),
    text: (*mut u8, usize),
}

impl Outcome {
    const NONE: Outcome = Outcome { job: 0, icv: (std::ptr::null_mut(), 0), text: (std::ptr::null_mut(), 0) };

    /// Writes the job's tag, or compares it; the job's bit if it is another one.
    ///
    /// # Safety
    /// The job's packet is still there, and nobody else has it.
    #[inline(always)]
    unsafe fn settle<const SEAL: bool>(&self, tag: __m128i) -> u64 {
        if self.job == 0 {
            return 0;
        }
        // SAFETY: text and ICV are parts of the job's packet, which is ours.
        let (text, icv) = unsafe {
            (
                std::slice::from_raw_parts_mut(self.text.0, self.text.1),
                std::slice::from_raw_parts_mut(self.icv.0, self.icv.1),
            )
        };
        if SEAL {
            copy_tag(tag, icv);
            return 0;
        }
        if is_tag(tag, icv) {
            return 0;
        }
        text.fill(0);
        self.job
    }
}
