//! Routes of a running data plane: they come and go without end, all of a transaction or none, and packets go on.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::datagram;
use gateway::loaded::{Loaded, OUT};
use model::Prefix;
use shm::Command::{AddRoute, RemoveRoute, SetNextHop};
use shm::{Command, DropReason, Failure, NextHop, Reason};
use std::net::{IpAddr, Ipv6Addr};

/// The gateway has room for 64 IPv6 routes, and some more. Each that comes takes 13 of 1,024 second-level tables.
const ROUTES: u16 = 64;
const TOO_MANY: u16 = 90;
/// A next hop beside [`OUT`].
const NOWHERE: u32 = 2;

/// An IPv6 host.
fn host(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, number << 8, 0, 0, 0, 0, 0, 1)
}

/// The route to it.
fn to_host(number: u16) -> Prefix {
    IpAddr::from(host(number)).into()
}

fn v4() -> Prefix {
    "10.2.0.0/16".parse().unwrap()
}

/// A gateway that forwards two packets, by IPv4 and to host 0, over and over.
fn loaded() -> Loaded {
    let packets = [
        datagram("10.1.0.9", "10.2.0.7", 64, b"over and over"),
        datagram("2001:db8:1::9", &host(0).to_string(), 64, b"over and over"),
    ];
    let mut loaded = Loaded::start(&packets);
    loaded
        .submit(&[
            SetNextHop { id: NOWHERE, hop: NextHop::Blackhole },
            AddRoute { prefix: v4(), next_hop: OUT },
            AddRoute { prefix: to_host(0), next_hop: OUT },
        ])
        .unwrap();
    loaded
}

/// Ten times as many hosts come and go as there is room for, and no packet to one that stays is lost. Then the workers
/// look up where routes still change.
#[test]
fn ipv6_hosts_come_and_go_without_end() {
    let mut loaded = loaded();
    let forwarded = loaded.later();
    for number in 1..10 * ROUTES {
        let [here, gone] = [number, number - 1].map(|number| to_host(1 + number % 100));
        let mut commands = vec![AddRoute { prefix: here, next_hop: OUT }];
        if number > 1 {
            commands.push(RemoveRoute { prefix: gone });
        }
        loaded.submit(&commands).unwrap_or_else(|error| panic!("host {number}: {error}"));
    }
    assert_eq!(loaded.later().drops(), forwarded.drops());
    loaded.submit(&[AddRoute { prefix: to_host(0), next_hop: NOWHERE }]).unwrap();
    assert_eq!(loaded.drops(), [DropReason::Blackhole]);
    loaded.submit(&[RemoveRoute { prefix: to_host(0) }]).unwrap();
    assert_eq!(loaded.drops(), [DropReason::NoRoute]);
    loaded.submit(&[AddRoute { prefix: to_host(0), next_hop: OUT }]).unwrap();
    assert_eq!(loaded.drops(), []);
    loaded.stop();
}

/// Of a transaction with too many routes nothing stays: neither changes nor additions, of no family. Removals have not
/// begun.
#[test]
fn a_transaction_with_too_many_routes_changes_nothing() {
    let mut loaded = loaded();
    let wanted = |hosts: u16| -> Vec<Command> {
        let first = [v4(), to_host(0)].map(|prefix| AddRoute { prefix, next_hop: NOWHERE });
        let others = (1..hosts).map(|number| AddRoute { prefix: to_host(number), next_hop: OUT });
        first.into_iter().chain(others).collect()
    };
    for _ in 0..3 {
        // Few to begin with, so that there is room to be used up by the coming and going.
        let some: Vec<_> =
            (1..20).map(|number| AddRoute { prefix: to_host(100 + number), next_hop: OUT }).collect();
        let none: Vec<_> = (1..20).map(|number| RemoveRoute { prefix: to_host(100 + number) }).collect();
        loaded.submit(&some).unwrap();
        loaded.submit(&none).unwrap();
        let refused = loaded.submit(&wanted(TOO_MANY)).unwrap_err();
        let shm::WaitError::Refused(Failure { reason, .. }) = refused else { panic!("{refused}") };
        assert_eq!(reason, Reason::RouteRefused);
        assert_eq!(loaded.drops(), []);
    }
    // What there is room for is not too many.
    let mut fits = wanted(ROUTES);
    fits.remove(0);
    loaded.submit(&fits).unwrap();
    assert_eq!(loaded.drops(), [DropReason::Blackhole]);
    loaded.stop();
}
