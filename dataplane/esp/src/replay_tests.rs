//! The replay window beside a set, in any order of arrival; and under several workers at once.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;
use std::thread;

struct Memory {
    highest: AtomicU64,
    words: Vec<AtomicU64>,
    window: u32,
}

impl Memory {
    fn new(window: u32, words: usize, floor: u64) -> Memory {
        // Garbage from an earlier tenant, which a reset must not mind.
        let words =
            (0..words as u64).map(|word| AtomicU64::new(word.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        let memory = Memory { highest: AtomicU64::new(u64::MAX), words, window };
        memory.window().reset(floor);
        memory
    }

    fn window(&self) -> Window<'_> {
        Window::new(&self.highest, &self.words, self.window).unwrap()
    }
}

/// RFC 4303, section 3.4.3, in words: in the window and not seen, or right of it.
struct Model {
    window: u64,
    highest: u64,
    floor: u64,
    seen: HashSet<u64>,
}

impl Model {
    fn judge(&self, sequence: u64) -> Result<(), Replay> {
        if self.window == 0 {
            Ok(())
        } else if sequence <= self.highest && self.highest - sequence >= self.window {
            Err(Replay::TooOld)
        } else if sequence <= self.floor || self.seen.contains(&sequence) {
            Err(Replay::Seen)
        } else {
            Ok(())
        }
    }

    fn accept(&mut self, sequence: u64) -> Result<(), Replay> {
        self.judge(sequence)?;
        self.seen.insert(sequence);
        self.highest = self.highest.max(sequence);
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So far from the highest one.
    Near(i64),
    /// One that came before.
    Again(prop::sample::Index),
    /// Far ahead.
    Jump(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (-40_i64..40).prop_map(Step::Near),
        4 => (-400_i64..100).prop_map(Step::Near),
        1 => (-5000_i64..5000).prop_map(Step::Near),
        1 => (-70_000_i64..70_000).prop_map(Step::Near),
        4 => any::<prop::sample::Index>().prop_map(Step::Again),
        1 => (0..1_u64 << 30).prop_map(Step::Jump),
    ];
    prop::collection::vec(step, 0..300)
}

fn floors() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0_u64..10_000,
        // Around where the low 32 bits wrap, and where a tag does.
        (1_u64 << 32) - 300..(1 << 32) + 300,
        (1_u64 << 37) - 300..(1 << 37) + 300,
        0..u64::MAX - (1 << 40),
    ]
}

#[test]
fn sizes_are_checked() {
    for (window, words) in [(0, 0), (1, 2), (32, 2), (33, 4), (64, 4), (96, 4), (128, 8), (4096, 256)] {
        assert_eq!(words_for(window), words, "window {window}");
    }
    assert_eq!(words_for(u32::MAX), 1 << 28);
    let highest = AtomicU64::new(0);
    let words: Vec<_> = (0..8).map(AtomicU64::new).collect();
    assert!(Window::new(&highest, &words, 128).is_ok());
    assert_eq!(Window::new(&highest, &words[..4], 128).unwrap_err(), WrongSize { window: 128, words: 4 });
    assert_eq!(Window::new(&highest, &words[..7], 64).unwrap_err(), WrongSize { window: 64, words: 7 });
    assert_eq!(Window::new(&highest, &[], 1).unwrap_err().window, 1);
    assert!(Window::new(&highest, &[], 0).is_ok());
}

#[test]
fn zero_is_never_accepted_and_the_window_moves() {
    let memory = Memory::new(64, 4, 0);
    let window = memory.window();
    assert_eq!(window.check(0), Err(Replay::Seen));
    assert_eq!(window.commit(1), Ok(()));
    assert_eq!(window.check(1), Err(Replay::Seen));
    assert_eq!(window.commit(1), Err(Replay::Seen));
    assert_eq!(window.commit(65), Ok(()));
    assert_eq!(window.check(1), Err(Replay::TooOld));
    assert_eq!(window.commit(2), Ok(()));
    assert_eq!(window.highest(), 65);
}

/// Words that nobody wrote to for 2^36 sequence numbers are still read as old.
#[test]
fn a_long_leap_leaves_the_window_whole() {
    let memory = Memory::new(64, 4, 0);
    let window = memory.window();
    let far = (1 << 36) + 20;
    assert_eq!(window.commit(far), Ok(()));
    for sequence in far - 63..far {
        assert_eq!((window.check(sequence), window.commit(sequence)), (Ok(()), Ok(())));
        assert_eq!(window.commit(sequence), Err(Replay::Seen));
    }
}

#[test]
fn without_a_window_only_the_highest_is_kept() {
    let memory = Memory::new(0, 0, 0);
    let window = memory.window();
    for sequence in [5, 5, 3] {
        assert_eq!((window.check(sequence), window.commit(sequence)), (Ok(()), Ok(())));
    }
    assert_eq!(window.highest(), 5);
}

proptest! {
    #[test]
    fn agrees_with_a_set(
        window in prop_oneof![1_u32..200, 200_u32..=1 << 16, Just(32), Just(64), Just(1024), Just(4096), Just(1 << 16), Just(0)],
        roomy: bool,
        floor in floors(),
        steps in steps(),
    ) {
        let memory = Memory::new(window, words_for(window) << u32::from(roomy), floor);
        let mut model = Model { window: window.into(), highest: floor, floor, seen: HashSet::new() };
        let mut sent = vec![floor];
        for step in steps {
            let sequence = match step {
                Step::Near(distance) => model.highest.saturating_add_signed(distance),
                Step::Again(index) => *index.get(&sent),
                Step::Jump(distance) => model.highest.saturating_add(distance),
            };
            sent.push(sequence);
            prop_assert_eq!(memory.window().check(sequence), model.judge(sequence), "check {}", sequence);
            prop_assert_eq!(memory.window().commit(sequence), model.accept(sequence), "commit {}", sequence);
            prop_assert_eq!(memory.window().highest(), model.highest);
        }
    }

    /// However the numbers are cut into bursts.
    #[test]
    fn a_burst_is_its_numbers_in_turn(
        window in prop_oneof![1_u32..200, Just(32), Just(64), Just(1024), Just(0)],
        floor in floors(),
        bursts in prop::collection::vec(prop::collection::vec(
            prop_oneof![8 => 0_u64..8, 4 => 0_u64..200, 1 => 0_u64..5000], 0..80,
        ), 0..20),
    ) {
        let [memory, twin] = [(); 2].map(|()| Memory::new(window, words_for(window), floor));
        let mut base = floor.saturating_sub(100);
        for burst in bursts {
            let sequences: Vec<u64> = burst.iter().map(|ahead| base + ahead).collect();
            base += burst.len() as u64;
            let mut outcome = vec![Ok(()); sequences.len()];
            memory.window().commit_burst(&sequences, |place, why| outcome[place] = Err(why));
            let expected: Vec<_> = sequences.iter().map(|&sequence| twin.window().commit(sequence)).collect();
            prop_assert_eq!(outcome, expected, "{:?}", sequences);
            prop_assert_eq!(memory.window().highest(), twin.window().highest());
        }
        let words = |memory: &Memory| memory.words.iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>();
        prop_assert_eq!(words(&memory), words(&twin));
    }

    /// Also where words are so stale that their tags are misread.
    #[test]
    fn nothing_is_accepted_twice(
        window in 1_u32..200, floor: u64,
        sequences in prop::collection::vec(
            prop_oneof![any::<u64>(), (0_u64..4, 0_u64..8).prop_map(|(high, low)| (high << 37) + low * 16)], 0..200,
        ),
    ) {
        let memory = Memory::new(window, words_for(window), floor);
        let mut accepted = HashSet::new();
        for sequence in sequences {
            let checked = memory.window().check(sequence);
            if memory.window().commit(sequence).is_ok() {
                prop_assert!(checked.is_ok() && sequence > floor.saturating_sub(window.into()));
                prop_assert!(accepted.insert(sequence), "{} twice", sequence);
            }
        }
    }
}

/// Several workers are handed the same packets in much the same order. Each packet must be accepted at most once; and
/// exactly once, if the window is wide enough for the workers' lag.
fn race(window: u32, packets: u64, spread: u64, lossless: bool) {
    const WORKERS: usize = 4;
    let memory = Memory::new(window, words_for(window), 1 << 37);
    let first = (1 << 37) + 1;
    let accepted: Vec<_> = (0..packets).map(|_| AtomicU32::new(0)).collect();
    let start = Barrier::new(WORKERS);
    thread::scope(|scope| {
        for worker in 0..WORKERS as u64 {
            let (memory, accepted, start) = (&memory, &accepted, &start);
            scope.spawn(move || {
                start.wait();
                for step in 0..packets {
                    // Swaps places within runs of `spread`, differently in each worker.
                    let place = (step ^ (worker * 5 % spread)).min(packets - 1);
                    if memory.window().commit(first + place).is_ok() {
                        accepted[place as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    for (place, count) in accepted.iter().enumerate() {
        let count = count.load(Ordering::Relaxed);
        assert!(count <= 1, "{place} was accepted {count} times");
        assert!(count == 1 || !lossless, "{place} was never accepted");
    }
    assert_eq!(memory.window().highest(), first + packets - 1);
}

#[test]
fn workers_at_once_accept_each_packet_exactly_once() {
    race(1 << 18, 1 << 18, 64, true);
}

#[test]
fn workers_at_once_never_accept_a_packet_twice_in_a_small_window() {
    race(64, 1 << 18, 16, false);
    race(1, 1 << 16, 2, false);
}
