//! Fragments to us: set aside until all of a packet are there, and then on their way again as that packet. Beside the way of
//! a burst, as they are rare.

use super::stopwatch::Stopwatch;
use super::way::{self, Doors};
use crate::burst::{BURST, Burst, Mask, bits};
use crate::reassembly::{Complete, Fragment, Reassembly};
use crate::snapshot::PortView;
use crate::stages::Context;
use crate::stages::decrypt::{self, Selected};
use dpdk::Mbuf;
use packet::fragment::{MOST, Part};
use shm::DropReason;

const _: () = assert!(MOST <= BURST);

/// Takes the fragments of `mask` out of the burst and puts them aside. Returns the packets of which one was the last.
#[cold]
pub(super) fn gather(burst: &mut Burst, mask: Mask, aside: &Reassembly, ctx: &Context<'_>) -> Vec<Complete> {
    let mut gathered = Vec::new();
    for index in bits(mask) {
        let Some(mbuf) = burst.packets.take(index) else { continue };
        let Some(part) = Part::of(mbuf.data()) else {
            ctx.counters.drop(DropReason::IpFragment, 1);
            continue;
        };
        let fragment = Fragment { part, mbuf, meta: burst.meta[index] };
        gathered.extend(aside.add(fragment, ctx.now, ctx.counters));
    }
    gathered
}

/// Puts whole packets, one by one, on their way in from a port. The burst is empty, and is so again.
#[cold]
pub(super) fn resume(
    burst: &mut Burst,
    gathered: Vec<Complete>,
    port: (u16, &PortView),
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    for complete in gathered {
        let Some(first) = complete.fragments.iter().find(|fragment| fragment.part.offset == 0) else {
            continue;
        };
        let meta = first.meta;
        let Some(whole) = join(&complete, doors) else {
            ctx.counters.drop(DropReason::NoMbuf, complete.fragments.len() as u64);
            continue;
        };
        let Ok(index) = burst.packets.push(whole) else { continue };
        burst.meta[index] = meta;
        let mut selected = decrypt::select(burst, 1 << index, ctx.counters);
        if selected.other == 0 {
            // It is ESP, or has been dropped as what it is.
            ctx.counters.merged.add(complete.fragments.len() as u64 - 1);
            way::inwards(burst, 0, selected, port, doors, ctx, watch);
            continue;
        }
        // Not ours: Linux gets the fragments as they came.
        drop(burst.packets.take(index));
        selected = Selected::default();
        selected.other = restore(burst, complete).mask;
        way::inwards(burst, 0, selected, port, doors, ctx, watch);
    }
}

/// The fragments of a packet as they came, in a burst.
pub(super) struct Restored {
    pub(super) mask: Mask,
    /// The place of the first one, which alone says what the packet is.
    pub(super) first: usize,
}

/// Puts them into an empty burst.
pub(super) fn restore(burst: &mut Burst, complete: Complete) -> Restored {
    let mut restored = Restored { mask: 0, first: 0 };
    for Fragment { part, mbuf, meta } in complete.fragments {
        // There are no more than a burst has room for.
        let Ok(index) = burst.packets.push(mbuf) else { continue };
        burst.meta[index] = meta;
        restored.mask |= 1 << index;
        if part.offset == 0 {
            restored.first = index;
        }
    }
    restored
}

/// The whole packet, in a buffer as large as it takes.
pub(super) fn join(Complete { fragments, end, ecn }: &Complete, doors: &Doors) -> Option<Mbuf> {
    let first = fragments.iter().find(|fragment| fragment.part.offset == 0)?;
    let len = first.part.whole_len(*end)?;
    let mut whole = doors.buffer(len)?;
    let bytes = whole.append(len).ok()?;
    first.part.begin(first.mbuf.data(), *end, *ecn, bytes);
    for fragment in fragments {
        fragment.part.put(fragment.mbuf.data(), first.part.header_len(), bytes);
    }
    Some(whole)
}
