//! Datagrams in fragments that a policy cannot decide on one by one (RFC 4301, section 7): their fragments wait for each other,
//! and what the first one says holds for all. Beside the way of a burst, as they are rare.
//!
//! They leave as they came, each by itself, where that comes to the same: in clear, or by an SA that each alone is for. A
//! datagram that an SA is for only because of its ports is put together, and sealed as one packet: the peer could not tell
//! what its later fragments are, and may not be sent any (section 7.3). So is what Linux cut of its own and an SA of transport
//! mode is for, which takes no fragments. What never becomes whole goes nowhere.

use super::fragments::{self, Restored};
use super::stopwatch::Stopwatch;
use super::way::{self, Doors};
use crate::burst::{Burst, Mask, Meta, bits};
use crate::policy::Policy;
use crate::reassembly::{Complete, Fragment};
use crate::snapshot::PortView;
use crate::stages::classify::{self, Classified, Said};
use crate::stages::exempt::{self, Ours};
use crate::stages::{Context, parse, route, transmit};
use acl::Action;
use model::TcpFlags;
use packet::Ecn;
use packet::extensions::{self, Header};
use packet::fragment::Part;
use packet::protocol;
use shm::DropReason;

/// Whole datagrams that came in clear by a port, whose policy must have allowed that. The burst is empty, and is so again.
#[cold]
pub(super) fn inwards(
    burst: &mut Burst,
    gathered: Vec<Complete>,
    (ingress, port): (u16, &PortView),
    policy: &Policy,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    for complete in gathered {
        let Restored { mask, first } = fragments::restore(burst, complete);
        // They have waited: routes may be others now.
        let mut routed = route::route(burst, mask, ctx);
        let exempt = exempt::exempt(burst, routed.local & 1 << first, Ours::Destination) != 0;
        let refused = match said_by(burst, first) {
            _ if exempt || routed.local | routed.transit == 0 => None,
            Ok(said) => classify::refusal_of_clear(classify::one(&said.reversed(), policy).action()),
            Err(reason) => Some(reason),
        };
        if let Some(reason) = refused {
            burst.discard(routed.local | routed.transit, reason, ctx.counters);
            routed = route::Routed::default();
        }
        way::onwards(burst, routed, (ingress, port), doors, ctx, watch);
    }
}

/// Whole datagrams on their way through, which leave. The burst is empty, and is so again.
#[cold]
pub(super) fn outwards(
    burst: &mut Burst,
    gathered: Vec<Complete>,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    for complete in gathered {
        let whole = (complete.end, complete.ecn);
        let Restored { mask, first } = fragments::restore(burst, complete);
        let routed = route::route(burst, mask, ctx);
        burst.discard(routed.local, DropReason::NoRoute, ctx.counters);
        if routed.transit != 0 {
            let Classified { protect, clear, .. } = classify(burst, routed.transit, first, false, ctx);
            let protect = as_protected(burst, protect, first, whole, doors, ctx);
            way::protect(burst, protect, clear, doors, ctx, watch);
        }
    }
}

/// The same for those that Linux has routed and framed.
#[cold]
pub(super) fn from_linux(
    burst: &mut Burst,
    gathered: Vec<Complete>,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    for complete in gathered {
        let whole = (complete.end, complete.ecn);
        let Restored { mask, first } = fragments::restore(burst, complete);
        let Classified { protect, clear, .. } = classify(burst, mask, first, true, ctx);
        let protect = as_protected(burst, protect, first, whole, doors, ctx);
        let frames = parse::reframe(burst, clear, ctx.counters);
        transmit::transmit(burst, frames, &mut doors.queues, ctx);
        way::protect(burst, protect, 0, doors, ctx, watch);
    }
}

/// What the policy of the port that a datagram leaves by says of it, for all its fragments.
fn classify(burst: &mut Burst, mask: Mask, first: usize, ours: bool, ctx: &Context<'_>) -> Classified {
    let mut classified = Classified::default();
    let meta = burst.meta[first];
    let Some(port) = ctx.snapshot.port(meta.egress) else {
        burst.discard(mask, DropReason::PortDown, ctx.counters);
        return classified;
    };
    let Some(policy) = &port.policy else { return Classified { clear: mask, ..classified } };
    if ours && exempt::exempt(burst, 1 << first, Ours::Source) != 0 {
        return Classified { clear: mask, ..classified };
    }
    let said = match said_by(burst, first) {
        Ok(said) => said,
        Err(reason) => {
            burst.discard(mask, reason, ctx.counters);
            return classified;
        }
    };
    let verdict = classify::one(&said, policy);
    if let Some(rule) = verdict.rule().filter(|_| meta.waiting_since == 0) {
        policy.hits.add(ctx.worker, rule, u64::from(mask.count_ones()));
    }
    match verdict.action() {
        Some(Action::Protect(entry)) => {
            for index in bits(mask) {
                burst.meta[index].entry = entry;
            }
            classified.protect = mask;
        }
        Some(Action::Discard) => burst.discard(mask, DropReason::PolicyDiscard, ctx.counters),
        Some(Action::Bypass) | None => classified.clear = mask,
    }
    classified
}

/// What a datagram says of itself by its first fragment, or why it says nothing.
fn said_by(burst: &Burst, first: usize) -> Result<Said, DropReason> {
    let packet = burst.packets.get(first).ok_or(DropReason::Internal)?.data();
    // Fragments of a fragment: the first of them need not be the first of what they are of.
    let nested = |chain: extensions::Chain<'_>| chain.flatten().filter(Header::is_fragment).count() > 1;
    if packet.first().is_some_and(|first| first >> 4 == 6) && extensions::chain(packet).is_ok_and(nested) {
        return Err(DropReason::IpFragment);
    }
    let said = Said::by(packet).map_err(|_| DropReason::IpTruncated)?;
    // Whoever hides TCP's flags in the second fragment hides them from policies (RFC 3128).
    let hidden = said.flow.protocol == protocol::TCP && said.tcp_flags == TcpFlags::UNSEEN;
    if hidden { Err(DropReason::IpTruncated) } else { Ok(said) }
}

/// The fragments of `mask`, which go by an SA, as they are; or as one packet, if each alone would not go by that.
fn as_protected(
    burst: &mut Burst,
    mask: Mask,
    first: usize,
    (end, ecn): (usize, Ecn),
    doors: &Doors,
    ctx: &Context<'_>,
) -> Mask {
    let by_ports =
        |(index, mbuf): (usize, &dpdk::Mbuf)| classify::only_whole(mbuf.data(), &burst.meta[index], ctx);
    if !burst.packets.masked(mask).any(by_ports) {
        return mask;
    }
    let meta = Meta { whole: true, ..burst.meta[first] };
    let complete = Complete { fragments: withdraw(burst, mask), end, ecn };
    let count = complete.fragments.len() as u64;
    let Some(whole) = fragments::join(&complete, doors) else {
        ctx.counters.drop(DropReason::NoMbuf, count);
        return 0;
    };
    let Ok(index) = burst.packets.push(whole) else {
        ctx.counters.drop(DropReason::Internal, count);
        return 0;
    };
    ctx.counters.merged.add(count - 1);
    burst.meta[index] = meta;
    1 << index
}

/// Takes fragments out of the burst again.
fn withdraw(burst: &mut Burst, mask: Mask) -> Vec<Fragment> {
    let mut fragments = Vec::new();
    for index in bits(mask) {
        let Some(mbuf) = burst.packets.take(index) else { continue };
        if let Some(part) = Part::of(mbuf.data()) {
            fragments.push(Fragment { part, mbuf, meta: burst.meta[index] });
        }
    }
    fragments
}
