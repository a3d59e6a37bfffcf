//! From the configuration to what the data plane should hold: ports, SAs, policies. Pure.
//!
//! Numbers (of ports, SAs and policy entries) are given such that what the data plane holds already keeps the number that
//! it has there: an SA under its old index, described as before, keeps its sequence numbers, window and counters.

use crate::memory::{Memory, SaName};
use crate::negotiate::children::Children;
use crate::policy::List;
use config::{Config, EntryKey, Interface, Tunnel};
use model::{Direction, DscpMap, Selector, Tfc};
use shm::{AttachPort, Command, Device, InstallSa, Limits, PortId, PortIp, PortName, PortStatus, SaStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the data plane holds, as far as shared memory shows it.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Attached ports.
    pub ports: BTreeMap<PortId, PortStatus>,
    /// Live SAs, and those that left their index behind.
    pub sas: Vec<SaStatus>,
    /// Room of the SA table.
    pub capacity: u32,
}

/// One SA.
#[derive(Clone, Debug)]
pub struct PlannedSa {
    /// The crypto map entry that it serves.
    pub entry: EntryKey,
    /// Its parameters and key.
    pub install: Box<InstallSa>,
    /// As seen in the direction of its packets.
    pub selectors: Vec<Selector>,
    /// Of an outbound one.
    pub dscp: DscpMap,
}

impl PlannedSa {
    /// Its name.
    pub fn name(&self) -> SaName {
        SaName::new(self.install.direction, self.install.spi, self.install.local, self.install.remote)
    }
}

/// The whole.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By number; the name of each is that of its mirror TAP.
    pub ports: BTreeMap<PortId, AttachPort>,
    /// Inbound and outbound of every tunnel.
    pub sas: Vec<PlannedSa>,
    /// Of the ports that have a crypto map, not compiled yet.
    pub policies: Vec<(PortId, Arc<List>)>,
    /// The numbers of crypto map entries in policies and events.
    pub entries: BTreeMap<EntryKey, u32>,
}

/// The data plane cannot hold it. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No number is left for a port.
    #[error(
        "interface {0}: the data plane has no room for another port; remove an interface, or restart the data plane"
    )]
    NoPort(config::Name),
    /// The data plane has no field so long.
    #[error("interface {name}: {what}: {source}")]
    Text {
        /// Which interface.
        name: config::Name,
        /// What of it.
        what: &'static str,
        /// Why not.
        source: shm::TextError,
    },
    /// More SAs than slots.
    #[error(
        "the tunnels need more SAs than the data plane's table has room for ({0}); start the data plane with a larger one"
    )]
    NoSlot(u32),
    /// A crypto map is too long to be one list.
    #[error("crypto map {map}: {source}")]
    Policy {
        /// Which.
        map: config::Name,
        /// Why.
        source: config::PolicyError,
    },
}

impl Plan {
    /// Works it out, at `now` (nanoseconds since 1970). Negotiated tunnels stand as they are: entries keep the numbers that
    /// they had `before`, and SAs their indexes.
    pub fn new(
        config: &Config,
        present: &Present,
        memory: &Memory,
        now: u64,
        before: &BTreeMap<EntryKey, u32>,
        children: &Children,
    ) -> Result<Plan, PlanError> {
        let mut plan = Plan { ports: ports(config, present)?, ..Plan::default() };
        let tunnels = config.tunnels();
        plan.entries = entries(&tunnels, present);
        negotiated_entries(config, before, children, &mut plan.entries);
        let indexes = indexes(&tunnels, present, children)?;
        for tunnel in &tunnels {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let name = sa_name(tunnel, direction);
                if let (Some(&index), Some(&entry)) = (indexes.get(&name), plan.entries.get(&tunnel.entry)) {
                    plan.sas.push(planned(tunnel, direction, index, entry, memory, now));
                }
            }
        }
        plan.policies = plan.lists(config, children)?;
        Ok(plan)
    }

    /// The crypto maps of ports, with what dynamic entries have for their peers now.
    pub fn lists(&self, config: &Config, children: &Children) -> Result<Vec<(PortId, Arc<List>)>, PlanError> {
        let mut lists = Vec::new();
        for (&port, attach) in &self.ports {
            let interface =
                config.interfaces().iter().find(|i| i.linux_name.as_str() == attach.name.as_str());
            let map =
                interface.and_then(|i| i.crypto_map.as_ref()).and_then(|name| config.crypto_maps().get(name));
            if let Some(map) = map {
                let list = List::new(config, map, &self.entries, children.rules(&map.name))
                    .map_err(|source| PlanError::Policy { map: map.name.clone(), source })?;
                lists.push((port, Arc::new(list)));
            }
        }
        Ok(lists)
    }

    /// The ports that must go before the plan can be carried out: their device stands under another number, or under
    /// another name or address, now.
    pub fn in_the_way(&self, present: &Present) -> Vec<PortId> {
        let stays = |(port, status): &(&PortId, &PortStatus)| {
            self.ports.get(port).is_some_and(|attach| is_same_port(attach, status))
        };
        present.ports.iter().filter(|each| !stays(each)).map(|(port, _)| *port).collect()
    }

    /// The commands that list all of it but the policies.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = self.ports.values().cloned().map(Command::AttachPort).collect();
        for sa in &self.sas {
            let index = sa.install.index;
            commands.extend(sa.commands());
            if let (Direction::Outbound, Some(entry)) = (sa.install.direction, sa.install.entry) {
                commands.push(Command::BindEntry { entry, sa: Some(index) });
            }
        }
        commands
    }

    /// The entry that a number stands for.
    pub fn entry(&self, number: u32) -> Option<&EntryKey> {
        self.entries.iter().find(|(_, entry)| **entry == number).map(|(key, _)| key)
    }
}

fn is_same_port(attach: &AttachPort, status: &PortStatus) -> bool {
    attach.device == status.device
        && attach.name == status.name
        && attach.mac.is_none_or(|mac| mac == status.mac)
}

fn attach(interface: &Interface, port: PortId) -> Result<AttachPort, PlanError> {
    let refuse = |what| {
        let name = interface.name.clone();
        move |source| PlanError::Text { name, what, source }
    };
    Ok(AttachPort {
        port,
        device: Device::new(&interface.device).map_err(refuse("the device"))?,
        name: PortName::new(interface.linux_name.as_str()).map_err(refuse("the name in Linux"))?,
        mac: interface.mac.map(config::MacAddress::bytes),
        mtu: interface.mtu,
        vlan: interface.vlan,
        shutdown: interface.shutdown,
        ip: PortIp {
            mtu4: interface.mtu4,
            mtu6: interface.mtu6,
            mss4: interface.mss4,
            mss6: interface.mss6,
            address4: interface.primary().map(|prefix| prefix.addr()),
            address6: interface.global6(),
        },
    })
}

/// Each device keeps its number; a new one gets a number that no attached device has, the lowest.
fn ports(config: &Config, present: &Present) -> Result<BTreeMap<PortId, AttachPort>, PlanError> {
    let mut ports = BTreeMap::new();
    for interface in config.interfaces() {
        let held = present.ports.iter().find(|(_, status)| status.device.as_str() == interface.device);
        let number = match held {
            Some((&port, _)) if !ports.contains_key(&port) => Some(port),
            _ => PortId::all().find(|port| !present.ports.contains_key(port) && !ports.contains_key(port)),
        };
        let number = number.ok_or_else(|| PlanError::NoPort(interface.name.clone()))?;
        ports.insert(number, attach(interface, number)?);
    }
    Ok(ports)
}

fn sa_name(tunnel: &Tunnel<'_>, direction: Direction) -> SaName {
    let spi = match direction {
        Direction::Inbound => tunnel.inbound.spi,
        Direction::Outbound => tunnel.outbound.spi,
    };
    SaName::new(direction, spi, tunnel.local, tunnel.peer)
}

/// The number of each tunnel's entry: the one that its SA in the data plane has, else the lowest that none has.
fn entries(tunnels: &[Tunnel<'_>], present: &Present) -> BTreeMap<EntryKey, u32> {
    let held: BTreeMap<SaName, u32> =
        live(present).filter_map(|(name, sa)| Some((name, sa.descriptor.entry?))).collect();
    let mut taken = BTreeSet::new();
    let mut entries = BTreeMap::new();
    for tunnel in tunnels {
        if let Some(&entry) = held.get(&sa_name(tunnel, Direction::Outbound))
            && taken.insert(entry)
        {
            entries.insert(tunnel.entry.clone(), entry);
        }
    }
    taken.extend(held.values());
    let mut free = (0..).filter(|number| !taken.contains(number));
    for tunnel in tunnels {
        if !entries.contains_key(&tunnel.entry)
            && let Some(entry) = free.next()
        {
            entries.insert(tunnel.entry.clone(), entry);
        }
    }
    entries
}

/// The number of each entry that IKE brings up: the one that it had, else the lowest that none has.
fn negotiated_entries(
    config: &Config,
    before: &BTreeMap<EntryKey, u32>,
    children: &Children,
    entries: &mut BTreeMap<EntryKey, u32>,
) {
    let mut taken: BTreeSet<u32> = entries.values().copied().chain(children.numbers()).collect();
    let fixed = config.negotiated().into_iter().filter(|negotiated| negotiated.dynamic.is_none());
    let keys: Vec<EntryKey> = fixed.map(|negotiated| negotiated.entry).collect();
    for key in &keys {
        let own = before.get(key).filter(|number| children.is_of(**number, key) || !taken.contains(number));
        if let Some(&number) = own {
            taken.insert(number);
            entries.insert(key.clone(), number);
        }
    }
    taken.extend(before.values());
    let mut free = (0..).filter(|number| !taken.contains(number));
    for key in keys {
        if !entries.contains_key(&key)
            && let Some(number) = free.next()
        {
            entries.insert(key, number);
        }
    }
}

fn live(present: &Present) -> impl Iterator<Item = (SaName, &SaStatus)> {
    present.sas.iter().filter(|sa| sa.descriptor.live).map(|sa| (SaName::of(&sa.descriptor), sa))
}

/// The index of each SA: the one that it has or had, else one that was never used, else one that is out of use.
fn indexes(
    tunnels: &[Tunnel<'_>],
    present: &Present,
    children: &Children,
) -> Result<BTreeMap<SaName, u32>, PlanError> {
    let wanted: BTreeSet<SaName> = tunnels
        .iter()
        .flat_map(|tunnel| {
            [Direction::Inbound, Direction::Outbound].map(|direction| sa_name(tunnel, direction))
        })
        .collect();
    let mut indexes = BTreeMap::new();
    let by_life = |alive: bool| present.sas.iter().filter(move |sa| sa.descriptor.live == alive);
    for sa in by_life(true).chain(by_life(false)) {
        let name = SaName::of(&sa.descriptor);
        if wanted.contains(&name) {
            indexes.entry(name).or_insert(sa.descriptor.index);
        }
    }
    let theirs: BTreeSet<u32> = children.indexes().collect();
    let used: BTreeSet<u32> =
        present.sas.iter().map(|sa| sa.descriptor.index).chain(children.indexes()).collect();
    let claimed: BTreeSet<u32> = indexes.values().copied().chain(theirs).collect();
    let fresh = (0..present.capacity).filter(|index| !used.contains(index));
    let again = by_life(false).map(|sa| sa.descriptor.index).filter(|index| !claimed.contains(index));
    let mut free = fresh.chain(again);
    for name in wanted {
        if let std::collections::btree_map::Entry::Vacant(vacant) = indexes.entry(name) {
            vacant.insert(free.next().ok_or(PlanError::NoSlot(present.capacity))?);
        }
    }
    Ok(indexes)
}

fn planned(
    tunnel: &Tunnel<'_>,
    direction: Direction,
    index: u32,
    entry: u32,
    memory: &Memory,
    now: u64,
) -> PlannedSa {
    let (session, selectors) = match direction {
        Direction::Inbound => (tunnel.inbound, tunnel.selectors.iter().map(Selector::reversed).collect()),
        Direction::Outbound => (tunnel.outbound, tunnel.selectors.clone()),
    };
    let start = memory.start(&sa_name(tunnel, direction), &session.key, tunnel.esn, now);
    let inbound = direction == Direction::Inbound;
    let install = InstallSa {
        index,
        direction,
        spi: session.spi,
        suite: tunnel.suite,
        mode: tunnel.mode,
        key: session.key.clone(),
        local: tunnel.local,
        remote: tunnel.peer,
        udp_port: tunnel.keys.udp_port,
        extended_sequence: tunnel.esn,
        replay_window: if inbound { tunnel.replay.packets() } else { 0 },
        first_sequence: if inbound { 1 } else { start.first_sequence },
        replay_floor: if inbound { start.replay_floor } else { 0 },
        iv_base: if inbound { 0 } else { start.iv_base },
        limits: Limits::default(),
        size: tunnel.size,
        tfc: if inbound { Tfc::NONE } else { tunnel.tfc },
        entry: Some(entry),
    };
    let dscp = if inbound { DscpMap::COPY } else { tunnel.dscp.clone() };
    PlannedSa { entry: tunnel.entry.clone(), install: Box::new(install), selectors, dscp }
}
