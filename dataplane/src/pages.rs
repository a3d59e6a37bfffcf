//! A table that is shown to workers again and again with little of it changed.

use std::sync::Arc;

/// Values in a page. A change copies the page that it is on, and a copy of the table counts its pages.
const PAGE: usize = 128;

/// Values by number. A copy shares with its original all pages but those on which either was changed since.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T>(Vec<Arc<[T; PAGE]>>);

impl<T: Clone + Default> Pages<T> {
    /// Without any values.
    pub(crate) fn new() -> Pages<T> {
        Pages(Vec::new())
    }

    /// Room for at least so many, all of the default.
    pub(crate) fn with_room(values: usize) -> Pages<T> {
        let empty = Arc::new(std::array::from_fn(|_| T::default()));
        Pages(vec![empty; values.div_ceil(PAGE)])
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number / PAGE).map(|page| &page[number % PAGE])
    }

    /// The value of that number, to be changed; where there is no room for it yet, room is made.
    pub(crate) fn get_mut(&mut self, number: usize) -> &mut T {
        let page = number / PAGE;
        if page >= self.0.len() {
            self.0.extend(Pages::with_room((page + 1 - self.0.len()) * PAGE).0);
        }
        &mut Arc::make_mut(&mut self.0[page])[number % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A table against a plain one, and copies against what they were when they were made.
        #[test]
        fn copies_stay_what_they_were(
            steps in prop::collection::vec((0..1000usize, any::<u8>(), prop::bool::weighted(0.1)), 0..100),
        ) {
            let (mut table, mut plain, mut copies) = (Pages::new(), vec![0; 1000], Vec::new());
            for (number, value, copy) in steps {
                if copy {
                    copies.push((table.clone(), plain.clone()));
                }
                *table.get_mut(number) = value;
                plain[number] = value;
            }
            for (table, plain) in copies.iter().chain([&(table, plain)]) {
                for (number, value) in plain.iter().enumerate() {
                    prop_assert_eq!(table.get(number).unwrap_or(&0), value);
                }
            }
        }
    }
}
