//! An AES-GCM key, expanded.

use crate::back_end::{BackEnd, Kind};
use crate::portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Schedule, Width};
use model::KeyLen;
use std::fmt;

/// A key in the form that a back end uses. It wipes itself when dropped and prints nothing. For our own kernel it is 960
/// bytes without a pointer; the portable back end keeps what its library makes elsewhere.
pub struct Key(Form);

#[cfg(target_arch = "x86_64")]
const _: () = assert!(size_of::<Key>() == 960);

#[cfg_attr(
    target_arch = "x86_64",
    expect(clippy::large_enum_variant, reason = "the large one is the usual one")
)]
enum Form {
    Portable(Box<portable::Key>),
    #[cfg(target_arch = "x86_64")]
    Simd(Schedule),
}

/// The key has not the length that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an AES key of {} bits has {} bytes, not {len}", key.bits(), key.bytes())]
pub struct WrongKeyLength {
    /// What it was for.
    pub key: KeyLen,
    /// What was given, in bytes.
    pub len: usize,
}

impl Key {
    /// Expands a key of 16, 24 or 32 bytes (without salt) for the chosen back end. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`WrongKeyLength`] if `bytes` is not as long as `length` says.
    pub fn new(bytes: &[u8], length: KeyLen) -> Result<Key, WrongKeyLength> {
        Key::new_for(BackEnd::chosen(), bytes, length)
    }

    /// As [`Key::new`], for another back end. All those of our own kernel take each other's keys.
    ///
    /// # Errors
    /// [`WrongKeyLength`] if `bytes` is not as long as `length` says.
    pub fn new_for(back_end: BackEnd, bytes: &[u8], length: KeyLen) -> Result<Key, WrongKeyLength> {
        let wrong = WrongKeyLength { key: length, len: bytes.len() };
        if bytes.len() != length.bytes() {
            return Err(wrong);
        }
        let form = match back_end.0 {
            Kind::Portable => Form::Portable(Box::new(portable::Key::new(bytes, length)?)),
            #[cfg(target_arch = "x86_64")]
            Kind::Simd(width) => Form::Simd(width.schedule(bytes).ok_or(wrong)?),
        };
        Ok(Key(form))
    }

    /// Brings what a text of so many bytes uses of the key towards the core, some time before it is used.
    #[inline]
    pub fn prefetch(&self, text: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Form::Simd(schedule) = &self.0 {
            schedule.prefetch(text);
        }
    }

    /// One that takes it: the chosen one if that does.
    pub(crate) fn back_end(&self) -> BackEnd {
        let chosen = BackEnd::chosen();
        match (&self.0, chosen.0) {
            (Form::Portable(_), _) => BackEnd(Kind::Portable),
            #[cfg(target_arch = "x86_64")]
            (Form::Simd(_), Kind::Simd(_)) => chosen,
            #[cfg(target_arch = "x86_64")]
            (Form::Simd(_), Kind::Portable) => BackEnd(Width::one().map_or(Kind::Portable, Kind::Simd)),
        }
    }

    /// For our own kernel.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        match &self.0 {
            Form::Simd(schedule) => Some(schedule),
            Form::Portable(_) => None,
        }
    }

    /// For the portable back end.
    pub(crate) fn portable(&self) -> Option<&portable::Key> {
        match &self.0 {
            Form::Portable(key) => Some(key),
            #[cfg(target_arch = "x86_64")]
            Form::Simd(_) => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match &self.0 {
            Form::Portable(key) => key.key_len(),
            #[cfg(target_arch = "x86_64")]
            Form::Simd(schedule) => schedule.key_len(),
        };
        write!(f, "Key({} bits)", length.bits())
    }
}
