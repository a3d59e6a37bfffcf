//! From what Linux knows to what the data plane must know: next hops and routes. Pure: facts in, steps out.
//!
//! The data plane looks up one table and asks nothing: a neighbour is a host route, an own address is a host route to
//! Linux, a subnet is a route to "ask who has it". Links that are mirrors of our ports are ours to forward by; what
//! leaves by any other link of the host, Linux forwards (or refuses) itself.

use crate::kernel::facts::{Facts, Mac, RouteKind};
use model::Prefix;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who a next hop is, whatever is known of it just now; it keeps its number when a MAC address becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    /// For Linux.
    Local,
    /// Dropped.
    Blackhole,
    /// The destination itself is on the port's link, and its MAC address is not known yet.
    OnLink {
        /// Port number.
        port: u16,
    },
    /// A router or neighbour on the port's link.
    Neighbour {
        /// Port number.
        port: u16,
        /// Its address on the link.
        address: IpAddr,
    },
}

/// What the data plane does with a packet for a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hand it to Linux.
    Local,
    /// Drop it.
    Blackhole,
    /// Ask for the neighbour and hold a few packets.
    Glean {
        /// Port number.
        port: u16,
    },
    /// Send it.
    Forward {
        /// Port number.
        port: u16,
        /// Destination MAC address.
        mac: Mac,
    },
}

/// One message to the data plane, without its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Withdraw a route.
    RemoveRoute(Prefix),
    /// Say what a next hop does.
    SetNextHop(u32, Action),
    /// Point a route at a next hop.
    AddRoute(Prefix, u32),
}

/// The whole picture that the data plane should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// Every hop that a route uses.
    pub hops: BTreeMap<Hop, Action>,
    /// Longest prefix wins.
    pub routes: BTreeMap<Prefix, Hop>,
}

/// The ports that Linux can route by: interface index of the mirror TAP to port number.
pub type Mirrors = BTreeMap<u32, u16>;

impl Forwarding {
    /// Works the picture out.
    pub fn compute(facts: &Facts, mirrors: &Mirrors) -> Forwarding {
        let mut picture = Forwarding::default();
        for (key, paths) in &facts.routes {
            if picture.routes.contains_key(&key.prefix) || is_link_scoped(key.prefix) {
                continue;
            }
            // Of several equal paths the first that is ours: the data plane has one next hop a route.
            let ours = paths.iter().find_map(|path| {
                let port = path.link.and_then(|link| mirrors.get(&link)).copied();
                match (path.kind, port, path.gateway) {
                    (RouteKind::Blackhole, _, _) => Some(Hop::Blackhole),
                    (RouteKind::Local, _, _) => Some(Hop::Local),
                    (RouteKind::Unicast, Some(port), Some(address)) => Some(Hop::Neighbour { port, address }),
                    (RouteKind::Unicast, Some(port), None) => Some(Hop::OnLink { port }),
                    (RouteKind::Unicast, None, _) => None,
                }
            });
            if !paths.is_empty() {
                picture.routes.insert(key.prefix, ours.unwrap_or(Hop::Local));
            }
        }
        if !mirrors.is_empty() {
            picture.routes.extend(link_scoped().map(|prefix| (prefix, Hop::Local)));
        }
        for &(link, address) in facts.neighbours.keys() {
            let Some(&port) = mirrors.get(&link) else { continue };
            // A neighbour is a host route only where the kernel would ask for it on that very link: an entry left over on
            // another link must not pull traffic there.
            if picture.lookup(address).is_some_and(|(_, hop)| hop == Hop::OnLink { port }) {
                picture.routes.insert(Prefix::from(address), Hop::Neighbour { port, address });
            }
        }
        let links: BTreeMap<u16, u32> = mirrors.iter().map(|(&link, &port)| (port, link)).collect();
        for &hop in picture.routes.values() {
            picture.hops.entry(hop).or_insert_with(|| match hop {
                Hop::Local => Action::Local,
                Hop::Blackhole => Action::Blackhole,
                Hop::OnLink { port } => Action::Glean { port },
                Hop::Neighbour { port, address } => {
                    let mac = links.get(&port).and_then(|&link| facts.neighbours.get(&(link, address)));
                    mac.map_or(Action::Glean { port }, |&mac| Action::Forward { port, mac })
                }
            });
        }
        picture
    }

    /// The longest prefix that holds the address, and its hop.
    pub fn lookup(&self, address: IpAddr) -> Option<(Prefix, Hop)> {
        let host = Prefix::from(address);
        (0..=host.prefix_len()).rev().find_map(|len| {
            let prefix = Prefix::new(address, len).ok()?.trunc();
            self.routes.get(&prefix).map(|&hop| (prefix, hop))
        })
    }

    /// Whom to ask for, on which port, so that packets to `address` can be sent: the address itself where it is on a
    /// link, its gateway where it is behind one, nobody where the picture sends it elsewhere.
    pub fn neighbour_for(&self, address: IpAddr) -> Option<(u16, IpAddr)> {
        match self.lookup(address)?.1 {
            Hop::OnLink { port } => Some((port, address)),
            Hop::Neighbour { port, address } => Some((port, address)),
            Hop::Local | Hop::Blackhole => None,
        }
    }

    /// Every router that a route goes by.
    pub fn gateways(&self) -> BTreeSet<(u16, IpAddr)> {
        let behind = self.routes.iter().filter_map(|(prefix, hop)| match *hop {
            Hop::Neighbour { port, address } if *prefix != Prefix::from(address) => Some((port, address)),
            _ => None,
        });
        behind.collect()
    }
}

/// Broadcast, multicast and IPv6 link-local destinations mean something on one link only; Linux, who gets them with the
/// link that they came in by, is the one to ask.
fn link_scoped() -> impl Iterator<Item = Prefix> {
    let v4 = [(Ipv4Addr::new(224, 0, 0, 0), 4), (Ipv4Addr::BROADCAST, 32)];
    let v6 =
        [(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)];
    let v4 = v4.into_iter().map(|(address, len)| (IpAddr::V4(address), len));
    let v6 = v6.into_iter().map(|(address, len)| (IpAddr::V6(address), len));
    v4.chain(v6).filter_map(|(address, len)| Prefix::new(address, len).ok())
}

/// Multicast, and IPv6 link-local subnets, which every link has: neither can be routed by a table of all links.
fn is_link_scoped(prefix: Prefix) -> bool {
    match prefix {
        Prefix::V4(prefix) => prefix.addr().is_multicast(),
        Prefix::V6(prefix) => {
            let link_local = prefix.addr().segments()[0] & 0xffc0 == 0xfe80;
            prefix.addr().is_multicast() || (link_local && prefix.prefix_len() < 128)
        }
    }
}

/// What the data plane has been told, and the numbers that its next hops have.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    hops: BTreeMap<Hop, (u32, Action)>,
    routes: BTreeMap<Prefix, Hop>,
    free: BTreeSet<u32>,
    next: u32,
}

impl Sent {
    /// How many routes it has.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// The steps from what was told to the picture, in an order in which each makes sense by itself; they are taken
    /// as told. To start over (a full replacement), call it on `Sent::default()`.
    pub fn difference(&mut self, picture: &Forwarding) -> Vec<Step> {
        let mut steps = Vec::new();
        self.routes.retain(|prefix, _| {
            let stays = picture.routes.contains_key(prefix);
            if !stays {
                steps.push(Step::RemoveRoute(*prefix));
            }
            stays
        });
        for (&hop, &action) in &picture.hops {
            let known = self.hops.get(&hop).copied();
            if known.is_some_and(|(_, told)| told == action) {
                continue;
            }
            let id = known.map(|(id, _)| id).or_else(|| self.free.pop_first()).unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
            self.hops.insert(hop, (id, action));
            steps.push(Step::SetNextHop(id, action));
        }
        for (&prefix, &hop) in &picture.routes {
            if self.routes.get(&prefix) != Some(&hop)
                && let Some(&(id, _)) = self.hops.get(&hop)
            {
                self.routes.insert(prefix, hop);
                steps.push(Step::AddRoute(prefix, id));
            }
        }
        // Only now nothing points at them any more. Their numbers serve again from the next difference on.
        let free = &mut self.free;
        self.hops.retain(|hop, (id, _)| {
            let stays = picture.hops.contains_key(hop);
            if !stays {
                free.insert(*id);
            }
            stays
        });
        steps
    }
}

#[cfg(test)]
#[path = "forwarding_tests.rs"]
mod tests;
