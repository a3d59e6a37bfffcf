//! The forwarding tables: DPDK's, one for each family. Look-ups take no lock and see a change at once; only the manager
//! changes them.

use dpdk::{Eal, Fib4, Fib6};
use model::Prefix;
use std::net::IpAddr;

/// What a look-up gives where no route leads.
pub(crate) const NO_ROUTE: u64 = DEFAULT_ID as u64;

/// The same, as the tables store it: the highest next hop that they can, and beyond any that the control plane may set.
const DEFAULT_ID: u32 = dpdk::MAX_NEXT_HOP;
const _: () = assert!(DEFAULT_ID >= shm::layout::MAX_NEXT_HOPS);

/// Both tables.
pub(crate) struct Fibs {
    v4: Fib4,
    v6: Fib6,
}

impl Fibs {
    /// Empty tables with room for so many routes each.
    pub(crate) fn new(eal: &Eal, max_routes: u32) -> Result<Fibs, dpdk::Error> {
        Ok(Fibs {
            v4: Fib4::new(eal, "v4", DEFAULT_ID, max_routes, None)?,
            v6: Fib6::new(eal, "v6", DEFAULT_ID, max_routes, None)?,
        })
    }

    /// Bytes of DPDK's memory that tables of this size take, about.
    pub(crate) fn bytes(max_routes: u32) -> u64 {
        Fib4::bytes(max_routes) + Fib6::bytes(max_routes)
    }

    /// Adds or changes the route of a prefix, or removes it (`None`).
    pub(crate) fn set(&self, prefix: Prefix, next_hop: Option<u32>) -> Result<(), dpdk::Error> {
        let len = prefix.prefix_len();
        match (prefix.network(), next_hop) {
            (IpAddr::V4(network), Some(id)) => self.v4.add(network, len, id),
            (IpAddr::V4(network), None) => self.v4.remove(network, len),
            (IpAddr::V6(network), Some(id)) => self.v6.add(network, len, id),
            (IpAddr::V6(network), None) => self.v6.remove(network, len),
        }
    }

    /// Next-hop ids of IPv4 addresses in host order.
    #[inline]
    pub(crate) fn lookup_v4(&self, addresses: &[u32], ids: &mut [u64]) {
        self.v4.lookup_bulk(addresses, ids);
    }

    /// Next-hop ids of IPv6 addresses in network order.
    #[inline]
    pub(crate) fn lookup_v6(&self, addresses: &[[u8; 16]], ids: &mut [u64]) {
        self.v6.lookup_bulk(addresses, ids);
    }
}
