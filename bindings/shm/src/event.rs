//! What the data plane tells the control plane, as types and as the bytes of a ring slot.

use crate::codec::{Field, Malformed, Reader, Slot, Writer};
use crate::command::PortId;
use crate::layout::{MAX_ENTRIES, MAX_SA_CAPACITY};
use crate::named::named_enum;
use model::Spi;
use std::net::{IpAddr, SocketAddr};

named_enum! {
    /// Why a transaction was refused, and so applied in no part.
    Reason {
        Malformed = 1, "malformed", "A field has a value that it cannot have; the detail is the field's number.";
        TransactionTooLong = 2, "transaction_too_long", "The transaction has too many messages; send it in parts.";
        SelectorWithoutSa = 3, "selector_without_sa", "A selector must follow the SA that it is for, in the same transaction.";
        TooManySelectors = 4, "too_many_selectors", "An SA has at most 64 selectors; use wider ones or a second SA.";
        NoSuchPort = 5, "no_such_port", "The port is not attached; attach it first.";
        PortExists = 6, "port_exists", "The port's number is taken by another device; detach that first.";
        NameInUse = 7, "name_in_use", "Another port has a mirror TAP of this name; choose another name.";
        DeviceRefused = 8, "device_refused", "DPDK cannot use the device; the data plane's log says why. The detail is errno.";
        MacRefused = 9, "mac_refused", "The device does not take this station address; leave it out, or use another device.";
        MtuRefused = 10, "mtu_refused", "The device does not take this MTU; choose a smaller one.";
        TapRefused = 11, "tap_refused", "The mirror TAP cannot be made; it needs /dev/net/tun and the right to use it. The detail is errno.";
        SaIndexTooLarge = 12, "sa_index_too_large", "The SA table is not so large; start the data plane with a larger one. The detail is its capacity.";
        NoSuchSa = 13, "no_such_sa", "There is no SA of this index.";
        DuplicateSpi = 14, "duplicate_spi", "Another inbound SA has this SPI; choose another SPI. The detail is that SA's index.";
        SuiteUnsupported = 15, "suite_unsupported", "This data plane cannot do the suite; choose another one.";
        ModeUnsupported = 16, "mode_unsupported", "This data plane cannot do the mode; use the other one.";
        AddressUnsupported = 17, "address_unsupported", "The SA's addresses are of two families; use one.";
        WindowsExhausted = 18, "windows_exhausted", "No room for one more replay window; use smaller windows or a larger SA segment.";
        NotOutbound = 19, "not_outbound", "Only an outbound SA can serve a policy entry.";
        NoSuchSegment = 20, "no_such_segment", "No policy segment of this number was offered; offer it first.";
        PolicyRefused = 21, "policy_refused", "The policy segment's contents do not verify; compile it anew.";
        NoSuchNextHop = 22, "no_such_next_hop", "The route names a next hop that is not set; set it first.";
        RouteRefused = 23, "route_refused", "The route table is full or does not take the prefix. The detail is errno.";
        OutOfMemory = 24, "out_of_memory", "The data plane has no memory for it; give it more, or ask for less.";
        Internal = 25, "internal", "A fault in the data plane; its log has more.";
        TooManyEntries = 26, "too_many_entries", "The number of the entry or next hop is above what this data plane holds.";
        CryptoDevice = 27, "crypto_device", "No crypto device here can do the suite: install librte-crypto-ipsec-mb23 (or librte-crypto-openssl23, which lacks ChaCha20-Poly1305) and restart the data plane, or take esp-gcm; the data plane's log says more. The detail is the SA's index.";
        NoSuchPolicy = 28, "no_such_policy", "The port has no policy that could be kept or changed; set one.";
    }
}

impl Reason {
    /// What happened and what mends it, in one line.
    pub const fn advice(self) -> &'static str {
        self.about()
    }
}

/// Why and where a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("command {number} was refused: {} (detail {detail})", .reason.advice())]
pub struct Failure {
    /// The number of the offending message.
    pub number: u64,
    /// Why.
    pub reason: Reason,
    /// More, as the reason says.
    pub detail: u64,
}

/// The fate of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The number of its commit.
    pub number: u64,
    /// Applied as a whole, or not at all.
    pub result: Result<(), Failure>,
}

/// What a packet was, for an acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Next-layer protocol.
    pub protocol: u8,
    /// Source and destination port, where there are any.
    pub ports: Option<(u16, u16)>,
}

/// One event. All but acknowledgements may be lost when the control plane does not read; losses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction was applied or refused.
    Ack(Ack),
    /// A packet wants protection by an entry that no SA serves (RFC 4301, section 4.4.1).
    Acquire {
        /// The policy entry.
        entry: u32,
        /// The packet.
        flow: Flow,
    },
    /// A packet waits for the Ethernet address of a neighbour.
    NeighbourNeeded {
        /// On this port.
        port: PortId,
        /// Of this address.
        address: IpAddr,
    },
    /// An SA passed its soft limit: a new one is wanted.
    SaSoftExpired {
        /// Which.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
    /// An SA passed its hard limit and carries nothing more.
    SaHardExpired {
        /// Which.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
    /// An outbound SA has no sequence number left and carries nothing more (RFC 4303, section 3.3.3).
    SequenceExhausted {
        /// Which.
        index: u32,
        /// Its SPI.
        spi: Spi,
    },
    /// The peer of an SA in UDP was seen at another address or port, by a packet that is authentic and the newest. What is
    /// sent goes there now (RFC 7296, section 2.23).
    PeerMoved {
        /// The inbound SA.
        index: u32,
        /// Its SPI.
        spi: Spi,
        /// Where it is now.
        peer: SocketAddr,
    },
    /// A port's link changed.
    PortLink {
        /// Which.
        port: PortId,
        /// It is up now.
        up: bool,
    },
}

mod kind {
    pub(super) const ACK: u16 = 1;
    pub(super) const ACQUIRE: u16 = 2;
    pub(super) const NEIGHBOUR_NEEDED: u16 = 3;
    pub(super) const SA_SOFT_EXPIRED: u16 = 4;
    pub(super) const SA_HARD_EXPIRED: u16 = 5;
    pub(super) const SEQUENCE_EXHAUSTED: u16 = 6;
    pub(super) const PORT_LINK: u16 = 7;
    pub(super) const PEER_MOVED: u16 = 8;
}

impl Event {
    /// Writes the event into a slot; an error names the field that the other side would refuse.
    pub fn encode(&self, number: u64) -> Result<Slot, Malformed> {
        let mut slot = Slot::zeroed();
        let mut w = Writer::new(&mut slot);
        w.u64(number)?;
        w.u16(self.kind())?;
        w.u16(0)?;
        w.u32(0)?;
        match *self {
            Event::Ack(Ack { number, result }) => {
                w.u64(number)?;
                let failure = result.err();
                w.u64(failure.map_or(0, |f| f.reason as u64))?;
                w.u64(failure.map_or(0, |f| f.number))?;
                w.u64(failure.map_or(0, |f| f.detail))?;
            }
            Event::Acquire { entry, flow } => {
                w.u32(entry)?;
                w.address(flow.source)?;
                w.address(flow.destination)?;
                w.u8(flow.protocol)?;
                w.u8(u8::from(flow.ports.is_some()))?;
                let (from, to) = flow.ports.unwrap_or_default();
                w.u16(from)?;
                w.u16(to)?;
            }
            Event::NeighbourNeeded { port, address } => {
                w.u16(port.get())?;
                w.address(address)?;
            }
            Event::SaSoftExpired { index, spi }
            | Event::SaHardExpired { index, spi }
            | Event::SequenceExhausted { index, spi } => {
                w.u32(index)?;
                w.u32(spi.get())?;
            }
            Event::PortLink { port, up } => {
                w.u16(port.get())?;
                w.u8(u8::from(up))?;
            }
            Event::PeerMoved { index, spi, peer } => {
                w.u32(index)?;
                w.u32(spi.get())?;
                w.address(peer.ip())?;
                w.u16(peer.port())?;
            }
        }
        Event::decode(&slot).map(|_| slot)
    }

    /// Reads a slot that may hold anything: the event and its number.
    pub fn decode(slot: &Slot) -> Result<(u64, Event), Malformed> {
        let mut r = Reader::new(slot);
        let sequence = r.u64()?;
        let kind = r.u16()?;
        if r.u16()? != 0 || r.u32()? != 0 {
            return Err(Malformed(Field::Reserved));
        }
        let event = match kind {
            kind::ACK => {
                let (number, reason, failed, detail) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
                let result = match (reason, failed, detail) {
                    (0, 0, 0) => Ok(()),
                    _ => Err(Failure {
                        number: failed,
                        reason: Reason::from_number(reason).ok_or(Malformed(Field::Reason))?,
                        detail,
                    }),
                };
                Event::Ack(Ack { number, result })
            }
            kind::ACQUIRE => {
                let entry = r.u32()?;
                if entry >= MAX_ENTRIES {
                    return Err(Malformed(Field::Entry));
                }
                let (source, destination) = (r.address(Field::Address)?, r.address(Field::Address)?);
                if source.is_ipv4() != destination.is_ipv4() {
                    return Err(Malformed(Field::Address));
                }
                let protocol = r.u8()?;
                let ports = match (r.u8()?, r.u16()?, r.u16()?) {
                    (0, 0, 0) => None,
                    (1, from, to) => Some((from, to)),
                    _ => return Err(Malformed(Field::Flags)),
                };
                Event::Acquire { entry, flow: Flow { source, destination, protocol, ports } }
            }
            kind::NEIGHBOUR_NEEDED => {
                Event::NeighbourNeeded { port: read_port(&mut r)?, address: r.address(Field::Address)? }
            }
            kind::SA_SOFT_EXPIRED => {
                read_sa(&mut r).map(|(index, spi)| Event::SaSoftExpired { index, spi })?
            }
            kind::SA_HARD_EXPIRED => {
                read_sa(&mut r).map(|(index, spi)| Event::SaHardExpired { index, spi })?
            }
            kind::SEQUENCE_EXHAUSTED => {
                read_sa(&mut r).map(|(index, spi)| Event::SequenceExhausted { index, spi })?
            }
            kind::PORT_LINK => {
                let port = read_port(&mut r)?;
                match r.u8()? {
                    0 => Event::PortLink { port, up: false },
                    1 => Event::PortLink { port, up: true },
                    _ => return Err(Malformed(Field::Flags)),
                }
            }
            kind::PEER_MOVED => {
                let (index, spi) = read_sa(&mut r)?;
                let address = r.address(Field::Address)?;
                let port = Some(r.u16()?).filter(|&port| port != 0).ok_or(Malformed(Field::UdpPort))?;
                Event::PeerMoved { index, spi, peer: SocketAddr::new(address, port) }
            }
            _ => return Err(Malformed(Field::Kind)),
        };
        r.finish()?;
        Ok((sequence, event))
    }

    fn kind(&self) -> u16 {
        match self {
            Event::Ack(_) => kind::ACK,
            Event::Acquire { .. } => kind::ACQUIRE,
            Event::NeighbourNeeded { .. } => kind::NEIGHBOUR_NEEDED,
            Event::SaSoftExpired { .. } => kind::SA_SOFT_EXPIRED,
            Event::SaHardExpired { .. } => kind::SA_HARD_EXPIRED,
            Event::SequenceExhausted { .. } => kind::SEQUENCE_EXHAUSTED,
            Event::PortLink { .. } => kind::PORT_LINK,
            Event::PeerMoved { .. } => kind::PEER_MOVED,
        }
    }
}

fn read_port(r: &mut Reader<'_>) -> Result<PortId, Malformed> {
    PortId::new(r.u16()?).ok_or(Malformed(Field::Port))
}

fn read_sa(r: &mut Reader<'_>) -> Result<(u32, Spi), Malformed> {
    let index = r.u32()?;
    if index >= MAX_SA_CAPACITY {
        return Err(Malformed(Field::SaIndex));
    }
    Ok((index, Spi::new(r.u32()?).map_err(|_| Malformed(Field::Spi))?))
}
