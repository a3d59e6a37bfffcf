//! Whole negotiations between two of our endpoints, over a wire that does what it should.

mod common;

use common::*;
use ike::crypto::{Encryption, Group, Integrity, Prf};
use ike::endpoint::Down;
use ike::negotiate::IkeProposal;
use ike::{Endpoint, Output, Settings};
use model::{IcvLen, KeyLen, Lifetime, Mode};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn up(mut world: World) -> World {
    world.a_initiates();
    world.run_seconds(5);
    assert_eq!((world.a.failures.len(), world.b.failures.len()), (0, 0), "{:?}", world.b.failures);
    assert_eq!((world.a.ike_up, world.b.ike_up), (1, 1));
    world.assert_paired(1);
    world
}

#[test]
fn a_pre_shared_key_raises_a_tunnel_in_two_exchanges() {
    let world = up(World::new(vec![connection("a")], vec![connection("b")]));
    assert_eq!(world.delivered, 4);
    assert!(world.a.installed.values().all(|up| up.suite.esn && !up.udp && up.mode == Mode::Tunnel));
}

#[test]
fn somebody_else_may_do_the_arithmetic() {
    let settings = Settings { jobs: true, most_half_open: 1, ..Settings::default() };
    let mut a = connection("a");
    a.proposals[0].groups = vec![Group::P256, Group::X25519];
    let mut b = Endpoint::new(settings.clone(), Instant::now(), TODAY).unwrap();
    b.set_connections(vec![Arc::new(connection("b"))]);
    let world = up(World::with_settings(settings, vec![a], vec![connection("b")]));
    assert_eq!(world.delivered, 6);
    // While it is being done, the same request again does nothing, and another has no room.
    let now = Instant::now();
    let mut stranger = World::new(vec![connection("a")], vec![]);
    stranger.record = Some(Vec::new());
    stranger.a_initiates();
    stranger.a_initiates();
    let sent: Vec<_> = stranger.record.unwrap().into_iter().map(|(_, _, bytes)| bytes).collect();
    for bytes in [&sent[0], &sent[0], &sent[1]] {
        b.handle_datagram(now, a_address(), b_address(), bytes);
    }
    let mut outputs: Vec<Output> = std::iter::from_fn(|| b.poll()).collect();
    assert_eq!((outputs.len(), b.half_open(), b.counters().half_open_full), (1, 1, 1));
    let Some(Output::Compute(job)) = outputs.pop() else { panic!("{outputs:?}") };
    b.handle_done(now, job.run());
    assert!(matches!(b.poll(), Some(Output::Transmit { .. })));
    assert!(b.poll().is_none());
    assert_eq!(b.half_open(), 1);
}

/// What strangers have computed is bounded, and does not keep those waiting who have proved themselves.
#[test]
fn a_flood_of_arithmetic_is_bounded() {
    let settings = Settings { jobs: true, most_jobs: 8, cookie_threshold: 1000, ..Settings::default() };
    let pfs = |side| with_policy(connection(side), |policy| policy.proposals[0].groups = vec![Group::X25519]);
    let mut world = World::with_settings(settings, vec![pfs("a")], vec![pfs("b")]);
    world.slow = 1;
    world.a_initiates();
    world.run_seconds(5);
    world.assert_paired(1);
    let mut flood = World::new(vec![connection("a")], vec![]);
    flood.record = Some(Vec::new());
    (0..20).for_each(|_| flood.a_initiates());
    world.slow = 10_000;
    for (from, to, bytes) in flood.record.unwrap() {
        world.inject(from, to, &bytes);
    }
    world.run(Duration::from_millis(1));
    assert_eq!((world.b.endpoint.counters().busy, world.b.endpoint.half_open()), (16, 4));
    // The threads are as slow as ever, but there is still room for a peer.
    let old = world.b.inbound()[0];
    world.b.endpoint.rekey_child(world.now, old).unwrap();
    world.run_seconds(60);
    world.assert_paired(1);
    assert_ne!(world.b.inbound()[0], old);
    world.assert_others_computed();
}

/// An IKE SA that ends while something is computed for it takes nothing of that.
#[test]
fn what_is_computed_for_the_dead_is_lost() {
    let settings = Settings { jobs: true, ..Settings::default() };
    let mut world = World::with_settings(settings, vec![connection("a")], vec![connection("b")]);
    world.slow = 1000;
    for until in [0, 500, 1000, 1500, 2000] {
        world.a_initiates();
        world.run(Duration::from_millis(until));
        for ike in world.a.endpoint.ike_sas(world.now).map(|sa| sa.ike).collect::<Vec<_>>() {
            world.a.endpoint.delete(world.now, ike).unwrap();
        }
        world.run_seconds(120);
        assert_eq!(world.a.endpoint.ike_sas(world.now).count(), 0);
        world.assert_paired(0);
    }
}

#[test]
fn every_group_and_every_suite_of_ike() {
    let mut suites: Vec<(Encryption, Vec<Integrity>)> = Vec::new();
    for key in [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256] {
        suites.push((Encryption::AesGcm(key, IcvLen::Bytes16), Vec::new()));
        suites.extend(Integrity::ALL.iter().map(|&one| (Encryption::AesCbc(key), vec![one])));
    }
    suites.push((Encryption::TripleDes, vec![Integrity::HmacSha1]));
    let groups = Group::ALL.iter().cycle();
    let prfs = Prf::ALL.iter().cycle();
    for (((encryption, integrity), &group), &prf) in suites.into_iter().zip(groups).zip(prfs) {
        let proposal =
            IkeProposal { encryption: vec![encryption], integrity, prf: vec![prf], groups: vec![group] };
        let with = |side| ike::Connection { proposals: vec![proposal.clone()], ..connection(side) };
        up(World::new(vec![with("a")], vec![with("b")]));
    }
}

#[test]
fn a_wrong_guess_of_the_group_costs_one_more_exchange() {
    let groups = |side, groups: &[Group]| {
        let mut connection = connection(side);
        connection.proposals[0].groups = groups.to_vec();
        connection
    };
    let a = groups("a", &[Group::Modp2048, Group::P256, Group::X25519]);
    let b = groups("b", &[Group::X25519]);
    let world = up(World::new(vec![a], vec![b]));
    assert_eq!(world.delivered, 6);
}

#[test]
fn selectors_are_narrowed_to_what_both_want() {
    let a = with_policy(connection("a"), |policy| {
        policy.local = vec![subnet("10.1.0.0/16")];
        policy.remote = vec![subnet("10.0.0.0/8")];
    });
    let b = with_policy(connection("b"), |policy| {
        policy.local = vec![subnet("10.2.0.0/16"), subnet("10.3.0.0/16")];
        policy.remote = vec![subnet("10.1.7.0/24")];
    });
    let world = up(World::new(vec![a], vec![b]));
    let pair = world.a.installed.values().next().unwrap();
    assert_eq!(pair.local_selectors, [subnet("10.1.7.0/24")]);
    assert!(pair.tfc_padding);
    assert_eq!(pair.remote_selectors, [subnet("10.2.0.0/16"), subnet("10.3.0.0/16")]);
}

#[test]
fn transport_mode_where_both_want_it() {
    let transport = |side| {
        with_policy(connection(side), |policy| {
            policy.mode = Mode::Transport;
            (policy.local, policy.remote) = (Vec::new(), Vec::new());
        })
    };
    let world = up(World::new(vec![transport("a")], vec![transport("b")]));
    // There, nobody could tell padding from the rest, and so nobody takes any.
    assert!([&world.a, &world.b].iter().all(|side| side.installed.values().all(|pair| !pair.tfc_padding)));
    let pair = world.a.installed.values().next().unwrap();
    assert_eq!(pair.mode, Mode::Transport);
    assert_eq!(pair.local_selectors[0].to_string(), "192.0.2.1/32");
}

#[test]
fn an_ike_sa_without_a_child_and_children_later() {
    let mut world = World::new(vec![connection("a")], vec![connection("b")]);
    let (a, b) = (a_address(), b_address());
    let ike = world.a.endpoint.initiate(world.now, "peer", None, a, b).unwrap();
    world.run_seconds(1);
    world.assert_paired(0);
    world.a.endpoint.create_child(world.now, ike, "net").unwrap();
    world.run_seconds(1);
    world.assert_paired(1);
    world.a.endpoint.create_child(world.now, ike, "net").unwrap();
    world.run_seconds(1);
    world.assert_paired(2);
    // From the other side, too.
    let ike = world.b.standing(world.now)[0].ike;
    world.b.endpoint.create_child(world.now, ike, "net").unwrap();
    world.run_seconds(1);
    world.assert_paired(3);
    let inbound = world.a.inbound()[0];
    world.a.endpoint.delete_child(world.now, inbound).unwrap();
    world.run_seconds(1);
    world.assert_paired(2);
}

#[test]
fn children_are_rekeyed_with_and_without_a_key_exchange_from_either_side() {
    for groups in [vec![], vec![Group::P256], vec![Group::X25519, Group::Modp2048]] {
        let with = |side, groups: &[Group]| {
            with_policy(connection(side), |policy| policy.proposals[0].groups = groups.to_vec())
        };
        // B prefers another group than A guesses, where there are two.
        let reversed: Vec<Group> = groups.iter().rev().copied().collect();
        let mut world = up(World::new(vec![with("a", &groups)], vec![with("b", &reversed)]));
        for turn in 0..4 {
            let before = world.a.inbound();
            if turn % 2 == 0 {
                world.a.endpoint.rekey_child(world.now, before[0]).unwrap();
            } else {
                let inbound = world.b.inbound()[0];
                world.b.endpoint.rekey_child(world.now, inbound).unwrap();
            }
            world.run_seconds(1);
            world.assert_paired(1);
            assert_ne!(world.a.inbound(), before);
            let pair = world.a.installed.values().next().unwrap();
            assert_eq!(pair.suite.group.is_some(), !groups.is_empty());
            assert_eq!(pair.replaces, Some(before[0]));
        }
        assert!(world.a.failures.is_empty() && world.b.failures.is_empty());
        assert_eq!(world.a.child_down, vec![Down::Replaced, Down::Peer, Down::Replaced, Down::Peer]);
    }
}

#[test]
fn the_ike_sa_is_rekeyed_from_either_side_and_its_children_stay() {
    let mut world = up(World::new(vec![connection("a")], vec![connection("b")]));
    for turn in 0..4 {
        let before = world.a.standing(world.now)[0].ike;
        if turn % 2 == 0 {
            world.a.endpoint.rekey(world.now, before).unwrap();
        } else {
            let ike = world.b.standing(world.now)[0].ike;
            world.b.endpoint.rekey(world.now, ike).unwrap();
        }
        world.run_seconds(1);
        world.assert_paired(1);
        let (a, b) = (world.a.standing(world.now), world.b.standing(world.now));
        assert_eq!((a.len(), b.len()), (1, 1));
        assert_ne!(a[0].ike, before);
        assert_eq!((a[0].ike, a[0].peer_spi), (b[0].peer_spi, b[0].ike));
        assert_eq!((a[0].children.len(), b[0].children.len()), (1, 1));
        // And the new one works.
        let inbound = world.a.inbound()[0];
        world.a.endpoint.rekey_child(world.now, inbound).unwrap();
        world.run_seconds(1);
        world.assert_paired(1);
    }
    world.run_seconds(300);
    assert_eq!(world.a.endpoint.ike_sas(world.now).count(), 1);
    assert_eq!(world.b.endpoint.ike_sas(world.now).count(), 1);
    assert!(world.a.ike_down.is_empty() && world.b.ike_down.is_empty());
    assert!(world.a.failures.is_empty() && world.b.failures.is_empty());
}

#[test]
fn lifetimes_rekey_by_themselves() {
    let with = |side| {
        let connection = with_policy(connection(side), |policy| {
            policy.lifetime = Lifetime { time: Some(Duration::from_secs(100)), ..Lifetime::default() };
        });
        ike::Connection { lifetime: Some(Duration::from_secs(1000)), ..connection }
    };
    let mut world = up(World::new(vec![with("a")], vec![with("b")]));
    world.run_seconds(5000);
    world.assert_paired(1);
    assert!(world.a.child_down.len() >= 50, "{}", world.a.child_down.len());
    assert_eq!(world.a.standing(world.now).len(), 1);
    assert!(world.a.ike_down.is_empty() && world.b.ike_down.is_empty());
    assert!(world.a.failures.is_empty() && world.b.failures.is_empty(), "{:?}", world.a.failures);
}

/// Many tunnels that came up at once are not all rekeyed at once; and from the same seed all happens at the same time again.
#[test]
fn rekeying_is_spread_by_chance() {
    let rekeyed = |seed: u64| {
        let with = |side| {
            with_policy(connection(side), |policy| {
                policy.lifetime = Lifetime { time: Some(Duration::from_secs(1000)), ..Lifetime::default() };
            })
        };
        let settings = Settings { seed: Some(seed), ..Settings::default() };
        let mut world = World::with_settings(settings, vec![with("a")], vec![with("b")]);
        world.a_initiates();
        world.run_seconds(5);
        (1..50).for_each(|_| world.a_initiates());
        world.run_seconds(5);
        let view = world.a.standing(world.now);
        let mut times: Vec<u64> =
            view.iter().flat_map(|sa| &sa.children).map(|child| child.rekey_in.unwrap().as_secs()).collect();
        times.sort_unstable();
        assert_eq!(times.len(), 50);
        times
    };
    let times = rekeyed(1);
    assert_eq!(times, rekeyed(1));
    assert_ne!(times, rekeyed(2));
    assert!(times.iter().all(|time| (810..=900).contains(time)), "{times:?}");
    assert!(times.last().unwrap() - times[0] > 30, "{times:?}");
}

#[test]
fn what_cannot_be_rekeyed_ends_with_its_lifetime() {
    let short = ike::Connection { lifetime: Some(Duration::from_secs(20)), ..connection("a") };
    let mut world = up(World::new(vec![short], vec![connection("b")]));
    world.faults.lost = 100;
    world.run_seconds(14);
    assert!(world.a.ike_down.is_empty());
    world.run_seconds(2);
    assert_eq!(world.a.ike_down, [Down::Lifetime]);
    assert!(world.a.installed.is_empty());
    world.run_seconds(300);
    assert_eq!(world.a.endpoint.next_timeout(), None);
}

/// Pairs have an end of their own, though their IKE SA stands: because the peer will not have them rekeyed, or says nothing.
#[test]
fn a_pair_that_cannot_be_rekeyed_ends_with_its_lifetime() {
    let with = |side, group| {
        with_policy(connection(side), |policy| {
            policy.lifetime = Lifetime { time: Some(Duration::from_secs(100)), ..Lifetime::default() };
            policy.proposals.iter_mut().for_each(|proposal| proposal.groups = vec![group]);
        })
    };
    // The groups of the two are met only as one of them rekeys.
    let mut world = up(World::new(vec![with("a", Group::X25519)], vec![with("b", Group::P256)]));
    world.run_seconds(95);
    assert!(!world.a.failures.is_empty() && world.a.child_down.is_empty(), "{:?}", world.a.child_down);
    let ends = world.a.standing(world.now)[0].children[0].ends_in;
    assert!(ends.is_some_and(|time| time < Duration::from_secs(6)), "{ends:?}");
    world.run_seconds(10);
    // The clock of one is a moment ahead, and tells the other.
    let down = (world.a.child_down.as_slice(), world.b.child_down.as_slice());
    assert_eq!(down, ([Down::Peer].as_slice(), [Down::Lifetime].as_slice()));
    assert!(world.a.installed.is_empty() && world.b.installed.is_empty());
    assert_eq!((world.a.standing(world.now).len(), world.b.standing(world.now).len()), (1, 1));

    let mut world = up(World::new(vec![with("a", Group::X25519)], vec![with("b", Group::X25519)]));
    world.run_seconds(75);
    world.faults.lost = 100;
    let ends = world.a.standing(world.now)[0].children[0].ends_in.unwrap();
    world.run(ends - Duration::from_secs(1));
    assert_eq!(world.a.installed.len(), 1);
    world.run_seconds(2);
    assert_eq!(world.a.child_down, [Down::Lifetime]);
    assert!(world.a.installed.is_empty() && world.a.ike_down.is_empty());
    // What was to be rekeyed is over at the other end, too; the next packet brings another pair.
    world.faults.lost = 0;
    world.run_seconds(60);
    assert!(world.a.installed.is_empty() && world.b.installed.is_empty());
    world.a_initiates();
    world.run_seconds(5);
    world.assert_paired(1);
}

#[test]
fn both_rekey_a_child_at_once_and_one_pair_stays() {
    for _ in 0..16 {
        let mut world = up(World::new(vec![connection("a")], vec![connection("b")]));
        let (a, b) = (world.a.inbound()[0], world.b.inbound()[0]);
        world.a.endpoint.rekey_child(world.now, a).unwrap();
        world.b.endpoint.rekey_child(world.now, b).unwrap();
        world.run_seconds(2);
        world.assert_paired(1);
        assert!(!world.a.inbound().contains(&a));
        assert!(world.a.failures.is_empty() && world.b.failures.is_empty());
    }
}

#[test]
fn both_rekey_the_ike_sa_at_once_and_one_stays() {
    for _ in 0..16 {
        let mut world = up(World::new(vec![connection("a")], vec![connection("b")]));
        let (a, b) = (world.a.standing(world.now)[0].ike, world.b.standing(world.now)[0].ike);
        world.a.endpoint.rekey(world.now, a).unwrap();
        world.b.endpoint.rekey(world.now, b).unwrap();
        world.run_seconds(100);
        world.assert_paired(1);
        let (a, b) = (world.a.standing(world.now), world.b.standing(world.now));
        assert_eq!((a.len(), b.len()), (1, 1));
        assert_eq!((a[0].ike, a[0].children.len()), (b[0].peer_spi, 1));
        assert_eq!(world.a.endpoint.ike_sas(world.now).count(), 1);
        assert!(world.a.ike_down.is_empty() && world.b.ike_down.is_empty());
        assert!(world.a.failures.is_empty() && world.b.failures.is_empty());
    }
}

#[test]
fn deletion_takes_both_ends_down_even_at_once() {
    for both in [false, true] {
        let mut world = up(World::new(vec![connection("a")], vec![connection("b")]));
        let (a, b) = (world.a.standing(world.now)[0].ike, world.b.standing(world.now)[0].ike);
        world.a.endpoint.delete(world.now, a).unwrap();
        if both {
            world.b.endpoint.delete(world.now, b).unwrap();
        }
        world.run_seconds(100);
        world.assert_paired(0);
        assert_eq!(world.a.ike_down, [Down::Asked]);
        assert_eq!(world.b.ike_down, [if both { Down::Asked } else { Down::Peer }]);
        assert_eq!(world.a.endpoint.ike_sas(world.now).count(), 0);
        assert_eq!(world.b.endpoint.ike_sas(world.now).count(), 0);
        assert_eq!(world.a.endpoint.next_timeout(), None);
    }
}

#[test]
fn a_peer_that_falls_silent_is_found_out() {
    let with_dpd = ike::Connection { dpd: Some(Duration::from_secs(10)), ..connection("a") };
    let mut world = up(World::new(vec![with_dpd], vec![connection("b")]));
    world.run_seconds(300);
    assert!(world.a.ike_down.is_empty());
    world.faults.lost = 100;
    world.run_seconds(300);
    assert_eq!(world.a.ike_down, [Down::Timeout]);
    assert_eq!(world.a.child_down, [Down::IkeGone]);
    assert_eq!(world.a.endpoint.next_timeout(), None);
}

#[test]
fn a_peer_that_restarted_replaces_what_was_before() {
    let mut world = up(World::new(vec![connection("a")], vec![connection("b")]));
    let before = world.b.inbound();
    // A forgets everything.
    let fresh = World::new(vec![connection("a")], vec![]);
    world.a = fresh.a;
    world.a_initiates();
    world.run_seconds(200);
    world.assert_paired(1);
    assert_ne!(world.b.inbound(), before);
    assert_eq!(world.b.ike_down, [Down::PeerRestarted]);
}

#[test]
fn a_nat_is_found_and_the_peer_may_move_behind_it() {
    let mut world = World::new(vec![connection("a")], vec![connection("b")]);
    world.nat = Some("198.51.100.7:1000".parse().unwrap());
    let mut world = up(world);
    let pair = world.b.installed.values().next().unwrap();
    assert!(pair.udp);
    assert_eq!(pair.local.port(), 4500);
    assert_eq!(pair.remote.ip().to_string(), "198.51.100.7");
    let (a, b) = (world.a.standing(world.now), world.b.standing(world.now));
    assert!(a[0].local_nat && !a[0].remote_nat && b[0].remote_nat && !b[0].local_nat);
    // Keepalives hold the NAT open.
    let before = world.delivered;
    world.run_seconds(100);
    assert_eq!(world.delivered - before, 5);
    world.nat = Some("198.51.100.9:2000".parse().unwrap());
    let ike = a[0].ike;
    world.a.endpoint.rekey(world.now, ike).unwrap();
    world.run_seconds(2);
    world.assert_paired(1);
    assert_eq!(world.b.moved.last().map(|at| at.ip().to_string()).as_deref(), Some("198.51.100.9"));
    let ike = world.b.standing(world.now)[0].ike;
    world.b.endpoint.rekey(world.now, ike).unwrap();
    world.run_seconds(2);
    assert_eq!(world.a.standing(world.now).len(), 1);
    assert!(world.b.ike_down.is_empty());
}
