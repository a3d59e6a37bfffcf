//! Route: from the destination to a next hop, a burst at a time.

use super::Context;
use crate::burst::{BURST, Burst, Drops, Family, Mask};
use crate::fib::NO_ROUTE;
use crate::snapshot::NextHop;
use arrayvec::ArrayVec;
use packet::{ipv4, ipv6};
use shm::DropReason;

/// Where routes lead.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routed {
    /// To this gateway.
    pub(crate) local: Mask,
    /// Out of a port: `meta.next_hop` and `meta.egress` say how.
    pub(crate) transit: Mask,
}

/// Looks up the destination of each IP packet of `mask`.
pub(crate) fn route(burst: &mut Burst, mask: Mask, ctx: &Context<'_>) -> Routed {
    let mut routed = Routed::default();
    if mask == 0 {
        return routed;
    }
    let mut ids4 = ArrayVec::<u8, BURST>::new();
    let mut keys4 = ArrayVec::<u32, BURST>::new();
    let mut ids6 = ArrayVec::<u8, BURST>::new();
    let mut keys6 = ArrayVec::<[u8; 16], BURST>::new();
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        match meta[index].family {
            Family::V4 => {
                keys4.push(ipv4::Packet::new_unchecked(mbuf.data()).destination().to_bits());
                ids4.push(index as u8);
            }
            Family::V6 => {
                keys6.push(ipv6::Packet::new_unchecked(mbuf.data()).destination().octets());
                ids6.push(index as u8);
            }
        }
    }
    let mut found = [0; BURST];
    let mut drops = Drops::new(ctx.counters);
    let mut sort = |ids: &[u8], found: &[u64]| {
        for (&index, &id) in ids.iter().zip(found) {
            let index = usize::from(index);
            if id == NO_ROUTE {
                drops.add(index, DropReason::NoRoute);
                continue;
            }
            meta[index].next_hop = id as u32;
            match ctx.snapshot.next_hops.get(id as usize) {
                Some(&(NextHop::Forward { port, .. } | NextHop::Glean { port })) => {
                    meta[index].egress = port;
                    routed.transit |= 1 << index;
                }
                Some(NextHop::Local) => routed.local |= 1 << index,
                Some(NextHop::Blackhole) | None => drops.add(index, DropReason::Blackhole),
            }
        }
    };
    if !keys4.is_empty() {
        ctx.snapshot.fibs.lookup_v4(&keys4, &mut found[..keys4.len()]);
        sort(&ids4, &found[..keys4.len()]);
    }
    if !keys6.is_empty() {
        ctx.snapshot.fibs.lookup_v6(&keys6, &mut found[..keys6.len()]);
        sort(&ids6, &found[..keys6.len()]);
    }
    let dropped = drops.mask;
    packets.free(dropped);
    routed
}
