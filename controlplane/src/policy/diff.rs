//! What changed between two lists. Pure.
//!
//! Lists are long and changes few, so it goes through both in step, and where they part it looks for the nearest place at
//! which they meet again. That need not be the shortest difference, but it is one, and takes time by the length of the lists
//! and the size of each gap. (The general algorithms take time by the length times the number of changes, or hash every
//! line first: either is longer than all the rest of a change.)

use super::List;
use std::collections::HashMap;
use std::ops::Range;

/// Lines that give way to others, and stand between lines that stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Places in the old list.
    pub old: Range<usize>,
    /// Places in the new list.
    pub new: Range<usize>,
}

/// Gaps of so many lines are tried one by one; for wider ones lines are hashed.
const NARROW: usize = 24;

/// What makes a line the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What it says, and its label: where it stands in the configuration.
    Line,
    /// What it says alone: where lines have no numbers of their own, one that comes moves the numbers of all behind it.
    Rule,
}

type Identity<'a> = (&'a acl::Rule, Option<&'a [u8; shm::layout::LABEL_BYTES]>);

impl By {
    fn line(self, list: &List, place: usize) -> Identity<'_> {
        (&list.rules[place], (self == By::Line).then(|| list.labels[place].padded()))
    }
}

/// The hunks in their order; `None` if they come to more lines than `most`.
pub fn hunks(old: &List, new: &List, by: By, most: usize) -> Option<Vec<Hunk>> {
    let mut hunks = Vec::new();
    let (mut i, mut j, mut lines) = (0, 0, 0);
    loop {
        while i < old.len() && j < new.len() && by.line(old, i) == by.line(new, j) {
            (i, j) = (i + 1, j + 1);
        }
        if i == old.len() && j == new.len() {
            return Some(hunks);
        }
        let (gone, come) = gap(old, i, new, j, by, most)?;
        lines += gone + come;
        if lines > most {
            return None;
        }
        hunks.push(Hunk { old: i..i + gone, new: j..j + come });
        (i, j) = (i + gone, j + come);
    }
}

/// How many lines of each list are passed until both meet again, or end.
fn gap(old: &List, i: usize, new: &List, j: usize, by: By, most: usize) -> Option<(usize, usize)> {
    let left = (old.len() - i, new.len() - j);
    for sum in 0..NARROW {
        for gone in 0..=sum {
            let come = sum - gone;
            let both = gone < left.0 && come < left.1;
            if (both && by.line(old, i + gone) == by.line(new, j + come)) || (gone, come) == left {
                return Some((gone, come));
            }
        }
    }
    let mut window = 2 * NARROW;
    loop {
        let (olds, news) = (left.0.min(window), left.1.min(window));
        let mut places = HashMap::with_capacity(olds);
        for gone in 0..olds {
            places.entry(by.line(old, i + gone)).or_insert(gone);
        }
        let meet = (0..news).filter_map(|come| Some((*places.get(&by.line(new, j + come))?, come)));
        if let Some(nearest) = meet.min_by_key(|(gone, come)| gone + come) {
            return Some(nearest);
        }
        if (olds, news) == left {
            return Some(left);
        }
        if window > most {
            return None;
        }
        window *= 2;
    }
}
