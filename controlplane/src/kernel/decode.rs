//! From rtnetlink's messages to [`Change`]s. Pure. What is of no concern (other tables, cached routes, bridges) is `None`.

use super::facts::{Change, Link, Mac, Path, RouteKey, RouteKind, Table};
use model::Prefix;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType,
    RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kernel's table of own addresses.
const LOCAL_TABLE: u32 = 255;
/// The kernel's table of everything else.
const MAIN_TABLE: u32 = 254;

/// What a message says. `replace` is its NLM_F_REPLACE flag.
pub fn change(message: &RouteNetlinkMessage, replace: bool) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message),
        // A bridge says so when a port leaves it; the link itself lives on.
        RouteNetlinkMessage::DelLink(message) if message.header.interface_family == AddressFamily::Unspec => {
            Some(Change::LinkGone(message.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) => {
            address(message).map(|prefix| Change::Address(message.header.index, prefix))
        }
        RouteNetlinkMessage::DelAddress(message) => {
            address(message).map(|prefix| Change::AddressGone(message.header.index, prefix))
        }
        RouteNetlinkMessage::NewRoute(message) => {
            route(message).map(|(key, paths)| Change::Route { key, paths, replace })
        }
        RouteNetlinkMessage::DelRoute(message) => {
            route(message).map(|(key, paths)| Change::RouteGone { key, paths })
        }
        RouteNetlinkMessage::NewNeighbour(message) => neighbour(message),
        RouteNetlinkMessage::DelNeighbour(message) => {
            destination(message).map(|address| Change::NeighbourGone(message.header.ifindex, address))
        }
        _ => None,
    }
}

fn link(message: &LinkMessage) -> Option<Change> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let (mut name, mut mtu) = (None, 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            _ => {}
        }
    }
    let up = message.header.flags.contains(LinkFlags::Up);
    Some(Change::Link(message.header.index, Link { name: name?, up, mtu }))
}

fn address(message: &AddressMessage) -> Option<Prefix> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the other end.
            AddressAttribute::Local(value) => local = Some(*value),
            AddressAttribute::Address(value) => address = Some(*value),
            _ => {}
        }
    }
    Prefix::new(local.or(address)?, message.header.prefix_len).ok()
}

fn route(message: &RouteMessage) -> Option<(RouteKey, Vec<Path>)> {
    let header = &message.header;
    // Cached routes of single flows, and routes of some packets only: neither is the table's word.
    if header.flags.contains(RouteFlags::Cloned) || header.tos != 0 || header.source_prefix_length != 0 {
        return None;
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast => RouteKind::Local,
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => RouteKind::Blackhole,
        _ => return None,
    };
    let (mut table, mut metric, mut prefix) = (u32::from(header.table), 0, unspecified);
    let mut several = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Destination(value) => prefix = ip(value)?,
            RouteAttribute::MultiPath(hops) => several = Some(hops),
            _ => {}
        }
    }
    let table = match table {
        LOCAL_TABLE => Table::Local,
        MAIN_TABLE => Table::Main,
        _ => return None,
    };
    let prefix = Prefix::new(prefix, header.destination_prefix_length).ok()?.trunc();
    let paths = match several {
        Some(hops) => hops.iter().filter_map(|hop| multipath(kind, hop)).collect(),
        None => vec![path(kind, None, &message.attributes)],
    };
    Some((RouteKey { prefix, table, metric }, paths))
}

fn multipath(kind: RouteKind, hop: &RouteNextHop) -> Option<Path> {
    (!hop.flags.contains(RouteNextHopFlags::Dead))
        .then(|| path(kind, Some(hop.interface_index), &hop.attributes))
}

fn path(kind: RouteKind, link: Option<u32>, attributes: &[RouteAttribute]) -> Path {
    let mut path = Path { kind, link, gateway: None };
    let mut encapsulated = false;
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(value) => path.link = Some(*value),
            RouteAttribute::Gateway(value) => path.gateway = ip(value),
            RouteAttribute::Via(RouteVia::Inet(value)) => path.gateway = Some(IpAddr::V4(*value)),
            RouteAttribute::Via(RouteVia::Inet6(value)) => path.gateway = Some(IpAddr::V6(*value)),
            RouteAttribute::EncapType(_) => encapsulated = true,
            _ => {}
        }
    }
    if encapsulated {
        // MPLS, SRv6 and their kin: only Linux knows how, so the path leaves by none of our ports.
        path.link = None;
    }
    path
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<Change> {
    let address = destination(message)?;
    let link = message.header.ifindex;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => Mac::try_from(bytes.as_slice()).ok(),
        _ => None,
    });
    // While it is asked again (probe, delay, stale) the address that was known serves on.
    let known = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
    );
    Some(match mac.filter(|mac| known && *mac != [0; 6] && mac[0] & 1 == 0) {
        Some(mac) => Change::Neighbour(link, address, mac),
        None => Change::NeighbourGone(link, address),
    })
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::{RouteHeader, RouteLwEnCapType};

    fn route_message(
        table: u8,
        kind: RouteType,
        len: u8,
        attributes: Vec<RouteAttribute>,
    ) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            destination_prefix_length: len,
            table,
            kind,
            ..RouteHeader::default()
        };
        message.attributes = attributes;
        RouteNetlinkMessage::NewRoute(message)
    }

    fn inet(text: &str) -> RouteAddress {
        RouteAddress::Inet(text.parse().unwrap())
    }

    #[test]
    fn a_default_route_has_no_destination_and_a_metric_may_be_missing() {
        let message = route_message(
            254,
            RouteType::Unicast,
            0,
            vec![RouteAttribute::Gateway(inet("192.0.2.254")), RouteAttribute::Oif(7)],
        );
        let key = RouteKey { prefix: "0.0.0.0/0".parse().unwrap(), table: Table::Main, metric: 0 };
        let path =
            Path { kind: RouteKind::Unicast, link: Some(7), gateway: Some("192.0.2.254".parse().unwrap()) };
        assert_eq!(change(&message, true), Some(Change::Route { key, paths: vec![path], replace: true }));
    }

    #[test]
    fn routes_of_other_tables_and_caches_do_not_count() {
        let oif = || vec![RouteAttribute::Oif(7)];
        assert_eq!(change(&route_message(100, RouteType::Unicast, 0, oif()), false), None);
        assert_eq!(change(&route_message(254, RouteType::Throw, 0, oif()), false), None);
        let RouteNetlinkMessage::NewRoute(mut cached) = route_message(254, RouteType::Unicast, 0, oif())
        else {
            unreachable!()
        };
        cached.header.flags = RouteFlags::Cloned;
        assert_eq!(change(&RouteNetlinkMessage::NewRoute(cached), false), None);
    }

    #[test]
    fn a_broadcast_address_is_local_and_a_tunnel_in_linux_is_no_port_of_ours() {
        let message = route_message(
            255,
            RouteType::Broadcast,
            32,
            vec![RouteAttribute::Destination(inet("192.0.2.255")), RouteAttribute::Oif(7)],
        );
        let Some(Change::Route { key, paths, .. }) = change(&message, false) else { panic!() };
        assert_eq!((key.table, paths[0].kind), (Table::Local, RouteKind::Local));
        let message = route_message(
            254,
            RouteType::Unicast,
            0,
            vec![RouteAttribute::Oif(7), RouteAttribute::EncapType(RouteLwEnCapType::Mpls)],
        );
        let Some(Change::Route { paths, .. }) = change(&message, false) else { panic!() };
        assert_eq!(paths[0].link, None);
    }

    #[test]
    fn only_an_answered_neighbour_has_a_mac() {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 7;
        message.header.state = NeighbourState::Stale;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet("192.0.2.9".parse().unwrap())),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
        ];
        let address = "192.0.2.9".parse().unwrap();
        assert_eq!(
            change(&RouteNetlinkMessage::NewNeighbour(message.clone()), false),
            Some(Change::Neighbour(7, address, [2, 0, 0, 0, 0, 9]))
        );
        message.header.state = NeighbourState::Failed;
        assert_eq!(
            change(&RouteNetlinkMessage::NewNeighbour(message.clone()), false),
            Some(Change::NeighbourGone(7, address))
        );
        assert_eq!(
            change(&RouteNetlinkMessage::DelNeighbour(message), false),
            Some(Change::NeighbourGone(7, address))
        );
    }
}
