//! Transmit: frames to their ports' queues.

use super::Context;
use crate::burst::{Burst, Mask};
use crate::worker::queues::Queues;
use shm::DropReason;

/// How often a full queue is offered the rest of a burst before that is dropped.
const TRIES: usize = 4;

/// Sends each frame of `mask` out of its `meta.egress`.
pub(crate) fn transmit(burst: &mut Burst, mask: Mask, queues: &mut Queues, ctx: &Context<'_>) {
    let mut rest = mask;
    while rest != 0 {
        let egress = burst.meta[rest.trailing_zeros() as usize].egress;
        let mut same = burst.with_egress(rest, egress);
        rest &= !same;
        if let Some(vlan) = ctx.snapshot.port(egress).and_then(|port| port.vlan) {
            same = super::tag::tag(burst, same, vlan, ctx.counters);
        }
        let (Some(port), Some(counters)) = (queues.port(egress), ctx.counters.port(egress)) else {
            burst.discard(same, DropReason::PortDown, ctx.counters);
            continue;
        };
        let bytes = burst.packets.bytes(same);
        let mut left = same;
        for _ in 0..TRIES {
            left = burst.packets.send(left, &mut port.wire.tx);
            if left == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        counters.tx_packets.add(u64::from((same & !left).count_ones()));
        counters.tx_bytes.add(bytes - burst.packets.bytes(left));
        burst.discard(left, DropReason::TxFull, ctx.counters);
    }
}
