//! The clock.

/// The time-stamp counter, with nothing from before still under way and nothing from behind begun.
#[inline]
pub(super) fn now() -> u64 {
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
