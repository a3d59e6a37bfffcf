//! Interleavings of few workers, and what weakly ordered memory may show each of them:
//! `RUSTFLAGS="--cfg loom" cargo test -p esp --lib loom`.

use super::*;
use loom::sync::Arc;
use loom::thread;

struct Memory {
    highest: AtomicU64,
    words: Vec<AtomicU64>,
}

/// Checks all interleavings in which workers are interrupted up to twice, which finds nearly all that there is to find,
/// in seconds.
fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(check);
}

/// A window of 32 packets in two words, with everything up to the floor seen.
fn memory(floor: u64) -> Arc<Memory> {
    let words = (0..words_for(32)).map(|_| AtomicU64::new(0)).collect();
    let memory = Arc::new(Memory { highest: AtomicU64::new(0), words });
    window(&memory).reset(floor);
    memory
}

fn window(memory: &Memory) -> Window<'_> {
    Window::new(&memory.highest, &memory.words, 32).unwrap()
}

/// Commits each list of sequence numbers in a worker of its own; returns what became of them.
fn commit_at_once<const N: usize>(
    memory: &Arc<Memory>,
    workers: [&'static [u64]; N],
) -> Vec<(u64, Result<(), Replay>)> {
    let handles = workers.map(|sequences| {
        let memory = memory.clone();
        thread::spawn(move || {
            sequences.iter().map(|&sequence| (sequence, window(&memory).commit(sequence))).collect::<Vec<_>>()
        })
    });
    handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
}

fn wins(results: &[(u64, Result<(), Replay>)], sequence: u64) -> usize {
    results.iter().filter(|(of, result)| *of == sequence && result.is_ok()).count()
}

#[test]
fn one_number_is_won_once() {
    model(|| {
        let memory = memory(0);
        let results = commit_at_once(&memory, [&[7], &[7], &[7]]);
        assert_eq!(wins(&results, 7), 1);
        assert_eq!(window(&memory).check(7), Err(Replay::Seen));
    });
}

#[test]
fn neighbours_in_one_word_do_not_disturb_each_other() {
    model(|| {
        let memory = memory(0);
        let results = commit_at_once(&memory, [&[7, 9], &[8, 7]]);
        assert_eq!([wins(&results, 7), wins(&results, 8), wins(&results, 9)], [1, 1, 1]);
        assert_eq!(window(&memory).highest(), 9);
    });
}

/// One worker commits a burst, with a number twice, while another commits one of its numbers.
#[test]
fn a_burst_and_a_number_of_it() {
    model(|| {
        let memory = memory(0);
        let burst = {
            let memory = memory.clone();
            thread::spawn(move || {
                let mut refused = Vec::new();
                window(&memory).commit_burst(&[7, 8, 8, 33], |place, why| refused.push((place, why)));
                refused
            })
        };
        let alone = window(&memory).commit(8);
        let refused = burst.join().unwrap();
        let wins = [1, 2].iter().filter(|place| refused.iter().all(|(at, _)| at != *place)).count();
        assert_eq!(wins + usize::from(alone.is_ok()), 1, "{refused:?}, {alone:?}");
        assert!(refused.iter().all(|(place, why)| matches!(place, 1 | 2) && *why == Replay::Seen));
        for sequence in [7, 8, 33] {
            assert_eq!(window(&memory).check(sequence), Err(Replay::Seen));
        }
    });
}

/// 70 lives in the word of 6 and pushes it out: who comes late finds it too old, and nobody gets in twice.
#[test]
fn a_block_that_is_pushed_out_stays_out() {
    model(|| {
        let memory = memory(0);
        let results = commit_at_once(&memory, [&[6], &[70], &[6]]);
        assert_eq!(wins(&results, 70), 1);
        assert!(wins(&results, 6) <= 1);
        assert_eq!(window(&memory).commit(6), Err(Replay::TooOld));
        assert_eq!(window(&memory).commit(70), Err(Replay::Seen));
        assert_eq!(window(&memory).commit(69), Ok(()));
    });
}

/// Also where the tag of the newer block is the smaller number.
#[test]
fn a_tag_that_wraps_is_newer() {
    const EDGE: u64 = 1 << 37;
    model(|| {
        let memory = memory(EDGE - 30);
        let results = commit_at_once(&memory, [&[EDGE - 5, EDGE + 1], &[EDGE + 33, EDGE - 5]]);
        assert_eq!(wins(&results, EDGE + 33), 1);
        assert!(wins(&results, EDGE - 5) <= 1);
        assert!(wins(&results, EDGE + 1) <= 1);
        assert_eq!(window(&memory).commit(EDGE - 5), Err(Replay::TooOld));
        let again = window(&memory).commit(EDGE + 2);
        assert_eq!(again, Ok(()));
    });
}

#[test]
fn sequence_numbers_are_given_out_once_and_end_at_the_last() {
    model(|| {
        let next = Arc::new(AtomicU64::new(5));
        let workers = [2, 2].map(|count| {
            let next = next.clone();
            thread::spawn(move || crate::sequence::allocate(&next, count, 7))
        });
        let mut all: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [5, 6, 7]);
        assert_eq!(next.load(Ordering::Relaxed), 8);
    });
}
