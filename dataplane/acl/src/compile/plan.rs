//! How rules are parted into groups, a tree for each.
//!
//! A rule that leaves an address open would be copied all over a tree that cuts that address. So rules that leave the
//! source, the destination or both open may have trees of their own, as far as one walk more costs less than the
//! copies. Which parting is best depends on the rules: each is tried, and what it costs is counted.

use super::pattern::Pattern;
use super::tree::{Tree, grow};
use rayon::prelude::*;

/// Groups by how many bits of source and of destination a rule asks for.
#[derive(Clone, Copy, Debug)]
struct Parting {
    source: u32,
    destination: u32,
}

/// Trees over all patterns, that hold about `copies` of them at most.
pub(super) fn forest<const N: usize>(patterns: &[Pattern<N>], copies: usize) -> Vec<Tree> {
    if patterns.is_empty() {
        return Vec::new();
    }
    let partings: &[Parting] =
        &[Parting { source: 0, destination: 0 }, Parting { source: 1, destination: 1 }];
    let forests = partings.par_iter().map(|&parting| {
        let groups = part::<N>(patterns, parting);
        let trees: Vec<Tree> = groups
            .into_par_iter()
            .map(|ids| {
                let share = (copies as u128 * ids.len() as u128 / patterns.len() as u128) as usize;
                grow(patterns, ids, share, 0)
            })
            .collect();
        (cost(&trees, patterns), trees)
    });
    let all: Vec<(f64, Vec<Tree>)> = forests.collect();
    all.into_iter().reduce(|a, b| if b.0 < a.0 { b } else { a }).map(|(_, trees)| trees).unwrap_or_default()
}

/// The groups of a parting, those of most rules first.
fn part<const N: usize>(patterns: &[Pattern<N>], parting: Parting) -> Vec<Vec<u32>> {
    let mut groups = vec![Vec::new(); 4];
    let half = (N - 2) / 2;
    for (id, pattern) in patterns.iter().enumerate() {
        let bits = |words: &[u32]| words.iter().map(|mask| mask.count_ones()).sum::<u32>();
        let (source, destination) = (bits(&pattern.mask[..half]), bits(&pattern.mask[half..N - 2]));
        let group = usize::from(source < parting.source) * 2 + usize::from(destination < parting.destination);
        groups[group].push(id as u32);
    }
    groups.retain(|group| !group.is_empty());
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    groups
}

/// Keys that are tried.
const TRIED: usize = 2048;

/// What a look-up costs, about, in clocks: of keys that match one rule or another.
fn cost<const N: usize>(trees: &[Tree], patterns: &[Pattern<N>]) -> f64 {
    let step = patterns.len().div_ceil(TRIED).max(1);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut total = 0.0;
    let mut tried = 0;
    for pattern in patterns.iter().step_by(step) {
        let key = pattern.some_key(&mut random);
        tried += 1;
        let mut best = u32::MAX;
        for tree in trees {
            total += 6.0;
            let mut at = tree;
            while let Tree::Node { word, mask, table, children } = at {
                total += 5.0;
                at = &children[table[super::cut::pick(key[*word], *mask) as usize] as usize];
            }
            let Tree::Leaf(ids) = at else { continue };
            for block in ids.chunks(crate::layout::LANES) {
                let number = |id: u32| patterns[id as usize].number;
                if number(block[0]) > best {
                    break;
                }
                total += 10.0;
                if let Some(&id) = block.iter().find(|&&id| patterns[id as usize].matches(&key)) {
                    best = best.min(number(id));
                    break;
                }
            }
        }
    }
    total / f64::from(tried.max(1))
}
