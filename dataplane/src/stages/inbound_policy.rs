//! Inbound policy: is what came out of an SA what the SA is for (RFC 4301, section 5.2, step 4)?

use super::{Context, quoted};
use crate::burst::{BURST, Burst, Drops, Family, Mask};
use crate::snapshot::InboundSa;
use packet::flow;
use shm::DropReason;

/// Checks each inner packet of `mask` against the selectors of `opened_by[i]`, and ICMP errors also by what they quote.
/// Returns those that pass.
pub(crate) fn check(
    burst: &mut Burst,
    mask: Mask,
    opened_by: &[Option<&InboundSa>; BURST],
    ctx: &Context<'_>,
) -> Mask {
    if mask == 0 {
        return 0;
    }
    let mut drops = Drops::new(ctx.counters);
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        let Some(sa) = opened_by[index] else {
            drops.add(index, DropReason::Internal);
            continue;
        };
        let meant = match meta[index].family {
            Family::V4 => flow::v4(mbuf.data()).map(|flow| {
                sa.selectors.contain_v4(&flow) || quoted::is_about_v4(&sa.selectors, mbuf.data())
            }),
            Family::V6 => flow::v6(mbuf.data()).map(|flow| {
                sa.selectors.contain_v6(&flow) || quoted::is_about_v6(&sa.selectors, mbuf.data())
            }),
        };
        let Ok(meant) = meant else {
            drops.add(index, DropReason::EspBadInner);
            continue;
        };
        if !meant {
            if let Some(slot) = ctx.sas.slot(sa.index) {
                slot.counters.selector_mismatch.add(1);
            }
            drops.add(index, DropReason::EspSelectorMismatch);
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    mask & !dropped
}
