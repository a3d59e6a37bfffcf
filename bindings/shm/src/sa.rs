//! The SA table: what must outlive a control plane, and be readable when the data plane is dead.
//!
//! One slot for each SA: a description, the sequence numbers, the counters; and, elsewhere in the segment, the words of
//! its replay window. The data plane writes; everybody else has the table read-only.

use crate::codec::{address_bytes, address_from};
use crate::command::{
    InstallSa, Limits, direction_from, direction_number, mode_from, mode_number, suite_from, suite_numbers,
    tfc_from, tfc_numbers,
};
use crate::guarded::Guarded;
use crate::layout::{HEADER_BYTES, MAX_ENTRIES, MAX_REPLAY_WINDOW, MAX_SA_CAPACITY};
use crate::memory::{One, Overlaid, Overlay};
use crate::segment::{Header, Kind, Segment, SegmentError, Writers};
use crate::windows::Windows;
use model::{Direction, Mode, Spi, Suite, Tfc};
use serde::Serialize;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A counter that several threads add to.
#[repr(transparent)]
#[derive(Debug)]
pub struct SharedCounter(AtomicU64);

// SAFETY: `repr(transparent)` over an `AtomicU64`.
unsafe impl Overlay for SharedCounter {}

impl SharedCounter {
    /// Adds, and returns what it was before, so that exactly one thread sees a limit passed.
    #[inline]
    pub fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }

    /// The sum so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// What an SA counts. Add once per burst.
#[repr(C)]
#[derive(Debug)]
pub struct SaCounters {
    /// Packets protected or accepted, dummies among them.
    pub packets: SharedCounter,
    /// Bytes of inner packets.
    pub bytes: SharedCounter,
    /// Packets whose ICV did not verify.
    pub auth_failed: SharedCounter,
    /// Packets whose sequence number was seen before.
    pub replayed: SharedCounter,
    /// Packets left of the replay window.
    pub too_old: SharedCounter,
    /// Inner packets that the SA is not for.
    pub selector_mismatch: SharedCounter,
    /// Packets that authenticate but are malformed inside, or are too short for ESP.
    pub malformed: SharedCounter,
    /// Packets after a hard limit, or with no sequence number left.
    pub expired: SharedCounter,
    /// Packets lost for another reason.
    pub other: SharedCounter,
    /// Dummy packets (RFC 4303, section 2.6).
    pub dummies: SharedCounter,
    /// Outbound: bytes of TFC padding (RFC 4303, section 2.7).
    pub tfc_padding: SharedCounter,
    /// Inbound: how often the high half of its sequence numbers was found again after long loss (RFC 4303, appendix A3).
    pub resynchronised: SharedCounter,
}

/// Words of a descriptor in memory.
const DESCRIPTOR_WORDS: usize = 19;

/// The slot of one SA.
#[repr(C, align(64))]
pub struct SaSlot {
    descriptor: Guarded<DESCRIPTOR_WORDS>,
    reserved: [AtomicU64; 4],
    /// Place of the replay window: offset in words, shifted by [`PLACE_SHIFT`], and binary logarithm of its words plus 1.
    place: AtomicU64,
    /// Outbound: the next sequence number to use. Taken in blocks.
    pub next_sequence: AtomicU64,
    /// Inbound: the highest sequence number accepted so far.
    pub highest: AtomicU64,
    /// Outbound: the path MTU that was learned, in bytes of the outer packet; 0 if none was, or it has grown old.
    path_mtu: AtomicU64,
    /// The counters.
    pub counters: SaCounters,
}

// SAFETY: `repr(C)` of `Overlay` types and arrays of `AtomicU64`.
unsafe impl Overlay for SaSlot {}

const _: () = assert!(size_of::<SaSlot>() == 320 && size_of::<SaCounters>() == 12 * 8);
const _: () = assert!(std::mem::offset_of!(SaSlot, place) == 192);

const PLACE_SHIFT: u32 = 8;

/// The description of an SA, without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SaDescriptor {
    /// In use. What was in use and is not any more keeps its description until its index is used again.
    pub live: bool,
    /// Its index.
    pub index: u32,
    /// SPI.
    pub spi: Spi,
    /// Inbound or outbound.
    pub direction: Direction,
    /// Algorithms.
    pub suite: Suite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Outer address on this side.
    pub local: IpAddr,
    /// Outer address of the peer, as it was installed.
    pub remote: IpAddr,
    /// In UDP, to this port of the peer, as it was installed; `None`: ESP directly over IP.
    pub udp_port: Option<u16>,
    /// Where the peer was seen since, if elsewhere; what is sent goes there.
    pub moved_to: Option<SocketAddr>,
    /// The policy entry that it serves.
    pub entry: Option<u32>,
    /// Extended sequence numbers.
    pub extended_sequence: bool,
    /// Packets of the replay window; 0 if it is not checked.
    pub replay_window: u32,
    /// Limits of packets and bytes.
    pub limits: Limits,
    /// The sequence number that it began with.
    pub first_sequence: u64,
    /// The highest sequence number that counted as seen when it was installed.
    pub replay_floor: u64,
    /// A packet's IV is this plus its sequence number.
    pub iv_base: u64,
    /// Outbound: how it hides the lengths of its packets, and when there are any.
    pub tfc: Tfc,
    /// When it was installed, in nanoseconds since 1970.
    pub installed_at: u64,
}

const NONE: u32 = u32::MAX;
const FLAG_LIVE: u8 = 1;
const FLAG_ESN: u8 = 2;
const FLAG_USED: u8 = 4;

impl SaDescriptor {
    fn of(sa: &InstallSa, installed_at: u64) -> SaDescriptor {
        SaDescriptor {
            live: true,
            index: sa.index,
            spi: sa.spi,
            direction: sa.direction,
            suite: sa.suite,
            mode: sa.mode,
            local: sa.local,
            remote: sa.remote,
            udp_port: sa.udp_port,
            moved_to: None,
            entry: sa.entry,
            extended_sequence: sa.extended_sequence,
            replay_window: sa.replay_window,
            limits: sa.limits,
            first_sequence: sa.first_sequence,
            replay_floor: sa.replay_floor,
            iv_base: sa.iv_base,
            tfc: sa.tfc,
            installed_at,
        }
    }

    fn words(&self) -> [u64; DESCRIPTOR_WORDS] {
        let (family, local) = address_bytes(self.local);
        let (_, remote) = address_bytes(self.remote);
        let [suite, key, icv] = suite_numbers(self.suite);
        let flags = FLAG_USED
            | if self.live { FLAG_LIVE } else { 0 }
            | if self.extended_sequence { FLAG_ESN } else { 0 };
        let [l0, l1] = halves(local);
        let [r0, r1] = halves(remote);
        let (_, moved) = address_bytes(self.moved_to.map_or(self.remote, |to| to.ip()));
        let [m0, m1] = halves(moved);
        let moved_port = self.moved_to.map_or(0, |to| u32::from(to.port()));
        let [soft_packets, hard_packets, soft_bytes, hard_bytes] = self.limits.words();
        let [(padding, padding_to), (dummies, rate)] = tfc_numbers(self.tfc);
        let ([p0, p1], [d0, d1]) = (padding_to.to_ne_bytes(), rate.to_ne_bytes());
        [
            u64::from_ne_bytes([
                flags,
                direction_number(self.direction),
                mode_number(self.mode),
                suite,
                key,
                icv,
                family,
                0,
            ]),
            pair(self.spi.get(), self.entry.unwrap_or(NONE)),
            pair(self.index, self.replay_window),
            l0,
            l1,
            r0,
            r1,
            soft_packets,
            hard_packets,
            soft_bytes,
            hard_bytes,
            self.first_sequence,
            self.replay_floor,
            self.iv_base,
            self.installed_at,
            pair(self.udp_port.unwrap_or_default().into(), moved_port),
            m0,
            m1,
            u64::from_ne_bytes([padding, 0, p0, p1, dummies, 0, d0, d1]),
        ]
    }

    /// From words that may be anything; `None` if they describe no SA.
    fn from_words(words: &[u64; DESCRIPTOR_WORDS]) -> Option<SaDescriptor> {
        let &[
            small,
            spi_entry,
            index_window,
            l0,
            l1,
            r0,
            r1,
            soft_packets,
            hard_packets,
            soft_bytes,
            hard_bytes,
            first_sequence,
            replay_floor,
            iv_base,
            installed_at,
            ports,
            m0,
            m1,
            tfc,
        ] = words;
        let [padding, _, p0, p1, dummies, _, d0, d1] = tfc.to_ne_bytes();
        let [flags, direction, mode, suite, key, icv, family, _] = small.to_ne_bytes();
        if flags & FLAG_USED == 0 {
            return None;
        }
        let (spi, entry) = unpair(spi_entry);
        let (index, replay_window) = unpair(index_window);
        let entry = (entry != NONE).then_some(entry);
        let (udp_port, moved_port) = unpair(ports);
        let (udp_port, moved_port) = (u16::try_from(udp_port).ok()?, u16::try_from(moved_port).ok()?);
        let moved_to = SocketAddr::new(address_from(family, whole([m0, m1]))?, moved_port);
        if replay_window > MAX_REPLAY_WINDOW || entry.is_some_and(|entry| entry >= MAX_ENTRIES) {
            return None;
        }
        Some(SaDescriptor {
            live: flags & FLAG_LIVE != 0,
            index,
            spi: Spi::new(spi).ok()?,
            direction: direction_from(direction)?,
            suite: suite_from([suite, key, icv])?,
            mode: mode_from(mode)?,
            local: address_from(family, whole([l0, l1]))?,
            remote: address_from(family, whole([r0, r1]))?,
            udp_port: (udp_port != 0).then_some(udp_port),
            moved_to: (moved_port != 0).then_some(moved_to),
            entry,
            extended_sequence: flags & FLAG_ESN != 0,
            replay_window,
            limits: Limits::from_words([soft_packets, hard_packets, soft_bytes, hard_bytes])?,
            first_sequence,
            replay_floor,
            iv_base,
            tfc: tfc_from([
                (padding, u16::from_ne_bytes([p0, p1])),
                (dummies, u16::from_ne_bytes([d0, d1])),
            ])?,
            installed_at,
        })
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn unpair(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let both = u128::from_be_bytes(bytes);
    [(both >> 64) as u64, both as u64]
}

fn whole([high, low]: [u64; 2]) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

impl SaSlot {
    /// The description as one write left it; `None` if the slot was never used, or what it holds describes no SA.
    pub fn descriptor(&self) -> Option<SaDescriptor> {
        SaDescriptor::from_words(&self.descriptor.read()?)
    }

    /// Outbound: the path MTU that was learned, in bytes of the outer packet; all that a packet can be if none was.
    #[inline]
    pub fn path_mtu(&self) -> usize {
        match self.path_mtu.load(Ordering::Relaxed) {
            0 => usize::from(u16::MAX),
            mtu => mtu.min(u64::from(u16::MAX)) as usize,
        }
    }

    /// Where the window is: offset and number of words, of which nothing is checked yet.
    #[inline]
    fn place(&self) -> (usize, usize) {
        let place = self.place.load(Ordering::Relaxed);
        let words = match place & ((1 << PLACE_SHIFT) - 1) {
            0 => 0,
            log => 1_usize.checked_shl(log as u32 - 1).unwrap_or(0),
        };
        ((place >> PLACE_SHIFT) as usize, words)
    }

    fn set_place(&self, offset: usize, words: usize) {
        let log = if words == 0 { 0 } else { u64::from(words.trailing_zeros()) + 1 };
        self.place.store((offset as u64) << PLACE_SHIFT | log, Ordering::Relaxed);
    }

    fn counters(&self) -> SaCounts {
        let c = &self.counters;
        SaCounts {
            packets: c.packets.get(),
            bytes: c.bytes.get(),
            auth_failed: c.auth_failed.get(),
            replayed: c.replayed.get(),
            too_old: c.too_old.get(),
            selector_mismatch: c.selector_mismatch.get(),
            malformed: c.malformed.get(),
            expired: c.expired.get(),
            other: c.other.get(),
            dummies: c.dummies.get(),
            tfc_padding: c.tfc_padding.get(),
            resynchronised: c.resynchronised.get(),
        }
    }
}

impl std::fmt::Debug for SaSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaSlot").field("descriptor", &self.descriptor()).finish_non_exhaustive()
    }
}

/// Words of the replay window for so many packets: a bitmap of 32 to a word, and one word more, as the window's ends
/// fall inside of words; a power of two. 0 for no window.
pub const fn window_words(packets: u32) -> usize {
    if packets == 0 { 0 } else { (packets.div_ceil(32) as usize + 1).next_power_of_two() }
}

/// Words of the widest window.
pub(crate) const MAX_WINDOW_WORDS: usize = window_words(MAX_REPLAY_WINDOW);

/// Where the parts of an SA segment are.
struct Plan {
    windows_at: usize,
    window_words: usize,
    len: usize,
}

impl Plan {
    fn new(capacity: u32) -> Option<Plan> {
        if capacity == 0 || capacity > MAX_SA_CAPACITY {
            return None;
        }
        let slots = size_of::<SaSlot>() * capacity as usize;
        let windows_at = (HEADER_BYTES + slots).next_multiple_of(HEADER_BYTES);
        let window_words = MAX_WINDOW_WORDS * capacity as usize;
        Some(Plan { windows_at, window_words, len: windows_at + window_words * 8 })
    }
}

/// Why an SA was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaTableError {
    /// No slot of this index.
    #[error(
        "SA index {index} is beyond the table's capacity of {capacity}; start the data plane with a larger one"
    )]
    NoSuchIndex {
        /// What was asked for.
        index: u32,
        /// Slots that there are.
        capacity: u32,
    },
    /// No room for its replay window.
    #[error("no room for one more replay window; use smaller windows or a larger SA table")]
    WindowsExhausted,
}

/// The SA table of the data plane, which alone writes it.
#[derive(Debug)]
pub struct SaTable {
    slots: Overlaid<SaSlot>,
    windows: Overlaid<AtomicU64>,
    places: Mutex<Windows>,
    header: One<Header>,
    fd: OwnedFd,
}

/// The header's parameter that says how many slots were ever used: behind it, nobody needs to look, and so nobody takes
/// memory for slots that are empty.
const USED: usize = 1;

impl SaTable {
    /// A table of this many slots, all empty.
    pub(crate) fn create(capacity: u32) -> io::Result<SaTable> {
        let plan = Plan::new(capacity).ok_or(io::ErrorKind::InvalidInput)?;
        let parameters = [u64::from(capacity), 0, 0, 0, 0];
        let Segment { fd, mapping } = Segment::create(Kind::Sas, parameters, plan.len, Writers::Maker)?;
        let parts = || {
            let slots = Overlaid::new(&mapping, HEADER_BYTES, capacity as usize)?;
            let windows = Overlaid::new(&mapping, plan.windows_at, plan.window_words)?;
            Some((slots, windows, One::new(&mapping, 0)?))
        };
        let (slots, windows, header) = parts().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(SaTable { slots, windows, places: Mutex::new(Windows::new(plan.window_words)), header, fd })
    }

    /// Slots that there are.
    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// A slot; `None` if the index is beyond the capacity.
    #[inline]
    pub fn slot(&self, index: u32) -> Option<&SaSlot> {
        self.slots.get(index as usize)
    }

    /// The replay window of an SA, if it has exactly this many words (see [`window_words`]); 0 words is always found.
    #[inline]
    pub fn window(&self, index: u32, words: usize) -> Option<&[AtomicU64]> {
        let (offset, len) = self.slot(index)?.place();
        if words != len && words != 0 {
            return None;
        }
        self.windows.get(offset..offset.checked_add(words)?)
    }

    /// Makes the slot of `sa.index` that of a new SA: sequence numbers as it says, counters and window zero. (Whose window
    /// starts above a floor calls the window's own reset afterwards.)
    ///
    /// For the manager's thread only; and only when no worker can hold the SA that had the slot before, as it would then
    /// use the old key with the new sequence numbers.
    pub fn install(&self, sa: &InstallSa) -> Result<(), SaTableError> {
        let slot = self
            .slot(sa.index)
            .ok_or(SaTableError::NoSuchIndex { index: sa.index, capacity: self.capacity() })?;
        let words = match sa.direction {
            Direction::Inbound => window_words(sa.replay_window),
            Direction::Outbound => 0,
        };
        let offset = {
            let mut places = self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (offset, len) = slot.place();
            places.free(offset, len);
            slot.set_place(0, 0);
            if words == 0 { 0 } else { places.take(words).ok_or(SaTableError::WindowsExhausted)? }
        };
        for word in self.windows.get(offset..offset + words).unwrap_or_default() {
            word.store(0, Ordering::Relaxed);
        }
        slot.set_place(offset, words);
        slot.next_sequence.store(sa.first_sequence, Ordering::Relaxed);
        slot.highest.store(sa.replay_floor, Ordering::Relaxed);
        slot.path_mtu.store(0, Ordering::Relaxed);
        let c = &slot.counters;
        for counter in [
            &c.packets,
            &c.bytes,
            &c.auth_failed,
            &c.replayed,
            &c.too_old,
            &c.selector_mismatch,
            &c.malformed,
            &c.expired,
            &c.other,
            &c.dummies,
            &c.tfc_padding,
            &c.resynchronised,
        ] {
            counter.set(0);
        }
        slot.descriptor.write(&SaDescriptor::of(sa, now()).words());
        if let Some(used) = self.header.parameters.get(USED) {
            used.fetch_max(u64::from(sa.index) + 1, Ordering::Release);
        }
        Ok(())
    }

    /// Says that an SA is no longer in use, and lets another one have its window. Its description, sequence numbers and
    /// counters stay to be read until the index is used again.
    ///
    /// For the manager's thread only, when no worker can hold the SA.
    pub fn clear(&self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        let mut places = self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (offset, len) = slot.place();
        places.free(offset, len);
        slot.set_place(0, 0);
        if let Some(descriptor) = slot.descriptor() {
            slot.descriptor.write(&SaDescriptor { live: false, ..descriptor }.words());
        }
    }

    /// Says where the peer of a live SA was seen last; of the family of the SA's addresses.
    ///
    /// For the manager's thread only.
    pub fn set_peer(&self, index: u32, peer: SocketAddr) {
        let Some(slot) = self.slot(index) else { return };
        if let Some(descriptor) = slot.descriptor()
            && descriptor.remote.is_ipv4() == peer.is_ipv4()
        {
            slot.descriptor.write(&SaDescriptor { moved_to: Some(peer), ..descriptor }.words());
        }
    }

    /// Says what the path of an outbound SA takes, in bytes of the outer packet; `None`: nobody knows.
    ///
    /// For the manager's thread only.
    pub fn set_path_mtu(&self, index: u32, mtu: Option<u16>) {
        if let Some(slot) = self.slot(index) {
            slot.path_mtu.store(u64::from(mtu.unwrap_or_default()), Ordering::Relaxed);
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Nanoseconds since 1970; 0 if the clock is before that.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// What an SA counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaCounts {
    /// Packets protected or accepted, dummies among them.
    pub packets: u64,
    /// Bytes of inner packets.
    pub bytes: u64,
    /// Packets whose ICV did not verify.
    pub auth_failed: u64,
    /// Packets whose sequence number was seen before.
    pub replayed: u64,
    /// Packets left of the replay window.
    pub too_old: u64,
    /// Inner packets that the SA is not for.
    pub selector_mismatch: u64,
    /// Packets that authenticate but are malformed inside, or are too short for ESP.
    pub malformed: u64,
    /// Packets after a hard limit, or with no sequence number left.
    pub expired: u64,
    /// Packets lost for another reason.
    pub other: u64,
    /// Dummy packets (RFC 4303, section 2.6).
    pub dummies: u64,
    /// Outbound: bytes of TFC padding (RFC 4303, section 2.7).
    pub tfc_padding: u64,
    /// Inbound: how often the high half of its sequence numbers was found again after long loss (RFC 4303, appendix A3).
    pub resynchronised: u64,
}

/// All that a reader can know of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SaStatus {
    /// What it is.
    pub descriptor: SaDescriptor,
    /// Outbound: no sequence number from here on was used.
    pub next_sequence: u64,
    /// Inbound: the highest sequence number accepted.
    pub highest: u64,
    /// Outbound: the path MTU that was learned, in bytes of the outer packet.
    pub path_mtu: Option<u16>,
    /// What it counted.
    pub counters: SaCounts,
}

/// The SA table, as all others see it: read-only, and as it was left when the data plane is dead.
#[derive(Debug)]
pub struct SaTableView {
    slots: Overlaid<SaSlot>,
    header: One<Header>,
}

impl SaTableView {
    pub(crate) fn open(fd: OwnedFd) -> Result<SaTableView, SegmentError> {
        let len = |parameters: [u64; 5]| {
            let [capacity, _, 0, 0, 0] = parameters else { return None };
            Plan::new(u32::try_from(capacity).ok()?).map(|plan| plan.len)
        };
        let (Segment { mapping, .. }, [capacity, ..]) = Segment::open(fd, Kind::Sas, false, len)?;
        let slots = Overlaid::new(&mapping, HEADER_BYTES, capacity as usize).ok_or(SegmentError::Size)?;
        let header = One::new(&mapping, 0).ok_or(SegmentError::Size)?;
        Ok(SaTableView { slots, header })
    }

    /// Slots that there are.
    pub fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    /// What a slot holds, live or not; `None` if it was never used or is beyond the capacity.
    ///
    /// Numbers and counters are read one by one while workers add to them.
    pub fn get(&self, index: u32) -> Option<SaStatus> {
        let slot = self.slots.get(index as usize)?;
        let descriptor = slot.descriptor().filter(|descriptor| descriptor.index == index)?;
        Some(SaStatus {
            descriptor,
            next_sequence: slot.next_sequence.load(Ordering::Relaxed),
            highest: slot.highest.load(Ordering::Relaxed),
            path_mtu: u16::try_from(slot.path_mtu.load(Ordering::Relaxed)).ok().filter(|&mtu| mtu != 0),
            counters: slot.counters(),
        })
    }

    /// All SAs by index: the live ones, and those whose index was not used again.
    pub fn all(&self) -> impl Iterator<Item = SaStatus> + '_ {
        let used = self.header.parameters.get(USED).map_or(0, |used| used.load(Ordering::Acquire));
        let used = used.min(u64::from(self.capacity())) as u32;
        (0..used).filter_map(|index| self.get(index))
    }

    /// All live SAs by index.
    pub fn live(&self) -> impl Iterator<Item = SaStatus> + '_ {
        self.all().filter(|sa| sa.descriptor.live)
    }
}
