//! What the control plane tells the data plane, as types and as the bytes of a ring slot.
//!
//! A decoded command has every field checked that can be checked without knowing the data plane's state.

mod attach;

use attach::is_station;
pub use attach::{AttachPort, MacAddress, PortIp};

use crate::codec::{Field, Malformed, Reader, Slot, Writer};
use crate::layout::{MAX_ENTRIES, MAX_NEXT_HOPS, MAX_PORTS, MAX_REPLAY_WINDOW, MAX_SA_CAPACITY};
use model::{
    Cipher, Direction, DontFragment, DscpMap, Dummies, Fragmentation, Hmac, IcvLen, KeyLen, KeyMaterial,
    Mode, PortRange, Prefix, Protocol, Selector, SizeRules, Spi, Suite, Tfc, TfcPadding,
};
use std::fmt;
use std::net::IpAddr;

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

/// The limits of an SA in what passes through it; time is the control plane's to watch. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Packets after which an event asks for a new SA; not above the hard limit.
    pub soft_packets: Option<u64>,
    /// Packets after which the SA carries nothing more.
    pub hard_packets: Option<u64>,
    /// Bytes of inner packets after which an event asks for a new SA; not above the hard limit.
    pub soft_bytes: Option<u64>,
    /// Bytes of inner packets after which the SA carries nothing more.
    pub hard_bytes: Option<u64>,
}

/// One ESP SA. Boxed in a [`Command`], so that its key is not copied about on stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSa {
    /// Its index in the SA table, which also names it in other commands and events.
    pub index: u32,
    /// Inbound or outbound.
    pub direction: Direction,
    /// SPI.
    pub spi: Spi,
    /// Algorithms.
    pub suite: Suite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Keying material, as long as the suite wants.
    pub key: KeyMaterial,
    /// Outer address on this side.
    pub local: IpAddr,
    /// Outer address of the peer, of the same family.
    pub remote: IpAddr,
    /// ESP goes in UDP (RFC 3948), to this port of the peer until the peer is seen elsewhere; `None`: directly over IP.
    /// Inbound, both are taken whatever it says, and with it the peer may move.
    pub udp_port: Option<u16>,
    /// Extended (64-bit) sequence numbers, RFC 4303 section 2.2.1.
    pub extended_sequence: bool,
    /// Inbound: packets of the anti-replay window; 0 turns the check off.
    pub replay_window: u32,
    /// Outbound: the first sequence number to use, at least 1.
    pub first_sequence: u64,
    /// Inbound: the highest sequence number already accepted; it and all below count as seen. 0 for a new SA.
    pub replay_floor: u64,
    /// Outbound: a packet's IV is this plus its sequence number, wrapping.
    pub iv_base: u64,
    /// Limits of packets and bytes.
    pub limits: Limits,
    /// Outbound: what becomes of packets that are too long for it.
    pub size: SizeRules,
    /// Outbound: how it hides the lengths of its packets, and when there are any.
    pub tfc: Tfc,
    /// The policy entry that it serves, for people and for inbound accounting.
    pub entry: Option<u32>,
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

pub(crate) const fn direction_number(direction: Direction) -> u8 {
    match direction {
        Direction::Inbound => 1,
        Direction::Outbound => 2,
    }
}

pub(crate) const fn direction_from(number: u8) -> Option<Direction> {
    match number {
        1 => Some(Direction::Inbound),
        2 => Some(Direction::Outbound),
        _ => None,
    }
}

pub(crate) const fn mode_number(mode: Mode) -> u8 {
    match mode {
        Mode::Tunnel => 1,
        Mode::Transport => 2,
    }
}

pub(crate) const fn mode_from(number: u8) -> Option<Mode> {
    match number {
        1 => Some(Mode::Tunnel),
        2 => Some(Mode::Transport),
        _ => None,
    }
}

/// DF in the low bits, fragmentation above.
const fn size_number(size: SizeRules) -> u8 {
    let df = match size.df {
        DontFragment::Copy => 0,
        DontFragment::Set => 1,
        DontFragment::Clear => 2,
    };
    match size.fragmentation {
        Fragmentation::BeforeEncryption => df,
        Fragmentation::AfterEncryption => df | 4,
    }
}

const fn size_from(number: u8) -> Option<SizeRules> {
    let df = match number & 3 {
        0 => DontFragment::Copy,
        1 => DontFragment::Set,
        2 => DontFragment::Clear,
        _ => return None,
    };
    let fragmentation = match number >> 2 {
        0 => Fragmentation::BeforeEncryption,
        1 => Fragmentation::AfterEncryption,
        _ => return None,
    };
    Some(SizeRules { df, fragmentation })
}

/// A kind and a number for padding, and for dummies.
pub(crate) const fn tfc_numbers(tfc: Tfc) -> [(u8, u16); 2] {
    let padding = match tfc.padding {
        TfcPadding::None => (0, 0),
        TfcPadding::UpTo(len) => (1, len),
        TfcPadding::Mtu => (2, 0),
    };
    let dummies = match tfc.dummies {
        Dummies::None => (0, 0),
        Dummies::PerSecond(rate) => (1, rate as u16),
        Dummies::Seconds(seconds) => (2, seconds),
    };
    [padding, dummies]
}

pub(crate) fn tfc_from([padding, dummies]: [(u8, u16); 2]) -> Option<Tfc> {
    let padding = match padding {
        (0, 0) => TfcPadding::None,
        (1, len) => TfcPadding::UpTo(len),
        (2, 0) => TfcPadding::Mtu,
        _ => return None,
    };
    let dummies = match dummies {
        (0, 0) => Dummies::None,
        (1, rate) if rate != 0 => Dummies::PerSecond(u8::try_from(rate).ok()?),
        (2, seconds) if seconds != 0 => Dummies::Seconds(seconds),
        _ => return None,
    };
    Some(Tfc { padding, dummies })
}

/// Family of the suite, bytes of cipher key, bytes of ICV, which say which of the family it is.
pub(crate) const fn suite_numbers(suite: Suite) -> [u8; 3] {
    let family = match suite {
        Suite::AesGcm { .. } => 1,
        Suite::AesGmac { .. } => 2,
        Suite::ChaCha20Poly1305 => 3,
        Suite::CipherHmac { cipher, .. } => match cipher {
            Cipher::Null => 4,
            Cipher::TripleDesCbc => 5,
            Cipher::AesCbc(_) => 6,
            Cipher::AesCtr(_) => 7,
        },
        Suite::AesGcmIiv { .. } => 8,
        Suite::ChaCha20Poly1305Iiv => 9,
    };
    [family, suite.key_shape().cipher as u8, suite.icv_len() as u8]
}

pub(crate) fn suite_from(numbers: [u8; 3]) -> Option<Suite> {
    let [family, key, icv] = numbers;
    let aes = || KeyLen::ALL.into_iter().find(|len| len.bytes() == usize::from(key));
    let gcm_icv = || IcvLen::ALL.into_iter().find(|len| len.bytes() == usize::from(icv));
    let hmac = || Hmac::ALL.into_iter().find(|hmac| hmac.icv_len() == usize::from(icv));
    let with = |cipher| Some(Suite::CipherHmac { cipher, hmac: hmac()? });
    let suite = match family {
        1 => Suite::AesGcm { key: aes()?, icv: gcm_icv()? },
        2 => Suite::AesGmac { key: aes()? },
        3 => Suite::ChaCha20Poly1305,
        4 => with(Cipher::Null)?,
        5 => with(Cipher::TripleDesCbc)?,
        6 => with(Cipher::AesCbc(aes()?))?,
        7 => with(Cipher::AesCtr(aes()?))?,
        8 => Suite::AesGcmIiv { key: aes()? },
        9 => Suite::ChaCha20Poly1305Iiv,
        _ => return None,
    };
    (suite_numbers(suite) == numbers).then_some(suite)
}

impl Limits {
    /// In the order in which they stand in messages and descriptors; 0 is no limit.
    pub(crate) fn words(&self) -> [u64; 4] {
        [self.soft_packets, self.hard_packets, self.soft_bytes, self.hard_bytes]
            .map(Option::unwrap_or_default)
    }

    pub(crate) fn from_words(
        [soft_packets, hard_packets, soft_bytes, hard_bytes]: [u64; 4],
    ) -> Option<Limits> {
        let some = |v: u64| (v != 0).then_some(v);
        let ordered = |soft: u64, hard: u64| soft == 0 || hard == 0 || soft <= hard;
        (ordered(soft_packets, hard_packets) && ordered(soft_bytes, hard_bytes)).then_some(Limits {
            soft_packets: some(soft_packets),
            hard_packets: some(hard_packets),
            soft_bytes: some(soft_bytes),
            hard_bytes: some(hard_bytes),
        })
    }
}

impl InstallSa {
    fn write(&self, w: &mut Writer<'_>) -> Result<(), Malformed> {
        w.u32(self.index)?;
        w.u8(direction_number(self.direction))?;
        w.u8(mode_number(self.mode))?;
        w.bytes(&suite_numbers(self.suite))?;
        w.u8(u8::from(self.extended_sequence))?;
        w.u32(self.spi.get())?;
        w.address(self.local)?;
        w.address(self.remote)?;
        w.u16(self.udp_port.unwrap_or_default())?;
        w.u32(self.replay_window)?;
        w.u64(self.first_sequence)?;
        w.u64(self.replay_floor)?;
        w.u64(self.iv_base)?;
        for limit in self.limits.words() {
            w.u64(limit)?;
        }
        w.u8(size_number(self.size))?;
        for (kind, number) in tfc_numbers(self.tfc) {
            w.u8(kind)?;
            w.u16(number)?;
        }
        w.u32(self.entry.unwrap_or(NONE))?;
        // A port or limit of zero, or an entry that reads as "none", would come back as something else.
        if self.udp_port == Some(0) {
            return Err(Malformed(Field::UdpPort));
        }
        if self.limits != Limits::from_words(self.limits.words()).ok_or(Malformed(Field::Lifetime))? {
            return Err(Malformed(Field::Lifetime));
        }
        if self.entry == Some(NONE) {
            return Err(Malformed(Field::Entry));
        }
        let key = self.key.expose();
        w.u8(u8::try_from(key.len()).map_err(|_| Malformed(Field::Key))?)?;
        w.bytes(key)
    }

    fn read(r: &mut Reader<'_>) -> Result<Box<InstallSa>, Malformed> {
        let index = read_index(r)?;
        let direction = direction_from(r.u8()?).ok_or(Malformed(Field::Direction))?;
        let mode = mode_from(r.u8()?).ok_or(Malformed(Field::Mode))?;
        let suite = suite_from(r.array()?).ok_or(Malformed(Field::Suite))?;
        let extended_sequence = read_flag(r, Field::Flags)?;
        let spi = Spi::new(r.u32()?).map_err(|_| Malformed(Field::Spi))?;
        let local = r.address(Field::LocalAddress)?;
        let remote = r.address(Field::RemoteAddress)?;
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(Malformed(Field::RemoteAddress));
        }
        let udp_port = Some(r.u16()?).filter(|&port| port != 0);
        let replay_window = r.u32()?;
        if replay_window > MAX_REPLAY_WINDOW {
            return Err(Malformed(Field::ReplayWindow));
        }
        let (first_sequence, replay_floor, iv_base) = (r.u64()?, r.u64()?, r.u64()?);
        let too_wide = |n: u64| !extended_sequence && n > u64::from(u32::MAX);
        if first_sequence == 0 || too_wide(first_sequence) || too_wide(replay_floor) {
            return Err(Malformed(Field::Sequence));
        }
        let limits = [r.u64()?, r.u64()?, r.u64()?, r.u64()?];
        let limits = Limits::from_words(limits).ok_or(Malformed(Field::Lifetime))?;
        let size = size_from(r.u8()?).ok_or(Malformed(Field::Flags))?;
        let tfc = [(r.u8()?, r.u16()?), (r.u8()?, r.u16()?)];
        let tfc = tfc_from(tfc).ok_or(Malformed(Field::Tfc))?;
        let entry = match r.u32()? {
            NONE => None,
            entry => Some(below(entry, MAX_ENTRIES, Field::Entry)?),
        };
        let len = usize::from(r.u8()?);
        suite.check_key_material(len).map_err(|_| Malformed(Field::Key))?;
        let mut bytes = zeroize::Zeroizing::new([0; KeyMaterial::MAX]);
        let bytes = bytes.get_mut(..len).ok_or(Malformed(Field::Key))?;
        r.fill(bytes)?;
        let key = KeyMaterial::new(bytes).ok_or(Malformed(Field::Key))?;
        Ok(Box::new(InstallSa {
            index,
            direction,
            spi,
            suite,
            mode,
            key,
            local,
            remote,
            udp_port,
            extended_sequence,
            replay_window,
            first_sequence,
            replay_floor,
            iv_base,
            limits,
            size,
            tfc,
            entry,
        }))
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
