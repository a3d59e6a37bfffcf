//! Traffic flow confidentiality through the whole data plane: padding to a length, and dummies, there and away again.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Outcome, Site, doors, made, received, run, run_until};
use model::{Cipher, Dummies, Hmac, KeyLen, Suite, Tfc, TfcPadding};
use packet::{ethernet, ipv4};
use shm::DropReason;
use std::collections::BTreeSet;

const SUITES: [Suite; 4] = [
    Suite::AES_GCM_128,
    Suite::AesGmac { key: KeyLen::Aes128 },
    Suite::ChaCha20Poly1305,
    Suite::CipherHmac { cipher: Cipher::AesCbc(KeyLen::Aes128), hmac: Hmac::Sha256 },
];

/// Bytes of what is sent, in either family.
const SIZES: [usize; 6] = [60, 61, 700, 701, 1300, 1440];

fn packets() -> Vec<Vec<u8>> {
    let of = |from: &'static str, to: &'static str, header: usize| {
        SIZES.map(|size| datagram(from, to, 64, &vec![size as u8; size - header]))
    };
    let (v4, v6) = (of("10.1.0.9", "10.2.0.7", 28), of("2001:db8:1::9", "2001:db8:2::7", 48));
    v4.into_iter().chain(v6).collect()
}

fn from_host(site: &Site) -> Vec<Vec<u8>> {
    packets().iter().map(|packet| frame(site.macs[0], site.neighbours[0], packet)).collect()
}

fn assert_conserved(outcome: &Outcome) {
    let counters = &outcome.counters;
    assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>(), "{counters:?}");
}

#[test]
fn lengths_do_not_show() {
    for suite in SUITES {
        for padding in [TfcPadding::UpTo(700), TfcPadding::Mtu] {
            let site = Site { suite, tfc: Tfc { padding, ..Tfc::NONE }, ..Site::a() };
            let there = run(&site, &from_host(&site), &[]);
            assert_conserved(&there);
            assert_eq!(there.wan.len(), packets().len(), "{suite}: {:?}", there.counters.drops());
            let lengths: BTreeSet<usize> = there.wan.iter().map(Vec::len).collect();
            match padding {
                // As long as the link takes, but for what a block leaves.
                TfcPadding::Mtu => {
                    let longest = ethernet::HEADER_LEN + usize::from(site.mtu);
                    let one = *lengths.first().unwrap();
                    assert_eq!(lengths.len(), 1, "{suite}: {lengths:?}");
                    assert!((longest - suite.alignment() + 1..=longest).contains(&one), "{suite}: {one}");
                }
                // Those of up to 700 bytes, and each of the others.
                _ => assert!(lengths.len() <= 4, "{suite}: {lengths:?}"),
            }
            let [outbound, _] = there.sas;
            let missing = |len: usize| 700_u64.saturating_sub(len as u64);
            let least: u64 = packets().iter().map(|packet| missing(packet.len())).sum();
            match padding {
                TfcPadding::Mtu => assert!(outbound.counters.tfc_padding > least),
                _ => assert_eq!(outbound.counters.tfc_padding, least),
            }
            assert_eq!((outbound.counters.dummies, outbound.counters.packets), (0, there.wan.len() as u64));
            assert_eq!(outbound.descriptor.tfc, site.tfc);

            let back = run(&site.peer(), &[], &there.wan);
            assert_conserved(&back);
            assert_eq!(back.counters.drops().values().sum::<u64>(), 0, "{:?}", back.counters.drops());
            for (came, sent) in back.lan.iter().zip(packets()) {
                // But for the hops that it spent.
                let header = if sent[0] >> 4 == 4 { ipv4::HEADER_LEN } else { 40 };
                let came = &came[ethernet::HEADER_LEN..];
                assert_eq!((came.len(), &came[header..]), (sent.len(), &sent[header..]));
            }
        }
    }
}

#[test]
fn dummies_are_sent_and_thrown_away() {
    const ENOUGH: u64 = 12;
    for (suite, padding) in SUITES.into_iter().zip([TfcPadding::None, TfcPadding::Mtu].into_iter().cycle()) {
        let site = Site { suite, tfc: Tfc { padding, dummies: Dummies::PerSecond(25) }, ..Site::a() };
        let there = run_until(&site, &from_host(&site), &[], |counters| made(counters) >= ENOUGH);
        assert_conserved(&there);
        let [outbound, _] = there.sas;
        assert!(outbound.counters.dummies >= ENOUGH, "{:?}", outbound.counters);
        // Counters are read one by one while more are sent.
        let sent = outbound.counters.packets - packets().len() as u64;
        assert!((ENOUGH..=outbound.counters.dummies).contains(&sent), "{:?}", outbound.counters);
        assert_eq!(outbound.counters.bytes, packets().iter().map(|packet| packet.len() as u64).sum::<u64>());
        assert!(there.wan.len() as u64 >= outbound.counters.packets);

        let back = run(&site.peer(), &[], &there.wan);
        assert_conserved(&back);
        let dummies = there.wan.len() - packets().len();
        let drops = back.counters.drops().into_iter().filter(|(_, count)| *count > 0);
        assert_eq!(drops.collect::<Vec<_>>(), [(DropReason::EspDummy, dummies as u64)]);
        let [_, inbound] = back.sas;
        assert_eq!((inbound.counters.dummies, inbound.counters.malformed), (dummies as u64, 0));
        assert_eq!(inbound.counters.packets, there.wan.len() as u64);
        assert_eq!(back.lan.len(), packets().len());
        let lengths: BTreeSet<usize> = there.wan.iter().map(Vec::len).collect();
        // Without padding, dummies have lengths of their own.
        match padding {
            TfcPadding::Mtu => assert_eq!(lengths.len(), 1, "{suite}: {lengths:?}"),
            _ => assert!(lengths.len() > SIZES.len(), "{suite}: {lengths:?}"),
        }
    }
}
