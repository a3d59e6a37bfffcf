//! Packets that are too long for their way: each is cut into fragments, or its sender hears of it (RFC 4301, section 8).
//!
//! It is beside the way of a burst, which only sorts them out. Here they are looked at one by one, and what comes of them
//! goes on in bursts of its own.

use super::stopwatch::Stopwatch;
use super::way::{self, Doors};
use crate::burst::{BURST, Burst, Mask, Meta, bits};
use crate::stages::classify::{self, Said};
use crate::stages::{Context, answer, encrypt, exception, route};
use crate::worker::alarms::Alarm;
use acl::Action;
use arrayvec::ArrayVec;
use dpdk::Mbuf;
use esp::find::{Found, find};
use esp::size::{Fit, in_clear};
use packet::fragment::Cutter;
use shm::DropReason;
use std::net::IpAddr;

/// Which packets of a burst are too long, and for what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TooLong {
    /// For the SA of `meta.entry`.
    pub(super) unsealed: Mask,
    /// Sealed by that, to be fragmented now.
    pub(super) sealed: Mask,
    /// Sealed, too, and for a port that takes less than the one that the SA was looked at for.
    pub(super) surprised: Mask,
    /// In clear, for the port.
    pub(super) clear: Mask,
}

impl TooLong {
    pub(super) fn all(self) -> Mask {
        self.unsealed | self.sealed | self.surprised | self.clear
    }
}

/// What is to be done about one.
enum Remedy {
    /// Cut it into fragments of at most `mtu` bytes, which then go the same way.
    Cut { mtu: usize, identification: Option<u32>, way: Way },
    /// Tell its sender that `mtu` bytes would do.
    Answer { mtu: usize },
    /// Nothing can be done.
    Drop,
}

/// Where fragments go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through the SA.
    Protect,
    /// Out, as they are.
    Out,
}

/// What goes on in the next burst.
struct Batch {
    protect: Mask,
    out: Mask,
    answers: Mask,
    /// Of each answer: the flow that it belongs to as seen on its way, and whom the packet was for.
    said: [Option<Said>; BURST],
}

const EMPTY: Batch = Batch { protect: 0, out: 0, answers: 0, said: [None; BURST] };

/// Deals with all of them. Nothing is left in the burst.
#[cold]
pub(super) fn resolve(
    burst: &mut Burst,
    too_long: TooLong,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let mut all = ArrayVec::<(Mbuf, Meta, Remedy), BURST>::new();
    for index in bits(too_long.all()) {
        let Some(mbuf) = burst.packets.take(index) else { continue };
        let meta = burst.meta[index];
        let remedy = if too_long.unsealed >> index & 1 != 0 {
            unsealed(&mbuf, &meta, ctx)
        } else if (too_long.sealed | too_long.surprised) >> index & 1 != 0 {
            sealed(&mbuf, &meta, too_long.surprised >> index & 1 != 0, doors, ctx)
        } else {
            let mtu = ctx.snapshot.port(meta.egress).map_or(0, |port| port.mtu(meta.family));
            match in_clear(mbuf.data(), mtu) {
                Fit::Answer(mtu) => Remedy::Answer { mtu },
                _ => Remedy::Cut { mtu, identification: None, way: Way::Out },
            }
        };
        all.push((mbuf, meta, remedy));
    }
    let mut batch = EMPTY;
    for (mbuf, meta, remedy) in all {
        match remedy {
            Remedy::Cut { mtu, identification, way } => {
                cut(burst, &mut batch, (mbuf, meta), (mtu, identification, way), doors, ctx, watch);
            }
            Remedy::Answer { mtu } => answer_it(burst, &mut batch, (mbuf, meta), mtu, doors, ctx, watch),
            Remedy::Drop => ctx.counters.drop(DropReason::MtuExceeded, 1),
        }
    }
    flush(burst, &mut batch, doors, ctx, watch);
}

fn unsealed(mbuf: &Mbuf, meta: &Meta, ctx: &Context<'_>) -> Remedy {
    let Ok((sa, slot)) = encrypt::serving(ctx, meta.entry) else { return Remedy::Drop };
    let limit = encrypt::limit(ctx, sa, slot, meta.egress);
    match sa.template.fit(sa.size, mbuf.data(), limit) {
        Some(Fit::Fragments(mtu)) => Remedy::Cut { mtu, identification: None, way: Way::Protect },
        Some(Fit::Answer(mtu)) => Remedy::Answer { mtu },
        // It was not so a moment ago: the path MTU has changed.
        Some(Fit::Whole) | None => Remedy::Drop,
    }
}

/// A sealed packet is fragmented, as whoever makes a packet may do whatever its DF says. If it is a surprise, senders hear
/// of it from the next packet on.
fn sealed(mbuf: &Mbuf, meta: &Meta, surprised: bool, doors: &mut Doors, ctx: &Context<'_>) -> Remedy {
    let Ok((sa, slot)) = encrypt::serving(ctx, meta.entry) else { return Remedy::Drop };
    let mtu = encrypt::limit(ctx, sa, slot, meta.egress);
    let packet = mbuf.data();
    let Found::Esp { at, .. } = find(meta.family.into(), packet) else { return Remedy::Drop };
    let sequence = packet.get(at + 4..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    if surprised {
        let alarm =
            Alarm::PathMtu { index: sa.index, spi: sa.spi, mtu: mtu.min(usize::from(u16::MAX)) as u16 };
        doors.alarms.raise(alarm, ctx.now);
    }
    let identification = Some(sa.template.identification(u32::from_be_bytes(sequence)));
    Remedy::Cut { mtu, identification, way: Way::Out }
}

/// Puts a packet's fragments into the burst; sends it on whenever it is full.
fn cut(
    burst: &mut Burst,
    batch: &mut Batch,
    (mbuf, meta): (Mbuf, Meta),
    (mtu, identification, way): (usize, Option<u32>, Way),
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let Ok(mut cutter) = Cutter::new(mbuf.data(), mtu, identification) else {
        return ctx.counters.drop(DropReason::MtuExceeded, 1);
    };
    // The first takes the packet's own place in the sum of packets, the others are new.
    let mut first = true;
    while let Some(len) = cutter.next_len() {
        if burst.packets.mask() == Mask::MAX {
            flush(burst, batch, doors, ctx, watch);
        }
        if !std::mem::take(&mut first) {
            ctx.counters.made.add(1);
        }
        let Some(mut fragment) = doors.buffer(len) else {
            return ctx.counters.drop(DropReason::NoMbuf, 1);
        };
        let Ok(room) = fragment.append(len) else {
            return ctx.counters.drop(DropReason::Segmented, 1);
        };
        cutter.emit_next(room);
        if let Ok(index) = burst.packets.push(fragment) {
            burst.meta[index] = meta;
            match way {
                Way::Protect => batch.protect |= 1 << index,
                Way::Out => batch.out |= 1 << index,
            }
        }
    }
}

/// Puts the answer to a packet into the burst, if there may be one. The packet itself is dropped.
fn answer_it(
    burst: &mut Burst,
    batch: &mut Batch,
    (mut mbuf, meta): (Mbuf, Meta),
    mtu: usize,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    ctx.counters.drop(DropReason::MtuExceeded, 1);
    let Some(listener) = answer::listener(meta.family, mbuf.data()) else { return };
    let Ok(said) = Said::by(mbuf.data()) else { return };
    if !doors.answers.take(ctx.now) || answer::too_big(&mut mbuf, meta.family, listener, mtu).is_none() {
        return;
    }
    if burst.packets.mask() == Mask::MAX {
        flush(burst, batch, doors, ctx, watch);
    }
    if let Ok(index) = burst.packets.push(mbuf) {
        ctx.counters.made.add(1);
        burst.meta[index] = meta;
        batch.said[index] = Some(said.reversed());
        batch.answers |= 1 << index;
    }
}

/// Sends a burst of fragments and answers on its way. What is too long even so is dropped.
fn flush(
    burst: &mut Burst,
    batch: &mut Batch,
    doors: &mut Doors,
    ctx: &Context<'_>,
    watch: &mut Stopwatch<'_>,
) {
    let Batch { mut protect, mut out, answers, said } = std::mem::replace(batch, EMPTY);
    // Of our own Linux's packets: the port that it sent them by.
    let came_by: [u16; BURST] = std::array::from_fn(|index| burst.meta[index].egress);
    let routed = route::route(burst, answers, ctx);
    for index in bits(routed.transit | routed.local) {
        let to_us = routed.local >> index & 1 != 0;
        // It quotes what the packet said, and so it goes as safely as answers of that flow go (RFC 4301, section 6.2).
        let policy = ctx.snapshot.port(burst.meta[index].egress).and_then(|port| port.policy.as_deref());
        let verdict = |said: &Said| policy.and_then(|policy| classify::one(said, policy).action());
        let action = said[index].as_ref().filter(|_| !to_us).and_then(verdict);
        let signed = said[index].and_then(|said| {
            let from = if to_us {
                // Linux takes nothing from the wire that has one of its own addresses: as if from the far end.
                said.flow.source
            } else {
                signature(&burst.meta[index], ctx, |own| match action {
                    Some(Action::Protect(_)) => verdict(&said.from(own)) == action,
                    _ => true,
                })?
            };
            answer::sign(burst.packets.get_mut(index)?.data_mut(), from)
        });
        if signed.is_none() {
            burst.discard(1 << index, DropReason::MtuExceeded, ctx.counters);
            continue;
        }
        if to_us {
            let port = came_by[index];
            let station = ctx.snapshot.port(port).map(|port| port.mac).unwrap_or_default();
            let frame = exception::reframe(burst, 1 << index, station, ctx);
            exception::to_linux(burst, frame, port, &mut doors.queues, ctx);
            continue;
        }
        match action {
            Some(Action::Protect(entry)) => {
                burst.meta[index].entry = entry;
                protect |= 1 << index;
            }
            Some(Action::Discard) => burst.discard(1 << index, DropReason::PolicyDiscard, ctx.counters),
            Some(Action::Bypass) | None => out |= 1 << index,
        }
    }
    let rest = way::leave(burst, (protect, 0), out, doors, ctx, watch);
    burst.discard(rest.all(), DropReason::MtuExceeded, ctx.counters);
}

/// Who an answer is from: the port that it leaves by, else any port (RFC 1812, section 4.3.2.4). First of all one that is
/// `fitting`: in an SA, a peer takes only what is from where the SA's traffic is from (RFC 4301, section 5.2).
fn signature(meta: &Meta, ctx: &Context<'_>, fitting: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let others = ctx.snapshot.ports.iter().flatten();
    let ports = ctx.snapshot.port(meta.egress).into_iter().chain(others);
    let mut addresses = ports.filter_map(|port| port.address(meta.family));
    addresses.clone().find(|&own| fitting(own)).or_else(|| addresses.next())
}
