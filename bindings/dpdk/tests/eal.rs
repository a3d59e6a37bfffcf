//! The EAL's one life in a process. One test, as it is about the process.
#![allow(clippy::unwrap_used)]

mod common;

use dpdk::{Eal, Error, Mempool, Registered, register_thread};

#[test]
fn starts_once_and_nothing_goes_before() {
    assert!(Eal::version().starts_with("DPDK "));
    assert_eq!(Eal::running().unwrap_err(), Error::NotStarted);
    assert_eq!(dpdk::attach("net_null0").unwrap_err(), Error::NotStarted);
    assert_eq!(register_thread().map(drop), Err(Error::NotStarted));
    assert_eq!(dpdk::tsc_hz(), 0);
    // A text that cannot be an argument is no try.
    assert!(matches!(Eal::start("test", &["a\0b".to_owned()]), Err(Error::Text { .. })));

    let eal = Eal::start("test", &common::arguments()).unwrap();
    assert!(Eal::running().is_ok());
    assert_eq!(Eal::start("test", &[]).map(|_| ()), Err(Error::AlreadyStarted));
    assert!(dpdk::tsc_hz() > 1_000_000);

    // This thread has a number; others get one while they are registered.
    assert!(dpdk::lcore_id().is_some());
    assert_eq!(register_thread().map(drop), Err(Error::AlreadyRegistered));
    let pool = Mempool::new(&eal, "cached", 1023, 2176).unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            assert_eq!(dpdk::lcore_id(), None);
            let registered: Registered = register_thread().unwrap();
            assert_ne!(dpdk::lcore_id(), Some(0));
            assert!(dpdk::lcore_id().is_some());
            assert_eq!(register_thread().map(drop), Err(Error::AlreadyRegistered));
            // What stays in its cache counts as free.
            let held: Vec<_> = (0..100).map(|_| pool.alloc().unwrap()).collect();
            assert_eq!(pool.in_use(), 100);
            drop(held);
            assert_eq!(pool.in_use(), 0);
            drop(registered);
            assert_eq!(dpdk::lcore_id(), None);
            register_thread().map(drop).unwrap();
        });
        worker.join().unwrap();
    });
    assert_eq!((pool.in_use(), pool.available()), (0, 1023));
}
