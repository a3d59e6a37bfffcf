//! Encrypt: headers, IV and trailer for each packet, then the whole burst sealed at once (RFC 4303, section 3.3). What is
//! not AES-GCM goes by [`suites`].

use super::groups::{Group, Groups};
use super::{Context, account, suites};
use crate::burst::{BURST, Burst, Drops, Mask, bits};
use crate::snapshot::{OutboundSa, Protection};
use crate::worker::alarms::{Alarm, Alarms};
use crate::worker::held::Held;
use arrayvec::ArrayVec;
use dpdk::{CryptoQueue, Mbuf};
use esp::outbound::Sealing;
use packet::flow;
use shm::{DropReason, SaSlot};

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

/// The most that encapsulation puts behind a packet, in bytes: padding to a block, pad length, next header, ICV.
pub(crate) const TRAILING: usize = 64;

/// Protects the packets of `mask` by the SAs of their policy entries, on their way out of `meta.egress`. A packet
/// that no SA carries yet waits in `held`. Those of `dummies` are for SAs that send such.
pub(crate) fn encrypt(
    burst: &mut Burst,
    mask: Mask,
    dummies: Mask,
    alarms: &mut Alarms,
    held: &mut Held,
    crypto: Option<&mut CryptoQueue>,
    ctx: &Context<'_>,
) -> Encrypted {
    let Burst { packets, meta } = burst;
    let mut drops = Drops::new(ctx.counters);
    let mut waiting: Mask = 0;
    let mut other = 0;

    let mut groups = Groups::new();
    let without = groups.gather(packets, mask, meta, ctx);
    for (index, mbuf) in packets.masked_mut(without) {
        match flow::five_tuple(mbuf.data()) {
            Ok(flow) => {
                alarms.raise(Alarm::Acquire { entry: meta[index].entry, flow }, ctx.now);
                waiting |= 1 << index;
            }
            Err(_) => drops.add(index, DropReason::PolicyNoSa),
        }
    }
    let (long, too_long) = match groups.find(ctx) {
        true => groups.look(packets, mask & !without, meta, &mut drops, ctx),
        false => (0, 0),
    };
    groups.allocate(alarms, ctx.now);

    // Headers and trailers, and a job for each packet.
    let mut sealed = 0;
    let mut incomplete: Mask = 0;
    let mut jobs = ArrayVec::<gcm::Job<'_>, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask & !drops.mask & !waiting & !too_long) {
        let group = groups.of(index);
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
            Err(reason) => drops.add(index, group.refuse(reason, ctx)),
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
        let done = suites::seal(packets, (other, dummies), &mut groups, crypto, &mut drops, ctx);
        for index in bits(done) {
            let template = &groups.of(index).sa.template;
            meta[index].family = template.version().into();
            incomplete |= Mask::from(template.completes()) << index;
        }
        sealed |= done;
    }
    for (index, mbuf) in packets.masked_mut(incomplete & sealed) {
        let sa = groups.of(index).sa;
        esp::outbound::complete(&sa.template, mbuf.data_mut());
    }
    groups.count(alarms, ctx.now);
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
