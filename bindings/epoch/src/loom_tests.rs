//! A policy that is replaced while it is looked up, in every order of events and with all that weakly ordered memory may show:
//! `RUSTFLAGS="--cfg loom --cfg crossbeam_loom" cargo test -p epoch --lib loom`.
//!
//! The collector below is crossbeam's, by loom's atomics, too.

#![allow(clippy::unwrap_used)]

use crate::Published;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::sync::Arc as Shared;

/// What an image lies in: written once before it is published, and unmapped when nobody has it any more. Loom sees where
/// somebody reads it that did not see it written, and where somebody reads it while it is unmapped.
struct Memory(UnsafeCell<u32>);

// SAFETY: loom panics where two threads have it at once and one of them writes.
unsafe impl Sync for Memory {}

impl Memory {
    fn map(value: u32) -> Memory {
        Memory(UnsafeCell::new(value))
    }

    fn read(&self) -> u32 {
        // SAFETY: it is written by its drop alone; that nobody has it then is what is checked.
        self.0.with(|value| unsafe { *value })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: as above.
        self.0.with_mut(|value| unsafe { *value = u32::MAX });
    }
}

/// A base that policies share, and a change of it: which base it is of, and its own number.
struct Policy {
    base: Shared<Memory>,
    change: Option<(u32, Memory)>,
}

impl Policy {
    fn base(number: u32) -> Policy {
        Policy { base: Shared::new(Memory::map(number)), change: None }
    }

    fn changed(&self, number: u32) -> Policy {
        let change = Memory::map(number);
        Policy { base: Shared::clone(&self.base), change: Some((self.base.read(), change)) }
    }

    /// Which list it is: a change over another base than its own would be a mix of two.
    fn look_up(&self) -> u32 {
        let base = self.base.read();
        let Some((of, change)) = &self.change else { return base };
        assert_eq!(base, *of);
        change.read()
    }
}

/// All orders of events in which one thread is interrupted once, wherever that may be, and the others go on until they wait.
/// (With two interruptions each takes minutes.)
fn interrupted_once(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(1);
    builder.max_branches = 100_000;
    builder.check(check);
}

/// A worker looks up twice by one reader, which sees lists of ascending numbers, while others are published.
fn look_ups_while(first: Policy, next: impl FnOnce(&Policy) -> Vec<Policy>) {
    let next = next(&first);
    let last = next.last().unwrap().look_up();
    let published = Arc::new(Published::new(first));
    let worker = {
        let published = Arc::clone(&published);
        thread::spawn(move || {
            let reader = published.reader();
            let burst = reader.pin();
            let list = burst.look_up();
            assert_eq!(burst.look_up(), list, "one list for all of a burst");
            drop(burst);
            let later = reader.pin().look_up();
            assert!(list <= later && later <= last, "{list}, then {later}");
        })
    };
    let publisher = {
        let published = Arc::clone(&published);
        thread::spawn(move || {
            next.into_iter().for_each(|policy| published.publish(policy));
            published.collect();
        })
    };
    publisher.join().unwrap();
    worker.join().unwrap();
    assert_eq!(published.reader().pin().look_up(), last);
    assert_eq!(published.collect(), 0, "nobody holds anything");
}

#[test]
fn a_policy_is_replaced_under_look_ups() {
    interrupted_once(|| look_ups_while(Policy::base(1), |_| vec![Policy::base(2)]));
}

/// The change shares the base with what it is a change of, and a new base takes the place of both.
#[test]
fn a_policy_is_changed_and_folded_under_look_ups() {
    interrupted_once(|| look_ups_while(Policy::base(1), |first| vec![first.changed(2), Policy::base(3)]));
}
