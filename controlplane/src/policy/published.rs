//! What the data plane looks the packets of a port up in: a base, and a change of it. Pure.

use super::List;
use super::diff::{By, Hunk, hunks};
use acl::{CompileError, Delta, Image};
use shm::Label;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shorter lists are compiled as a whole in three milliseconds at most, and are looked up faster than through a change.
pub const LONG: usize = 1024;
/// Lines that a change may add and remove in all. More are compiled with the rest, so that look-ups stay fast.
pub const MOST_CHANGES: usize = 4096;

/// Lines that come in a row without anybody asking whether all were numbered anew.
const FEW: usize = 64;

/// A list compiled as a whole.
pub struct Base {
    /// What it was compiled of.
    pub list: Arc<List>,
    /// The compiled rules.
    pub image: Arc<Image>,
    /// No change of them yet: what is known of the image beforehand is made ready when nobody waits for it.
    unchanged: Delta,
    /// How long that took.
    pub took: Duration,
}

impl Base {
    /// Compiles a list.
    pub fn compile(list: &Arc<List>) -> Result<Base, CompileError> {
        let began = Instant::now();
        let image = Arc::new(acl::compile(&list.rules, acl::Limits::default())?);
        let took = began.elapsed();
        let unchanged = Delta::new(Arc::clone(&list.rules), Arc::clone(&image));
        Ok(Base { list: Arc::clone(list), image, unchanged, took })
    }

    /// The same for a list that may say what this one says, under other labels.
    pub fn compile_again(&self, list: &Arc<List>) -> Result<Base, CompileError> {
        if list.rules != self.list.rules {
            return Base::compile(list);
        }
        let (image, unchanged) = (Arc::clone(&self.image), self.unchanged.clone());
        Ok(Base { list: Arc::clone(list), image, unchanged, took: self.took })
    }
}

/// A change of a base.
#[derive(Clone)]
struct Change {
    delta: Delta,
    image: Arc<Image>,
    /// Of all numbers from `first` on, be the rules still there or not.
    labels: Vec<Label>,
    /// The first number that the base has not, or 0 where lines of the base have other labels now.
    first: u32,
    /// The number of each rule of the list, which is in the list's order.
    numbers: Vec<u32>,
}

/// A list as the data plane has it.
#[derive(Clone)]
pub struct Published {
    base: Arc<Base>,
    /// Nothing, where the list is the base's.
    change: Option<Change>,
    list: Arc<List>,
}

impl Published {
    /// A base alone.
    pub fn new(base: Arc<Base>) -> Published {
        let list = Arc::clone(&base.list);
        Published { base, change: None, list }
    }

    /// The list that it comes to.
    pub fn list(&self) -> &Arc<List> {
        &self.list
    }

    /// What was compiled as a whole.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// The compiled change, and the labels of all numbers from the first on that it says.
    pub fn change(&self) -> Option<(&Image, u32, &[Label])> {
        self.change.as_ref().map(|change| (&*change.image, change.first, change.labels.as_slice()))
    }

    /// Rules that the change adds and removes.
    pub fn changes(&self) -> usize {
        self.change.as_ref().map_or(0, |change| change.delta.changes())
    }

    /// The number of the rule at a place of the list.
    pub fn number(&self, place: usize) -> u32 {
        match &self.change {
            Some(change) => change.numbers.get(place).copied().unwrap_or(u32::MAX),
            None => place as u32,
        }
    }

    /// The same base, changed to another list; as it is, if that says the same. `None` if that is better compiled as a
    /// whole.
    pub fn changed(&self, list: &Arc<List>) -> Option<Published> {
        if list.map != self.list.map {
            return None;
        }
        if self.base.list.len() < LONG {
            return (*list == self.list).then(|| self.clone());
        }
        let (by, hunks) = difference(&self.list, list)?;
        if hunks.is_empty() && by == By::Line {
            return Some(self.clone());
        }
        let len = self.base.list.len() as u32;
        let (mut delta, mut first, mut labels) = match &self.change {
            Some(change) => (change.delta.clone(), change.first, change.labels.clone()),
            None => (self.base.unchanged.clone(), len, Vec::new()),
        };
        let mut numbers = Vec::with_capacity(list.len());
        let mut stayed = 0;
        for hunk in hunks {
            numbers.extend((stayed..hunk.old.start).map(|place| self.number(place)));
            stayed = hunk.old.end;
            for place in hunk.old {
                delta.remove(self.number(place)).ok()?;
            }
            let before = (stayed < self.list.len()).then(|| self.number(stayed));
            for place in hunk.new {
                let rule = *list.rules.get(place)?;
                numbers.push(delta.insert(before, rule).ok()?);
                labels.push(*list.labels.get(place)?);
            }
        }
        numbers.extend((stayed..self.list.len()).map(|place| self.number(place)));
        if delta.changes() > MOST_CHANGES {
            return None;
        }
        if by == By::Rule {
            if first > 0 {
                labels.splice(0..0, self.base.list.labels.iter().copied());
                first = 0;
            }
            for (number, label) in numbers.iter().zip(&list.labels) {
                *labels.get_mut(*number as usize)? = *label;
            }
        }
        let image = Arc::new(delta.compile(acl::Limits::default()).ok()?);
        let change = Some(Change { delta, image, labels, first, numbers });
        Some(Published { base: Arc::clone(&self.base), change, list: Arc::clone(list) })
    }

    /// For each number of `self`, the number that the same line has in what was there before; of what came since, and of
    /// what is no longer there, none.
    pub fn origins(&self, before: &Published) -> Vec<Option<u32>> {
        let given = self.change.as_ref().map_or(self.base.list.len() as u32, |change| change.delta.numbers());
        let mut origins = vec![None; given as usize];
        let same = Arc::ptr_eq(&self.list, &before.list);
        let lines = |list: &'_ List, place: usize| (list.rules[place], list.labels[place]);
        let places: HashMap<_, usize> = match same {
            true => HashMap::new(),
            false => (0..before.list.len()).map(|place| (lines(&before.list, place), place)).collect(),
        };
        for place in 0..self.list.len() {
            let there = if same { Some(place) } else { places.get(&lines(&self.list, place)).copied() };
            if let Some(origin) = origins.get_mut(self.number(place) as usize) {
                *origin = there.map(|there| before.number(there));
            }
        }
        origins
    }
}

/// The hunks, and what the lines are known by in them: by all that they say, unless it looks as if they were numbered anew.
fn difference(old: &List, new: &List) -> Option<(By, Vec<Hunk>)> {
    let lines = |hunks: &Vec<Hunk>| hunks.iter().map(|hunk| hunk.old.len() + hunk.new.len()).sum::<usize>();
    let by_line = hunks(old, new, By::Line, MOST_CHANGES);
    if by_line.iter().flatten().all(|hunk| hunk.new.len() <= FEW) && by_line.is_some() {
        return by_line.map(|by_line| (By::Line, by_line));
    }
    let many = by_line.as_ref().map_or(usize::MAX, lines);
    match hunks(old, new, By::Rule, MOST_CHANGES) {
        Some(by_rule) if lines(&by_rule) < many / 2 => Some((By::Rule, by_rule)),
        _ => by_line.map(|by_line| (By::Line, by_line)),
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("list", &self.list).field("took", &self.took).finish_non_exhaustive()
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("map", &self.list.map)
            .field("rules", &self.list.len())
            .field("changes", &self.changes())
            .finish_non_exhaustive()
    }
}
