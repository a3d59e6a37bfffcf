//! Which bits of which word a node goes by.
//!
//! Each bit more makes the leaves smaller, but copies the rules that do not ask for it into both halves. Bits are added
//! while what they save on the way outweighs the copies.

use super::pattern::Pattern;
use crate::block::LANES;

/// Bits of one of the key's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) word: usize,
    pub(super) mask: u32,
}

/// Rules that are looked at to choose.
const SAMPLE: usize = 2048;
/// A bit must make the figure so much smaller.
const WORTH: f64 = 0.95;
/// Bits of one node at most.
const BITS: u32 = 14;

/// The best cut of these rules that makes no more than `copies` of them; `None` if none is worth it.
pub(super) fn choose<const N: usize>(patterns: &[Pattern<N>], ids: &[u32], copies: usize) -> Option<Cut> {
    let step = ids.len().div_ceil(SAMPLE).max(1);
    let sample = || ids.iter().step_by(step).map(|&id| &patterns[id as usize]);
    let bits = (ids.len().ilog2() + 1).min(BITS);
    let most = copies / step;
    let leaf = LANES as f64 / step as f64;
    let mut best: Option<(f64, Cut)> = None;
    for word in 0..N {
        let (ones, zeros) = sample().fold((0, 0), |(ones, zeros), pattern| {
            (
                ones | pattern.value[word] & pattern.mask[word],
                zeros | !pattern.value[word] & pattern.mask[word],
            )
        });
        if ones & zeros == 0 {
            continue;
        }
        let all: Vec<Asked> = sample()
            .map(|pattern| Asked {
                ones: pattern.value[word] & pattern.mask[word],
                zeros: !pattern.value[word] & pattern.mask[word],
            })
            .collect();
        if let Some((figure, mask)) = greedy(all, ones & zeros, bits, most, leaf)
            && best.is_none_or(|(least, _)| figure < least)
        {
            best = Some((figure, Cut { word, mask }));
        }
    }
    best.map(|(_, cut)| cut)
}

/// Which bits of a word a rule wants to be ones, and which zeros.
#[derive(Clone, Copy)]
struct Asked {
    ones: u32,
    zeros: u32,
}

/// Rules that come to one value of the bits so far, and how much of the traffic.
struct Part {
    rules: Vec<Asked>,
    traffic: f64,
}

/// Adds one bit after the other. Returns the figure reached (relative to no cut), and the mask.
fn greedy(all: Vec<Asked>, candidates: u32, bits: u32, most: usize, leaf: f64) -> Option<(f64, u32)> {
    let count = all.len();
    // Parts that are small enough are done; they count by their number of rules.
    let mut done = 0;
    let mut done_effort = 0.0;
    let mut parts = vec![Part { rules: all, traffic: 1.0 }];
    let effort = |rules: f64| rules.max(leaf);
    let start = effort(count as f64);
    let (mut figure, mut mask) = (1.0, 0_u32);
    while mask.count_ones() < bits && !parts.is_empty() {
        let mut efforts = [done_effort; 32];
        let mut totals = [done; 32];
        for part in &parts {
            let (ones, zeros) = tally(&part.rules);
            let rules = part.rules.len() as u32;
            for bit in 0..32 {
                let free = rules - ones[bit] - zeros[bit];
                let (left, right) = (f64::from(zeros[bit] + free), f64::from(ones[bit] + free));
                let half = f64::from(free) / 2.0;
                efforts[bit] += part.traffic / f64::from(rules)
                    * ((left - half) * effort(left) + (right - half) * effort(right));
                totals[bit] += (rules + free) as usize;
            }
        }
        let judged = (0..32).filter(|bit| (candidates & !mask) >> bit & 1 != 0 && totals[*bit] <= most);
        let figures = judged.map(|bit| {
            let copies = totals[bit] as f64 / count as f64;
            (efforts[bit] / start * copies.sqrt().sqrt(), bit)
        });
        let Some((next, bit)) = figures.reduce(|a, b| if b.0 < a.0 { b } else { a }) else { break };
        if next > figure * WORTH {
            break;
        }
        figure = next;
        mask |= 1 << bit;
        let mut halves = Vec::with_capacity(parts.len() * 2);
        for part in parts {
            let of = |wants: fn(&Asked) -> u32| -> Vec<Asked> {
                part.rules.iter().filter(|rule| wants(rule) >> bit & 1 == 0).copied().collect()
            };
            let (left, right) = (of(|rule| rule.ones), of(|rule| rule.zeros));
            let rules = part.rules.len() as f64;
            let free = (left.len() + right.len()) as f64 - rules;
            for half in [left, right] {
                let traffic = part.traffic * (half.len() as f64 - free / 2.0) / rules;
                if half.len() as f64 <= leaf {
                    done += half.len();
                    done_effort += traffic * leaf;
                } else {
                    halves.push(Part { rules: half, traffic });
                }
            }
        }
        parts = halves;
    }
    (mask != 0).then_some((figure, mask))
}

/// How many rules want each bit to be a one, and how many a zero.
fn tally(rules: &[Asked]) -> ([u32; 32], [u32; 32]) {
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
            let count = |few: &[u64; 4]| (few[bit / 8] >> (bit % 8 * 8) & 0xFF) as u32;
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
