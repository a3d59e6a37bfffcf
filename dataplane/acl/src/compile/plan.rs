//! How rules are parted into groups, a tree for each.
//!
//! A rule that leaves an address open would be copied all over a tree that cuts that address. So rules that leave the
//! source, the destination, both or neither open are four kinds, and each may have a tree of its own. A tree more is a
//! walk more, so kinds are joined as long as that makes look-ups cheaper: the trees are grown, and what keys that match
//! one rule or another would cost is counted.

use super::cost::{Trial, cost, trials};
use super::pattern::Pattern;
use super::tree::{Tree, grow};
use rayon::prelude::*;

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
    if patterns.is_empty() {
        return Vec::new();
    }
    let keys = trials(patterns);
    let group = |ids: Vec<u32>| {
        let share = (copies as u128 * ids.len() as u128 / patterns.len() as u128) as usize;
        let tree = grow(patterns, ids.clone(), share, 0);
        let trial = Trial::new(&tree, patterns, &keys);
        Group { ids, tree, trial }
    };
    let mut groups: Vec<Group> = kinds(patterns).into_par_iter().map(group).collect();
    // Two joined, and where they were.
    let join = |groups: &[Group], (a, b): (usize, usize)| {
        let mut ids = [groups[a].ids.as_slice(), &groups[b].ids].concat();
        ids.sort_unstable();
        group(ids)
    };
    let mut joined: Vec<((usize, usize), Group)> = Vec::new();
    let mut least = cost(&groups.iter().map(|group| &group.trial).collect::<Vec<_>>());
    loop {
        let pairs: Vec<(usize, usize)> =
            (1..groups.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let missing: Vec<_> =
            pairs.into_iter().filter(|pair| joined.iter().all(|(known, _)| known != pair)).collect();
        joined.par_extend(missing.into_par_iter().map(|pair| (pair, join(&groups, pair))));
        joined.sort_by_key(|(pair, _)| *pair);
        let costs = joined.iter().enumerate().map(|(place, ((a, b), group))| {
            let mut all = vec![&group.trial];
            all.extend((0..groups.len()).filter(|at| at != a && at != b).map(|at| &groups[at].trial));
            (cost(&all), place)
        });
        match costs.reduce(|a, b| if b.0 < a.0 { b } else { a }) {
            Some((cost, place)) if cost < least => {
                least = cost;
                let ((a, b), group) = joined.swap_remove(place);
                // The joint group takes the first's place; the pairs of the others stand, where they are now.
                joined.retain(|((c, d), _)| ![*c, *d].iter().any(|at| *at == a || *at == b));
                for ((c, d), _) in &mut joined {
                    *c -= usize::from(*c > b);
                    *d -= usize::from(*d > b);
                }
                groups.remove(b);
                groups[a] = group;
            }
            _ => break,
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.ids.len()));
    groups.into_iter().map(|group| group.tree).collect()
}

/// The rules by what they leave open.
fn kinds<const N: usize>(patterns: &[Pattern<N>]) -> Vec<Vec<u32>> {
    let mut kinds = vec![Vec::new(); 4];
    let half = (N - 2) / 2;
    for (id, pattern) in patterns.iter().enumerate() {
        let open = |words: &[u32]| words.iter().map(|mask| mask.count_ones()).sum::<u32>() < OPEN_BELOW;
        let (source, destination) = (open(&pattern.mask[..half]), open(&pattern.mask[half..N - 2]));
        kinds[usize::from(source) * 2 + usize::from(destination)].push(id as u32);
    }
    kinds.retain(|kind| !kind.is_empty());
    kinds
}
