//! Forward: the last checks of a packet that leaves, and its link-layer header.

use super::Context;
use crate::burst::{Burst, Drops, Family, Mask};
use crate::snapshot::NextHop;
use crate::worker::alarms::{Alarm, Alarms};
use crate::worker::held::Held;
use packet::ethernet::{self, EtherType};
use packet::{ipv4, ipv6};
use shm::{DropReason, WorkerCounters};
use std::net::IpAddr;

/// Spends a hop of each packet in transit (RFC 1812, section 5.3.1; RFC 8200, section 3). Returns the survivors.
pub(crate) fn spend_hop(burst: &mut Burst, mask: Mask, counters: &WorkerCounters) -> Mask {
    let Burst { packets, meta } = burst;
    let mut spent = 0;
    for (index, mbuf) in packets.masked_mut(mask) {
        let left = match meta[index].family {
            Family::V4 => ipv4::Packet::new_unchecked(mbuf.data_mut()).decrement_ttl(),
            Family::V6 => ipv6::Packet::new_unchecked(mbuf.data_mut()).decrement_hop_limit(),
        };
        if left.is_none() {
            spent |= 1 << index;
        }
    }
    burst.discard(spent, DropReason::IpTtlExpired, counters);
    mask & !spent
}

/// What becomes of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forwarded {
    /// Frames for `meta.egress`.
    pub(crate) ready: Mask,
    /// Packets as they were, longer than that port takes.
    pub(crate) too_long: Mask,
}

/// Gives each packet of `mask` its Ethernet header. A packet whose neighbour is not known yet waits in `held`.
pub(crate) fn forward(
    burst: &mut Burst,
    mask: Mask,
    held: &mut Held,
    alarms: &mut Alarms,
    ctx: &Context<'_>,
) -> Forwarded {
    let mut ready = 0;
    let mut too_long = 0;
    let mut waiting = 0;
    let mut drops = Drops::new(ctx.counters);
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        let meta = &meta[index];
        let Some(port) = ctx.snapshot.port(meta.egress).filter(|port| !port.shutdown) else {
            drops.add(index, DropReason::PortDown);
            continue;
        };
        if mbuf.len() > port.mtu(meta.family) {
            too_long |= 1 << index;
            continue;
        }
        let mac = match ctx.snapshot.next_hops.get(meta.next_hop as usize) {
            Some(NextHop::Forward { mac, .. }) => *mac,
            Some(NextHop::Glean { port }) => {
                let address = match meta.family {
                    Family::V4 => IpAddr::V4(ipv4::Packet::new_unchecked(mbuf.data()).destination()),
                    Family::V6 => IpAddr::V6(ipv6::Packet::new_unchecked(mbuf.data()).destination()),
                };
                alarms.raise(Alarm::NeighbourNeeded { port: *port, address }, ctx.now);
                waiting |= 1 << index;
                continue;
            }
            // The route look-up saw another snapshot's table: possible only if a stage swaps snapshots mid-burst.
            Some(NextHop::Local | NextHop::Blackhole) | None => {
                drops.add(index, DropReason::Internal);
                continue;
            }
        };
        let ether_type = match meta.family {
            Family::V4 => EtherType::IPV4,
            Family::V6 => EtherType::IPV6,
        };
        match mbuf.prepend(ethernet::HEADER_LEN) {
            Ok(header) => {
                let frame = ethernet::Repr { destination: mac.into(), source: port.mac.into(), ether_type };
                match frame.emit(header) {
                    Ok(()) => ready |= 1 << index,
                    Err(_) => drops.add(index, DropReason::Internal),
                }
            }
            Err(_) => drops.add(index, DropReason::NoHeadroom),
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    if waiting != 0 {
        held.hold(burst, waiting, |meta| meta.next_hop, ctx);
    }
    Forwarded { ready, too_long }
}
