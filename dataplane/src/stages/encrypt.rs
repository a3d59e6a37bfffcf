//! Encrypt: headers, IV and trailer for each packet, then the whole burst sealed at once (RFC 4303, section 3.3). What is
//! not AES-GCM goes by [`suites`].

use super::{Context, account, classify, suites};
use crate::burst::{BURST, Burst, Drops, Mask, bits};
use crate::snapshot::{OutboundSa, Protection};
use crate::worker::alarms::{Alarm, Alarms};
use crate::worker::held::Held;
use arrayvec::ArrayVec;
use dpdk::{CryptoQueue, Mbuf};
use esp::outbound::Sealing;
use esp::size::Fit;
use packet::flow;
use shm::{DropReason, SaSlot};
use std::ops::Range;

/// The packets of a burst that one SA takes.
pub(super) struct Group<'a> {
    entry: u32,
    pub(super) sa: &'a OutboundSa,
    slot: &'a SaSlot,
    /// What its packets may come to, in bytes, and how long a packet may be that surely does not come to more.
    limit: usize,
    room: usize,
    /// Packets that want it.
    wanted: u32,
    /// Sequence numbers still to be given out.
    sequences: Range<u64>,
    /// What it sealed: packets, and bytes before encapsulation.
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// All groups of a burst, and the place among them of each packet's.
pub(super) type Groups<'a> = ArrayVec<Group<'a>, BURST>;

/// Where groups are looked for first, by the low bits of their entries; most of a burst's entries have one of their own.
const PLACES: usize = 256;
/// No group was put there.
const NOWHERE: usize = BURST;

/// What becomes of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encrypted {
    /// They begin at the outer header now.
    pub(crate) sealed: Mask,
    /// Those of them that are longer than their way takes, and are to be fragmented.
    pub(crate) long: Mask,
    /// Not sealed, as they are longer than their SA takes.
    pub(crate) too_long: Mask,
}

/// Protects the packets of `mask` by the SAs of their policy entries, on their way out of `meta.egress`. A packet
/// that no SA carries yet waits in `held`.
pub(crate) fn encrypt(
    burst: &mut Burst,
    mask: Mask,
    alarms: &mut Alarms,
    held: &mut Held,
    crypto: Option<&mut CryptoQueue>,
    ctx: &Context<'_>,
) -> Encrypted {
    let Burst { packets, meta } = burst;
    let mut drops = Drops::new(ctx.counters);
    let mut waiting: Mask = 0;
    let (mut long, mut too_long) = (0, 0);
    let mut groups = Groups::new();
    let mut group_of = [0_u8; BURST];
    let mut places = [NOWHERE as u8; PLACES];
    let mut other = 0;

    // Which SAs, and how many packets for each, so that each SA is asked once for its sequence numbers.
    for (index, mbuf) in packets.masked_mut(mask) {
        let entry = meta[index].entry;
        let known = match usize::from(places[entry as usize % PLACES]) {
            NOWHERE => None,
            place if groups[place].entry == entry => Some(place),
            // Another entry has come since that falls on the same place.
            _ => groups.iter().rposition(|group| group.entry == entry),
        };
        let place = match known {
            Some(place) => place,
            None => match serving(ctx, entry) {
                Ok((sa, slot)) => {
                    if let Some(key) = &sa.key {
                        key.prefetch(mbuf.len());
                    }
                    let limit = limit(ctx, sa, slot, meta[index].egress);
                    let room = sa.template.room(limit);
                    let (sequences, packets, bytes) = (0..0, 0, 0);
                    groups.push(Group { entry, sa, slot, limit, room, wanted: 0, sequences, packets, bytes });
                    places[entry as usize % PLACES] = (groups.len() - 1) as u8;
                    groups.len() - 1
                }
                Err(reason) => {
                    if reason == DropReason::PolicyNoSa
                        && let Ok(flow) = flow::five_tuple(mbuf.data())
                    {
                        alarms.raise(Alarm::Acquire { entry, flow }, ctx.now);
                        waiting |= 1 << index;
                        continue;
                    }
                    drops.add(index, reason);
                    continue;
                }
            },
        };
        let group = &mut groups[place];
        if mbuf.len() > group.room {
            match group.sa.template.fit(group.sa.size, mbuf.data(), group.limit) {
                None => {}
                Some(Fit::Whole) => long |= 1 << index,
                Some(_) if meta[index].whole => long |= 1 << index,
                Some(Fit::Fragments(_)) if classify::only_whole(mbuf.data(), &meta[index], ctx) => {
                    long |= 1 << index;
                }
                Some(Fit::Fragments(_) | Fit::Answer(_)) => {
                    too_long |= 1 << index;
                    continue;
                }
            }
        }
        group.wanted += 1;
        group_of[index] = place as u8;
    }
    for group in &mut groups {
        let sa = group.sa;
        group.sequences = esp::sequence::allocate(&group.slot.next_sequence, group.wanted, sa.last_sequence);
        if group.sequences.end - group.sequences.start < u64::from(group.wanted) {
            alarms.raise(Alarm::SequenceExhausted { index: sa.index, spi: sa.spi }, ctx.now);
        }
    }

    // Headers and trailers, and a job for each packet.
    let mut sealed = 0;
    let mut incomplete: Mask = 0;
    let mut jobs = ArrayVec::<gcm::Job<'_>, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask & !drops.mask & !waiting & !too_long) {
        let group = &mut groups[usize::from(group_of[index])];
        let sa = group.sa;
        let (Protection::Gcm(icv), Some(key)) = (&sa.protection, &sa.key) else {
            other |= 1 << index;
            continue;
        };
        let inner_len = mbuf.len();
        match encapsulate(group, mbuf) {
            Ok((packet, sealing)) => {
                jobs.push(gcm::Job {
                    key,
                    nonce: sealing.nonce,
                    aad: gcm::Aad::padded(sealing.aad.padded()),
                    packet,
                    text: sealing.text,
                    icv: *icv,
                });
                meta[index].family = sa.template.version().into();
                if sa.template.completes() {
                    incomplete |= 1 << index;
                }
                group.packets += 1;
                group.bytes += inner_len as u64;
                sealed |= 1 << index;
            }
            Err(reason) => drops.add(index, reason),
        }
    }
    let failed = gcm::seal(&mut jobs);
    drop(jobs);
    if failed != 0 {
        // Nothing that was made here can fail; but what is not sealed must not leave.
        for index in
            bits(sealed).enumerate().filter(|(job, _)| failed & (1 << job) != 0).map(|(_, index)| index)
        {
            drops.add(index, DropReason::Internal);
        }
        sealed &= !drops.mask;
    }
    if other != 0 {
        let done = suites::seal(packets, other, (&mut groups, &group_of), crypto, &mut drops);
        for index in bits(done) {
            let template = &groups[usize::from(group_of[index])].sa.template;
            meta[index].family = template.version().into();
            incomplete |= Mask::from(template.completes()) << index;
        }
        sealed |= done;
    }
    for (index, mbuf) in packets.masked_mut(incomplete & sealed) {
        let sa = groups[usize::from(group_of[index])].sa;
        esp::outbound::complete(&sa.template, mbuf.data_mut());
    }
    for group in &groups {
        let sa = group.sa;
        account::count(
            group.slot,
            &sa.limits,
            (sa.index, sa.spi),
            group.packets,
            group.bytes,
            alarms,
            ctx.now,
        );
    }
    let dropped = drops.mask;
    packets.free(dropped);
    if waiting != 0 {
        held.hold(burst, waiting, |meta| meta.entry, ctx);
    }
    Encrypted { sealed, long: long & sealed, too_long }
}

/// What the packets of an SA may come to that leave by a port, in bytes.
#[inline]
pub(crate) fn limit(ctx: &Context<'_>, sa: &OutboundSa, slot: &SaSlot, egress: u16) -> usize {
    let port = ctx.snapshot.port(egress).map_or(usize::MAX, |port| port.mtu(sa.template.version().into()));
    port.min(slot.path_mtu())
}

/// Gives a packet its sequence number, and headers and trailer around it, so that only sealing is left to do. Inlined in
/// the way of AES-GCM, although it has two callers.
#[inline(always)]
pub(super) fn encapsulate<'p>(
    group: &mut Group<'_>,
    mbuf: &'p mut Mbuf,
) -> Result<(&'p mut [u8], Sealing), DropReason> {
    let sequence = group.sequences.next().ok_or(DropReason::EspSequenceExhausted)?;
    let sa = group.sa;
    let inner_len = mbuf.len();
    let trailer_len = sa.template.trailer_len(mbuf.data());
    let packet = mbuf.grow(sa.template.header_len(), trailer_len).map_err(|_| DropReason::NoHeadroom)?;
    let iv = esp::iv::at(sa.iv_base, sequence);
    match esp::outbound::encapsulate(&sa.template, sequence, iv, packet, inner_len) {
        Ok(sealing) => Ok((packet, sealing)),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: esp::outbound::Error) -> DropReason {
    match error {
        esp::outbound::Error::TooLong => DropReason::MtuExceeded,
        esp::outbound::Error::Fragment => DropReason::EspTransportFragment,
        esp::outbound::Error::OtherEnds => DropReason::EspOtherEnds,
        esp::outbound::Error::WrongLength | esp::outbound::Error::NotIp => DropReason::Internal,
    }
}

/// The SA that serves a policy entry now, if it may still carry anything.
pub(crate) fn serving<'a>(ctx: &Context<'a>, entry: u32) -> Result<(&'a OutboundSa, &'a SaSlot), DropReason> {
    let sa =
        ctx.snapshot.outbound.get(entry as usize).and_then(Option::as_deref).ok_or(DropReason::PolicyNoSa)?;
    let slot = ctx.sas.slot(sa.index).ok_or(DropReason::Internal)?;
    if account::is_spent(slot, &sa.limits) { Err(DropReason::SaExpired) } else { Ok((sa, slot)) }
}
