//! Route tables, held against a list of routes that is searched from end to end.
#![allow(clippy::unwrap_used)]

mod common;

use common::eal;
use dpdk::{Error, Fib4, Fib6, MAX_NEXT_HOP};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

const NONE: u32 = MAX_NEXT_HOP;
/// `ENOSPC` of Linux.
const NO_SPACE: u64 = 28;

/// Routes by prefix and its length, addresses left-aligned in 128 bits.
#[derive(Default)]
struct Linear(BTreeMap<(u128, u8), u32>);

fn under(address: u128, len: u8) -> u128 {
    address & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

impl Linear {
    fn look_up(&self, address: u128) -> u64 {
        let longest = self
            .0
            .iter()
            .filter(|&(&(prefix, len), _)| under(address, len) == prefix)
            .max_by_key(|&(&(_, len), _)| len);
        u64::from(longest.map_or(NONE, |(_, &hop)| hop))
    }
}

#[derive(Clone, Debug)]
enum Change {
    Add(u128, u8, u32),
    /// One of those that are there.
    Remove(prop::sample::Index),
}

/// Addresses of few bits at the places where the tables have their levels, so that prefixes lie in one another, and
/// some of them near the end of all addresses.
fn any_address(width: u32) -> impl Strategy<Value = u128> {
    let ones = prop_oneof![2 => Just(0), 1 => 0..24_u8];
    (prop::collection::vec(0..4_u128, 16), ones).prop_map(move |(bytes, ones)| {
        let all: u128 = bytes.iter().fold(0, |address, byte| address << 8 | (byte >> 1) << 7 | byte & 1);
        under(under(u128::MAX, ones) | all >> ones, width as u8)
    })
}

fn any_change(width: u32) -> impl Strategy<Value = Change> {
    let near = prop_oneof![Just(24), Just(width as u8), 22..27_u8];
    let len = prop_oneof![2 => near, 1 => 0..=width as u8];
    let hop = prop_oneof![0..8_u32, Just(MAX_NEXT_HOP - 1)];
    prop_oneof![
        3 => (any_address(width), len, hop).prop_map(|(address, len, hop)| Change::Add(address, len, hop)),
        1 => any::<prop::sample::Index>().prop_map(Change::Remove),
    ]
}

/// The table of either family.
trait Table {
    const WIDTH: u32;
    fn add(&self, address: u128, len: u8, hop: u32) -> Result<(), Error>;
    fn remove(&self, address: u128, len: u8) -> Result<(), Error>;
    fn look_up(&self, addresses: &[u128]) -> Vec<u64>;
}

impl Table for Fib4 {
    const WIDTH: u32 = 32;
    fn add(&self, address: u128, len: u8, hop: u32) -> Result<(), Error> {
        Fib4::add(self, Ipv4Addr::from_bits((address >> 96) as u32), len, hop)
    }
    fn remove(&self, address: u128, len: u8) -> Result<(), Error> {
        Fib4::remove(self, Ipv4Addr::from_bits((address >> 96) as u32), len)
    }
    fn look_up(&self, addresses: &[u128]) -> Vec<u64> {
        let addresses: Vec<u32> = addresses.iter().map(|address| (address >> 96) as u32).collect();
        let mut hops = vec![0; addresses.len()];
        self.lookup_bulk(&addresses, &mut hops);
        hops
    }
}

impl Table for Fib6 {
    const WIDTH: u32 = 128;
    fn add(&self, address: u128, len: u8, hop: u32) -> Result<(), Error> {
        Fib6::add(self, Ipv6Addr::from_bits(address), len, hop)
    }
    fn remove(&self, address: u128, len: u8) -> Result<(), Error> {
        Fib6::remove(self, Ipv6Addr::from_bits(address), len)
    }
    fn look_up(&self, addresses: &[u128]) -> Vec<u64> {
        let addresses: Vec<[u8; 16]> = addresses.iter().map(|address| address.to_be_bytes()).collect();
        let mut hops = vec![0; addresses.len()];
        self.lookup_bulk(&addresses, &mut hops);
        hops
    }
}

/// Changes routes at random and looks up, after each change, the addresses around them.
fn like_its_twin<T: Table>(new: impl Fn() -> Result<T, Error>) {
    let changes = prop::collection::vec(any_change(T::WIDTH), 1..40);
    let others = prop::collection::vec(any_address(T::WIDTH), 1..64);
    proptest!(ProptestConfig::with_cases(100), |(changes in changes, others in others)| {
        let (table, mut linear) = (new().unwrap(), Linear::default());
        for change in changes {
            match change {
                Change::Add(address, len, hop) => {
                    table.add(address, len, hop).unwrap();
                    linear.0.insert((under(address, len), len), hop);
                }
                Change::Remove(_) if linear.0.is_empty() => {}
                Change::Remove(which) => {
                    let (prefix, len) = *linear.0.keys().nth(which.index(linear.0.len())).unwrap();
                    table.remove(prefix, len).unwrap();
                    linear.0.remove(&(prefix, len));
                }
            }
            // Both ends of each prefix, what is just outside of them, and others.
            let lowest = 1_u128 << (128 - T::WIDTH);
            let edges = linear.0.keys().flat_map(|&(prefix, len)| {
                let last = prefix | !under(u128::MAX, len);
                [prefix, last, prefix.wrapping_sub(lowest), last.wrapping_add(lowest)]
            });
            let addresses: Vec<u128> =
                edges.chain(others.iter().copied()).map(|address| under(address, T::WIDTH as u8)).collect();
            let expected: Vec<u64> = addresses.iter().map(|&address| linear.look_up(address)).collect();
            prop_assert_eq!(table.look_up(&addresses), expected);
        }
        for &(prefix, len) in linear.0.keys() {
            table.remove(prefix, len).unwrap();
        }
        prop_assert!(table.look_up(&others).iter().all(|&hop| hop == u64::from(NONE)));
    });
}

#[test]
fn ipv4_routes_are_those_of_the_linear_search() {
    like_its_twin(|| Fib4::new(&eal(), "twin4", NONE, 1024, None));
}

#[test]
fn ipv6_routes_are_those_of_the_linear_search() {
    like_its_twin(|| Fib6::new(&eal(), "twin6", NONE, 1024, None));
}

fn refuses<T: Table>(table: &T) {
    let width = T::WIDTH as u8;
    assert_eq!(table.add(0, width + 1, 1), Err(Error::PrefixLength(width + 1)));
    assert_eq!(table.remove(0, width + 1), Err(Error::PrefixLength(width + 1)));
    assert_eq!(table.add(0, 8, MAX_NEXT_HOP + 1), Err(Error::NextHop(MAX_NEXT_HOP + 1)));
    assert!(matches!(table.remove(0, 8), Err(Error::Route { step: "remove", .. })));
    assert_eq!(table.look_up(&[0, 1 << 127]), [u64::from(NONE); 2]);
    assert!(table.look_up(&[]).is_empty());
}

#[test]
fn what_no_table_can_hold_is_refused() {
    let eal = eal();
    refuses(&Fib4::new(&eal, "refuses4", NONE, 64, None).unwrap());
    refuses(&Fib6::new(&eal, "refuses6", NONE, 64, None).unwrap());
    assert!(matches!(Fib4::new(&eal, "none", MAX_NEXT_HOP + 1, 64, None), Err(Error::NextHop(_))));
    assert!(matches!(Fib4::new(&eal, "no routes", NONE, 0, None), Err(Error::Fib { routes: 0, .. })));
    assert!(matches!(Fib6::new(&eal, "a name of over 20 bytes", NONE, 64, None), Err(Error::Text { .. })));
    let _kept = Fib4::new(&eal, "taken", NONE, 64, None).unwrap();
    assert!(matches!(Fib4::new(&eal, "taken", NONE, 64, None), Err(Error::Fib { .. })));
}

/// A table that is full says so, and the routes that it has stay.
#[test]
fn a_full_table_refuses_and_keeps_what_it_has() {
    let full = Fib4::new(&eal(), "full", NONE, 64, None).unwrap();
    let add = |number: u32, hop| full.add(Ipv4Addr::from_bits(number << 8), 24, hop);
    let added = (0..10_000).take_while(|&number| add(number, number).is_ok()).count() as u32;
    assert!((64..10_000).contains(&added), "{added} routes in a table of 64");
    let look_up = |numbers: &[u32]| {
        full.look_up(&numbers.iter().map(|&number| u128::from(number << 8) << 96).collect::<Vec<_>>())
    };
    let all: Vec<u32> = (0..added).collect();
    assert_eq!(look_up(&all), (0..u64::from(added)).collect::<Vec<_>>());
    assert!(matches!(add(20_000, 1), Err(Error::Route { step: "add", .. })));
    full.remove(Ipv4Addr::from_bits(0), 24).unwrap();
    add(20_000, 5).unwrap();
    assert_eq!(look_up(&[20_000, 0]), [5, u64::from(NONE)]);
}

/// DPDK reserves no room for a route whose next hop is that of the route around it, and gives it back all the same, so
/// it must never see such a pair.
#[test]
fn a_route_with_the_next_hop_of_the_one_around_it_costs_no_room_when_it_goes() {
    let table = Fib4::new(&eal(), "room", NONE, 64, None).unwrap();
    let [around, inside] = [[10, 0, 0, 0], [10, 1, 2, 3]].map(Ipv4Addr::from);
    table.add(around, 8, 1).unwrap();
    for hop in [1, 2] {
        for _ in 0..1000 {
            table.add(inside, 32, hop).unwrap();
            table.remove(inside, 32).unwrap();
        }
    }
    assert_eq!(table.look_up(&[u128::from(inside.to_bits()) << 96]), [1]);
}

/// An IPv6 table refuses new routes at some time, even if none are left in it but one; that one stays. A new table has
/// room for as many beside it, and the name is free again when the old one goes.
#[test]
fn a_worn_out_table_keeps_what_it_has_and_a_new_one_takes_its_place() {
    const ROUTES: u32 = 64;
    let eal = eal();
    let [kept, passing] = [1_u128 << 125, 1 << 126];
    let mut table = Fib6::new(&eal, "worn0", NONE, ROUTES, None).unwrap();
    Table::add(&table, kept, 128, 7).unwrap();
    for renewed in 1..4 {
        // DPDK that gives the room back would never refuse.
        for turn in 0..200 {
            if let Err(error) = Table::add(&table, passing, 128, turn) {
                assert!(matches!(error, Error::Route { step: "add", .. }), "{error}");
                assert_eq!(error.errno(), NO_SPACE);
                break;
            }
            assert_eq!(table.look_up(&[kept, passing]), [7, turn.into()]);
            Table::remove(&table, passing, 128).unwrap();
            assert_eq!(table.look_up(&[kept, passing]), [7, NONE.into()]);
        }
        assert_eq!(table.look_up(&[kept, passing]), [7, NONE.into()]);
        let fresh = Fib6::new(&eal, &format!("worn{}", renewed % 2), NONE, ROUTES, None).unwrap();
        for (number, host) in (0..ROUTES).map(|number| (number, u128::from(number) << 100 | kept)) {
            Table::add(&fresh, host, 128, 7 + number).unwrap();
        }
        assert_eq!(fresh.look_up(&[kept, 1 << 100 | kept, passing]), [7, 8, NONE.into()]);
        table = fresh;
        for number in 1..ROUTES {
            Table::remove(&table, u128::from(number) << 100 | kept, 128).unwrap();
        }
    }
}

/// DPDK 22.11 takes a range that ends where the addresses end for the whole of them, if other routes already fill it: a
/// default route that comes after both of its halves would take their place.
fn a_route_that_others_fill_takes_no_address<T: Table>(table: &T) {
    let half = 1_u128 << 127;
    for around in 0..4_u8 {
        // The prefix of so many ones, and its two halves.
        let prefix = under(u128::MAX, around);
        let halves = [prefix, prefix | half >> around];
        table.add(1 << 96, T::WIDTH as u8, 9).unwrap();
        for (half, hop) in halves.into_iter().zip([1, 2]) {
            table.add(half, around + 1, hop).unwrap();
        }
        let look_up = || table.look_up(&[0, halves[0], halves[1], under(u128::MAX, T::WIDTH as u8)]);
        let filled = look_up();
        assert_eq!(filled[1..], [1, 2, 2]);
        table.add(prefix, around, 3).unwrap();
        assert_eq!(look_up(), filled);
        table.add(prefix, around, 4).unwrap();
        assert_eq!(look_up(), filled);
        table.remove(prefix, around).unwrap();
        assert_eq!(look_up(), filled);
        table.remove(halves[0], around + 1).unwrap();
        table.remove(halves[1], around + 1).unwrap();
        assert!(table.remove(halves[1], around + 1).is_err());
        assert_eq!(look_up()[1..], [u64::from(NONE); 3]);
    }
}

#[test]
fn a_route_whose_range_others_fill_changes_nothing() {
    let eal = eal();
    a_route_that_others_fill_takes_no_address(&Fib6::new(&eal, "filled6", NONE, 64, None).unwrap());
    a_route_that_others_fill_takes_no_address(&Fib4::new(&eal, "filled4", NONE, 64, None).unwrap());
}
