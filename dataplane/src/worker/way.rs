//! The way of a burst through the stages, from where it came to every door.

use super::allowance::Allowance;
use super::held::Held;
use super::oversize::{self, TooLong};
use super::queues::Queues;
use super::stopwatch::Stopwatch;
use super::{datagrams, fragments};
use crate::burst::{BURST, Burst, Mask};
use crate::reassembly::Aside;
use crate::snapshot::PortView;
use crate::stages::decrypt::Selected;
use crate::stages::exempt::{self, Ours};
use crate::stages::forward::Forwarded;
use crate::stages::route::Routed;
use crate::stages::{
    Context, classify, decrypt, encrypt, exception, forward, hear, inbound_policy, mss, parse, route, tag,
    transmit,
};
use crate::worker::alarms::Alarms;
use dpdk::Mbuf;
use shm::{DropReason, Stage};
use std::sync::Arc;

/// Layers of ESP that are taken off a packet: its own, and that of a tunnel inside.
const LAYERS: usize = 2;

/// What the stages change beside the burst.
pub(super) struct Doors {
    pub(super) queues: Queues,
    /// Packets that wait for their neighbour's address.
    pub(super) for_neighbours: Held,
    /// Packets that wait for an SA.
    pub(super) for_sas: Held,
    pub(super) alarms: Alarms,
    /// Of packets that we make.
    pub(super) pool: dpdk::Mempool,
    /// Of such as others do not have room for.
    pub(super) large: dpdk::Mempool,
    pub(super) aside: Arc<Aside>,
    /// How many answers we may still give.
    pub(super) answers: Allowance,
    /// How much of what others say of our packets we may still hear.
    pub(super) heard: Allowance,
    /// Of the crypto device, where an SA needs one.
    pub(super) crypto: Option<dpdk::CryptoQueue>,
}

impl Doors {
    /// A buffer for a packet of so many bytes, and for what a seal puts around it.
    pub(super) fn buffer(&self, len: usize) -> Option<Mbuf> {
        let fits = len + encrypt::TRAILING <= usize::from(self.pool.data_room() - dpdk::HEADROOM);
        if fits { self.pool.alloc() } else { self.large.alloc() }
    }

    /// Packets that are still in the gateway.
    pub(super) fn waiting(&self) -> usize {
        self.for_neighbours.len() + self.for_sas.len()
    }
}

/// The packets of `mask` came in from the wire by `ingress`.
pub(super) fn from_wire(
    burst: &mut Burst,
    mask: Mask,
    ingress: u16,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let Some(port) = ctx.snapshot.port(ingress).filter(|port| !port.shutdown) else {
        return burst.discard(mask, DropReason::PortDown, ctx.counters);
    };
    let mask = match port.vlan {
        Some(vlan) => tag::untag(burst, mask, vlan, ctx.counters),
        None => mask,
    };
    let parsed = parse::parse(burst, mask, port, &doors.large, ctx.counters);
    watch.lap(Stage::Parse, mask);
    exception::to_linux(burst, parsed.linux, ingress, &mut doors.queues, ctx);
    let routed = route::route(burst, parsed.ip, ctx);
    watch.lap(Stage::Route, parsed.ip);

    let selected = decrypt::select(burst, routed.local, ctx.counters);
    let fragments = selected.fragments | selected.udp_fragments;
    if fragments == 0 {
        return inwards(burst, routed.transit, selected, (ingress, port), doors, ctx, watch);
    }
    let complete = fragments::gather(burst, fragments, &doors.aside.to_us, ctx);
    inwards(burst, routed.transit, selected, (ingress, port), doors, ctx, watch);
    fragments::resume(burst, complete, (ingress, port), doors, ctx, watch);
}

/// Packets in transit, and to us, that came by a port: in clear or in ESP.
pub(super) fn inwards(
    burst: &mut Burst,
    transit: Mask,
    selected: Selected,
    (ingress, port): (u16, &PortView),
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    if selected.other != 0 {
        hear::hear(burst, selected.other, |alarm| {
            if doors.heard.take(ctx.now) {
                doors.alarms.raise(alarm, ctx.now);
            }
        });
    }
    // What is not ESP to us came in clear, and must have been allowed to.
    let (mut transit, mut local) = (transit, selected.other);
    let mut datagrams = Vec::new();
    if let Some(policy) = &port.policy {
        let undecided = classify::undecided(burst, transit | local, local, policy);
        if undecided != 0 {
            datagrams = fragments::gather(burst, undecided, &doors.aside.transit, ctx);
            (transit, local) = (transit & !undecided, local & !undecided);
        }
        let exempt = exempt::exempt(burst, local, Ours::Destination);
        let clear = classify::check_clear(burst, (transit | local) & !exempt, policy, ctx.counters);
        watch.lap(Stage::Classify, transit | local);
        (transit, local) = (transit & clear, local & (clear | exempt));
    }

    // What is ESP to us again when it is opened goes round once more.
    let mut esp = selected.esp;
    for _ in 0..LAYERS {
        if esp == 0 {
            break;
        }
        let mut opened_by = [None; BURST];
        let (alarms, crypto) = (&mut doors.alarms, doors.crypto.as_mut());
        let opened = decrypt::decrypt(burst, esp, &mut opened_by, alarms, crypto, ctx);
        watch.lap(Stage::Decrypt, opened);
        let inner = inbound_policy::check(burst, opened, &opened_by, ctx);
        watch.lap(Stage::InboundPolicy, opened);
        let routed = route::route(burst, inner, ctx);
        watch.lap(Stage::Route, inner);
        let inside = decrypt::select(burst, routed.local, ctx.counters);
        transit |= routed.transit;
        // Linux puts together what is not ESP; what is, was told to keep to the tunnel's MTU.
        local |= inside.other | inside.udp_fragments;
        burst.discard(inside.fragments, DropReason::IpFragment, ctx.counters);
        esp = inside.esp;
    }
    burst.discard(esp, DropReason::EspNested, ctx.counters);
    onwards(burst, Routed { local, transit }, (ingress, port), doors, ctx, watch);
    if !datagrams.is_empty()
        && let Some(policy) = &port.policy
    {
        datagrams::inwards(burst, datagrams, (ingress, port), policy, doors, ctx, watch);
    }
}

/// What was allowed in by a port: to Linux, or out again.
pub(super) fn onwards(
    burst: &mut Burst,
    Routed { local, transit }: Routed,
    (ingress, port): (u16, &PortView),
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    if local != 0 {
        let frames = exception::reframe(burst, local, port.mac, ctx);
        exception::to_linux(burst, frames, ingress, &mut doors.queues, ctx);
        watch.lap(Stage::Exception, local);
    }
    let hopped = forward::spend_hop(burst, transit, ctx.counters);
    if ctx.snapshot.lowers_mss {
        mss::lower(burst, hopped, ingress, ctx);
    }
    outwards(burst, hopped, doors, ctx, watch);
}

/// The packets of `mask` came from Linux, which has routed them out of `egress` and framed them. They go as they are,
/// but for those that the port's policy wants protected.
pub(super) fn from_linux(
    burst: &mut Burst,
    mask: Mask,
    egress: u16,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let Some(port) = ctx.snapshot.port(egress).filter(|port| !port.shutdown) else {
        return burst.discard(mask, DropReason::PortDown, ctx.counters);
    };
    let mut frames = mask;
    let mut datagrams = Vec::new();
    for index in crate::burst::bits(mask) {
        burst.meta[index].egress = egress;
    }
    if let Some(policy) = &port.policy {
        let parse::Parsed { ip, linux } = parse::unframe(burst, mask, &doors.large, ctx.counters);
        // Linux has cut what is longer than the TAP takes, though transport mode may want it whole.
        let undecided = classify::undecided(burst, ip, ip, policy);
        let pieces = undecided | classify::of_transport(burst, ip & !undecided, policy, ctx);
        if pieces != 0 {
            datagrams = fragments::gather(burst, pieces, &doors.aside.ours, ctx);
        }
        let exempt = exempt::exempt(burst, ip & !pieces, Ours::Source);
        let classified = classify::by_policy(burst, ip & !pieces & !exempt, policy, ctx);
        let clear = parse::reframe(burst, classified.clear | exempt, ctx.counters);
        protect(burst, classified.protect, 0, doors, ctx, watch);
        frames = linux | clear;
    }
    transmit::transmit(burst, frames, &mut doors.queues, ctx);
    watch.lap(Stage::Exception, mask);
    if !datagrams.is_empty() {
        datagrams::from_linux(burst, datagrams, doors, ctx, watch);
    }
}

/// All packets that wait try again, or have waited too long.
pub(super) fn retry(burst: &mut Burst, doors: &mut Doors, ctx: &Context<'_>) {
    let mut left = doors.for_sas.len();
    while left > 0 {
        let (mask, tried) = doors.for_sas.retry(burst, left, ctx);
        // Which SA serves them, and whether they still want one, is for the policy to say as it is now.
        let routed = route::route(burst, mask, ctx);
        burst.discard(routed.local, DropReason::NoRoute, ctx.counters);
        outwards(burst, routed.transit, doors, ctx, &mut Stopwatch::idle());
        left = left.saturating_sub(tried.max(1));
    }
    let mut left = doors.for_neighbours.len();
    while left > 0 {
        let (mask, tried) = doors.for_neighbours.retry(burst, left, ctx);
        // All that was to be decided of them is decided.
        let routed = route::route(burst, mask, ctx);
        burst.discard(routed.local, DropReason::NoRoute, ctx.counters);
        let Forwarded { ready, too_long } =
            forward::forward(burst, routed.transit, &mut doors.for_neighbours, &mut doors.alarms, ctx);
        // They fitted when they began to wait: the MTU or the route is another now.
        burst.discard(too_long, DropReason::MtuExceeded, ctx.counters);
        transmit::transmit(burst, ready, &mut doors.queues, ctx);
        left = left.saturating_sub(tried.max(1));
    }
}

/// Routed packets leave: protected where the egress port's policy says so.
fn outwards(
    burst: &mut Burst,
    transit: Mask,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let classified = classify::classify(burst, transit, ctx);
    watch.lap(Stage::Classify, transit);
    if classified.undecided == 0 {
        return protect(burst, classified.protect, classified.clear, doors, ctx, watch);
    }
    let datagrams = fragments::gather(burst, classified.undecided, &doors.aside.transit, ctx);
    protect(burst, classified.protect, classified.clear, doors, ctx, watch);
    datagrams::outwards(burst, datagrams, doors, ctx, watch);
}

/// Seals the packets of `mask` and sends them, and those that leave as they are, on their way.
pub(super) fn protect(
    burst: &mut Burst,
    mask: Mask,
    clear: Mask,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let too_long = leave(burst, (mask, 0), clear, doors, ctx, watch);
    if too_long.all() != 0 {
        oversize::resolve(burst, too_long, doors, ctx, watch);
    }
}

/// The packets of `mask`, each to the other end of its SA, are sealed as dummies, and sent. What is too long is dropped:
/// nobody will miss it.
pub(super) fn dummies(
    burst: &mut Burst,
    mask: Mask,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let too_long = leave(burst, (mask, mask), 0, doors, ctx, watch);
    burst.discard(too_long.all(), DropReason::MtuExceeded, ctx.counters);
}

/// As [`protect`]; what is too long stays in the burst. Some of the packets may be dummies.
pub(super) fn leave(
    burst: &mut Burst,
    (mask, dummies): (Mask, Mask),
    clear: Mask,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) -> TooLong {
    let mut leaving = clear;
    let mut too_long = TooLong::default();
    if mask != 0 {
        let (alarms, held, crypto) = (&mut doors.alarms, &mut doors.for_sas, doors.crypto.as_mut());
        let encrypted = encrypt::encrypt(burst, mask, dummies, alarms, held, crypto, ctx);
        watch.lap(Stage::Encrypt, encrypted.sealed);
        let outer = route::route(burst, encrypted.sealed, ctx);
        watch.lap(Stage::Route, encrypted.sealed);
        // The peer's address is one of our own: the tunnel leads back into the gateway.
        burst.discard(outer.local, DropReason::NoRoute, ctx.counters);
        leaving |= outer.transit & !encrypted.long;
        too_long.unsealed = encrypted.too_long;
        too_long.sealed = outer.transit & encrypted.long;
    }
    let Forwarded { ready, too_long: at_port } =
        forward::forward(burst, leaving, &mut doors.for_neighbours, &mut doors.alarms, ctx);
    watch.lap(Stage::Forward, leaving);
    too_long.surprised = at_port & !clear;
    too_long.clear = at_port & clear;
    transmit::transmit(burst, ready, &mut doors.queues, ctx);
    watch.lap(Stage::Transmit, ready);
    too_long
}
