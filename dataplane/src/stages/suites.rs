//! The suites beside AES-GCM, for the stages that seal and open: GMAC by our own kernel, all others by a crypto device. And
//! traffic flow confidentiality with whichever suite, AES-GCM among them, as the quick way does without.
//!
//! A burst waits for the device. A software driver does the work meanwhile. Hardware may be late: what does not come back
//! within [`dpdk::CryptoQueue::set_patience`] is dropped and counted here, and freed by its queue when it does come. So a
//! packet never leaves out of order by a device's fault, and no stage has packets of an earlier burst.
//!
//! Drivers compare ICVs, crypto_openssl in constant time, crypto_aesni_mb by memcmp(), which takes so few bytes in one
//! comparison of a vector register.

use super::Context;
use super::decrypt::{Found, look_further, look_up};
use super::encrypt::{TRAILING, encapsulate};
use super::groups::{Group, Groups};
use crate::burst::{BURST, Drops, Mask, Meta, bits};
use crate::device::DeviceSa;
use crate::snapshot::Protection;
use arrayvec::ArrayVec;
use dpdk::{CryptoJob, CryptoOutcome, CryptoQueue, Mbuf, Packets};
use esp::inbound::Opening;
use model::IcvLen;
use shm::DropReason;
use std::ops::Range;

/// GMAC covers the IV as if it were text (RFC 4543, section 3.3).
fn gmac_text(text: Range<usize>) -> Range<usize> {
    text.start.saturating_sub(esp::iv::LEN)..text.end
}

/// Puts TFC padding behind a packet, where its SA wants it, and as far as its buffer has room: as much as another's of the
/// same pool. Returns its length.
fn pad(group: &Group<'_>, mbuf: &mut Mbuf) -> u32 {
    let sa = group.sa;
    let wanted = sa.template.tfc_len(sa.tfc.padding, mbuf.len(), group.limit);
    let len = wanted.min(mbuf.tailroom().saturating_sub(TRAILING));
    match mbuf.append(len) {
        Ok(padding) => padding.fill(0),
        Err(_) => return 0,
    }
    len as u32
}

/// Encapsulates and seals the packets of `mask`, which belong to these groups, some of which are `dummies`. Returns those that
/// are done; it gives the others to `drops`.
#[inline(never)]
pub(super) fn seal(
    packets: &mut Packets,
    (mask, dummies): (Mask, Mask),
    groups: &mut Groups<'_>,
    crypto: Option<&mut CryptoQueue>,
    drops: &mut Drops<'_>,
    ctx: &Context<'_>,
) -> Mask {
    let (mut inner_len, mut padding) = ([0_u32; BURST], [0_u32; BURST]);
    let is_dummy = |index: usize| dummies >> index & 1 != 0;
    let mut gcm = ArrayVec::<gcm::Job<'_>, BURST>::new();
    let mut by_gcm = 0;
    let mut gmac = ArrayVec::<gcm::Job<'_>, BURST>::new();
    let mut by_gmac = 0;
    let mut jobs = ArrayVec::<CryptoJob<'_>, BURST>::new();
    let mut sas = ArrayVec::<&DeviceSa, BURST>::new();
    for (index, mbuf) in packets.masked_mut(mask) {
        let group = groups.of(index);
        let sa = group.sa;
        inner_len[index] = if is_dummy(index) { 0 } else { mbuf.len() as u32 };
        padding[index] = pad(group, mbuf);
        let (packet, sealing) = match encapsulate(group, mbuf) {
            Ok(encapsulated) => encapsulated,
            Err(reason) => {
                drops.add(index, group.refuse(reason, ctx));
                continue;
            }
        };
        if is_dummy(index) {
            esp::tfc::mark_dummy(packet, &sealing);
        }
        match (&sa.protection, &sa.key) {
            (Protection::GcmTfc(icv), Some(key)) => {
                let (nonce, aad) = (sealing.nonce, gcm::Aad::padded(sealing.aad.padded()));
                gcm.push(gcm::Job { key, nonce, aad, packet, text: sealing.text, icv: *icv });
                by_gcm |= 1 << index;
            }
            (Protection::Gmac, Some(key)) => {
                let (nonce, aad) = (sealing.nonce, gcm::Aad::padded(sealing.aad.padded()));
                let text = gmac_text(sealing.text);
                gmac.push(gcm::Job { key, nonce, aad, packet, text, icv: IcvLen::Bytes16 });
                by_gmac |= 1 << index;
            }
            (Protection::Device(sa), _) => match sa.seal(index, packet, &sealing) {
                Some(job) => {
                    jobs.push(job);
                    sas.push(sa);
                }
                None => drops.add(index, DropReason::Internal),
            },
            (Protection::Gcm(_) | Protection::GcmTfc(_) | Protection::Gmac, _) => {
                drops.add(index, DropReason::Internal);
            }
        }
    }
    let failed = [(by_gcm, gcm::seal(&mut gcm)), (by_gmac, gcm::authenticate(&mut gmac))];
    drop((gcm, gmac));
    let mut done = 0;
    for (mask, failed) in failed {
        for (job, index) in bits(mask).enumerate() {
            // Nothing that was made here can fail; but what has no ICV must not leave.
            if failed >> job & 1 == 0 {
                done |= 1 << index;
            } else {
                drops.add(index, DropReason::Internal);
            }
        }
    }
    process(packets, &mut jobs, crypto);
    for (job, sa) in jobs.iter().zip(&sas) {
        let sealed = match (job.outcome, packets.get_mut(job.slot)) {
            (CryptoOutcome::Done, Some(mbuf)) => sa.finish(job, mbuf.data_mut()),
            _ => None,
        };
        match sealed {
            Some(()) => done |= 1 << job.slot,
            None => drops.add(job.slot, groups.of(job.slot).refuse(DropReason::CryptoDevice, ctx)),
        }
    }
    for index in bits(done) {
        let group = groups.of(index);
        group.packets += 1;
        group.bytes += u64::from(inner_len[index]);
        if let Some(slot) = group.slot {
            if is_dummy(index) {
                slot.counters.dummies.add(1);
            }
            if padding[index] > 0 {
                slot.counters.tfc_padding.add(padding[index].into());
            }
        }
    }
    done
}

/// Opens the packets of `mask`, whose SAs were found before. Adds to `found` those whose ICV was looked at, and returns in
/// which places of it the ICV was wrong; it gives the others to `drops`. Of `mask`, those `tried` may be further on than
/// they seem.
#[inline(never)]
pub(super) fn open<'a>(
    packets: &mut Packets,
    (mask, tried): (Mask, &mut Mask),
    meta: &[Meta; BURST],
    found: &mut ArrayVec<Found<'a>, BURST>,
    crypto: Option<&mut CryptoQueue>,
    drops: &mut Drops<'_>,
    ctx: &Context<'a>,
) -> u64 {
    let mut forged = 0;
    let mut gmac = ArrayVec::<gcm::Job<'_>, BURST>::new();
    let mut jobs = ArrayVec::<CryptoJob<'_>, BURST>::new();
    let mut waiting = ArrayVec::<Found<'a>, BURST>::new();
    let first = found.len();
    for (index, mbuf) in packets.masked_mut(mask) {
        let packet = mbuf.data_mut();
        // It was looked up before, and something may have happened on another worker since.
        let (sa, slot, window, mut opening) = match look_up(packet, &meta[index], ctx) {
            Ok(looked_up) => looked_up,
            Err(reason) => {
                drops.add(index, reason);
                continue;
            }
        };
        if sa.resync.is_due() {
            *tried |= Mask::from(look_further(packet, &meta[index], sa, slot, &mut opening)) << index;
        }
        let found_one = |Opening { sequence, text, .. }: Opening| Found {
            index: index as u8,
            sa,
            slot,
            window,
            sequence,
            text,
        };
        match (&sa.protection, &sa.key) {
            (Protection::Gmac, Some(key)) => {
                let (nonce, aad) = (opening.nonce, gcm::Aad::padded(opening.aad.padded()));
                let text = gmac_text(opening.text.clone());
                gmac.push(gcm::Job { key, nonce, aad, packet, text, icv: IcvLen::Bytes16 });
                found.push(found_one(opening));
            }
            (Protection::Device(device), _) => match device.open(index, packet, &opening) {
                Some(job) => {
                    jobs.push(job);
                    waiting.push(found_one(opening));
                }
                None => drops.add(index, DropReason::Internal),
            },
            (Protection::Gcm(_) | Protection::GcmTfc(_) | Protection::Gmac, _) => {
                drops.add(index, DropReason::Internal);
            }
        }
    }
    forged |= gcm::verify(&mut gmac).unbounded_shl(first as u32);
    drop(gmac);
    process(packets, &mut jobs, crypto);
    for (job, opened) in jobs.iter().zip(waiting) {
        match job.outcome {
            CryptoOutcome::Done => found.push(opened),
            CryptoOutcome::Forged => {
                forged |= 1 << found.len();
                found.push(opened);
            }
            CryptoOutcome::Failed | CryptoOutcome::Late => {
                opened.slot.counters.other.add(1);
                drops.add(job.slot, DropReason::CryptoDevice);
            }
        }
    }
    forged
}

/// Has the worker's device do the jobs. Without one, none is done.
fn process(packets: &mut Packets, jobs: &mut [CryptoJob<'_>], crypto: Option<&mut CryptoQueue>) {
    if let (false, Some(queue)) = (jobs.is_empty(), crypto) {
        queue.process(packets, jobs);
    }
}
