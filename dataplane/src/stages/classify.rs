//! Classify: the crypto map of the port that a packet is about to leave by (IOS's order: route first).
//!
//! And of the port that it came in by, turned around: what that map protects must not come in unprotected
//! (RFC 4301, section 5.2, step 4).

use super::parse::fault;
use super::{Context, encrypt};
use crate::burst::{BURST, Burst, Drops, Family, Mask, Meta};
use crate::policy::Policy;
use acl::{Action, Depth, KeyV4, KeyV6, Verdict};
use arrayvec::ArrayVec;
use model::TcpFlags;
use packet::flow::{self, Extras, FiveTuple, FlowV4, FlowV6, Ports};
use packet::{extensions, ipv4, protocol};
use shm::{DropReason, WorkerCounters};
use std::net::IpAddr;

/// What classification decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Classified {
    /// Leaves as it is.
    pub(crate) clear: Mask,
    /// Goes through the SA of `meta.entry`.
    pub(crate) protect: Mask,
    /// Fragments that say too little.
    pub(crate) undecided: Mask,
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
                    let undecided = undecided(burst, same, 0, policy);
                    let by_this = by_policy(burst, same & !undecided, policy, ctx);
                    classified.clear |= by_this.clear;
                    classified.protect |= by_this.protect;
                    classified.undecided |= undecided;
                }
                None => classified.clear |= same,
            },
            None => burst.discard(same, DropReason::PortDown, ctx.counters),
        }
    }
    classified
}

/// The fragments of `mask` that alone say less than some rule of the policy asks for (RFC 4301, section 7): ports are in the
/// first of a datagram only, and of IPv6 even the protocol (RFC 8200, section 4.5). Of `ours`, also what may be part of IKE.
#[inline]
pub(crate) fn undecided(burst: &Burst, mask: Mask, ours: Mask, policy: &Policy) -> Mask {
    let (ports, protocol) = (policy.depth_v4() == Depth::Ports, policy.depth_v6() > Depth::Addresses);
    let asked = if ports || protocol { mask } else { mask & ours };
    let mut undecided = 0;
    for (index, mbuf) in burst.packets.masked(asked) {
        let is_ours = ours >> index & 1 != 0;
        let says_too_little = match burst.meta[index].family {
            Family::V4 => {
                let header = ipv4::Packet::new_unchecked(mbuf.data());
                header.is_fragment()
                    && (ports && protocol::has_ports(header.protocol())
                        || is_ours && header.protocol() == protocol::UDP)
            }
            Family::V6 => extensions::fragmented(mbuf.data()).is_some_and(|next| {
                protocol || is_ours && (next == protocol::UDP || extensions::is_extension(next))
            }),
        };
        undecided |= Mask::from(says_too_little) << index;
    }
    undecided
}

/// Classifies packets that leave by one policy.
pub(crate) fn by_policy(burst: &mut Burst, mask: Mask, policy: &Policy, ctx: &Context<'_>) -> Classified {
    let mut classified = Classified::default();
    let mut drops = Drops::new(ctx.counters);
    let unread = look_up(burst, mask, policy, Facing::Outwards, |index, meta, verdict| {
        // What waited was counted when it came.
        if let Some(rule) = verdict.rule().filter(|_| meta.waiting_since == 0) {
            policy.hits.add(ctx.worker, rule, 1);
        }
        match verdict.action() {
            Some(Action::Protect(entry)) => {
                meta.entry = entry;
                classified.protect |= 1 << index;
            }
            Some(Action::Discard) => drops.add(index, DropReason::PolicyDiscard),
            Some(Action::Bypass) | None => classified.clear |= 1 << index,
        }
    });
    let dropped = drops.mask;
    burst.packets.free(dropped);
    drop_unread(burst, unread, ctx.counters);
    classified
}

/// Whether an entry's SA is of transport mode, where ESP comes before fragmentation (RFC 4303, section 3.3.4). An entry that
/// has none may yet get one of that mode.
fn takes_no_fragments(entry: u32, ctx: &Context<'_>) -> bool {
    encrypt::serving(ctx, entry).map_or(true, |(sa, _)| sa.template.is_transport())
}

/// The fragments of `mask` that leave by an SA which takes none.
#[inline]
pub(crate) fn of_transport(burst: &Burst, mask: Mask, policy: &Policy, ctx: &Context<'_>) -> Mask {
    #[cold]
    fn is_for_transport(packet: &[u8], policy: &Policy, ctx: &Context<'_>) -> bool {
        let Ok(said) = Said::by(packet) else { return false };
        match one(&said, policy).action() {
            Some(Action::Protect(entry)) => takes_no_fragments(entry, ctx),
            _ => false,
        }
    }
    let mut found = 0;
    for (index, mbuf) in burst.packets.masked(mask) {
        let is_fragment = match burst.meta[index].family {
            Family::V4 => ipv4::Packet::new_unchecked(mbuf.data()).is_fragment(),
            Family::V6 => extensions::fragmented(mbuf.data()).is_some(),
        };
        found |= Mask::from(is_fragment && is_for_transport(mbuf.data(), policy, ctx)) << index;
    }
    found
}

/// Whether a packet that `meta.entry` protects must be sealed before it is cut: its SA is of transport mode, or whoever sees
/// its fragments alone would not find that they belong there, and neither would the peer.
#[cold]
pub(crate) fn only_whole(packet: &[u8], meta: &Meta, ctx: &Context<'_>) -> bool {
    if takes_no_fragments(meta.entry, ctx) {
        return true;
    }
    let policy = ctx.snapshot.port(meta.egress).and_then(|port| port.policy.as_ref());
    let (Some(policy), Ok(said)) = (policy, Said::by(packet)) else { return false };
    one(&said.of_a_later_fragment(), policy).action() != Some(Action::Protect(meta.entry))
}

/// What a packet says of itself that a policy may ask for.
#[derive(Clone, Copy)]
pub(crate) struct Said {
    pub(crate) flow: FiveTuple,
    pub(crate) tcp_flags: TcpFlags,
    traffic_class: u8,
}

impl Said {
    pub(crate) fn by(packet: &[u8]) -> Result<Said, packet::Error> {
        let flow = flow::five_tuple(packet)?;
        let extras = if flow.source.is_ipv4() { flow::extras_v4(packet) } else { flow::extras_v6(packet) };
        let (tcp_flags, traffic_class) = marks(extras);
        Ok(Said { flow, tcp_flags, traffic_class })
    }

    /// What the other end would say.
    pub(crate) fn reversed(self) -> Said {
        Said { flow: self.flow.reversed(), ..self }
    }

    /// What somebody else would say.
    pub(crate) fn from(self, source: IpAddr) -> Said {
        Said { flow: FiveTuple { source, ..self.flow }, ..self }
    }

    /// What a later fragment of it alone says.
    fn of_a_later_fragment(self) -> Said {
        Said { flow: FiveTuple { ports: None, ..self.flow }, tcp_flags: TcpFlags::UNSEEN, ..self }
    }
}

/// What a policy says of one packet that leaves. Nothing is counted as a hit.
pub(crate) fn one(said: &Said, policy: &Policy) -> Verdict {
    let Said { flow, tcp_flags, traffic_class } = *said;
    let mut verdict = [Verdict::NONE];
    let (protocol, ports) = (flow.protocol, flow.ports.map(|(from, to)| Ports::new(from, to)));
    match (flow.source, flow.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            let flow = FlowV4 { source, destination, protocol, ports };
            let key = key_v4(flow, Facing::Outwards);
            policy.lookup_v4(&[KeyV4 { tcp_flags, traffic_class, ..key }], &mut verdict);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            let flow = FlowV6 { source, destination, protocol, ports };
            let key = key_v6(flow, Facing::Outwards);
            policy.lookup_v6(&[KeyV6 { tcp_flags, traffic_class, ..key }], &mut verdict);
        }
        // No packet is of two families.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
    verdict[0]
}

/// Drops what came in clear through a port whose map does not let it; returns the rest.
pub(crate) fn check_clear(burst: &mut Burst, mask: Mask, policy: &Policy, counters: &WorkerCounters) -> Mask {
    let (mut refused, mut discard) = (0, 0);
    let unread = look_up(burst, mask, policy, Facing::Inwards, |index, _, verdict| {
        match refusal_of_clear(verdict.action()) {
            None => {}
            Some(DropReason::PolicyDiscard) => discard |= 1 << index,
            Some(_) => refused |= 1 << index,
        }
    });
    burst.discard(refused, DropReason::PolicyCleartext, counters);
    burst.discard(discard, DropReason::PolicyDiscard, counters);
    drop_unread(burst, unread, counters);
    mask & !refused & !discard & !unread
}

/// Why what a map says this of may not come in clear: it should have been protected; or it is not to pass at all, as what is to
/// be protected by a tunnel that there is not yet.
#[inline]
pub(crate) fn refusal_of_clear(action: Option<Action>) -> Option<DropReason> {
    match action {
        Some(Action::Protect(_)) => Some(DropReason::PolicyCleartext),
        Some(Action::Discard) => Some(DropReason::PolicyDiscard),
        Some(Action::Bypass) | None => None,
    }
}

/// Drops what has no 5-tuple that could be looked up, each for what is wrong with it.
#[inline]
fn drop_unread(burst: &mut Burst, unread: Mask, counters: &WorkerCounters) {
    #[cold]
    fn drop(burst: &mut Burst, unread: Mask, counters: &WorkerCounters) {
        let mut drops = Drops::new(counters);
        for (index, mbuf) in burst.packets.masked_mut(unread) {
            let wrong = flow::five_tuple(mbuf.data()).err();
            drops.add(index, wrong.map_or(DropReason::IpTruncated, fault));
        }
        let dropped = drops.mask;
        burst.packets.free(dropped);
    }
    if unread != 0 {
        drop(burst, unread, counters);
    }
}

/// Which way a packet is seen: a map's selectors are written for packets that leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Facing {
    Outwards,
    Inwards,
}

/// Looks the packets of `mask` up and hands each verdict to `decide`. Returns those whose headers could not be read.
fn look_up(
    burst: &mut Burst,
    mask: Mask,
    policy: &Policy,
    facing: Facing,
    mut decide: impl FnMut(usize, &mut Meta, Verdict),
) -> Mask {
    let Burst { packets, meta } = burst;
    let asks_marks = policy.asks_marks();
    let mut unread = 0;
    let mut keys4 = ArrayVec::<KeyV4, BURST>::new();
    let mut keys6 = ArrayVec::<KeyV6, BURST>::new();
    let mut ids4 = ArrayVec::<u8, BURST>::new();
    let mut ids6 = ArrayVec::<u8, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask) {
        match meta[index].family {
            Family::V4 => match flow::v4(mbuf.data()) {
                Ok(flow) => {
                    let mut key = key_v4(flow, facing);
                    if asks_marks {
                        (key.tcp_flags, key.traffic_class) = marks(flow::extras_v4(mbuf.data()));
                    }
                    keys4.push(key);
                    ids4.push(index as u8);
                }
                Err(_) => unread |= 1 << index,
            },
            Family::V6 => match flow::v6(mbuf.data()) {
                Ok(flow) => {
                    let mut key = key_v6(flow, facing);
                    if asks_marks {
                        (key.tcp_flags, key.traffic_class) = marks(flow::extras_v6(mbuf.data()));
                    }
                    keys6.push(key);
                    ids6.push(index as u8);
                }
                Err(_) => unread |= 1 << index,
            },
        }
    }
    let mut verdicts = [Verdict::NONE; BURST];
    let mut tell = |ids: &[u8], verdicts: &[Verdict]| {
        for (&index, &verdict) in ids.iter().zip(verdicts) {
            let index = usize::from(index);
            decide(index, &mut meta[index], verdict);
        }
    };
    if !keys4.is_empty() {
        policy.lookup_v4(&keys4, &mut verdicts[..keys4.len()]);
        tell(&ids4, &verdicts);
    }
    if !keys6.is_empty() {
        policy.lookup_v6(&keys6, &mut verdicts[..keys6.len()]);
        tell(&ids6, &verdicts);
    }
    unread
}

/// What rules ask for beside the 5-tuple, as a key has it.
#[cold]
fn marks(extras: Result<Extras, packet::Error>) -> (TcpFlags, u8) {
    // A packet whose 5-tuple was read has that, too.
    let Extras { tcp_flags, traffic_class } = extras.unwrap_or_default();
    (tcp_flags.map_or(TcpFlags::UNSEEN, TcpFlags::seen), traffic_class)
}

#[inline(always)]
fn key_v4(flow: FlowV4, facing: Facing) -> KeyV4 {
    let FlowV4 { source, destination, protocol, ports } = flow;
    let seen = ports.unwrap_or(Ports::new(0, 0));
    let ((source, destination), (source_port, destination_port)) = match facing {
        Facing::Outwards => ((source, destination), (seen.source(), seen.destination())),
        Facing::Inwards => ((destination, source), (seen.destination(), seen.source())),
    };
    KeyV4 {
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        has_ports: ports.is_some(),
        tcp_flags: TcpFlags::UNSEEN,
        traffic_class: 0,
    }
}

#[inline(always)]
fn key_v6(flow: FlowV6, facing: Facing) -> KeyV6 {
    let FlowV6 { source, destination, protocol, ports } = flow;
    let seen = ports.unwrap_or(Ports::new(0, 0));
    let ((source, destination), (source_port, destination_port)) = match facing {
        Facing::Outwards => ((source, destination), (seen.source(), seen.destination())),
        Facing::Inwards => ((destination, source), (seen.destination(), seen.source())),
    };
    KeyV6 {
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        has_ports: ports.is_some(),
        tcp_flags: TcpFlags::UNSEEN,
        traffic_class: 0,
    }
}
