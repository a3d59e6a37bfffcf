//! Policy segments: a compiled policy with the labels of its rules, immutable from the moment that it is offered; and the
//! hit counters of a policy in use.

use crate::counters::Counter;
use crate::layout::{HEADER_BYTES, LABEL_BYTES, MAGIC, MAX_POLICY_BYTES, MAX_RULES, MAX_WORKERS, VERSION};
use crate::memory::{Mapping, Overlaid};
use crate::segment::{Kind, Segment, SegmentError, Writers, sealed_size};
use crate::text::Label;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Nobody can change a byte, not even the maker.
const IMMUTABLE: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// Words of the header: magic, version, kind, offset and length of the image, offset and number of the labels.
const HEADER_WORDS: usize = 7;

/// Where the parts are, checked against the size of the whole.
#[derive(Clone, Copy, Debug)]
struct Parts {
    image: (usize, usize),
    labels: (usize, usize),
}

impl Parts {
    /// Image behind the header, labels behind the image, on a cache line each.
    fn plan(image: usize, labels: usize) -> Option<(Parts, usize)> {
        let labels_at = HEADER_BYTES.checked_add(image)?.checked_next_multiple_of(64)?;
        let len = labels_at.checked_add(labels.checked_mul(LABEL_BYTES)?)?;
        let parts = Parts { image: (HEADER_BYTES, image), labels: (labels_at, labels) };
        (len as u64 <= MAX_POLICY_BYTES && labels <= MAX_RULES as usize).then_some((parts, len))
    }

    fn header(&self) -> [u64; HEADER_WORDS] {
        let n = |value: usize| value as u64;
        [
            MAGIC,
            u64::from(VERSION),
            Kind::Policy as u64,
            n(self.image.0),
            n(self.image.1),
            n(self.labels.0),
            n(self.labels.1),
        ]
    }

    fn read(bytes: &[u8]) -> Result<Parts, SegmentError> {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk));
        let mut next = || words.next().ok_or(SegmentError::Size);
        if next()? != MAGIC || next()? != u64::from(VERSION) || next()? != Kind::Policy as u64 {
            return Err(SegmentError::NotOurs);
        }
        let numbers = [next()?, next()?, next()?, next()?];
        let [image_at, image, labels_at, labels] =
            numbers.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        match Parts::plan(image, labels) {
            Some((parts, len))
                if len == bytes.len() && parts.image.0 == image_at && parts.labels.0 == labels_at =>
            {
                Ok(parts)
            }
            _ => Err(SegmentError::Size),
        }
    }
}

/// A policy segment made by the control plane, to be offered. It cannot be changed any more, by anybody.
#[derive(Debug)]
pub struct PolicySegment {
    fd: OwnedFd,
}

impl PolicySegment {
    /// Makes a segment of a compiled image and one label for each of its rules, in their order.
    ///
    /// An error of kind `InvalidInput` says that they are too large: beyond [`MAX_POLICY_BYTES`] or [`MAX_RULES`].
    pub fn build(image: &[u8], labels: &[Label]) -> io::Result<PolicySegment> {
        let too_large =
            || io::Error::new(io::ErrorKind::InvalidInput, "the policy is too large; use fewer rules");
        let (parts, len) = Parts::plan(image.len(), labels.len()).ok_or_else(too_large)?;
        let fd = memfd_create("espalier-policy", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        let mut head = vec![0; HEADER_BYTES];
        for (chunk, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(parts.header()) {
            *chunk = word.to_ne_bytes();
        }
        let file = std::fs::File::from(fd);
        file.write_all_at(&head, 0)?;
        file.write_all_at(image, parts.image.0 as u64)?;
        let labels: Vec<u8> = labels.iter().flat_map(|label| *label.padded()).collect();
        file.write_all_at(&labels, parts.labels.0 as u64)?;
        fcntl_add_seals(&file, IMMUTABLE)?;
        Ok(PolicySegment { fd: file.into() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A policy segment that was received: sealed, checked, mapped. Cheap to clone; the bytes stay where they are.
#[derive(Clone)]
pub struct PolicyImage {
    inner: Arc<Inner>,
}

struct Inner {
    fd: OwnedFd,
    mapping: Mapping,
    parts: Parts,
    segment: u32,
}

impl PolicyImage {
    /// Takes a file that claims to be a policy segment.
    pub(crate) fn open(fd: OwnedFd, segment: u32) -> Result<PolicyImage, SegmentError> {
        let len = sealed_size(fd.as_fd(), IMMUTABLE)?;
        if len as u64 > MAX_POLICY_BYTES {
            return Err(SegmentError::Size);
        }
        // A file with holes would take its memory from us when it is read.
        let stat = fstat(&fd)?;
        if (stat.st_blocks as u64).saturating_mul(512) < len as u64 {
            return Err(SegmentError::Size);
        }
        let mapping = Mapping::new(fd.as_fd(), len, false)?;
        // SAFETY: the file has `IMMUTABLE`'s seals, checked above, which cannot be taken off.
        let bytes = unsafe { mapping.immutable_bytes() };
        let parts = Parts::read(bytes)?;
        let image = PolicyImage { inner: Arc::new(Inner { fd, mapping, parts, segment }) };
        for field in image.label_fields() {
            Label::from_padded(field).map_err(|_| SegmentError::Label)?;
        }
        Ok(image)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `open` checked the seals of the file that is mapped.
        unsafe { self.inner.mapping.immutable_bytes() }
    }

    fn part(&self, offset: usize, len: usize) -> &[u8] {
        // `Parts::read` saw that every part is inside.
        offset.checked_add(len).and_then(|end| self.bytes().get(offset..end)).unwrap_or_default()
    }

    fn label_fields(&self) -> &[[u8; LABEL_BYTES]] {
        let (offset, count) = self.inner.parts.labels;
        self.part(offset, count * LABEL_BYTES).as_chunks().0
    }

    /// One label for each rule.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = Label> + '_ {
        // `open` saw that each is a label.
        self.label_fields().iter().map(|field| Label::from_padded(field).unwrap_or_default())
    }

    /// Number of rules.
    pub fn rules(&self) -> u32 {
        self.inner.parts.labels.1 as u32
    }

    /// The number under which it was offered.
    pub fn segment(&self) -> u32 {
        self.inner.segment
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

/// The compiled image, without header and labels. It begins on a page.
impl AsRef<[u8]> for PolicyImage {
    fn as_ref(&self) -> &[u8] {
        let (offset, len) = self.inner.parts.image;
        self.part(offset, len)
    }
}

/// Whether two policies are the same, byte for byte, labels included.
impl PartialEq for PolicyImage {
    fn eq(&self, other: &PolicyImage) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for PolicyImage {}

impl fmt::Debug for PolicyImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyImage")
            .field("segment", &self.segment())
            .field("rules", &self.rules())
            .field("bytes", &self.as_ref().len())
            .finish()
    }
}

/// Rows of hit counters: one for each worker, which alone writes it; each on cache lines of its own.
#[derive(Clone, Copy, Debug)]
struct Rows {
    workers: usize,
    rules: usize,
    stride: usize,
}

impl Rows {
    fn new(workers: u64, rules: u64) -> Option<(Rows, usize)> {
        let workers = usize::try_from(workers).ok().filter(|n| (1..=MAX_WORKERS).contains(n))?;
        let rules = usize::try_from(rules).ok().filter(|&n| n <= MAX_RULES as usize)?;
        let stride = rules.next_multiple_of(8);
        Some((Rows { workers, rules, stride }, HEADER_BYTES + workers * stride * 8))
    }

    fn place(&self, worker: usize, rule: u32) -> Option<usize> {
        let rule = rule as usize;
        (worker < self.workers && rule < self.rules).then_some(worker * self.stride + rule)
    }
}

/// How many packets met each rule of a policy in use.
#[derive(Debug)]
pub struct Hits {
    rows: Rows,
    cells: Overlaid<Counter>,
    fd: OwnedFd,
}

impl Hits {
    /// All zero.
    pub(crate) fn create(workers: usize, rules: u32) -> io::Result<Hits> {
        let (rows, len) = Rows::new(workers as u64, u64::from(rules)).ok_or(io::ErrorKind::InvalidInput)?;
        let parameters = [workers as u64, u64::from(rules), 0, 0, 0];
        let Segment { fd, mapping } = Segment::create(Kind::Hits, parameters, len, Writers::Maker)?;
        let cells = Overlaid::new(&mapping, HEADER_BYTES, rows.workers * rows.stride);
        Ok(Hits { rows, cells: cells.ok_or(io::ErrorKind::InvalidInput)?, fd })
    }

    /// Counts packets that met a rule. Each worker has its own row, which no other thread may write. What is beyond the
    /// rows is not counted.
    #[inline]
    pub fn add(&self, worker: usize, rule: u32, packets: u64) {
        if let Some(cell) = self.rows.place(worker, rule).and_then(|place| self.cells.get(place)) {
            cell.add(packets);
        }
    }

    /// Packets that met a rule, of all workers.
    pub fn get(&self, rule: u32) -> u64 {
        sum(&self.rows, &self.cells, rule)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The same, read-only.
#[derive(Debug)]
pub(crate) struct HitsView {
    rows: Rows,
    cells: Overlaid<Counter>,
}

impl HitsView {
    pub(crate) fn open(fd: OwnedFd) -> Result<HitsView, SegmentError> {
        let rows = |parameters: [u64; 5]| match parameters {
            [workers, rules, 0, 0, 0] => Rows::new(workers, rules),
            _ => None,
        };
        let (Segment { mapping, .. }, parameters) =
            Segment::open(fd, Kind::Hits, false, |parameters| rows(parameters).map(|(_, len)| len))?;
        let (rows, _) = rows(parameters).ok_or(SegmentError::Size)?;
        let cells = Overlaid::new(&mapping, HEADER_BYTES, rows.workers * rows.stride);
        Ok(HitsView { rows, cells: cells.ok_or(SegmentError::Size)? })
    }

    pub(crate) fn get(&self, rule: u32) -> u64 {
        sum(&self.rows, &self.cells, rule)
    }
}

fn sum(rows: &Rows, cells: &[Counter], rule: u32) -> u64 {
    (0..rows.workers)
        .filter_map(|worker| cells.get(rows.place(worker, rule)?))
        .fold(0, |sum, cell| sum.wrapping_add(cell.get()))
}
