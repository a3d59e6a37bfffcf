//! Workers that look up while lists are changed and compiled anew, by the snapshots of the data plane: every burst is answered
//! by one of the lists that stood while it was looked up, wholly, and never by a mix.

use super::shapes::{SHAPES, key, rule};
use super::*;
use epoch::Published;
use fastrand::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const WORKERS: usize = 2;
/// Lists that follow each other.
const LISTS: usize = 60;
/// Every so many lists, one is compiled as a whole.
const FOLDED: usize = 6;
const RULES: u32 = 400;
/// Lines that each change writes anew.
const LINES: u32 = 40;
/// Longer than what is searched for side by side.
const BURST: usize = 64;

/// A packet's rule and its action, which is another one in every list that wrote the line anew.
type Told = Vec<(Option<u32>, Option<Action>)>;

/// An image that says nothing sound any more when nobody holds it.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(image: &Image) -> Bytes {
        Bytes(image.as_bytes().to_vec())
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.fill(0xFF);
    }
}

/// What workers see: a base that snapshots share, and its change.
struct Shown {
    base: Arc<Classifier<Bytes>>,
    change: Option<Overlay<Bytes>>,
}

impl Shown {
    fn look_up(&self, keys: &[KeyV4]) -> Told {
        let mut verdicts = [Verdict::NONE; BURST];
        match &self.change {
            Some(change) => change.over(&self.base).unwrap().lookup_v4(keys, &mut verdicts),
            None => self.base.lookup_v4(keys, &mut verdicts),
        }
        verdicts.iter().map(|verdict| (verdict.rule(), verdict.action())).collect()
    }
}

/// The list as who changes it has it.
struct Maker {
    rules: HashMap<u32, Rule>,
    delta: Delta,
    base: Arc<Classifier<Bytes>>,
}

impl Maker {
    fn new(rules: &[Rule]) -> Maker {
        let image = compile(rules, Limits::default()).unwrap();
        let base = Arc::new(Classifier::verify(Bytes::of(&image)).unwrap());
        let delta = Delta::new(rules.into(), image.into());
        Maker { rules: (0..).zip(rules.iter().copied()).collect(), delta, base }
    }

    /// The list in its order.
    fn list(&self) -> Vec<Rule> {
        self.delta.order().iter().map(|number| self.rules[number]).collect()
    }

    /// Writes lines anew, whose actions no list had before: some that packets met, and others.
    fn change(&mut self, list: usize, met: &[Told], random: &mut Rng) {
        let met: Vec<u32> = met.iter().flatten().filter_map(|(number, _)| *number).collect();
        let order = self.delta.order();
        for line in 0..LINES {
            let from = if line % 2 == 0 { &met } else { &order };
            let Some(&number) = random.choice(from) else { continue };
            let rule = Rule { action: Action::Protect(list as u32 * LINES + line), ..self.rules[&number] };
            // It may be gone by now.
            if let Ok(added) = self.delta.insert(Some(number), rule) {
                self.delta.remove(number).unwrap();
                self.rules.insert(added, rule);
            }
        }
    }

    fn show(&self) -> Shown {
        let change = (self.delta.changes() > 0).then(|| {
            let image = self.delta.compile(Limits::default()).unwrap();
            Overlay::verify(Bytes::of(&image)).unwrap()
        });
        Shown { base: Arc::clone(&self.base), change }
    }

    /// What a scan of the list answers.
    fn answers(&self, bursts: &[Vec<KeyV4>]) -> Vec<Told> {
        let (list, order) = (self.list(), self.delta.order());
        let of = |keys: &Vec<KeyV4>| {
            let mut verdicts = [Verdict::NONE; BURST];
            Linear::new(&list).lookup_v4(keys, &mut verdicts);
            let number = |place: u32| order[place as usize];
            verdicts.iter().map(|verdict| (verdict.rule().map(number), verdict.action())).collect()
        };
        bursts.iter().map(of).collect()
    }
}

#[test]
fn each_burst_is_answered_by_one_list_while_lists_change() {
    let mut random = Rng::with_seed(7);
    let bursts: Vec<Vec<KeyV4>> = (0..4).map(|_| (0..BURST).map(|_| key(&mut random)).collect()).collect();
    let rules: Vec<Rule> = (0..RULES).map(|_| rule(&mut random, true, SHAPES[1])).collect();
    let mut maker = Maker::new(&rules);
    // Of each list, written before anybody may see it.
    let answers: Vec<OnceLock<Vec<Told>>> = vec![OnceLock::new(); LISTS];
    answers[0].set(maker.answers(&bursts)).unwrap();
    let published = Published::new(maker.show());
    // The newest list that may be seen, and the newest that is sure to be; and the bursts of each worker.
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let looked_up: Vec<AtomicUsize> = (0..WORKERS).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for count in &looked_up {
            scope.spawn(|| {
                let reader = published.reader();
                for place in (0..bursts.len()).cycle() {
                    let oldest = done.load(Ordering::SeqCst);
                    let found = reader.pin().look_up(&bursts[place]);
                    let newest = begun.load(Ordering::SeqCst);
                    let list = (oldest..=newest).find(|list| answers[*list].get().unwrap()[place] == found);
                    // A worker that ends is waited for by nobody.
                    count.fetch_add(1, Ordering::SeqCst);
                    assert!(list.is_some(), "of no list from {oldest} to {newest}: {found:?}");
                    if oldest + 1 == LISTS {
                        break;
                    }
                }
            });
        }
        for (list, answer) in answers.iter().enumerate().skip(1) {
            maker.change(list, &maker.answers(&bursts), &mut random);
            if list % FOLDED == 0 {
                maker = Maker::new(&maker.list());
            }
            answer.set(maker.answers(&bursts)).unwrap();
            let shown = maker.show();
            let before: Vec<usize> = looked_up.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            begun.store(list, Ordering::SeqCst);
            published.publish(shown);
            done.store(list, Ordering::SeqCst);
            published.collect();
            // Every list but the last is looked up in by every worker before the next one comes, and while it comes.
            let behind = || {
                looked_up.iter().zip(&before).any(|(count, before)| count.load(Ordering::SeqCst) < before + 2)
            };
            let alive = std::time::Instant::now();
            while list + 1 < LISTS && behind() && alive.elapsed() < std::time::Duration::from_secs(1) {
                std::thread::yield_now();
            }
        }
    });
    assert!(answers.windows(2).all(|pair| pair[0].get() != pair[1].get()), "each list answers differently");
    assert!(published.wait_for_readers(std::time::Duration::from_secs(5)));
}
