//! What the control plane asked for, and whether a transaction's outcome would make sense.
//!
//! Pure: nothing is done here. `realise` does it.

use super::overlay::{Overlay, Patch};
use model::{Direction, DscpMap, Prefix, Selector, Spi};
use shm::layout::{MAX_ENTRIES, MAX_NEXT_HOPS, MAX_SELECTORS};
use shm::{AttachPort, Command, Failure, InstallSa, NextHop, PortId, Reason};
use std::collections::BTreeMap;

/// An SA as the control plane described it.
#[derive(Clone, Debug)]
pub(super) struct SaSpec {
    pub(super) install: Box<InstallSa>,
    pub(super) selectors: Vec<Selector>,
    pub(super) dscp: DscpMap,
}

/// The same SA: what it starts from (sequence number, replay floor, IV base) is not part of what it is, so that an SA
/// that is described again keeps its state.
impl PartialEq for SaSpec {
    fn eq(&self, other: &SaSpec) -> bool {
        let (a, b) = (&*self.install, &*other.install);
        let InstallSa { index, direction, spi, suite, mode, ref key, local, remote, udp_port, .. } = *a;
        let InstallSa { extended_sequence, replay_window, limits, size, tfc, entry, .. } = *a;
        (index, direction, spi, suite, mode, local, remote, udp_port)
            == (b.index, b.direction, b.spi, b.suite, b.mode, b.local, b.remote, b.udp_port)
            && (extended_sequence, replay_window, limits, size, tfc, entry)
                == (b.extended_sequence, b.replay_window, b.limits, b.size, b.tfc, b.entry)
            && *key == b.key
            && self.selectors == other.selectors
            && self.dscp == other.dscp
    }
}

/// What a port's policy is to be, by the numbers that segments were offered under. No two are the same: the next control
/// plane counts from 1 again, and offers something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct PolicySpec {
    /// The compiled policy; `None` for the one that is there.
    pub(super) base: Option<u32>,
    /// The change that lies over it; `None` for that which lies over the one that is there, or over another one none.
    pub(super) change: Option<u32>,
}

impl PartialEq for PolicySpec {
    fn eq(&self, _: &PolicySpec) -> bool {
        false
    }
}

/// Everything asked for.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) ports: BTreeMap<PortId, AttachPort>,
    pub(super) sas: BTreeMap<u32, SaSpec>,
    /// Policy entry to index of the outbound SA.
    pub(super) bindings: BTreeMap<u32, u32>,
    pub(super) policies: BTreeMap<PortId, PolicySpec>,
    pub(super) next_hops: BTreeMap<u32, NextHop>,
    pub(super) routes: BTreeMap<Prefix, u32>,
    /// Inbound SPI to SA index; follows `sas`.
    spis: BTreeMap<Spi, u32>,
}

/// [`Desired`] as it would be after a transaction.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) ports: Overlay<'a, PortId, AttachPort>,
    pub(super) sas: Overlay<'a, u32, SaSpec>,
    pub(super) bindings: Overlay<'a, u32, u32>,
    pub(super) policies: Overlay<'a, PortId, PolicySpec>,
    pub(super) next_hops: Overlay<'a, u32, NextHop>,
    pub(super) routes: Overlay<'a, Prefix, u32>,
    spis: Overlay<'a, Spi, u32>,
}

/// All changes of a transaction.
#[derive(Debug)]
pub(super) struct DesiredPatch {
    ports: Patch<PortId, AttachPort>,
    sas: Patch<u32, SaSpec>,
    bindings: Patch<u32, u32>,
    policies: Patch<PortId, PolicySpec>,
    next_hops: Patch<u32, NextHop>,
    routes: Patch<Prefix, u32>,
    spis: Patch<Spi, u32>,
}

/// Sizes that bound what can be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    sas: u32,
    next_hops: u32,
    entries: u32,
}

impl Capacity {
    /// For so many SAs and routes: no more policy entries than SAs can serve, no more next hops than routes can name.
    pub(crate) fn new(max_sas: u32, max_routes: u32) -> Capacity {
        Capacity {
            sas: max_sas,
            next_hops: max_routes.saturating_mul(2).min(MAX_NEXT_HOPS),
            entries: max_sas.min(MAX_ENTRIES),
        }
    }
}

fn refuse(number: u64, reason: Reason, detail: u64) -> Failure {
    Failure { number, reason, detail }
}

impl Desired {
    /// Lays the commands (with their numbers) over what was asked for before and checks the outcome.
    pub(super) fn draft(
        &self,
        commands: Vec<(u64, Command)>,
        replace: bool,
        capacity: Capacity,
    ) -> Result<Draft<'_>, Failure> {
        let mut draft = Draft {
            ports: Overlay::new(&self.ports, replace),
            sas: Overlay::new(&self.sas, replace),
            bindings: Overlay::new(&self.bindings, replace),
            policies: Overlay::new(&self.policies, replace),
            next_hops: Overlay::new(&self.next_hops, replace),
            routes: Overlay::new(&self.routes, replace),
            spis: Overlay::new(&self.spis, replace),
        };
        for (number, command) in commands {
            draft.add(number, command, capacity)?;
        }
        draft.check()?;
        Ok(draft)
    }

    /// Takes a transaction over, once it is done.
    pub(super) fn apply(&mut self, patch: DesiredPatch) {
        let DesiredPatch { ports, sas, bindings, policies, next_hops, routes, spis } = patch;
        ports.apply(&mut self.ports);
        sas.apply(&mut self.sas);
        bindings.apply(&mut self.bindings);
        policies.apply(&mut self.policies);
        next_hops.apply(&mut self.next_hops);
        routes.apply(&mut self.routes);
        spis.apply(&mut self.spis);
    }
}

impl Draft<'_> {
    fn add(&mut self, number: u64, command: Command, capacity: Capacity) -> Result<(), Failure> {
        match command {
            Command::Barrier => {}
            Command::AttachPort(attach) => {
                if let Some(before) = self.ports.get(&attach.port)
                    && (before.device, before.name, before.mac) != (attach.device, attach.name, attach.mac)
                {
                    return Err(refuse(number, Reason::PortExists, 0));
                }
                self.ports.set(number, attach.port, attach);
            }
            Command::DetachPort { port } => {
                self.ports.get(&port).ok_or(refuse(number, Reason::NoSuchPort, 0))?;
                self.ports.remove(number, port);
                self.policies.remove(number, port);
            }
            Command::InstallSa(install) => self.install(number, install, capacity)?,
            Command::AddSelector { index, selector } => {
                let spec = self.sas.asked_mut(&index).ok_or(refuse(
                    number,
                    Reason::SelectorWithoutSa,
                    u64::from(index),
                ))?;
                if spec.selectors.len() >= MAX_SELECTORS {
                    return Err(refuse(number, Reason::TooManySelectors, u64::from(index)));
                }
                spec.selectors.push(selector);
            }
            Command::MapDscp { index, map } => {
                let none = refuse(number, Reason::NoSuchSa, u64::from(index));
                self.sas.asked_mut(&index).ok_or(none)?.dscp = *map;
            }
            Command::RemoveSa { index } => {
                let spec = self.sas.get(&index).ok_or(refuse(number, Reason::NoSuchSa, u64::from(index)))?;
                if spec.install.direction == Direction::Inbound {
                    let spi = spec.install.spi;
                    self.spis.remove(number, spi);
                }
                self.sas.remove(number, index);
            }
            Command::KeepSa { index } => {
                let none = refuse(number, Reason::NoSuchSa, u64::from(index));
                let spec = self.sas.known(&index).cloned().ok_or(none)?;
                if spec.install.direction == Direction::Inbound {
                    self.spis.set(number, spec.install.spi, index);
                }
                self.sas.set(number, index, spec);
            }
            Command::BindEntry { entry, sa } => {
                if entry >= capacity.entries {
                    return Err(refuse(number, Reason::TooManyEntries, u64::from(entry)));
                }
                match sa {
                    Some(sa) => self.bindings.set(number, entry, sa),
                    None => self.bindings.remove(number, entry),
                }
            }
            Command::SetPolicy { port, segment } => {
                self.policies.set(number, port, PolicySpec { base: Some(segment), change: None });
            }
            Command::KeepPolicy { port } => {
                self.policies.known(&port).ok_or(refuse(number, Reason::NoSuchPolicy, 0))?;
                if self.policies.asked_mut(&port).is_none() {
                    self.policies.set(number, port, PolicySpec { base: None, change: None });
                }
            }
            Command::ChangePolicy { port, segment } => {
                self.policies.known(&port).ok_or(refuse(number, Reason::NoSuchPolicy, 0))?;
                let base = self.policies.asked_mut(&port).and_then(|spec| spec.base);
                self.policies.set(number, port, PolicySpec { base, change: Some(segment) });
            }
            Command::ClearPolicy { port } => self.policies.remove(number, port),
            Command::SetNextHop { id, hop } => {
                if id >= capacity.next_hops {
                    return Err(refuse(number, Reason::TooManyEntries, u64::from(id)));
                }
                self.next_hops.set(number, id, hop);
            }
            Command::AddRoute { prefix, next_hop } => self.routes.set(number, prefix, next_hop),
            Command::RemoveRoute { prefix } => self.routes.remove(number, prefix),
        }
        Ok(())
    }

    fn install(&mut self, number: u64, install: Box<InstallSa>, capacity: Capacity) -> Result<(), Failure> {
        let index = install.index;
        if index >= capacity.sas {
            return Err(refuse(number, Reason::SaIndexTooLarge, u64::from(capacity.sas)));
        }
        // What this index held before gives its SPI back.
        if let Some(before) = self.sas.get(&index).filter(|sa| sa.install.direction == Direction::Inbound) {
            let spi = before.install.spi;
            self.spis.remove(number, spi);
        }
        if install.direction == Direction::Inbound {
            if let Some(&other) = self.spis.get(&install.spi) {
                return Err(refuse(number, Reason::DuplicateSpi, u64::from(other)));
            }
            self.spis.set(number, install.spi, index);
        }
        self.sas.set(number, index, SaSpec { install, selectors: Vec::new(), dscp: DscpMap::COPY });
        Ok(())
    }

    /// What no command can know alone: do the parts fit together in the end?
    fn check(&self) -> Result<(), Failure> {
        let mut names = BTreeMap::new();
        for change in self.ports.changes() {
            if let (Some(number), Some(port)) = (change.number, change.after)
                && !port.name.is_empty()
                && let Some(_other) = names.insert(port.name.as_str(), port.port)
            {
                return Err(refuse(number, Reason::NameInUse, 0));
            }
        }
        for change in self.routes.changes() {
            if let (Some(number), Some(next_hop)) = (change.number, change.after) {
                self.next_hops.get(next_hop).ok_or(refuse(
                    number,
                    Reason::NoSuchNextHop,
                    u64::from(*next_hop),
                ))?;
            }
        }
        for change in self.next_hops.changes() {
            if let (Some(number), Some(NextHop::Forward { port, .. } | NextHop::Glean { port })) =
                (change.number, change.after)
            {
                self.ports.get(port).ok_or(refuse(number, Reason::NoSuchPort, u64::from(port.get())))?;
            }
        }
        for change in self.policies.changes() {
            if let (Some(number), Some(_)) = (change.number, change.after) {
                self.ports.get(change.key).ok_or(refuse(number, Reason::NoSuchPort, 0))?;
            }
        }
        for change in self.bindings.changes() {
            if let (Some(number), Some(&index)) = (change.number, change.after) {
                let sa = self.sas.get(&index).ok_or(refuse(number, Reason::NoSuchSa, u64::from(index)))?;
                if sa.install.direction != Direction::Outbound {
                    return Err(refuse(number, Reason::NotOutbound, u64::from(index)));
                }
            }
        }
        Ok(())
    }

    pub(super) fn into_patch(self) -> DesiredPatch {
        DesiredPatch {
            ports: self.ports.into_patch(),
            sas: self.sas.into_patch(),
            bindings: self.bindings.into_patch(),
            policies: self.policies.into_patch(),
            next_hops: self.next_hops.into_patch(),
            routes: self.routes.into_patch(),
            spis: self.spis.into_patch(),
        }
    }
}
