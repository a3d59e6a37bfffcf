//! The queues that a worker owns: one pair of each port, and one of its mirror TAP.

use crate::snapshot::MAX_PORTS;
use dpdk::{RxQueue, TxQueue};

/// Both directions of one device.
pub(crate) struct Pair {
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
}

/// A port as one worker has it.
pub(crate) struct PortQueues {
    pub(crate) wire: Pair,
    pub(crate) tap: Option<Pair>,
}

/// All ports, by number.
pub(crate) struct Queues {
    ports: [Option<PortQueues>; MAX_PORTS],
}

impl Queues {
    pub(super) fn new() -> Queues {
        Queues { ports: [const { None }; MAX_PORTS] }
    }

    #[inline]
    pub(crate) fn port(&mut self, number: u16) -> Option<&mut PortQueues> {
        self.ports.get_mut(usize::from(number))?.as_mut()
    }

    /// Puts a port's queues in their place; gives back what was there before.
    pub(super) fn set(&mut self, number: u16, queues: Option<PortQueues>) -> Option<PortQueues> {
        std::mem::replace(self.ports.get_mut(usize::from(number))?, queues)
    }

    /// Ports that have queues.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        (0..MAX_PORTS as u16).filter(|&number| self.ports[usize::from(number)].is_some())
    }
}
