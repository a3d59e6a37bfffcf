//! A burst, cut into classes of packets that make equally many vectors.
//!
//! A packet of few vectors goes over a line made for its class ([`short`](super::short)), all longer ones over another
//! ([`kernel`](super::kernel)). Each line has the next packet under way before the last one's tag is there.

use super::kernel::{Line, Packet};
use super::short::{LONGEST, Pending};
use super::v128::V128;
use super::v256::V256;
use super::v256vl::V256Vl;
use super::v512::V512;
use super::vector::{Vector, block};
use super::{copy_tag, is_tag};
use crate::batch::{BURST, Job};
use std::arch::x86_64::*;

/// The burst's functions, compiled for a width.
macro_rules! compiled {
    ($vector:ident, $narrow:ident, $features:literal, $seal:ident, $open:ident) => {
        #[target_feature(enable = $features)]
        pub(super) fn $seal(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vectors.
            unsafe { run::<$vector, $narrow, true>(jobs) }
        }

        #[target_feature(enable = $features)]
        pub(super) fn $open(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vectors.
            unsafe { run::<$vector, $narrow, false>(jobs) }
        }
    };
}
compiled!(V128, V128, "aes,pclmulqdq,ssse3,sse4.1", seal_128, open_128);
compiled!(V256, V256, "avx2,vaes,vpclmulqdq,aes,pclmulqdq", seal_256, open_256);
compiled!(V512, V256Vl, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2", seal_512, open_512);

/// Keys are fetched so many packets ahead.
const AHEAD: usize = 12;

/// The jobs that are not done. `SEAL` writes their tags; otherwise what has another tag is wiped, and not done.
///
/// Jobs of a class are done one after the other, whatever is between them. Few vectors of `N` cost less than as many bytes
/// in `V`, where these are different.
#[inline(always)]
unsafe fn run<V: Vector, N: Vector, const SEAL: bool>(jobs: &mut [Job<'_>]) -> u64 {
    let count = jobs.len().min(BURST);
    let mut classes = Classes::new();
    let mut present: u32 = 0;
    for (index, job) in jobs[..count].iter().enumerate() {
        if let Some(later) = jobs.get(index + AHEAD)
            && !std::ptr::eq(later.key, job.key)
            && let Some(schedule) = later.key.schedule()
        {
            schedule.prefetch(later.text.len());
        }
        let class = class::<V, N>(job.text.len());
        classes.0[index] = class;
        present |= 1 << class;
    }
    let mut failed = 0;
    // Always in the same order, which the processor learns.
    while present != 0 {
        let class = present.trailing_zeros() as u8;
        present &= present - 1;
        let mask = classes.of(class);
        // SAFETY: the class says how many vectors the packets make; the caller has the vectors' instructions.
        failed |= unsafe {
            match class {
                1 => go::<Pending<N, 1>, SEAL>(jobs, mask),
                2 => go::<Pending<N, 2>, SEAL>(jobs, mask),
                3 => go::<Pending<N, 3>, SEAL>(jobs, mask),
                4 => go::<Pending<N, 4>, SEAL>(jobs, mask),
                5 => go::<Pending<N, 5>, SEAL>(jobs, mask),
                WIDE_3 => go::<Pending<V, 3>, SEAL>(jobs, mask),
                WIDE_4 => go::<Pending<V, 4>, SEAL>(jobs, mask),
                WIDE_5 => go::<Pending<V, 5>, SEAL>(jobs, mask),
                WIDE_6 => go::<Pending<V, 6>, SEAL>(jobs, mask),
                WIDE_7 => go::<Pending<V, 7>, SEAL>(jobs, mask),
                WIDE_8 => go::<Pending<V, 8>, SEAL>(jobs, mask),
                WIDE_9 => go::<Pending<V, 9>, SEAL>(jobs, mask),
                WIDE_10 => go::<Pending<V, 10>, SEAL>(jobs, mask),
                _ => go::<Line<V>, SEAL>(jobs, mask),
            }
        };
    }
    failed
}

/// Narrow vectors of a short packet at most.
const NARROW: usize = 5;
/// What is added to the number of wide vectors for the class of a short packet.
const WIDE: u8 = 8;
const WIDE_3: u8 = WIDE + 3;
const WIDE_4: u8 = WIDE + 4;
const WIDE_5: u8 = WIDE + 5;
const WIDE_6: u8 = WIDE + 6;
const WIDE_7: u8 = WIDE + 7;
const WIDE_8: u8 = WIDE + 8;
const WIDE_9: u8 = WIDE + 9;
const WIDE_10: u8 = WIDE + 10;
/// All longer packets.
const LONG: u8 = 31;

/// By which code a text of that many bytes is done.
#[inline(always)]
fn class<V: Vector, N: Vector>(text: usize) -> u8 {
    let blocks = text.div_ceil(16) + 1;
    let (narrow, wide) = (blocks.div_ceil(N::LANES), blocks.div_ceil(V::LANES));
    if narrow <= NARROW {
        narrow as u8
    } else if wide <= LONGEST {
        WIDE + wide as u8
    } else {
        LONG
    }
}

/// The class of each job.
#[repr(align(64))]
struct Classes([u8; BURST]);

impl Classes {
    /// None is of any class.
    fn new() -> Classes {
        Classes([0; BURST])
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
    Some((Packet { schedule, nonce, aad: (block(aad.padded()), aad.as_slice().len()), text }, outcome))
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
