//! Which bits of which word a node goes by.
//!
//! Each bit more makes the leaves smaller, but copies the rules that do not ask for it into both halves. Bits are added
//! while what they save on the way outweighs the copies.

use super::pattern::Pattern;
use crate::block::LANES;
use std::ops::Range;

/// Bits of one of the key's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) word: usize,
    pub(super) mask: u32,
}

/// Rules that are looked at to choose.
const SAMPLE: usize = 2048;
/// A bit must make the figure so much smaller.
const WORTH: f32 = 0.95;
/// Bits of one node at most.
const BITS: u32 = 14;

/// The best cut of these rules that makes no more than `copies` of them; `None` if none is worth it.
pub(super) fn choose<const N: usize>(patterns: &[Pattern<N>], ids: &[u32], copies: usize) -> Option<Cut> {
    let step = ids.len().div_ceil(SAMPLE).max(1);
    let bits = (ids.len().ilog2() + 1).min(BITS);
    let most = copies / step;
    let leaf = LANES as f32 / step as f32;
    let mut best: Option<(f32, Cut)> = None;
    let mut room = Room::default();
    for word in 0..N {
        let (mut ones, mut zeros) = (0, 0);
        room.rules.clear();
        for &id in ids.iter().step_by(step) {
            let pattern = &patterns[id as usize];
            let (value, mask) = (pattern.value[word], pattern.mask[word]);
            let asked = Asked { ones: value & mask, zeros: !value & mask };
            (ones, zeros) = (ones | asked.ones, zeros | asked.zeros);
            room.rules.push(asked);
        }
        if ones & zeros != 0
            && let Some((figure, mask)) = greedy(&mut room, ones & zeros, bits, most, leaf)
            && best.is_none_or(|(least, _)| figure < least)
        {
            best = Some((figure, Cut { word, mask }));
        }
    }
    best.map(|(_, cut)| cut)
}

/// Which bits of a word a rule wants to be ones, and which zeros.
#[derive(Clone, Copy, Default)]
struct Asked {
    ones: u32,
    zeros: u32,
}

/// Rules that come to one value of the bits so far, and how much of the traffic.
struct Part {
    rules: Range<usize>,
    traffic: f32,
}

/// The rules of all parts, one behind the other; and room for those of the next.
#[derive(Default)]
struct Room {
    rules: Vec<Asked>,
    next: Vec<Asked>,
}

/// Adds one bit after the other. Returns the figure reached (relative to no cut), and the mask.
fn greedy(room: &mut Room, candidates: u32, bits: u32, most: usize, leaf: f32) -> Option<(f32, u32)> {
    let Room { rules, next } = room;
    let count = rules.len();
    // Parts that are small enough are done; they count by their number of rules.
    let mut done = 0;
    let mut done_effort = 0.0;
    let mut parts = vec![Part { rules: 0..count, traffic: 1.0 }];
    let start = (count as f32).max(leaf);
    let (mut figure, mut mask) = (1.0, 0_u32);
    while mask.count_ones() < bits && !parts.is_empty() {
        let mut efforts = [done_effort; 32];
        let mut totals = [done; 32];
        for part in &parts {
            weigh(&rules[part.rules.clone()], part.traffic, leaf, &mut efforts, &mut totals);
        }
        let judged =
            (0..32).filter(|bit| (candidates & !mask) >> bit & 1 != 0 && totals[*bit] as usize <= most);
        let figures = judged.map(|bit| {
            let copies = totals[bit] as f32 / count as f32;
            (efforts[bit] / start * copies.sqrt().sqrt(), bit)
        });
        let Some((least, bit)) = figures.reduce(|a, b| if b.0 < a.0 { b } else { a }) else { break };
        if least > figure * WORTH {
            break;
        }
        figure = least;
        mask |= 1 << bit;
        next.resize(next.len().max(2 * rules.len()), Asked::default());
        let mut at = 0;
        let mut halves = Vec::with_capacity(parts.len() * 2);
        for part in parts {
            let all = &rules[part.rules];
            let left = keep(all, &mut next[at..], |rule| rule.ones >> bit & 1 == 0);
            let right = keep(all, &mut next[at + left..], |rule| rule.zeros >> bit & 1 == 0);
            let free = (left + right - all.len()) as f32;
            let mut from = at;
            for half in [left, right] {
                let traffic = part.traffic * (half as f32 - free / 2.0) / all.len() as f32;
                if half as f32 <= leaf {
                    done += half as i32;
                    done_effort += traffic * leaf;
                } else {
                    next.copy_within(from..from + half, at);
                    halves.push(Part { rules: at..at + half, traffic });
                    at += half;
                }
                from += half;
            }
        }
        parts = halves;
        std::mem::swap(rules, next);
        rules.truncate(at);
    }
    (mask != 0).then_some((figure, mask))
}

/// Copies those rules that are kept. How many they are.
fn keep(all: &[Asked], to: &mut [Asked], kept: impl Fn(&Asked) -> bool) -> usize {
    let mut count = 0;
    for rule in all {
        to[count] = *rule;
        count += usize::from(kept(rule));
    }
    count
}

/// What a part's rules would come to with each bit more.
fn weigh(rules: &[Asked], traffic: f32, leaf: f32, efforts: &mut [f32; 32], totals: &mut [i32; 32]) {
    let (ones, zeros) = tally(rules);
    let count = rules.len() as i32;
    let share = traffic / count as f32;
    for bit in 0..32 {
        let free = count - ones[bit] - zeros[bit];
        let (left, right) = ((zeros[bit] + free) as f32, (ones[bit] + free) as f32);
        let half = free as f32 / 2.0;
        efforts[bit] += share * ((left - half) * left.max(leaf) + (right - half) * right.max(leaf));
        totals[bit] += count + free;
    }
}

/// How many rules want each bit to be a one, and how many a zero.
fn tally(rules: &[Asked]) -> ([i32; 32], [i32; 32]) {
    let (mut ones, mut zeros) = ([0; 32], [0; 32]);
    // Bytes side by side count up to 255 at once.
    for rules in rules.chunks(255) {
        let (mut few_ones, mut few_zeros) = ([0_u64; 4], [0_u64; 4]);
        for rule in rules {
            for byte in 0..4 {
                few_ones[byte] += SPREAD[(rule.ones >> (8 * byte) & 0xFF) as usize];
                few_zeros[byte] += SPREAD[(rule.zeros >> (8 * byte) & 0xFF) as usize];
            }
        }
        for bit in 0..32 {
            let count = |few: &[u64; 4]| (few[bit / 8] >> (bit % 8 * 8) & 0xFF) as i32;
            ones[bit] += count(&few_ones);
            zeros[bit] += count(&few_zeros);
        }
    }
    (ones, zeros)
}

/// A byte for each bit of a byte, the first bit first.
const SPREAD: [u64; 256] = {
    let mut spread = [0; 256];
    let mut value = 0;
    while value < 256 {
        let mut bit = 0;
        while bit < 8 {
            spread[value] |= ((value >> bit & 1) as u64) << (8 * bit);
            bit += 1;
        }
        value += 1;
    }
    spread
};
