//! The half of a crypto device that a worker owns: a burst of packets in, the same burst out.

use super::device::Open;
use super::session::{DIGEST_MAX, Session, Way};
use crate::eal::{Eal, tsc, tsc_hz};
use crate::error::Error;
use crate::mbuf::Mbuf;
use crate::mempool::{HEADROOM, Mempool, PoolConfig};
use crate::packets::{BURST, Packets};
use dpdk_sys as sys;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Operations of a queue: those of a burst, and as many that may be late.
pub(super) const OPERATIONS: usize = 2 * BURST;
/// The longest packet that goes to a device, in bytes: software counts in 16 bits.
const LONGEST: usize = 0xFF00;
/// Packets in several segments that a burst may have, and bytes of the longest of them.
const GATHERED: (u32, u16) = (15, 16 * 1024);
/// How long a device may take for a burst, if nothing else was said.
const PATIENCE: Duration = Duration::from_millis(1);

/// One packet to be protected or opened.
#[derive(Debug)]
pub struct CryptoJob<'s> {
    /// Keys and algorithms.
    pub session: &'s Session,
    /// The slot of the packet in its burst; no two jobs have the same.
    pub slot: usize,
    /// As the cipher wants it, at the front.
    pub iv: [u8; 16],
    /// Additional data of an AEAD, at the front.
    pub aad: [u8; 16],
    /// What is encrypted or decrypted, in place; nobody looks at it where the session has no cipher.
    pub text: Range<usize>,
    /// What the MAC is of; nobody looks at it where the session is an AEAD.
    pub covered: Range<usize>,
    /// The digest at the front: what came with the packet, or, once done, what belongs to it.
    pub digest: [u8; DIGEST_MAX],
    /// What became of it.
    pub outcome: CryptoOutcome,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CryptoOutcome {
    /// It was not tried, the device could not do it, or has no room. The packet's contents mean nothing.
    #[default]
    Failed,
    /// Done.
    Done,
    /// The digest is not the packet's, whose contents mean nothing.
    Forged,
    /// It did not come back in time. The packet is in its slot no longer: the queue has it until it does.
    Late,
}

/// A queue of a crypto device. Only its owner uses it; the device lives at least as long.
pub struct CryptoQueue {
    open: Arc<Open>,
    queue: u16,
    operations: Box<[Operation; OPERATIONS]>,
    /// Numbers of operations that are not with the device.
    free: Vec<u8>,
    /// Counts the bursts, so that an operation of an earlier one is known.
    burst: u32,
    /// Buffers that packets in several segments are put together in.
    pool: Mempool,
    /// In TSC clocks.
    patience: u64,
}

struct Operation {
    raw: NonNull<sys::rte_crypto_op>,
    operands: NonNull<sys::espalier_operands>,
    /// The packet that it works on, where that is not in a slot: a copy, or one that is late.
    held: Option<Mbuf>,
    is_late: bool,
}

// SAFETY: the operations are this queue's alone, and memory without ties to a thread.
unsafe impl Send for CryptoQueue {}

impl CryptoQueue {
    /// # Safety
    ///
    /// The device is started and has this queue, and there is no other half for it.
    pub(super) unsafe fn new(open: Arc<Open>, queue: u16) -> Result<CryptoQueue, Error> {
        let operation = |raw: NonNull<sys::rte_crypto_op>| {
            // SAFETY: the operation is of a pool whose operations have operands behind them.
            let operands = unsafe { NonNull::new_unchecked(sys::espalier_operands(raw.as_ptr())) };
            Operation { raw, operands, held: None, is_late: false }
        };
        let operations = Box::new(open.operations()?.map(operation));
        let (count, data_room) = GATHERED;
        let config = PoolConfig { cache: 0, data_room, ..PoolConfig::new(count) };
        let pool = Mempool::with_config(&Eal::running()?, &format!("gather{}.{queue}", open.id()), config)?;
        let mut queue = CryptoQueue {
            open,
            queue,
            operations,
            free: (0..OPERATIONS as u8).collect(),
            burst: 0,
            pool,
            patience: 0,
        };
        queue.set_patience(PATIENCE);
        Ok(queue)
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        self.open.name()
    }

    /// How long a burst waits for the device: a millisecond if nothing is said. With zero it does not even look.
    pub fn set_patience(&mut self, patience: Duration) {
        let clocks = patience.as_nanos() * u128::from(tsc_hz()) / 1_000_000_000;
        self.patience = u64::try_from(clocks).unwrap_or(u64::MAX);
    }

    /// Packets that the device has not given back yet.
    pub fn late(&self) -> usize {
        self.operations.iter().filter(|operation| operation.is_late).count()
    }

    /// Does the jobs of a burst, of which there are at most 64; what is beyond is not done. A software device does them
    /// while this waits for it.
    ///
    /// A packet in several segments is put together, done, and written back, up to 16 KiB of them.
    pub fn process(&mut self, packets: &mut Packets, jobs: &mut [CryptoJob<'_>]) {
        self.burst = self.burst.wrapping_add(1);
        let mut row = [std::ptr::null_mut(); BURST];
        if self.free.len() < OPERATIONS {
            self.dequeue(packets, jobs, &mut row);
        }
        let mut filled = 0;
        let mut slots = 0_u64;
        for (number, job) in jobs.iter_mut().enumerate() {
            job.outcome = CryptoOutcome::Failed;
            let Some(place) = row.get_mut(filled) else { continue };
            // Of two jobs with one packet, the device would have that twice.
            if job.slot >= BURST || slots >> job.slot & 1 == 1 {
                continue;
            }
            if let Some(operation) = self.prepare(number, job, packets) {
                slots |= 1 << job.slot;
                *place = operation.as_ptr();
                filled += 1;
            }
        }
        if filled == 0 {
            return;
        }
        // SAFETY: the first `filled` are operations of ours, each whole, whose packets and sessions are lent to us at least
        // until they are back, or are known to be late. `&mut self` makes this the queue's only user.
        let taken = usize::from(unsafe {
            sys::espalier_crypto_enqueue(self.open.id(), self.queue, row.as_mut_ptr(), filled as u16)
        });
        for &operation in row.get(taken..filled).unwrap_or_default() {
            // SAFETY: the device did not take it, so it is ours.
            let number = unsafe { operation_number(operation) };
            self.release(number);
        }
        self.wait(packets, jobs, taken);
    }

    /// Waits until all are back, or patience is over; what is out then, is late.
    fn wait(&mut self, packets: &mut Packets, jobs: &mut [CryptoJob<'_>], mut out: usize) {
        let mut row = [std::ptr::null_mut(); BURST];
        let mut since = None;
        while out > 0 {
            if self.patience == 0 || since.is_some_and(|since| tsc().wrapping_sub(since) > self.patience) {
                break;
            }
            let (any, ours) = self.dequeue(packets, jobs, &mut row);
            out -= ours;
            if any {
                since = None;
            } else {
                since.get_or_insert_with(tsc);
                std::hint::spin_loop();
            }
        }
        if out > 0 {
            self.give_up(packets, jobs);
        }
    }

    /// Fills an operation for a job whose ranges lie in its packet.
    fn prepare(
        &mut self,
        number: usize,
        job: &CryptoJob<'_>,
        packets: &Packets,
    ) -> Option<NonNull<sys::rte_crypto_op>> {
        let packet = packets.get(job.slot)?;
        let shape = job.session.shape;
        let text = shape.block.map_or(Some(0..0), |block| {
            let len = job.text.end.checked_sub(job.text.start)?;
            (len > 0 && len.is_multiple_of(block)).then(|| job.text.clone())
        })?;
        let covered = if shape.is_aead { 0..0 } else { job.covered.clone() };
        let whole = packet.len() <= LONGEST && text.end <= packet.len() && covered.end <= packet.len();
        if !whole || !shape.is_aead && covered.is_empty() || !Arc::ptr_eq(&job.session.open, &self.open) {
            return None;
        }
        let copy = if packet.segments() > 1 { Some(self.gather(packet)?) } else { None };
        let index = self.free.pop()?;
        let operation = self.operations.get_mut(usize::from(index))?;
        operation.held = copy;
        let work = sys::espalier_work {
            session: job.session.as_ptr(),
            packet: operation.held.as_ref().unwrap_or(packet).as_ptr(),
            cipher_offset: text.start as u32,
            cipher_len: (text.end - text.start) as u32,
            mac_offset: covered.start as u32,
            mac_len: (covered.end - covered.start) as u32,
            is_aead: u8::from(shape.is_aead),
        };
        // SAFETY: the operation is free, so it and its operands are ours; the work's ranges were checked above, and its
        // packet is in one piece and stays where it is until the operation is back.
        unsafe {
            let operands = operation.operands.as_mut();
            operands.iv = job.iv;
            operands.aad = job.aad;
            if job.session.way() == Way::Open {
                operands.digest = job.digest;
            }
            operands.tag = u64::from(self.burst) << 32 | (number as u64) << 8 | u64::from(index);
            sys::espalier_operation_set(operation.raw.as_ptr(), &work);
        }
        Some(operation.raw)
    }

    /// A copy in one piece.
    fn gather(&self, packet: &Mbuf) -> Option<Mbuf> {
        if packet.len() > usize::from(GATHERED.1 - HEADROOM) {
            return None;
        }
        let mut copy = self.pool.alloc()?;
        for piece in packet.segment_slices() {
            copy.append(piece.len()).ok()?.copy_from_slice(piece);
        }
        Some(copy)
    }

    /// Takes back what the device has done: whether there was any, and how many of them are of this burst.
    fn dequeue(
        &mut self,
        packets: &mut Packets,
        jobs: &mut [CryptoJob<'_>],
        row: &mut [*mut sys::rte_crypto_op; BURST],
    ) -> (bool, usize) {
        // SAFETY: the row has room for so many pointers. `&mut self` makes this the queue's only user.
        let count = usize::from(unsafe {
            sys::espalier_crypto_dequeue(self.open.id(), self.queue, row.as_mut_ptr(), BURST as u16)
        });
        let mut ours = 0;
        for &raw in row.get(..count).unwrap_or_default() {
            // SAFETY: what a queue gives back are operations that it was given, all of them ours.
            let tag = unsafe { tag(raw) };
            // SAFETY: as above.
            let number = unsafe { operation_number(raw) };
            if (tag >> 32) as u32 == self.burst {
                ours += 1;
                if let Some(job) = jobs.get_mut((tag >> 8 & 0xFF_FFFF) as usize) {
                    self.finish(number, packets, job);
                }
            }
            self.release(number);
        }
        (count > 0, ours)
    }

    /// What the device says of a job, and its digest.
    fn finish(&mut self, number: u8, packets: &mut Packets, job: &mut CryptoJob<'_>) {
        let Some(operation) = self.operations.get_mut(usize::from(number)) else { return };
        // SAFETY: the operation is back, so it and its operands are ours.
        let (outcome, operands) =
            unsafe { (sys::espalier_operation_outcome(operation.raw.as_ptr()), operation.operands.as_ref()) };
        job.outcome = match outcome {
            sys::espalier_outcome_ESPALIER_DONE => CryptoOutcome::Done,
            sys::espalier_outcome_ESPALIER_FORGED => CryptoOutcome::Forged,
            _ => CryptoOutcome::Failed,
        };
        if job.session.way() == Way::Protect {
            let len = job.session.shape.digest.min(DIGEST_MAX);
            job.digest[..len].copy_from_slice(&operands.digest[..len]);
        }
        if let (Some(copy), Some(packet)) = (&operation.held, packets.get_mut(job.slot)) {
            let mut rest = copy.data();
            for piece in packet.segment_slices_mut() {
                if let Some((part, more)) = rest.split_at_checked(piece.len()) {
                    piece.copy_from_slice(part);
                    rest = more;
                }
            }
        }
    }

    /// An operation is ours again, and what it held is freed.
    fn release(&mut self, number: u8) {
        let Some(operation) = self.operations.get_mut(usize::from(number)) else { return };
        operation.held = None;
        if std::mem::take(&mut operation.is_late) {
            self.open.one_back();
        }
        self.free.push(number);
    }

    /// The operations of this burst that are still out are late: their packets are the queue's now.
    fn give_up(&mut self, packets: &mut Packets, jobs: &mut [CryptoJob<'_>]) {
        for (number, operation) in (0_u8..).zip(self.operations.iter_mut()) {
            if operation.is_late || self.free.contains(&number) {
                continue;
            }
            // SAFETY: the tag is nobody's but ours, also while the device has the operation.
            let tag = unsafe { tag(operation.raw.as_ptr()) };
            operation.is_late = true;
            self.open.more_late(1);
            if let Some(job) = jobs.get_mut((tag >> 8 & 0xFF_FFFF) as usize) {
                job.outcome = CryptoOutcome::Late;
                let packet = packets.take(job.slot);
                // What the device has is the copy, where there is one.
                operation.held = operation.held.take().or(packet);
            }
        }
    }
}

impl Drop for CryptoQueue {
    fn drop(&mut self) {
        // One more look; with what is late even now, the device stays as it is for good, and so does its packet.
        let mut row = [std::ptr::null_mut(); BURST];
        self.burst = self.burst.wrapping_add(1);
        while self.dequeue(&mut Packets::new(), &mut [], &mut row).0 {}
        for operation in self.operations.iter_mut().filter(|operation| operation.is_late) {
            std::mem::forget(operation.held.take());
        }
    }
}

impl fmt::Debug for CryptoQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CryptoQueue({} {})", self.open.name(), self.queue)
    }
}

/// # Safety
///
/// The operation is of a [`CryptoQueue`].
unsafe fn tag(operation: *mut sys::rte_crypto_op) -> u64 {
    // SAFETY: the operands behind such an operation live as long as it, and no device touches their tag.
    unsafe { (*sys::espalier_operands(operation)).tag }
}

/// The operation's number in its queue.
///
/// # Safety
///
/// The operation is of a [`CryptoQueue`].
unsafe fn operation_number(operation: *mut sys::rte_crypto_op) -> u8 {
    // SAFETY: as the caller says.
    unsafe { tag(operation) as u8 }
}
