//! Bursts of every length, and long lists that change.

use super::shapes::{SHAPES, key, rule};
use super::*;
use fastrand::Rng;

/// What no look-up finds.
const UNTOUCHED: Verdict = Verdict::new(7, [1, 7]);

/// Verdicts are found for as many keys as both slices have, and nothing is written behind them.
#[test]
fn bursts_of_every_length_are_looked_up_and_no_more() {
    let mut random = Rng::with_seed(5);
    for count in [5, 40, 900] {
        let rules: Vec<Rule> =
            (0..count).map(|number| rule(&mut random, number % 3 > 0, SHAPES[0])).collect();
        let keys: Vec<KeyV4> = (0..70).map(|_| key(&mut random)).collect();
        let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
        let mut slow = [[Verdict::NONE; 70]; 2];
        Linear::new(&rules).lookup_v4(&keys, &mut slow[0]);
        Linear::new(&rules).lookup_v6(&wide, &mut slow[1]);
        let image = compile(&rules, Limits::default()).unwrap();
        for back_end in BackEnd::all() {
            let classifier = Classifier::verify(image.as_bytes()).unwrap().with(back_end);
            for (keys_given, verdicts_given) in (0..=70).flat_map(|len| [(len, 70), (70, len)]) {
                let found = keys_given.min(verdicts_given);
                let mut fast = [[UNTOUCHED; 70]; 2];
                classifier.lookup_v4(&keys[..keys_given], &mut fast[0][..verdicts_given]);
                classifier.lookup_v6(&wide[..keys_given], &mut fast[1][..verdicts_given]);
                for (fast, slow) in fast.iter().zip(&slow) {
                    assert_eq!(fast[..found], slow[..found], "{back_end:?}");
                    assert!(fast[found..].iter().all(|verdict| *verdict == UNTOUCHED), "{back_end:?}");
                }
            }
        }
    }
}

/// Of some thousand rules many are removed and many are added: what remains is found, however many first matches went.
#[test]
fn long_lists_that_change_agree_with_the_linear_scan() {
    let mut trees = 0;
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let mut random = Rng::with_seed(seed as u64);
        let base: Vec<Rule> = (0..3000).map(|number| rule(&mut random, number % 3 > 0, shape)).collect();
        let image = compile(&base, Limits::default()).unwrap();
        let mut delta = Delta::new(base.clone().into(), image.clone().into());
        let mut rules = base.clone();
        for _ in 0..900 {
            let _ = delta.remove(random.u32(..base.len() as u32));
        }
        for number in 0..300 {
            let rule = rule(&mut random, number % 3 > 0, shape);
            // Before a rule that was removed there is no place.
            if delta.insert(Some(random.u32(..base.len() as u32)), rule).is_ok() {
                rules.push(rule);
            }
        }
        let order = delta.order();
        let list: Vec<Rule> = order.iter().map(|number| rules[*number as usize]).collect();
        let keys: Vec<KeyV4> = (0..500).map(|_| key(&mut random)).collect();
        let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
        let none = vec![Verdict::NONE; keys.len()];
        let mut slow = [none.clone(), none.clone()];
        Linear::new(&list).lookup_v4(&keys, &mut slow[0]);
        Linear::new(&list).lookup_v6(&wide, &mut slow[1]);
        let compiled = delta.compile(Limits::default()).unwrap();
        let overlay = Overlay::verify(compiled.as_bytes()).unwrap();
        assert!(overlay.leaves() > 0, "some rules come into leaves of the base");
        trees += overlay.trees().len();
        for back_end in BackEnd::all() {
            let overlay = Overlay::verify(compiled.as_bytes()).unwrap().with(back_end);
            let classifier = Classifier::verify(image.as_bytes()).unwrap().with(back_end);
            let changed = overlay.over(&classifier).unwrap();
            let mut fast = [none.clone(), none.clone()];
            changed.lookup_v4(&keys, &mut fast[0]);
            changed.lookup_v6(&wide, &mut fast[1]);
            for (fast, slow) in fast.iter().zip(&slow) {
                for (fast, slow) in fast.iter().zip(slow) {
                    let rule = slow.rule().map(|place| order[place as usize]);
                    assert_eq!((fast.rule(), fast.action()), (rule, slow.action()), "{back_end:?}");
                }
            }
        }
    }
    assert!(trees > 0, "and some are too wide for that");
}
