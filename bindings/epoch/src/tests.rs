//! Readers and the publisher on threads of the machine.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts the living, and is poisoned when dropped.
struct Tracked {
    number: u64,
    alive: AtomicBool,
    living: Arc<AtomicU64>,
}

impl Tracked {
    fn new(number: u64, living: &Arc<AtomicU64>) -> Tracked {
        living.fetch_add(1, Ordering::SeqCst);
        Tracked { number, alive: AtomicBool::new(true), living: Arc::clone(living) }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
        self.living.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_pinned_value_outlives_its_successors() {
    let living = Arc::new(AtomicU64::new(0));
    let published = Published::new(Tracked::new(0, &living));
    let reader = published.reader();
    let pinned = reader.pin();
    for number in 1..=5 {
        published.publish(Tracked::new(number, &living));
    }
    assert!(published.collect() >= 1, "the pinned value is not freed");
    assert!(pinned.alive.load(Ordering::SeqCst));
    assert_eq!(pinned.number, 0);
    assert!(!published.wait_for_readers(Duration::from_millis(5)));
    drop(pinned);
    assert!(published.wait_for_readers(Duration::from_secs(5)));
    assert_eq!(living.load(Ordering::SeqCst), 1);
    assert_eq!(reader.pin().number, 5);
    assert_eq!(published.latest().number, 5);
}

#[test]
fn an_idle_reader_holds_nothing_back() {
    let living = Arc::new(AtomicU64::new(0));
    let published = Published::new(Tracked::new(0, &living));
    let _idle = published.reader();
    for number in 1..1000 {
        published.publish(Tracked::new(number, &living));
        assert_eq!(published.collect(), 0);
        assert_eq!(living.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn dropping_it_frees_all() {
    let living = Arc::new(AtomicU64::new(0));
    let published = Published::new(Tracked::new(0, &living));
    for number in 1..100 {
        published.publish(Tracked::new(number, &living));
    }
    drop(published);
    assert_eq!(living.load(Ordering::SeqCst), 0);
}

/// Values are dropped only where `collect` is called, however busily readers pin (a pin may run the collector).
#[test]
fn readers_drop_nothing() {
    struct Home(std::thread::ThreadId, Arc<AtomicU64>);
    impl Drop for Home {
        fn drop(&mut self) {
            self.1.fetch_add(u64::from(std::thread::current().id() != self.0), Ordering::SeqCst);
        }
    }
    let home = std::thread::current().id();
    let strangers = Arc::new(AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let published = Published::new(Home(home, Arc::clone(&strangers)));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let reader = published.reader();
            while !stop.load(Ordering::Relaxed) {
                std::hint::black_box(&*reader.pin());
            }
        });
        for _ in 0..2000 {
            published.publish(Home(home, Arc::clone(&strangers)));
        }
        published.collect();
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    drop(published);
    assert_eq!(strangers.load(Ordering::SeqCst), 0);
}

/// Readers hammer while the writer publishes: each sees only living values, and never an older one than before.
#[test]
fn stress_readers_see_only_living_values_in_order() {
    let living = Arc::new(AtomicU64::new(0));
    let published = Published::new(Tracked::new(0, &living));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let reader = published.reader();
                    let (mut last, mut rounds) = (0, 0_u64);
                    while !stop.load(Ordering::Relaxed) || rounds == 0 {
                        let pinned = reader.pin();
                        for _ in 0..8 {
                            assert!(pinned.alive.load(Ordering::SeqCst), "a pinned value was dropped");
                        }
                        assert!(pinned.number >= last, "went back in time");
                        last = pinned.number;
                        rounds += 1;
                    }
                })
            })
            .collect();
        for number in 1..=20_000 {
            published.publish(Tracked::new(number, &living));
            if number % 16 == 0 {
                published.collect();
            }
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert!(published.wait_for_readers(Duration::from_secs(5)));
    assert_eq!(living.load(Ordering::SeqCst), 1);
}
