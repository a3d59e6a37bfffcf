//! Lists that change.

use super::*;

/// A list, and how to change it: what is done, and where.
pub(super) fn changes() -> impl Strategy<Value = Vec<(bool, prop::sample::Index, Rule)>> {
    prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), rule()), 1..24)
}

proptest! {
    /// At every step, the list with its changes is the list that it should be.
    #[test]
    fn a_changed_list_agrees_with_the_linear_scan(
        rules in prop::collection::vec(rule(), 0..60), changes in changes(), keys in prop::collection::vec(key(), 1..64),
    ) {
        let image = compile(&rules, Limits::default()).unwrap();
        let base_by = |back_end| (back_end, Classifier::verify(image.as_bytes()).unwrap().with(back_end));
        let bases: Vec<_> = BackEnd::all().into_iter().map(base_by).collect();
        let mut delta = Delta::new(rules.clone().into(), image.clone().into());
        let mut list: Vec<(u32, Rule)> = (0..).zip(rules.iter().copied()).collect();
        for (insert, place, rule) in changes {
            let at = place.index(list.len() + 1);
            let there = list.get(at).map(|(number, _)| *number);
            match there {
                Some(number) if !insert => {
                    list.remove(at);
                    delta.remove(number).unwrap();
                    prop_assert_eq!(delta.remove(number), Err(DeltaError::NoSuchRule(number)));
                    prop_assert_eq!(delta.insert(Some(number), rule), Err(DeltaError::NoSuchRule(number)));
                }
                _ => list.insert(at, (delta.insert(there, rule).unwrap(), rule)),
            }
            prop_assert_eq!(delta.order(), list.iter().map(|(number, _)| *number).collect::<Vec<_>>());
            let compiled = delta.compile(Limits::default()).unwrap();
            prop_assert_eq!(&compiled, &delta.compile(Limits::default()).unwrap());
            let overlay = Overlay::verify(compiled.as_bytes()).unwrap();
            prop_assert!(list.iter().all(|(number, _)| *number < overlay.numbers()));
            prop_assert_eq!(overlay.order(), delta.order());
            prop_assert_eq!(overlay.base() - overlay.removed() + overlay.added(), list.len() as u32);
            prop_assert_eq!(delta.changes() as u32, overlay.removed() + overlay.added());
            prop_assert!(overlay.numbers() <= delta.numbers());
            let now: Vec<Rule> = list.iter().map(|(_, rule)| *rule).collect();
            let mut slow = vec![Verdict::NONE; keys.len()];
            let numbered = |verdict: &Verdict| (verdict.rule().map(|rule| list[rule as usize].0), verdict.action());
            let wide: Vec<KeyV6> = keys.iter().map(widen).collect();
            for (back_end, base) in &bases {
                let overlay = Overlay::verify(compiled.as_bytes()).unwrap().with(*back_end);
                let changed = overlay.over(base).unwrap();
                let mut fast = slow.clone();
                Linear::new(&now).lookup_v4(&keys, &mut slow);
                changed.lookup_v4(&keys, &mut fast);
                prop_assert!(fast.iter().map(|verdict| (verdict.rule(), verdict.action())).eq(slow.iter().map(numbered)));
                Linear::new(&now).lookup_v6(&wide, &mut slow);
                changed.lookup_v6(&wide, &mut fast);
                prop_assert!(fast.iter().map(|verdict| (verdict.rule(), verdict.action())).eq(slow.iter().map(numbered)));
            }
        }
    }
}
