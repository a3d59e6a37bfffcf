//! Packet memory.

use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error};
use crate::mbuf::{Mbuf, NoRoom};
use dpdk_sys as sys;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes in front of a received packet that headers can grow into.
pub const HEADROOM: u16 = sys::RTE_PKTMBUF_HEADROOM as u16;

/// The longest name of a pool: DPDK puts a few letters in front of it and has room for 25.
const NAME_MAX: usize = 20;

/// Sizes of a [`Mempool`].
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Packets (buffers) in it. One less than a power of two wastes the least memory.
    pub count: u32,
    /// Packets that each registered thread may keep for itself: at most 512 and two thirds of `count`; 0 is no cache.
    pub cache: u32,
    /// Bytes of a buffer, [`HEADROOM`] included.
    pub data_room: u16,
    /// NUMA socket whose memory it is in; `None` leaves it to DPDK.
    pub socket: Option<u32>,
}

impl PoolConfig {
    /// `count` buffers of DPDK's default size, which an Ethernet frame fits, with a cache of 256 for each thread, on
    /// any socket.
    pub fn new(count: u32) -> PoolConfig {
        // A cache may not be more than two thirds of the pool.
        let cache = 256.min(count / 2);
        PoolConfig { count, cache, data_room: sys::RTE_MBUF_DEFAULT_BUF_SIZE as u16, socket: None }
    }
}

/// A pool of packet buffers. Clones are the same pool; its memory goes back when the last clone, port and packet have
/// gone. Should a driver never give a packet back, the memory stays until the process ends.
#[derive(Clone)]
pub struct Mempool {
    inner: Arc<Inner>,
}

struct Inner {
    pool: NonNull<sys::rte_mempool>,
    name: String,
    count: u32,
    data_room: u16,
}

// SAFETY: the pool's ring is made for many producers and consumers, and its caches are per DPDK thread: a thread
// without a number has none. Nothing else in it changes after it was made.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Mempool {
    /// A pool with `count` buffers of `data_room` bytes, [`HEADROOM`] included. See [`PoolConfig::new`].
    ///
    /// # Errors
    ///
    /// As [`Mempool::with_config`].
    pub fn new(eal: &Eal, name: &str, count: u32, data_room: u16) -> Result<Mempool, Error> {
        Mempool::with_config(eal, name, PoolConfig { data_room, ..PoolConfig::new(count) })
    }

    /// A pool of the process with this name of at most 20 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Mempool`] if there is no memory for it, a pool has the name already, or the sizes do not do;
    /// [`Error::Text`] for the name.
    pub fn with_config(_eal: &Eal, name: &str, config: PoolConfig) -> Result<Mempool, Error> {
        let PoolConfig { count, cache, data_room, socket } = config;
        let text = c_string("pool's name", name)?;
        if name.len() > NAME_MAX {
            return Err(Error::Text { what: "pool's name", text: name.to_owned() });
        }
        let refused = |reason| Error::Mempool { name: name.to_owned(), count, reason };
        if data_room < HEADROOM || cache > sys::RTE_MEMPOOL_CACHE_MAX_SIZE {
            return Err(refused(Errno::INVAL));
        }
        // −1 is any socket.
        let socket = socket.map_or(-1, |socket| i32::try_from(socket).unwrap_or(i32::MAX));
        // SAFETY: the EAL runs (`_eal`), and the name is NUL-terminated and copied by DPDK.
        let pool = unsafe { sys::rte_pktmbuf_pool_create(text.as_ptr(), count, cache, 0, data_room, socket) };
        let pool = NonNull::new(pool).ok_or_else(|| refused(Errno::last()))?;
        Ok(Mempool { inner: Arc::new(Inner { pool, name: name.to_owned(), count, data_room }) })
    }

    /// A packet of no bytes, with [`HEADROOM`] in front; `None` if all are in use.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives, and was made for packets. What it gives is ours alone until it is freed.
        unsafe { NonNull::new(sys::espalier_mbuf_alloc(self.as_ptr())).map(|raw| Mbuf::from_raw(raw)) }
    }

    /// A packet with these bytes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if all packets are in use, or the bytes do not fit one buffer.
    pub fn alloc_from_slice(&self, bytes: &[u8]) -> Result<Mbuf, NoRoom> {
        let mut mbuf = self.alloc().ok_or(NoRoom)?;
        mbuf.append(bytes.len())?.copy_from_slice(bytes);
        Ok(mbuf)
    }

    /// Packets that are free. It counts what threads have in their caches.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives; it reads counters, which may be a little stale.
        unsafe { sys::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// Packets that are in use, by the program or by devices' queues.
    pub fn in_use(&self) -> u32 {
        self.count().saturating_sub(self.available())
    }

    /// Packets that it has in all.
    pub fn count(&self) -> u32 {
        self.inner.count
    }

    /// Bytes of a buffer, [`HEADROOM`] included.
    pub fn data_room(&self) -> u16 {
        self.inner.data_room
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.inner.pool.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the last handle goes, so the only way to the pool is through packets of it. If none is in use there
        // is none, and none can come to be. Otherwise the memory is left alone, for them.
        unsafe {
            if sys::rte_mempool_avail_count(self.pool.as_ptr()) == self.count {
                sys::rte_mempool_free(self.pool.as_ptr());
            }
        }
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool").field("name", &self.inner.name).field("count", &self.inner.count).finish()
    }
}
