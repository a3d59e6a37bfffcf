//! Mapped memory as typed references, bounds- and alignment-checked. With `segment`, the only unsafe code of this crate.

use crate::guarded::Guarded;
use crate::ring::Ring;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A type that may be laid over memory that other processes write at any time.
///
/// # Safety
/// It is `repr(C)` or `repr(transparent)` and made of 64-bit atomics only, so that it has no invalid values, no padding
/// that matters, and every byte of it may change at any time; and it has no `Drop`.
pub(crate) unsafe trait Overlay {}

// SAFETY: it is the one thing that such types are made of.
unsafe impl Overlay for AtomicU64 {}
// SAFETY: `repr(C)` of an `AtomicU64` and an array of them.
unsafe impl<const WORDS: usize> Overlay for Guarded<WORDS> {}
// SAFETY: `repr(C)` of `repr(C)` positions, each an `AtomicU64`, and of arrays of `AtomicU64`.
unsafe impl<const SLOTS: usize, const WORDS: usize> Overlay for Ring<SLOTS, WORDS> {}

/// A shared mapping of a file that cannot shrink.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that stays where it is until it is dropped; what is handed out of it are atomics or,
// for immutable files, bytes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a memfd whose seals keep it at least that long. The memory goes into no core dump.
    ///
    /// The caller has checked the seal and the size: otherwise an access beyond the file's end would end the process.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize, writable: bool) -> io::Result<Mapping> {
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping, placed by the kernel, touches no memory that anybody has.
        let base = unsafe {
            mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED | MapFlags::NORESERVE, fd, 0)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping { base, len };
        // SAFETY: the range is exactly the mapping, and this advice changes no contents.
        unsafe { madvise(base.as_ptr().cast(), len, Advice::LinuxDontDump)? };
        Ok(mapping)
    }

    /// Where `count` values of a type are, if they are inside and aligned.
    fn locate<T>(&self, offset: usize, count: usize) -> Option<NonNull<T>> {
        let end = size_of::<T>().checked_mul(count)?.checked_add(offset)?;
        if end > self.len {
            return None;
        }
        // SAFETY: `offset <= end <= len`, so the result is inside the mapping or just behind it.
        let at = unsafe { self.base.add(offset) }.cast::<T>();
        at.is_aligned().then_some(at)
    }

    /// All bytes of a mapping whose contents can never change.
    ///
    /// # Safety
    /// The file is sealed against every kind of writing (`F_SEAL_WRITE`) and against shrinking.
    pub(crate) unsafe fn immutable_bytes(&self) -> &[u8] {
        // SAFETY: base and length are the mapping's; nobody can write it, as the caller vouches.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are what `mmap` gave; every reference into it borrows this or holds an `Arc` of it.
        // Failing is impossible for a whole mapping, and there is nothing that one could do.
        unsafe {
            let _ = munmap(self.base.as_ptr().cast(), self.len);
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Some values in a mapping, which they keep alive.
pub(crate) struct Overlaid<T> {
    at: NonNull<T>,
    count: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: it is a shared reference to `[T]` together with the share that keeps it valid.
unsafe impl<T: Sync> Send for Overlaid<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Overlaid<T> {}

impl<T: Overlay> Overlaid<T> {
    /// `count` values from `offset` bytes on; `None` if that is not inside the mapping or not aligned.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize, count: usize) -> Option<Overlaid<T>> {
        let at = mapping.locate(offset, count)?;
        Some(Overlaid { at, count, _mapping: Arc::clone(mapping) })
    }
}

impl<T: Overlay> Deref for Overlaid<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `locate` found the values inside of the mapping and aligned; the share keeps the mapping; any bits are
        // valid for an `Overlay`, and all of it is atomic, so that others may write while references exist. In a read-only
        // mapping nobody stores: the types that wrap one only load.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.count) }
    }
}

impl<T> fmt::Debug for Overlaid<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlaid").field("count", &self.count).finish_non_exhaustive()
    }
}

/// One value in a mapping.
pub(crate) struct One<T>(Overlaid<T>);

impl<T> fmt::Debug for One<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("One")
    }
}

impl<T: Overlay> One<T> {
    /// The value at `offset` bytes; `None` if that is not inside the mapping or not aligned.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Option<One<T>> {
        Overlaid::new(mapping, offset, 1).map(One)
    }
}

impl<T: Overlay> Deref for One<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `Overlaid`, whose count is 1.
        unsafe { self.0.at.as_ref() }
    }
}
