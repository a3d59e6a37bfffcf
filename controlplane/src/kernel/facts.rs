//! What Linux has told us of its links, addresses, routes and neighbours: a pure copy, changed by one [`Change`] at a time.
//!
//! Everything of the namespace is kept, ours or not: which links are ours can change, and the choice is
//! [`crate::forwarding`]'s. Nothing here does I/O.

use model::Prefix;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A MAC address.
pub type Mac = [u8; 6];

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As `ip link` shows it.
    pub name: String,
    /// Whether the administrator wants it up (IFF_UP).
    pub up: bool,
    /// In bytes, of the L3 packet.
    pub mtu: u32,
}

/// Which of the kernel's two tables a route stands in. The kernel asks `Local` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Table 255: the host's own addresses.
    Local,
    /// Table 254: everything that an operator or a routing protocol writes.
    Main,
}

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Sends it on by a link, perhaps to a gateway.
    Unicast,
    /// It is for the host itself: own, broadcast and anycast addresses.
    Local,
    /// Blackhole, unreachable, prohibit.
    Blackhole,
}

/// What tells one route of a table from another, in the order in which the kernel prefers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Destinations.
    pub prefix: Prefix,
    /// The local table goes first.
    pub table: Table,
    /// The lower, the better.
    pub metric: u32,
}

/// One way that a route can go; a multipath route has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// What happens.
    pub kind: RouteKind,
    /// The link that it leaves by, or that the address belongs to.
    pub link: Option<u32>,
    /// The router to hand it to; `None` where the destination itself is on the link.
    pub gateway: Option<IpAddr>,
}

/// What the kernel told us, already decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link appeared, or its facts changed.
    Link(u32, Link),
    /// A link went away, and all that hung on it.
    LinkGone(u32),
    /// The link has this address (with the length of its subnet's prefix).
    Address(u32, Prefix),
    /// It no longer has.
    AddressGone(u32, Prefix),
    /// The route exists. With `replace` it takes the place of what its key had; else its paths are added.
    Route {
        /// Which.
        key: RouteKey,
        /// Its ways, best first.
        paths: Vec<Path>,
        /// The kernel's NLM_F_REPLACE.
        replace: bool,
    },
    /// These paths of the route no longer exist.
    RouteGone {
        /// Which.
        key: RouteKey,
        /// Those that went.
        paths: Vec<Path>,
    },
    /// The neighbour can be reached at this MAC address.
    Neighbour(u32, IpAddr, Mac),
    /// Nothing (more) is known of the neighbour.
    NeighbourGone(u32, IpAddr),
}

/// The copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// By interface index.
    pub links: BTreeMap<u32, Link>,
    /// By interface index and address: the prefix with its host bits.
    pub addresses: BTreeMap<(u32, IpAddr), Prefix>,
    /// Ordered such that of one prefix the kernel's favourite comes first.
    pub routes: BTreeMap<RouteKey, Vec<Path>>,
    /// By interface index and address; only those with a MAC address.
    pub neighbours: BTreeMap<(u32, IpAddr), Mac>,
}

impl Facts {
    /// Takes one change in. Returns whether the kernel may at the same time have dropped routes without a word: it does
    /// so for IPv4 when a link goes down or an address is taken away, and then only a fresh dump tells.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Link(index, link) => {
                let before = self.links.insert(index, link.clone());
                before.is_some_and(|before| before.up != link.up || before.name != link.name)
            }
            Change::LinkGone(index) => {
                self.addresses.retain(|(of, _), _| *of != index);
                self.neighbours.retain(|(of, _), _| *of != index);
                self.links.remove(&index).is_some()
            }
            Change::Address(index, prefix) => {
                self.addresses.insert((index, prefix.addr()), prefix);
                false
            }
            Change::AddressGone(index, prefix) => self.addresses.remove(&(index, prefix.addr())).is_some(),
            Change::Route { key, paths, replace } => {
                let known = self.routes.entry(key).or_default();
                if replace {
                    known.clear();
                }
                for path in paths {
                    if !known.contains(&path) {
                        known.push(path);
                    }
                }
                false
            }
            Change::RouteGone { key, paths } => {
                if let Some(known) = self.routes.get_mut(&key) {
                    known.retain(|path| !paths.contains(path));
                    if known.is_empty() {
                        self.routes.remove(&key);
                    }
                }
                false
            }
            Change::Neighbour(index, address, mac) => {
                self.neighbours.insert((index, address), mac);
                false
            }
            Change::NeighbourGone(index, address) => {
                self.neighbours.remove(&(index, address));
                false
            }
        }
    }

    /// The index of the link with this name.
    pub fn link_named(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, metric: u32) -> RouteKey {
        RouteKey { prefix: prefix.parse().unwrap(), table: Table::Main, metric }
    }

    fn via(link: u32, gateway: &str) -> Path {
        Path { kind: RouteKind::Unicast, link: Some(link), gateway: Some(gateway.parse().unwrap()) }
    }

    #[test]
    fn a_replaced_route_forgets_its_old_paths_and_an_appended_one_keeps_them() {
        let mut facts = Facts::default();
        let key = route("10.0.0.0/8", 0);
        facts.apply(Change::Route { key, paths: vec![via(1, "192.0.2.1")], replace: false });
        facts.apply(Change::Route { key, paths: vec![via(1, "192.0.2.2")], replace: false });
        assert_eq!(facts.routes[&key], [via(1, "192.0.2.1"), via(1, "192.0.2.2")]);
        facts.apply(Change::Route { key, paths: vec![via(1, "192.0.2.3")], replace: true });
        assert_eq!(facts.routes[&key], [via(1, "192.0.2.3")]);
        facts.apply(Change::RouteGone { key, paths: vec![via(1, "192.0.2.3")] });
        assert!(facts.routes.is_empty());
    }

    #[test]
    fn says_when_only_a_fresh_dump_can_tell() {
        let mut facts = Facts::default();
        let link = |up| Link { name: "wan".into(), up, mtu: 1500 };
        assert!(!facts.apply(Change::Link(7, link(false))));
        assert!(facts.apply(Change::Link(7, link(true))));
        assert!(!facts.apply(Change::Link(7, link(true))));
        let address: Prefix = "192.0.2.1/24".parse().unwrap();
        assert!(!facts.apply(Change::Address(7, address)));
        facts.apply(Change::Neighbour(7, "192.0.2.9".parse().unwrap(), [2; 6]));
        assert!(facts.apply(Change::AddressGone(7, address)));
        facts.apply(Change::Address(7, address));
        assert!(facts.apply(Change::LinkGone(7)));
        assert_eq!(facts, Facts::default());
    }
}
