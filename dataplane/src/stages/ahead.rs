//! What is asked of the memory before packets are looked at one by one.
//!
//! With very many SAs none is in the caches, and each place that a look-up reads says where the next one is. So each step is
//! taken here for all SAs of a burst at a time: they wait for the memory together, and not one after the other.

use super::Context;
use crate::burst::{BURST, Mask, Meta};
use crate::snapshot::InboundSa;
use arrayvec::ArrayVec;
use dpdk::Packets;
use packet::esp;

/// Brings in what opening the ESP packets of `mask` reads of their SAs. Of packets that all have one, nothing: it is there, or
/// there is nothing else to wait for meanwhile.
pub(super) fn fetch_inbound(packets: &Packets, mask: Mask, meta: &[Meta; BURST], ctx: &Context<'_>) {
    let inbound = &*ctx.snapshot.inbound;
    let mut wanted = ArrayVec::<(u32, usize), BURST>::new();
    for (index, mbuf) in packets.masked(mask) {
        let header = mbuf.data().get(usize::from(meta[index].esp_at)..);
        let Some(header) = header.and_then(|bytes| esp::Packet::new_checked(bytes).ok()) else { continue };
        let spi = header.spi();
        // Neighbours are often of one SA.
        if wanted.last().is_none_or(|&(before, _)| before != spi) {
            wanted.push((spi, mbuf.len()));
        }
    }
    if wanted.len() < 2 {
        return;
    }
    wanted.iter().for_each(|&(spi, _)| inbound.fetch(spi));
    let mut sas = ArrayVec::<(&InboundSa, usize), BURST>::new();
    for &(spi, len) in &wanted {
        let Some(sa) = inbound.get(spi) else { continue };
        dpdk::prefetch(&**sa, InboundSa::BEFORE_KEY);
        sas.push((sa, len));
    }
    for (sa, len) in sas {
        if let Some(slot) = ctx.sas.slot(sa.index) {
            // And on the same line: where the window is, and what it has carried.
            dpdk::prefetch(&slot.highest, size_of_val(&slot.highest));
        }
        if let Some(key) = &sa.key {
            key.prefetch(len);
        }
    }
}
