//! What the compiler chose for a list, as the image shows it.

use crate::Classifier;
use crate::layout::{Entry, NONE, V4, V6};
use crate::lookup::Tables;
use std::collections::BTreeSet;

/// One tree of an image. A look-up of its family walks every tree once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeShape {
    /// Of IPv6 rules.
    pub ipv6: bool,
    /// Tables that a walk goes through at most; 0 where the tree is a single leaf.
    pub depth: usize,
    /// Tables in all.
    pub tables: usize,
    /// Bits of the key that the widest table is chosen by.
    pub stride: u32,
    /// Leaves that hold rules.
    pub leaves: usize,
    /// Whether walks look at the source address.
    pub source: bool,
    /// Whether walks look at the destination address.
    pub destination: bool,
    /// Whether walks look at ports or the protocol.
    pub ports: bool,
}

impl<B: AsRef<[u8]>> Classifier<B> {
    /// The trees of the image, those of IPv4 first.
    pub fn trees(&self) -> Vec<TreeShape> {
        trees_of(self.tables(0), self.tables(1))
    }
}

/// The trees of both families.
pub(crate) fn trees_of(v4: Tables<'_>, v6: Tables<'_>) -> Vec<TreeShape> {
    let v4 = trees::<V4>(v4).map(|tree| TreeShape { ipv6: false, ..tree });
    let v6 = trees::<V6>(v6).map(|tree| TreeShape { ipv6: true, ..tree });
    v4.chain(v6).collect()
}

fn trees<const N: usize>(tables: Tables<'_>) -> impl Iterator<Item = TreeShape> {
    let roots = tables.roots.min(tables.entries.len());
    tables.entries[..roots].iter().map(move |root| tree::<N>(tables, Entry(u64::from_le_bytes(*root))))
}

/// Level by level: entries may lead to the same table, which is counted once. It takes time by the size of the image, as every
/// level lies behind the one before.
fn tree<const N: usize>(tables: Tables<'_>, root: Entry) -> TreeShape {
    let mut shape = TreeShape::default();
    let mut leaves = BTreeSet::new();
    let mut level = vec![root];
    loop {
        let mut next = BTreeSet::new();
        for entry in level {
            if !entry.is_leaf() {
                let (word, bits) = (entry.word(), entry.low().count_ones());
                next.insert((entry.place(), bits));
                shape.stride = shape.stride.max(bits);
                shape.source |= word < (N - 2) / 2;
                shape.destination |= ((N - 2) / 2..N - 2).contains(&word);
                shape.ports |= word >= N - 2;
            } else if entry.low() != NONE {
                leaves.insert(entry.place());
            }
        }
        if next.is_empty() {
            shape.leaves = leaves.len();
            return shape;
        }
        shape.depth += 1;
        shape.tables += next.len();
        let below = next
            .into_iter()
            .flat_map(|(place, bits)| tables.entries.get(place..place + (1 << bits)).unwrap_or_default());
        level = below.map(|entry| Entry(u64::from_le_bytes(*entry))).collect();
    }
}
