//! What is measured: a rule set, a trace for it, how many packets are looked up at a time.

use super::shape::Shape;
use super::trace::Locality;
use std::fmt;

/// A rule set: all cases of one are neighbours, so that it is made and compiled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its family.
    pub shape: Shape,
    /// How many rules.
    pub rules: usize,
}

/// One column of a set's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The rules.
    pub set: Set,
    /// Which of them packets are drawn from.
    pub trace: Locality,
    /// Packets that are looked up at a time.
    pub burst: usize,
}

/// From so many rules on `rte_acl` builds for many seconds, and once for each column: it has fewer of them.
pub const LARGE: usize = 100_000;
/// More rules than a set of each shape has: of one only.
const HUGE: usize = 1_000_000;

const RULES: [usize; 5] = [10, 100, 1000, 10_000, LARGE];
const QUICK_RULES: [usize; 2] = [1000, 10_000];
const BURSTS: [usize; 4] = [1, 8, 32, 256];
/// What a worker looks up at a time.
const USUAL: usize = 32;
/// Bursts of the largest sets at which all are compared.
const FEW: [usize; 2] = [USUAL, 256];

impl Case {
    /// All cases, or the few that show most.
    pub fn all(quick: bool) -> Vec<Case> {
        let counts: &[usize] = if quick { &QUICK_RULES } else { &RULES };
        let shaped = |shape| counts.iter().map(move |&rules| Set { shape, rules });
        let mut sets: Vec<Set> = Shape::ALL.into_iter().flat_map(shaped).collect();
        if !quick {
            sets.push(Set { shape: Shape::Acl, rules: HUGE });
        }
        let traces: &[Locality] = if quick { &[Locality::All] } else { &Locality::BOTH };
        let bursts: &[usize] = if quick { &[USUAL] } else { &BURSTS };
        let mut cases = Vec::new();
        for set in sets {
            for &trace in traces {
                cases.extend(bursts.iter().map(|&burst| Case { set, trace, burst }));
            }
        }
        cases
    }

    /// Whether `rte_acl` takes part.
    pub fn has_rival(&self) -> bool {
        match self.set.rules {
            0..LARGE => true,
            LARGE..HUGE => FEW.contains(&self.burst),
            HUGE.. => self.burst == USUAL && self.trace == Locality::All,
        }
    }

    /// Whether our other forms take part: with fewer instructions, changed, and of IPv6.
    pub fn has_forms(&self) -> bool {
        self.burst == USUAL && self.set.rules < HUGE
    }

    /// Whether the linear scan takes part, for scale.
    pub fn has_linear(&self) -> bool {
        self.set.rules <= 1000 && self.burst == USUAL
    }
}

impl fmt::Display for Set {
    /// The name: `acl-1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shape, self.rules)
    }
}

impl fmt::Display for Case {
    /// The name: `acl-1000-hot-32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.set, self.trace, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_quick_ones_are_among_all() {
        let names = |quick| Case::all(quick).iter().map(Case::to_string).collect::<Vec<_>>();
        let all: BTreeSet<String> = names(false).into_iter().collect();
        assert_eq!(all.len(), names(false).len());
        assert!(names(true).iter().all(|name| all.contains(name)));
    }

    #[test]
    fn cases_of_a_set_are_neighbours() {
        let cases = Case::all(false);
        let sets: BTreeSet<String> = cases.iter().map(|case| case.set.to_string()).collect();
        assert_eq!(cases.chunk_by(|a, b| a.set == b.set).count(), sets.len());
    }
}
