//! The halves of a port's queues: what a worker owns.

use crate::port::Open;
use dpdk_sys as sys;
use std::fmt;
use std::sync::Arc;

/// A receive queue. Only its owner receives from it; the device lives at least as long.
pub struct RxQueue {
    open: Arc<Open>,
    port: u16,
    queue: u16,
}

/// A transmit queue. Only its owner sends on it; the device lives at least as long.
pub struct TxQueue {
    open: Arc<Open>,
    port: u16,
    queue: u16,
}

impl RxQueue {
    /// # Safety
    ///
    /// The port is started and has this receive queue, and there is no other half for it.
    pub(crate) unsafe fn new(open: Arc<Open>, queue: u16) -> RxQueue {
        RxQueue { port: open.id(), open, queue }
    }

    /// The queue's number in its port.
    pub fn number(&self) -> u16 {
        self.queue
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        self.open.name()
    }

    /// Receives up to `room` packets.
    ///
    /// # Safety
    ///
    /// `room` pointers can be written from `packets` on. The first so many as are returned are owned packets then;
    /// nothing is to be made of what is in the others.
    #[inline]
    pub(crate) unsafe fn burst(&mut self, packets: *mut *mut sys::rte_mbuf, room: u16) -> u16 {
        // SAFETY: `open` keeps the port started; `&mut self` makes this the queue's only user.
        unsafe { sys::espalier_rx_burst(self.port, self.queue, packets, room) }
    }
}

impl TxQueue {
    /// # Safety
    ///
    /// The port is started and has this transmit queue, and there is no other half for it.
    pub(crate) unsafe fn new(open: Arc<Open>, queue: u16) -> TxQueue {
        TxQueue { port: open.id(), open, queue }
    }

    /// The queue's number in its port.
    pub fn number(&self) -> u16 {
        self.queue
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        self.open.name()
    }

    /// Sends packets; returns how many the device took, from the first on.
    ///
    /// # Safety
    ///
    /// `count` pointers from `packets` on are owned packets; those that the device took are no longer the caller's.
    #[inline]
    pub(crate) unsafe fn burst(&mut self, packets: *mut *mut sys::rte_mbuf, count: u16) -> u16 {
        // SAFETY: `open` keeps the port started; `&mut self` makes this the queue's only user.
        unsafe { sys::espalier_tx_burst(self.port, self.queue, packets, count) }
    }
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RxQueue({} {})", self.device(), self.queue)
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxQueue({} {})", self.device(), self.queue)
    }
}
