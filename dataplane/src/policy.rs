//! A compiled crypto map in use: the base, the change that lies over it, and the hit counters of both.

use acl::{Classifier, Depth, KeyV4, KeyV6, Overlay, Verdict};
use shm::{Hits, PolicyImage, PolicyInUse};
use std::sync::Arc;

/// Immutable, as all of a snapshot: a change comes as another one, which shares the base.
pub(crate) struct Policy {
    base: Arc<Classifier<PolicyImage>>,
    change: Option<Overlay<PolicyImage>>,
    depths: [Depth; 2],
    /// By the rules' numbers, which the change continues.
    pub(crate) hits: Arc<Hits>,
}

impl Policy {
    /// `None` if the change is of another base, or gives a number without a label.
    pub(crate) fn new(
        base: Arc<Classifier<PolicyImage>>,
        change: Option<Overlay<PolicyImage>>,
        hits: Arc<Hits>,
    ) -> Option<Policy> {
        let fits = |change: &Overlay<PolicyImage>| {
            change.over(&base).is_some()
                && change.image().first() <= base.rules()
                && change.numbers() <= base.rules().max(change.image().numbers())
        };
        if !change.as_ref().is_none_or(fits) {
            return None;
        }
        let depths = match &change {
            Some(change) => [change.depth_v4().max(base.depth_v4()), change.depth_v6().max(base.depth_v6())],
            None => [base.depth_v4(), base.depth_v6()],
        };
        Some(Policy { base, change, depths, hits })
    }

    pub(crate) fn base(&self) -> &Arc<Classifier<PolicyImage>> {
        &self.base
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.change.is_some()
    }

    /// How far into IPv4 packets some rule looks.
    #[inline]
    pub(crate) const fn depth_v4(&self) -> Depth {
        self.depths[0]
    }

    /// How far into IPv6 packets some rule looks.
    #[inline]
    pub(crate) const fn depth_v6(&self) -> Depth {
        self.depths[1]
    }

    /// How many numbers were given.
    pub(crate) fn numbers(&self) -> u32 {
        let given = self.change.as_ref().map_or(0, |change| change.image().numbers());
        self.base.rules().max(given)
    }

    /// As observers see it.
    pub(crate) fn shown(&self) -> PolicyInUse {
        PolicyInUse {
            image: self.base.image().clone(),
            change: self.change.as_ref().map(|change| change.image().clone()),
            hits: Arc::clone(&self.hits),
        }
    }

    /// Whether a rule asks for TCP flags or a traffic class: if none does, keys need not have them.
    #[inline]
    pub(crate) fn asks_marks(&self) -> bool {
        self.base.asks_marks() || self.change.as_ref().is_some_and(Overlay::asks_marks)
    }

    /// A verdict for each key.
    #[inline]
    pub(crate) fn lookup_v4(&self, keys: &[KeyV4], verdicts: &mut [Verdict]) {
        match self.change.as_ref().and_then(|change| change.over(&self.base)) {
            Some(changed) => changed.lookup_v4(keys, verdicts),
            None => self.base.lookup_v4(keys, verdicts),
        }
    }

    /// A verdict for each key.
    #[inline]
    pub(crate) fn lookup_v6(&self, keys: &[KeyV6], verdicts: &mut [Verdict]) {
        match self.change.as_ref().and_then(|change| change.over(&self.base)) {
            Some(changed) => changed.lookup_v6(keys, verdicts),
            None => self.base.lookup_v6(keys, verdicts),
        }
    }
}
