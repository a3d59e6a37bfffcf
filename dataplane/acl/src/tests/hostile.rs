//! Bytes that are not what they seem.

use super::change::changes;
use super::*;
use crate::block::{Block, LANES, word};
use crate::layout::{Entry, NONE, V4};
use std::cell::Cell;
use std::path::Path;

/// Seeds of an older format would be refused at their first word, and fuzzing would begin with nothing. How they are written
/// anew stands in `fuzz/src/lib.rs`.
#[test]
fn the_seeds_of_the_fuzzing_are_of_this_format() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/verify");
    let mut whole = 0;
    for entry in folder.read_dir().unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        let Some((&[0, low, high], rest)) = seed.split_first_chunk() else { continue };
        let (image, change) = rest.split_at(usize::from(u16::from_le_bytes([low, high])));
        let (image, change) = (Classifier::verify(image).unwrap(), Overlay::verify(change).unwrap());
        assert!(change.over(&image).is_some());
        whole += 1;
    }
    assert!(whole > 3, "seeds that are images");
}

/// What was verified is looked up alike by all back ends, be it what anybody would compile or not.
fn alike(keys: &[KeyV4], look_up: impl Fn(BackEnd, &[KeyV4], &[KeyV6], &mut [Vec<Verdict>; 2])) {
    let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
    let none = vec![Verdict::NONE; keys.len()];
    let found = BackEnd::all().into_iter().map(|back_end| {
        let mut verdicts = [none.clone(), none.clone()];
        look_up(back_end, keys, &wide, &mut verdicts);
        verdicts
    });
    let found: Vec<_> = found.collect();
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
}

/// Rules out of order would be found by some back ends and not by others.
#[test]
fn leaves_out_of_order_are_refused() {
    let mut random = fastrand::Rng::with_seed(3);
    let rules: Vec<Rule> = (0..20).map(|_| shapes::rule(&mut random, true, (100, 100))).collect();
    let image = compile(&rules, Limits::default()).unwrap();
    let classifier = Classifier::verify(image.as_bytes()).unwrap();
    let tables = classifier.tables(0);
    let root = Entry(u64::from_le_bytes(tables.entries[0]));
    assert!(root.is_long() && root.place() == 0 && tables.blocks.count::<V4>() == 3);
    let at = |part: &[u8]| part.as_ptr().addr() - image.as_bytes().as_ptr().addr();
    let block = |place| Block::<V4>::at(tables.blocks, place).unwrap().ranks();
    let refused = |changes: &[(usize, u32)]| {
        let mut bytes = image.as_bytes().to_vec();
        changes.iter().for_each(|(place, word)| bytes[*place..][..4].copy_from_slice(&word.to_le_bytes()));
        Classifier::verify(bytes).err()
    };
    let rank = |place, lane: usize| (at(block(place)) + 4 * lane, word(block(place), lane));
    let swapped = |(one, a): (usize, u32), (other, b): (usize, u32)| refused(&[(one, b), (other, a)]);
    assert_eq!(refused(&[]), None);
    assert_eq!(swapped(rank(0, 2), rank(0, 3)), Some(VerifyError::Block(0)), "in a block");
    assert_eq!(swapped(rank(0, 7), rank(1, 0)), Some(VerifyError::Node(0)), "of two blocks");
    let endless: Vec<_> = (4..LANES).map(|lane| (rank(2, lane).0, rank(2, 3).1)).collect();
    assert_eq!(refused(&endless), Some(VerifyError::Node(0)), "without an end");
    let entry = at(&tables.entries[0]);
    assert_eq!(refused(&[(entry, root.low() + 1)]), Some(VerifyError::Node(0)), "with another first rule");
    assert_eq!(refused(&[(entry, NONE)]), Some(VerifyError::Node(0)), "without any");
}

proptest! {
    /// Whatever is done to an image, it is refused, or look-ups in it end without a panic.
    #[test]
    fn hostile_images_do_no_harm(
        rules in prop::collection::vec(rule(), 0..20), keys in prop::collection::vec(key(), 1..16),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(),
        truncate: bool,
    ) {
        let mut bytes = compile(&rules, Limits::default()).unwrap().as_bytes().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if Classifier::verify(&bytes).is_ok() {
            alike(&keys, |back_end, keys, wide, verdicts| {
                let classifier = Classifier::verify(&bytes).unwrap().with(back_end);
                classifier.lookup_v4(keys, &mut verdicts[0]);
                classifier.lookup_v6(wide, &mut verdicts[1]);
            });
        }
    }

    #[test]
    fn random_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Classifier::verify(bytes).is_err());
    }

    /// Whatever is done to a delta, it is refused, or look-ups through it end without a panic.
    #[test]
    fn hostile_deltas_do_no_harm(
        rules in prop::collection::vec(rule(), 0..20), added in changes(), keys in prop::collection::vec(key(), 1..16),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let image = compile(&rules, Limits::default()).unwrap();
        let mut delta = Delta::new(rules.clone().into(), image.clone().into());
        let base = Classifier::verify(image.as_bytes()).unwrap();
        for (remove, place, rule) in added {
            if remove && !rules.is_empty() {
                let _ = delta.remove(place.index(rules.len()) as u32);
            }
            delta.insert(None, rule).unwrap();
        }
        let mut bytes = delta.compile(Limits::default()).unwrap().as_bytes().to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if Overlay::verify(&bytes).is_ok_and(|overlay| overlay.over(&base).is_some()) {
            alike(&keys, |back_end, keys, wide, verdicts| {
                let overlay = Overlay::verify(&bytes).unwrap().with(back_end);
                let base = Classifier::verify(image.as_bytes()).unwrap().with(back_end);
                let changed = overlay.over(&base).unwrap();
                changed.lookup_v4(keys, &mut verdicts[0]);
                changed.lookup_v6(wide, &mut verdicts[1]);
            });
        }
    }

    /// Bytes that change behind the back of who verified them give wrong verdicts at worst.
    #[test]
    fn images_that_change_later_do_no_harm(
        rules in prop::collection::vec(rule(), 0..60), keys in prop::collection::vec(key(), 1..16),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64), cut in any::<prop::sample::Index>(),
        truncate: bool,
    ) {
        let good = compile(&rules, Limits::default()).unwrap();
        let mut bad = good.as_bytes().to_vec();
        for (place, value) in changes {
            let place = place.index(bad.len());
            bad[place] = value;
        }
        if truncate {
            bad.truncate(cut.index(bad.len()));
        }
        let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
        for back_end in BackEnd::all() {
            let turncoat = Turncoat { good: good.as_bytes(), bad: &bad, turned: Cell::new(false) };
            let classifier = Classifier::verify(turncoat).unwrap().with(back_end);
            classifier.image().turned.set(true);
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            classifier.lookup_v4(&keys, &mut verdicts);
            classifier.lookup_v6(&wide, &mut verdicts);
        }
    }

    /// The same of a delta, whose index is read anew for each burst.
    #[test]
    fn deltas_that_change_later_do_no_harm(
        rules in prop::collection::vec(rule(), 0..20), added in changes(), keys in prop::collection::vec(key(), 1..40),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64), cut in any::<prop::sample::Index>(),
        truncate: bool,
    ) {
        let image = compile(&rules, Limits::default()).unwrap();
        let mut delta = Delta::new(rules.clone().into(), image.clone().into());
        for (remove, place, rule) in added {
            if remove && !rules.is_empty() {
                let _ = delta.remove(place.index(rules.len()) as u32);
            }
            delta.insert(None, rule).unwrap();
        }
        let good = delta.compile(Limits::default()).unwrap();
        let mut bad = good.as_bytes().to_vec();
        for (place, value) in damage {
            let place = place.index(bad.len());
            bad[place] = value;
        }
        if truncate {
            bad.truncate(cut.index(bad.len()));
        }
        let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
        for back_end in BackEnd::all() {
            let base = Classifier::verify(image.as_bytes()).unwrap().with(back_end);
            let turncoat = Turncoat { good: good.as_bytes(), bad: &bad, turned: Cell::new(false) };
            let overlay = Overlay::verify(turncoat).unwrap().with(back_end);
            overlay.image().turned.set(true);
            let changed = overlay.over(&base).unwrap();
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            changed.lookup_v4(&keys, &mut verdicts);
            changed.lookup_v6(&wide, &mut verdicts);
        }
    }
}

/// Holds one image first, and other bytes later.
struct Turncoat<'a> {
    good: &'a [u8],
    bad: &'a [u8],
    turned: Cell<bool>,
}

impl AsRef<[u8]> for Turncoat<'_> {
    fn as_ref(&self) -> &[u8] {
        if self.turned.get() { self.bad } else { self.good }
    }
}
