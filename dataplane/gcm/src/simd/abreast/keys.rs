//! The keys of four packets, brought into lanes.

use super::super::schedule::Schedule;
use super::super::v512::V512;
use super::super::vector::Vector;
use super::{MOST, each};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Round keys of AES-256.
const ROUNDS: usize = 15;
/// Powers for the text, the additional data and the lengths.
const POWERS: usize = MOST + 2;

/// The keys of four packets, each in its lane.
pub(in crate::simd) struct Keys {
    /// Whose they are; null in the first lane if they are nobody's.
    pub(super) of: [*const Schedule; 4],
    /// Written as far as the keys have rounds.
    rounds: [MaybeUninit<V512>; ROUNDS],
    /// The first power, the second, ... as many as a packet of the class needs that brought them last.
    powers: [MaybeUninit<V512>; POWERS],
}

impl Keys {
    /// Two that are nobody's, of which only that is written.
    pub(in crate::simd) fn nobodys(keys: &mut MaybeUninit<[Keys; 2]>) -> &mut [Keys; 2] {
        for number in 0..2 {
            // SAFETY: the place is within `keys`.
            unsafe {
                (&raw mut (*keys.as_mut_ptr().cast::<Keys>().add(number)).of).write([std::ptr::null(); 4])
            };
        }
        // SAFETY: whose they are is written, and the rest may be anything.
        unsafe { keys.assume_init_mut() }
    }

    /// Wipes those that are somebody's.
    ///
    /// # Safety
    /// The processor has V512's instructions.
    pub(in crate::simd) unsafe fn wipe(keys: &mut [Keys; 2]) {
        for keys in keys.iter_mut().filter(|keys| !keys.of[0].is_null()) {
            for key in keys.rounds.iter_mut().chain(&mut keys.powers) {
                // SAFETY: the place is ours. Volatile, as nobody reads it any more.
                unsafe { std::ptr::write_volatile(key.as_mut_ptr(), V512::zero()) };
            }
        }
    }

    /// Brings the round keys, and the first `COUNT` powers.
    ///
    /// # Safety
    /// The schedules are there, have equally many rounds, and the processor has V512's instructions.
    #[inline(always)]
    pub(super) unsafe fn bring<const COUNT: usize>(&mut self, of: [*const Schedule; 4]) {
        self.of = of;
        // SAFETY: the schedules have these round keys and powers; the rest is as the caller says.
        unsafe {
            let last = (*of[0]).last();
            if of[0] == of[1] && of[0] == of[2] && of[0] == of[3] {
                self.write::<COUNT>(last, |at| V512::broadcast(_mm_loadu_si128(at(&*of[0]).cast())));
            } else {
                self.write::<COUNT>(last, |at| V512::gather(each(|lane| at(&*of[lane]))));
            }
        }
    }

    /// Writes what `lanes` makes of the places in each schedule.
    #[inline(always)]
    fn write<const COUNT: usize>(
        &mut self,
        last: usize,
        lanes: impl Fn(&dyn Fn(&Schedule) -> *const u8) -> V512,
    ) {
        for number in 0..11 {
            self.rounds[number].write(lanes(&|schedule| schedule.round_at(number)));
        }
        if last > 10 {
            for number in 11..=last {
                self.rounds[number].write(lanes(&|schedule| schedule.round_at(number)));
            }
        }
        for number in 1..=COUNT {
            self.powers[number - 1].write(lanes(&|schedule| schedule.powers(number)));
        }
    }

    /// # Safety
    /// It was brought.
    #[inline(always)]
    pub(super) unsafe fn round(&self, number: usize) -> V512 {
        // SAFETY: as the caller says.
        unsafe { self.rounds.get_unchecked(number).assume_init() }
    }

    /// # Safety
    /// It was brought.
    #[inline(always)]
    pub(super) unsafe fn power(&self, number: usize) -> V512 {
        // SAFETY: as the caller says.
        unsafe { self.powers.get_unchecked(number - 1).assume_init() }
    }
}
