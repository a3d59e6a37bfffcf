//! Espalier's own AES-GCM for x86-64: one kernel at three widths.
//!
//! [`kernel`] is written once, over a [`Vector`](vector::Vector) of blocks. What is compiled for instructions that a
//! processor may lack is reached only through [`Width`], which is made only where they are.

mod ghash;
mod gmac;
mod kernel;
mod schedule;
mod v128;
mod v256;
mod v512;
mod vector;

pub(crate) use schedule::Schedule;

use crate::batch::{BURST, Job};
use std::arch::x86_64::*;
use v128::V128;
use v256::V256;
use v512::V512;
use vector::{Vector, block};

/// A width that this processor has the instructions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width(Lanes);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    One,
    Two,
    Four,
}

impl Width {
    /// AES-NI, PCLMULQDQ, SSE 4.1: a block at a time.
    pub(crate) fn one() -> Option<Width> {
        let there = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        there.then_some(Width(Lanes::One))
    }

    /// AVX2, VAES, VPCLMULQDQ: two blocks at a time.
    pub(crate) fn two() -> Option<Width> {
        let there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        (there && Width::one().is_some()).then_some(Width(Lanes::Two))
    }

    /// AVX-512, VAES, VPCLMULQDQ: four blocks at a time.
    pub(crate) fn four() -> Option<Width> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2");
        (there && Width::two().is_some()).then_some(Width(Lanes::Four))
    }

    /// As [`crate::BackEnd::name`] gives it.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Lanes::One => "aes-ni",
            Lanes::Two => "vaes-256",
            Lanes::Four => "vaes-512",
        }
    }

    /// Expands a key of 16, 24 or 32 bytes; `None` for other lengths. It serves all widths.
    pub(crate) fn schedule(self, key: &[u8]) -> Option<Schedule> {
        // SAFETY: every width has the instructions of the narrowest.
        unsafe { Schedule::new(key) }
    }

    /// Seals a burst, as [`crate::seal`] says.
    pub(crate) fn seal(self, jobs: &mut [Job<'_>]) -> u64 {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::One => seal_128(jobs),
                Lanes::Two => seal_256(jobs),
                Lanes::Four => seal_512(jobs),
            }
        }
    }

    /// Opens a burst, as [`crate::open`] says.
    pub(crate) fn open(self, jobs: &mut [Job<'_>]) -> u64 {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::One => open_128(jobs),
                Lanes::Two => open_256(jobs),
                Lanes::Four => open_512(jobs),
            }
        }
    }
}

/// The burst's functions, compiled for a width.
macro_rules! compiled {
    ($vector:ident, $features:literal, $seal:ident, $open:ident) => {
        #[target_feature(enable = $features)]
        fn $seal(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vector.
            unsafe { run::<$vector, true>(jobs) }
        }

        #[target_feature(enable = $features)]
        fn $open(jobs: &mut [Job<'_>]) -> u64 {
            // SAFETY: this has the instructions of the vector.
            unsafe { run::<$vector, false>(jobs) }
        }
    };
}
compiled!(V128, "aes,pclmulqdq,ssse3,sse4.1", seal_128, open_128);
compiled!(V256, "avx2,vaes,vpclmulqdq,aes,pclmulqdq", seal_256, open_256);
compiled!(V512, "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2", seal_512, open_512);

/// Keys are fetched so many packets ahead.
const AHEAD: usize = 12;

/// The jobs that are not done. `SEAL` writes their tags; otherwise what has another tag is wiped, and not done.
#[inline(always)]
unsafe fn run<V: Vector, const SEAL: bool>(jobs: &mut [Job<'_>]) -> u64 {
    let mut failed = 0;
    // SAFETY: the texts are the jobs', as the keys are, and the caller has V's instructions.
    unsafe {
        let mut line = kernel::Line::<V>::new();
        let mut before = None;
        for index in 0..jobs.len().min(BURST) {
            if let Some(later) = jobs.get(index + AHEAD)
                && !std::ptr::eq(later.key, jobs[index].key)
                && let Some(schedule) = later.key.schedule()
            {
                schedule.prefetch(later.text.len() / 16 + 3);
            }
            let Some(packet) = packet(&mut jobs[index]) else {
                failed |= 1 << index;
                continue;
            };
            let tag = line.packet::<SEAL>(&packet);
            if let Some(before) = before.replace(index) {
                failed |= u64::from(!finish::<SEAL>(&mut jobs[before], tag)) << before;
            }
        }
        if let Some(before) = before {
            failed |= u64::from(!finish::<SEAL>(&mut jobs[before], line.end())) << before;
        }
    }
    failed
}

/// What the kernel needs of a job; `None` if there is no such place in its packet, or its key is not ours.
#[inline(always)]
fn packet<'a>(job: &mut Job<'a>) -> Option<kernel::Packet<'a>> {
    let (schedule, nonce, aad) = (job.key.schedule()?, job.nonce, job.aad);
    let (text, _) = job.parts()?;
    let text = (text.as_mut_ptr(), text.len());
    Some(kernel::Packet { schedule, nonce, aad: (block(aad.padded()), aad.as_slice().len()), text })
}

/// Writes a job's tag, or compares it.
#[inline(always)]
fn finish<const SEAL: bool>(job: &mut Job<'_>, tag: __m128i) -> bool {
    let Some((text, icv)) = job.parts() else { return false };
    if SEAL {
        copy_tag(tag, icv);
        return true;
    }
    let same = is_tag(tag, icv);
    if !same {
        text.fill(0);
    }
    same
}

/// Writes the tag's beginning.
#[inline(always)]
fn copy_tag(tag: __m128i, icv: &mut [u8]) {
    let tag = bytes(tag);
    match <&mut [u8; 16]>::try_from(&mut *icv) {
        Ok(whole) => *whole = tag,
        Err(_) => icv.iter_mut().zip(tag).for_each(|(to, byte)| *to = byte),
    }
}

/// Whether that is the tag's beginning. Takes the same time whichever bytes differ.
#[inline(always)]
fn is_tag(tag: __m128i, icv: &[u8]) -> bool {
    let tag = u128::from_le_bytes(bytes(tag));
    // SAFETY: the ICV is a slice, and no longer than a block.
    let given = u128::from_le_bytes(bytes(unsafe { vector::load_bytes(icv.as_ptr(), icv.len()) }));
    // Bits of the ICV; the rest of the tag does not count.
    let known = u128::MAX >> (128 - 8 * icv.len());
    (tag ^ given) & known == 0
}

/// A block's bytes.
#[inline(always)]
fn bytes(block: __m128i) -> [u8; 16] {
    // SAFETY: both are 16 bytes of plain data.
    unsafe { std::mem::transmute(block) }
}
