//! Tests of [`super`]: the rules by example, and "difference, then apply, gives the picture" for anything.

use super::*;
use crate::kernel::facts::{Change, Path, RouteKey, Table};
use proptest::prelude::*;

/// A data plane that does what it is told.
#[derive(Default)]
struct DataPlane {
    hops: BTreeMap<u32, Action>,
    routes: BTreeMap<Prefix, u32>,
}

impl DataPlane {
    fn take(&mut self, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::RemoveRoute(prefix) => {
                    assert!(self.routes.remove(&prefix).is_some(), "{prefix} was not there")
                }
                Step::SetNextHop(id, action) => {
                    self.hops.insert(id, action);
                }
                Step::AddRoute(prefix, id) => {
                    assert!(self.hops.contains_key(&id), "{prefix} points at a hop that was never set");
                    self.routes.insert(prefix, id);
                }
            }
        }
    }

    fn picture(&self) -> BTreeMap<Prefix, Action> {
        self.routes.iter().map(|(prefix, id)| (*prefix, self.hops[id])).collect()
    }
}

fn wanted(picture: &Forwarding) -> BTreeMap<Prefix, Action> {
    picture.routes.iter().map(|(prefix, hop)| (*prefix, picture.hops[hop])).collect()
}

fn unicast(prefix: &str, metric: u32, link: u32, gateway: Option<&str>) -> Change {
    Change::Route {
        key: RouteKey { prefix: prefix.parse().unwrap(), table: Table::Main, metric },
        paths: vec![Path {
            kind: RouteKind::Unicast,
            link: Some(link),
            gateway: gateway.map(|address| address.parse().unwrap()),
        }],
        replace: false,
    }
}

fn local(address: &str, link: u32) -> Change {
    Change::Route {
        key: RouteKey {
            prefix: Prefix::from(address.parse::<IpAddr>().unwrap()),
            table: Table::Local,
            metric: 0,
        },
        paths: vec![Path { kind: RouteKind::Local, link: Some(link), gateway: None }],
        replace: false,
    }
}

fn facts(changes: impl IntoIterator<Item = Change>) -> Facts {
    let mut facts = Facts::default();
    for change in changes {
        facts.apply(change);
    }
    facts
}

const WAN: u32 = 10;
const LAN: u32 = 11;
const ETH0: u32 = 2;

fn mirrors() -> Mirrors {
    Mirrors::from([(WAN, 0), (LAN, 1)])
}

#[test]
fn a_gateway_is_gleaned_until_its_mac_is_known_and_keeps_its_number() {
    let mut facts = facts([
        local("192.0.2.1", WAN),
        unicast("192.0.2.0/24", 0, WAN, None),
        unicast("0.0.0.0/0", 100, WAN, Some("192.0.2.254")),
        unicast("10.9.0.0/16", 0, ETH0, None),
        local("172.17.0.1", ETH0),
    ]);
    let mut sent = Sent::default();
    let before = Forwarding::compute(&facts, &mirrors());
    assert_eq!(before.routes[&"10.9.0.0/16".parse().unwrap()], Hop::Local, "eth0 is Linux's");
    assert_eq!(before.routes[&"172.17.0.1/32".parse().unwrap()], Hop::Local, "and so is its address");
    assert_eq!(before.neighbour_for("8.8.8.8".parse().unwrap()), Some((0, "192.0.2.254".parse().unwrap())));
    assert_eq!(before.neighbour_for("192.0.2.7".parse().unwrap()), Some((0, "192.0.2.7".parse().unwrap())));
    assert_eq!(before.neighbour_for("192.0.2.1".parse().unwrap()), None);
    assert_eq!(before.gateways(), BTreeSet::from([(0, "192.0.2.254".parse().unwrap())]));
    let mut plane = DataPlane::default();
    plane.take(&sent.difference(&before));
    assert_eq!(plane.picture()[&"0.0.0.0/0".parse().unwrap()], Action::Glean { port: 0 });

    facts.apply(Change::Neighbour(WAN, "192.0.2.254".parse().unwrap(), [2; 6]));
    let steps = sent.difference(&Forwarding::compute(&facts, &mirrors()));
    assert_eq!(steps.len(), 2, "one next hop changed and one host route came: {steps:?}");
    plane.take(&steps);
    let forward = Action::Forward { port: 0, mac: [2; 6] };
    assert_eq!(plane.picture()[&"0.0.0.0/0".parse().unwrap()], forward);
    assert_eq!(plane.picture()[&"192.0.2.254/32".parse().unwrap()], forward);

    facts.apply(Change::NeighbourGone(WAN, "192.0.2.254".parse().unwrap()));
    plane.take(&sent.difference(&Forwarding::compute(&facts, &mirrors())));
    assert_eq!(plane.picture(), wanted(&before));
}

#[test]
fn a_neighbour_on_the_wrong_link_pulls_no_traffic() {
    let facts = facts([
        unicast("192.0.2.0/24", 0, WAN, None),
        unicast("198.51.100.0/24", 0, WAN, Some("192.0.2.254")),
        Change::Neighbour(LAN, "192.0.2.7".parse().unwrap(), [2; 6]),
        Change::Neighbour(WAN, "198.51.100.9".parse().unwrap(), [3; 6]),
        Change::Neighbour(ETH0, "192.0.2.8".parse().unwrap(), [4; 6]),
    ]);
    let picture = Forwarding::compute(&facts, &mirrors());
    assert_eq!(picture.routes.len(), 2 + link_scoped().count(), "{picture:?}");
    assert_eq!(
        picture.lookup("192.0.2.8".parse().unwrap()).map(|(_, hop)| hop),
        Some(Hop::OnLink { port: 0 })
    );
}

#[test]
fn the_lower_metric_wins_and_the_local_table_before_it() {
    let facts = facts([
        unicast("10.0.0.0/8", 20, LAN, None),
        unicast("10.0.0.0/8", 10, WAN, Some("192.0.2.1")),
        unicast("192.0.2.0/24", 0, WAN, None),
        unicast("192.0.2.1/32", 0, LAN, None),
        local("192.0.2.1", WAN),
    ]);
    let picture = Forwarding::compute(&facts, &mirrors());
    assert_eq!(picture.lookup("10.1.1.1".parse().unwrap()).map(|(_, hop)| hop), {
        Some(Hop::Neighbour { port: 0, address: "192.0.2.1".parse().unwrap() })
    });
    assert_eq!(picture.lookup("192.0.2.1".parse().unwrap()).map(|(_, hop)| hop), Some(Hop::Local));
}

#[test]
fn link_local_subnets_and_multicast_stay_with_linux() {
    let facts = facts([
        unicast("fe80::/64", 256, WAN, None),
        unicast("ff00::/8", 256, WAN, None),
        local("fe80::1", WAN),
        unicast("2001:db8::/32", 1024, WAN, Some("fe80::2")),
    ]);
    let picture = Forwarding::compute(&facts, &mirrors());
    let hop = |address: &str| picture.lookup(address.parse().unwrap()).map(|(_, hop)| hop);
    for linuxs in ["fe80::1", "fe80::99", "ff02::1", "224.0.0.5", "255.255.255.255"] {
        assert_eq!(hop(linuxs), Some(Hop::Local), "{linuxs}");
    }
    assert_eq!(hop("2001:db8::1"), Some(Hop::Neighbour { port: 0, address: "fe80::2".parse().unwrap() }));
    assert_eq!(hop("198.51.100.1"), None);
}

#[test]
fn without_ports_there_is_nothing_to_forward_by() {
    let facts = facts([unicast("0.0.0.0/0", 0, ETH0, Some("10.0.0.1"))]);
    let picture = Forwarding::compute(&facts, &Mirrors::new());
    assert!(picture.hops.values().all(|action| *action == Action::Local), "{picture:?}");
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    // Few addresses, so that routes, neighbours and gateways meet.
    (0u8..4, 0u8..4, 28u8..=32)
        .prop_map(|(a, b, len)| Prefix::new(IpAddr::from([10, 0, a, b * 4]), len).unwrap().trunc())
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    (0u8..4, 0u8..16).prop_map(|(a, b)| IpAddr::from([10, 0, a, b]))
}

fn any_path() -> impl Strategy<Value = Path> {
    let kind = prop_oneof![
        4 => Just(RouteKind::Unicast),
        1 => Just(RouteKind::Local),
        1 => Just(RouteKind::Blackhole)
    ];
    (kind, prop::option::of(WAN..=LAN + 1), prop::option::of(any_address()))
        .prop_map(|(kind, link, gateway)| Path { kind, link, gateway })
}

fn any_change() -> impl Strategy<Value = Change> {
    let key = || {
        (any_prefix(), any::<bool>(), 0u32..2).prop_map(|(prefix, local, metric)| {
            let table = if local { Table::Local } else { Table::Main };
            RouteKey { prefix, table, metric }
        })
    };
    let paths = || prop::collection::vec(any_path(), 0..3);
    prop_oneof![
        4 => (key(), paths(), any::<bool>())
            .prop_map(|(key, paths, replace)| Change::Route { key, paths, replace }),
        2 => (key(), paths()).prop_map(|(key, paths)| Change::RouteGone { key, paths }),
        3 => (WAN..=LAN, any_address(), any::<u8>())
            .prop_map(|(link, address, mac)| Change::Neighbour(link, address, [mac; 6])),
        2 => (WAN..=LAN, any_address()).prop_map(|(link, address)| Change::NeighbourGone(link, address)),
        1 => (WAN..=LAN).prop_map(Change::LinkGone),
    ]
}

proptest! {
    /// Whatever happens in whatever portions, the data plane that follows the differences has the picture, and so has
    /// one that is filled afresh; and no more next-hop numbers are in use than were ever needed at once.
    #[test]
    fn applying_the_difference_gives_the_picture(
        portions in prop::collection::vec(prop::collection::vec(any_change(), 0..8), 1..12)
    ) {
        let (mut facts, mut sent, mut plane) = (Facts::default(), Sent::default(), DataPlane::default());
        let mut most = 0;
        for portion in portions {
            for change in portion {
                facts.apply(change);
            }
            let picture = Forwarding::compute(&facts, &mirrors());
            let before = sent.hops.len();
            plane.take(&sent.difference(&picture));
            most = most.max(before + picture.hops.len());
            prop_assert_eq!(plane.picture(), wanted(&picture));
            prop_assert!(sent.difference(&picture).is_empty(), "a second difference is empty");
            prop_assert!((sent.next as usize) <= most, "numbers leak");
            let mut fresh = DataPlane::default();
            fresh.take(&Sent::default().difference(&picture));
            prop_assert_eq!(fresh.picture(), wanted(&picture));
        }
    }
}
