//! A port of a device: what it can, how it is set up, what it counts.

use crate::device::{Device, hotplug};
use crate::error::{Errno, Error, check};
use crate::mempool::{HEADROOM, Mempool};
use crate::queue::{RxQueue, TxQueue};
use dpdk_sys as sys;
use std::ffi::CStr;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::OnceLock;

/// Bytes of a frame around the IP packet: Ethernet header, two VLAN tags, checksum.
const FRAME_OVERHEAD: u32 = 14 + 8 + 4;
/// The MTU of a port that nobody sets one for.
const DEFAULT_MTU: u16 = 1500;
/// Says that its frames end at 1518 bytes and carries what its ring's frames hold (`framesz`), whatever ethdev makes
/// of that: asked for a larger MTU, it would refuse what it can do.
const UNDERSTATES_MTU: &str = "net_af_packet";

/// A port's id and what keeps it: shared by the [`Port`] and its queue halves. The last one stops and closes it.
pub(crate) struct Open {
    id: u16,
    /// The pool that its receive queues take from; set when it is started.
    pool: OnceLock<Mempool>,
    device: Arc<Device>,
}

impl Open {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        self.device.name()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the port is there until it is closed here, and nobody uses it any more. Stopping one that was not
        // started does nothing. Then the fields go: first the pool, which the closed port no longer takes from, then
        // the device.
        unsafe {
            sys::rte_eth_dev_stop(self.id);
            sys::rte_eth_dev_close(self.id);
        }
        hotplug().remove(&self.id);
    }
}

/// How a port is to be set up.
#[derive(Clone, Copy, Debug)]
pub struct PortConfig {
    /// Receive queues, 1 or more. With more than one, the device spreads flows over them (RSS over addresses, ports
    /// and SPIs, as far as it can).
    pub rx_queues: u16,
    /// Transmit queues, 1 or more. `net_tap` wants as many as receive queues.
    pub tx_queues: u16,
    /// Descriptors of a receive queue; brought into the device's limits.
    pub rx_descriptors: u16,
    /// Descriptors of a transmit queue; brought into the device's limits.
    pub tx_descriptors: u16,
    /// Longest IP packet in bytes; `None` leaves it to the device. On a device that stands on a Linux interface it
    /// becomes that interface's, up to 1500 bytes; a larger one is for who made the interface to set.
    pub mtu: Option<u16>,
    /// Receive frames for any station. Devices without a filter for them do so anyway.
    pub promiscuous: bool,
    /// Receive frames for any multicast group. Devices without a filter for them do so anyway.
    pub all_multicast: bool,
}

impl PortConfig {
    /// `queues` both ways, of `descriptors` each, for frames to the station and all multicast groups.
    pub fn new(queues: u16, descriptors: u16) -> PortConfig {
        PortConfig {
            rx_queues: queues,
            tx_queues: queues,
            rx_descriptors: descriptors,
            tx_descriptors: descriptors,
            mtu: None,
            promiscuous: false,
            all_multicast: true,
        }
    }
}

/// What a port is and can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver, e.g. `net_af_packet`.
    pub driver: String,
    /// The device's name, e.g. `net_af_packet0` or `0000:01:00.0`.
    pub device: String,
    /// NUMA socket that it is next to, if it is next to one.
    pub socket: Option<u32>,
    /// Receive queues at most.
    pub max_rx_queues: u16,
    /// Transmit queues at most.
    pub max_tx_queues: u16,
    /// Lowest MTU that can be set, in bytes of IP packet.
    pub min_mtu: u16,
    /// Highest MTU that can be set, in bytes of IP packet.
    pub max_mtu: u16,
    /// Receive offloads, as DPDK's bits.
    pub rx_offloads: u64,
    /// Transmit offloads, as DPDK's bits.
    pub tx_offloads: u64,
    /// What RSS can hash, as DPDK's bits; 0 is no RSS.
    pub rss_flows: u64,
}

impl PortInfo {
    /// A packet received may be in several segments, so that it may be longer than a buffer.
    pub fn scatters(&self) -> bool {
        self.rx_offloads & sys::ESPALIER_RX_OFFLOAD_SCATTER != 0
    }

    /// A packet of several segments can be sent as it is.
    pub fn gathers(&self) -> bool {
        self.tx_offloads & sys::ESPALIER_TX_OFFLOAD_MULTI_SEGS != 0
    }
}

/// A port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// It carries.
    pub up: bool,
    /// Mbit/s; 0 if the device does not say.
    pub speed: u32,
}

/// What a device counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets lost because their queue was full.
    pub missed: u64,
    /// Frames received in error.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Times that a packet was lost for want of a buffer.
    pub no_mbuf: u64,
}

/// A port of a device. It can be set up and looked at from one thread at a time, also while its queues work
/// elsewhere. When it and all its queue halves have been dropped, the device is stopped, closed and detached, by the
/// thread that drops the last of them.
pub struct Port {
    open: Arc<Open>,
    /// DPDK wants a port's control functions called by one thread at a time: a `Port` is `Send`, not `Sync`.
    _one_thread: PhantomData<std::cell::Cell<()>>,
}

impl Port {
    pub(crate) fn new(id: u16, device: Arc<Device>) -> Port {
        Port { open: Arc::new(Open { id, pool: OnceLock::new(), device }), _one_thread: PhantomData }
    }

    /// The device's name, e.g. `net_af_packet0` or `0000:01:00.0`.
    pub fn name(&self) -> &str {
        self.open.name()
    }

    fn failed(&self, step: &'static str) -> impl FnOnce(Errno) -> Error {
        let device = self.name().to_owned();
        move |reason| Error::Port { device, step, reason }
    }

    fn raw_info(&self) -> Result<sys::rte_eth_dev_info, Error> {
        // SAFETY: all zeroes is a value of this structure of integers and pointers.
        let mut info: sys::rte_eth_dev_info = unsafe { std::mem::zeroed() };
        // SAFETY: the port is open, and `info` is of the type that is written.
        check(unsafe { sys::rte_eth_dev_info_get(self.open.id, &mut info) })
            .map_err(self.failed("ask what it can"))?;
        Ok(info)
    }

    /// What it is and can.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] if the driver does not say.
    pub fn info(&self) -> Result<PortInfo, Error> {
        let info = self.raw_info()?;
        let driver = if info.driver_name.is_null() {
            String::new()
        } else {
            // SAFETY: it is the driver's NUL-terminated name, which stays as long as the driver.
            unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
        };
        // SAFETY: it reads an integer of the open port.
        let socket = unsafe { sys::rte_eth_dev_socket_id(self.open.id) };
        Ok(PortInfo {
            driver,
            device: self.name().to_owned(),
            socket: u32::try_from(socket).ok(),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            min_mtu: info.min_mtu,
            max_mtu: info.max_mtu,
            rx_offloads: info.rx_offload_capa,
            tx_offloads: info.tx_offload_capa,
            rss_flows: info.flow_type_rss_offloads,
        })
    }

    /// Sets the port up and starts it. Receive queues take their buffers from `pool`, best one of the port's socket.
    /// Gives the halves of its queues, in order, for a worker each.
    ///
    /// A packet that is longer than a buffer comes in several segments, if the MTU admits one and the device can.
    ///
    /// # Errors
    ///
    /// [`Error::PortStarted`] the second time; [`Error::Queues`] if the device has fewer;
    /// [`Error::BufferTooSmall`]; [`Error::Port`] for what the driver refuses. The port can then be tried again.
    pub fn start(
        &mut self,
        config: PortConfig,
        pool: &Mempool,
    ) -> Result<(Vec<RxQueue>, Vec<TxQueue>), Error> {
        if self.open.pool.get().is_some() {
            return Err(Error::PortStarted { device: self.name().to_owned() });
        }
        let info = self.raw_info()?;
        self.check_queues("rx", config.rx_queues, info.max_rx_queues)?;
        self.check_queues("tx", config.tx_queues, info.max_tx_queues)?;
        let offloads = self.configure(&config, &info, pool)?;
        self.set_up_queues(&config, &info, offloads, pool)?;
        self.set_filters(&config)?;
        // From here on the device may hold packets of the pool, so the port keeps it.
        let _ = self.open.pool.set(pool.clone());
        // SAFETY: the port is configured and its queues are set up.
        if let Err(reason) = check(unsafe { sys::rte_eth_dev_start(self.open.id) }) {
            return Err(self.failed("start it")(reason));
        }
        // SAFETY: the port is started with these queues, once, so each gets one half.
        let rx = (0..config.rx_queues).map(|queue| unsafe { RxQueue::new(Arc::clone(&self.open), queue) });
        // SAFETY: as above.
        let tx = (0..config.tx_queues).map(|queue| unsafe { TxQueue::new(Arc::clone(&self.open), queue) });
        Ok((rx.collect(), tx.collect()))
    }

    /// Whether DPDK can be asked to set that MTU.
    fn admits_mtu(&self, mtu: u16) -> bool {
        mtu <= DEFAULT_MTU || !self.name().starts_with(UNDERSTATES_MTU)
    }

    fn check_queues(&self, direction: &'static str, wanted: u16, has: u16) -> Result<(), Error> {
        if (1..=has).contains(&wanted) {
            return Ok(());
        }
        let mend = if self.name().starts_with("net_af_packet") {
            "give it more with qpairs=N, or use fewer workers"
        } else {
            "give the device more, or use fewer workers"
        };
        Err(Error::Queues { device: self.name().to_owned(), direction, wanted, has, mend })
    }

    /// Sets numbers of queues, offloads, RSS and the MTU. Returns the offloads, of receiving and of sending.
    fn configure(
        &self,
        config: &PortConfig,
        info: &sys::rte_eth_dev_info,
        pool: &Mempool,
    ) -> Result<(u64, u64), Error> {
        let mtu = config.mtu.unwrap_or(DEFAULT_MTU);
        let settable = config.mtu.filter(|&mtu| self.admits_mtu(mtu));
        let needs = u32::from(mtu) + FRAME_OVERHEAD;
        let room = u32::from(pool.data_room() - HEADROOM);
        let mut rx_offloads = 0;
        if needs > room {
            if info.rx_offload_capa & sys::ESPALIER_RX_OFFLOAD_SCATTER == 0 {
                return Err(Error::BufferTooSmall { device: self.name().to_owned(), mtu, needs, room });
            }
            rx_offloads |= sys::ESPALIER_RX_OFFLOAD_SCATTER;
        }
        // Not asked for is fast free: it wants all packets of a queue from one pool, which nobody here promises.
        let tx_offloads = info.tx_offload_capa & sys::ESPALIER_TX_OFFLOAD_MULTI_SEGS;

        // SAFETY: all zeroes is a value of this structure of integers and pointers, and means defaults.
        let mut conf: sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.offloads = rx_offloads;
        conf.txmode.offloads = tx_offloads;
        if let Some(mtu) = settable {
            conf.rxmode.mtu = u32::from(mtu);
        }
        let flows = info.flow_type_rss_offloads & sys::ESPALIER_RSS_FLOWS;
        if config.rx_queues > 1 && flows != 0 {
            conf.rxmode.mq_mode = sys::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = flows;
        }
        // SAFETY: the port is open and not started, and `conf` outlives the call, which copies it.
        check(unsafe { sys::rte_eth_dev_configure(self.open.id, config.rx_queues, config.tx_queues, &conf) })
            .map_err(self.failed("configure it"))?;
        if let Some(mtu) = settable {
            // SAFETY: the port is open.
            match check(unsafe { sys::rte_eth_dev_set_mtu(self.open.id, mtu) }) {
                // It has nothing to set: the MTU is what its users keep to.
                Ok(_) | Err(Errno::NOTSUP) => {}
                Err(reason) => return Err(self.failed("set its MTU")(reason)),
            }
        }
        Ok((rx_offloads, tx_offloads))
    }

    fn set_up_queues(
        &self,
        config: &PortConfig,
        info: &sys::rte_eth_dev_info,
        (rx_offloads, tx_offloads): (u64, u64),
        pool: &Mempool,
    ) -> Result<(), Error> {
        let id = self.open.id;
        let (mut rx_descriptors, mut tx_descriptors) = (config.rx_descriptors, config.tx_descriptors);
        // SAFETY: the port is open and configured; both numbers are ours.
        check(unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &mut rx_descriptors, &mut tx_descriptors) })
            .map_err(self.failed("size its queues"))?;
        // SAFETY: it reads an integer of the open port. −1 is any socket, as the parameter's type has it.
        let socket = unsafe { sys::rte_eth_dev_socket_id(id) } as u32;
        let mut rx_conf = info.default_rxconf;
        rx_conf.offloads = rx_offloads;
        for queue in 0..config.rx_queues {
            // SAFETY: the port is configured with this queue. The pool outlives the queue: the port keeps it from its
            // start on, and one that is not started holds no packets.
            check(unsafe {
                sys::rte_eth_rx_queue_setup(id, queue, rx_descriptors, socket, &rx_conf, pool.as_ptr())
            })
            .map_err(self.failed("set up a receive queue"))?;
        }
        let mut tx_conf = info.default_txconf;
        tx_conf.offloads = tx_offloads;
        for queue in 0..config.tx_queues {
            // SAFETY: the port is configured with this queue.
            check(unsafe { sys::rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket, &tx_conf) })
                .map_err(self.failed("set up a transmit queue"))?;
        }
        Ok(())
    }

    fn set_filters(&mut self, config: &PortConfig) -> Result<(), Error> {
        self.set_promiscuous(config.promiscuous)?;
        if config.all_multicast {
            // SAFETY: the port is open.
            without_filter(unsafe { sys::rte_eth_allmulticast_enable(self.open.id) })
                .map_err(self.failed("receive all multicast"))?;
        }
        Ok(())
    }

    /// Receives frames for any station, or no longer. Devices without a filter for them do so anyway.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] if the driver refuses.
    pub fn set_promiscuous(&mut self, on: bool) -> Result<(), Error> {
        let id = self.open.id;
        // SAFETY: the port is open.
        let returned = unsafe {
            if on { sys::rte_eth_promiscuous_enable(id) } else { sys::rte_eth_promiscuous_disable(id) }
        };
        without_filter(returned).map_err(self.failed("receive for any station"))
    }

    /// The station's address.
    pub fn mac(&self) -> [u8; 6] {
        let mut address = sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is open. An error leaves the address zero.
        unsafe { sys::rte_eth_macaddr_get(self.open.id, &mut address) };
        address.addr_bytes
    }

    /// Sets the station's address: also that of the Linux interface, if the device stands on one.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] for a multicast or zero address, or if the device has one for good.
    pub fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), Error> {
        let mut address = sys::rte_ether_addr { addr_bytes: mac };
        // SAFETY: the port is open, and the address is read only.
        check(unsafe { sys::rte_eth_dev_default_mac_addr_set(self.open.id, &mut address) })
            .map_err(self.failed("set its station address"))?;
        Ok(())
    }

    /// The longest IP packet, in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] if the driver does not say.
    pub fn mtu(&self) -> Result<u16, Error> {
        let mut mtu = 0;
        // SAFETY: the port is open, and the number is ours.
        check(unsafe { sys::rte_eth_dev_get_mtu(self.open.id, &mut mtu) })
            .map_err(self.failed("ask its MTU"))?;
        Ok(mtu)
    }

    /// Sets the longest IP packet, in bytes. Once the port is started, stay below what its buffers were chosen for.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] if the device cannot, or not before it is started, or not while it is.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), Error> {
        if self.admits_mtu(mtu) {
            // SAFETY: the port is open.
            check(unsafe { sys::rte_eth_dev_set_mtu(self.open.id, mtu) })
                .map_err(self.failed("set its MTU"))?;
        }
        Ok(())
    }

    /// The link, as the device knows it now. A device that does not say is down.
    pub fn link(&self) -> Link {
        let mut speed = 0;
        // SAFETY: the port is open, and the number is ours.
        let up = unsafe { sys::espalier_link(self.open.id, &mut speed) };
        Link { up: up == 1, speed }
    }

    /// What the device counted.
    ///
    /// # Errors
    ///
    /// [`Error::Port`] if the driver does not say.
    pub fn stats(&self) -> Result<PortStats, Error> {
        // SAFETY: all zeroes is a value of this structure of integers.
        let mut stats: sys::rte_eth_stats = unsafe { std::mem::zeroed() };
        // SAFETY: the port is open, and `stats` is of the type that is written.
        check(unsafe { sys::rte_eth_stats_get(self.open.id, &mut stats) })
            .map_err(self.failed("read its counters"))?;
        Ok(PortStats {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            no_mbuf: stats.rx_nombuf,
        })
    }
}

/// A device that has no such filter lets everything in.
fn without_filter(returned: i32) -> Result<(), Errno> {
    match check(returned) {
        Ok(_) | Err(Errno::NOTSUP) => Ok(()),
        Err(reason) => Err(reason),
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({} {})", self.open.id, self.name())
    }
}
