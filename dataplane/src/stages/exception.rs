//! Exception: what is Linux's goes to the mirror TAP of the port that it came in by.

use super::Context;
use crate::burst::{Burst, Drops, Family, Mask};
use crate::worker::queues::Queues;
use packet::ethernet::{self, EtherType};
use shm::DropReason;

/// Hands whole frames that came in by `ingress` to Linux.
pub(crate) fn to_linux(burst: &mut Burst, mask: Mask, ingress: u16, queues: &mut Queues, ctx: &Context<'_>) {
    if mask == 0 {
        return;
    }
    let (Some(port), Some(counters)) = (queues.port(ingress), ctx.counters.port(ingress)) else {
        return burst.discard(mask, DropReason::NoTap, ctx.counters);
    };
    let Some(tap) = &mut port.tap else {
        return burst.discard(mask, DropReason::NoTap, ctx.counters);
    };
    let left = burst.packets.send(mask, &mut tap.tx);
    counters.to_linux.add(u64::from((mask & !left).count_ones()));
    burst.discard(left, DropReason::TapFull, ctx.counters);
}

/// Turns IP packets for Linux into frames again, addressed to the port's own station. Returns those that are frames.
pub(crate) fn reframe(burst: &mut Burst, mask: Mask, station: [u8; 6], ctx: &Context<'_>) -> Mask {
    let Burst { packets, meta } = burst;
    let mut drops = Drops::new(ctx.counters);
    for (index, mbuf) in packets.masked_mut(mask) {
        let ether_type = match meta[index].family {
            Family::V4 => EtherType::IPV4,
            Family::V6 => EtherType::IPV6,
        };
        match mbuf.prepend(ethernet::HEADER_LEN) {
            Ok(header) => {
                let frame = ethernet::Repr { destination: station.into(), source: SOURCE.into(), ether_type };
                if frame.emit(header).is_err() {
                    drops.add(index, DropReason::Internal);
                }
            }
            Err(_) => drops.add(index, DropReason::NoHeadroom),
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    mask & !dropped
}

/// Who a frame that we framed ourselves comes from: a locally administered address. Linux does not look at it.
const SOURCE: [u8; 6] = [0x02, 0, 0, 0, 0, 0];
