//! Tag: the VLAN of a port (IEEE 802.1Q). What comes loses its tag before anybody looks at it, and what leaves gets it last, so
//! that all between, Linux too, is as on a link of its own.

use crate::burst::{Burst, Drops, Mask};
use packet::ethernet::EtherType;
use packet::vlan;
use shm::{DropReason, WorkerCounters};

/// Where the tag stands: behind both addresses.
const AT: usize = 12;
/// The Ethertype that announces a tag, and the tag's own two bytes.
const TAG: usize = vlan::HEADER_LEN;

/// Takes the tag off the frames of `mask` that are of this VLAN; the others are dropped.
pub(crate) fn untag(burst: &mut Burst, mask: Mask, vlan: u16, counters: &WorkerCounters) -> Mask {
    let mut drops = Drops::new(counters);
    for (index, mbuf) in burst.packets.masked_mut(mask) {
        match mbuf.data_mut().first_chunk_mut::<{ AT + TAG }>() {
            Some(header) if is_of(header, vlan) => header.copy_within(..AT, TAG),
            Some(_) => {
                drops.add(index, DropReason::WrongVlan);
                continue;
            }
            None => {
                drops.add(index, DropReason::Runt);
                continue;
            }
        }
        if mbuf.trim_front(TAG).is_err() {
            drops.add(index, DropReason::Internal);
        }
    }
    let dropped = drops.mask;
    burst.packets.free(dropped);
    mask & !dropped
}

fn is_of(header: &[u8; AT + TAG], vlan: u16) -> bool {
    let [.., t0, t1, c0, c1] = *header;
    EtherType(u16::from_be_bytes([t0, t1])) == EtherType::VLAN
        && u16::from_be_bytes([c0, c1]) & 0x0FFF == vlan
}

/// Gives the frames of `mask` their tag, of priority 0. Returns those that have it.
pub(crate) fn tag(burst: &mut Burst, mask: Mask, vlan: u16, counters: &WorkerCounters) -> Mask {
    let mut drops = Drops::new(counters);
    let [t0, t1] = EtherType::VLAN.0.to_be_bytes();
    let [c0, c1] = vlan.to_be_bytes();
    for (index, mbuf) in burst.packets.masked_mut(mask) {
        if mbuf.prepend(TAG).is_err() {
            drops.add(index, DropReason::NoHeadroom);
            continue;
        }
        match mbuf.data_mut().first_chunk_mut::<{ AT + TAG }>() {
            Some(header) => {
                header.copy_within(TAG.., 0);
                header[AT..].copy_from_slice(&[t0, t1, c0, c1]);
            }
            None => drops.add(index, DropReason::Internal),
        }
    }
    let dropped = drops.mask;
    burst.packets.free(dropped);
    mask & !dropped
}
