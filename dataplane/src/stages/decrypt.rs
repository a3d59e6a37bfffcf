//! Decrypt: from ESP packets to us to the packets inside (RFC 4303, section 3.4). What is not AES-GCM is opened by
//! [`suites`].

use super::account::Tally;
use super::{Context, account, ahead, suites};
use crate::burst::{BURST, Burst, Drops, Mask, Meta};
use crate::snapshot::{InboundSa, Protection};
use crate::worker::alarms::{Alarm, Alarms};
use arrayvec::ArrayVec;
use dpdk::CryptoQueue;
use esp::find::{Found as Place, find};
use esp::inbound::{Error, Opening};
use esp::replay::{Replay, Window};
use esp::tunnel::Version;
use model::Mode;
use packet::{esp as esp_header, ipv4, ipv6};
use shm::{DropReason, SaSlot, WorkerCounters};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::Ordering;

/// What is ESP among packets to us, and what is not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selected {
    pub(crate) esp: Mask,
    /// Fragments of ESP, and of UDP, in which ESP may be: reassembly comes before decryption.
    pub(crate) fragments: Mask,
    pub(crate) udp_fragments: Mask,
    pub(crate) other: Mask,
}

/// Finds the ESP packets of `mask`, and cuts off what is behind them.
pub(crate) fn select(burst: &mut Burst, mask: Mask, counters: &WorkerCounters) -> Selected {
    let mut selected = Selected::default();
    let mut drops = Drops::new(counters);
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        match find(meta[index].family.into(), mbuf.data()) {
            Place::Esp { at, end, port } => {
                let behind = mbuf.len() - end;
                if behind > 0 && mbuf.trim_back(behind).is_err() {
                    drops.add(index, DropReason::Internal);
                    continue;
                }
                // As long as the longest chain of extension headers, at most.
                meta[index].esp_at = at as u16;
                meta[index].from_port = port.unwrap_or_default();
                selected.esp |= 1 << index;
            }
            Place::Other => selected.other |= 1 << index,
            Place::Fragment => selected.fragments |= 1 << index,
            Place::UdpFragment => selected.udp_fragments |= 1 << index,
            Place::Keepalive => drops.add(index, DropReason::UdpKeepalive),
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
    ahead::fetch_inbound(packets, mask, meta, ctx);
    let mut drops = Drops::new(ctx.counters);
    let mut other = 0;
    let mut all = ArrayVec::<Found<'a>, BURST>::new();
    let mut jobs = ArrayVec::<gcm::Job<'_>, BURST>::new();
    let (mut elsewhere, mut tried): (Mask, Mask) = (0, 0);
    for (index, mbuf) in packets.masked_mut(mask) {
        let packet = mbuf.data_mut();
        match look_up(packet, &meta[index], ctx) {
            Ok((sa, slot, window, mut opening)) => {
                // What is not ahead of all others was overtaken; or, where no window says so, it is a copy.
                if has_moved(sa, packet, &meta[index]).is_some() && opening.sequence > window.highest() {
                    elsewhere |= 1 << index;
                }
                let (Protection::Gcm(icv), Some(key)) = (&sa.protection, &sa.key) else {
                    other |= 1 << index;
                    continue;
                };
                // The first of its SA's run.
                if all.last().is_none_or(|before| !std::ptr::eq(before.sa, sa)) {
                    key.prefetch(opening.text.len());
                    if sa.resync.is_due() {
                        tried |=
                            Mask::from(look_further(packet, &meta[index], sa, slot, &mut opening)) << index;
                    }
                }
                let Opening { sequence, nonce, aad, text } = opening;
                all.push(Found { index: index as u8, sa, slot, window, sequence, text: text.clone() });
                jobs.push(gcm::Job {
                    key,
                    nonce,
                    aad: gcm::Aad::padded(aad.padded()),
                    packet,
                    text,
                    icv: *icv,
                });
            }
            Err(reason) => drops.add(index, reason),
        }
    }
    let mut forged = gcm::open(&mut jobs);
    drop(jobs);
    if other != 0 {
        forged |= suites::open(packets, (other, &mut tried), meta, &mut all, crypto, &mut drops, ctx);
    }

    let (seen, too_old) = commit(&all, forged);
    let mut opened = 0;
    let mut tally = Tally::new();
    for (place, found) in all.iter().enumerate() {
        let index = usize::from(found.index);
        let Some(mbuf) = packets.get_mut(index) else { continue };
        let counters = &found.slot.counters;
        if forged & (1 << place) != 0 {
            counters.auth_failed.add(1);
            if found.sa.parameters.esn {
                found.sa.resync.failed(counters.packets.get(), ctx.now);
            }
            drops.add(index, DropReason::EspBadIcv);
            continue;
        }
        if (seen | too_old) & (1 << place) != 0 {
            let why = if seen & (1 << place) != 0 { Replay::Seen } else { Replay::TooOld };
            drops.add(index, refuse(why, found.slot));
            continue;
        }
        // Only the newest packet says where the peer is: one that was overtaken comes from where it was.
        if elsewhere & 1 << index != 0
            && found.sequence == found.window.highest()
            && !is_copy(&all, place, forged)
            && let Some(peer) = has_moved(found.sa, mbuf.data(), &meta[index])
        {
            alarms.raise(Alarm::PeerMoved { index: found.sa.index, spi: found.sa.spi, peer }, ctx.now);
        }
        let mode = found.sa.parameters.mode;
        match esp::inbound::finish(mode, mbuf.data_mut(), found.text.clone()) {
            Ok(inner) => {
                let behind = mbuf.len() - inner.range.end;
                if mbuf.trim_back(behind).is_err() || mbuf.trim_front(inner.range.start).is_err() {
                    drops.add(index, DropReason::Internal);
                    continue;
                }
                meta[index].family = inner.version.into();
                tally.add(found.sa, found.slot, mbuf.len() as u64, alarms, ctx.now);
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
                match reason {
                    DropReason::EspDummy => {
                        tally.add(found.sa, found.slot, 0, alarms, ctx.now);
                        counters.dummies.add(1);
                    }
                    DropReason::EspEcnDrop => drop(counters.other.add(1)),
                    _ => drop(counters.malformed.add(1)),
                }
                drops.add(index, reason);
            }
        }
    }
    tally.end(alarms, ctx.now);
    if tried != 0 {
        let refused = forged | seen | too_old;
        for (_, found) in all.iter().enumerate().filter(|(place, _)| refused >> place & 1 == 0) {
            found.slot.counters.resynchronised.add(u64::from(tried >> found.index & 1 != 0));
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    opened
}

/// Commits the sequence numbers of what is genuine, SA by SA as they come. Returns those (by their places) that were seen,
/// and those that are too old: of two copies in one burst, or on two workers, the first to commit wins.
fn commit(found: &[Found<'_>], forged: Mask) -> (Mask, Mask) {
    let (mut seen, mut too_old) = (0, 0);
    let mut places = ArrayVec::<u8, BURST>::new();
    let mut sequences = ArrayVec::<u64, BURST>::new();
    for (place, this) in found.iter().enumerate() {
        if forged & (1 << place) == 0 {
            places.push(place as u8);
            sequences.push(this.sequence);
        }
        // The last of its SA's run.
        if found.get(place + 1).is_none_or(|next| !std::ptr::eq(next.sa, this.sa)) {
            this.window.commit_burst(&sequences, |at, why| {
                let refused = match why {
                    Replay::Seen => &mut seen,
                    Replay::TooOld => &mut too_old,
                };
                *refused |= places.get(at).map_or(0, |place| 1 << place);
            });
            places.clear();
            sequences.clear();
        }
    }
    (seen, too_old)
}

/// Whether a genuine packet of the same number was before this one in the burst. Where there is a window, it was told so.
#[cold]
fn is_copy(all: &[Found<'_>], place: usize, forged: Mask) -> bool {
    let is_twin = |this: &Found<'_>, at: usize| {
        let other = &all[at];
        forged & (1 << at) == 0 && std::ptr::eq(other.sa, this.sa) && other.sequence == this.sequence
    };
    all.get(place).is_some_and(|this| (0..place).any(|at| is_twin(this, at)))
}

/// Where the peer of an SA in UDP is, if this packet comes from somewhere else than was known. In transport mode the
/// peer's address is that of the packets inside, too, so that only its port can move.
#[inline]
fn has_moved(sa: &InboundSa, packet: &[u8], meta: &Meta) -> Option<SocketAddr> {
    let known = sa.peer.filter(|_| meta.from_port != 0)?;
    let address = match Version::from(meta.family) {
        Version::V4 => IpAddr::V4(ipv4::Packet::new_unchecked(packet).source()),
        Version::V6 => IpAddr::V6(ipv6::Packet::new_unchecked(packet).source()),
    };
    let may = sa.parameters.mode == Mode::Tunnel || address == known.ip();
    Some(SocketAddr::new(address, meta.from_port)).filter(|seen| may && *seen != known)
}

/// Finds the SA of a packet, and what opening it takes. Inlined in the way of AES-GCM, although it has two callers.
#[inline(always)]
pub(super) fn look_up<'a>(
    packet: &[u8],
    meta: &Meta,
    ctx: &Context<'a>,
) -> Result<(&'a InboundSa, &'a SaSlot, Window<'a>, Opening), DropReason> {
    let offset = usize::from(meta.esp_at);
    let destination = match Version::from(meta.family) {
        Version::V4 => IpAddr::V4(ipv4::Packet::new_unchecked(packet).destination()),
        Version::V6 => IpAddr::V6(ipv6::Packet::new_unchecked(packet).destination()),
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

/// Has a packet of an SA that opens nothing opened as if it were of a run of low halves further on, if one is to be tried
/// ([`esp::resync`]). Returns whether it is so.
#[cold]
pub(super) fn look_further(
    packet: &[u8],
    meta: &Meta,
    sa: &InboundSa,
    slot: &SaSlot,
    opening: &mut Opening,
) -> bool {
    let highest = slot.highest.load(Ordering::Relaxed);
    let further =
        sa.resync.take(slot.counters.packets.get()).and_then(|further| highest.checked_add(further));
    let Some(further) = further else { return false };
    match esp::inbound::prepare(&sa.parameters, packet, usize::from(meta.esp_at), further) {
        Ok(other) => *opening = other,
        Err(_) => return false,
    }
    true
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
