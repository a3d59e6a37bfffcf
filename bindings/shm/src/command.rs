//! What the control plane tells the data plane, as types and as the bytes of a ring slot.
//!
//! A decoded command has every field checked that can be checked without knowing the data plane's state.

mod attach;
mod install;

use attach::is_station;
pub use attach::{AttachPort, MacAddress, PortIp};
pub use install::{InstallSa, Limits};
pub(crate) use install::{
    direction_from, direction_number, mode_from, mode_number, suite_from, suite_numbers, tfc_from,
    tfc_numbers,
};

use crate::codec::{Field, Malformed, Reader, Slot, Writer};
use crate::layout::{MAX_ENTRIES, MAX_NEXT_HOPS, MAX_PORTS, MAX_SA_CAPACITY};
use model::{DscpMap, PortRange, Prefix, Protocol, Selector};
use std::fmt;

/// A port's number: below [`MAX_PORTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct PortId(u8);

impl PortId {
    /// `None` if there can be no such port.
    pub const fn new(number: u16) -> Option<PortId> {
        if (number as usize) < MAX_PORTS { Some(PortId(number as u8)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0 as u16
    }

    /// The number, for arrays of [`MAX_PORTS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Every port that there can be.
    pub fn all() -> impl Iterator<Item = PortId> {
        (0..MAX_PORTS as u16).filter_map(PortId::new)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What happens to a packet that takes a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// Out of a port, to a neighbour whose address is known.
    Forward {
        /// The egress port.
        port: PortId,
        /// The neighbour's Ethernet address.
        mac: MacAddress,
    },
    /// Out of a port, but the neighbour's address is not known yet: hold a few packets and raise an event.
    Glean {
        /// The egress port.
        port: PortId,
    },
    /// To Linux, through the mirror TAP of the port that it came in by.
    Local,
    /// Nowhere.
    Blackhole,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Does nothing; there to carry a commit.
    Barrier,
    /// Attach a port.
    AttachPort(AttachPort),
    /// Detach a port.
    DetachPort {
        /// Which.
        port: PortId,
    },
    /// Install an SA, or replace the one of the same index.
    InstallSa(Box<InstallSa>),
    /// One more selector for the SA that the last [`Command::InstallSa`] of the same transaction installs.
    AddSelector {
        /// The SA.
        index: u32,
        /// Inbound: packets must match one of these after decapsulation. As seen in the packet's direction.
        selector: Selector,
    },
    /// The outer code points of the outbound SA that the last [`Command::InstallSa`] of the same transaction installs. Without
    /// this they are the inner ones.
    MapDscp {
        /// The SA.
        index: u32,
        /// For each inner one.
        map: Box<DscpMap>,
    },
    /// Remove an SA.
    RemoveSa {
        /// Which.
        index: u32,
    },
    /// Leave an SA that is there as it is, with its key: what a transaction that lists the whole state says of one whose key the
    /// control plane does not know.
    KeepSa {
        /// Its index.
        index: u32,
    },
    /// Which outbound SA serves a policy entry.
    BindEntry {
        /// The entry: the number in a rule's Protect.
        entry: u32,
        /// The SA's index; `None` if there is none now.
        sa: Option<u32>,
    },
    /// Put an offered policy image on a port, for what leaves by it.
    SetPolicy {
        /// The egress port.
        port: PortId,
        /// The number under which the image was offered.
        segment: u32,
    },
    /// Leave the policy that is on a port as it is, with its change: what a transaction that lists the whole state says of a
    /// large policy in place of offering it again.
    KeepPolicy {
        /// The egress port.
        port: PortId,
    },
    /// Lay an offered change over the policy of a port, be it there already or set by the same transaction before; in place of
    /// the change that lay there.
    ChangePolicy {
        /// The egress port.
        port: PortId,
        /// The number under which the change was offered.
        segment: u32,
    },
    /// No policy on a port: everything bypasses.
    ClearPolicy {
        /// The egress port.
        port: PortId,
    },
    /// Define or change a next hop.
    SetNextHop {
        /// Its number, by which routes name it.
        id: u32,
        /// What it does.
        hop: NextHop,
    },
    /// Add or change a route.
    AddRoute {
        /// Destination.
        prefix: Prefix,
        /// The number of a next hop that is set.
        next_hop: u32,
    },
    /// Remove a route.
    RemoveRoute {
        /// Destination.
        prefix: Prefix,
    },
}

/// The message is the last one of its transaction.
pub(crate) const FLAG_COMMIT: u16 = 1;
/// The transaction lists the whole state; on the commit only.
pub(crate) const FLAG_REPLACE: u16 = 2;

/// What stands before a command in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The message's number: one more than the message before, from 1.
    pub number: u64,
    /// It ends its transaction.
    pub commit: bool,
    /// After the transaction the state is exactly what it lists.
    pub replace: bool,
}

const NONE: u32 = u32::MAX;

mod kind {
    pub(super) const BARRIER: u16 = 1;
    pub(super) const ATTACH_PORT: u16 = 2;
    pub(super) const DETACH_PORT: u16 = 3;
    pub(super) const INSTALL_SA: u16 = 4;
    pub(super) const ADD_SELECTOR: u16 = 5;
    pub(super) const REMOVE_SA: u16 = 6;
    pub(super) const BIND_ENTRY: u16 = 7;
    pub(super) const SET_POLICY: u16 = 8;
    pub(super) const CLEAR_POLICY: u16 = 9;
    pub(super) const SET_NEXT_HOP: u16 = 10;
    pub(super) const ADD_ROUTE: u16 = 11;
    pub(super) const REMOVE_ROUTE: u16 = 12;
    pub(super) const KEEP_POLICY: u16 = 13;
    pub(super) const CHANGE_POLICY: u16 = 14;
    pub(super) const KEEP_SA: u16 = 15;
    pub(super) const MAP_DSCP: u16 = 16;
}

impl Command {
    /// Writes the command into a slot. An error says which field could not be sent, as the other side would refuse it.
    pub fn encode(&self, envelope: Envelope) -> Result<Slot, Malformed> {
        let mut slot = Slot::zeroed();
        let mut w = Writer::new(&mut slot);
        w.u64(envelope.number)?;
        w.u16(self.kind())?;
        w.u16(
            if envelope.commit { FLAG_COMMIT } else { 0 } | if envelope.replace { FLAG_REPLACE } else { 0 },
        )?;
        w.u32(0)?;
        match self {
            Command::Barrier => {}
            Command::AttachPort(attach) => attach.write(&mut w)?,
            Command::DetachPort { port } | Command::ClearPolicy { port } | Command::KeepPolicy { port } => {
                w.u16(port.get())?;
            }
            Command::InstallSa(sa) => sa.write(&mut w)?,
            Command::AddSelector { index, selector } => {
                w.u32(*index)?;
                write_selector(&mut w, selector)?;
            }
            Command::MapDscp { index, map } => {
                w.u32(*index)?;
                w.bytes(map.points())?;
            }
            Command::RemoveSa { index } | Command::KeepSa { index } => w.u32(*index)?,
            Command::BindEntry { entry, sa } => {
                w.u32(*entry)?;
                w.u32(sa.unwrap_or(NONE))?;
            }
            Command::SetPolicy { port, segment } | Command::ChangePolicy { port, segment } => {
                w.u16(port.get())?;
                w.u32(*segment)?;
            }
            Command::SetNextHop { id, hop } => {
                w.u32(*id)?;
                write_next_hop(&mut w, *hop)?;
            }
            Command::AddRoute { prefix, next_hop } => {
                write_prefix(&mut w, *prefix)?;
                w.u32(*next_hop)?;
            }
            Command::RemoveRoute { prefix } => write_prefix(&mut w, *prefix)?,
        }
        // What the reader would refuse must not be sent: the writer learns of it here, with the same words.
        Command::decode(&slot).map(|_| slot)
    }

    /// Reads a slot that may hold anything. The slot is the caller's private copy: see [`Slot`].
    pub fn decode(slot: &Slot) -> Result<(Envelope, Command), Malformed> {
        let mut r = Reader::new(slot);
        let number = r.u64()?;
        let kind = r.u16()?;
        let flags = r.u16()?;
        if r.u32()? != 0 {
            return Err(Malformed(Field::Reserved));
        }
        let envelope =
            Envelope { number, commit: flags & FLAG_COMMIT != 0, replace: flags & FLAG_REPLACE != 0 };
        if flags & !(FLAG_COMMIT | FLAG_REPLACE) != 0 || (envelope.replace && !envelope.commit) {
            return Err(Malformed(Field::Flags));
        }
        let command = match kind {
            kind::BARRIER => Command::Barrier,
            kind::ATTACH_PORT => Command::AttachPort(AttachPort::read(&mut r)?),
            kind::DETACH_PORT => Command::DetachPort { port: read_port(&mut r)? },
            kind::INSTALL_SA => Command::InstallSa(InstallSa::read(&mut r)?),
            kind::ADD_SELECTOR => {
                Command::AddSelector { index: read_index(&mut r)?, selector: read_selector(&mut r)? }
            }
            kind::MAP_DSCP => {
                let index = read_index(&mut r)?;
                let map = DscpMap::new(r.array()?).ok_or(Malformed(Field::Dscp))?;
                Command::MapDscp { index, map: Box::new(map) }
            }
            kind::REMOVE_SA => Command::RemoveSa { index: read_index(&mut r)? },
            kind::KEEP_SA => Command::KeepSa { index: read_index(&mut r)? },
            kind::BIND_ENTRY => {
                let entry = below(r.u32()?, MAX_ENTRIES, Field::Entry)?;
                let sa = match r.u32()? {
                    NONE => None,
                    index => Some(below(index, MAX_SA_CAPACITY, Field::SaIndex)?),
                };
                Command::BindEntry { entry, sa }
            }
            kind::SET_POLICY => Command::SetPolicy { port: read_port(&mut r)?, segment: r.u32()? },
            kind::CLEAR_POLICY => Command::ClearPolicy { port: read_port(&mut r)? },
            kind::KEEP_POLICY => Command::KeepPolicy { port: read_port(&mut r)? },
            kind::CHANGE_POLICY => Command::ChangePolicy { port: read_port(&mut r)?, segment: r.u32()? },
            kind::SET_NEXT_HOP => {
                let id = below(r.u32()?, MAX_NEXT_HOPS, Field::NextHop)?;
                Command::SetNextHop { id, hop: read_next_hop(&mut r)? }
            }
            kind::ADD_ROUTE => {
                let prefix = read_prefix(&mut r, Field::Prefix)?;
                Command::AddRoute { prefix, next_hop: below(r.u32()?, MAX_NEXT_HOPS, Field::NextHop)? }
            }
            kind::REMOVE_ROUTE => Command::RemoveRoute { prefix: read_prefix(&mut r, Field::Prefix)? },
            _ => return Err(Malformed(Field::Kind)),
        };
        r.finish()?;
        Ok((envelope, command))
    }

    /// The number and the commit flag of a slot whose command may be malformed; what a refusal needs.
    pub(crate) fn peek(slot: &Slot) -> (u64, bool) {
        let mut r = Reader::new(slot);
        let number = r.u64().unwrap_or_default();
        let flags = r.u16().and_then(|_| r.u16()).unwrap_or_default();
        (number, flags & FLAG_COMMIT != 0)
    }

    fn kind(&self) -> u16 {
        match self {
            Command::Barrier => kind::BARRIER,
            Command::AttachPort(_) => kind::ATTACH_PORT,
            Command::DetachPort { .. } => kind::DETACH_PORT,
            Command::InstallSa(_) => kind::INSTALL_SA,
            Command::AddSelector { .. } => kind::ADD_SELECTOR,
            Command::MapDscp { .. } => kind::MAP_DSCP,
            Command::RemoveSa { .. } => kind::REMOVE_SA,
            Command::KeepSa { .. } => kind::KEEP_SA,
            Command::BindEntry { .. } => kind::BIND_ENTRY,
            Command::SetPolicy { .. } => kind::SET_POLICY,
            Command::ClearPolicy { .. } => kind::CLEAR_POLICY,
            Command::KeepPolicy { .. } => kind::KEEP_POLICY,
            Command::ChangePolicy { .. } => kind::CHANGE_POLICY,
            Command::SetNextHop { .. } => kind::SET_NEXT_HOP,
            Command::AddRoute { .. } => kind::ADD_ROUTE,
            Command::RemoveRoute { .. } => kind::REMOVE_ROUTE,
        }
    }
}

fn below(value: u32, limit: u32, field: Field) -> Result<u32, Malformed> {
    if value < limit { Ok(value) } else { Err(Malformed(field)) }
}

fn read_port(r: &mut Reader<'_>) -> Result<PortId, Malformed> {
    PortId::new(r.u16()?).ok_or(Malformed(Field::Port))
}

fn read_index(r: &mut Reader<'_>) -> Result<u32, Malformed> {
    below(r.u32()?, MAX_SA_CAPACITY, Field::SaIndex)
}

fn read_flag(r: &mut Reader<'_>, field: Field) -> Result<bool, Malformed> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed(field)),
    }
}

fn write_prefix(w: &mut Writer<'_>, prefix: Prefix) -> Result<(), Malformed> {
    w.address(prefix.trunc().addr())?;
    w.u8(prefix.prefix_len())
}

fn read_prefix(r: &mut Reader<'_>, field: Field) -> Result<Prefix, Malformed> {
    let address = r.address(field)?;
    let prefix = Prefix::new(address, r.u8()?).map_err(|_| Malformed(field))?;
    if prefix.trunc() == prefix { Ok(prefix) } else { Err(Malformed(field)) }
}

fn write_selector(w: &mut Writer<'_>, selector: &Selector) -> Result<(), Malformed> {
    write_prefix(w, selector.source())?;
    write_prefix(w, selector.destination())?;
    w.u16(match selector.protocol() {
        Protocol::Any => 256,
        Protocol::Number(number) => u16::from(number),
    })?;
    for range in [selector.source_port(), selector.destination_port()] {
        w.u16(range.start())?;
        w.u16(range.end())?;
    }
    Ok(())
}

fn read_selector(r: &mut Reader<'_>) -> Result<Selector, Malformed> {
    let bad = Malformed(Field::Selector);
    let source = read_prefix(r, Field::Selector)?;
    let destination = read_prefix(r, Field::Selector)?;
    let protocol = match r.u16()? {
        256 => Protocol::Any,
        number => Protocol::Number(u8::try_from(number).map_err(|_| bad)?),
    };
    let from = PortRange::new(r.u16()?, r.u16()?).ok_or(bad)?;
    let to = PortRange::new(r.u16()?, r.u16()?).ok_or(bad)?;
    Selector::new(source, destination, protocol, from, to).map_err(|_| bad)
}

fn write_next_hop(w: &mut Writer<'_>, hop: NextHop) -> Result<(), Malformed> {
    let (kind, port, mac) = match hop {
        NextHop::Forward { port, mac } => (1, port.get(), mac),
        NextHop::Glean { port } => (2, port.get(), [0; 6]),
        NextHop::Local => (3, 0, [0; 6]),
        NextHop::Blackhole => (4, 0, [0; 6]),
    };
    w.u8(kind)?;
    w.u16(port)?;
    w.bytes(&mac)
}

fn read_next_hop(r: &mut Reader<'_>) -> Result<NextHop, Malformed> {
    let kind = r.u8()?;
    let port = read_port(r)?;
    let mac: MacAddress = r.array()?;
    match (kind, port.get(), mac) {
        (1, _, mac) if is_station(mac) => Ok(NextHop::Forward { port, mac }),
        (1, ..) => Err(Malformed(Field::Mac)),
        (2, _, [0, 0, 0, 0, 0, 0]) => Ok(NextHop::Glean { port }),
        (3, 0, [0, 0, 0, 0, 0, 0]) => Ok(NextHop::Local),
        (4, 0, [0, 0, 0, 0, 0, 0]) => Ok(NextHop::Blackhole),
        _ => Err(Malformed(Field::NextHop)),
    }
}
