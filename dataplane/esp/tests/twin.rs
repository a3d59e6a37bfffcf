//! The quick way beside its slow twin: equal packets out, equal packets or refusals in.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{Gcm, Sa, between, ends, inner};
use esp::find::{Found, find};
use esp::reference::{self, Aead, Refusal};
use esp::tunnel::{Dscp, EcnMode, Options, Version};
use model::{DontFragment, DscpMap, IcvLen, Mode};
use proptest::prelude::*;

prop_compose! {
    fn options()(
        ttl: u8,
        dscp in prop_oneof![3 => Just(Dscp::Copy), 1 => prop::collection::vec(0_u8..64, 64).prop_map(|points| {
            Dscp::Map(std::sync::Arc::new(DscpMap::new(points.try_into().unwrap()).unwrap()))
        })],
        df in prop_oneof![3 => Just(DontFragment::Copy), 1 => Just(DontFragment::Set), 1 => Just(DontFragment::Clear)],
        ecn in prop_oneof![3 => Just(EcnMode::Normal), 1 => Just(EcnMode::Compatibility)],
        flow_label in 0_u32..1 << 20,
    ) -> Options {
        Options { ttl, dscp, df, ecn, flow_label }
    }
}

prop_compose! {
    fn sas()(
        spi in 256_u32..,
        key in prop_oneof![Just(16_usize), Just(24), Just(32)]
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len)),
        salt: [u8; 4],
        icv in prop_oneof![1 => Just(IcvLen::Bytes8), 1 => Just(IcvLen::Bytes12), 3 => Just(IcvLen::Bytes16)],
        implicit_iv in prop_oneof![4 => Just(false), 1 => Just(true)],
        esn: bool,
        window in 0_u32..5000,
        transport: bool,
        over_v6: bool,
        udp_port in prop_oneof![2 => Just(None), 1 => Just(Some(4500)), 1 => any::<u16>().prop_map(Some)],
        options in options(),
    ) -> Sa {
        let mode = if transport { Mode::Transport } else { Mode::Tunnel };
        let icv = if implicit_iv { IcvLen::Bytes16 } else { icv };
        Sa { spi, key, salt, icv, implicit_iv, esn, window, mode, over_v6, udp_port, options }
    }
}

/// What a packet that the SA is for may have in its headers beside the rest: IPv4 options, IPv6 extension headers.
fn extras() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![43_u8, 44, 60]), 0..4)
}

/// A packet for the SA: between its ends where it is of transport mode, then with those headers in it.
fn packet_for(sa: &Sa, v6: bool, more: usize, tos: u8, df: bool, seed: u32, extras: &[u8]) -> Vec<u8> {
    let header_len = if v6 { 40 } else { 20 };
    if sa.mode == Mode::Tunnel {
        return inner(v6, header_len + more, tos, df, seed);
    }
    let v6 = sa.over_v6;
    let header_len = if v6 { 40 } else { 20 };
    let mut bytes = between(ends(v6), header_len + more, tos, df, seed);
    if !v6 {
        // No-operations, in words.
        bytes.splice(20..20, std::iter::repeat_n(1, 4 * extras.len()));
        bytes[0] += extras.len() as u8;
        let mut header = packet::ipv4::Packet::new_unchecked(&mut bytes[..]);
        header.set_total_len((20 + 4 * extras.len() + more) as u16);
        header.fill_checksum();
        return bytes;
    }
    // Hop-by-hop options first where there are an even number of others.
    let mut numbers: Vec<u8> =
        (extras.len().is_multiple_of(2) && !extras.is_empty()).then_some(0).into_iter().collect();
    numbers.extend(extras);
    let nexts = numbers.iter().skip(1).chain([&17]);
    let chain: Vec<u8> = nexts.take(numbers.len()).flat_map(|&next| [next, 0, 0, 0, 0, 0, 0, 0]).collect();
    bytes[6] = *numbers.first().unwrap_or(&17);
    packet::ipv6::Packet::new_unchecked(&mut bytes[..]).set_payload_len((chain.len() + more) as u16);
    bytes.splice(40..40, chain);
    bytes
}

/// Sets DSCP and ECN of an outer header on its way, and its checksum.
fn remark(packet: &mut [u8], tos: u8) {
    match packet[0] >> 4 {
        4 => packet::ipv4::Packet::new_checked(packet).unwrap().set_tos(tos),
        _ => packet::ipv6::Packet::new_checked(packet).unwrap().set_traffic_class(tos),
    }
}

/// Makes our port of the port that a packet was sent to, as the peer's translator does.
fn unmap(sa: &Sa, packet: &mut [u8]) {
    let at = match packet[0] >> 4 {
        4 => usize::from(packet[0] & 15) * 4,
        _ => packet::extensions::upper_layer(packet).unwrap().at,
    };
    if sa.udp_port.is_some() {
        packet[at + 2..at + 4].copy_from_slice(&esp::udp::PORT.to_be_bytes());
    }
}

/// Makes another address of the source, as a translator does: the IP header is sound again, what is sealed cannot be.
fn translate(packet: &mut [u8]) {
    match packet[0] >> 4 {
        4 => {
            packet[12] ^= 0x55;
            packet::ipv4::Packet::new_unchecked(packet).fill_checksum();
        }
        _ => packet[8] ^= 0x55,
    }
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
    for (esn, key_len, implicit_iv) in [
        (true, 16, false),
        (false, 16, false),
        (true, 32, false),
        (false, 32, false),
        (true, 16, true),
        (false, 32, true),
    ] {
        let sa = Sa { esn, implicit_iv, key: (0..key_len).collect(), ..Sa::default() };
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
        extras in extras(), translated: bool,
    ) {
        let sequence = if sa.esn { sequence } else { sequence & 0xFFFF_FFFF };
        let inner = packet_for(&sa, v6, more, tos, df, seed, &extras);
        let gcm = Gcm::new(&sa.key);
        let mut quick = sa.encapsulate(sequence, iv, &inner);
        let slow = reference::encapsulate(&sa.outbound(), &gcm, sequence, iv, &inner);
        prop_assert_eq!(Some(&quick), slow.as_ref());
        unmap(&sa, &mut quick);
        if sa.mode == Mode::Transport {
            let (_, back) = sa.decapsulate(sequence, &quick).unwrap();
            // A checksum that was none is one behind UDP, and there is no other difference.
            prop_assert!(back == inner || sa.udp_port.is_some(), "it comes back as it was");
            prop_assert_eq!(back.len(), inner.len());
        }
        // And back, with an outer header that was marked, and perhaps translated, on the way.
        remark(&mut quick, outer_tos);
        if translated {
            translate(&mut quick);
        }
        same(sa.decapsulate(sequence, &quick), reference::decapsulate(&sa.inbound(), &gcm, sequence, &quick))?;
    }

    /// Texts that no honest sender writes, under a right ICV: padding, next headers and inner packets of all kinds.
    #[test]
    fn both_read_the_same(
        sa in sas(), sequence: u64, v6: bool, len in 0_usize..120, tos: u8, outer_tos: u8, seed: u32,
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        tfc in 0_usize..40, pad in prop_oneof![3 => 0_u8..8, 1 => any::<u8>()],
        next_header in prop_oneof![Just(4_u8), Just(41), Just(59), Just(6), Just(17), any::<u8>()],
        extras in extras(), behind in 0_usize..6,
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
        let mut packet = sa.encapsulate(sequence, 77, &packet_for(&sa, v6, 0, 0, false, 1, &extras));
        unmap(&sa, &mut packet);
        let Found::Esp { at, .. } = find(Version::of(&packet).unwrap(), &packet) else { panic!("{packet:?}") };
        let (iv, iv_len) = if sa.implicit_iv { (sequence, 0) } else { (77, 8) };
        packet.truncate(at + 8 + iv_len);
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&sa.salt);
        nonce[4..].copy_from_slice(&u64::to_be_bytes(iv));
        let aad = esp::Aad::new(sa.spi, sequence, sa.esn);
        let sealed = gcm.seal(nonce, aad.as_slice(), &text);
        packet.extend(&sealed[..text.len() + sa.icv.bytes()]);
        let total = packet.len();
        if sa.udp_port.is_some() {
            // Bytes behind the datagram are none of it.
            packet.splice(at - 4..at - 2, ((total - at + 8) as u16).to_be_bytes());
            packet.extend(std::iter::repeat_n(0x77, behind));
        }
        let total = packet.len() as u16;
        if sa.over_v6 {
            packet::ipv6::Packet::new_unchecked(&mut packet[..]).set_payload_len(total - 40);
        } else {
            packet::ipv4::Packet::new_unchecked(&mut packet[..]).set_total_len(total);
        }
        remark(&mut packet, outer_tos);
        same(sa.decapsulate(sequence, &packet), reference::decapsulate(&sa.inbound(), &gcm, sequence, &packet))?;
    }

    /// Any flipped bit from the ESP header on, and any other high half of the sequence number, fails the ICV.
    #[test]
    fn what_was_tampered_with_is_refused(
        sa in sas(), sequence: u64, len in 20_usize..200, flip: prop::sample::Index, bit in 0_u8..8,
    ) {
        let sequence = if sa.esn { sequence } else { sequence & 0xFFFF_FFFF };
        let mut packet = sa.encapsulate(sequence, 1, &packet_for(&sa, false, len, 0, false, 3, &[]));
        unmap(&sa, &mut packet);
        prop_assert!(sa.decapsulate(sequence, &packet).is_ok());
        let mut tampered = packet.clone();
        let Found::Esp { at, .. } = find(Version::of(&packet).unwrap(), &packet) else { panic!("{packet:?}") };
        let place = at + flip.index(packet.len() - at);
        tampered[place] ^= 1_u8 << bit;
        prop_assert_eq!(sa.decapsulate(sequence, &tampered), Err("BadIcv".to_owned()));
        if sa.esn {
            let elsewhere = sequence ^ 1 << 40;
            prop_assert_eq!(sa.decapsulate(elsewhere, &packet), Err("BadIcv".to_owned()));
        }
    }
}
