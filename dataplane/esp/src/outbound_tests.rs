//! Encapsulation: what is refused, and what each byte is. That it is ESP, the tests in `tests/` say.

use super::*;
use proptest::prelude::*;

fn parameters() -> Parameters {
    Parameters {
        spi: Spi::new(0x1234_5678).unwrap(),
        suite: Suite::AES_GCM_128,
        mode: Mode::Tunnel,
        salt: [1, 2, 3, 4],
        esn: true,
        local: [192, 0, 2, 1].into(),
        remote: [198, 51, 100, 2].into(),
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
fn what_is_not_supported_is_named() {
    let v6 = Parameters { remote: "2001:db8::1".parse().unwrap(), ..parameters() };
    assert!(matches!(Template::new(&v6), Err(Unsupported::Outer { .. })));
    let transport = Parameters { mode: Mode::Transport, ..parameters() };
    assert_eq!(Template::new(&transport).unwrap_err(), Unsupported::Transport);
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
    ) {
        let template = Template::new(&parameters()).unwrap();
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
}
