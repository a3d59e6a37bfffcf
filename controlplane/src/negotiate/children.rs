//! The SAs that IKE agreed on, as the data plane holds them. Pure.
//!
//! A pair is known by its inbound SPI, which no other has. Several pairs may serve one entry at a time, as while one takes the
//! place of another; what leaves goes by the newest that may send. The inbound SA of a pair that was replaced stays for a
//! moment, as packets may still be on their way.
//!
//! A peer that proves itself anew asks for a second pair of the same and then gives up the first. It has the second only once it
//! has our answer, so what leaves goes by the first until that is gone, or for a moment.

use crate::memory::{Memory, SaName};
use crate::plan::PlannedSa;
use config::{EntryKey, Name, PolicyAction, PolicyRule};
use ike::Identity;
use model::{Lifetime, Marks, Selector, Spi};
use shm::{Command, Limits};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an inbound SA takes what is still on its way.
const FADE: Duration = Duration::from_secs(3);

/// How long what leaves goes by an older pair where the peer has asked for another: it may have started anew without a word of
/// it.
const SETTLE: Duration = Duration::from_secs(3);

/// One pair of SAs.
#[derive(Clone, Debug)]
pub struct Child {
    /// The connection that it was agreed on by.
    pub connection: Arc<str>,
    /// The policy that it serves.
    pub policy: Arc<str>,
    /// Who the peer is.
    pub peer: Arc<Identity>,
    /// The crypto map's entry.
    pub entry: EntryKey,
    /// The dynamic map's, if it leads to one.
    pub dynamic: Option<EntryKey>,
    /// The entry's number in the data plane; of a dynamic entry, each peer has one of its own.
    pub number: u32,
    /// What arrives.
    pub inbound: PlannedSa,
    /// What leaves.
    pub outbound: PlannedSa,
    /// Whether the peer is known to have it.
    pub sending: bool,
}

impl Child {
    /// What it is known by.
    pub fn spi(&self) -> Spi {
        self.inbound.install.spi
    }
}

/// All pairs.
#[derive(Debug, Default)]
pub struct Children {
    by_spi: HashMap<Spi, Child>,
    by_index: BTreeMap<u32, Spi>,
    /// Inbound SPIs in the order of their coming.
    by_number: BTreeMap<u32, Vec<Spi>>,
    /// What peers of dynamic entries have now. There may be a hundred thousand, and they are all asked for when one changes.
    peers: BTreeMap<(Name, u16), BTreeMap<u32, Vec<PolicyRule>>>,
    fading: VecDeque<(Instant, PlannedSa)>,
    /// Pairs that are to carry what leaves from then on, by their inbound SPIs.
    settling: VecDeque<(Instant, Spi)>,
    /// Numbers of peers of dynamic entries, by a hash of what makes another pair one of the same.
    claims: HashMap<u64, u32>,
    hasher: RandomState,
    /// Indexes and numbers that the configuration itself has given.
    reserved_indexes: BTreeSet<u32>,
    reserved_numbers: BTreeSet<u32>,
    next_index: u32,
    /// No number below it is free.
    lowest_number: u32,
}

impl Children {
    /// By its inbound SPI.
    pub fn get(&self, inbound: Spi) -> Option<&Child> {
        self.by_spi.get(&inbound)
    }

    /// The pair that has this index of the SA table, for either direction.
    pub fn at(&self, index: u32) -> Option<&Child> {
        self.by_spi.get(self.by_index.get(&index)?)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Child> {
        self.by_spi.values()
    }

    /// Numbers of entries that they serve.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// Whether any of them has that number.
    pub fn serves(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }

    /// Whether they serve that entry under that number.
    pub fn is_of(&self, number: u32, entry: &EntryKey) -> bool {
        let mut pairs =
            self.by_number.get(&number).into_iter().flatten().filter_map(|spi| self.by_spi.get(spi));
        pairs.any(|child| child.entry == *entry && child.dynamic.is_none())
    }

    /// Indexes of the SA table that they have.
    pub fn indexes(&self) -> impl Iterator<Item = u32> {
        let fading = self.fading.iter().map(|(_, sa)| sa.install.index);
        self.by_index.keys().copied().chain(fading)
    }

    /// The pair that carries what leaves by that entry.
    pub fn carrier(&self, number: u32) -> Option<&Child> {
        let pairs = self.by_number.get(&number)?.iter().rev().filter_map(|spi| self.by_spi.get(spi));
        pairs.clone().find(|child| child.sending)
    }

    /// Whether there is another pair for the same.
    pub fn has_other(&self, inbound: Spi) -> bool {
        let pairs = self.by_spi.get(&inbound).and_then(|child| self.by_number.get(&child.number));
        pairs.is_some_and(|pairs| pairs.len() > 1)
    }

    /// What the configuration itself has given away.
    pub fn reserve(&mut self, indexes: BTreeSet<u32>, numbers: BTreeSet<u32>) {
        (self.reserved_indexes, self.reserved_numbers) = (indexes, numbers);
        self.lowest_number = 0;
    }

    /// Two indexes that nobody has; those that were given back longest ago first. `None` if the table is full.
    pub fn free_indexes(&mut self, capacity: u32) -> Option<[u32; 2]> {
        let taken = |index: &u32| {
            self.by_index.contains_key(index)
                || self.reserved_indexes.contains(index)
                || self.fading.iter().any(|(_, sa)| sa.install.index == *index)
        };
        let start = if self.next_index < capacity { self.next_index } else { 0 };
        let mut free = (start..capacity).chain(0..start).filter(|index| !taken(index));
        let pair = [free.next()?, free.next()?];
        drop(free);
        self.next_index = pair[1] + 1;
        Some(pair)
    }

    /// A number for the tunnel of a dynamic entry's peer: the lowest that nobody has.
    pub fn free_number(&mut self) -> u32 {
        let taken =
            |number: &u32| self.by_number.contains_key(number) || self.reserved_numbers.contains(number);
        let free = (self.lowest_number..u32::MAX).find(|number| !taken(number)).unwrap_or(u32::MAX);
        self.lowest_number = free;
        free
    }

    /// The number of the tunnel of a dynamic entry's peer, if it has one for the same already: it may be proving itself anew.
    pub fn number_of(&self, policy: &Arc<str>, peer: &Arc<Identity>, selectors: &[Selector]) -> Option<u32> {
        let number = *self.claims.get(&self.claim(policy, peer, selectors))?;
        self.has_claim(number, policy, peer, selectors).then_some(number)
    }

    /// Whether a pair of that number is that peer's, for the same.
    fn has_claim(
        &self,
        number: u32,
        policy: &Arc<str>,
        peer: &Arc<Identity>,
        selectors: &[Selector],
    ) -> bool {
        let mut pairs =
            self.by_number.get(&number).into_iter().flatten().filter_map(|spi| self.by_spi.get(spi));
        pairs.any(|child| {
            (&child.policy, &child.peer) == (policy, peer) && child.outbound.selectors == selectors
        })
    }

    fn claim(&self, policy: &Arc<str>, peer: &Arc<Identity>, selectors: &[Selector]) -> u64 {
        self.hasher.hash_one((policy, peer, selectors))
    }

    /// Has a pair carry what leaves a moment later.
    pub fn send_later(&mut self, inbound: Spi, now: Instant) {
        self.settling.push_back((now + SETTLE, inbound));
    }

    /// Has those carry what leaves whose moment has come.
    pub fn settled(&mut self, now: Instant) -> Vec<Command> {
        let count = self.settling.iter().take_while(|(at, _)| *at <= now).count();
        let settled: Vec<Spi> = self.settling.drain(..count).map(|(_, spi)| spi).collect();
        settled.into_iter().flat_map(|spi| self.send(spi)).collect()
    }

    /// Takes a pair up; what the data plane is to be told.
    pub fn add(&mut self, child: Child) -> Vec<Command> {
        let (spi, number) = (child.spi(), child.number);
        for sa in [&child.inbound, &child.outbound] {
            self.by_index.insert(sa.install.index, spi);
        }
        self.by_number.entry(number).or_default().push(spi);
        let mut commands: Vec<Command> = child.inbound.commands().chain(child.outbound.commands()).collect();
        let (sending, entry, dynamic) = (child.sending, child.entry.clone(), child.dynamic.clone());
        if dynamic.is_some() {
            let claim = self.claim(&child.policy, &child.peer, &child.outbound.selectors);
            self.claims.insert(claim, number);
        }
        self.by_spi.insert(spi, child);
        self.follow(number, &entry, dynamic.as_ref());
        if sending {
            commands.push(self.bind(number));
        }
        commands
    }

    /// The peer has it: it carries what leaves.
    pub fn send(&mut self, inbound: Spi) -> Vec<Command> {
        let Some(child) = self.by_spi.get_mut(&inbound) else { return Vec::new() };
        child.sending = true;
        let (number, entry, dynamic) = (child.number, child.entry.clone(), child.dynamic.clone());
        self.follow(number, &entry, dynamic.as_ref());
        vec![self.bind(number)]
    }

    /// Gives a pair up, at `now`; what the data plane is to be told, and the pair. `fade`: another took its place, and what is on
    /// its way is still taken.
    pub fn remove(&mut self, inbound: Spi, now: Instant, fade: bool) -> Option<(Vec<Command>, Child)> {
        let child = self.forget(inbound)?;
        let mut commands =
            vec![self.bind(child.number), Command::RemoveSa { index: child.outbound.install.index }];
        if fade {
            self.fading.push_back((now + FADE, child.inbound.clone()));
        } else {
            commands.push(Command::RemoveSa { index: child.inbound.install.index });
        }
        Some((commands, child))
    }

    /// The data plane would not have it: as if it had never been.
    pub fn forget(&mut self, inbound: Spi) -> Option<Child> {
        let child = self.by_spi.remove(&inbound)?;
        for sa in [&child.inbound, &child.outbound] {
            self.by_index.remove(&sa.install.index);
        }
        if let Some(pairs) = self.by_number.get_mut(&child.number) {
            pairs.retain(|spi| *spi != inbound);
            if pairs.is_empty() {
                self.by_number.remove(&child.number);
                self.lowest_number = self.lowest_number.min(child.number);
            } else if self.carrier(child.number).is_none() {
                // The peer has given up what it sent on; so it has what it asked for last.
                let newest = self.by_number.get(&child.number).and_then(|pairs| pairs.last());
                if let Some(newest) = newest.and_then(|spi| self.by_spi.get_mut(spi)) {
                    newest.sending = true;
                }
            }
        }
        // Those that are left of its number may be for something else.
        if child.dynamic.is_some()
            && !self.has_claim(child.number, &child.policy, &child.peer, &child.outbound.selectors)
        {
            let claim = self.claim(&child.policy, &child.peer, &child.outbound.selectors);
            if self.claims.get(&claim) == Some(&child.number) {
                self.claims.remove(&claim);
            }
        }
        self.follow(child.number, &child.entry, child.dynamic.as_ref());
        Some(child)
    }

    /// The peer of a pair is elsewhere now; the outbound SA, if it is another then.
    pub fn move_peer(&mut self, inbound: Spi, to: std::net::SocketAddr) -> Option<&mut PlannedSa> {
        let child = self.by_spi.get_mut(&inbound)?;
        let sa = &mut child.outbound;
        let port = sa.install.udp_port.map(|_| to.port());
        if (sa.install.remote, sa.install.udp_port) == (to.ip(), port) {
            return None;
        }
        sa.install.remote = to.ip();
        sa.install.udp_port = port;
        Some(sa)
    }

    /// When the first of those that fade is gone, or of those that settle has.
    pub fn deadline(&self) -> Option<Instant> {
        let fading = self.fading.front().map(|(at, _)| *at);
        fading.into_iter().chain(self.settling.front().map(|(at, _)| *at)).min()
    }

    /// Those that have faded.
    pub fn faded(&mut self, now: Instant) -> Vec<PlannedSa> {
        let count = self.fading.iter().take_while(|(at, _)| *at <= now).count();
        self.fading.drain(..count).map(|(_, sa)| sa).collect()
    }

    /// All that the data plane is to hold of them, each SA above every sequence number that it used.
    pub fn commands(&mut self, memory: &Memory, now: u64) -> Vec<Command> {
        let pairs = self.by_spi.values_mut().flat_map(|child| [&mut child.inbound, &mut child.outbound]);
        let mut commands = Vec::new();
        for sa in pairs.chain(self.fading.iter_mut().map(|(_, sa)| sa)) {
            sa.resume(memory, now);
            commands.extend(sa.commands());
        }
        let bound = self.by_number.keys().filter_map(|&number| Some((number, self.carrier(number)?)));
        commands.extend(
            bound.map(|(entry, child)| Command::BindEntry { entry, sa: Some(child.outbound.install.index) }),
        );
        commands
    }

    /// The rules of those that peers of a crypto map's dynamic entries have, by the sequence numbers of these.
    pub fn rules(&self, map: &Name) -> BTreeMap<u16, Vec<PolicyRule>> {
        let of_map = self.peers.iter().filter(|((of, _), peers)| of == map && !peers.is_empty());
        of_map
            .map(|((_, sequence), peers)| (*sequence, peers.values().flatten().cloned().collect()))
            .collect()
    }

    /// Writes the rules of an entry's number anew, if that is one peer's of a dynamic entry.
    fn follow(&mut self, number: u32, entry: &EntryKey, dynamic: Option<&EntryKey>) {
        let Some(dynamic) = dynamic else { return };
        let key = (entry.map.clone(), entry.sequence);
        // All peers' rules bear the same label: there is one for all of them.
        let others = self.peers.get(&key).into_iter().flat_map(BTreeMap::values).flatten().next();
        let label = others.map_or_else(|| label(dynamic).into(), |rule| Arc::clone(&rule.label));
        let rules = self.carrier(number).map(|child| rules_of(child, &label));
        let peers = self.peers.entry(key).or_default();
        match rules {
            Some(rules) => peers.insert(number, rules),
            None => peers.remove(&number),
        };
    }

    fn bind(&self, number: u32) -> Command {
        let sa = self.carrier(number).map(|child| child.outbound.install.index);
        Command::BindEntry { entry: number, sa }
    }
}

/// As a rule is labelled: the end of a long name is cut.
fn label(entry: &EntryKey) -> String {
    let sequence = entry.sequence.to_string();
    let room = shm::layout::LABEL_BYTES.saturating_sub(sequence.len() + 1);
    let name = entry.map.as_str();
    format!("{}:{sequence}", name.get(..room).unwrap_or(name))
}

/// What the data plane watches, of a pair that may serve so long and is to be rekeyed after that.
pub fn limits(lifetime: &Lifetime, rekey_after: &Lifetime) -> Limits {
    Limits {
        soft_packets: rekey_after.packets,
        hard_packets: lifetime.packets,
        soft_bytes: rekey_after.bytes,
        hard_bytes: lifetime.bytes,
    }
}

impl PlannedSa {
    /// What installs it.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        let index = self.install.index;
        let selectors = self.selectors.iter().map(move |&selector| Command::AddSelector { index, selector });
        let map = || Command::MapDscp { index, map: Box::new(self.dscp.clone()) };
        let mapped = (!self.dscp.is_copy()).then(map);
        std::iter::once(Command::InstallSa(self.install.clone())).chain(mapped).chain(selectors)
    }

    /// Has it start above all that it used.
    pub fn resume(&mut self, memory: &Memory, now: u64) {
        let name: SaName = self.name();
        let install = &mut *self.install;
        let start = memory.start(&name, &install.key, install.extended_sequence, now);
        if install.direction == model::Direction::Inbound {
            install.replay_floor = start.replay_floor;
        } else {
            (install.first_sequence, install.iv_base) = (start.first_sequence, start.iv_base);
        }
    }
}

/// What has a dynamic entry's peer protect what is its own.
fn rules_of(child: &Child, label: &Arc<str>) -> Vec<PolicyRule> {
    let rule = |&selector: &Selector| PolicyRule {
        selector,
        marks: Marks::ANY,
        action: PolicyAction::ProtectFor(child.number),
        label: Arc::clone(label),
    };
    child.outbound.selectors.iter().map(rule).collect()
}

#[cfg(test)]
#[path = "children_tests.rs"]
mod tests;
