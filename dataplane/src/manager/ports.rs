//! Ports: a DPDK device each, with a mirror TAP in Linux, and the queues of both shared out to the workers.

use crate::worker::queues::{Pair, PortQueues};
use dpdk::{Mempool, Port, PortConfig};
use shm::{AttachPort, MacAddress, Reason};

/// Descriptors of a queue, before the device has its say.
const DESCRIPTORS: u16 = 1024;

/// An attached port.
pub(super) struct OpenPort {
    pub(super) wire: Port,
    /// The mirror TAP; dropped with the port, which takes the interface out of Linux.
    _tap: Option<Port>,
    /// The station address in use.
    pub(super) mac: MacAddress,
    /// As it was last told to the control plane.
    pub(super) link_up: bool,
}

/// Why a device cannot be a port, as the control plane hears it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) detail: u64,
}

/// Attaches and starts the device and its TAP, with a queue pair for each of `workers`.
pub(super) fn open(
    attach: &AttachPort,
    workers: usize,
    pool: &Mempool,
) -> Result<(OpenPort, Vec<PortQueues>), Refused> {
    let device = attach.device.as_str();
    let (wire, pairs) = start(device, workers, pool, |mut config| {
        config.mtu = Some(attach.mtu);
        config.promiscuous = attach.mac.is_some();
        config
    })
    .map_err(|error| {
        tracing::error!("port {}: {error}", attach.port);
        Refused { reason: Reason::DeviceRefused, detail: error.errno() }
    })?;
    let mac = attach.mac.unwrap_or_else(|| wire.mac());
    if attach.name.is_empty() {
        let queues = pairs.into_iter().map(|wire| PortQueues { wire, tap: None }).collect();
        return Ok((OpenPort { wire, _tap: None, mac, link_up: false }, queues));
    }
    let tap_device = format!("net_tap{},iface={},mac={}", attach.port, attach.name, Mac(mac));
    let (tap, tap_pairs) = start(&tap_device, workers, pool, |config| config).map_err(|error| {
        tracing::error!("port {}: mirror TAP {}: {error}", attach.port, attach.name);
        Refused { reason: Reason::TapRefused, detail: error.errno() }
    })?;
    let queues =
        pairs.into_iter().zip(tap_pairs).map(|(wire, tap)| PortQueues { wire, tap: Some(tap) }).collect();
    Ok((OpenPort { wire, _tap: Some(tap), mac, link_up: false }, queues))
}

fn start(
    device: &str,
    workers: usize,
    pool: &Mempool,
    adjust: impl FnOnce(PortConfig) -> PortConfig,
) -> Result<(Port, Vec<Pair>), dpdk::Error> {
    let mut port = dpdk::attach(device)?;
    let (rx, tx) = port.start(adjust(PortConfig::new(workers as u16, DESCRIPTORS)), pool)?;
    Ok((port, rx.into_iter().zip(tx).map(|(rx, tx)| Pair { rx, tx }).collect()))
}

/// As `net_tap` wants it: `02:00:00:00:00:01`.
struct Mac(MacAddress);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
