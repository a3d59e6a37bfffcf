//! A burst, cut into classes of packets that are done alike.
//!
//! With 512 bits, packets of few blocks go four abreast ([`abreast`]), unless nearly each has another key. Other packets
//! of few vectors go over a line made for their class ([`short`](super::short)), all longer ones over another
//! ([`kernel`](super::kernel)). Each has the next packets under way before the last ones' tags are there.

use super::abreast::{self, Keys};
use super::classes::{Classes, LENGTHS, SHORT, Sorted, TAIL};
use super::kernel::{Line, Packet};
use super::short::Pending;
use super::v128::V128;
use super::v256::V256;
use super::v512::V512;
use super::vector::{Vector, block};
use super::{copy_tag, is_tag};
use crate::batch::Job;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

// The numbers of classes in `run` are these.
const _: () = assert!(LENGTHS == 9 && SHORT == 26 && TAIL == 10);

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

        impl Apart for $vector {
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn go<W: Way, const SEAL: bool>(jobs: &mut [Job<'_>], mask: u64) -> u64 {
                // SAFETY: as the caller says.
                unsafe { go::<W, SEAL>(jobs, mask) }
            }
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

/// A function of its own for each class: compilers take much longer over one that has all of them in it.
trait Apart: Vector {
    /// As [`go`].
    ///
    /// # Safety
    /// As for [`go`]; the processor has the instructions of this.
    unsafe fn go<W: Way, const SEAL: bool>(jobs: &mut [Job<'_>], mask: u64) -> u64;
}

/// The jobs that are not done. `SEAL` writes their tags; otherwise what has another tag is wiped, and not done.
///
/// Jobs of a class are done one after the other, whatever is between them.
///
/// # Safety
/// The processor has the instructions of `V`, and of [`V512`] if short packets go `ABREAST`.
#[inline(always)]
unsafe fn run<V: Apart, const ABREAST: bool, const SEAL: bool>(jobs: &mut [Job<'_>]) -> u64 {
    let mut classes = Classes::new();
    let Sorted { mut present, mut failed, whole, keys: different } = classes.sort::<V, ABREAST>(jobs);
    // To bring four keys into their lanes costs more than going abreast spares.
    let abreast = ABREAST && 2 * different <= jobs.len();
    let mut keys = MaybeUninit::uninit();
    let keys = Keys::nobodys(&mut keys);
    // Always in the same order, which the processor learns.
    while present != 0 {
        let class = present.trailing_zeros() as u8;
        present &= present - 1;
        let mask = classes.of(class);
        // SAFETY: the class says how many blocks or vectors the packets make, and how many blocks a last half; their texts
        // and ICVs are in their packets, and their keys ours; the caller has the vectors' instructions.
        failed |= unsafe {
            match class {
                0 | 9 | 18 if abreast => abreast::all::<0, 1, 2, SEAL>(jobs, mask, whole, keys),
                1 | 10 | 19 if abreast => abreast::all::<1, 2, 3, SEAL>(jobs, mask, whole, keys),
                2 | 11 | 20 if abreast => abreast::all::<2, 3, 4, SEAL>(jobs, mask, whole, keys),
                3 | 12 | 21 if abreast => abreast::all::<3, 4, 5, SEAL>(jobs, mask, whole, keys),
                4 | 13 | 22 if abreast => abreast::all::<4, 5, 6, SEAL>(jobs, mask, whole, keys),
                5 | 14 | 23 if abreast => abreast::all::<5, 6, 7, SEAL>(jobs, mask, whole, keys),
                6 | 15 | 24 if abreast => abreast::all::<6, 7, 8, SEAL>(jobs, mask, whole, keys),
                7 | 16 | 25 if abreast => abreast::all::<7, 8, 9, SEAL>(jobs, mask, whole, keys),
                8 | 17 | 26 if abreast => abreast::all::<8, 9, 10, SEAL>(jobs, mask, whole, keys),
                // With the additional data's block, one more.
                ..=SHORT if ABREAST => match class % LENGTHS + 1 {
                    1 => V512::go::<Pending<V512, 1, 1>, SEAL>(jobs, mask),
                    2 => V512::go::<Pending<V512, 1, 2>, SEAL>(jobs, mask),
                    3 | 4 => V512::go::<Pending<V512, 1, 0>, SEAL>(jobs, mask),
                    5 => V512::go::<Pending<V512, 2, 1>, SEAL>(jobs, mask),
                    6 => V512::go::<Pending<V512, 2, 2>, SEAL>(jobs, mask),
                    7 | 8 => V512::go::<Pending<V512, 2, 0>, SEAL>(jobs, mask),
                    _ => V512::go::<Pending<V512, 3, 1>, SEAL>(jobs, mask),
                },
                27 => V::go::<Pending<V, 1, 0>, SEAL>(jobs, mask),
                28 => V::go::<Pending<V, 2, 0>, SEAL>(jobs, mask),
                29 => V::go::<Pending<V, 3, 0>, SEAL>(jobs, mask),
                30 => V::go::<Pending<V, 4, 0>, SEAL>(jobs, mask),
                31 => V::go::<Pending<V, 5, 0>, SEAL>(jobs, mask),
                32 => V::go::<Pending<V, 6, 0>, SEAL>(jobs, mask),
                33 => V::go::<Pending<V, 7, 0>, SEAL>(jobs, mask),
                34 => V::go::<Pending<V, 8, 0>, SEAL>(jobs, mask),
                35 => V::go::<Pending<V, 9, 0>, SEAL>(jobs, mask),
                36 => V::go::<Pending<V, 10, 0>, SEAL>(jobs, mask),
                40 if ABREAST => V512::go::<Pending<V512, 4, 1>, SEAL>(jobs, mask),
                41 if ABREAST => V512::go::<Pending<V512, 5, 1>, SEAL>(jobs, mask),
                42 if ABREAST => V512::go::<Pending<V512, 6, 1>, SEAL>(jobs, mask),
                43 if ABREAST => V512::go::<Pending<V512, 7, 1>, SEAL>(jobs, mask),
                44 if ABREAST => V512::go::<Pending<V512, 8, 1>, SEAL>(jobs, mask),
                45 if ABREAST => V512::go::<Pending<V512, 9, 1>, SEAL>(jobs, mask),
                46 if ABREAST => V512::go::<Pending<V512, 10, 1>, SEAL>(jobs, mask),
                49 if ABREAST => V512::go::<Pending<V512, 3, 2>, SEAL>(jobs, mask),
                50 if ABREAST => V512::go::<Pending<V512, 4, 2>, SEAL>(jobs, mask),
                51 if ABREAST => V512::go::<Pending<V512, 5, 2>, SEAL>(jobs, mask),
                52 if ABREAST => V512::go::<Pending<V512, 6, 2>, SEAL>(jobs, mask),
                53 if ABREAST => V512::go::<Pending<V512, 7, 2>, SEAL>(jobs, mask),
                54 if ABREAST => V512::go::<Pending<V512, 8, 2>, SEAL>(jobs, mask),
                55 if ABREAST => V512::go::<Pending<V512, 9, 2>, SEAL>(jobs, mask),
                56 if ABREAST => V512::go::<Pending<V512, 10, 2>, SEAL>(jobs, mask),
                _ => V::go::<Line<V>, SEAL>(jobs, mask),
            }
        };
    }
    if ABREAST {
        // SAFETY: the caller has V512's instructions.
        unsafe { Keys::wipe(keys) };
    }
    failed
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
way!(Pending<V, N, TAIL>, V: Vector, const N: usize, const TAIL: usize);
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
