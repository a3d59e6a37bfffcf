//! Interleavings of both sides, and what weakly ordered memory may show each of them:
//! `RUSTFLAGS="--cfg loom" cargo test -p shm --lib loom`.
//!
//! (Sequence numbers and replay windows live in this crate's memory; their rules, and the models of them, are `esp`'s.)

#![allow(clippy::unwrap_used)]

use crate::guarded::Guarded;
use crate::ring::{Consumer, Producer, Ring};
use loom::sync::Arc;
use loom::thread;

/// A message whose words all say which one it is: a torn one contradicts itself. None is zero, which is what a wiped slot is.
fn message(number: u64) -> [u64; 2] {
    [number, !number]
}

/// Checks all interleavings in which threads are interrupted up to three times, which finds nearly all that there is to find.
fn few_interruptions(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

/// Sends messages 1, 2, ... through a ring of `SLOTS`, each end trying a few times; then what is left, so that every
/// message arrives. They must come in order, once, whole.
fn through_a_ring<const SLOTS: usize>(pushes: u64, pops: usize) {
    let ring = Arc::new(Ring::<SLOTS, 2>::new());
    let (mut producer, mut consumer) = (Producer::new(ring.clone()), Consumer::new(ring));
    let sending = thread::spawn(move || {
        let mut sent = 0;
        for _ in 0..pushes {
            if producer.push(&message(sent + 1)).unwrap() {
                sent += 1;
            }
        }
        sent
    });
    let mut taken = 0;
    let mut take = || {
        let mut got = [0; 2];
        let is_one = consumer.pop(&mut got).unwrap();
        if is_one {
            taken += 1;
            assert_eq!(got, message(taken));
        }
        is_one
    };
    for _ in 0..pops {
        take();
    }
    let sent = sending.join().unwrap();
    while take() {}
    assert_eq!(taken, sent);
    // The first ones always find room.
    assert!(sent >= pushes.min(SLOTS as u64));
}

#[test]
fn a_ring_loses_doubles_and_tears_nothing() {
    loom::model(|| through_a_ring::<2>(3, 3));
}

/// Each message follows another into the one slot: wiping the earlier must not touch the later.
#[test]
fn a_slot_is_not_written_before_it_is_wiped() {
    loom::model(|| through_a_ring::<1>(3, 3));
}

/// What one end counts as waiting or free is there to be had, as it alone takes it.
#[test]
fn what_waits_and_what_is_free_does_not_go_away() {
    loom::model(|| {
        let ring = Arc::new(Ring::<2, 2>::new());
        let (mut producer, mut consumer) = (Producer::new(ring.clone()), Consumer::new(ring));
        assert!(producer.push(&message(1)).unwrap());
        let sending = thread::spawn(move || {
            for _ in 0..2 {
                let free = producer.free().unwrap();
                let pushed = producer.push(&message(2)).unwrap();
                assert!(pushed || free == 0);
            }
        });
        for _ in 0..2 {
            let waiting = consumer.waiting().unwrap();
            let popped = consumer.pop(&mut [0; 2]).unwrap();
            assert!(popped || waiting == 0);
        }
        sending.join().unwrap();
    });
}

/// Writes messages 1, 2, ... while they are read: each reading is what one write left, and none is older than the one
/// before. A reader that is always interrupted gives up.
fn guarded(writes: u64, readings: usize) {
    let guarded = Arc::new(Guarded::<2>::new());
    let writer = {
        let guarded = guarded.clone();
        thread::spawn(move || (1..=writes).for_each(|number| guarded.write(&message(number))))
    };
    let mut last = 0;
    for words in (0..readings).filter_map(|_| guarded.read()) {
        assert!(words == [0, 0] || words == message(words[0]));
        assert!(words[0] >= last);
        last = words[0];
    }
    writer.join().unwrap();
    assert_eq!(guarded.read(), Some(message(writes)));
}

#[test]
fn guarded_words_are_never_torn() {
    few_interruptions(|| guarded(2, 1));
}

#[test]
fn guarded_words_never_go_back() {
    few_interruptions(|| guarded(1, 2));
}
