//! A tree over a group of rules.

use super::cut::{self, Cut};
use super::pattern::Pattern;
use crate::block::LANES;
use crate::layout::LEVELS;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// Copies of a rule that a tree may have, on average.
pub(super) const COPIES: usize = 8;
/// Below so many rules, a node's children are grown one after the other.
const ALONE: usize = 512;
/// So few rules are a leaf: a second block now and then is cheaper than a level for all.
const ENOUGH: usize = 2 * LANES;
/// So few rules are a root that is a leaf, as that is compared with all keys at once.
const SWEPT: usize = 3 * LANES;
/// Leaves that have room, among those that the next one is tried with.
const OPEN: usize = 4;

/// Rules are given by their places among the patterns, ascending.
#[derive(Debug)]
pub(super) enum Tree {
    Leaf(Vec<u32>),
    Node {
        /// Which of the key's words.
        word: usize,
        /// Which of its bits.
        mask: u32,
        /// The child for each value of the bits.
        table: Vec<u32>,
        children: Vec<Tree>,
    },
}

/// Grows a tree whose leaves hold about `copies` rules at most, all together.
pub(super) fn grow<const N: usize>(
    patterns: &[Pattern<N>],
    ids: Vec<u32>,
    copies: usize,
    level: usize,
) -> Tree {
    if ids.len() <= if level == 0 { SWEPT } else { ENOUGH } || level + 1 >= LEVELS {
        return Tree::Leaf(ids);
    }
    let Some(cut) = cut::choose(patterns, &ids, copies) else { return Tree::Leaf(ids) };
    // The cut was chosen by a sample, which may mislead.
    let copied = |&id: &u32| 1_usize << (cut.mask & !patterns[id as usize].mask[cut.word]).count_ones();
    if ids.iter().map(copied).sum::<usize>() > 2 * copies {
        return Tree::Leaf(ids);
    }
    let (table, sets) = distribute(patterns, &ids, cut);
    let total = sets.iter().map(Vec::len).sum::<usize>().max(1);
    let child = |set: Vec<u32>| {
        let share = (copies as u128 * set.len() as u128 / total as u128) as usize;
        grow(patterns, set, share, level + 1)
    };
    let children = match ids.len() < ALONE {
        true => sets.into_iter().map(child).collect(),
        false => sets.into_par_iter().map(child).collect(),
    };
    Tree::Node { word: cut.word, mask: cut.mask, table, children }
}

/// The rules for each value of the bits; where they are the same or few, values share a child.
fn distribute<const N: usize>(
    patterns: &[Pattern<N>],
    ids: &[u32],
    Cut { word, mask }: Cut,
) -> (Vec<u32>, Vec<Vec<u32>>) {
    let values = 1 << mask.count_ones();
    let each = |id: u32, visit: &mut dyn FnMut(usize)| {
        patterns[id as usize].values(word, mask).for_each(|value| visit(value as usize));
    };
    // The rules of all values in one row, counted first.
    let mut ends = vec![0_usize; values];
    ids.iter().for_each(|&id| each(id, &mut |value| ends[value] += 1));
    let mut total = 0;
    for end in &mut ends {
        (*end, total) = (total, total + *end);
    }
    let mut row = vec![0; total];
    for &id in ids {
        each(id, &mut |value| {
            row[ends[value]] = id;
            ends[value] += 1;
        });
    }
    let mut sets: Vec<Vec<u32>> = Vec::new();
    let mut known = FxHashMap::<&[u32], u32>::default();
    let mut open: Vec<u32> = Vec::new();
    let mut table = Vec::with_capacity(values);
    let mut start = 0;
    for end in ends {
        let set = &row[start..end];
        start = end;
        if let Some(&child) = known.get(set) {
            table.push(child);
            continue;
        }
        let few = !set.is_empty() && set.len() <= LANES;
        let shared = open.iter().position(|&child| few && joined(&sets[child as usize], set) <= LANES);
        let child = match shared {
            Some(place) => {
                let child = open[place];
                let joint = &mut sets[child as usize];
                joint.extend(set);
                joint.sort_unstable();
                joint.dedup();
                child
            }
            None => {
                let child = sets.len() as u32;
                sets.push(set.to_vec());
                if few {
                    open.push(child);
                    if open.len() > OPEN {
                        open.remove(0);
                    }
                }
                child
            }
        };
        known.insert(set, child);
        table.push(child);
    }
    (table, sets)
}

/// How many rules are in one set or the other.
fn joined(some: &[u32], others: &[u32]) -> usize {
    some.len() + others.iter().filter(|id| some.binary_search(id).is_err()).count()
}
