//! Few rules over a large base: groups of rules that are alike, and the sieve that tells keys of none.
//!
//! Which bits part the keys of the base from the rules that were added is seen by a [`Sample`] of such keys.

use super::cost::trials;
use super::pattern::{self, Pattern};
use super::plan::kinds;
use super::tree::{self, Tree};
use crate::Rule;
use crate::layout::{GROUPS, V4, V6, pick};
use crate::sieve::{FIELD_BITS, FIELDS, Field};
use std::collections::BTreeMap;

/// Keys of a sample at most.
const KEYS: usize = 256;
/// Rules of a group that a tree may copy, on average.
const COPIES: usize = 4;
/// What a field costs each key, and what a group costs one that gets through to it, in about clocks.
const FIELD: f64 = 1.0;
const THROUGH: f64 = 25.0;
/// How often a bit must part keys from rules to be worth its place, of all times.
const WORTH: f64 = 0.02;

/// Keys that match one rule of the base or another.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) v4: Vec<[u32; V4]>,
    pub(crate) v6: Vec<[u32; V6]>,
}

impl Sample {
    pub(crate) fn of(rules: &[Rule]) -> Sample {
        // Each family's are so many at most, so rules enough for both are looked at.
        let step = rules.len().div_ceil(8 * KEYS).max(1);
        let some: Vec<Rule> = rules.iter().step_by(step).copied().collect();
        let (v4, v6) = pattern::of_rules(&some);
        Sample { v4: trials(&v4, KEYS), v6: trials(&v6, KEYS) }
    }
}

/// The words that fields look at, and the bits of them; and all tables, one behind the other.
pub(crate) struct Sieve {
    pub(crate) cuts: [(usize, u32); FIELDS],
    pub(crate) tables: Vec<u32>,
}

/// Parts rules into groups, and makes their sieve; and a tree for those rules of each group whose numbers are below `added`.
pub(super) fn sieve<const N: usize>(
    patterns: &[Pattern<N>],
    added: u32,
    keys: &[[u32; N]],
) -> (Vec<Tree>, Sieve) {
    // Where the base has no rule of the family, its keys may be those of what was added.
    let own = if keys.is_empty() { trials(patterns, KEYS) } else { Vec::new() };
    let keys = if keys.is_empty() { &own } else { keys };
    let groups = groups(patterns);
    let mut fields = [0..(N - 2) / 2, (N - 2) / 2..N - 2, N - 2..N].map(|words| {
        let cut = words.map(|word| best_bits(patterns, keys, word)).max_by(|a, b| a.0.total_cmp(&b.0));
        let (_, word, mask) = cut.unwrap_or_default();
        (word, mask, table(patterns, &groups, word, mask))
    });
    drop_useless(&mut fields, keys);
    let cuts = [0, 1, 2].map(|field| (fields[field].0, fields[field].1));
    let tables = fields.into_iter().flat_map(|(_, _, table)| table).collect();
    let grow = |mut ids: Vec<u32>| {
        ids.retain(|&id| patterns[id as usize].number < added);
        let copies = ids.len() * COPIES;
        // Not as a root, for which long leaves are cheap: few keys come here.
        tree::grow(patterns, ids, copies, 1)
    };
    (groups.into_iter().map(grow).collect(), Sieve { cuts, tables })
}

/// Rules that leave the same addresses open, and have addresses near each other.
fn groups<const N: usize>(patterns: &[Pattern<N>]) -> Vec<Vec<u32>> {
    let kinds = kinds(patterns);
    let spare = GROUPS - kinds.len();
    let half = (N - 2) / 2;
    let mut groups = Vec::new();
    for mut kind in kinds {
        kind.sort_by_key(|&id| {
            let Pattern { value, number, .. } = patterns[id as usize];
            let mut words = value;
            words[..N - 2].rotate_left(half);
            (words, number)
        });
        let share = 1 + spare * kind.len() / patterns.len();
        for part in kind.chunks(kind.len().div_ceil(share)) {
            let mut group = part.to_vec();
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups
}

/// How well a word's best bits part keys from rules, that word, and those bits.
fn best_bits<const N: usize>(patterns: &[Pattern<N>], keys: &[[u32; N]], word: usize) -> (f64, usize, u32) {
    let part = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let mut bits = [0; 32].map(|_| (0.0, 0_u32));
    for (bit, figure) in bits.iter_mut().enumerate() {
        let asked = patterns.iter().filter(|pattern| pattern.mask[word] >> bit & 1 != 0).count();
        let ones = part(keys.iter().filter(|key| key[word] >> bit & 1 != 0).count(), keys.len());
        *figure = (part(asked, patterns.len()) * ones * (1.0 - ones), 1 << bit);
    }
    bits.sort_by(|a, b| b.0.total_cmp(&a.0));
    let chosen = bits.into_iter().take(FIELD_BITS as usize).filter(|(figure, _)| *figure > WORTH);
    let (figure, mask) = chosen.fold((0.0, 0), |(sum, mask), (figure, bit)| (sum + figure, mask | bit));
    (figure, word, mask)
}

/// For each value of these bits, the groups that have a rule for it.
fn table<const N: usize>(patterns: &[Pattern<N>], groups: &[Vec<u32>], word: usize, mask: u32) -> Vec<u32> {
    // By which of the bits a rule leaves open: those are few sorts, and values are copied once for each.
    let mut sorts = BTreeMap::<u32, Vec<u32>>::new();
    for (group, ids) in groups.iter().enumerate() {
        for &id in ids {
            let pattern = &patterns[id as usize];
            let fixed = pick(pattern.value[word] & pattern.mask[word], mask);
            let sort =
                sorts.entry(pick(!pattern.mask[word], mask)).or_insert_with(|| vec![0; Field::entries(mask)]);
            sort[fixed as usize] |= 1 << group;
        }
    }
    let mut table = vec![0; Field::entries(mask)];
    for (mut open, mut sort) in sorts {
        while open != 0 {
            let bit = 1_usize << open.trailing_zeros();
            open &= open - 1;
            for value in 0..sort.len() {
                sort[value | bit] |= sort[value & !bit];
            }
        }
        table.iter_mut().zip(sort).for_each(|(all, some)| *all |= some);
    }
    table
}

/// Leaves out fields that cost more than they keep away.
fn drop_useless<const N: usize>(fields: &mut [(usize, u32, Vec<u32>); FIELDS], keys: &[[u32; N]]) {
    let cost = |used: u32| {
        let through = keys.iter().map(|key| {
            let groups = fields
                .iter()
                .enumerate()
                .filter(|(field, _)| used >> field & 1 != 0)
                .map(|(_, (word, mask, table))| table[pick(key[*word], *mask) as usize]);
            groups.fold(u32::MAX, |all, some| all & some).count_ones()
        });
        f64::from(through.sum::<u32>()) / keys.len().max(1) as f64 * THROUGH
            + f64::from(used.count_ones()) * FIELD
    };
    let used = (0..1 << FIELDS).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or_default();
    for (field, (_, mask, table)) in fields.iter_mut().enumerate() {
        if used >> field & 1 == 0 {
            let every = table.iter().fold(0, |all, some| all | some);
            (*mask, *table) = (0, vec![every]);
        }
    }
}
