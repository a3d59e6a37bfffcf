//! Sealing and opening a burst.

use crate::NONCE_LEN;
use crate::back_end::{BackEnd, Kind};
use crate::key::Key;
use crate::portable;
use model::IcvLen;
use std::ops::Range;

/// Jobs of one call at most, as outcomes are bits of a word.
pub const BURST: usize = 64;

/// Additional authenticated data: 8 bytes, or 12 with extended sequence numbers (RFC 4106, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Aad {
    /// The data, zeroes, and in the last byte how long the data are.
    bytes: [u8; 16],
}

impl Aad {
    /// The longest, in bytes.
    pub const MAX: usize = 12;
    /// No data.
    pub(crate) const EMPTY: Aad = Aad { bytes: [0; 16] };

    /// Copies the bytes in; `None` if there are more than [`Aad::MAX`].
    #[inline]
    pub fn new(bytes: &[u8]) -> Option<Aad> {
        let mut aad = Aad::EMPTY;
        aad.bytes[..Aad::MAX].get_mut(..bytes.len())?.copy_from_slice(bytes);
        aad.bytes[15] = bytes.len() as u8;
        Some(aad)
    }

    /// Of 8 or 12 bytes, with zeroes behind them, and in the last byte how many they are. Anything else is no data.
    #[inline]
    pub const fn padded(bytes: [u8; 16]) -> Aad {
        // In one word, which is written at once.
        let word = u128::from_le_bytes(bytes);
        let data = match word >> 120 {
            8 => word & u64::MAX as u128,
            12 => word & ((1 << 96) - 1),
            _ => return Aad::EMPTY,
        };
        Aad { bytes: (data | word >> 120 << 120).to_le_bytes() }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.bytes[15])).unwrap_or(&self.bytes)
    }

    /// The bytes, and zeroes up to a block.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn block(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.bytes;
        [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]
    }
}

impl From<[u8; 8]> for Aad {
    #[inline]
    fn from([a, b, c, d, e, f, g, h]: [u8; 8]) -> Aad {
        Aad { bytes: [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 8] }
    }
}

impl From<[u8; 12]> for Aad {
    #[inline]
    fn from([a, b, c, d, e, f, g, h, i, j, k, l]: [u8; 12]) -> Aad {
        Aad { bytes: [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 12] }
    }
}

/// One packet to be sealed or opened, or authenticated or verified, independent of all others in its burst.
#[derive(Debug)]
#[repr(C)]
pub struct Job<'a> {
    /// The key.
    pub key: &'a Key,
    /// The packet. Bytes outside of text and ICV are neither changed nor authenticated.
    pub packet: &'a mut [u8],
    /// What is encrypted (by GMAC only authenticated), within `packet`, 0 to 65,535 bytes. The ICV follows at once.
    pub text: Range<usize>,
    /// Salt and IV. Never twice with one key when sealing or authenticating.
    pub nonce: [u8; NONCE_LEN],
    /// What is authenticated beside the text.
    pub aad: Aad,
    /// Bytes of the ICV.
    pub icv: IcvLen,
}

// The kernel reads 16 bytes from the nonce on, the additional data with their length, and the text's two ends, each at once.
const _: () = assert!(
    std::mem::offset_of!(Job<'_>, nonce) + NONCE_LEN == std::mem::offset_of!(Job<'_>, aad)
        && size_of::<Aad>() == 16
        && std::mem::offset_of!(Range<usize>, start) == 0
        && size_of::<Range<usize>>() == 16
);

impl Job<'_> {
    /// Whether the packet has such a place for text and ICV.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn fits(&self) -> bool {
        let Range { start, end } = self.text;
        start <= end && end <= self.packet.len() && self.icv.bytes() <= self.packet.len() - end
    }

    /// The text and the ICV behind it; `None` if the packet has no such place.
    #[inline]
    pub(crate) fn parts(&mut self) -> Option<(&mut [u8], &mut [u8])> {
        let end = self.text.end.checked_add(self.icv.bytes())?;
        let len = self.text.end.checked_sub(self.text.start)?;
        self.packet.get_mut(self.text.start..end)?.split_at_mut_checked(len)
    }
}

/// Encrypts the text of each job and writes the ICV behind it. Returns which jobs were not done (bit *i* for job *i*):
/// those that have no room for text and ICV where they say, or a key of another back end; and those beyond the first
/// [`BURST`] are not done either. A packet that was not done is as it was, and must not be sent.
#[must_use = "a packet that was not sealed must not be sent"]
pub fn seal(jobs: &mut [Job<'_>]) -> u64 {
    seal_by(BackEnd::chosen(), jobs)
}

/// Verifies the ICV of each job and decrypts its text. Returns which jobs failed (bit *i* for job *i*): their text is
/// zero. A job that has no room for text and ICV where it says, or a key of another back end, fails, and nothing of it is
/// changed; those beyond the first [`BURST`] are not looked at.
#[must_use = "what failed must not be used"]
pub fn open(jobs: &mut [Job<'_>]) -> u64 {
    open_by(BackEnd::chosen(), jobs)
}

/// [`seal`] by a back end that is not the chosen one.
#[must_use = "a packet that was not sealed must not be sent"]
pub fn seal_by(back_end: BackEnd, jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    match back_end.0 {
        Kind::Portable => portable::seal(jobs),
        #[cfg(target_arch = "x86_64")]
        Kind::Simd(width) => width.seal(jobs),
    }
}

/// [`open`] by a back end that is not the chosen one.
#[must_use = "what failed must not be used"]
pub fn open_by(back_end: BackEnd, jobs: &mut [Job<'_>]) -> u64 {
    debug_assert!(jobs.len() <= BURST, "more jobs than a burst has");
    match back_end.0 {
        Kind::Portable => portable::open(jobs),
        #[cfg(target_arch = "x86_64")]
        Kind::Simd(width) => width.open(jobs),
    }
}

#[cfg(test)]
pub(crate) mod tests;
