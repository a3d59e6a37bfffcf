//! One packet.

use crate::memory::prefetch_line;
use crate::mempool::Mempool;
use dpdk_sys as sys;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The packet's buffer, or the pool, has no room for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet's buffer has no room for that")]
pub struct NoRoom;

/// A packet: a chain of one or more segments, owned. Dropping it frees it. Up to a [`prepend`](Mbuf::prepend) or
/// [`append`](Mbuf::append) its bytes are what the device received.
///
/// It has the layout of a pointer, and an `Option` of it that of a nullable one.
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<sys::rte_mbuf>,
}

// SAFETY: a packet is memory without ties to a thread; pools take packets back from any.
unsafe impl Send for Mbuf {}

const BUF_ADDR: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_BUF_ADDR as usize;
const DATA_OFF: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_DATA_OFF as usize;
const NB_SEGS: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_NB_SEGS as usize;
const PKT_LEN: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_PKT_LEN as usize;
const DATA_LEN: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_DATA_LEN as usize;
const BUF_LEN: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_BUF_LEN as usize;
const NEXT: usize = sys::espalier_mbuf_offset_ESPALIER_MBUF_NEXT as usize;

const _: () = {
    assert!(size_of::<Mbuf>() == size_of::<*mut sys::rte_mbuf>());
    assert!(size_of::<Option<Mbuf>>() == size_of::<*mut sys::rte_mbuf>());
    // The offsets lie within the structure, and where reads of their width are aligned; widths are the shim's asserts.
    assert!(BUF_ADDR.is_multiple_of(8) && BUF_ADDR + 8 <= size_of::<sys::rte_mbuf>());
    assert!(NEXT.is_multiple_of(8) && NEXT + 8 <= size_of::<sys::rte_mbuf>());
    assert!(PKT_LEN.is_multiple_of(4) && PKT_LEN + 4 <= size_of::<sys::rte_mbuf>());
    assert!(DATA_OFF.is_multiple_of(2) && DATA_OFF + 2 <= size_of::<sys::rte_mbuf>());
    assert!(NB_SEGS.is_multiple_of(2) && NB_SEGS + 2 <= size_of::<sys::rte_mbuf>());
    assert!(DATA_LEN.is_multiple_of(2) && DATA_LEN + 2 <= size_of::<sys::rte_mbuf>());
    assert!(BUF_LEN.is_multiple_of(2) && BUF_LEN + 2 <= size_of::<sys::rte_mbuf>());
};

/// A segment's fields. It is a plain pointer; whoever makes one answers for it being of a live segment.
#[derive(Clone, Copy)]
struct Segment(NonNull<sys::rte_mbuf>);

impl Segment {
    /// The field at `offset`, which must be one of the constants above, with a type of the field's width.
    #[inline(always)]
    fn field<T>(self, offset: usize) -> *mut T {
        // SAFETY: the offset is inside the structure (asserted above), which one allocation holds.
        unsafe { self.0.as_ptr().byte_add(offset).cast() }
    }

    /// Reads a field, as above.
    #[inline(always)]
    fn get<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the segment is live, and the field aligned and of this width (asserted above and in shim.c). Every
        // bit pattern is an integer or raw pointer.
        unsafe { self.field::<T>(offset).read() }
    }

    /// Writes a field. The caller has the packet to itself.
    #[inline(always)]
    fn set<T: Copy>(self, offset: usize, value: T) {
        // SAFETY: as for `get`, and who owns the packet alone may write to it.
        unsafe { self.field::<T>(offset).write(value) }
    }

    #[inline(always)]
    fn buffer(self) -> *mut u8 {
        self.get(BUF_ADDR)
    }

    #[inline(always)]
    fn data_off(self) -> u16 {
        self.get(DATA_OFF)
    }

    #[inline(always)]
    fn data_len(self) -> u16 {
        self.get(DATA_LEN)
    }

    /// Where the data begin: always within the buffer.
    #[inline(always)]
    fn data(self) -> *mut u8 {
        // SAFETY: data_off is within the buffer: drivers and the functions below keep it so.
        unsafe { self.buffer().add(usize::from(self.data_off())) }
    }

    #[inline(always)]
    fn tailroom(self) -> usize {
        usize::from(self.get::<u16>(BUF_LEN))
            .saturating_sub(usize::from(self.data_off()))
            .saturating_sub(usize::from(self.data_len()))
    }

    #[inline(always)]
    fn next(self) -> Option<Segment> {
        NonNull::new(self.get::<*mut sys::rte_mbuf>(NEXT)).map(Segment)
    }
}

impl Mbuf {
    /// # Safety
    ///
    /// `raw` is a packet that nobody else has, from a pool that outlives it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Mbuf {
        Mbuf { raw }
    }

    /// A packet of `pool` with these bytes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if all packets are in use, or the bytes do not fit one buffer.
    pub fn copy_from_slice(pool: &Mempool, bytes: &[u8]) -> Result<Mbuf, NoRoom> {
        pool.alloc_from_slice(bytes)
    }

    #[inline(always)]
    fn first(&self) -> Segment {
        Segment(self.raw)
    }

    /// The last segment. One without a second does not read the mbuf's second cache line.
    #[inline]
    fn last(&self) -> Segment {
        let mut last = self.first();
        if self.segments() > 1 {
            while let Some(next) = last.next() {
                last = next;
            }
        }
        last
    }

    /// Bytes of the whole packet.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a packet is not a collection; nobody asks whether it is empty"
    )]
    pub fn len(&self) -> usize {
        self.first().get::<u32>(PKT_LEN) as usize
    }

    /// Segments that the packet is in: 1 or more.
    #[inline]
    pub fn segments(&self) -> usize {
        usize::from(self.first().get::<u16>(NB_SEGS))
    }

    /// The first segment's bytes: the whole packet if [`segments`](Mbuf::segments) is 1.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let first = self.first();
        // SAFETY: data_len bytes from there are in the buffer, which the packet owns and `self` lends. Packet memory
        // was mapped by the system, so every byte has a value.
        unsafe { std::slice::from_raw_parts(first.data(), usize::from(first.data_len())) }
    }

    /// The first segment's bytes, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let first = self.first();
        // SAFETY: as for `data`; `&mut self` makes it the only way to these bytes: packets are never cloned here, and
        // drivers give up what they received.
        unsafe { std::slice::from_raw_parts_mut(first.data(), usize::from(first.data_len())) }
    }

    /// Bytes by which the packet can grow at the front.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.first().data_off())
    }

    /// Bytes by which the packet can grow at the end, in its last segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.last().tailroom()
    }

    /// Grows the packet by `n` bytes at the front, and gives those: whatever was in them before, so write them all.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if `n` is over the [`headroom`](Mbuf::headroom); the packet is as before.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> Result<&mut [u8], NoRoom> {
        let first = self.first();
        let offset = usize::from(first.data_off()).checked_sub(n).ok_or(NoRoom)?;
        let len = u16::try_from(usize::from(first.data_len()) + n).map_err(|_| NoRoom)?;
        first.set(DATA_OFF, offset as u16);
        first.set(DATA_LEN, len);
        first.set(PKT_LEN, first.get::<u32>(PKT_LEN).wrapping_add(n as u32));
        // SAFETY: the n bytes before the old start were headroom and are the packet's now; see `data_mut`.
        Ok(unsafe { std::slice::from_raw_parts_mut(first.data(), n) })
    }

    /// Takes `n` bytes off the front.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the first segment has fewer; the packet is as before.
    #[inline]
    pub fn trim_front(&mut self, n: usize) -> Result<(), NoRoom> {
        let first = self.first();
        let len = usize::from(first.data_len()).checked_sub(n).ok_or(NoRoom)?;
        first.set(DATA_LEN, len as u16);
        // n <= data_len, and the data end within a buffer of at most 65,535 bytes.
        first.set(DATA_OFF, first.data_off().wrapping_add(n as u16));
        first.set(PKT_LEN, first.get::<u32>(PKT_LEN).wrapping_sub(n as u32));
        Ok(())
    }

    /// Grows the packet by `n` bytes at the end, and gives those: whatever was in them before, so write them all.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if `n` is over the [`tailroom`](Mbuf::tailroom); the packet is as before.
    #[inline]
    pub fn append(&mut self, n: usize) -> Result<&mut [u8], NoRoom> {
        let (first, last) = (self.first(), self.last());
        if n > last.tailroom() {
            return Err(NoRoom);
        }
        let before = last.data_len();
        last.set(DATA_LEN, before + n as u16);
        first.set(PKT_LEN, first.get::<u32>(PKT_LEN).wrapping_add(n as u32));
        // SAFETY: the n bytes behind the old end were tailroom and are the packet's now; see `data_mut`.
        Ok(unsafe { std::slice::from_raw_parts_mut(last.data().add(usize::from(before)), n) })
    }

    /// Takes `n` bytes off the end, in the last segment.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the last segment has fewer; the packet is as before.
    #[inline]
    pub fn trim_back(&mut self, n: usize) -> Result<(), NoRoom> {
        let (first, last) = (self.first(), self.last());
        let len = usize::from(last.data_len()).checked_sub(n).ok_or(NoRoom)?;
        last.set(DATA_LEN, len as u16);
        first.set(PKT_LEN, first.get::<u32>(PKT_LEN).wrapping_sub(n as u32));
        Ok(())
    }

    /// Grows the packet at both ends, or at neither, and gives the first segment's bytes: with one segment, the
    /// whole packet.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if either end has none; the packet is as before.
    #[inline]
    pub fn grow(&mut self, front: usize, back: usize) -> Result<&mut [u8], NoRoom> {
        if self.segments() > 1 {
            if front > self.headroom() || back > self.tailroom() {
                return Err(NoRoom);
            }
            self.prepend(front)?;
            self.append(back)?;
            return Ok(self.data_mut());
        }
        // Each field once.
        let first = self.first();
        let offset = usize::from(first.data_off()).checked_sub(front).ok_or(NoRoom)?;
        if back > first.tailroom() {
            return Err(NoRoom);
        }
        // Within a buffer of at most 65,535 bytes.
        let len = (front + usize::from(first.data_len()) + back) as u16;
        first.set(DATA_OFF, offset as u16);
        first.set(DATA_LEN, len);
        first.set(PKT_LEN, u32::from(len));
        Ok(self.data_mut())
    }

    /// Brings the packet into one segment.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the first segment's buffer cannot hold all of it; the packet is as before.
    pub fn linearize(&mut self) -> Result<(), NoRoom> {
        // SAFETY: the packet is live and ours alone.
        if unsafe { sys::espalier_mbuf_linearize(self.raw.as_ptr()) } == 0 { Ok(()) } else { Err(NoRoom) }
    }

    /// The bytes of each segment, in order.
    pub fn segment_slices(&self) -> Segments<'_> {
        Segments { next: Some(self.first()), _packet: PhantomData }
    }

    /// The bytes of each segment, in order, to change.
    pub fn segment_slices_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let mut next = Some(self.first());
        std::iter::from_fn(move || {
            let segment = next?;
            next = segment.next();
            // SAFETY: as for `data_mut`; no segment comes twice.
            Some(unsafe { std::slice::from_raw_parts_mut(segment.data(), usize::from(segment.data_len())) })
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mbuf {
        self.raw.as_ptr()
    }

    /// Asks the CPU to fetch the first bytes of the packet, which it will soon read.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_line(self.first().data());
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the packet is live and ours alone, and goes with this.
        unsafe { sys::espalier_mbuf_free(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("len", &self.len()).field("segments", &self.segments()).finish()
    }
}

/// The bytes of each segment of a packet. See [`Mbuf::segment_slices`].
pub struct Segments<'a> {
    next: Option<Segment>,
    _packet: PhantomData<&'a Mbuf>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let segment = self.next?;
        self.next = segment.next();
        // SAFETY: as for `Mbuf::data`: the packet is lent for 'a.
        Some(unsafe { std::slice::from_raw_parts(segment.data(), usize::from(segment.data_len())) })
    }
}
