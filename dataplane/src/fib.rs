//! The forwarding tables: DPDK's, one for each family. Look-ups take no lock and see a change at once; only the manager
//! changes them. It may also put a fresh IPv6 table in the place of one that is worn out ([`Fib6::remove`] says how that
//! comes); the workers see that one by the next snapshot.

use dpdk::{Eal, Fib4, Fib6};
use model::Prefix;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What a look-up gives where no route leads.
pub(crate) const NO_ROUTE: u64 = NOWHERE as u64;

/// The same, as the tables store it, and as a route may be told to say: the highest next hop that there can be, and
/// beyond any that the control plane may set.
pub(crate) const NOWHERE: u32 = dpdk::MAX_NEXT_HOP;
const _: () = assert!(NOWHERE >= shm::layout::MAX_NEXT_HOPS);

/// Both tables. A clone is the same tables again; they go with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Fibs {
    v4: Arc<Fib4>,
    v6: Arc<Fib6>,
    eal: Eal,
    max_routes: u32,
    /// IPv6 tables before this one. It is in the table's name, as two may live for a while.
    worn_out: u64,
}

impl Fibs {
    /// Empty tables with room for so many routes each.
    pub(crate) fn new(eal: &Eal, max_routes: u32) -> Result<Fibs, dpdk::Error> {
        Ok(Fibs {
            v4: Arc::new(Fib4::new(eal, "v4", NOWHERE, max_routes, None)?),
            v6: Arc::new(Fib6::new(eal, "v6-0", NOWHERE, max_routes, None)?),
            eal: *eal,
            max_routes,
            worn_out: 0,
        })
    }

    /// Bytes of DPDK's memory that tables of this size take, about: the IPv6 one twice, as its successor is filled while
    /// it serves.
    pub(crate) fn bytes(max_routes: u32) -> u64 {
        Fib4::bytes(max_routes) + 2 * Fib6::bytes(max_routes)
    }

    /// The same IPv4 table, and a fresh IPv6 one that holds the IPv6 routes among these. Prefixes come before those
    /// inside of them, which is the order that takes the least room.
    pub(crate) fn renewed(&self, routes: &BTreeMap<Prefix, u32>) -> Result<Fibs, dpdk::Error> {
        let worn_out = self.worn_out + 1;
        let v6 = Fib6::new(&self.eal, &format!("v6-{worn_out}"), NOWHERE, self.max_routes, None)?;
        for (prefix, &id) in routes {
            if let Prefix::V6(prefix) = prefix {
                v6.add(prefix.network(), prefix.prefix_len(), id)?;
            }
        }
        Ok(Fibs { v6: Arc::new(v6), worn_out, ..self.clone() })
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
