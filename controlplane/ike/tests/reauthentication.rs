//! Reauthentication: another IKE SA with child SAs of its own before the old one goes (RFC 7296, section 2.8.3; RFC 4478).

mod common;

use common::*;
use ike::Connection;
use ike::connection::{LocalProof, RemoteProof};
use ike::crypto::Secret;
use ike::endpoint::Down;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REAUTH: Duration = Duration::from_secs(200);
/// How long what was on its way is still taken by a pair that another took the place of.
const FADE: Duration = Duration::from_secs(3);

fn reauthenticated(side: &str) -> Connection {
    Connection { reauth: Some(REAUTH), ..connection(side) }
}

/// With another child policy beside the first.
fn with_two(mut connection: Connection) -> Connection {
    let mut more = connection.children[0].as_ref().clone();
    more.name = "more".into();
    let other = |text: &str| {
        if connection.local_identity.to_string().contains("gw-a") == (text == "local") {
            subnet("10.3.0.0/16")
        } else {
            subnet("10.4.0.0/16")
        }
    };
    (more.local, more.remote) = (vec![other("local")], vec![other("remote")]);
    connection.children.push(Arc::new(more));
    connection
}

/// What each end sends on, and when each held what.
#[derive(Default)]
struct Watch {
    /// By inbound SPI, of either end: when it was installed last.
    held: [BTreeMap<u32, Instant>; 2],
    /// By policy: inbound SPIs in the order of their coming.
    order: [BTreeMap<Arc<str>, Vec<u32>>; 2],
}

impl Watch {
    /// Lets time pass, a millisecond after the other, in which whatever either end sends is received by the other.
    fn run(&mut self, world: &mut World, time: Duration) {
        for _ in 0..time.as_millis() {
            world.run(Duration::from_millis(1));
            self.look(world);
        }
    }

    fn look(&mut self, world: &World) {
        let gateways = [&world.a, &world.b];
        for (end, gateway) in gateways.iter().enumerate() {
            for (&spi, up) in &gateway.installed {
                self.held[end].insert(spi, world.now);
                let order = self.order[end].entry(up.policy.clone()).or_default();
                if !order.contains(&spi) {
                    order.push(spi);
                }
            }
        }
        for (end, gateway) in gateways.iter().enumerate() {
            for order in self.order[end].values() {
                let there: Vec<u32> =
                    order.iter().copied().filter(|spi| gateway.installed.contains_key(spi)).collect();
                // The newest; where the peer asked for it, the one that it is known to have.
                let sure = |spi: &&u32| {
                    gateway.sends[*spi] && (!gateway.installed[*spi].by_peer || there[0] == **spi)
                };
                let carrier = there.iter().rev().find(sure).expect("there is always a pair to send on");
                let outbound = gateway.installed[carrier].outbound.0.get();
                let held = self.held[1 - end].get(&outbound).expect("the other end has it");
                assert!(
                    world.now.saturating_duration_since(*held) < FADE,
                    "sent on what the other end has no more"
                );
            }
        }
    }
}

fn up(a: Connection, b: Connection) -> World {
    let mut world = World::new(vec![a], vec![b]);
    world.a_initiates();
    world.run_seconds(2);
    world.assert_paired(1);
    world
}

/// Runs through one reauthentication; the pairs stay so many.
fn through_one(world: &mut World, pairs: usize) {
    let (ikes, inbound) = (world.a.ike_up, world.a.inbound());
    let mut watch = Watch::default();
    let begun = world.now;
    while world.a.ike_up == ikes {
        assert!(world.now < begun + REAUTH, "nobody proves himself anew");
        watch.run(world, Duration::from_secs(1));
    }
    watch.run(world, 2 * FADE);
    world.assert_paired(pairs);
    assert!(world.a.inbound().iter().all(|spi| !inbound.contains(spi)));
    assert_eq!((world.a.standing(world.now).len(), world.b.standing(world.now).len()), (1, 1));
    assert!(world.a.failures.is_empty() && world.b.failures.is_empty());
}

#[test]
fn the_new_one_is_there_before_the_old_one_goes() {
    let mut world = up(with_two(reauthenticated("a")), with_two(connection("b")));
    let ike = world.a.standing(world.now)[0].ike;
    world.a.endpoint.create_child(world.now, ike, "more").unwrap();
    world.run_seconds(2);
    for _ in 0..3 {
        through_one(&mut world, 2);
    }
    // None of that was rekeying, and nobody came anew.
    assert_eq!((world.a.ike_up, world.b.ike_up), (4, 4));
    assert!(world.a.child_down.iter().chain(&world.a.ike_down).all(|reason| *reason == Down::Replaced));
    assert!(world.b.ike_down.iter().all(|reason| *reason == Down::Peer));
}

#[test]
fn who_answers_says_when_and_who_began_does_it() {
    let mut world = up(connection("a"), reauthenticated("b"));
    through_one(&mut world, 1);
    // Though it is the other end whose IKE SA it is by now, after rekeying.
    let ike = world.b.standing(world.now)[0].ike;
    world.b.endpoint.rekey(world.now, ike).unwrap();
    world.run_seconds(20);
    assert!(!world.a.standing(world.now)[0].initiator);
    through_one(&mut world, 1);
    assert!(world.a.standing(world.now)[0].initiator);
}

#[test]
fn a_time_no_longer_than_the_lifetime_is_instead_of_rekeying() {
    let with = |side| Connection { lifetime: Some(REAUTH), ..reauthenticated(side) };
    let mut world = up(with("a"), with("b"));
    for _ in 0..3 {
        through_one(&mut world, 1);
    }
    assert_eq!(world.a.ike_up, 4);
}

/// Who cannot prove himself any more is gone when his time is over, and not before; meanwhile it is tried again.
#[test]
fn what_is_not_renewed_ends() {
    let mut world = up(reauthenticated("a"), connection("b"));
    let other = Secret::new(b"another key".to_vec());
    let changed = Connection {
        local_proof: LocalProof::SharedKey(other.clone()),
        remote_proof: RemoteProof::SharedKey(other),
        ..connection("b")
    };
    world.b.endpoint.set_connections(vec![Arc::new(changed)]);
    world.run(REAUTH - Duration::from_secs(3));
    world.assert_paired(1);
    assert!(!world.a.failures.is_empty() && world.a.ike_up == 1);
    world.run_seconds(4);
    world.assert_paired(0);
    assert!(world.a.ike_down.contains(&Down::Lifetime));
}

/// The first attempt meets a wire that is cut; a later one does not.
#[test]
fn what_came_to_nothing_is_tried_again() {
    let time = Duration::from_secs(2000);
    let with = Connection { reauth: Some(time), ..connection("a") };
    let mut world = up(with, connection("b"));
    world.run(time * 81 / 100);
    world.faults.lost = 100;
    while world.a.failures.is_empty() {
        world.run_seconds(1);
    }
    world.faults.lost = 0;
    assert_eq!(world.a.ike_up, 1);
    world.run_seconds(140);
    assert_eq!(world.a.ike_up, 2);
    world.assert_paired(1);
}

/// A peer that wants it all the time gets it from time to time.
#[test]
fn a_peer_that_asks_for_too_much_is_bounded() {
    let hurried = Connection { reauth: Some(Duration::ZERO), ..connection("b") };
    let mut world = up(connection("a"), hurried);
    world.run_seconds(100);
    assert!((9..=14).contains(&world.a.ike_up), "{}", world.a.ike_up);
    world.assert_paired(1);
}
