//! Decrypt: from ESP packets to us to the packets inside (RFC 4303, section 3.4). What is not AES-GCM is opened by
//! [`suites`](super::suites).

use super::{Context, account, suites};
use crate::burst::{BURST, Burst, Drops, Family, Mask};
use crate::snapshot::{InboundSa, Protection};
use crate::worker::alarms::Alarms;
use arrayvec::ArrayVec;
use dpdk::CryptoQueue;
use esp::inbound::{Error, Opening};
use esp::replay::{Replay, Window};
use esp::tunnel::Version;
use packet::{esp as esp_header, ipv4, ipv6, protocol};
use shm::{DropReason, SaSlot, WorkerCounters};
use std::net::IpAddr;
use std::ops::Range;

/// What is ESP among packets to us, and what is not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selected {
    pub(crate) esp: Mask,
    pub(crate) other: Mask,
}

/// Finds the ESP packets of `mask`. An ESP packet in fragments is dropped: reassembly comes before decryption.
pub(crate) fn select(burst: &mut Burst, mask: Mask, counters: &WorkerCounters) -> Selected {
    let mut selected = Selected::default();
    let mut drops = Drops::new(counters);
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        let is_esp = match meta[index].family {
            Family::V4 => {
                let header = ipv4::Packet::new_unchecked(mbuf.data());
                let is_esp = header.protocol() == protocol::ESP;
                if is_esp && header.is_fragment() {
                    drops.add(index, DropReason::IpFragment);
                    continue;
                }
                is_esp
            }
            Family::V6 => ipv6::Packet::new_unchecked(mbuf.data()).next_header() == protocol::ESP,
        };
        if is_esp {
            selected.esp |= 1 << index;
        } else {
            selected.other |= 1 << index;
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    selected
}

/// A packet whose SA is found and whose sequence number is not known to be seen.
pub(super) struct Found<'a> {
    pub(super) index: u8,
    pub(super) sa: &'a InboundSa,
    pub(super) slot: &'a SaSlot,
    pub(super) window: Window<'a>,
    pub(super) sequence: u64,
    pub(super) text: Range<usize>,
}

/// Opens the ESP packets of `mask`. What is returned begins at the inner IP header; `opened_by[i]` is its SA.
pub(crate) fn decrypt<'a>(
    burst: &mut Burst,
    mask: Mask,
    opened_by: &mut [Option<&'a InboundSa>; BURST],
    alarms: &mut Alarms,
    crypto: Option<&mut CryptoQueue>,
    ctx: &Context<'a>,
) -> Mask {
    let Burst { packets, meta } = burst;
    let mut drops = Drops::new(ctx.counters);
    let mut other = 0;
    let mut found = ArrayVec::<Found<'a>, BURST>::new();
    let mut jobs = ArrayVec::<gcm::Job<'_>, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask) {
        let packet = mbuf.data_mut();
        match look_up(packet, meta[index].family, ctx) {
            Ok((sa, slot, window, opening)) => {
                let (Protection::Gcm(icv), Some(key)) = (&sa.protection, &sa.key) else {
                    other |= 1 << index;
                    continue;
                };
                let Opening { sequence, nonce, aad, text } = opening;
                if found.last().is_none_or(|before| !std::ptr::eq(before.sa, sa)) {
                    key.prefetch(text.len());
                }
                found.push(Found { index: index as u8, sa, slot, window, sequence, text: text.clone() });
                jobs.push(gcm::Job { key, nonce, aad: super::gcm_aad(&aad), packet, text, icv: *icv });
            }
            Err(reason) => drops.add(index, reason),
        }
    }
    let mut forged = gcm::open(&mut jobs);
    drop(jobs);
    if other != 0 {
        let families = |index: usize| meta[index].family;
        forged |= suites::open(packets, other, families, &mut found, crypto, &mut drops, ctx);
    }

    let mut opened = 0;
    for (place, found) in found.iter().enumerate() {
        let index = usize::from(found.index);
        let Some(mbuf) = packets.get_mut(index) else { continue };
        let counters = &found.slot.counters;
        if forged & (1 << place) != 0 {
            counters.auth_failed.add(1);
            drops.add(index, DropReason::EspBadIcv);
            continue;
        }
        // Of two copies in one burst, or on two workers, the first to commit wins.
        if let Err(replay) = found.window.commit(found.sequence) {
            drops.add(index, refuse(replay, found.slot));
            continue;
        }
        match esp::inbound::finish(mbuf.data_mut(), found.text.clone()) {
            Ok(inner) => {
                let behind = mbuf.len() - inner.range.end;
                if mbuf.trim_back(behind).is_err() || mbuf.trim_front(inner.range.start).is_err() {
                    drops.add(index, DropReason::Internal);
                    continue;
                }
                meta[index].family = match inner.version {
                    Version::V4 => Family::V4,
                    Version::V6 => Family::V6,
                };
                account::count(
                    found.slot,
                    &found.sa.limits,
                    (found.sa.index, found.sa.spi),
                    1,
                    mbuf.len() as u64,
                    alarms,
                    ctx.now,
                );
                opened_by[index] = Some(found.sa);
                opened |= 1 << index;
            }
            Err(error) => {
                let reason = match error {
                    Error::Truncated | Error::BrokenBlock | Error::BadPadding => DropReason::EspBadPadding,
                    Error::BadNextHeader(_) => DropReason::EspBadNextHeader,
                    Error::Dummy => DropReason::EspDummy,
                    Error::BadInner(_) => DropReason::EspBadInner,
                    Error::Congestion => DropReason::EspEcnDrop,
                };
                if reason != DropReason::EspDummy && reason != DropReason::EspEcnDrop {
                    counters.malformed.add(1);
                }
                drops.add(index, reason);
            }
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    opened
}

/// Finds the SA of a packet, and what opening it takes. Inlined in the way of AES-GCM, although it has two callers.
#[inline(always)]
pub(super) fn look_up<'a>(
    packet: &[u8],
    family: Family,
    ctx: &Context<'a>,
) -> Result<(&'a InboundSa, &'a SaSlot, Window<'a>, Opening), DropReason> {
    let (offset, destination) = match family {
        Family::V4 => {
            let header = ipv4::Packet::new_unchecked(packet);
            (header.header_len(), IpAddr::V4(header.destination()))
        }
        Family::V6 => (ipv6::HEADER_LEN, IpAddr::V6(ipv6::Packet::new_unchecked(packet).destination())),
    };
    let header = packet
        .get(offset..)
        .and_then(|bytes| esp_header::Packet::new_checked(bytes).ok())
        .ok_or(DropReason::EspTruncated)?;
    let sa = ctx.snapshot.inbound.get(header.spi()).map(|sa| &**sa);
    let sa = sa.filter(|sa| sa.local == destination).ok_or(DropReason::EspUnknownSpi)?;
    let slot = ctx.sas.slot(sa.index).ok_or(DropReason::Internal)?;
    let words = ctx.sas.window(sa.index, sa.window_words).ok_or(DropReason::Internal)?;
    let window = Window::new(&slot.highest, words, sa.parameters.window).map_err(|_| DropReason::Internal)?;
    if account::is_spent(slot, &sa.limits) {
        slot.counters.expired.add(1);
        return Err(DropReason::SaExpired);
    }
    let opening = esp::inbound::prepare(&sa.parameters, packet, offset, window.highest()).map_err(|_| {
        slot.counters.malformed.add(1);
        DropReason::EspTruncated
    })?;
    window.check(opening.sequence).map_err(|replay| refuse(replay, slot))?;
    Ok((sa, slot, window, opening))
}

/// Counts a refused sequence number with its SA, and names it.
fn refuse(replay: Replay, slot: &SaSlot) -> DropReason {
    match replay {
        Replay::Seen => {
            slot.counters.replayed.add(1);
            DropReason::EspReplayed
        }
        Replay::TooOld => {
            slot.counters.too_old.add(1);
            DropReason::EspTooOld
        }
    }
}
