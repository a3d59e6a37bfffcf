//! The crypto device, for SAs that need one: taken when the first of them comes, and kept.

use crate::device::DeviceSa;
use dpdk::{CryptoQueue, Cryptodev, Way};
use model::{Direction, Keys};
use shm::{InstallSa, Reason};

/// What is tried if the operator names no device, and the Debian package that has it.
const DRIVERS: [(&str, &str); 2] =
    [("crypto_aesni_mb", "librte-crypto-ipsec-mb23"), ("crypto_openssl", "librte-crypto-openssl23")];

/// The device, once there is one.
pub(crate) struct Crypto {
    eal: dpdk::Eal,
    /// The operator's choice.
    chosen: Option<String>,
    workers: u16,
    device: Option<Cryptodev>,
    /// Queues that the workers do not have yet, one for each.
    queues: Vec<CryptoQueue>,
}

impl Crypto {
    /// With a queue for each of so many workers, as soon as a device is taken.
    pub(crate) fn new(eal: dpdk::Eal, chosen: Option<String>, workers: u16) -> Crypto {
        Crypto { eal, chosen, workers, device: None, queues: Vec::new() }
    }

    /// An SA in the device. The log says what is missing, and what brings it.
    pub(super) fn sa(&mut self, install: &InstallSa, keys: &Keys<'_>) -> Result<DeviceSa, Reason> {
        let device = self.device()?;
        let way = match install.direction {
            Direction::Inbound => Way::Open,
            Direction::Outbound => Way::Protect,
        };
        let (index, suite) = (install.index, install.suite);
        match DeviceSa::new(device, way, suite, keys, install.extended_sequence) {
            Some(Ok(sa)) => Ok(sa),
            Some(Err(error @ dpdk::Error::Transform { .. })) => {
                let (driver, package) = DRIVERS[0];
                tracing::error!(
                    "SA {index} ({suite}): {error}; {driver} can: install {package}, name no other device with \
                     --crypto, and restart"
                );
                Err(Reason::CryptoDevice)
            }
            Some(Err(error)) => {
                tracing::error!("SA {index} ({suite}): {error}");
                Err(Reason::OutOfMemory)
            }
            None => Err(Reason::SuiteUnsupported),
        }
    }

    /// What the workers are to be given: nothing, but for the first time after the device was taken.
    pub(super) fn take_queues(&mut self) -> Vec<CryptoQueue> {
        std::mem::take(&mut self.queues)
    }

    fn device(&mut self) -> Result<&Cryptodev, Reason> {
        if self.device.is_none() {
            let (device, queues) = self.open().ok_or(Reason::CryptoDevice)?;
            tracing::info!("crypto device {} taken, for suites beside AES-GCM", device.name());
            self.queues = queues;
            self.device = Some(device);
        }
        self.device.as_ref().ok_or(Reason::CryptoDevice)
    }

    fn open(&self) -> Option<(Cryptodev, Vec<CryptoQueue>)> {
        let open = |name: &str, mend: &str| match Cryptodev::open(&self.eal, name, self.workers) {
            Ok(opened) => Some(opened),
            Err(error) => {
                tracing::error!("{error}; {mend}");
                None
            }
        };
        match &self.chosen {
            Some(name) => open(name, "name another one with --crypto, or none"),
            None => DRIVERS.iter().find_map(|(name, package)| {
                open(name, &format!("its driver is in Debian's package {package}"))
            }),
        }
    }
}
