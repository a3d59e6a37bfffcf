//! `show access-lists detail`: the lists, and what the crypto map of each interface was compiled to.

use super::access_lists::AccessLists;
use super::{Images, Page, View, plural};
use acl::{Classifier, Overlay, TreeShape};
use serde::Serialize;
use shm::PortId;
use std::fmt::Write as _;

/// The page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detailed {
    /// As `show access-lists` has them.
    #[serde(flatten)]
    pub lists: AccessLists,
    /// By port.
    pub compiled: Vec<Compiled>,
}

/// The policy of one interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compiled {
    /// Number of the port.
    pub port: PortId,
    /// In the configuration; where no daemon could be asked, in Linux.
    pub interface: String,
    /// The crypto map; unknown where no daemon could be asked.
    pub crypto_map: Option<String>,
    /// Rules in force.
    pub rules: u32,
    /// Rules that were compiled as a whole.
    pub compiled_rules: u32,
    /// Bytes that they were compiled to.
    pub bytes: usize,
    /// How long that took, in milliseconds; unknown where no daemon could be asked.
    pub compile_ms: Option<f64>,
    /// What the compiler chose: a look-up of a family walks all of its trees.
    pub trees: Vec<Tree>,
    /// What changed since, and lies over it.
    pub change: Option<Change>,
    /// All of it is being compiled anew in the background; unknown where no daemon could be asked.
    pub recompiling: Option<bool>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Rules that it adds.
    pub added: u32,
    /// Rules that it removes.
    pub removed: u32,
    /// Bytes that it was compiled to.
    pub bytes: usize,
    /// Leaves of the trees that it writes anew.
    pub leaves: usize,
    /// Of rules that would have changed too many leaves.
    pub trees: Vec<Tree>,
}

/// A tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// What of a packet chooses the way: `source`, `destination`, `ports`. Nothing, where the tree is one leaf.
    pub by: Vec<&'static str>,
    /// Tables on the longest way.
    pub depth: usize,
    /// Tables in all.
    pub tables: usize,
    /// Bits that the widest table is chosen by.
    pub stride: u32,
    /// Leaves with rules.
    pub leaves: usize,
}

impl Detailed {
    /// Out of a view; `None` where an image is none.
    pub fn new(view: &View) -> Option<Detailed> {
        let compiled = view.images.iter().map(|images| compiled(view, images)).collect::<Option<_>>()?;
        Some(Detailed { lists: AccessLists::new(view), compiled })
    }
}

fn compiled(view: &View, images: &Images) -> Option<Compiled> {
    let base = Classifier::verify(&images.base).ok()?;
    let change = match &images.change {
        Some(image) => {
            let overlay = Overlay::verify(image).ok()?;
            Some(Change {
                added: overlay.added(),
                removed: overlay.removed(),
                bytes: image.as_ref().len(),
                leaves: overlay.leaves(),
                trees: trees(overlay.trees()),
            })
        }
        None => None,
    };
    let (added, removed) = change.as_ref().map_or((0, 0), |change| (change.added, change.removed));
    let linux_name = view.counters.ports.get(&images.port).map(|status| status.name.to_string());
    let linux_name = linux_name.unwrap_or_default();
    let facts = view.facts.as_ref();
    let interface = facts.and_then(|facts| facts.interfaces.iter().find(|i| i.linux_name == linux_name));
    let made = facts.and_then(|facts| facts.policies.iter().find(|policy| policy.port == images.port.get()));
    Some(Compiled {
        port: images.port,
        interface: interface.map_or(linux_name, |interface| interface.name.clone()),
        crypto_map: made.map(|made| made.crypto_map.clone()),
        rules: base.rules().saturating_sub(removed).saturating_add(added),
        compiled_rules: base.rules(),
        bytes: images.base.as_ref().len(),
        compile_ms: made.map(|made| made.compile_us as f64 / 1000.0),
        trees: trees(base.trees()),
        change,
        recompiling: made.map(|made| made.recompiling),
    })
}

fn trees(shapes: Vec<TreeShape>) -> Vec<Tree> {
    let tree = |shape: TreeShape| {
        let by = [("source", shape.source), ("destination", shape.destination), ("ports", shape.ports)];
        Tree {
            family: if shape.ipv6 { "ipv6" } else { "ipv4" },
            by: by.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect(),
            depth: shape.depth,
            tables: shape.tables,
            stride: shape.stride,
            leaves: shape.leaves,
        }
    };
    shapes.into_iter().map(tree).collect()
}

impl Page for Detailed {
    fn text(&self) -> String {
        let mut text = self.lists.text();
        for compiled in &self.compiled {
            // Writing to a `String` does not fail.
            let _ = write(&mut text, compiled);
        }
        text
    }
}

fn write(text: &mut String, compiled: &Compiled) -> std::fmt::Result {
    write!(text, "{}", compiled.interface)?;
    if let Some(map) = &compiled.crypto_map {
        write!(text, ", crypto map {map}")?;
    }
    writeln!(text, ": {} in force", plural(compiled.rules, "rule"))?;
    write!(text, "    {} compiled to {}", plural(compiled.compiled_rules, "rule"), size(compiled.bytes))?;
    match compiled.compile_ms {
        Some(took) => writeln!(text, " in {took:.1} ms")?,
        None => writeln!(text)?,
    }
    write_trees(text, &compiled.trees)?;
    if let Some(change) = &compiled.change {
        writeln!(
            text,
            "    changed since: {} added, {} removed, {} anew, compiled to {}",
            change.added,
            change.removed,
            plural(change.leaves as u64, "leaf").replace("leafs", "leaves"),
            size(change.bytes)
        )?;
        write_trees(text, &change.trees)?;
    }
    match compiled.recompiling {
        Some(true) => writeln!(text, "    being compiled anew in the background"),
        _ => Ok(()),
    }
}

fn write_trees(text: &mut String, trees: &[Tree]) -> std::fmt::Result {
    trees.iter().try_for_each(|tree| {
        let family = if tree.family == "ipv6" { "IPv6" } else { "IPv4" };
        match tree.depth {
            0 => writeln!(text, "        {family} tree: one leaf"),
            depth => writeln!(
                text,
                "        {family} tree by {}: depth {depth}, {} of up to {} bits, {}",
                tree.by.join(" and "),
                plural(tree.tables as u64, "table"),
                tree.stride,
                plural(tree.leaves as u64, "leaf").replace("leafs", "leaves"),
            ),
        }
    })
}

/// `640 bytes`, `12.5 KiB`, `3.0 MiB`.
fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => plural(bytes as u64, "byte"),
        10_000..10_000_000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}
