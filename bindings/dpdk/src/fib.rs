//! Longest-prefix match: IPv4 by DIR-24-8, IPv6 by a trie of the same make, both with entries of 4 bytes.
//!
//! Routes change while workers look up. DPDK writes each 4-byte entry whole, and a second-level table before the entry
//! that leads to it. So a look-up beside a change gives, for an address that the change does not concern, its next
//! hop; for one that it does concern, the old or the new one. There is one exception. When the last longer prefix
//! below a first-level entry is removed, its second-level table goes back to DPDK and the next longer prefix may get
//! it. A look-up that was on its way into that table in those few nanoseconds may find next hop 0, or one of the
//! other prefix. Next hop 0 should therefore be harmless, and whoever wants more waits for the workers' next burst
//! between the removal of a route and the next change. (DPDK itself can delay the reuse only from 25.03 on.)

mod last;

use self::last::{LastRoutes, STEPS};
use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error, check};
use dpdk_sys as sys;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The highest next hop: entries have 31 bits, and the lowest `LEN_BITS` of them are the prefix's length.
pub const MAX_NEXT_HOP: u32 = u32::MAX >> (1 + LEN_BITS);
/// Bits of an entry that hold the length of its prefix, so that no route has the entry of the route around it. DPDK
/// reserves no second-level table for a route that has, but gives one back when it goes; after a few it believes that
/// none are left, and refuses routes for good.
const LEN_BITS: u32 = 8;
/// In place of a length, where no route leads.
const NO_LEN: u8 = u8::MAX;

/// Bytes of a first-level table, which has an entry for every 24 bits.
const FIRST_LEVEL: u64 = 4 << 24;
/// Bytes of a second-level table, which has an entry for every value of the next byte.
const SECOND_LEVEL: u64 = 4 << 8;
/// Bytes that DPDK keeps of a route beside the tables, roughly.
const PER_ROUTE: u64 = 2 * 128;
/// The longest name: DPDK puts letters in front of it and has room for 25.
const NAME_MAX: usize = 20;

/// Second-level tables for so many IPv4 routes: each route over 24 bits may need its own.
fn tables4(max_routes: u32) -> u32 {
    max_routes.clamp(256, 1 << 16)
}

/// Second-level tables for so many IPv6 routes: one for each byte from the fourth on, which neighbours share.
fn tables6(max_routes: u32) -> u32 {
    max_routes.saturating_mul(4).clamp(1024, 1 << 17)
}

fn bytes(max_routes: u32, tables: u32) -> u64 {
    FIRST_LEVEL + SECOND_LEVEL * u64::from(tables) + PER_ROUTE * u64::from(max_routes)
}

/// Locks what guards a FIB's changes. A panic cannot leave it half changed: what is behind it changes as a whole.
fn lock<T>(guard: &Mutex<T>) -> MutexGuard<'_, T> {
    guard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_hop(next_hop: u32) -> Result<(), Error> {
    if next_hop > MAX_NEXT_HOP { Err(Error::NextHop(next_hop)) } else { Ok(()) }
}

/// What the tables hold for a route.
fn entry(next_hop: u32, prefix_len: u8) -> u64 {
    u64::from(next_hop) << LEN_BITS | u64::from(prefix_len)
}

/// From entries to next hops.
#[inline]
fn strip(entries: &mut [u64]) {
    entries.iter_mut().for_each(|entry| *entry >>= LEN_BITS);
}

/// The name, the entry where no route leads, and the number of routes, as DPDK takes them.
fn check_new(
    name: &str,
    default_next_hop: u32,
    max_routes: u32,
) -> Result<(std::ffi::CString, u64, i32), Error> {
    check_hop(default_next_hop)?;
    let default = entry(default_next_hop, NO_LEN);
    let text = c_string("FIB's name", name)?;
    if name.len() > NAME_MAX {
        return Err(Error::Text { what: "FIB's name", text: name.to_owned() });
    }
    let refused = || Error::Fib { name: name.to_owned(), routes: max_routes, reason: Errno::INVAL };
    // DPDK doubles the number in an int.
    let routes = i32::try_from(max_routes).ok().filter(|routes| (1..=i32::MAX / 4).contains(routes));
    Ok((text, default, routes.ok_or_else(refused)?))
}

fn socket_id(socket: Option<u32>) -> i32 {
    socket.map_or(-1, |socket| i32::try_from(socket).unwrap_or(i32::MAX))
}

/// IPv4 routes. Any thread looks up, without locks; changes take turns. The module says what a look-up beside a
/// change gives.
pub struct Fib4 {
    raw: NonNull<sys::rte_fib>,
    /// Also whose turn it is to change.
    last: Mutex<LastRoutes>,
    name: String,
}

// SAFETY: look-ups only read tables, entry by entry, which changes write entry by entry; changes are behind the lock.
unsafe impl Send for Fib4 {}
// SAFETY: as above.
unsafe impl Sync for Fib4 {}

impl Fib4 {
    /// No routes: every look-up gives `default_next_hop`. The name is the process's only one of at most 20 bytes;
    /// there is room for `max_routes` routes at least, and as many, up to 65,536, may be longer than 24 bits; `socket` is
    /// the NUMA socket of its memory, see [`Fib4::bytes`].
    ///
    /// # Errors
    ///
    /// [`Error::Fib`] if there is no memory or a FIB has the name; [`Error::NextHop`]; [`Error::Text`].
    pub fn new(
        _eal: &Eal,
        name: &str,
        default_next_hop: u32,
        max_routes: u32,
        socket: Option<u32>,
    ) -> Result<Fib4, Error> {
        let (text, default, routes) = check_new(name, default_next_hop, max_routes)?;
        let (socket, tables, routes) = (socket_id(socket), tables4(max_routes), routes + STEPS as i32);
        // SAFETY: the EAL runs (`_eal`), and the name is NUL-terminated and copied.
        let raw = unsafe { sys::espalier_fib4_create(text.as_ptr(), socket, default, routes, tables) };
        let raw = NonNull::new(raw).ok_or_else(|| Error::Fib {
            name: name.to_owned(),
            routes: max_routes,
            reason: Errno::last(),
        })?;
        Ok(Fib4 { raw, last: Mutex::new(LastRoutes::NONE), name: name.to_owned() })
    }

    /// Bytes of DPDK's memory that a FIB for so many routes takes, roughly.
    pub fn bytes(max_routes: u32) -> u64 {
        bytes(max_routes, tables4(max_routes))
    }

    /// Adds a route, or gives one a new next hop. Bits of the address behind the prefix do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Route`] if there is no room, [`Error::NextHop`], [`Error::PrefixLength`]; the routes are as before.
    pub fn add(&self, address: Ipv4Addr, prefix_len: u8, next_hop: u32) -> Result<(), Error> {
        check_hop(next_hop)?;
        self.change("add", address, prefix_len, Some(next_hop))
    }

    /// Removes a route. Bits of the address behind the prefix do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Route`] if it is not there, [`Error::PrefixLength`].
    pub fn remove(&self, address: Ipv4Addr, prefix_len: u8) -> Result<(), Error> {
        self.change("remove", address, prefix_len, None)
    }

    fn change(
        &self,
        step: &'static str,
        address: Ipv4Addr,
        prefix_len: u8,
        hop: Option<u32>,
    ) -> Result<(), Error> {
        if prefix_len > 32 {
            return Err(Error::PrefixLength(prefix_len));
        }
        let write = |address, prefix_len, hop| self.write(address, prefix_len, hop);
        lock(&self.last)
            .change(address.to_bits(), prefix_len, hop, write)
            .unwrap_or_else(|| write(address.to_bits(), prefix_len, hop))
            .map_err(|reason| Error::Route { step, prefix: format!("{address}/{prefix_len}"), reason })
    }

    /// Has DPDK add or remove a route. It must be the caller's turn to change.
    fn write(&self, address: u32, prefix_len: u8, hop: Option<u32>) -> Result<(), Errno> {
        let fib = self.raw.as_ptr();
        let entry = hop.map(|hop| entry(hop, prefix_len));
        // SAFETY: the FIB lives, and it is our turn to change it.
        let result = unsafe {
            match entry {
                Some(entry) => sys::rte_fib_add(fib, address, prefix_len, entry),
                None => sys::rte_fib_delete(fib, address, prefix_len),
            }
        };
        check(result).map(|_| ())
    }

    /// Looks up addresses (in the CPU's byte order) and writes a next hop for each.
    ///
    /// # Panics
    ///
    /// If there is not exactly one place for each address.
    #[inline]
    pub fn lookup_bulk(&self, addresses: &[u32], next_hops: &mut [u64]) {
        assert_eq!(addresses.len(), next_hops.len(), "a next hop for each address");
        // SAFETY: the FIB lives. It reads that many addresses, writing none for all that the parameter's type says, and
        // writes as many next hops.
        unsafe {
            sys::rte_fib_lookup_bulk(
                self.raw.as_ptr(),
                addresses.as_ptr().cast_mut(),
                next_hops.as_mut_ptr(),
                addresses.len() as i32,
            );
        }
        strip(next_hops);
    }
}

impl Drop for Fib4 {
    fn drop(&mut self) {
        // SAFETY: the FIB lives, and nobody else has it any more.
        unsafe { sys::rte_fib_free(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Fib4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fib4({})", self.name)
    }
}

/// IPv6 routes. Any thread looks up, without locks; changes take turns. The module says what a look-up beside a
/// change gives.
pub struct Fib6 {
    raw: NonNull<sys::rte_fib6>,
    /// Also whose turn it is to change.
    last: Mutex<LastRoutes>,
    name: String,
}

// SAFETY: look-ups only read tables, entry by entry, which changes write entry by entry; changes are behind the lock.
unsafe impl Send for Fib6 {}
// SAFETY: as above.
unsafe impl Sync for Fib6 {}

impl Fib6 {
    /// No routes: every look-up gives `default_next_hop`. The name is the process's only one of at most 20 bytes;
    /// there is room for `max_routes` routes, but DPDK reserves up to 13 tables for one of 128 bits, less what the longest prefix
    /// around it has, and there are 4 for each, up to 131,072, so sparse host routes may fill it before. Removed routes
    /// may fill it too, see [`Fib6::remove`]. `socket` is the NUMA socket of its memory, see [`Fib6::bytes`].
    ///
    /// # Errors
    ///
    /// [`Error::Fib`] if there is no memory or a FIB has the name; [`Error::NextHop`]; [`Error::Text`].
    pub fn new(
        _eal: &Eal,
        name: &str,
        default_next_hop: u32,
        max_routes: u32,
        socket: Option<u32>,
    ) -> Result<Fib6, Error> {
        let (text, default, routes) = check_new(name, default_next_hop, max_routes)?;
        let (socket, tables, routes) = (socket_id(socket), tables6(max_routes), routes + STEPS as i32);
        // SAFETY: the EAL runs (`_eal`), and the name is NUL-terminated and copied.
        let raw = unsafe { sys::espalier_fib6_create(text.as_ptr(), socket, default, routes, tables) };
        let raw = NonNull::new(raw).ok_or_else(|| Error::Fib {
            name: name.to_owned(),
            routes: max_routes,
            reason: Errno::last(),
        })?;
        Ok(Fib6 { raw, last: Mutex::new(LastRoutes::NONE), name: name.to_owned() })
    }

    /// Bytes of DPDK's memory that a FIB for so many routes takes, roughly.
    pub fn bytes(max_routes: u32) -> u64 {
        bytes(max_routes, tables6(max_routes))
    }

    /// Adds a route, or gives one a new next hop. Bits of the address behind the prefix do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Route`] if there is no room, [`Error::NextHop`], [`Error::PrefixLength`]; the routes are as before.
    pub fn add(&self, address: Ipv6Addr, prefix_len: u8, next_hop: u32) -> Result<(), Error> {
        check_hop(next_hop)?;
        self.change("add", address, prefix_len, Some(next_hop))
    }

    /// Removes a route. Bits of the address behind the prefix do not matter.
    ///
    /// DPDK 22.11 uses the route's tables again, but does not take back their reservation. So [`Fib6::add`] may refuse,
    /// after many removals, what a new FIB has room for: when it does, fill a new one with the routes that there are to
    /// be, under another name, and let the old one go. Removing a route that was just added never fails. (DPDK 25.11
    /// and 24.11.4 do take it back, and 26.07 does so without a mistake.)
    ///
    /// # Errors
    ///
    /// [`Error::Route`] if it is not there, [`Error::PrefixLength`].
    pub fn remove(&self, address: Ipv6Addr, prefix_len: u8) -> Result<(), Error> {
        self.change("remove", address, prefix_len, None)
    }

    fn change(
        &self,
        step: &'static str,
        address: Ipv6Addr,
        prefix_len: u8,
        hop: Option<u32>,
    ) -> Result<(), Error> {
        if prefix_len > 128 {
            return Err(Error::PrefixLength(prefix_len));
        }
        let first = (address.to_bits() >> 96) as u32;
        let write_step = |first, len, hop| self.write(Ipv6Addr::from_bits(u128::from(first) << 96), len, hop);
        lock(&self.last)
            .change(first, prefix_len, hop, write_step)
            .unwrap_or_else(|| self.write(address, prefix_len, hop))
            .map_err(|reason| Error::Route { step, prefix: format!("{address}/{prefix_len}"), reason })
    }

    /// Has DPDK add or remove a route. It must be the caller's turn to change.
    fn write(&self, address: Ipv6Addr, prefix_len: u8, hop: Option<u32>) -> Result<(), Errno> {
        let (fib, bytes) = (self.raw.as_ptr(), address.octets());
        let entry = hop.map(|hop| entry(hop, prefix_len));
        // SAFETY: the FIB lives, the address has 16 bytes, and it is our turn to change it.
        let result = unsafe {
            match entry {
                Some(entry) => sys::espalier_fib6_add(fib, bytes.as_ptr(), prefix_len, entry),
                None => sys::espalier_fib6_delete(fib, bytes.as_ptr(), prefix_len),
            }
        };
        check(result).map(|_| ())
    }

    /// Looks up addresses (as on the wire) and writes a next hop for each.
    ///
    /// # Panics
    ///
    /// If there is not exactly one place for each address.
    #[inline]
    pub fn lookup_bulk(&self, addresses: &[[u8; 16]], next_hops: &mut [u64]) {
        assert_eq!(addresses.len(), next_hops.len(), "a next hop for each address");
        // SAFETY: the FIB lives. It reads that many addresses of 16 bytes and writes as many next hops.
        unsafe {
            sys::espalier_fib6_lookup(
                self.raw.as_ptr(),
                addresses.as_ptr().cast(),
                next_hops.as_mut_ptr(),
                addresses.len() as i32,
            );
        }
        strip(next_hops);
    }
}

impl Drop for Fib6 {
    fn drop(&mut self) {
        // SAFETY: the FIB lives, and nobody else has it any more.
        unsafe { sys::rte_fib6_free(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Fib6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fib6({})", self.name)
    }
}
