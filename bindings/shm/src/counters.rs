//! The counters segment: what every worker and port counts, and what the data plane says of itself.
//!
//! Each counter has one writer, which adds without an atomic read-modify-write; readers see a value that was true a
//! moment ago. Only the data plane writes; everybody else has the segment read-only.

use crate::command::{MacAddress, PortId};
use crate::guarded::Guarded;
use crate::histogram::Histogram;
use crate::layout::{DEVICE_BYTES, DROP_ROOM, HEADER_BYTES, MAX_PORTS, MAX_WORKERS, NAME_BYTES, STAGE_ROOM};
use crate::memory::{One, Overlaid, Overlay};
use crate::segment::{Kind, Segment, SegmentError, Writers};
use crate::text::{Device, PortName, Text};
use crate::words::{DropReason, Stage};
use serde::Serialize;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter or gauge with a single writer.
#[repr(transparent)]
#[derive(Debug)]
pub struct Counter(AtomicU64);

// SAFETY: `repr(transparent)` over an `AtomicU64`.
unsafe impl Overlay for Counter {}

impl Counter {
    /// Adds. One thread only: of two at once, one would be lost.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Sets, for a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The times of one stage in one worker, of those bursts that were measured.
#[repr(C)]
#[derive(Debug)]
pub struct StageCounters {
    /// Bursts measured.
    pub calls: Counter,
    /// Packets in them.
    pub packets: Counter,
    /// TSC clocks that they took.
    pub clocks: Counter,
    /// TSC clocks per packet of each burst, weighted by its packets.
    pub histogram: Histogram,
    reserved: [Counter; 5],
}

impl StageCounters {
    /// Writes down a burst of so many packets and its TSC clocks. No packets is not counted.
    #[inline]
    pub fn record(&self, packets: u64, clocks: u64) {
        let Some(each) = clocks.checked_div(packets) else { return };
        self.calls.add(1);
        self.packets.add(packets);
        self.clocks.add(clocks);
        self.histogram.record(each, packets);
    }
}

/// What one worker counts of one port.
#[repr(C)]
#[derive(Debug)]
pub struct PortCounters {
    /// Frames received.
    pub rx_packets: Counter,
    /// Bytes of them.
    pub rx_bytes: Counter,
    /// Frames sent.
    pub tx_packets: Counter,
    /// Bytes of them.
    pub tx_bytes: Counter,
    /// Frames handed to Linux through the mirror TAP.
    pub to_linux: Counter,
    /// Frames taken from it.
    pub from_linux: Counter,
    reserved: [Counter; 2],
}

/// What one worker counts.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct WorkerCounters {
    /// Rounds over all queues.
    pub polls: Counter,
    /// Rounds that found nothing.
    pub empty_polls: Counter,
    /// Rounds that found packets.
    pub bursts: Counter,
    /// Packets received from wires and from Linux.
    pub packets: Counter,
    /// Gauge: packets that wait for an SA or a neighbour's address.
    pub held: Counter,
    reserved: [Counter; 3],
    /// Packets that the worker made: further fragments of one, and answers in place of one.
    pub made: Counter,
    /// Packets that became part of another one: fragments that were put together.
    pub merged: Counter,
    /// Fragments that were put aside to wait for the others.
    pub stored: Counter,
    /// Fragments that were put aside, by whatever worker, and came out again.
    pub released: Counter,
    reserved_too: [Counter; 4],
    /// By [`DropReason::index`].
    pub drops: [Counter; DROP_ROOM],
    /// By [`Stage::index`].
    pub stages: [StageCounters; STAGE_ROOM],
    /// By the port's number.
    pub ports: [PortCounters; MAX_PORTS],
}

const _: () = assert!(size_of::<StageCounters>() == 59 * 64);
const _: () = assert!(size_of::<PortCounters>() == 64);
const _: () = assert!(size_of::<WorkerCounters>() == 128 + 96 * 8 + 16 * 59 * 64 + 32 * 64);

// SAFETY: `repr(C)` of `Overlay` types and arrays of them.
unsafe impl Overlay for WorkerCounters {}

impl WorkerCounters {
    /// Counts dropped packets.
    #[inline]
    pub fn drop(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.drops.get(reason.index()) {
            counter.add(packets);
        }
    }

    /// The times of a stage.
    #[inline]
    pub fn stage(&self, stage: Stage) -> &StageCounters {
        const { assert!(Stage::ALL.len() <= STAGE_ROOM) };
        // In bounds, as asserted beside the enum: its numbers are 0 to its length.
        &self.stages[stage.index() % STAGE_ROOM]
    }

    /// What it counts of a port; `None` if there can be no such port.
    #[inline]
    pub fn port(&self, number: u16) -> Option<&PortCounters> {
        self.ports.get(usize::from(number))
    }
}

/// What the data plane says of itself at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// TSC clocks in a second.
    pub tsc_hz: u64,
    /// Packet memory is on hugepages.
    pub hugepages: bool,
    /// Name of the AES-GCM back end in use; cut at 32 bytes.
    pub crypto: &'a str,
    /// What an idle worker does; cut at 16 bytes.
    pub idle: &'a str,
}

/// An attached port, as the data plane and the device see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortStatus {
    /// Name of the mirror TAP in Linux; empty without one.
    pub name: PortName,
    /// DPDK device string.
    pub device: Device,
    /// Station address.
    pub mac: MacAddress,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Administratively down.
    pub shutdown: bool,
    /// The link is up.
    pub link_up: bool,
    /// Speed of the link in Mbit/s; 0 or `u32::MAX` if the device does not know.
    pub speed_mbps: u32,
    /// Packets that the device dropped because nobody took them in time.
    pub missed: u64,
    /// Packets that the device could not receive or send.
    pub errors: u64,
    /// Times that the device found no buffer for a packet.
    pub no_mbuf: u64,
}

const NAME_WORDS: usize = (NAME_BYTES + 1) / 8;
const DEVICE_WORDS: usize = DEVICE_BYTES / 8;
const PORT_WORDS: usize = 5 + NAME_WORDS + DEVICE_WORDS;
const PORT_ATTACHED: u8 = 1;
const PORT_SHUTDOWN: u8 = 2;
const PORT_LINK_UP: u8 = 4;

const _: () = assert!(DEVICE_BYTES.is_multiple_of(8) && (NAME_BYTES + 1).is_multiple_of(8));

/// A text's padded bytes as words; what does not fit is cut.
fn text_words<const N: usize, const WORDS: usize>(text: &Text<N>) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(text.padded().chunks(8)) {
        let mut bytes = [0; 8];
        for (byte, from) in bytes.iter_mut().zip(chunk) {
            *byte = *from;
        }
        *word = u64::from_ne_bytes(bytes);
    }
    words
}

/// The reverse of [`text_words`], from words that may be anything.
fn words_text<const N: usize>(words: &[u64]) -> Option<Text<N>> {
    let mut bytes = [0; N];
    let mut from = words.iter().flat_map(|word| word.to_ne_bytes());
    for byte in &mut bytes {
        *byte = from.next()?;
    }
    from.all(|byte| byte == 0).then_some(())?;
    Text::from_padded(&bytes).ok()
}

impl PortStatus {
    fn words(&self) -> [u64; PORT_WORDS] {
        let flags = PORT_ATTACHED
            | if self.shutdown { PORT_SHUTDOWN } else { 0 }
            | if self.link_up { PORT_LINK_UP } else { 0 };
        let [m0, m1, m2, m3, m4, m5] = self.mac;
        let name: [u64; NAME_WORDS] = text_words(&self.name);
        let device: [u64; DEVICE_WORDS] = text_words(&self.device);
        let mut words = [0; PORT_WORDS];
        let parts = [
            u64::from_ne_bytes([flags, 0, m0, m1, m2, m3, m4, m5]),
            u64::from(self.mtu) | u64::from(self.speed_mbps) << 32,
            self.missed,
            self.errors,
            self.no_mbuf,
        ];
        for (word, part) in words.iter_mut().zip(parts.into_iter().chain(name).chain(device)) {
            *word = part;
        }
        words
    }

    pub(crate) fn from_words(words: &[u64; PORT_WORDS]) -> Option<PortStatus> {
        let (&[small, mtu_speed, missed, errors, no_mbuf], texts) = words.split_first_chunk()?;
        let (name, device) = texts.split_at_checked(NAME_WORDS)?;
        let [flags, _, mac @ ..] = small.to_ne_bytes();
        if flags & PORT_ATTACHED == 0 {
            return None;
        }
        Some(PortStatus {
            name: words_text(name)?,
            device: words_text(device)?,
            mac,
            mtu: mtu_speed as u16,
            shutdown: flags & PORT_SHUTDOWN != 0,
            link_up: flags & PORT_LINK_UP != 0,
            speed_mbps: (mtu_speed >> 32) as u32,
            missed,
            errors,
            no_mbuf,
        })
    }
}

/// What the data plane says of itself.
#[repr(C, align(64))]
pub(crate) struct Globals {
    pub(crate) tsc_hz: Counter,
    /// Nanoseconds since 1970.
    pub(crate) started_at: Counter,
    pub(crate) generation: Counter,
    pub(crate) pid: Counter,
    pub(crate) hugepages: Counter,
    pub(crate) events_lost: Counter,
    pub(crate) mbufs_in_use: Counter,
    pub(crate) mbufs_available: Counter,
    pub(crate) texts: Guarded<6>,
    reserved: [Counter; 1],
    pub(crate) ports: [Guarded<PORT_WORDS>; MAX_PORTS],
}

// SAFETY: `repr(C)` of `Overlay` types and arrays of them.
unsafe impl Overlay for Globals {}

const GLOBALS_LEN: usize = size_of::<Globals>();
const _: () = assert!(GLOBALS_LEN == 128 + MAX_PORTS * 28 * 8);

impl Globals {
    pub(crate) fn crypto_and_idle(&self) -> (Text<32>, Text<16>) {
        let words = self.texts.read().unwrap_or_default();
        let (crypto, idle) = words.split_at(4);
        (words_text(crypto).unwrap_or_default(), words_text(idle).unwrap_or_default())
    }
}

fn len(workers: u64) -> Option<usize> {
    let workers = usize::try_from(workers).ok().filter(|workers| (1..=MAX_WORKERS).contains(workers))?;
    Some(HEADER_BYTES + GLOBALS_LEN + workers * size_of::<WorkerCounters>())
}

/// The counters of the data plane, which alone writes them.
#[derive(Debug)]
pub struct Counters {
    workers: Overlaid<WorkerCounters>,
    globals: One<Globals>,
    fd: OwnedFd,
}

impl Counters {
    /// All zero, for so many workers.
    pub(crate) fn create(workers: usize, generation: u64) -> io::Result<Counters> {
        let parameters = [workers as u64, 0, 0, 0, 0];
        let len = len(workers as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let Segment { fd, mapping } = Segment::create(Kind::Counters, parameters, len, Writers::Maker)?;
        let parts = || {
            let workers = Overlaid::new(&mapping, HEADER_BYTES + GLOBALS_LEN, workers)?;
            Some((workers, One::<Globals>::new(&mapping, HEADER_BYTES)?))
        };
        let (workers, globals) = parts().ok_or(io::ErrorKind::InvalidInput)?;
        globals.generation.set(generation);
        globals.pid.set(u64::from(std::process::id()));
        globals.started_at.set(crate::sa::now());
        Ok(Counters { workers, globals, fd })
    }

    /// A worker's counters, which that worker alone writes; `None` if there is no such worker.
    #[inline]
    pub fn worker(&self, number: usize) -> Option<&WorkerCounters> {
        self.workers.get(number)
    }

    /// Writes down what the data plane is. Manager's thread only, as all that follows.
    pub fn describe(&self, description: &Description<'_>) {
        self.globals.tsc_hz.set(description.tsc_hz);
        self.globals.hugepages.set(u64::from(description.hugepages));
        let [c0, c1, c2, c3] = text_words(&Text::<32>::lossy(description.crypto));
        let [i0, i1] = text_words(&Text::<16>::lossy(description.idle));
        self.globals.texts.write(&[c0, c1, c2, c3, i0, i1]);
    }

    /// Writes down how many packet buffers are in use and free.
    pub fn set_mbufs(&self, in_use: u64, available: u64) {
        self.globals.mbufs_in_use.set(in_use);
        self.globals.mbufs_available.set(available);
    }

    /// Writes down what a port is.
    pub fn set_port(&self, port: PortId, status: &PortStatus) {
        if let Some(guarded) = self.globals.ports.get(port.index()) {
            guarded.write(&status.words());
        }
    }

    /// Writes down that a port is not attached.
    pub fn clear_port(&self, port: PortId) {
        if let Some(guarded) = self.globals.ports.get(port.index()) {
            guarded.write(&[0; PORT_WORDS]);
        }
    }

    pub(crate) fn lose_event(&self) {
        self.globals.events_lost.add(1);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// A copy of everything.
    pub fn snapshot(&self) -> crate::CountersSnapshot {
        crate::CountersSnapshot::take(&self.globals, &self.workers)
    }
}

/// The counters, as all others see them: read-only, and as they were left when the data plane is dead.
#[derive(Debug)]
pub struct CountersView {
    workers: Overlaid<WorkerCounters>,
    globals: One<Globals>,
}

impl CountersView {
    pub(crate) fn open(fd: OwnedFd) -> Result<CountersView, SegmentError> {
        let length = |parameters: [u64; 5]| match parameters {
            [workers, 0, 0, 0, 0] => len(workers),
            _ => None,
        };
        let (Segment { mapping, .. }, [workers, ..]) = Segment::open(fd, Kind::Counters, false, length)?;
        let workers = Overlaid::new(&mapping, HEADER_BYTES + GLOBALS_LEN, workers as usize);
        Ok(CountersView {
            workers: workers.ok_or(SegmentError::Size)?,
            globals: One::new(&mapping, HEADER_BYTES).ok_or(SegmentError::Size)?,
        })
    }

    /// Workers that there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A copy of everything.
    pub fn snapshot(&self) -> crate::CountersSnapshot {
        crate::CountersSnapshot::take(&self.globals, &self.workers)
    }

    /// What a port is; `None` if none is attached under the number.
    pub fn port(&self, port: PortId) -> Option<PortStatus> {
        PortStatus::from_words(&self.globals.ports.get(port.index())?.read()?)
    }
}
