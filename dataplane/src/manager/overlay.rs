//! A table with changes laid over it, to be looked at as a whole before any of it is done.

use std::collections::BTreeMap;

/// A change to one key: the number of the command that asked for it, and the new value, if any.
type Asked<V> = (u64, Option<V>);

/// What a table would be after a transaction.
#[derive(Debug)]
pub(super) struct Overlay<'a, K, V> {
    base: &'a BTreeMap<K, V>,
    asked: BTreeMap<K, Asked<V>>,
    /// What is not asked for goes away.
    replace: bool,
}

/// One key whose value differs before and after.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<'a, K, V> {
    pub(super) key: &'a K,
    /// The command that asked for it; `None` where the whole was replaced and the key not mentioned.
    pub(super) number: Option<u64>,
    pub(super) before: Option<&'a V>,
    pub(super) after: Option<&'a V>,
}

impl<'a, K: Ord, V: PartialEq> Overlay<'a, K, V> {
    pub(super) fn new(base: &'a BTreeMap<K, V>, replace: bool) -> Overlay<'a, K, V> {
        Overlay { base, asked: BTreeMap::new(), replace }
    }

    pub(super) fn set(&mut self, number: u64, key: K, value: V) {
        self.asked.insert(key, (number, Some(value)));
    }

    pub(super) fn remove(&mut self, number: u64, key: K) {
        self.asked.insert(key, (number, None));
    }

    /// A value that this transaction itself set.
    pub(super) fn asked_mut(&mut self, key: &K) -> Option<&mut V> {
        self.asked.get_mut(key)?.1.as_mut()
    }

    /// A value that the transaction has said something of, or else the one before it, even where all is replaced.
    pub(super) fn known(&self, key: &K) -> Option<&V> {
        match self.asked.get(key) {
            Some((_, value)) => value.as_ref(),
            None => self.base.get(key),
        }
    }

    /// The value after the transaction.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self.asked.get(key) {
            Some((_, value)) => value.as_ref(),
            None if self.replace => None,
            None => self.base.get(key),
        }
    }

    /// Everything that there is after the transaction, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let asked = self.asked.iter().filter_map(|(key, (_, value))| Some((key, value.as_ref()?)));
        let kept = self.base.iter().filter(|(key, _)| !self.replace && !self.asked.contains_key(key));
        asked.chain(kept)
    }

    /// What differs, first what was asked for in key order, then what is left out of a replacement.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_, K, V>> {
        let asked = self.asked.iter().map(|(key, (number, after))| Change {
            key,
            number: Some(*number),
            before: self.base.get(key),
            after: after.as_ref(),
        });
        // The table may be long, and is gone through only where it has to be.
        let base = self.replace.then(|| self.base.iter()).into_iter().flatten();
        let left_out = base.filter(|(key, _)| !self.asked.contains_key(key)).map(|(key, before)| Change {
            key,
            number: None,
            before: Some(before),
            after: None,
        });
        asked.chain(left_out).filter(|change| change.before != change.after)
    }

    /// The changes without the table they lie over.
    pub(super) fn into_patch(self) -> Patch<K, V> {
        Patch { asked: self.asked, replace: self.replace }
    }
}

/// Changes to a table, ready to be made.
#[derive(Debug)]
pub(super) struct Patch<K, V> {
    asked: BTreeMap<K, Asked<V>>,
    replace: bool,
}

impl<K: Ord, V> Patch<K, V> {
    /// Makes the changes.
    pub(super) fn apply(self, table: &mut BTreeMap<K, V>) {
        if self.replace {
            table.retain(|key, _| self.asked.contains_key(key));
        }
        for (key, (_, value)) in self.asked {
            match value {
                Some(value) => drop(table.insert(key, value)),
                None => drop(table.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The overlay, its changes and its patch against a copy of the table that is changed step by step.
        #[test]
        fn agrees_with_a_plain_copy(
            base in prop::collection::btree_map(0u8..20, 0u8..4, 0..20),
            steps in prop::collection::vec((0u8..20, prop::option::of(0u8..4)), 0..30),
            replace: bool,
        ) {
            let mut copy = if replace { BTreeMap::new() } else { base.clone() };
            let mut overlay = Overlay::new(&base, replace);
            for (number, (key, value)) in steps.into_iter().enumerate() {
                match value {
                    Some(value) => { copy.insert(key, value); overlay.set(number as u64, key, value); }
                    None => { copy.remove(&key); overlay.remove(number as u64, key); }
                }
            }
            for key in 0..20 {
                prop_assert_eq!(overlay.get(&key), copy.get(&key));
            }
            let all: BTreeMap<_, _> = overlay.iter().map(|(&key, &value)| (key, value)).collect();
            prop_assert_eq!(&all, &copy);
            prop_assert_eq!(overlay.iter().count(), copy.len());
            let mut changed = base.clone();
            for change in overlay.changes() {
                prop_assert_ne!(change.before, change.after);
                prop_assert_eq!(change.before, base.get(change.key));
                match change.after {
                    Some(&after) => { changed.insert(*change.key, after); }
                    None => { changed.remove(change.key); }
                }
            }
            prop_assert_eq!(&changed, &copy);
            let mut patched = base.clone();
            overlay.into_patch().apply(&mut patched);
            prop_assert_eq!(&patched, &copy);
        }
    }
}
