//! What moved between two runs, by how much, and whether that is more than the machine's own unrest.

use super::rows::Figure;
use std::collections::BTreeMap;

/// One figure in two runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) name: String,
    pub(super) old: f64,
    pub(super) new: f64,
    /// New over old.
    pub(super) ratio: f64,
    /// The same in units of each run's own yardstick: what the machine did to everything is not in it.
    pub(super) paced: f64,
    /// How far both could be apart by chance, as a part: what the rounds of either were apart.
    pub(super) noise: f64,
}

/// What can be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Faster,
    Slower,
    Same,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Same => "the same",
        }
    }
}

impl Moved {
    /// Faster or slower if it is so beyond the noise both by the clock and by the yardstick.
    pub(super) fn verdict(&self) -> Verdict {
        let (low, high) = (1.0 - self.noise, 1.0 + self.noise);
        if self.ratio < low && self.paced < low {
            Verdict::Faster
        } else if self.ratio > high && self.paced > high {
            Verdict::Slower
        } else {
            Verdict::Same
        }
    }
}

/// Pairs the figures that both runs have, in the order of the new one.
pub(super) fn compare(old: &[Figure], new: &[Figure]) -> Vec<Moved> {
    let old: BTreeMap<&str, &Figure> = old.iter().map(|figure| (figure.name.as_str(), figure)).collect();
    let pairs = new.iter().filter_map(|new| Some((*old.get(new.name.as_str())?, new)));
    pairs
        .map(|(old, new)| Moved {
            name: new.name.clone(),
            old: old.clocks,
            new: new.clocks,
            ratio: new.clocks / old.clocks,
            paced: new.clocks / new.yardstick / (old.clocks / old.yardstick),
            noise: old.spread.hypot(new.spread),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, clocks: f64, spread: f64, yardstick: f64) -> Figure {
        Figure { name: name.to_owned(), clocks, spread, yardstick }
    }

    fn verdict(old: Figure, new: Figure) -> Verdict {
        compare(&[old], &[new])[0].verdict()
    }

    #[test]
    fn what_moved_with_the_machine_or_within_the_noise_is_the_same() {
        let old = || figure("a", 100.0, 0.03, 50.0);
        assert_eq!(verdict(old(), figure("a", 80.0, 0.04, 50.0)), Verdict::Faster);
        assert_eq!(verdict(old(), figure("a", 120.0, 0.04, 50.0)), Verdict::Slower);
        assert_eq!(verdict(old(), figure("a", 104.0, 0.04, 50.0)), Verdict::Same);
        // All of the machine was slower.
        assert_eq!(verdict(old(), figure("a", 120.0, 0.04, 60.0)), Verdict::Same);
    }

    #[test]
    fn only_what_both_have_is_compared() {
        let old = [figure("a", 1.0, 0.0, 1.0), figure("b", 1.0, 0.0, 1.0)];
        let new = [figure("c", 1.0, 0.0, 1.0), figure("b", 2.0, 0.0, 1.0)];
        let moved = compare(&old, &new);
        assert_eq!(moved.len(), 1);
        assert_eq!((moved[0].name.as_str(), moved[0].ratio), ("b", 2.0));
    }
}
