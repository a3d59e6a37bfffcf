//! Bytes that are not what they seem.

use super::change::changes;
use super::*;
use std::cell::Cell;

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
        if let Ok(classifier) = Classifier::verify(bytes) {
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            classifier.lookup_v4(&keys, &mut verdicts);
            classifier.lookup_v6(&keys.iter().map(widen).collect::<Vec<_>>(), &mut verdicts);
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
        let base = Classifier::verify(image).unwrap();
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
        if let Ok(overlay) = Overlay::verify(bytes)
            && let Some(changed) = overlay.over(&base)
        {
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            changed.lookup_v4(&keys, &mut verdicts);
            changed.lookup_v6(&keys.iter().map(widen).collect::<Vec<_>>(), &mut verdicts);
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
