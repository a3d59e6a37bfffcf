//! Trees laid out as an image, level by level.

use super::Image;
use super::pattern::Pattern;
use super::tree::Tree;
use crate::Rule;
use crate::block::{self, LANES, Lane};
use crate::layout::{Entry, HEADER_WORDS, LEVELS, Layout, NONE, Ranks, action};

/// What leaves are of, by their ids.
pub(super) trait Rules<const N: usize> {
    /// A rule's rank.
    fn rank(&self, id: u32) -> u32;

    /// Whether any of them asks for TCP flags or a traffic class.
    fn are_marked(&self) -> bool;

    /// Puts it into a block.
    fn write(&self, id: u32, block: &mut [u8], lane: usize);
}

impl<const N: usize> Rules<N> for [Pattern<N>] {
    fn rank(&self, id: u32) -> u32 {
        self[id as usize].rank
    }

    fn are_marked(&self) -> bool {
        self.iter().any(Pattern::is_marked)
    }

    fn write(&self, id: u32, block: &mut [u8], lane: usize) {
        self[id as usize].lane().write(block, lane);
    }
}

/// One family, laid out.
struct Laid {
    entries: Vec<Entry>,
    ends: [u32; LEVELS],
    /// Rules of each leaf, and its first block.
    leaves: Vec<(Vec<u32>, usize)>,
    blocks: usize,
    marked: bool,
}

/// With so many bytes in front, which are zeros and a multiple of a line. `None` if places run out.
pub(super) fn emit<const A: usize, const B: usize>(
    front: usize,
    (rules, ranks): (&[Rule], Ranks),
    v4: &[Tree],
    v4_rules: &(impl Rules<A> + ?Sized),
    v6: &[Tree],
    v6_rules: &(impl Rules<B> + ?Sized),
) -> Option<Image> {
    let (v4, v6) = (lay_out(v4, v4_rules)?, lay_out(v6, v6_rules)?);
    let layout = Layout::new(
        rules.len(),
        ranks,
        [&v4, &v6].map(|laid| (laid.entries.len(), laid.blocks, laid.marked, laid.ends)),
    );
    let mut image = Image::zeroed(front + layout.bytes);
    let bytes = &mut image.as_bytes_mut()[front..];
    write(&mut bytes[..HEADER_WORDS * 4], layout.header());
    let actions = rules.iter().map(|rule| action::write(rule.action)).chain([action::NO_RULE]);
    write(&mut bytes[HEADER_WORDS * 4..], actions.flatten());
    let [family4, family6] = layout.families;
    write(&mut bytes[family4.entries_at..], words(&v4.entries));
    write_blocks(&mut bytes[family4.blocks_at..family6.entries_at], &v4, v4_rules);
    write(&mut bytes[family6.entries_at..], words(&v6.entries));
    write_blocks(&mut bytes[family6.blocks_at..], &v6, v6_rules);
    Some(image)
}

fn write(bytes: &mut [u8], words: impl IntoIterator<Item = u32>) {
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

fn words(entries: &[Entry]) -> impl Iterator<Item = u32> {
    entries.iter().flat_map(|entry| [entry.0 as u32, (entry.0 >> 32) as u32])
}

fn lay_out<const N: usize>(roots: &[Tree], rules: &(impl Rules<N> + ?Sized)) -> Option<Laid> {
    let mut laid = Laid {
        entries: Vec::new(),
        ends: [0; LEVELS],
        leaves: Vec::new(),
        blocks: 0,
        marked: rules.are_marked(),
    };
    let mut empty = 0;
    // The tables of a level: which child each entry is of, and the children.
    let every: Vec<u32> = (0..roots.len() as u32).collect();
    let mut tables: Vec<(&[u32], &[Tree])> = vec![(&every, roots)];
    for end in &mut laid.ends {
        let mut next = Vec::new();
        let mut place = laid.entries.len() + tables.iter().map(|(table, _)| table.len()).sum::<usize>();
        *end = place as u32;
        for (table, children) in tables {
            let mut of_child = Vec::with_capacity(children.len());
            for child in children {
                of_child.push(match child {
                    Tree::Leaf(ids) if ids.is_empty() => {
                        empty += 1;
                        Entry::leaf(NONE, empty - 1, false)
                    }
                    Tree::Leaf(ids) => {
                        let entry = Entry::leaf(rules.rank(ids[0]), laid.blocks as u32, ids.len() > LANES);
                        laid.leaves.push((ids.clone(), laid.blocks));
                        laid.blocks += block::count(ids.len());
                        entry
                    }
                    Tree::Node { word, mask, table, children } => {
                        let entry = Entry::node(*mask, *word, place as u32);
                        place += table.len();
                        next.push((table.as_slice(), children.as_slice()));
                        entry
                    }
                });
                if place.max(laid.blocks + empty as usize) >= Entry::PLACES {
                    return None;
                }
            }
            laid.entries.extend(table.iter().map(|&child| of_child[child as usize]));
        }
        tables = next;
    }
    // Leaves without rules are behind those that have some.
    for entry in laid.entries.iter_mut().filter(|entry| entry.is_leaf() && entry.low() == NONE) {
        *entry = Entry::leaf(NONE, (laid.blocks + entry.place()) as u32, false);
    }
    Some(laid)
}

fn write_blocks<const N: usize>(bytes: &mut [u8], laid: &Laid, rules: &(impl Rules<N> + ?Sized)) {
    let len = block::bytes(N, laid.marked);
    for (ids, at) in &laid.leaves {
        let blocks = bytes.get_mut(at * len..).unwrap_or_default().chunks_exact_mut(len);
        for (place, block) in blocks.take(block::count(ids.len())).enumerate() {
            for lane in 0..LANES {
                match ids.get(place * LANES + lane) {
                    Some(&id) => rules.write(id, block, lane),
                    None => Lane::<N>::EMPTY.write(block, lane),
                }
            }
        }
    }
}
