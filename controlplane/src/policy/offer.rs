//! The policies of all ports, and the segments that bring the data plane to others.

use super::fold::{Fold, Folded};
use super::{Base, List, Published};
use acl::CompileError;
use shm::{PolicySegment, PortId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// A policy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It has too many rules to be compiled.
    #[error("crypto map {map}: {source}")]
    Compile {
        /// Which.
        map: config::Name,
        /// Why.
        source: CompileError,
    },
    /// It cannot be put into shared memory.
    #[error("cannot make a policy segment: {0}")]
    Segment(#[from] io::Error),
}

/// What the policy of a port becomes, and the segments to offer for it.
#[derive(Debug)]
pub struct Next {
    /// The egress port.
    pub port: PortId,
    /// A new base; else the data plane keeps the one that it has.
    pub base: Option<PolicySegment>,
    /// A new change; else the data plane keeps the one that it has, but over a new base there is none.
    pub change: Option<PolicySegment>,
    published: Published,
}

impl Next {
    /// What it will be.
    pub fn published(&self) -> &Published {
        &self.published
    }
}

/// What the data plane holds, by its acknowledgements.
#[derive(Debug, Default)]
pub struct Policies {
    on: BTreeMap<PortId, Published>,
    /// Those that the data plane may no longer hold.
    lost: BTreeSet<PortId>,
    folding: Option<PortId>,
    /// Lists that cannot be compiled as one.
    unfoldable: BTreeMap<PortId, Arc<List>>,
}

impl Policies {
    /// The policy of a port.
    pub fn on(&self, port: PortId) -> Option<&Published> {
        self.on.get(&port)
    }

    /// Whether the policy of a port is being compiled in the background.
    pub fn is_folding(&self, port: PortId) -> bool {
        self.folding == Some(port)
    }

    /// The data plane holds nothing of what it held.
    pub fn forget(&mut self) {
        self.lost.extend(self.on.keys());
    }

    /// The data plane does not hold the policy of a port any more.
    pub fn forget_port(&mut self, port: PortId) {
        self.lost.insert(port);
    }

    /// What brings the data plane to these lists. Nothing here changes before [`Policies::settle`].
    pub fn prepare(&self, lists: Vec<(PortId, Arc<List>)>) -> Result<Vec<Next>, PolicyError> {
        lists.into_iter().map(|(port, list)| self.next(port, list)).collect()
    }

    fn next(&self, port: PortId, list: Arc<List>) -> Result<Next, PolicyError> {
        let before = self.on.get(&port);
        let held = before.filter(|_| !self.lost.contains(&port));
        if let Some(before) = before
            && let Some(published) = before.changed(&list)
        {
            let base = match held {
                Some(_) => None,
                None => Some(base_segment(&published, None)?),
            };
            let is_there = held.is_some() && Arc::ptr_eq(before.list(), published.list());
            let change = if is_there { None } else { change_segment(&published, None)? };
            return Ok(Next { port, base, change, published });
        }
        let base =
            Base::compile(&list).map_err(|source| PolicyError::Compile { map: list.map.clone(), source })?;
        let published = Published::new(Arc::new(base));
        let origins = held.map(|before| published.origins(before));
        let base = Some(base_segment(&published, origins.as_deref())?);
        Ok(Next { port, base, change: None, published })
    }

    /// The data plane acknowledged a transaction that listed the policies of all ports.
    pub fn settle(&mut self, all: Vec<Next>) {
        self.on = all.into_iter().map(|next| (next.port, next.published)).collect();
        self.lost.clear();
        self.unfoldable.retain(|port, _| self.on.contains_key(port));
    }

    /// The data plane acknowledged a transaction about the policy of one port.
    pub fn settle_one(&mut self, next: Next) {
        self.on.insert(next.port, next.published);
    }

    /// A change that should be compiled with its base, if none is in work. To be started, and then
    /// [folded](Policies::folded).
    pub fn fold(&mut self) -> Option<Fold> {
        if self.folding.is_some() {
            return None;
        }
        let mut changed = self.on.iter().filter(|(port, published)| {
            let hopeless = self.unfoldable.get(port).is_some_and(|list| Arc::ptr_eq(list, published.list()));
            published.change().is_some() && !hopeless
        });
        let (&port, of) = changed.next()?;
        self.folding = Some(port);
        Some(Fold { port, of: of.clone() })
    }

    /// Takes what came of a fold: what is to be offered, if it is still of use.
    pub fn folded(&mut self, folded: Folded) -> Result<Option<Next>, super::fold::FoldError> {
        let Folded { port, of, outcome } = folded;
        self.folding = None;
        let (base, segment) = outcome.inspect_err(|_| {
            self.unfoldable.insert(port, Arc::clone(of.list()));
        })?;
        let there = self.on.get(&port).filter(|now| Arc::ptr_eq(now.base(), of.base()));
        let Some(now) = there else { return Ok(None) };
        // What changed while it was compiled lies over it.
        let base = Published::new(base);
        let Some(published) = base.changed(now.list()) else { return Ok(None) };
        if self.lost.contains(&port) {
            self.on.insert(port, published);
            return Ok(None);
        }
        let origins = published.origins(now);
        let first = published.change().map_or(0, |(_, first, _)| first);
        let change = change_segment(&published, origins.get(first as usize..))?;
        Ok(Some(Next { port, base: Some(segment), change, published }))
    }

    /// The data plane does not take what was folded; it is not tried again before the list changes.
    pub fn unfold(&mut self, port: PortId) {
        self.folding = self.folding.filter(|folding| *folding != port);
        if let Some(published) = self.on.get(&port) {
            self.unfoldable.insert(port, Arc::clone(published.list()));
        }
    }
}

fn base_segment(published: &Published, origins: Option<&[Option<u32>]>) -> io::Result<PolicySegment> {
    let base = published.base();
    PolicySegment::build(base.image.as_bytes(), &base.list.labels, origins)
}

fn change_segment(
    published: &Published,
    origins: Option<&[Option<u32>]>,
) -> io::Result<Option<PolicySegment>> {
    let build = |(image, first, labels): (&acl::Image, _, _)| {
        PolicySegment::build_change(image.as_bytes(), first, labels, origins)
    };
    published.change().map(build).transpose()
}
