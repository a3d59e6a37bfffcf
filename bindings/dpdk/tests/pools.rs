//! Pools: what they refuse, and that no packet goes missing or comes twice.
#![allow(clippy::unwrap_used)]

mod common;

use common::{eal, pool};
use dpdk::{Error, HEADROOM, Mempool, NoRoom, PoolConfig};
use std::collections::HashSet;

#[test]
fn gives_out_what_it_has_and_takes_it_back() {
    let pool = pool(63, 128 + HEADROOM);
    assert_eq!((pool.count(), pool.data_room(), pool.in_use()), (63, 128 + HEADROOM, 0));
    let mut held: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((held.len(), pool.in_use(), pool.available()), (63, 63, 0));
    assert_eq!(pool.alloc_from_slice(b"no more").map(drop), Err(NoRoom));
    // All of them are different memory.
    let places: HashSet<_> = held.iter().map(|mbuf| mbuf.data().as_ptr()).collect();
    assert_eq!(places.len(), 63);
    held.truncate(20);
    assert_eq!((pool.in_use(), pool.available()), (20, 43));
    // From another thread, too.
    std::thread::scope(|scope| drop(scope.spawn(move || drop(held)).join()));
    assert_eq!(pool.in_use(), 0);
    let again: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(again.len(), 63);
}

#[test]
fn bytes_that_fit_no_buffer_are_refused_and_cost_none() {
    let pool = pool(7, 100 + HEADROOM);
    assert_eq!(pool.alloc_from_slice(&[7; 101]).map(drop), Err(NoRoom));
    assert_eq!(pool.in_use(), 0);
    assert_eq!(pool.alloc_from_slice(&[7; 100]).unwrap().data(), [7; 100]);
}

/// The memory is the packet's for as long as it lives, whoever lets go of the pool.
#[test]
fn a_packet_outlives_the_handles_of_its_pool() {
    let pool = pool(7, 100 + HEADROOM);
    let clone = pool.clone();
    let mut mbuf = pool.alloc_from_slice(b"still here").unwrap();
    drop((pool, clone));
    mbuf.append(1).unwrap()[0] = b'!';
    assert_eq!(mbuf.data(), b"still here!");
}

#[test]
fn sizes_and_names_that_cannot_be_are_refused() {
    let eal = eal();
    let refused = |name: &str, config| Mempool::with_config(&eal, name, config).unwrap_err();
    let good = PoolConfig { cache: 0, ..PoolConfig::new(7) };
    let kept = Mempool::with_config(&eal, "taken", good).unwrap();
    assert!(matches!(refused("taken", good), Error::Mempool { count: 7, .. }));
    drop(kept);
    assert!(Mempool::with_config(&eal, "taken", good).is_ok(), "a name is free again with its pool");
    for bad in [
        PoolConfig { count: 0, ..good },
        PoolConfig { data_room: HEADROOM - 1, ..good },
        PoolConfig { cache: 513, count: 4095, ..good },
        PoolConfig { cache: 7, ..good },
        PoolConfig { socket: Some(u32::MAX), ..good },
        PoolConfig { count: u32::MAX, ..good },
    ] {
        assert!(matches!(refused("bad", bad), Error::Mempool { .. }), "{bad:?}");
    }
    for name in ["", "a\0b", "a name of over 20 bytes"] {
        assert!(matches!(refused(name, good), Error::Text { .. }), "{name:?}");
    }
}
