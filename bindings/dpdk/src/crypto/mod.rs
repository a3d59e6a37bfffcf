//! DPDK's cryptodev: symmetric ciphers and MACs over bursts of packets, done by a software driver or by hardware.
//!
//! A [`Cryptodev`] has a [`CryptoQueue`] for each worker. A [`Session`] is a key schedule, made and dropped off the packet
//! path; a [`CryptoJob`] sends one packet of a burst through one. The wait for a device is bounded: a packet that does not
//! come back in time is lost to its burst, and stays the queue's until the device gives it up. Until then no session is
//! freed, so that no device ever reads a key or a packet that is somebody else's by now.

mod device;
mod queue;
mod session;

pub use device::Cryptodev;
pub use queue::{CryptoJob, CryptoOutcome, CryptoQueue};
pub use session::{Cipher, DIGEST_MAX, Mac, Session, Transform, Way};
