//! Segments: sealed memfds with a header that says what they are.

use crate::layout::{HEADER_BYTES, MAGIC, VERSION};
use crate::memory::{Mapping, One, Overlay};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of the files that segments are in: nobody opens them by these, but `/proc/PID/maps` shows them.
pub(crate) mod file_name {
    /// What all begin with.
    pub(crate) const PREFIX: &str = "espalier";
    pub(crate) const SAS: &str = "espalier-sas";
    pub(crate) const POLICY: &str = "espalier-policy";
}

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command and event rings.
    Rings = 1,
    /// The SA table.
    Sas = 2,
    /// The counters.
    Counters = 3,
    /// A policy image with its labels.
    Policy = 4,
    /// A policy's hit counters.
    Hits = 5,
}

impl Kind {
    fn file_name(self) -> &'static str {
        match self {
            Kind::Rings => "espalier-rings",
            Kind::Sas => file_name::SAS,
            Kind::Counters => "espalier-counters",
            Kind::Policy => file_name::POLICY,
            Kind::Hits => "espalier-hits",
        }
    }
}

/// The first words of a segment. The rest of its first page is zero.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU64,
    pub(crate) kind: AtomicU64,
    /// What the kind says: counts from which the length follows.
    pub(crate) parameters: [AtomicU64; 5],
}

// SAFETY: `repr(C)` of `AtomicU64`s.
unsafe impl Overlay for Header {}

/// A segment that was received is not what it should be; whoever made it is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The kernel refused something.
    #[error("the segment cannot be mapped: {0}")]
    Io(#[from] io::Error),
    /// It could change under its reader.
    #[error("the segment is not sealed as it must be; its maker is faulty")]
    NotSealed,
    /// Magic, kind or version is another.
    #[error("the segment is of another kind or version; install both planes from one build")]
    NotOurs,
    /// The size, or what the header says of it, cannot be.
    #[error("the segment's size does not fit its header, or is too large")]
    Size,
    /// A label of a policy is not one.
    #[error("the policy segment holds a label that is not a text")]
    Label,
    /// An origin of a policy's rule is beyond any policy's.
    #[error("the policy segment holds an origin that no rule can have")]
    Origin,
}

impl From<rustix::io::Errno> for SegmentError {
    fn from(errno: rustix::io::Errno) -> SegmentError {
        SegmentError::Io(errno.into())
    }
}

/// Seals against everything that could make an access fail.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A segment and the file that it is in, to hand on.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) fd: OwnedFd,
    pub(crate) mapping: Arc<Mapping>,
}

/// Who may write a segment once it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// Its maker alone: nobody can get a writable mapping of it any more, by whatever way.
    Maker,
    /// Whoever gets it.
    Everybody,
}

impl Segment {
    /// A new segment of `len` bytes, all zero behind its header. Memory is taken only where it is written.
    pub(crate) fn create(
        kind: Kind,
        parameters: [u64; 5],
        len: usize,
        writers: Writers,
    ) -> io::Result<Segment> {
        let fd = memfd_create(kind.file_name(), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)?;
        let mapping = Arc::new(Mapping::new(fd.as_fd(), len, true)?);
        let header = One::<Header>::new(&mapping, 0).ok_or(io::ErrorKind::InvalidInput)?;
        header.magic.store(MAGIC, Ordering::Relaxed);
        header.version.store(u64::from(VERSION), Ordering::Relaxed);
        header.kind.store(kind as u64, Ordering::Relaxed);
        for (cell, parameter) in header.parameters.iter().zip(parameters) {
            cell.store(parameter, Ordering::Relaxed);
        }
        if writers == Writers::Maker {
            // The mapping made above stays writable.
            fcntl_add_seals(&fd, SealFlags::FUTURE_WRITE)?;
        }
        fcntl_add_seals(&fd, SealFlags::SEAL)?;
        Ok(Segment { fd, mapping })
    }

    /// Maps a segment that somebody handed over. `len` gives the length that the header's parameters ask for, or refuses
    /// them; the file must have exactly that.
    pub(crate) fn open(
        fd: OwnedFd,
        kind: Kind,
        writable: bool,
        len: impl FnOnce([u64; 5]) -> Option<usize>,
    ) -> Result<(Segment, [u64; 5]), SegmentError> {
        let size = sealed_size(fd.as_fd(), SIZE_SEALS)?;
        let mapping = Arc::new(Mapping::new(fd.as_fd(), size, writable)?);
        let header = One::<Header>::new(&mapping, 0).ok_or(SegmentError::Size)?;
        let is = |cell: &AtomicU64, value: u64| cell.load(Ordering::Relaxed) == value;
        if !is(&header.magic, MAGIC)
            || !is(&header.version, u64::from(VERSION))
            || !is(&header.kind, kind as u64)
        {
            return Err(SegmentError::NotOurs);
        }
        // Read once: what is checked here is what the caller gets.
        let parameters = std::array::from_fn(|i| {
            header.parameters.get(i).map_or(0, |cell: &AtomicU64| cell.load(Ordering::Relaxed))
        });
        if len(parameters) != Some(size) {
            return Err(SegmentError::Size);
        }
        Ok((Segment { fd, mapping }, parameters))
    }
}

/// The size of a memfd that has all of these seals.
pub(crate) fn sealed_size(fd: BorrowedFd<'_>, seals: SealFlags) -> Result<usize, SegmentError> {
    // What is no memfd has no seals, and says so with an error.
    let has = fcntl_get_seals(fd).map_err(|_| SegmentError::NotSealed)?;
    if !has.contains(seals) {
        return Err(SegmentError::NotSealed);
    }
    let size = usize::try_from(fstat(fd)?.st_size).map_err(|_| SegmentError::Size)?;
    if size < HEADER_BYTES || size > isize::MAX as usize { Err(SegmentError::Size) } else { Ok(size) }
}
