//! The segment of the two rings between a data plane and one control plane.

use crate::layout::{HEADER_BYTES, RING_SLOTS, SLOT_WORDS};
use crate::memory::{Mapping, One};
use crate::ring::{Consumer, Producer, Ring};
use crate::segment::{Kind, Segment, SegmentError, Writers};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

type Shared = One<Ring<RING_SLOTS, SLOT_WORDS>>;
/// The end of a ring that is written.
pub(crate) type Sender = Producer<Shared, RING_SLOTS, SLOT_WORDS>;
/// The end of a ring that is read.
pub(crate) type Receiver = Consumer<Shared, RING_SLOTS, SLOT_WORDS>;

const RING_BYTES: usize = size_of::<Ring<RING_SLOTS, SLOT_WORDS>>();
const COMMANDS_AT: usize = HEADER_BYTES;
const EVENTS_AT: usize = COMMANDS_AT + RING_BYTES;
const LEN: usize = EVENTS_AT + RING_BYTES;
/// Two positions on lines of their own, then the slots.
const _: () = assert!(RING_BYTES == 2 * 64 + RING_SLOTS * SLOT_WORDS * 8);

fn rings(mapping: &Arc<Mapping>) -> Option<(Shared, Shared)> {
    Some((One::new(mapping, COMMANDS_AT)?, One::new(mapping, EVENTS_AT)?))
}

/// Makes the segment: the file to hand over, and the data plane's ends.
pub(crate) fn create() -> io::Result<(OwnedFd, Receiver, Sender)> {
    let Segment { fd, mapping } = Segment::create(Kind::Rings, [0; 5], LEN, Writers::Everybody)?;
    let (commands, events) = rings(&mapping).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((fd, Receiver::new(commands), Sender::new(events)))
}

/// Opens the segment: the control plane's ends.
pub(crate) fn open(fd: OwnedFd) -> Result<(Sender, Receiver), SegmentError> {
    let len = |parameters: [u64; 5]| (parameters == [0; 5]).then_some(LEN);
    let (Segment { mapping, .. }, _) = Segment::open(fd, Kind::Rings, true, len)?;
    let (commands, events) = rings(&mapping).ok_or(SegmentError::Size)?;
    Ok((Sender::new(commands), Receiver::new(events)))
}
