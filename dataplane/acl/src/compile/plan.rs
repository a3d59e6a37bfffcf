//! How rules are parted into groups, a tree for each.
//!
//! A rule that leaves an address open would be copied all over a tree that cuts that address. So rules that leave the
//! source, the destination, both or neither open are four kinds, and each may have a tree of its own. A tree more is a
//! walk more, so kinds are joined as long as that makes look-ups cheaper: the trees are grown, and what keys that match
//! one rule or another would cost is counted. Of many rules, some are enough for that.

use super::cost::{TRIED, Trial, cost, trials};
use super::pattern::Pattern;
use super::tree::{Tree, grow};
use rayon::prelude::*;

/// Rules that are looked at to see which kinds to join: of more, every second one or so, but one of eight at least. What
/// fewer say of a tree of many is not so.
const ENOUGH: usize = 2048;
const SPARSE: usize = 8;
/// Bits below which an address counts as open.
const OPEN_BELOW: u32 = 8;

/// Rules of one or more kinds, their tree, and how the keys that are tried fare in it.
struct Group {
    ids: Vec<u32>,
    tree: Tree,
    trial: Trial,
}

/// Trees over all patterns, that hold about `copies` of them at most.
pub(super) fn forest<const N: usize>(patterns: &[Pattern<N>], copies: usize) -> Vec<Tree> {
    let step = patterns.len().div_ceil(ENOUGH).clamp(1, SPARSE);
    let keys = trials(patterns, TRIED);
    let share = |ids: &[u32]| (copies as u128 * ids.len() as u128 / patterns.len() as u128) as usize;
    let group = |ids: Vec<u32>| {
        let tree = grow(patterns, ids.clone(), share(&ids), 0);
        let trial = Trial::new(&tree, patterns, &keys, step);
        Group { ids, tree, trial }
    };
    // Every so many rules of a kind stand for it.
    let some = |kind: &Vec<u32>| kind.iter().step_by(step).copied().collect();
    let kinds = kinds(patterns);
    let mut groups: Vec<Group> = kinds.par_iter().map(|kind| group(some(kind))).collect();
    join(&mut groups, group);
    groups.sort_by_key(|group| std::cmp::Reverse(group.ids.len()));
    if step == 1 {
        return groups.into_iter().map(|group| group.tree).collect();
    }
    let whole = groups.into_par_iter().map(|group| {
        let mut ids: Vec<u32> = kinds
            .iter()
            .filter(|kind| group.ids.binary_search(&kind[0]).is_ok())
            .flatten()
            .copied()
            .collect();
        ids.sort_unstable();
        let share = share(&ids);
        grow(patterns, ids, share, 0)
    });
    whole.collect()
}

/// Joins two groups, and two again, as long as that makes look-ups cheaper.
fn join(groups: &mut Vec<Group>, group: impl Fn(Vec<u32>) -> Group + Sync) {
    // What two groups would be together; those that are as they were need not be grown again.
    let mut known: Vec<((usize, usize), Group)> = Vec::new();
    let mut least = cost(&groups.iter().map(|group| &group.trial).collect::<Vec<_>>());
    loop {
        let pairs = (1..groups.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let new: Vec<(usize, usize)> =
            pairs.filter(|pair| known.iter().all(|(other, _)| other != pair)).collect();
        known.par_extend(new.into_par_iter().map(|(a, b)| {
            let mut ids = [groups[a].ids.as_slice(), &groups[b].ids].concat();
            ids.sort_unstable();
            ((a, b), group(ids))
        }));
        known.sort_by_key(|(pair, _)| *pair);
        let costs = known.iter().enumerate().map(|(place, ((a, b), both))| {
            let others = (0..groups.len()).filter(|at| at != a && at != b).map(|at| &groups[at].trial);
            (cost(&others.chain([&both.trial]).collect::<Vec<_>>()), place)
        });
        let Some((cost, place)) = costs.reduce(|a, b| if b.0 < a.0 { b } else { a }) else { return };
        if cost >= least {
            return;
        }
        least = cost;
        let ((a, b), both) = known.swap_remove(place);
        groups[a] = both;
        groups.remove(b);
        known.retain(|((c, d), _)| ![a, b].contains(c) && ![a, b].contains(d));
        for ((c, d), _) in &mut known {
            *c -= usize::from(*c > b);
            *d -= usize::from(*d > b);
        }
    }
}

/// How many kinds there are.
pub(super) const KINDS: usize = 4;

/// The rules by what they leave open.
fn kinds<const N: usize>(patterns: &[Pattern<N>]) -> Vec<Vec<u32>> {
    let mut kinds = vec![Vec::new(); KINDS];
    for (id, pattern) in patterns.iter().enumerate() {
        kinds[kind(pattern)].push(id as u32);
    }
    kinds.retain(|kind| !kind.is_empty());
    kinds
}

/// Which kind a rule is of, by what it leaves open.
pub(super) fn kind<const N: usize>(pattern: &Pattern<N>) -> usize {
    let half = (N - 2) / 2;
    let open = |words: &[u32]| words.iter().map(|mask| mask.count_ones()).sum::<u32>() < OPEN_BELOW;
    let (source, destination) = (open(&pattern.mask[..half]), open(&pattern.mask[half..N - 2]));
    usize::from(source) * 2 + usize::from(destination)
}
