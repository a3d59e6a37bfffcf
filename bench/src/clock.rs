//! The clock, and what is timed by it.

use std::time::Instant;

/// The time-stamp counter, with nothing from before still under way and nothing from behind begun.
#[inline]
pub(crate) fn now() -> u64 {
    barrier();
    let now = dpdk::tsc();
    barrier();
    now
}

#[inline]
fn barrier() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it touches nothing.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// What came of a lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lap {
    /// Clocks of the time-stamp counter that it took.
    pub clocks: u64,
    /// Packets that were not done, or did not verify.
    pub failed: usize,
}

/// Times some work that says how many packets failed.
#[inline]
pub fn timed(work: impl FnOnce() -> usize) -> Lap {
    let begin = now();
    let failed = work();
    let end = now();
    Lap { clocks: end.wrapping_sub(begin), failed }
}

/// How fast the time-stamp counter is, against the time that Linux keeps. The longer ago it began, the better it knows.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    begun: (u64, Instant),
}

impl Rate {
    /// Begins to watch both.
    pub fn begin() -> Rate {
        Rate { begun: (now(), Instant::now()) }
    }

    /// Clocks in a nanosecond.
    pub fn per_nanosecond(&self) -> f64 {
        let (clocks, begun) = self.begun;
        now().wrapping_sub(clocks) as f64 / begun.elapsed().as_nanos().max(1) as f64
    }
}
