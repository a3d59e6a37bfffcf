//! A ring of fixed-size messages from one writer to one reader, over memory that the other side can write at will.
//!
//! Each side keeps its own position privately and only ever publishes it, so nothing that the other side writes can
//! move it. The other side's position is believed only as far as it is possible: more than the ring holds is
//! [`Corrupt`]. Words are copied out before anybody looks at them, and are wiped in the ring then.

use crate::sync::{AtomicU64, Ordering};
use std::ops::Deref;

/// The other side's position in a ring is impossible. Nothing more can be read from or written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side of the ring wrote a position that cannot be; drop the connection")]
pub struct Corrupt;

/// A position on a cache line of its own.
#[repr(C, align(64))]
struct Position(AtomicU64);

/// The shared part of a ring: `SLOTS` (a power of two) messages of `WORDS` words. Messages are counted from 0, wrapping.
#[repr(C)]
pub(crate) struct Ring<const SLOTS: usize, const WORDS: usize> {
    /// How many messages the reader has taken.
    head: Position,
    /// How many messages the writer has put in.
    tail: Position,
    slots: [[AtomicU64; WORDS]; SLOTS],
}

impl<const SLOTS: usize, const WORDS: usize> Ring<SLOTS, WORDS> {
    const POWER_OF_TWO: () = assert!(SLOTS.is_power_of_two());

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Ring {
            head: Position(AtomicU64::new(0)),
            tail: Position(AtomicU64::new(0)),
            slots: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// The slot of a message.
    fn slot(&self, number: u64) -> Option<&[AtomicU64; WORDS]> {
        let () = Self::POWER_OF_TWO;
        self.slots.get(number as usize & (SLOTS - 1))
    }

    /// How far `tail` is before `head`, if that is possible.
    fn distance(head: u64, tail: u64) -> Result<usize, Corrupt> {
        match tail.wrapping_sub(head) {
            distance if distance <= SLOTS as u64 => Ok(distance as usize),
            _ => Err(Corrupt),
        }
    }
}

/// The writing end. There must be one only; a second one loses messages, nothing worse.
pub(crate) struct Producer<R, const SLOTS: usize, const WORDS: usize> {
    ring: R,
    tail: u64,
}

impl<R: Deref<Target = Ring<SLOTS, WORDS>>, const SLOTS: usize, const WORDS: usize>
    Producer<R, SLOTS, WORDS>
{
    /// For a ring that nothing was written to yet.
    pub(crate) fn new(ring: R) -> Self {
        Producer { ring, tail: 0 }
    }

    /// Messages that there is room for.
    pub(crate) fn free(&self) -> Result<usize, Corrupt> {
        let head = self.ring.head.0.load(Ordering::Acquire);
        Ok(SLOTS - Ring::<SLOTS, WORDS>::distance(head, self.tail)?)
    }

    /// Puts a message in; `false` if there is no room.
    pub(crate) fn push(&mut self, message: &[u64; WORDS]) -> Result<bool, Corrupt> {
        if self.free()? == 0 {
            return Ok(false);
        }
        let slot = self.ring.slot(self.tail).ok_or(Corrupt)?;
        for (cell, word) in slot.iter().zip(message) {
            cell.store(*word, Ordering::Relaxed);
        }
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.0.store(self.tail, Ordering::Release);
        Ok(true)
    }
}

/// The reading end. There must be one only.
pub(crate) struct Consumer<R, const SLOTS: usize, const WORDS: usize> {
    ring: R,
    head: u64,
}

impl<R: Deref<Target = Ring<SLOTS, WORDS>>, const SLOTS: usize, const WORDS: usize>
    Consumer<R, SLOTS, WORDS>
{
    /// For a ring that nothing was read from yet.
    pub(crate) fn new(ring: R) -> Self {
        Consumer { ring, head: 0 }
    }

    /// Messages that wait.
    pub(crate) fn waiting(&self) -> Result<usize, Corrupt> {
        let tail = self.ring.tail.0.load(Ordering::Acquire);
        Ring::<SLOTS, WORDS>::distance(self.head, tail)
    }

    /// Takes the next message into `message` and wipes it in the ring; `false` if there is none.
    pub(crate) fn pop(&mut self, message: &mut [u64; WORDS]) -> Result<bool, Corrupt> {
        if self.waiting()? == 0 {
            return Ok(false);
        }
        let slot = self.ring.slot(self.head).ok_or(Corrupt)?;
        for (cell, word) in slot.iter().zip(message) {
            *word = cell.load(Ordering::Relaxed);
            cell.store(0, Ordering::Relaxed);
        }
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, Ordering::Release);
        Ok(true)
    }
}
