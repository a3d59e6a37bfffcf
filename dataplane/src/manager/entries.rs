//! The outbound SAs by the policy entries that they serve, kept by difference. Pure.

use crate::pages::Pages;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What serves each entry: an SA by its index, where that is live.
#[derive(Debug)]
pub(super) struct Entries<T> {
    table: Pages<Option<Arc<T>>>,
    /// Index and entry, of each entry that is bound, be the SA there or not.
    bound: BTreeSet<(u32, u32)>,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Entries<T> {
        Entries { table: Pages::new(), bound: BTreeSet::new() }
    }

    /// As workers see them.
    pub(super) fn table(&self) -> Pages<Option<Arc<T>>> {
        self.table.clone()
    }

    /// An entry was bound to the index `before`, and is now to that `after`, whose SA is `sa`.
    pub(super) fn bind(&mut self, entry: u32, before: Option<u32>, after: Option<u32>, sa: Option<&Arc<T>>) {
        if let Some(before) = before {
            self.bound.remove(&(before, entry));
        }
        if let Some(after) = after {
            self.bound.insert((after, entry));
        }
        self.show(entry, sa);
    }

    /// The SA of an index is another now, or none. Gives the entries that it serves.
    pub(super) fn follow(&mut self, index: u32, sa: Option<&Arc<T>>) -> Vec<u32> {
        let entries: Vec<u32> =
            self.bound.range((index, 0)..=(index, u32::MAX)).map(|&(_, entry)| entry).collect();
        entries.iter().for_each(|&entry| self.show(entry, sa));
        entries
    }

    fn show(&mut self, entry: u32, sa: Option<&Arc<T>>) {
        let entry = entry as usize;
        // What was never served needs no room to say so.
        if sa.is_some() || self.table.get(entry).is_some_and(Option::is_some) {
            *self.table.get_mut(entry) = sa.cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Comes(u32),
        Goes(u32),
        Bind(u32, Option<u32>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8u32).prop_map(Step::Comes),
            (0..8u32).prop_map(Step::Goes),
            (0..300u32, prop::option::of(0..8u32)).prop_map(|(entry, index)| Step::Bind(entry, index)),
        ]
    }

    proptest! {
        /// Against the whole written anew.
        #[test]
        fn by_difference_is_as_anew(steps in prop::collection::vec(step(), 0..60)) {
            let (mut entries, mut sas, mut bindings) = (Entries::new(), BTreeMap::new(), BTreeMap::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Comes(index) => {
                        let sa = Arc::new(number);
                        entries.follow(index, Some(&sa));
                        sas.insert(index, sa);
                    }
                    Step::Goes(index) => {
                        entries.follow(index, None);
                        sas.remove(&index);
                    }
                    Step::Bind(entry, index) => {
                        let before = match index {
                            Some(index) => bindings.insert(entry, index),
                            None => bindings.remove(&entry),
                        };
                        entries.bind(entry, before, index, index.and_then(|index| sas.get(&index)));
                    }
                }
                let table = entries.table();
                for entry in 0..300 {
                    let anew = bindings.get(&entry).and_then(|index| sas.get(index));
                    prop_assert_eq!(table.get(entry as usize).and_then(Option::as_ref), anew);
                }
            }
        }
    }
}
