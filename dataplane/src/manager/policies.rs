//! The crypto maps on ports: verified, changed, replaced, and what their counters bring with them.
//!
//! Numbers of rules stay as long as a base is in use, through all its changes, and so do its counters. With another base
//! all numbers move: the new counters begin at zero, and when no worker counts in the old ones any more, each rule is
//! given what it had there. So each packet is counted once, in one place or the other, and none is lost.

use super::desired::{Draft, PolicySpec};
use crate::policy::Policy;
use acl::{Classifier, Overlay};
use shm::{Failure, Hits, PolicyImage, PortId, Reason, Server};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The policies in use.
pub(super) type InUse = BTreeMap<PortId, Arc<Policy>>;

/// What a port's policy becomes; `None` where it goes away.
pub(super) type Next = (PortId, Option<(Arc<Policy>, Carry)>);

/// Counts that go with their rules from one policy to the next.
pub(super) struct Carry {
    from: Option<Arc<Hits>>,
    to: Arc<Hits>,
    /// For each rule by its number, its number before.
    origins: Vec<Option<u32>>,
}

impl Carry {
    /// Nothing to carry: what counts goes on counting, or all begins at zero.
    fn nothing(to: &Arc<Hits>) -> Carry {
        Carry { from: None, to: Arc::clone(to), origins: Vec::new() }
    }

    pub(super) fn is_needed(&self) -> bool {
        self.from.is_some()
    }

    /// Carries, once no worker counts in the old counters any more.
    pub(super) fn carry(&self) {
        let Some(from) = &self.from else { return };
        for (number, origin) in (0..).zip(&self.origins) {
            let packets = origin.map_or(0, |origin| from.get(origin));
            if packets > 0 {
                self.to.carry(number, packets);
            }
        }
    }
}

/// The crypto maps that change, checked.
pub(super) fn prepare(server: &mut Server, in_use: &InUse, draft: &Draft<'_>) -> Result<Vec<Next>, Failure> {
    let mut next = Vec::new();
    for change in draft.policies.changes() {
        let port = *change.key;
        let policy = match change.after {
            None => None,
            Some(spec) => Some(one(server, in_use.get(&port), port, *spec).map_err(|(reason, detail)| {
                Failure { number: change.number.unwrap_or_default(), reason, detail }
            })?),
        };
        next.push((port, policy));
    }
    Ok(next)
}

type Refused = (Reason, u64);

fn one(
    server: &mut Server,
    current: Option<&Arc<Policy>>,
    port: PortId,
    spec: PolicySpec,
) -> Result<(Arc<Policy>, Carry), Refused> {
    let refused = |segment: u32| {
        move |error: &dyn std::fmt::Display| {
            tracing::error!("port {port}: policy segment {segment}: {error}");
            (Reason::PolicyRefused, u64::from(segment))
        }
    };
    let offered = spec.base.map(|segment| image(server, segment)).transpose()?;
    // The same map again, from a control plane that starts anew: its hit counters go on.
    let stays = |current: &&Arc<Policy>| {
        offered.as_ref().is_none_or(|image| image == current.base().image() && image.origins().len() == 0)
    };
    let staying = current.filter(stays);
    if let Some(current) = staying
        && spec.change.is_none()
        && (offered.is_none() || !current.is_changed())
    {
        return Ok((Arc::clone(current), Carry::nothing(&current.hits)));
    }
    let base = match (staying, offered) {
        (Some(current), _) => Arc::clone(current.base()),
        (None, Some(image)) => {
            let refused = refused(image.segment());
            let base = Classifier::verify(image).map_err(|error| refused(&error))?;
            if base.image().first() != 0 || base.rules() != base.image().numbers() {
                return Err(refused(&"it has not as many labels as rules"));
            }
            Arc::new(base)
        }
        (None, None) => return Err((Reason::NoSuchPolicy, 0)),
    };
    let change = match spec.change {
        Some(segment) => {
            let image = image(server, segment)?;
            Some(Overlay::verify(image).map_err(|error| refused(segment)(&error))?)
        }
        None => None,
    };
    let of_change = change.as_ref().map(|change| change.image().clone());
    let numbers = base.rules().max(of_change.as_ref().map_or(0, PolicyImage::numbers));
    // Only who kept the base goes on with the numbers that were given: another one gives them anew, to other rules.
    let goes_on = |current: &&Arc<Policy>| spec.base.is_none() && numbers <= current.hits.rules();
    let hits = match staying.filter(goes_on) {
        Some(current) => Arc::clone(&current.hits),
        None => server.hits(numbers).map_err(|error| {
            tracing::error!("port {port}: no hit counters: {error}");
            (Reason::OutOfMemory, 0)
        })?,
    };
    let origins = match (staying, current) {
        (Some(current), _) if Arc::ptr_eq(&current.hits, &hits) => None,
        (Some(current), _) => {
            let known = if spec.base.is_none() { current.numbers() } else { base.rules() };
            Some((current, (0..known).map(Some).collect()))
        }
        (None, Some(current)) => {
            let mut all: Vec<_> = base.image().origins().collect();
            if let Some(change) = of_change.filter(|change| change.first() as usize <= all.len()) {
                all.truncate(change.first() as usize);
                all.extend(change.origins());
            }
            Some((current, all)).filter(|(_, all)| !all.is_empty())
        }
        (None, None) => None,
    };
    let carry = match origins {
        Some((current, origins)) => {
            Carry { from: Some(Arc::clone(&current.hits)), to: Arc::clone(&hits), origins }
        }
        None => Carry::nothing(&hits),
    };
    let policy = Policy::new(base, change, hits);
    let policy =
        policy.ok_or_else(|| refused(spec.change.unwrap_or_default())(&"it is of another policy"))?;
    Ok((Arc::new(policy), carry))
}

fn image(server: &mut Server, segment: u32) -> Result<PolicyImage, Refused> {
    server.image(segment).ok_or((Reason::NoSuchSegment, u64::from(segment)))
}
