//! Decapsulation: what is refused and why, and that no bytes make it panic. That it is ESP, the tests in `tests/` say.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const OUTER: usize = ipv4::HEADER_LEN;

fn parameters() -> Parameters {
    Parameters::new(Suite::AES_GCM_256, Mode::Tunnel, [1, 2, 3, 4], true, 64)
}

fn inner4(payload_len: usize) -> Vec<u8> {
    let mut inner = vec![0x5A; 20 + payload_len];
    ipv4::Repr {
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        protocol: protocol::UDP,
        tos: 0,
        ttl: 17,
        df: false,
        identification: 9,
        payload_len,
    }
    .emit(&mut inner)
    .unwrap();
    inner
}

fn inner6(payload_len: usize) -> Vec<u8> {
    let mut inner = vec![0x5A; 40 + payload_len];
    ipv6::Repr {
        source: Ipv6Addr::LOCALHOST,
        destination: Ipv6Addr::LOCALHOST,
        next_header: protocol::UDP,
        traffic_class: 0,
        flow_label: 1,
        hop_limit: 17,
        payload_len,
    }
    .emit(&mut inner)
    .unwrap();
    inner
}

/// An opened packet with this text, and `outer_ecn` in its outer header.
fn opened(outer_ecn: Ecn, text: &[u8]) -> (Vec<u8>, Range<usize>) {
    let mut packet = vec![0; OUTER + 16];
    packet[0] = 0x45;
    packet[1] = outer_ecn.bits();
    packet.extend(text);
    let range = OUTER + 16..packet.len();
    packet.extend([0xCC; 16]);
    (packet, range)
}

fn finished(text: &[u8]) -> Result<Inner, Error> {
    let (mut packet, range) = opened(Ecn::NotEct, text);
    finish(Mode::Tunnel, &mut packet, range)
}

#[test]
fn the_header_is_read() {
    let mut packet = vec![0; OUTER];
    packet.extend([0x11, 0x22, 0x33, 0x44, 0, 0, 0, 5]);
    packet.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    packet.extend([0xAB; 20]);
    packet.extend([0xCC; 16]);
    let opening = prepare(&parameters(), &packet, OUTER, 7 << 32 | 0xFFFF_FFF0).unwrap();
    assert_eq!(opening.sequence, 8 << 32 | 5);
    assert_eq!(opening.nonce, [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(opening.aad.as_slice(), [0x11, 0x22, 0x33, 0x44, 0, 0, 0, 8, 0, 0, 0, 5]);
    assert_eq!(packet[opening.text.clone()], [0xAB; 20]);
    let suite = Suite::AesGcm { key: model::KeyLen::Aes256, icv: model::IcvLen::Bytes8 };
    let plain = Parameters::new(suite, Mode::Tunnel, [1, 2, 3, 4], false, 64);
    let opening = prepare(&plain, &packet, OUTER, 7 << 32 | 0xFFFF_FFF0).unwrap();
    assert_eq!((opening.sequence, opening.aad.len(), opening.text.len()), (5, 8, 28));
}

#[test]
fn what_is_too_short_is_refused() {
    let whole = vec![0; OUTER + 8 + 8 + 2 + 16];
    assert!(prepare(&parameters(), &whole, OUTER, 0).is_ok());
    for len in 0..whole.len() {
        assert_eq!(prepare(&parameters(), &whole[..len], OUTER, 0), Err(Error::Truncated));
    }
    assert_eq!(prepare(&parameters(), &whole, whole.len() + 1, 0), Err(Error::Truncated));
    assert_eq!(prepare(&parameters(), &whole, usize::MAX, 0), Err(Error::Truncated));
}

#[test]
fn the_trailer_is_checked() {
    let inner = inner4(8);
    let with = |trailer: &[u8]| finished(&[&inner[..], trailer].concat());
    let range = OUTER + 16..OUTER + 16 + 28;
    assert_eq!(with(&[0, 4]), Ok(Inner { range: range.clone(), version: Version::V4 }));
    assert_eq!(with(&[1, 2, 3, 3, 4]), Ok(Inner { range: range.clone(), version: Version::V4 }));
    assert_eq!(with(&[1, 2, 4, 3, 4]), Err(Error::BadPadding));
    assert_eq!(with(&[0, 0, 0, 3, 4]), Err(Error::BadPadding));
    assert_eq!(with(&[255, 4]), Err(Error::BadPadding));
    assert_eq!(with(&[0, 6]), Err(Error::BadNextHeader(6)));
    assert_eq!(with(&[0, 41]), Err(Error::BadInner(packet::Error::BadVersion)));
    assert_eq!(finished(&[0]), Err(Error::Truncated));
    assert_eq!(finished(&[0, 59]), Err(Error::Dummy));
    assert_eq!(finished(&[0, 4]), Err(Error::BadInner(packet::Error::Truncated)));
    // The longest padding.
    let longest: Vec<u8> = (1..=255).chain([255, 4]).collect();
    assert_eq!(with(&longest).map(|inner| inner.range), Ok(range));
}

#[test]
fn the_inner_packet_is_checked_and_cut() {
    for (inner, next_header, version) in [(inner4(8), 4, Version::V4), (inner6(8), 41, Version::V6)] {
        let padded = [&inner[..], &[0; 33], &[0, next_header]].concat();
        let found = finished(&padded).unwrap();
        assert_eq!((found.range.len(), found.version), (inner.len(), version));
        let short = [&inner[..inner.len() - 1], &[0, next_header]].concat();
        assert_eq!(finished(&short), Err(Error::BadInner(packet::Error::Truncated)));
    }
    let mut inner = inner4(8);
    inner[8] = 1;
    inner.extend([0, 4]);
    assert_eq!(finished(&inner), Err(Error::BadInner(packet::Error::BadChecksum)));
}

#[test]
fn ecn_is_carried_inwards_or_the_packet_is_dropped() {
    for outer in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
        for inner in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
            let expected = tunnel::decapsulated_ecn(outer, inner);
            for version in [Version::V4, Version::V6] {
                let mut text = if version == Version::V4 { inner4(3) } else { inner6(3) };
                match version {
                    Version::V4 => ipv4::Packet::new_unchecked(&mut text[..]).set_ecn(inner),
                    Version::V6 => ipv6::Packet::new_unchecked(&mut text[..]).set_ecn(inner),
                }
                text.extend([0, version.next_header()]);
                let (mut packet, range) = opened(outer, &text);
                match (finish(Mode::Tunnel, &mut packet, range), expected) {
                    (Ok(found), Some(ecn)) => {
                        let bytes = &packet[found.range];
                        match version {
                            Version::V4 => {
                                let header = ipv4::Packet::new_checked(bytes).unwrap();
                                assert_eq!((header.ecn(), header.verify_checksum()), (ecn, Ok(())));
                            }
                            Version::V6 => assert_eq!(ipv6::Packet::new_checked(bytes).unwrap().ecn(), ecn),
                        }
                    }
                    (result, expected) => {
                        assert_eq!((result, expected), (Err(Error::Congestion), None));
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_read(
        mut packet in prop::collection::vec(any::<u8>(), 0..200), esp_offset in 0_usize..80, highest: u64, window: u32,
        esn: bool, transport: bool, next_header in prop_oneof![Just(4_u8), Just(41), any::<u8>()], pad_len in 0_u8..4,
    ) {
        let parameters = Parameters { esn, window, ..parameters() };
        if let Ok(opening) = prepare(&parameters, &packet, esp_offset, highest) {
            prop_assert_eq!(opening.text.end + 16, packet.len());
            // A trailer and a first nibble that let `finish` come far.
            let end = opening.text.end;
            packet[end - 1] = next_header;
            packet[end - 2] = pad_len.min((opening.text.len() - 2) as u8);
            for place in 0..usize::from(packet[end - 2]) {
                packet[end - 2 - usize::from(pad_len) + place] = place as u8 + 1;
            }
            if opening.text.len() > 44 {
                packet[opening.text.start] = if next_header == 4 { 0x45 } else { 0x60 };
            }
            let mode = if transport { Mode::Transport } else { Mode::Tunnel };
            if let Ok(inner) = finish(mode, &mut packet, opening.text.clone()) {
                let begins = inner.range.start == opening.text.start || transport && inner.range.start < opening.text.start;
                prop_assert!(begins && inner.range.end <= end - 2);
            }
        }
    }

    #[test]
    fn arbitrary_ranges_do_not_panic(mut packet in prop::collection::vec(any::<u8>(), 0..99), start: usize, end: usize) {
        let text = start % 128..end % 128;
        let _ = finish(Mode::Tunnel, &mut packet, text.clone());
        for first in [0x45, 0x4F, 0x60] {
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            let _ = finish(Mode::Transport, &mut packet, text.clone());
        }
    }
}

/// Every suite's IV, text and ICV are found where outbound put them, and a cut block is refused.
#[test]
fn every_suite_finds_its_parts() {
    let inner = inner4(23);
    for suite in Suite::all() {
        let template = crate::outbound::Template::new(&crate::outbound::Parameters {
            spi: model::Spi::MIN,
            suite,
            mode: Mode::Tunnel,
            salt: [1, 2, 3, 4],
            esn: true,
            local: Ipv4Addr::new(192, 0, 2, 1).into(),
            remote: Ipv4Addr::new(192, 0, 2, 2).into(),
            udp_port: None,
            tunnel: tunnel::Options::default(),
        })
        .unwrap();
        let mut packet = vec![0xEE; template.header_len()];
        packet.extend(&inner);
        packet.resize(packet.len() + template.trailer_len(&inner), 0xEE);
        let (sequence, iv) = (0x5_0000_0009, 0x0102_0304_0506_0708);
        let sealing =
            crate::outbound::encapsulate(&template, sequence, iv, &mut packet, inner.len()).unwrap();
        assert_eq!(sealing.text.len() % suite.alignment(), 0, "{suite}");
        let field = &packet[OUTER + 8..sealing.text.start];
        assert!(field.is_empty() || field.ends_with(&iv.to_be_bytes()), "{suite}");
        assert_eq!(field.len(), suite.iv_len());

        let parameters = Parameters::new(suite, Mode::Tunnel, [1, 2, 3, 4], true, 64);
        let opening = prepare(&parameters, &packet, OUTER, sequence - 1).unwrap();
        assert_eq!((opening.text.clone(), opening.aad), (sealing.text.clone(), sealing.aad), "{suite}");
        if suite.iv_len() == 8 {
            assert_eq!(opening.nonce, sealing.nonce, "{suite}");
        }
        assert_eq!(
            finish(Mode::Tunnel, &mut packet.clone(), opening.text).unwrap().range.len(),
            inner.len(),
            "{suite}"
        );
        let cut = prepare(&parameters, &packet[..packet.len() - 4], OUTER, 0);
        let whole = suite.alignment() == 4;
        assert_eq!(cut.map(drop), if whole { Ok(()) } else { Err(Error::BrokenBlock) }, "{suite}");
        for len in OUTER..sealing.text.start + 2 + suite.icv_len() {
            assert_eq!(
                prepare(&parameters, &packet[..len], OUTER, 0),
                Err(Error::Truncated),
                "{suite} {len}"
            );
        }
    }
}

/// In transport mode the text is what is behind the packet's own headers, and that ends on a block: in any family and with
/// any headers, in UDP or not.
#[test]
fn every_suite_finds_its_parts_in_transport_mode() {
    let ends = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Ipv4Addr::from);
    let six = ends.map(|end| end.to_ipv6_mapped());
    for (suite, udp_port, len) in Suite::all()
        .flat_map(|suite| [None, Some(4500)].map(|port| (suite, port)))
        .flat_map(|(suite, port)| (0..40).map(move |len| (suite, port, len)))
    {
        let mut v4 = vec![0x5A; ipv4::HEADER_LEN];
        let repr = ipv4::Repr {
            source: ends[0],
            destination: ends[1],
            protocol: 99,
            tos: 0,
            ttl: 9,
            df: true,
            identification: 0,
            payload_len: len,
        };
        repr.emit(&mut v4).unwrap();
        let mut v6 = vec![0; ipv6::HEADER_LEN];
        let repr = ipv6::Repr {
            source: six[0],
            destination: six[1],
            next_header: protocol::HOP_BY_HOP,
            traffic_class: 0,
            flow_label: 5,
            hop_limit: 9,
            payload_len: 8 + len,
        };
        repr.emit(&mut v6).unwrap();
        v6.extend([99, 0, 1, 4, 0, 0, 0, 0]);
        for (mut inner, local, remote) in
            [(v4, ends[0].into(), ends[1].into()), (v6, IpAddr::from(six[0]), IpAddr::from(six[1]))]
        {
            let before = inner.len();
            inner.extend((0..len).map(|byte| byte as u8));
            let template = crate::outbound::Template::new(&crate::outbound::Parameters {
                spi: model::Spi::MIN,
                suite,
                mode: Mode::Transport,
                salt: [1, 2, 3, 4],
                esn: true,
                local,
                remote,
                udp_port,
                tunnel: tunnel::Options::default(),
            })
            .unwrap();
            let mut packet = vec![0xEE; template.header_len()];
            packet.extend(&inner);
            packet.resize(packet.len() + template.trailer_len(&inner), 0xEE);
            let sealing = crate::outbound::encapsulate(&template, 9, 7, &mut packet, inner.len()).unwrap();
            assert_eq!(sealing.text.start, before + template.header_len(), "{suite}");
            assert!(sealing.text.len().is_multiple_of(suite.alignment()), "{suite}, {len} bytes");
            assert!(sealing.text.len() < len + 2 + suite.alignment(), "{suite}, {len} bytes");

            let parameters = Parameters::new(suite, Mode::Transport, [1, 2, 3, 4], true, 64);
            let at = sealing.text.start - suite.iv_len() - esp::HEADER_LEN;
            let opening = prepare(&parameters, &packet, at, 8).unwrap();
            assert_eq!((opening.text.clone(), opening.aad), (sealing.text, sealing.aad), "{suite}");
            let found = finish(Mode::Transport, &mut packet, opening.text).unwrap();
            assert_eq!(packet[found.range], inner, "{suite}, {len} bytes");
        }
    }
}
