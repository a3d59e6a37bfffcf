//! Encapsulation: what is refused, and what each byte is. That it is ESP, the tests in `tests/` say.

use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn parameters() -> Parameters {
    Parameters {
        spi: Spi::new(0x1234_5678).unwrap(),
        suite: Suite::AES_GCM_128,
        mode: Mode::Tunnel,
        salt: [1, 2, 3, 4],
        esn: true,
        local: [192, 0, 2, 1].into(),
        remote: [198, 51, 100, 2].into(),
        udp_port: None,
        tunnel: tunnel::Options::default(),
    }
}

fn buffer(template: &Template, inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xEE; template.header_len()];
    packet.extend(inner);
    packet.resize(packet.len() + template.trailer_len(inner.len()), 0xEE);
    packet
}

fn inner(len: usize) -> Vec<u8> {
    let mut inner = vec![0x5A; len];
    ipv4::Repr {
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        protocol: protocol::UDP,
        tos: 0b1010_0110,
        ttl: 17,
        df: false,
        identification: 9,
        payload_len: len - 20,
    }
    .emit(&mut inner)
    .unwrap();
    inner
}

#[test]
fn every_byte_is_where_it_should_be() {
    let template = Template::new(&parameters()).unwrap();
    let inner = inner(21);
    let mut packet = buffer(&template, &inner);
    let sealing = encapsulate(&template, 0x0A_1122_3344, 0x0102_0304_0506_0708, &mut packet, 21).unwrap();

    let outer = ipv4::Repr::parse(&packet).unwrap();
    assert_eq!(
        outer,
        ipv4::Repr {
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(198, 51, 100, 2),
            protocol: protocol::ESP,
            tos: 0b1010_0110,
            ttl: 64,
            df: false,
            identification: 0x3344,
            payload_len: packet.len() - 20,
        }
    );
    assert_eq!(packet[20..28], [0x12, 0x34, 0x56, 0x78, 0x11, 0x22, 0x33, 0x44]);
    assert_eq!(packet[28..36], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(packet[36..57], inner);
    // 21 + 1 of padding + 2 is a multiple of 4.
    assert_eq!(packet[57..60], [1, 1, 4]);
    assert_eq!(packet.len(), 60 + 16);
    assert_eq!(sealing.text, 36..60);
    assert_eq!(sealing.nonce, [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sealing.aad.as_slice(), [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0x0A, 0x11, 0x22, 0x33, 0x44]);
}

#[test]
fn every_byte_is_where_it_should_be_over_ipv6_and_in_udp() {
    let [local, remote] = [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), Ipv6Addr::LOCALHOST];
    let tunnel = tunnel::Options { ttl: 9, flow_label: 0xA_BCDE, ..tunnel::Options::default() };
    let parameters = Parameters {
        local: local.into(),
        remote: remote.into(),
        udp_port: Some(0x1234),
        tunnel,
        ..parameters()
    };
    let template = Template::new(&parameters).unwrap();
    let inner = inner(21);
    let mut packet = buffer(&template, &inner);
    let sealing = encapsulate(&template, 0x0A_1122_3344, 0x0102_0304_0506_0708, &mut packet, 21).unwrap();
    complete(&template, &mut packet);

    let outer = ipv6::Repr::parse(&packet).unwrap();
    assert_eq!((outer.source, outer.destination), (local, remote));
    assert_eq!((outer.next_header, outer.hop_limit, outer.flow_label), (protocol::UDP, 9, 0xA_BCDE));
    assert_eq!((outer.traffic_class, outer.payload_len), (0b1010_0110, packet.len() - 40));
    let datagram = datagram::Packet::new_checked(&packet[40..]).unwrap();
    assert_eq!((datagram.source(), datagram.destination()), (4500, 0x1234));
    assert_eq!(datagram.payload().len(), packet.len() - 48);
    assert_eq!(datagram.verify_checksum(local.into(), remote.into()), Ok(()));
    assert_eq!(packet[48..56], [0x12, 0x34, 0x56, 0x78, 0x11, 0x22, 0x33, 0x44]);
    assert_eq!(packet[56..64], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(packet[64..85], inner);
    assert_eq!(sealing.text, 64..88);
}

#[test]
fn transport_mode_is_for_whole_packets_between_the_ends() {
    let hosts = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)].map(IpAddr::from);
    let parameters = Parameters { mode: Mode::Transport, local: hosts[0], remote: hosts[1], ..parameters() };
    let template = Template::new(&parameters).unwrap();
    let whole = inner(33);
    let mut packet = buffer(&template, &whole);
    let sealing = encapsulate(&template, 1, 1, &mut packet, 33).unwrap();
    let header = ipv4::Packet::new_checked(&packet).unwrap();
    assert_eq!((header.verify_checksum(), header.protocol()), (Ok(()), protocol::ESP));
    assert_eq!((header.tos(), header.ttl(), header.identification()), (0b1010_0110, 17, 9));
    assert_eq!(sealing.text, 36..52);
    assert_eq!(packet[36..49], whole[20..]);
    assert_eq!(packet[49..52], [1, 1, protocol::UDP]);

    for (change, error) in
        [(6, Error::Fragment), (15, Error::OtherEnds), (19, Error::OtherEnds), (0, Error::NotIp)]
    {
        let mut other = whole.clone();
        other[change] ^= 0x20;
        let mut packet = buffer(&template, &other);
        let before = packet.clone();
        assert_eq!(encapsulate(&template, 1, 1, &mut packet, 33), Err(error), "byte {change}");
        assert_eq!(packet, before);
    }
}

#[test]
fn families_do_not_mix() {
    let remote = Ipv6Addr::LOCALHOST.into();
    for mode in [Mode::Tunnel, Mode::Transport] {
        let mixed = Parameters { mode, remote, ..parameters() };
        assert!(matches!(Template::new(&mixed), Err(MixedFamilies { .. })));
    }
}

#[test]
fn the_longest_packet_is_the_longest() {
    let template = Template::new(&parameters()).unwrap();
    // 65535 is no multiple of 4: the longest outer packet has 65532 bytes.
    let longest = 65532 - 36 - 2 - 16;
    let mut packet = buffer(&template, &inner(longest));
    assert!(encapsulate(&template, 1, 1, &mut packet, longest).is_ok());
    let mut packet = buffer(&template, &inner(longest + 1));
    assert_eq!(encapsulate(&template, 1, 1, &mut packet, longest + 1), Err(Error::TooLong));
}

proptest! {
    #[test]
    fn what_does_not_fit_is_refused_and_untouched(
        len in 0_usize..200, inner_len in prop_oneof![0_usize..200, Just(usize::MAX), Just(usize::MAX - 1)], first: u8,
        six: bool, udp_port: Option<u16>,
    ) {
        let ends: [IpAddr; 2] = if six { [Ipv6Addr::LOCALHOST.into(); 2] } else { [Ipv4Addr::LOCALHOST.into(); 2] };
        let parameters = Parameters { local: ends[0], remote: ends[1], udp_port, ..parameters() };
        let template = Template::new(&parameters).unwrap();
        let mut packet = vec![first; len];
        match encapsulate(&template, 1, 1, &mut packet, inner_len) {
            Ok(sealing) => {
                prop_assert!(first >> 4 == 4 || first >> 4 == 6);
                prop_assert_eq!(len, template.header_len() + inner_len + template.trailer_len(inner_len));
                prop_assert_eq!(sealing.text.end + template.icv_len(), len);
                prop_assert_eq!(sealing.text.len() % 4, 0);
            }
            Err(error) => {
                let fits = inner_len < 200
                    && len == template.header_len() + inner_len + template.trailer_len(inner_len);
                prop_assert_eq!(error, if fits { Error::NotIp } else { Error::WrongLength });
                prop_assert_eq!(packet, vec![first; len]);
            }
        }
    }
    /// Also where headers lie about themselves.
    #[test]
    fn no_packet_makes_transport_mode_panic(
        mut inner in prop::collection::vec(any::<u8>(), 0..120), six: bool, udp_port: Option<u16>, header_len: u8,
    ) {
        let ends: [IpAddr; 2] = if six { [Ipv6Addr::from_bits(0).into(); 2] } else { [Ipv4Addr::from_bits(0).into(); 2] };
        let mode = Mode::Transport;
        let template =
            Template::new(&Parameters { mode, local: ends[0], remote: ends[1], udp_port, ..parameters() }).unwrap();
        let len = inner.len();
        if let Some(header) = inner.first_chunk_mut::<40>() {
            let extension = [0, 43, 44, 60, 6][usize::from(header[6] % 5)];
            *header = [0; 40];
            header[0] = if six { 0x60 } else { 0x40 | header_len & 15 };
            (header[6], header[9]) = if six { (extension, 0) } else { (0, 6) };
            if six {
                header[5] = len as u8 - 40;
            }
        }
        let mut packet = buffer(&template, &inner);
        if let Ok(sealing) = encapsulate(&template, 1, 1, &mut packet, inner.len()) {
            prop_assert_eq!(sealing.text.end + template.icv_len(), packet.len());
            prop_assert_eq!(sealing.text.len() % 4, 0);
            complete(&template, &mut packet);
        }
    }
}
