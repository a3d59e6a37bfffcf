//! Messages read back as they were written, and arbitrary bytes do no harm.

use ike::TrafficSelector;
use ike::message::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;

/// Payloads that own what [`Payload`] borrows.
#[derive(Clone, Debug)]
enum Owned {
    Sa(Vec<Proposal>),
    KeyExchange(u16, Vec<u8>),
    Identity(bool, Vec<u8>),
    Cert(bool, u8, Vec<u8>),
    Auth(u8, Vec<u8>),
    Nonce(Vec<u8>),
    Notify(u8, Vec<u8>, u16, Vec<u8>),
    Delete(Option<Vec<u32>>),
    VendorId(Vec<u8>),
    Selectors(bool, Vec<TrafficSelector>),
    Configuration(Vec<u8>),
}

impl Owned {
    fn view(&self) -> Payload<'_> {
        match self {
            Owned::Sa(proposals) => Payload::Sa(proposals.clone()),
            Owned::KeyExchange(group, data) => Payload::KeyExchange { group: *group, data },
            Owned::Identity(true, body) => Payload::IdI(IdBody(body)),
            Owned::Identity(false, body) => Payload::IdR(IdBody(body)),
            Owned::Cert(true, encoding, data) => Payload::Cert { encoding: *encoding, data },
            Owned::Cert(false, encoding, data) => Payload::CertReq { encoding: *encoding, data },
            Owned::Auth(method, data) => Payload::Auth { method: AuthMethod(*method), data },
            Owned::Nonce(nonce) => Payload::Nonce(nonce),
            Owned::Notify(protocol, spi, kind, data) => Payload::Notify(Notify {
                protocol: ProtocolId(*protocol),
                spi,
                kind: NotifyType(*kind),
                data,
            }),
            Owned::Delete(None) => Payload::Delete { protocol: ProtocolId::IKE, spis: Vec::new() },
            Owned::Delete(Some(spis)) => Payload::Delete { protocol: ProtocolId::ESP, spis: spis.clone() },
            Owned::VendorId(data) => Payload::VendorId(data),
            Owned::Selectors(true, selectors) => Payload::TsI(selectors.clone()),
            Owned::Selectors(false, selectors) => Payload::TsR(selectors.clone()),
            Owned::Configuration(data) => Payload::Other { kind: PayloadType::CP, data },
        }
    }
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), any::<Option<u16>>()).prop_map(|(kind, id, key_length)| Transform {
        key_length,
        ..Transform::new(TransformType(kind), id)
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..9), vec(transform(), 0..8)).prop_map(
        |(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: ProtocolId(protocol),
            spi,
            transforms,
        },
    )
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    (any::<u8>(), any::<(u16, u16)>(), addresses).prop_map(|(protocol, (p, q), (a, b))| {
        TrafficSelector::new(protocol, p.min(q), p.max(q), a.min(b), a.max(b)).expect("ordered")
    })
}

fn payload() -> impl Strategy<Value = Owned> {
    let bytes = || vec(any::<u8>(), 0..60);
    prop_oneof![
        vec(proposal(), 1..5).prop_map(Owned::Sa),
        (any::<u16>(), bytes()).prop_map(|(group, data)| Owned::KeyExchange(group, data)),
        (any::<bool>(), vec(any::<u8>(), 4..60)).prop_map(|(i, body)| Owned::Identity(i, body)),
        (any::<bool>(), any::<u8>(), bytes()).prop_map(|(cert, kind, data)| Owned::Cert(cert, kind, data)),
        (any::<u8>(), bytes()).prop_map(|(method, data)| Owned::Auth(method, data)),
        vec(any::<u8>(), 16..257).prop_map(Owned::Nonce),
        (any::<u8>(), vec(any::<u8>(), 0..9), any::<u16>(), bytes())
            .prop_map(|(protocol, spi, kind, data)| Owned::Notify(protocol, spi, kind, data)),
        any::<Option<Vec<u32>>>().prop_map(Owned::Delete),
        bytes().prop_map(Owned::VendorId),
        (any::<bool>(), vec(selector(), 0..5)).prop_map(|(i, list)| Owned::Selectors(i, list)),
        bytes().prop_map(Owned::Configuration),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    (any::<[u64; 2]>(), any::<[u8; 3]>(), any::<[bool; 3]>(), any::<u32>()).prop_map(
        |([i, r], [major, minor, exchange], [from_initiator, response, higher_version], message_id)| Header {
            initiator_spi: IkeSpi(i),
            responder_spi: IkeSpi(r),
            next_payload: PayloadType::NONE,
            major_version: major & 15,
            minor_version: minor & 15,
            exchange: ExchangeType(exchange),
            from_initiator,
            response,
            higher_version,
            message_id,
            length: 0,
        },
    )
}

fn read(datagram: &[u8]) -> Result<(Header, Body<'_>), ParseError> {
    let header = Header::parse(datagram)?;
    Ok((header, Body::parse(&header, datagram)?))
}

proptest! {
    #[test]
    fn what_was_written_is_read(header in header(), payloads in vec(payload(), 0..12)) {
        let payloads: Vec<Payload<'_>> = payloads.iter().map(Owned::view).collect();
        let message = write_message(&header, &payloads);
        let (read_header, body) = read(&message).expect("well formed");
        let first = payloads.first().map_or(PayloadType::NONE, Payload::kind);
        prop_assert_eq!(
            read_header,
            Header { next_payload: first, length: message.len() as u32, ..header }
        );
        prop_assert_eq!(body, Body::Clear(payloads));
    }

    /// A change anywhere gives an error or another message, never a panic; what is read can be written again.
    #[test]
    fn changed_bytes_do_no_harm(
        header in header(),
        payloads in vec(payload(), 1..8),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shortened in any::<bool>(),
    ) {
        let payloads: Vec<Payload<'_>> = payloads.iter().map(Owned::view).collect();
        let mut message = write_message(&header, &payloads);
        for (place, value) in changes {
            let place = place.index(message.len());
            message[place] = value;
        }
        if shortened {
            message.truncate(cut.index(message.len()));
        }
        // The length is mended, so that more than the header is tried.
        let length = (message.len() as u32).to_be_bytes();
        if let Some(field) = message.get_mut(24..28) {
            field.copy_from_slice(&length);
        }
        if let Ok((header, Body::Clear(payloads))) = read(&message) {
            let again = write_message(&header, &payloads);
            prop_assert!(read(&again).is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300), kind in any::<u8>()) {
        let _ = read(&bytes);
        let _ = parse_chain(PayloadType(kind), &bytes);
        for known in 33..54 {
            let mut chain = vec![0, 0];
            chain.extend((bytes.len() as u16 + 4).to_be_bytes());
            chain.extend(&bytes);
            let _ = parse_chain(PayloadType(known), &chain);
        }
    }
}

fn chain(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, flags];
    bytes.extend((body.len() as u16 + 4).to_be_bytes());
    bytes.extend(body);
    let _ = kind;
    bytes
}

#[test]
fn an_unknown_payload_is_skipped_unless_it_is_critical() {
    assert_eq!(parse_chain(PayloadType(99), &chain(99, 0, b"xyz")), Ok(Vec::new()));
    assert_eq!(
        parse_chain(PayloadType(99), &chain(99, 0x80, b"xyz")),
        Err(ParseError::Critical(PayloadType(99)))
    );
    // The flag means nothing on payloads that everybody knows (RFC 7296, section 2.5).
    let nonce = [7; 16];
    assert_eq!(parse_chain(PayloadType::NONCE, &chain(40, 0x80, &nonce)), Ok(vec![Payload::Nonce(&nonce)]));
}

#[test]
fn counts_are_bounded() {
    let mut many = Vec::new();
    for _ in 0..MAX_PAYLOADS {
        many.extend([PayloadType::VENDOR_ID.0, 0, 0, 4]);
    }
    many.extend([0, 0, 0, 4]);
    assert_eq!(parse_chain(PayloadType::VENDOR_ID, &many), Err(ParseError::TooMany("payloads")));
    let transform = Transform::new(TransformType::ENCR, 12);
    let proposal = |number| Proposal {
        number,
        protocol: ProtocolId::IKE,
        spi: Vec::new(),
        transforms: vec![transform; 200],
    };
    let mut bytes = Vec::new();
    let first = write_chain(&[Payload::Sa((1..=3).map(proposal).collect())], &mut bytes);
    assert_eq!(parse_chain(first, &bytes), Err(ParseError::TooMany("proposals")));
}
