//! Espalier's own AES-GCM for x86-64: one kernel at three widths.
//!
//! [`burst`] cuts a burst into classes; [`short`] and [`kernel`] (in units: [`unit`]) do short packets and long ones. They
//! are written once, over a [`Vector`](vector::Vector) of blocks. With 512 bits the shortest go four [`abreast`]. What is
//! compiled for instructions that a processor may lack is reached only through [`Width`], which is made only where they are.
//!
//! # Secrets, branches and addresses
//!
//! What is decided depends on lengths, on which key is whose and on whether a tag is right; never on keys, texts or what a
//! tag should be. It was looked at in two ways, which whoever changes a kernel should repeat. Valgrind's memcheck watched
//! `aes-ni` with keys and packets that it was told nothing was ever written to, lengths from 0 to 3000, 128 and 256 bits:
//! expanding keys and sealing have no jump and no address that depends on such bytes; opening has the one of the
//! outcome, in `settle`. Valgrind does not know the wider instructions, but the wider kernels are the same source; their
//! object code was searched for what brings vectors to flags or general registers, which is: comparisons of classes and of
//! tags, masks made of lengths, and bytes of texts and tags that are compared or written in pieces.

mod abreast;
mod burst;
mod classes;
mod ghash;
mod gmac;
mod kernel;
mod schedule;
mod short;
mod unit;
mod v128;
mod v256;
mod v512;
mod vector;

pub(crate) use schedule::Schedule;

use crate::batch::Job;
use std::arch::x86_64::*;

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
                Lanes::One => burst::seal_128(jobs),
                Lanes::Two => burst::seal_256(jobs),
                Lanes::Four => burst::seal_512(jobs),
            }
        }
    }

    /// Opens a burst, as [`crate::open`] says.
    pub(crate) fn open(self, jobs: &mut [Job<'_>]) -> u64 {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::One => burst::open_128(jobs),
                Lanes::Two => burst::open_256(jobs),
                Lanes::Four => burst::open_512(jobs),
            }
        }
    }
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
