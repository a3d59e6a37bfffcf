//! GMAC for a burst, as ESP uses it (RFC 4543, ENCR_NULL_AUTH_AES_GMAC): packets that are authenticated and stay readable.
//!
//! What is authenticated is a job's additional data (SPI and sequence number) and its text, one right behind the other. In
//! ESP the text begins with the IV (section 3.3), and the ICV has 16 bytes; shorter ones are its beginning here too.

use crate::back_end::{BackEnd, Kind};
use crate::batch::{BURST, Job};
use crate::portable;

/// Writes the ICV behind each job's text, which stays as it is. Returns which jobs were not done (bit *i* for job *i*), as
/// [`seal`](crate::seal) does. A nonce is never used twice with one key here either, nor for a packet that is sealed.
#[must_use = "a packet that was not authenticated must not be sent"]
pub fn authenticate(jobs: &mut [Job<'_>]) -> u64 {
    authenticate_by(BackEnd::chosen(), jobs)
}

/// Verifies the ICV of each job, whose text stays as it is. Returns which jobs failed (bit *i* for job *i*), as
/// [`open`](crate::open) does: their text is zero. It was no secret, but whoever overlooks the outcome must not take it
/// for the peer's.
#[must_use = "what failed must not be used"]
pub fn verify(jobs: &mut [Job<'_>]) -> u64 {
    verify_by(BackEnd::chosen(), jobs)
}

/// [`authenticate`] by a back end that is not the chosen one.
#[must_use = "a packet that was not authenticated must not be sent"]
pub fn authenticate_by(back_end: BackEnd, jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    match back_end.0 {
        Kind::Portable => portable::authenticate(jobs),
        #[cfg(target_arch = "x86_64")]
        Kind::Simd(width) => width.authenticate(jobs),
    }
}

/// [`verify`] by a back end that is not the chosen one.
#[must_use = "what failed must not be used"]
pub fn verify_by(back_end: BackEnd, jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    match back_end.0 {
        Kind::Portable => portable::verify(jobs),
        #[cfg(target_arch = "x86_64")]
        Kind::Simd(width) => width.verify(jobs),
    }
}

#[cfg(test)]
mod tests;
