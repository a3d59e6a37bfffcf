//! What look-ups in trees cost, in about clocks of a processor of 2023: enough to choose between trees, not to foretell.

use super::pattern::Pattern;
use super::tree::Tree;
use crate::block::{self, LANES};
use crate::layout::{ENTRY_BYTES, NONE, pick};

/// Keys that are tried at most.
pub(super) const TRIED: usize = 1024;

/// The first level of a walk: all keys take the same node.
const FIRST: f64 = 3.0;
/// A further level.
const LEVEL: f64 = 3.0;
/// A leaf's first block.
const BLOCK: f64 = 4.5;
/// A further block.
const FURTHER: f64 = 7.0;
/// A block of a leaf that is a root.
const SWEPT: f64 = 2.5;
/// What a level and a block cost more when the trees take more bytes than that.
const DISTANCES: [(usize, f64, f64); 3] = [(32 << 10, 0.5, 1.5), (256 << 10, 0.5, 1.5), (3 << 19, 6.0, 14.0)];

/// Keys that match one rule or another.
pub(super) fn trials<const N: usize>(patterns: &[Pattern<N>], most: usize) -> Vec<[u32; N]> {
    let mut state = 1;
    let step = patterns.len().div_ceil(most).max(1);
    patterns.iter().step_by(step).map(|pattern| pattern.some_key(&mut state)).collect()
}

/// How each key fares in a tree.
pub(super) struct Trial {
    bytes: usize,
    outcomes: Vec<Outcome>,
}

struct Outcome {
    levels: u32,
    /// Blocks that are compared.
    blocks: u32,
    /// The leaf's first rule.
    first: u32,
    /// The rule that matches.
    found: u32,
}

impl Trial {
    /// Of a tree in which each rule stands for as many as `rules`.
    pub(super) fn new<const N: usize>(
        tree: &Tree,
        patterns: &[Pattern<N>],
        keys: &[[u32; N]],
        rules: usize,
    ) -> Trial {
        let outcome = |key: &[u32; N]| {
            let (mut at, mut levels) = (tree, 0);
            while let Tree::Node { word, mask, table, children } = at {
                levels += 1;
                at = &children[table[pick(key[*word], *mask) as usize] as usize];
            }
            let Tree::Leaf(ids) = at else { return Outcome { levels, blocks: 0, first: NONE, found: NONE } };
            let rank = |id: &u32| patterns[*id as usize].rank;
            let place = ids.iter().position(|id| patterns[*id as usize].matches(key));
            // A leaf that is a root is compared to its end, as all keys are at once.
            let compared = place.filter(|_| levels > 0).map_or(ids.len(), |place| place + 1);
            Outcome {
                levels,
                blocks: compared.div_ceil(LANES) as u32,
                first: ids.first().map_or(NONE, rank),
                found: place.map_or(NONE, |place| rank(&ids[place])),
            }
        };
        Trial { bytes: rules * bytes::<N>(tree), outcomes: keys.iter().map(outcome).collect() }
    }
}

/// What a tree takes in the image.
fn bytes<const N: usize>(tree: &Tree) -> usize {
    match tree {
        Tree::Leaf(ids) => block::count(ids.len()) * block::bytes(N, false),
        Tree::Node { table, children, .. } => {
            table.len() * ENTRY_BYTES + children.iter().map(bytes::<N>).sum::<usize>()
        }
    }
}

/// Clocks of a look-up in all of these trees, on average.
pub(super) fn cost(trials: &[&Trial]) -> f64 {
    let bytes = trials.iter().map(|trial| trial.bytes).sum::<usize>();
    let (mut level, mut block) = (0.0, 0.0);
    for (beyond, more_level, more_block) in DISTANCES {
        if bytes > beyond {
            level += more_level;
            block += more_block;
        }
    }
    let mut order: Vec<&&Trial> = trials.iter().collect();
    order.sort_by_key(|trial| std::cmp::Reverse(trial.bytes));
    let keys = order.first().map_or(0, |trial| trial.outcomes.len());
    let mut total = 0.0;
    for key in 0..keys {
        let mut best = NONE;
        for Outcome { levels, blocks, first, found } in order.iter().map(|trial| &trial.outcomes[key]) {
            let blocks = f64::from(*blocks);
            if *levels == 0 {
                total += SWEPT * blocks;
            } else {
                total += FIRST + f64::from(levels - 1) * LEVEL + f64::from(*levels) * level;
                if *first < best && blocks > 0.0 {
                    total += BLOCK + (blocks - 1.0) * FURTHER + blocks * block;
                }
            }
            best = best.min(*found);
        }
    }
    total / keys.max(1) as f64
}
