//! The packets of a burst by the SA that is to protect them.
//!
//! So each SA is asked once for its sequence numbers, its limits and its MTU, and counts once. With very many SAs none is
//! in the caches: each step here asks the memory for what the next one reads, for all SAs of the burst at a time.

use super::encrypt::limit;
use super::{Context, account, classify};
use crate::burst::{BURST, Drops, Mask, Meta};
use crate::pages::Pages;
use crate::snapshot::OutboundSa;
use crate::worker::alarms::{Alarm, Alarms};
use arrayvec::ArrayVec;
use dpdk::{Mbuf, Packets};
use esp::size::Fit;
use shm::{DropReason, SaSlot};
use std::ops::Range;

/// The packets of a burst that one SA takes.
pub(super) struct Group<'a> {
    entry: u32,
    /// The port that they leave by.
    egress: u16,
    pub(super) sa: &'a OutboundSa,
    /// Nothing, if it may not carry any packet.
    pub(super) slot: Option<&'a SaSlot>,
    /// What its packets may come to, in bytes.
    pub(super) limit: usize,
    /// Packets that want it, and the length of the longest.
    wanted: u32,
    longest: u32,
    /// Sequence numbers still to be given out.
    pub(super) sequences: Range<u64>,
    /// What it sealed: packets, and bytes before encapsulation.
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Group<'_> {
    /// One packet more.
    #[inline(always)]
    fn take(&mut self, mbuf: &Mbuf) {
        self.wanted += 1;
        self.longest = self.longest.max(mbuf.len() as u32);
    }

    /// Counts a packet with its SA that it does not send, and returns why it does not.
    #[cold]
    pub(super) fn refuse(&self, reason: DropReason, ctx: &Context<'_>) -> DropReason {
        // By its index, as an SA that is spent has no slot here.
        if let Some(slot) = ctx.sas.slot(self.sa.index) {
            match reason {
                DropReason::SaExpired | DropReason::EspSequenceExhausted => slot.counters.expired.add(1),
                _ => slot.counters.other.add(1),
            };
        }
        reason
    }
}

/// All groups of a burst.
pub(super) struct Groups<'a> {
    groups: ArrayVec<Group<'a>, BURST>,
    /// The place among them of each packet's.
    of: [u8; BURST],
}

/// Where groups are looked for first, by the low bits of their entries; most of a burst's entries have one of their own.
const PLACES: usize = 256;
/// No group was put there.
const NOWHERE: usize = BURST;

impl<'a> Groups<'a> {
    pub(super) fn new() -> Groups<'a> {
        Groups { groups: ArrayVec::new(), of: [0; BURST] }
    }

    /// The group of a packet that is in one.
    #[inline(always)]
    pub(super) fn of(&mut self, index: usize) -> &mut Group<'a> {
        &mut self.groups[usize::from(self.of[index])]
    }

    /// Puts the packets of `mask` into groups. Returns those whose policy entry has no SA.
    pub(super) fn gather(
        &mut self,
        packets: &mut Packets,
        mask: Mask,
        meta: &[Meta; BURST],
        ctx: &Context<'a>,
    ) -> Mask {
        let mut without = 0;
        let mut places = [NOWHERE as u8; PLACES];
        let outbound: &'a Pages<_> = &ctx.snapshot.outbound;
        // Neighbours are often of one SA.
        let mut last = NOWHERE;
        for (index, mbuf) in packets.masked_mut(mask) {
            let Meta { entry, egress, .. } = meta[index];
            if let Some(group) = self.groups.get_mut(last).filter(|group| group.entry == entry) {
                group.take(mbuf);
                self.of[index] = last as u8;
                continue;
            }
            let first = &mut places[entry as usize % PLACES];
            let known = match usize::from(*first) {
                NOWHERE => None,
                place if self.groups[place].entry == entry => Some(place),
                // Another entry has come since that falls on the same place.
                _ => self.groups.iter().rposition(|group| group.entry == entry),
            };
            let place = match known {
                Some(place) => place,
                None => {
                    let Some(sa) = outbound.get(entry as usize).and_then(Option::as_deref) else {
                        without |= 1 << index;
                        continue;
                    };
                    dpdk::prefetch(sa, OutboundSa::BEFORE_KEY);
                    *first = self.groups.len() as u8;
                    self.groups.push(Group {
                        entry,
                        egress,
                        sa,
                        slot: None,
                        limit: 0,
                        wanted: 0,
                        longest: 0,
                        sequences: 0..0,
                        packets: 0,
                        bytes: 0,
                    });
                    usize::from(*first)
                }
            };
            self.groups[place].take(mbuf);
            self.of[index] = place as u8;
            last = place;
        }
        without
    }

    /// Finds each group's SA in the SA table, and what its packets may come to. Returns whether [`Groups::look`] has to
    /// look at the packets.
    pub(super) fn find(&mut self, ctx: &Context<'a>) -> bool {
        for group in &mut self.groups {
            group.slot = ctx.sas.slot(group.sa.index);
            if let Some(slot) = group.slot {
                dpdk::prefetch(&slot.next_sequence, size_of_val(&slot.next_sequence));
                dpdk::prefetch(&slot.counters, size_of_val(&slot.counters.packets));
            }
            if let Some(key) = &group.sa.key {
                key.prefetch(group.longest as usize);
            }
        }
        let mut some = false;
        for group in &mut self.groups {
            group.slot = group.slot.filter(|slot| !account::is_spent(slot, &group.sa.limits));
            match group.slot {
                None => some = true,
                Some(slot) => {
                    group.limit = limit(ctx, group.sa, slot, group.egress);
                    some |= group.longest as usize > group.sa.template.room(group.limit);
                }
            }
        }
        some
    }

    /// Drops those packets of `mask` whose SA may carry none. Returns those that are longer than their way takes, and are
    /// to be fragmented when they are sealed, and those that are longer than their SA takes, which are in no group now.
    #[inline(never)]
    pub(super) fn look(
        &mut self,
        packets: &mut Packets,
        mask: Mask,
        meta: &[Meta; BURST],
        drops: &mut Drops<'_>,
        ctx: &Context<'_>,
    ) -> (Mask, Mask) {
        let (mut long, mut too_long) = (0, 0);
        for (index, mbuf) in packets.masked_mut(mask) {
            let group = self.of(index);
            if group.slot.is_none() {
                let known = ctx.sas.slot(group.sa.index).is_some();
                let reason = if known { DropReason::SaExpired } else { DropReason::Internal };
                drops.add(index, group.refuse(reason, ctx));
                continue;
            }
            match group.sa.template.fit(group.sa.size, mbuf.data(), group.limit) {
                None => {}
                Some(Fit::Whole) => long |= 1 << index,
                Some(_) if meta[index].whole => long |= 1 << index,
                Some(Fit::Fragments(_)) if classify::only_whole(mbuf.data(), &meta[index], ctx) => {
                    long |= 1 << index;
                }
                Some(Fit::Fragments(_) | Fit::Answer(_)) => {
                    too_long |= 1 << index;
                    group.wanted -= 1;
                }
            }
        }
        (long, too_long)
    }

    /// Takes a sequence number for each packet that is in a group.
    pub(super) fn allocate(&mut self, alarms: &mut Alarms, now: u64) {
        for group in &mut self.groups {
            let (sa, Some(slot)) = (group.sa, group.slot) else { continue };
            group.sequences = esp::sequence::allocate(&slot.next_sequence, group.wanted, sa.last_sequence);
            if group.sequences.end - group.sequences.start < u64::from(group.wanted) {
                alarms.raise(Alarm::SequenceExhausted { index: sa.index, spi: sa.spi }, now);
            }
        }
    }

    /// Counts what was sealed.
    pub(super) fn count(&self, alarms: &mut Alarms, now: u64) {
        for group in &self.groups {
            let (sa, Some(slot)) = (group.sa, group.slot) else { continue };
            account::count(slot, &sa.limits, (sa.index, sa.spi), group.packets, group.bytes, alarms, now);
        }
    }
}
