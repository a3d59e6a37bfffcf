//! What must hold of an image before anybody looks up in it.

use crate::Depth;
use crate::block::{self, Block, Blocks, LANES};
use crate::layout::{Entry, FAMILY_WORDS, Family, HEADER_WORDS, LEVELS, Layout, MAGIC, NONE, Ranks, VERSION};
use crate::lookup::Tables;
use std::array::from_fn;

/// Why bytes are no image. The fault is theirs who made the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another magic number.
    #[error("the bytes are no compiled access list")]
    Magic,
    /// Another version.
    #[error("the compiled access list is of version {0}, not {VERSION}; run both planes from one build")]
    Version(u32),
    /// The parts do not add up to the whole.
    #[error("the compiled access list is not as long as its header says")]
    Length,
    /// The header holds a value that it cannot hold.
    #[error("the header of the compiled access list is malformed")]
    Header,
    /// A rule holds a value that it cannot hold.
    #[error("rule {0} of the compiled access list is malformed")]
    Rule(u32),
    /// A node leads backwards or out of the image.
    #[error("node {0} of the compiled access list is malformed")]
    Node(u32),
    /// A block holds rules that are not there.
    #[error("block {0} of the compiled access list is malformed")]
    Block(u32),
}

/// The parts of an image, from a header that may be anything: they make up the whole, and the levels are in order.
pub(crate) fn read_header(image: &[u8]) -> Result<Layout, VerifyError> {
    let header = image.first_chunk::<{ HEADER_WORDS * 4 }>().ok_or(VerifyError::Length)?;
    let header: [u32; HEADER_WORDS] = from_fn(|word| u32::from_le_bytes(header.as_chunks().0[word]));
    if header[0] != MAGIC {
        return Err(VerifyError::Magic);
    }
    if header[1] != VERSION {
        return Err(VerifyError::Version(header[1]));
    }
    let (families, _) = header[4..].as_chunks::<FAMILY_WORDS>();
    let counts = from_fn(|family| {
        let [entries, blocks, marked, ends @ ..] = families[family];
        (entries as usize, blocks as usize, marked != 0, ends)
    });
    let ranks = Ranks::of_shift(header[3]).ok_or(VerifyError::Header)?;
    let layout = Layout::new(header[2] as usize, ranks, counts);
    if layout.bytes != image.len() {
        return Err(VerifyError::Length);
    }
    let in_order =
        |family: &Family| family.ends.is_sorted() && family.ends[LEVELS - 1] as usize == family.entries;
    if layout.header() != header || !layout.families.iter().all(in_order) {
        return Err(VerifyError::Header);
    }
    Ok(layout)
}

/// Every way ends at a leaf that is there and in order, and every block's rules are there. Returns how far these look.
///
/// Order is what back ends rely on where they do not compare in the same one: with it, all of them find the same.
pub(crate) fn verify_family<const N: usize>(
    tables: Tables<'_>,
    sound: impl Fn(u32) -> bool,
) -> Result<Depth, VerifyError> {
    let leaves = Leaves::<N>::verify(tables.blocks, sound)?;
    let mut level = 0;
    for place in 0..tables.entries.len() {
        while tables.ends[level] as usize <= place {
            level += 1;
        }
        let entry = Entry(u64::from_le_bytes(tables.entries[place]));
        let sound = if entry.is_leaf() {
            leaves.are(entry)
        } else {
            let below =
                tables.ends[level] as usize..tables.ends.get(level + 1).map_or(0, |&end| end as usize);
            let bits = entry.low().count_ones();
            let end = entry.place() as u64 + (1 << bits);
            below.start <= entry.place() && end <= below.end as u64 && entry.word() < N
        };
        if !sound {
            return Err(VerifyError::Node(place as u32));
        }
    }
    Ok(leaves.depth)
}

/// What the blocks of a family say of the leaves that begin there.
struct Leaves<const N: usize> {
    /// Of each block, the rank of its first rule.
    firsts: Vec<u32>,
    /// Of each block, whether a long leaf that begins there goes on in order, and ends.
    ends: Vec<bool>,
    depth: Depth,
}

impl<const N: usize> Leaves<N> {
    fn verify(blocks: Blocks<'_>, sound: impl Fn(u32) -> bool) -> Result<Leaves<N>, VerifyError> {
        let count = blocks.count::<N>();
        let mut leaves =
            Leaves { firsts: vec![NONE; count], ends: vec![false; count], depth: Depth::Addresses };
        let mut behind = None;
        for place in (0..count).rev() {
            let malformed = VerifyError::Block(place as u32);
            let block = Block::<N>::at(blocks, place).ok_or(malformed)?;
            let ranks: [u32; LANES] = from_fn(|lane| block::word(block.ranks(), lane));
            if !ranks.is_sorted() || !ranks.into_iter().all(&sound) {
                return Err(malformed);
            }
            let goes_on = |(first, ends): (u32, bool)| block.last() < first && ends;
            let ends = block.last() == NONE || behind.is_some_and(goes_on);
            behind = Some((ranks[0], ends));
            (leaves.firsts[place], leaves.ends[place]) = (ranks[0], ends);
            leaves.depth = leaves.depth.max(block.depth());
        }
        Ok(leaves)
    }

    /// Whether a leaf is as its blocks are, or behind them if it has no rules.
    fn are(&self, leaf: Entry) -> bool {
        let there = match self.firsts.get(leaf.place()) {
            Some(first) => leaf.low() != NONE && leaf.low() == *first,
            None => leaf.low() == NONE,
        };
        leaf.word() <= 1 && there && (!leaf.is_long() || self.ends.get(leaf.place()) == Some(&true))
    }
}
