//! The quick way beside its slow twin: equal packets out, equal packets or refusals in.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{Gcm, Sa, inner};
use esp::reference::{self, Aead, Refusal};
use esp::tunnel::{DontFragment, Dscp, EcnMode, Options};
use model::IcvLen;
use proptest::prelude::*;

prop_compose! {
    fn options()(
        ttl: u8,
        dscp in prop_oneof![3 => Just(Dscp::Copy), 1 => (0_u8..64).prop_map(Dscp::Set)],
        df in prop_oneof![3 => Just(DontFragment::Copy), 1 => Just(DontFragment::Set), 1 => Just(DontFragment::Clear)],
        ecn in prop_oneof![3 => Just(EcnMode::Normal), 1 => Just(EcnMode::Compatibility)],
    ) -> Options {
        Options { ttl, dscp, df, ecn }
    }
}

prop_compose! {
    fn sas()(
        spi in 256_u32..,
        key in prop_oneof![Just(16_usize), Just(24), Just(32)]
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len)),
        salt: [u8; 4],
        icv in prop_oneof![1 => Just(IcvLen::Bytes8), 1 => Just(IcvLen::Bytes12), 3 => Just(IcvLen::Bytes16)],
        esn: bool,
        window in 0_u32..5000,
        options in options(),
    ) -> Sa {
        Sa { spi, key, salt, icv, esn, window, options }
    }
}

/// Sets DSCP and ECN of an outer header on its way, and its checksum.
fn remark(packet: &mut [u8], tos: u8) {
    packet::ipv4::Packet::new_checked(packet).unwrap().set_tos(tos);
}

/// What the twin's refusals are called by the quick way.
fn name(refusal: Refusal) -> String {
    match refusal {
        Refusal::BadInner => "BadInner".into(),
        other => format!("{other:?}"),
    }
}

fn same(quick: Result<(u64, Vec<u8>), String>, slow: Result<Vec<u8>, Refusal>) -> Result<(), TestCaseError> {
    match (quick, slow) {
        (Ok((_, quick)), Ok(slow)) => prop_assert_eq!(quick, slow),
        (Err(quick), Err(slow)) => {
            prop_assert!(quick.starts_with(&name(slow)), "{} is not {:?}", quick, slow)
        }
        (quick, slow) => prop_assert!(false, "quick {:?}, slow {:?}", quick, slow),
    }
    Ok(())
}

#[test]
fn every_size_from_20_to_2000() {
    let sa = Sa {
        spi: 0x1000,
        key: (0..16).collect(),
        salt: [0xA0, 0xA1, 0xA2, 0xA3],
        icv: IcvLen::Bytes16,
        esn: true,
        window: 64,
        options: Options::default(),
    };
    for (esn, key_len) in [(true, 16), (false, 16), (true, 32), (false, 32)] {
        let sa = Sa { esn, key: (0..key_len).collect(), ..sa.clone() };
        let gcm = Gcm::new(&sa.key);
        for len in 20..=2000_usize {
            let v6 = len >= 40 && len % 3 == 0;
            let packet = inner(v6, len, len as u8, len % 2 == 0, len as u32);
            let sequence = if esn { len as u64 * 0x1_2345_6789 } else { len as u64 * 0x1_0001 };
            let quick = sa.encapsulate(sequence, !sequence, &packet);
            let slow = reference::encapsulate(&sa.outbound(), &gcm, sequence, !sequence, &packet).unwrap();
            assert_eq!(quick, slow, "{len} bytes out");
            let (found, back) = sa.decapsulate(sequence - 1, &quick).unwrap();
            assert_eq!((found, &back), (sequence, &packet), "{len} bytes in");
            assert_eq!(reference::decapsulate(&sa.inbound(), &gcm, sequence, &slow), Ok(packet));
        }
    }
}

proptest! {
    #[test]
    fn both_write_the_same(
        sa in sas(), sequence: u64, iv: u64, v6: bool, more in 0_usize..1600, tos: u8, df: bool, seed: u32, outer_tos: u8,
    ) {
        let sequence = if sa.esn { sequence } else { sequence & 0xFFFF_FFFF };
        let inner = inner(v6, if v6 { 40 } else { 20 } + more, tos, df, seed);
        let gcm = Gcm::new(&sa.key);
        let mut quick = sa.encapsulate(sequence, iv, &inner);
        let slow = reference::encapsulate(&sa.outbound(), &gcm, sequence, iv, &inner);
        prop_assert_eq!(Some(&quick), slow.as_ref());
        prop_assert!(packet::ipv4::Repr::parse(&quick).is_ok());
        // And back, with an outer header that was marked on the way.
        remark(&mut quick, outer_tos);
        same(sa.decapsulate(sequence, &quick), reference::decapsulate(&sa.inbound(), &gcm, sequence, &quick))?;
    }

    /// Texts that no honest sender writes, under a right ICV: padding, next headers and inner packets of all kinds.
    #[test]
    fn both_read_the_same(
        sa in sas(), sequence: u64, v6: bool, len in 0_usize..120, tos: u8, outer_tos: u8, seed: u32,
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        tfc in 0_usize..40, pad in prop_oneof![3 => 0_u8..8, 1 => any::<u8>()],
        next_header in prop_oneof![Just(4_u8), Just(41), Just(59), any::<u8>()],
    ) {
        let sequence = if sa.esn { sequence } else { sequence & 0xFFFF_FFFF };
        let mut text = inner(v6, len.max(if v6 { 40 } else { 20 }), tos, false, seed);
        text.truncate(len);
        text.resize(len + tfc, 0x99);
        text.extend(1..=pad);
        text.extend([pad, next_header]);
        for (place, value) in harm {
            // Near the ends, where the headers and the trailer are.
            let reach = text.len().min(24);
            let place = place.index(reach * 2);
            let place = if place < reach { place } else { text.len() - 1 - (place - reach) };
            text[place] = value;
        }
        let gcm = Gcm::new(&sa.key);
        // A packet with its headers and an empty text, then ours in its stead.
        let mut packet = sa.encapsulate(sequence, 77, &inner(false, 20, 0, false, 1))[..36].to_vec();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&sa.salt);
        nonce[4..].copy_from_slice(&77_u64.to_be_bytes());
        let aad = esp::Aad::new(sa.spi, sequence, sa.esn);
        let sealed = gcm.seal(nonce, aad.as_slice(), &text);
        packet.extend(&sealed[..text.len() + sa.icv.bytes()]);
        let total = packet.len() as u16;
        packet::ipv4::Packet::new_unchecked(&mut packet[..]).set_total_len(total);
        remark(&mut packet, outer_tos);
        same(sa.decapsulate(sequence, &packet), reference::decapsulate(&sa.inbound(), &gcm, sequence, &packet))?;
    }

    /// Any flipped bit from the ESP header on, and any other high half of the sequence number, fails the ICV.
    #[test]
    fn what_was_tampered_with_is_refused(
        sa in sas(), sequence: u64, len in 20_usize..200, flip: prop::sample::Index, bit in 0_u8..8,
    ) {
        let sequence = if sa.esn { sequence } else { sequence & 0xFFFF_FFFF };
        let packet = sa.encapsulate(sequence, 1, &inner(false, len, 0, false, 3));
        prop_assert!(sa.decapsulate(sequence, &packet).is_ok());
        let mut tampered = packet.clone();
        let place = 20 + flip.index(packet.len() - 20);
        tampered[place] ^= 1_u8 << bit;
        prop_assert_eq!(sa.decapsulate(sequence, &tampered), Err("BadIcv".to_owned()));
        if sa.esn {
            let elsewhere = sequence ^ 1 << 40;
            prop_assert_eq!(sa.decapsulate(elsewhere, &packet), Err("BadIcv".to_owned()));
        }
    }
}
