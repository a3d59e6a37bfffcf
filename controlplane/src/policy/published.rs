//! What the data plane looks the packets of a port up in: a base, and a change of it. Pure.

use super::List;
use super::diff::hunks;
use acl::{CompileError, Delta, Image};
use shm::Label;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shorter lists are compiled as a whole in no time.
pub const LONG: usize = 512;
/// Lines that a change may add and remove in all. More are compiled with the rest, so that look-ups stay fast.
pub const MOST_CHANGES: usize = 4096;

/// A list compiled as a whole.
#[derive(Debug)]
pub struct Base {
    /// What it was compiled of.
    pub list: Arc<List>,
    /// The compiled rules.
    pub image: Image,
    /// How long that took.
    pub took: Duration,
}

impl Base {
    /// Compiles a list.
    pub fn compile(list: &Arc<List>) -> Result<Base, CompileError> {
        let began = Instant::now();
        let image = acl::compile(&list.rules, acl::Limits::default())?;
        Ok(Base { list: Arc::clone(list), image, took: began.elapsed() })
    }
}

/// A change of a base.
#[derive(Clone)]
struct Change {
    delta: Delta,
    image: Arc<Image>,
    /// Of the numbers that it gave, be the rules still there or not.
    labels: Vec<Label>,
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

    /// The compiled change, and the labels of the numbers that it gave.
    pub fn change(&self) -> Option<(&Image, &[Label])> {
        self.change.as_ref().map(|change| (&*change.image, change.labels.as_slice()))
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
        let hunks = hunks(&self.list, list, MOST_CHANGES)?;
        if hunks.is_empty() {
            return Some(self.clone());
        }
        let (mut delta, mut labels) = match &self.change {
            Some(change) => (change.delta.clone(), change.labels.clone()),
            None => (Delta::new(self.base.list.len() as u32), Vec::new()),
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
        let image = Arc::new(delta.compile(acl::Limits::default()).ok()?);
        let change = Some(Change { delta, image, labels, numbers });
        Some(Published { base: Arc::clone(&self.base), change, list: Arc::clone(list) })
    }

    /// For each number of `self`, the number that the same line has in what was there before; of what came since, and of
    /// what is no longer there, none.
    pub fn origins(&self, before: &Published) -> Vec<Option<u32>> {
        let labels = self.change().map_or(0, |(_, labels)| labels.len());
        let mut origins = vec![None; self.base.list.len() + labels];
        let same = Arc::ptr_eq(&self.list, &before.list);
        let places: HashMap<_, usize> = match same {
            true => HashMap::new(),
            false => (0..before.list.len()).map(|place| (before.list.line(place), place)).collect(),
        };
        for place in 0..self.list.len() {
            let there = if same { Some(place) } else { places.get(&self.list.line(place)).copied() };
            if let Some(origin) = origins.get_mut(self.number(place) as usize) {
                *origin = there.map(|there| before.number(there));
            }
        }
        origins
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
