//! What a worker sees of the gateway: one immutable value, swapped whole.

use crate::burst::Family;
use crate::device::DeviceSa;
use crate::fib::Fibs;
use crate::pages::Pages;
use crate::policy::Policy;
use crate::sad::SpiTable;
use crate::selectors::Selectors;
use esp::resync::Resync;
use model::{IcvLen, SizeRules, Spi, Tfc};
use shm::Limits;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Ports that a gateway can have.
pub(crate) const MAX_PORTS: usize = shm::layout::MAX_PORTS;

/// Everything that the control plane decided, as the stages read it. Routes alone may change without a swap, in the FIBs;
/// what they point to is here.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// Counts the swaps, so that a worker notices one.
    pub(crate) generation: u64,
    /// Some port says what TCP may offer.
    pub(crate) lowers_mss: bool,
    /// By port number.
    pub(crate) ports: [Option<PortView>; MAX_PORTS],
    /// Inbound SAs by SPI.
    pub(crate) inbound: Arc<SpiTable<InboundSa>>,
    /// Outbound SAs by the policy entry that they serve.
    pub(crate) outbound: Arc<Pages<Option<Arc<OutboundSa>>>>,
    /// The policy entries that are served by an SA which sends dummies.
    pub(crate) dummies: Arc<[u32]>,
    /// Where a route look-up goes.
    pub(crate) fibs: Fibs,
    /// By next-hop id; a route look-up gives the id.
    pub(crate) next_hops: Arc<[NextHop]>,
}

impl Snapshot {
    /// A gateway without anything, whose routes will be in these tables.
    pub(crate) fn empty(fibs: Fibs) -> Snapshot {
        Snapshot {
            generation: 0,
            lowers_mss: false,
            ports: [const { None }; MAX_PORTS],
            inbound: Arc::new(SpiTable::new(0)),
            outbound: Arc::new(Pages::new()),
            dummies: Arc::new([]),
            fibs,
            next_hops: Arc::new([]),
        }
    }

    /// The port of this number, if it is attached.
    #[inline]
    pub(crate) fn port(&self, number: u16) -> Option<&PortView> {
        self.ports.get(usize::from(number))?.as_ref()
    }
}

/// An absent key costs no room: its place would move the others' lines.
const _: () = assert!(size_of::<Option<gcm::Key>>() == size_of::<gcm::Key>());

/// What the stages need to know of a port.
#[derive(Clone)]
pub(crate) struct PortView {
    /// Station address: what we answer to, and send from.
    pub(crate) mac: [u8; 6],
    /// The longest IP packet of each family that may leave, in bytes.
    pub(crate) mtu4: u16,
    pub(crate) mtu6: u16,
    /// What TCP through it may offer at most, in bytes of a segment.
    pub(crate) mss4: Option<u16>,
    pub(crate) mss6: Option<u16>,
    /// Its own addresses, from which our own ICMP messages come.
    pub(crate) address4: Option<Ipv4Addr>,
    pub(crate) address6: Option<Ipv6Addr>,
    /// All that it carries is tagged with this VLAN.
    pub(crate) vlan: Option<u16>,
    /// The operator shut it down.
    pub(crate) shutdown: bool,
    /// The crypto map on it.
    pub(crate) policy: Option<Arc<Policy>>,
}

impl PortView {
    /// The longest IP packet of a family that may leave, in bytes.
    #[inline]
    pub(crate) fn mtu(&self, family: Family) -> usize {
        usize::from(match family {
            Family::V4 => self.mtu4,
            Family::V6 => self.mtu6,
        })
    }

    /// What TCP of a family through it may offer at most, in bytes of a segment.
    pub(crate) fn mss(&self, family: Family) -> Option<u16> {
        match family {
            Family::V4 => self.mss4,
            Family::V6 => self.mss6,
        }
    }

    /// Its own address of a family.
    pub(crate) fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.address4.map(IpAddr::V4),
            Family::V6 => self.address6.map(IpAddr::V6),
        }
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Out of a port, to a station.
    Forward {
        /// The port's number.
        port: u16,
        /// The station's address.
        mac: [u8; 6],
    },
    /// Out of a port, to a station whose address is not known yet.
    Glean {
        /// The port's number.
        port: u16,
    },
    /// To this gateway: ESP to the decrypt stage, the rest to Linux.
    Local,
    /// Nowhere, on purpose.
    #[default]
    Blackhole,
}

impl From<shm::NextHop> for NextHop {
    fn from(hop: shm::NextHop) -> NextHop {
        match hop {
            shm::NextHop::Forward { port, mac } => NextHop::Forward { port: port.get(), mac },
            shm::NextHop::Glean { port } => NextHop::Glean { port: port.get() },
            shm::NextHop::Local => NextHop::Local,
            shm::NextHop::Blackhole => NextHop::Blackhole,
        }
    }
}

/// Who does an SA's suite. Small, and the key is not in it: with very many SAs each further line of memory of one costs.
pub(crate) enum Protection {
    /// Our own kernel: AES-GCM.
    Gcm(IcvLen),
    /// Our own kernel: AES-GCM, outbound, with traffic flow confidentiality, which the way of all others does not know.
    GcmTfc(IcvLen),
    /// Our own kernel: GMAC.
    Gmac,
    /// A crypto device: everything else.
    Device(Box<DeviceSa>),
}

/// An inbound SA: the immutable part; its window and counters are in shared memory. In this order in memory, so that what
/// every packet reads lies together.
#[repr(C)]
pub(crate) struct InboundSa {
    /// Its slot in the SA table.
    pub(crate) index: u32,
    pub(crate) spi: Spi,
    pub(crate) protection: Protection,
    pub(crate) parameters: esp::inbound::Parameters,
    /// Words of its replay window; 0 is no check.
    pub(crate) window_words: usize,
    /// Where its packets come to.
    pub(crate) local: IpAddr,
    /// Where its packets come from, of an SA in UDP, whose peer may move.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) limits: Limits,
    /// Of extended sequence numbers, after long loss.
    pub(crate) resync: Resync,
    /// What may come out of it.
    pub(crate) selectors: Selectors,
    /// Of our own kernel.
    pub(crate) key: Option<gcm::Key>,
}

impl InboundSa {
    /// Bytes of it that are not the key.
    pub(crate) const BEFORE_KEY: usize = std::mem::offset_of!(InboundSa, key);
}

/// An outbound SA: the immutable part; its sequence number and counters are in shared memory. In this order in memory, so
/// that what every packet reads lies together.
#[repr(C)]
pub(crate) struct OutboundSa {
    /// Its slot in the SA table.
    pub(crate) index: u32,
    pub(crate) spi: Spi,
    /// A packet's IV is this plus its sequence number.
    pub(crate) iv_base: u64,
    /// The highest sequence number that may be sent.
    pub(crate) last_sequence: u64,
    pub(crate) protection: Protection,
    pub(crate) template: esp::outbound::Template,
    pub(crate) limits: Limits,
    /// What becomes of packets that are too long.
    pub(crate) size: SizeRules,
    /// How it hides the lengths of its packets, and when there are any.
    pub(crate) tfc: Tfc,
    /// The sequence number that it began with.
    pub(crate) first_sequence: u64,
    /// Of our own kernel.
    pub(crate) key: Option<gcm::Key>,
}

impl OutboundSa {
    /// Bytes of it that are not the key.
    pub(crate) const BEFORE_KEY: usize = std::mem::offset_of!(OutboundSa, key);
}
