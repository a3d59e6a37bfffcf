//! A burst of packets, addressed by masks.

use crate::mbuf::Mbuf;
use crate::queue::{RxQueue, TxQueue};
use dpdk_sys as sys;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Packets that a [`Packets`] has room for: the bits of a mask.
pub const BURST: usize = u64::BITS as usize;

/// 64 slots, each with a packet or empty. Sets of slots are masks: bit *i* stands for slot *i*. A packet stays in its
/// slot until it is taken out, sent or freed.
pub struct Packets {
    /// Slot i has a packet if and only if bit i of `mask` is set; what else is in a slot means nothing.
    slots: [MaybeUninit<Mbuf>; BURST],
    mask: u64,
}

impl Packets {
    /// No packets.
    pub const fn new() -> Packets {
        Packets { slots: [const { MaybeUninit::uninit() }; BURST], mask: 0 }
    }

    /// The slots that have packets.
    #[inline]
    pub fn mask(&self) -> u64 {
        self.mask
    }

    /// Receives a burst, of at most 64 packets, into the first slots; returns the mask of what came. Only an empty
    /// array receives: to call it on another is a mistake, which leaves the packets in the device's queue and, in
    /// debug builds, panics.
    #[inline]
    pub fn receive(&mut self, queue: &mut RxQueue) -> u64 {
        debug_assert_eq!(self.mask, 0, "packets are left from the burst before");
        if self.mask != 0 {
            return 0;
        }
        // SAFETY: the slots are room for 64 pointers, an mbuf being one (asserted in mbuf.rs), and empty. Those that
        // the driver counts are packets of ours then; it may have scribbled on others, which stay empty.
        let count = unsafe { queue.burst(self.slots.as_mut_ptr().cast(), BURST as u16) };
        self.mask = first(usize::from(count));
        self.mask
    }

    #[inline(always)]
    fn has(&self, index: usize) -> bool {
        index < BURST && self.mask >> index & 1 == 1
    }

    /// The packet of a slot.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Mbuf> {
        // SAFETY: the slot has a packet.
        self.has(index).then(|| unsafe { self.slots[index].assume_init_ref() })
    }

    /// The packet of a slot.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Mbuf> {
        // SAFETY: the slot has a packet.
        self.has(index).then(|| unsafe { self.slots[index].assume_init_mut() })
    }

    /// Packets of the mask's slots with their indices, in ascending order. Empty slots are passed over.
    #[inline]
    pub fn masked(&self, mask: u64) -> impl Iterator<Item = (usize, &Mbuf)> {
        let mut rest = mask & self.mask;
        std::iter::from_fn(move || {
            let index = pop(&mut rest)?;
            // SAFETY: the slot has a packet, as its bit was in both masks.
            Some((index, unsafe { self.slots[index].assume_init_ref() }))
        })
    }

    /// Packets of the mask's slots with their indices, in ascending order, to change: also several at a time. Empty
    /// slots are passed over.
    #[inline]
    pub fn masked_mut(&mut self, mask: u64) -> impl Iterator<Item = (usize, &mut Mbuf)> {
        MaskedMut { slots: self.slots.as_mut_ptr().cast(), rest: mask & self.mask, _packets: PhantomData }
    }

    /// Bytes of the packets of a mask, all together.
    #[inline]
    pub fn bytes(&self, mask: u64) -> u64 {
        self.masked(mask).map(|(_, mbuf)| mbuf.len() as u64).sum()
    }

    /// Takes a packet out.
    #[inline]
    pub fn take(&mut self, index: usize) -> Option<Mbuf> {
        if !self.has(index) {
            return None;
        }
        self.mask &= !(1 << index);
        // SAFETY: the slot had a packet, and is empty from now on.
        Some(unsafe { self.slots[index].assume_init_read() })
    }

    /// Puts a packet into an empty slot.
    ///
    /// # Errors
    ///
    /// The packet itself, if there is another in the slot or no such slot.
    #[inline]
    pub fn put(&mut self, index: usize, mbuf: Mbuf) -> Result<(), Mbuf> {
        if self.has(index) || index >= BURST {
            return Err(mbuf);
        }
        self.slots[index].write(mbuf);
        self.mask |= 1 << index;
        Ok(())
    }

    /// Puts a packet into the first empty slot; returns its index.
    ///
    /// # Errors
    ///
    /// The packet itself, if there is no empty slot.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<usize, Mbuf> {
        let index = self.mask.trailing_ones() as usize;
        self.put(index, mbuf).map(|()| index)
    }

    /// Frees the packets of a mask.
    #[inline]
    pub fn free(&mut self, mask: u64) {
        let mask = mask & self.mask;
        if mask == 0 {
            return;
        }
        let mut gathered = [const { MaybeUninit::uninit() }; BURST];
        let packets = self.in_a_row(mask, &mut gathered);
        self.mask &= !mask;
        // SAFETY: `in_a_row` gives the pointers of these packets, which are ours; their slots are empty from now on.
        unsafe { sys::rte_pktmbuf_free_bulk(packets, mask.count_ones()) }
    }

    /// Sends the packets of a mask in ascending order of slots. Returns the mask of those that the device did not
    /// take, which stay in their slots: the last ones of the mask.
    ///
    /// A packet of several segments goes as it is. A device that cannot gather ([`PortInfo`](crate::PortInfo)) may
    /// drop it: [`Mbuf::linearize`] it before.
    #[inline]
    pub fn send(&mut self, mask: u64, queue: &mut TxQueue) -> u64 {
        let mask = mask & self.mask;
        if mask == 0 {
            return 0;
        }
        let mut gathered = [const { MaybeUninit::uninit() }; BURST];
        let packets = self.in_a_row(mask, &mut gathered);
        self.mask &= !mask;
        // SAFETY: `in_a_row` gives the pointers of these packets, which are ours; their slots are empty from now on.
        let sent = usize::from(unsafe { queue.burst(packets, mask.count_ones() as u16) });
        let mut left = mask;
        for _ in 0..sent {
            left &= left.wrapping_sub(1);
        }
        // A driver may put another packet in the place of one that it did not take, so all come back from the row.
        let mut rest = left;
        let mut place = sent;
        while let Some(index) = pop(&mut rest) {
            // SAFETY: the row has a pointer for each packet of the mask; from `sent` on they are still ours. Where
            // the row is the slots themselves, this copies a slot to itself.
            self.slots[index] = MaybeUninit::new(unsafe { packets.cast::<Mbuf>().add(place).read() });
            place += 1;
        }
        self.mask |= left;
        left
    }

    /// Asks the CPU to fetch the first bytes of the packets of a mask.
    #[inline]
    pub fn prefetch(&self, mask: u64) {
        for (_, mbuf) in self.masked(mask) {
            mbuf.prefetch();
        }
    }

    /// The pointers of a mask's packets in a row, as DPDK wants them: where they are if the mask has no gap, else
    /// gathered. The mask is not 0, and its slots have packets.
    #[inline]
    fn in_a_row(&mut self, mask: u64, gathered: &mut [MaybeUninit<Mbuf>; BURST]) -> *mut *mut sys::rte_mbuf {
        let lowest = mask.trailing_zeros();
        let run = mask >> lowest;
        if run & run.wrapping_add(1) == 0 {
            return self.slots[lowest as usize..].as_mut_ptr().cast();
        }
        let mut rest = mask;
        for place in gathered.iter_mut() {
            let Some(index) = pop(&mut rest) else { break };
            // SAFETY: the slot has a packet. The copy is another name for it until the caller empties one of the two.
            *place = MaybeUninit::new(unsafe { self.slots[index].assume_init_read() });
        }
        gathered.as_mut_ptr().cast()
    }
}

/// A mask of the first `count` slots, of 64 at most.
#[inline(always)]
fn first(count: usize) -> u64 {
    if count >= BURST { u64::MAX } else { (1 << count) - 1 }
}

/// Takes the lowest bit out of a mask: its index, below 64.
#[inline(always)]
fn pop(mask: &mut u64) -> Option<usize> {
    if *mask == 0 {
        return None;
    }
    let index = mask.trailing_zeros() as usize;
    *mask &= *mask - 1;
    Some(index)
}

struct MaskedMut<'a> {
    slots: *mut Mbuf,
    /// Slots still to come: each has a packet.
    rest: u64,
    _packets: PhantomData<&'a mut Packets>,
}

impl<'a> Iterator for MaskedMut<'a> {
    type Item = (usize, &'a mut Mbuf);

    #[inline]
    fn next(&mut self) -> Option<(usize, &'a mut Mbuf)> {
        let index = pop(&mut self.rest)?;
        // SAFETY: index is below 64, so within the slots, which are lent mutably for 'a, and the slot has a packet. No
        // index comes twice, so each packet is lent once.
        Some((index, unsafe { &mut *self.slots.add(index) }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rest.count_ones() as usize;
        (count, Some(count))
    }
}

impl Default for Packets {
    fn default() -> Packets {
        Packets::new()
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.free(u64::MAX);
    }
}

impl fmt::Debug for Packets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packets({:#018x})", self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(first(0), 0);
        assert_eq!(first(3), 0b111);
        assert_eq!(first(64), u64::MAX);
        let mut mask = 1 << 63 | 1 << 5;
        assert_eq!((pop(&mut mask), pop(&mut mask), pop(&mut mask)), (Some(5), Some(63), None));
    }

    #[test]
    fn empty_slots_are_passed_over() {
        let mut packets = Packets::new();
        assert_eq!(packets.masked_mut(u64::MAX).count(), 0);
        assert_eq!(packets.bytes(u64::MAX), 0);
        assert!(packets.take(0).is_none() && packets.take(64).is_none() && packets.get(64).is_none());
        packets.free(u64::MAX);
    }
}
