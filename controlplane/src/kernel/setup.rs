//! What we set on Linux: addresses and MTU of the mirror TAPs, up or down, and the configuration's static routes.
//!
//! What we added bears our protocol number ([`PROTOCOL`]), so that a later configuration, and a later process, can take
//! away what is no longer wanted and leave alone what an operator or a routing protocol added.

use super::KernelError;
use super::facts::{Facts, RouteKind, Table};
use futures_util::StreamExt;
use model::Prefix;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Our number among the originators of routes and addresses (`ip route show proto 190`).
pub const PROTOCOL: u8 = 190;
/// EEXIST.
const EXISTS: i32 = 17;
/// ESRCH, and what else says that a thing is gone already: ENODEV, ENOENT, EADDRNOTAVAIL.
const GONE: [i32; 4] = [3, 19, 2, 99];

/// A mirror TAP as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// As `ip link` shows it.
    pub name: String,
    /// With the host bits.
    pub addresses: BTreeSet<Prefix>,
    /// In bytes.
    pub mtu: u16,
    /// Up, or shut down.
    pub up: bool,
}

/// Where a static route leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// To a router, on whatever link the kernel reaches it by.
    Gateway(IpAddr),
    /// Out of the mirror TAP of this name, perhaps to a router on it.
    Link(String, Option<IpAddr>),
    /// Nowhere.
    Blackhole,
}

/// A static route of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StaticRoute {
    /// Destinations.
    pub prefix: Prefix,
    /// The lower, the better; not 0, which IPv6 has no room for.
    pub metric: u32,
    /// Where to.
    pub target: Target,
}

/// What in the kernel bears our number.
#[derive(Debug, Default)]
pub struct Ours {
    addresses: Vec<(u32, Prefix, AddressMessage)>,
    routes: Vec<(StaticRoute, RouteMessage)>,
}

/// Lists what bears our number. Links are named by `facts`.
pub async fn ours(handle: &Handle, facts: &Facts) -> Result<Ours, KernelError> {
    let mut ours = Ours::default();
    let mut addresses = std::pin::pin!(handle.address().get().execute());
    while let Some(message) = addresses.next().await {
        let message = message.map_err(KernelError::refused("list addresses"))?;
        let is_ours = |a: &AddressAttribute| matches!(a, AddressAttribute::Protocol(protocol) if u8::from(*protocol) == PROTOCOL);
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let address = address.or_else(|| {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
        });
        if message.attributes.iter().any(is_ours)
            && let Some(prefix) = address.and_then(|a| Prefix::new(a, message.header.prefix_len).ok())
        {
            ours.addresses.push((message.header.index, prefix, message));
        }
    }
    let v4 = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    let v6 = handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute();
    let mut routes = std::pin::pin!(v4.chain(v6));
    while let Some(message) = routes.next().await {
        let message = message.map_err(KernelError::refused("list routes"))?;
        if u8::from(message.header.protocol) == PROTOCOL
            && let Some(route) = static_route(&message, facts)
        {
            ours.routes.push((route, message));
        }
    }
    Ok(ours)
}

/// Reads one of our routes back, in the words of the configuration as far as the kernel keeps them: a gateway's link is
/// always there.
fn static_route(message: &RouteMessage, facts: &Facts) -> Option<StaticRoute> {
    let wrapped = netlink_packet_route::RouteNetlinkMessage::NewRoute(message.clone());
    let Some(super::facts::Change::Route { key, paths, .. }) = super::decode::change(&wrapped, false) else {
        return None;
    };
    let path = paths.first()?;
    let target = match path.kind {
        RouteKind::Blackhole => Target::Blackhole,
        _ => Target::Link(facts.links.get(&path.link?)?.name.clone(), path.gateway),
    };
    (key.table == Table::Main).then_some(StaticRoute { prefix: key.prefix, metric: key.metric, target })
}

/// Whether a route that the kernel has is the one that is wanted.
fn is(route: &StaticRoute, wanted: &StaticRoute) -> bool {
    let target = match (&route.target, &wanted.target) {
        (Target::Link(_, Some(gateway)), Target::Gateway(wanted)) => gateway == wanted,
        (target, wanted) => target == wanted,
    };
    target && (route.prefix, route.metric) == (wanted.prefix, wanted.metric)
}

/// Sets the mirror TAPs up. Each failure is one thing that could not be done; the rest is done.
pub async fn mirrors(handle: &Handle, facts: &Facts, ours: &Ours, wanted: &[Mirror]) -> Vec<KernelError> {
    let mut failures = Vec::new();
    let mut keep = BTreeSet::new();
    for mirror in wanted {
        let Some(link) = facts.link_named(&mirror.name) else { continue };
        let known = facts.links.get(&link);
        if known.is_none_or(|known| known.mtu != u32::from(mirror.mtu) || known.up != mirror.up) {
            let message = LinkUnspec::new_with_index(link).mtu(u32::from(mirror.mtu));
            let message = if mirror.up { message.up() } else { message.down() }.build();
            let what = format!("set up {}", mirror.name);
            failures
                .extend(handle.link().set(message).execute().await.map_err(KernelError::refused(what)).err());
        }
        for &prefix in &mirror.addresses {
            keep.insert((link, prefix));
            if facts.addresses.get(&(link, prefix.addr())) != Some(&prefix) {
                let what = format!("add {prefix} to {}", mirror.name);
                let done = add_address(handle, link, prefix).await.map_err(KernelError::refused(what));
                failures.extend(done.err().filter(|error| error.errno() != Some(EXISTS)));
            }
        }
    }
    let names: BTreeMap<u32, &str> =
        wanted.iter().filter_map(|mirror| Some((facts.link_named(&mirror.name)?, &*mirror.name))).collect();
    for (link, prefix, message) in &ours.addresses {
        if let Some(name) = names.get(link)
            && !keep.contains(&(*link, *prefix))
        {
            let what = format!("take {prefix} from {name}");
            let done =
                handle.address().del(message.clone()).execute().await.map_err(KernelError::refused(what));
            failures
                .extend(done.err().filter(|error| error.errno().is_none_or(|errno| !GONE.contains(&errno))));
        }
    }
    failures
}

async fn add_address(handle: &Handle, link: u32, prefix: Prefix) -> Result<(), rtnetlink::Error> {
    let mut request = handle.address().add(link, prefix.addr(), prefix.prefix_len());
    request.message_mut().attributes.push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    request.execute().await
}

/// Brings our static routes to what is wanted. Each failure is one route; the rest is done. A route whose gateway
/// cannot be reached yet fails, and is to be tried again.
pub async fn routes(
    handle: &Handle,
    facts: &Facts,
    ours: &Ours,
    wanted: &BTreeSet<StaticRoute>,
) -> Vec<(StaticRoute, KernelError)> {
    let mut failures = Vec::new();
    for (route, message) in &ours.routes {
        if !wanted.iter().any(|wanted| is(route, wanted)) {
            let what = format!("remove the route to {}", route.prefix);
            let done =
                handle.route().del(message.clone()).execute().await.map_err(KernelError::refused(what));
            let failed = done.err().filter(|error| error.errno().is_none_or(|errno| !GONE.contains(&errno)));
            failures.extend(failed.map(|error| (route.clone(), error)));
        }
    }
    for route in wanted {
        if ours.routes.iter().any(|(present, _)| is(present, route)) {
            continue;
        }
        let Some(message) = message(route, facts) else { continue };
        let what = format!("add the route to {}", route.prefix);
        let done = handle.route().add(message).execute().await.map_err(KernelError::refused(what));
        let failed = done.err().filter(|error| error.errno() != Some(EXISTS));
        failures.extend(failed.map(|error| (route.clone(), error)));
    }
    failures
}

/// `None` while the link is not there.
fn message(route: &StaticRoute, facts: &Facts) -> Option<RouteMessage> {
    let (address, len) = (route.prefix.addr(), route.prefix.prefix_len());
    let mut message = match address {
        IpAddr::V4(address) => {
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, len).build()
        }
        IpAddr::V6(address) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, len).build()
        }
    };
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.attributes.push(RouteAttribute::Priority(route.metric));
    let (link, gateway) = match &route.target {
        Target::Blackhole => {
            message.header.kind = RouteType::BlackHole;
            (None, None)
        }
        Target::Gateway(gateway) => (None, Some(*gateway)),
        Target::Link(name, gateway) => (Some(facts.link_named(name)?), *gateway),
    };
    message.attributes.extend(link.map(RouteAttribute::Oif));
    message.attributes.extend(gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    Some(message)
}

/// Asks the kernel to find out a neighbour's MAC address, or to make sure of it; the answer comes as a change.
pub async fn solicit(handle: &Handle, link: u32, address: IpAddr) -> Result<(), KernelError> {
    let request =
        handle.neighbours().add(link, address).state(NeighbourState::None).flags(NeighbourFlags::Use);
    request.replace().execute().await.map_err(KernelError::refused(format!("look for {address}")))
}
