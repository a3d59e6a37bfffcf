//! A burst's jobs, each with the class of packets that it belongs to: those are done by the same code.

use super::abreast;
use super::short::LONGEST;
use super::vector::{Vector, block};
use crate::TAG_LEN;
use crate::batch::{BURST, Job};
use std::arch::x86_64::*;

/// A class of packets abreast is so many times the place of their keys' length among all, and the blocks of a text.
pub(super) const LENGTHS: u8 = abreast::MOST as u8 + 1;
/// A class of other short packets is this, the number of their vectors, and [`TAIL`] times the blocks of their last vector
/// where that is gone through at half the width.
pub(super) const SHORT: u8 = 3 * LENGTHS - 1;
/// As many as short packets have vectors.
pub(super) const TAIL: u8 = LONGEST as u8;
/// All longer packets.
pub(super) const LONG: u8 = 63;

const _: () = assert!(SHORT + 3 * TAIL < LONG);

/// The class of each job.
#[repr(align(64))]
pub(super) struct Classes([u8; BURST]);

/// What a burst consists of.
pub(super) struct Sorted {
    /// A bit for each class that there is.
    pub(super) present: u64,
    /// Jobs that cannot be done.
    pub(super) failed: u64,
    /// All tags are whole.
    pub(super) whole: bool,
    /// How many jobs have not the key of the one before.
    pub(super) keys: usize,
}

impl Classes {
    /// None is of a class that there is.
    pub(super) fn new() -> Classes {
        Classes([u8::MAX; BURST])
    }

    /// Finds the class of each job, and prefetches its key. A function of its own, so that it has the registers for itself.
    #[inline(never)]
    pub(super) fn sort<V: Vector, const ABREAST: bool>(&mut self, jobs: &[Job<'_>]) -> Sorted {
        let table = const { &table(V::LANES, ABREAST) };
        let mut sorted = Sorted { present: 0, failed: 0, whole: true, keys: 0 };
        // Bits in which an ICV's length is another than a tag's.
        let mut cut = 0;
        let mut last = std::ptr::null();
        for (index, (job, class)) in jobs.iter().zip(&mut self.0).enumerate() {
            let Some(schedule) = job.key.schedule().filter(|_| job.fits()) else {
                sorted.failed |= 1 << index;
                continue;
            };
            let len = job.text.end - job.text.start;
            if !std::ptr::eq(schedule, last) {
                last = schedule;
                sorted.keys += 1;
                schedule.prefetch(len);
            }
            *class = table[schedule.key_len() as usize][len.div_ceil(16).min(MANY)];
            sorted.present |= 1 << *class;
            cut |= job.icv.bytes() ^ TAG_LEN;
        }
        sorted.whole = cut == 0;
        sorted
    }

    /// Which jobs are of that class.
    #[inline(always)]
    pub(super) fn of(&self, class: u8) -> u64 {
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

/// As many blocks as this, or more, make a long packet at any width.
const MANY: usize = 63;

/// The class of packets by the place of their keys' length among all, and the blocks of their text.
const fn table(lanes: usize, abreast: bool) -> [[u8; MANY + 1]; 3] {
    let mut table = [[LONG; MANY + 1]; 3];
    let mut key_len = 0;
    while key_len < table.len() {
        let mut blocks = 0;
        while blocks <= MANY {
            // With the additional data's in front.
            let (vectors, tail) = ((blocks + 1).div_ceil(lanes), (blocks + 1) % lanes);
            if abreast && blocks <= abreast::MOST {
                table[key_len][blocks] = LENGTHS * key_len as u8 + blocks as u8;
            } else if vectors <= LONGEST {
                // Only 512 bits have a half that is less work.
                let tail = if lanes == 4 && tail <= 2 { tail } else { 0 };
                table[key_len][blocks] = SHORT + vectors as u8 + TAIL * tail as u8;
            }
            blocks += 1;
        }
        key_len += 1;
    }
    table
}
