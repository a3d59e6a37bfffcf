//! Classify: the crypto map of the port that a packet is about to leave by (IOS's order: route first).
//!
//! And of the port that it came in by, turned around: what that map protects must not come in unprotected
//! (RFC 4301, section 5.2, step 4).

use super::Context;
use crate::burst::{BURST, Burst, Drops, Mask};
use crate::policy::Policy;
use acl::{Action, KeyV4, KeyV6, Verdict};
use arrayvec::ArrayVec;
use dpdk::Packets;
use packet::flow::{self, FiveTuple};
use shm::{DropReason, WorkerCounters};
use std::net::IpAddr;

/// What classification decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Classified {
    /// Leaves as it is.
    pub(crate) clear: Mask,
    /// Goes through the SA of `meta.entry`.
    pub(crate) protect: Mask,
}

/// Classifies packets in transit by the maps of the ports that they will leave by.
pub(crate) fn classify(burst: &mut Burst, mask: Mask, ctx: &Context<'_>) -> Classified {
    let mut classified = Classified::default();
    let mut rest = mask;
    while rest != 0 {
        let egress = burst.meta[rest.trailing_zeros() as usize].egress;
        let same = burst.with_egress(rest, egress);
        rest &= !same;
        match ctx.snapshot.port(egress) {
            Some(port) => match &port.policy {
                Some(policy) => {
                    let by_this = by_policy(burst, same, policy, ctx);
                    classified.clear |= by_this.clear;
                    classified.protect |= by_this.protect;
                }
                None => classified.clear |= same,
            },
            None => burst.discard(same, DropReason::PortDown, ctx.counters),
        }
    }
    classified
}

/// Classifies packets that leave by one policy.
pub(crate) fn by_policy(burst: &mut Burst, mask: Mask, policy: &Policy, ctx: &Context<'_>) -> Classified {
    let mut classified = Classified::default();
    let Burst { packets, meta } = burst;
    let mut drops = Drops::new(ctx.counters);
    let unread = look_up(packets, mask, policy, Facing::Outwards, |index, verdict| {
        if let Some(rule) = verdict.rule() {
            policy.hits.add(ctx.worker, rule, 1);
        }
        match verdict.action() {
            Some(Action::Protect(entry)) => {
                meta[index].entry = entry;
                classified.protect |= 1 << index;
            }
            Some(Action::Discard) => drops.add(index, DropReason::PolicyDiscard),
            Some(Action::Bypass) | None => classified.clear |= 1 << index,
        }
    });
    let dropped = drops.mask;
    packets.free(dropped);
    burst.discard(unread, DropReason::IpTruncated, ctx.counters);
    classified
}

/// What a policy says of one flow that leaves. Nothing is counted as a hit.
pub(crate) fn one(flow: &FiveTuple, policy: &Policy) -> Option<Action> {
    let mut verdict = [Verdict::NONE];
    match key(flow) {
        Key::V4(key) => policy.lookup_v4(&[key], &mut verdict),
        Key::V6(key) => policy.lookup_v6(&[key], &mut verdict),
    }
    verdict[0].action()
}

/// Drops what came in clear through a port whose map says that it should have been protected; returns the rest.
pub(crate) fn check_clear(burst: &mut Burst, mask: Mask, policy: &Policy, counters: &WorkerCounters) -> Mask {
    let mut refused = 0;
    let unread = look_up(&mut burst.packets, mask, policy, Facing::Inwards, |index, verdict| {
        if matches!(verdict.action(), Some(Action::Protect(_))) {
            refused |= 1 << index;
        }
    });
    burst.discard(refused, DropReason::PolicyCleartext, counters);
    burst.discard(unread, DropReason::IpTruncated, counters);
    mask & !refused & !unread
}

/// Which way a packet is seen: a map's selectors are written for packets that leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Facing {
    Outwards,
    Inwards,
}

/// Looks the packets of `mask` up and hands each verdict to `decide`. Returns those whose headers could not be read.
fn look_up(
    packets: &mut Packets,
    mask: Mask,
    policy: &Policy,
    facing: Facing,
    mut decide: impl FnMut(usize, Verdict),
) -> Mask {
    let mut unread = 0;
    let mut keys4 = ArrayVec::<KeyV4, BURST>::new();
    let mut keys6 = ArrayVec::<KeyV6, BURST>::new();
    let mut ids4 = ArrayVec::<u8, BURST>::new();
    let mut ids6 = ArrayVec::<u8, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask) {
        let Ok(tuple) = flow::five_tuple(mbuf.data()) else {
            unread |= 1 << index;
            continue;
        };
        let tuple = if facing == Facing::Inwards { tuple.reversed() } else { tuple };
        match key(&tuple) {
            Key::V4(key) => {
                keys4.push(key);
                ids4.push(index as u8);
            }
            Key::V6(key) => {
                keys6.push(key);
                ids6.push(index as u8);
            }
        }
    }
    let mut verdicts = [Verdict::NONE; BURST];
    if !keys4.is_empty() {
        policy.lookup_v4(&keys4, &mut verdicts[..keys4.len()]);
        ids4.iter().zip(verdicts).for_each(|(&index, verdict)| decide(usize::from(index), verdict));
    }
    if !keys6.is_empty() {
        policy.lookup_v6(&keys6, &mut verdicts[..keys6.len()]);
        ids6.iter().zip(verdicts).for_each(|(&index, verdict)| decide(usize::from(index), verdict));
    }
    unread
}

enum Key {
    V4(KeyV4),
    V6(KeyV6),
}

#[inline]
fn key(tuple: &FiveTuple) -> Key {
    let (source_port, destination_port) = tuple.ports.unwrap_or((0, 0));
    let (protocol, has_ports) = (tuple.protocol, tuple.ports.is_some());
    match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Key::V4(KeyV4 {
            source: source.to_bits(),
            destination: destination.to_bits(),
            source_port,
            destination_port,
            protocol,
            has_ports,
        }),
        (source, destination) => Key::V6(KeyV6 {
            source: bits6(source),
            destination: bits6(destination),
            source_port,
            destination_port,
            protocol,
            has_ports,
        }),
    }
}

fn bits6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
