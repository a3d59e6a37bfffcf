//! DPDK with its rules put into types: packet I/O, packet memory and route look-ups for the data plane.
//!
//! What is safe here cannot leak or double-free a packet, use a queue from two threads, or outlive a device or a
//! pool. What cannot be checked by types is checked when it happens and told by an [`Error`]. Nothing here knows what
//! a packet means: no protocol, no gateway, no configuration.
//!
//! - [`Eal`]: DPDK's run-time, started once a process.
//! - [`Mempool`], [`Mbuf`], [`Packets`]: packet memory, one packet, and a burst of up to 64 of them.
//! - [`attach`], [`Port`], [`RxQueue`], [`TxQueue`]: devices, and the halves of their queues that workers own.
//! - [`Cryptodev`], [`Session`], [`CryptoQueue`]: ciphers and MACs over bursts of packets, by software or hardware.
//! - [`prefetch`]: a hint to the caches.
//! - [`Fib4`], [`Fib6`]: longest-prefix match, a burst at a time.

mod crypto;
mod device;
mod eal;
mod error;
mod fib;
mod mbuf;
mod memory;
mod mempool;
mod packets;
mod port;
mod queue;

pub use crypto::{
    Cipher, CryptoJob, CryptoOutcome, CryptoQueue, Cryptodev, DIGEST_MAX, Mac, Session, Transform, Way,
};
pub use device::{attach, attach_all};
pub use eal::{Eal, Registered, hugepages_free, lcore_id, register_thread, tsc, tsc_hz};
pub use error::{Errno, Error};
pub use fib::{Fib4, Fib6, MAX_NEXT_HOP};
pub use mbuf::{Mbuf, NoRoom, Segments};
pub use memory::prefetch;
pub use mempool::{HEADROOM, Mempool, PoolConfig};
pub use packets::{BURST, Packets};
pub use port::{Link, Port, PortConfig, PortInfo, PortStats};
pub use queue::{RxQueue, TxQueue};
