//! Negotiations over a wire that loses, doubles, delays and changes datagrams, and under attack.
//!
//! Chance decides what the wire does by a seed of the test's; SPIs, nonces and keys are OpenSSL's and differ in each run.

mod common;

use common::*;
use ike::crypto::Group;
use ike::endpoint::State;
use ike::message::{ExchangeType, Header, IkeSpi, Payload, PayloadType, write_message};
use ike::{Connection, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// What an operator, or a lifetime, asks of one side.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Initiate,
    Child,
    RekeyChild,
    DeleteChild,
    Rekey,
    Delete,
}

fn carry_out(world: &mut World, on_a: bool, wish: Wish, choice: usize) {
    let now = world.now;
    if let Wish::Initiate = wish {
        return if on_a { world.a_initiates() } else { world.b_initiates() };
    }
    let gateway = if on_a { &mut world.a } else { &mut world.b };
    let standing = gateway.standing(now);
    if standing.is_empty() {
        return;
    }
    let sa = &standing[choice % standing.len()];
    let child = sa.children.get(choice % sa.children.len().max(1)).map(|child| child.inbound);
    let endpoint = &mut gateway.endpoint;
    // What cannot be done any more is refused, and that is all.
    let _ = match (wish, child) {
        (Wish::Child, _) => endpoint.create_child(now, sa.ike, "net"),
        (Wish::Rekey, _) => endpoint.rekey(now, sa.ike),
        (Wish::Delete, _) => endpoint.delete(now, sa.ike),
        (Wish::RekeyChild, Some(child)) => endpoint.rekey_child(now, child),
        (Wish::DeleteChild, Some(child)) => endpoint.delete_child(now, child),
        _ => Ok(()),
    };
    world.drain();
}

fn wish() -> impl Strategy<Value = (bool, Wish, usize, u64)> {
    let kind = prop_oneof![
        2 => Just(Wish::Child),
        6 => Just(Wish::RekeyChild),
        2 => Just(Wish::DeleteChild),
        5 => Just(Wish::Rekey),
        1 => Just(Wish::Initiate),
        1 => Just(Wish::Delete),
    ];
    (any::<bool>(), kind, 0..8usize, 0..4000u64)
}

fn with_dpd(side: &str, groups: &[Group], reauth: Option<u64>) -> Connection {
    let connection = with_policy(connection(side), |policy| policy.proposals[0].groups = groups.to_vec());
    Connection { dpd: Some(Duration::from_secs(30)), reauth: reauth.map(Duration::from_secs), ..connection }
}

/// Both ends hold the same IKE SAs and the same children in them, and nothing is under way.
fn assert_at_rest(world: &World) {
    let spis = |gateway: &Gateway, mirrored: bool| -> BTreeSet<(u64, u64)> {
        let standing = gateway.standing(world.now);
        standing
            .iter()
            .map(|sa| if mirrored { (sa.peer_spi.0, sa.ike.0) } else { (sa.ike.0, sa.peer_spi.0) })
            .collect()
    };
    assert_eq!(spis(&world.a, false), spis(&world.b, true));
    for gateway in [&world.a, &world.b] {
        let mut held = BTreeSet::new();
        for sa in gateway.endpoint.ike_sas(world.now) {
            assert_eq!(sa.state, State::Established, "one never comes to its end");
            assert_eq!(sa.waiting, 0);
            held.extend(sa.children.iter().map(|child| child.inbound.get()));
        }
        assert_eq!(held, gateway.installed.keys().copied().collect());
    }
    world.assert_paired(world.a.installed.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is asked of whom and when, and whatever the wire does meanwhile: once it is well again, both ends come to
    /// hold the same SAs.
    #[test]
    fn both_ends_come_to_hold_the_same(
        seed in 1..u64::MAX,
        lost in 0..25u64,
        doubled in 0..30u64,
        late in 0..30u64,
        changed in 0..10u64,
        wishes in vec(wish(), 0..16),
        pfs in any::<bool>(),
        slow in proptest::option::of(0..3000u64),
        reauth in proptest::option::of(60..200u64),
    ) {
        let groups: &[Group] = if pfs { &[Group::X25519] } else { &[] };
        let settings = Settings { jobs: slow.is_some(), most_jobs: 2, seed: Some(seed), ..Settings::default() };
        let (a, b) = (vec![with_dpd("a", groups, reauth)], vec![with_dpd("b", groups, None)]);
        let mut world = World::with_settings(settings, a, b);
        world.chance = Chance(seed);
        world.slow = slow.unwrap_or(0);
        world.faults = Faults { lost, doubled, late, changed };
        world.a_initiates();
        world.run_seconds(20);
        for (on_a, wish, choice, pause) in wishes {
            carry_out(&mut world, on_a, wish, choice);
            world.run(Duration::from_millis(pause));
        }
        world.faults = Faults::default();
        world.run_seconds(400);
        // A may be proving itself anew just now.
        let at_rest = |world: &World| {
            let all = [&world.a, &world.b].map(|gateway| gateway.endpoint.ike_sas(world.now).collect::<Vec<_>>());
            all.iter().flatten().all(|sa| sa.state == State::Established && sa.waiting == 0)
        };
        for _ in 0..300 {
            if reauth.is_some() && !at_rest(&world) {
                world.run_seconds(1);
            }
        }
        assert_at_rest(&world);
        if slow.is_some() {
            world.assert_others_computed();
        }
    }

    /// Nothing that anybody can send makes an endpoint panic, or touches what stands.
    #[test]
    fn what_strangers_send_changes_nothing(
        datagrams in vec((vec(any::<u8>(), 0..200), any::<bool>(), any::<bool>()), 1..40),
    ) {
        let mut world = World::new(vec![connection("a")], vec![connection("b")]);
        world.a_initiates();
        world.run_seconds(1);
        let (ours, theirs) = {
            let sa = &world.b.standing(world.now)[0];
            (sa.ike, sa.peer_spi)
        };
        for (mut bytes, plausible, on_nat_port) in datagrams {
            if plausible && bytes.len() >= Header::LEN {
                // As if it were of the IKE SA that stands, which anybody can see on the wire.
                bytes[..8].copy_from_slice(&theirs.0.to_be_bytes());
                bytes[8..16].copy_from_slice(&ours.0.to_be_bytes());
                bytes[17] = 0x20;
                bytes[18] = 34 + bytes[18] % 4;
                let length = (bytes.len() as u32).to_be_bytes();
                bytes[24..28].copy_from_slice(&length);
            }
            let mut to = b_address();
            if on_nat_port {
                to.set_port(4500);
                bytes.splice(0..0, [0; 4]);
            }
            world.inject(a_address(), to, &bytes);
        }
        world.run_seconds(60);
        world.assert_paired(1);
        prop_assert_eq!(world.b.standing(world.now)[0].ike, ours);
    }
}

/// A first request of a stranger, as its bytes.
fn first_request() -> Vec<u8> {
    let mut stranger = World::new(vec![connection("a")], vec![]);
    stranger.record = Some(Vec::new());
    stranger.a_initiates();
    stranger.record.and_then(|sent| sent.into_iter().next()).map(|(_, _, bytes)| bytes).expect("it began")
}

#[test]
fn a_flood_of_first_requests_is_bounded_and_passes() {
    let settings = Settings { cookie_threshold: 20, most_half_open: 40, ..Settings::default() };
    let mut world = World::with_settings(settings, vec![connection("a")], vec![connection("b")]);
    let bytes = first_request();
    for number in 1..=2000u64 {
        let mut bytes = bytes.clone();
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let from = SocketAddr::from(([203, 0, 113, (number % 250) as u8], 1000 + (number / 250) as u16));
        world.inject(from, b_address(), &bytes);
    }
    world.run(Duration::from_millis(100));
    assert_eq!(world.b.endpoint.half_open(), 20);
    assert_eq!(world.b.endpoint.counters().cookies_sent, 1980);
    // Who answers with the cookie gets through all the same.
    world.a_initiates();
    world.run_seconds(1);
    world.assert_paired(1);
    // And the flood is forgotten.
    world.run_seconds(60);
    assert_eq!(world.b.endpoint.half_open(), 0);
    assert_eq!(world.b.endpoint.ike_sas(world.now).count(), 1);
}

#[test]
fn half_open_ones_are_bounded_even_where_cookies_come_back() {
    let settings = Settings { cookie_threshold: 1000, most_half_open: 5, ..Settings::default() };
    let mut world = World::with_settings(settings, vec![connection("a")], vec![connection("b")]);
    let bytes = first_request();
    for number in 1..=50u64 {
        let mut bytes = bytes.clone();
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        world.inject(a_address(), b_address(), &bytes);
    }
    world.run(Duration::from_millis(100));
    assert_eq!(world.b.endpoint.half_open(), 5);
    assert_eq!(world.b.endpoint.counters().half_open_full, 45);
}

#[test]
fn a_repeated_first_request_gets_the_same_answer() {
    let mut world = World::new(vec![], vec![connection("b")]);
    let bytes = first_request();
    for _ in 0..3 {
        world.inject(a_address(), b_address(), &bytes);
    }
    world.run(Duration::from_millis(5));
    assert_eq!(world.b.endpoint.half_open(), 1);
    assert_eq!(world.b.endpoint.counters().retransmitted, 2);
    assert_eq!(world.b.endpoint.counters().sent, 3);
}

#[test]
fn everything_replayed_later_changes_nothing() {
    let mut world = World::new(vec![connection("a")], vec![connection("b")]);
    world.record = Some(Vec::new());
    world.a_initiates();
    world.run_seconds(1);
    for _ in 0..3 {
        let inbound = world.a.inbound()[0];
        world.a.endpoint.rekey_child(world.now, inbound).unwrap();
        world.run_seconds(1);
    }
    let ike = world.b.standing(world.now)[0].ike;
    world.b.endpoint.rekey(world.now, ike).unwrap();
    world.run_seconds(20);
    let before = (world.a.inbound(), world.b.inbound());
    let recorded = world.record.take().unwrap();
    assert!(recorded.len() >= 20);
    for (from, to, bytes) in recorded {
        world.inject(from, to, &bytes);
    }
    // An hour, so that whatever came of it is over.
    world.run_seconds(3600);
    assert_eq!((world.a.inbound(), world.b.inbound()), before);
    world.assert_paired(1);
    assert_eq!(world.b.endpoint.ike_sas(world.now).count(), 1);
}

#[test]
fn messages_longer_than_a_packet_go_in_fragments() {
    let settings = Settings { fragment_above: 300, ..Settings::default() };
    let wide = |side| {
        with_policy(connection(side), |policy| {
            let more = |net: &str| (0..40).map(|i| subnet(&format!("{net}.{i}.0/24"))).collect::<Vec<_>>();
            let (ours, theirs) = if side == "a" { ("10.1", "10.2") } else { ("10.2", "10.1") };
            (policy.local, policy.remote) = (more(ours), more(theirs));
        })
    };
    let mut world = World::with_settings(settings, vec![wide("a")], vec![wide("b")]);
    world.faults.late = 50;
    world.a_initiates();
    world.run_seconds(20);
    world.assert_paired(1);
    assert!(world.largest <= 300, "{}", world.largest);
    let pair = world.a.installed.values().next().unwrap();
    assert_eq!((pair.local_selectors.len(), pair.remote_selectors.len()), (40, 40));
    assert_eq!(world.b.endpoint.counters().malformed, 0);
}

#[test]
fn a_critical_payload_that_nobody_knows_is_refused_by_name() {
    let mut world = World::new(vec![], vec![connection("b")]);
    world.record = Some(Vec::new());
    let header = Header {
        initiator_spi: IkeSpi(1),
        responder_spi: IkeSpi(0),
        next_payload: PayloadType::NONE,
        major_version: 2,
        minor_version: 0,
        exchange: ExchangeType::IKE_SA_INIT,
        from_initiator: true,
        response: false,
        higher_version: false,
        message_id: 0,
        length: 0,
    };
    let unknown = Payload::Other { kind: PayloadType(200), data: b"what is this" };
    let mut bytes = write_message(&header, &[unknown]);
    bytes[Header::LEN + 1] = 0x80;
    world.inject(a_address(), b_address(), &bytes);
    world.run_seconds(1);
    let answer = world.record.take().unwrap().pop().unwrap().2;
    // UNSUPPORTED_CRITICAL_PAYLOAD, and the type of the payload.
    assert_eq!(answer[Header::LEN..], [0, 0, 0, 9, 0, 0, 0, 1, 200]);
}
