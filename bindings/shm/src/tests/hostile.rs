//! Memory that means harm, for the tests of those who read it: files and words as an attacker would make them.

use crate::layout::{HEADER_BYTES, MAGIC};
use crate::memory::{Mapping, Overlaid};
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a segment's header that mean something.
const HEADER_WORDS: usize = 8;
/// All that a segment must be sealed against.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// All words of a mapping, to be written at will.
pub(super) type Words = Overlaid<AtomicU64>;

pub(super) fn words(fd: impl AsFd) -> Words {
    let len = fstat(&fd).unwrap().st_size as usize;
    let mapping = Arc::new(Mapping::new(fd.as_fd(), len, true).unwrap());
    Words::new(&mapping, 0, len / 8).unwrap()
}

/// A memfd of so many bytes, all zero, and its words.
pub(super) fn memory(len: usize) -> (OwnedFd, Words) {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, len as u64).unwrap();
    let words = words(&fd);
    (fd, words)
}

/// A copy of a segment that is sealed as it must be, and can be written by the test at any time. (Windows of an SA table
/// are left zero.)
pub(super) fn forged(honest: BorrowedFd<'_>) -> (OwnedFd, Words) {
    let len = fstat(honest).unwrap().st_size as usize;
    let (fd, copy) = memory(len);
    let mut bytes = vec![0; len.min(1 << 18)];
    rustix::io::pread(honest, &mut bytes, 0).unwrap();
    for (word, chunk) in copy.iter().zip(bytes.as_chunks::<8>().0) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    fcntl_add_seals(&fd, SEALS).unwrap();
    (fd, copy)
}

/// Numbers that code which trusts them would stumble over.
pub(super) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..9_u64,
        1 => (0..64_u32).prop_map(|bit| 1 << bit),
        1 => (0..64_u32).prop_map(|bit| (1 << bit) - 1),
        1 => (0..3_u64).prop_map(|n| u64::MAX - n),
        1 => Just(u64::from_ne_bytes([b'A'; 8])),
        2 => any::<u64>(),
    ]
}

/// Overwrites some of the words.
pub(super) fn pokes(among: usize) -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0..among, number()), 0..8)
}

pub(super) fn poke(words: &[AtomicU64], pokes: &[(usize, u64)]) {
    for &(at, value) in pokes {
        words[at].store(value, Relaxed);
    }
}

/// What is wrong with a file that claims to be a segment.
#[derive(Clone, Debug)]
pub(super) enum Flaw {
    Header(usize, u64),
    Size(u64),
    Seals(SealFlags),
}

pub(super) fn flaw() -> impl Strategy<Value = Flaw> {
    let size = prop_oneof![
        0..9_u64,
        Just(HEADER_BYTES as u64 - 1),
        Just(HEADER_BYTES as u64),
        0..1_u64 << 20,
        Just(1_u64 << 40)
    ];
    // Without these, it could change its size under its reader.
    let seals = prop::sample::select(vec![
        SealFlags::empty(),
        SealFlags::SEAL,
        SealFlags::SEAL | SealFlags::GROW,
        SealFlags::SEAL | SealFlags::WRITE,
        SealFlags::SHRINK | SealFlags::GROW,
    ]);
    prop_oneof![
        4 => (0..HEADER_WORDS, number()).prop_map(|(at, value)| Flaw::Header(at, value)),
        2 => size.prop_map(Flaw::Size),
        1 => seals.prop_map(Flaw::Seals),
    ]
}

/// A copy of a segment's header in a file that has a flaw.
pub(super) fn flawed(honest: BorrowedFd<'_>, flaw: &Flaw) -> OwnedFd {
    let mut header = [0; HEADER_WORDS * 8];
    rustix::io::pread(honest, &mut header, 0).unwrap();
    let mut len = fstat(honest).unwrap().st_size as u64;
    let mut seals = SEALS;
    match *flaw {
        Flaw::Header(at, value) => header.as_chunks_mut::<8>().0[at] = value.to_ne_bytes(),
        Flaw::Size(size) => len = size,
        Flaw::Seals(few) => seals = few,
    }
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::pwrite(&fd, &header, 0).unwrap();
    ftruncate(&fd, len).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

/// Whether a file with the flaw is the honest one all the same.
pub(super) fn is_harmless(honest: BorrowedFd<'_>, flaw: &Flaw) -> bool {
    match *flaw {
        Flaw::Header(at, value) => {
            let mut word = [0; 8];
            rustix::io::pread(honest, &mut word, at as u64 * 8).unwrap();
            word == value.to_ne_bytes()
        }
        Flaw::Size(size) => size == fstat(honest).unwrap().st_size as u64,
        Flaw::Seals(_) => false,
    }
}

/// Files that are no memory at all.
pub(super) fn no_memory() -> Vec<OwnedFd> {
    let regular = tempfile::tempfile().unwrap();
    rustix::io::pwrite(&regular, &MAGIC.to_ne_bytes(), 0).unwrap();
    ftruncate(&regular, 1 << 20).unwrap();
    let open = |path: &str| std::fs::File::open(path).unwrap().into();
    let unsealable = memfd_create("hostile", MemfdFlags::CLOEXEC).unwrap();
    vec![regular.into(), open("/dev/zero"), open("/"), open("/proc/self/stat"), unsealable]
}
