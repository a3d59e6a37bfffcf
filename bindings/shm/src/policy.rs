//! Policy segments: a compiled policy, or a change of one, with the labels of its rules and what they were before, immutable
//! from the moment that it is offered.

use crate::layout::{HEADER_BYTES, LABEL_BYTES, MAGIC, MAX_POLICY_BYTES, MAX_RULES, MOST_NUMBERS, VERSION};
use crate::memory::Mapping;
use crate::segment::{Kind, SegmentError, file_name, sealed_size};
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

/// Words of the header: magic, version, kind, offset and length of the image, offset and number of the labels, offset and
/// number of the origins, number of the first rule that they are of.
const HEADER_WORDS: usize = 10;
/// Bytes of an origin.
const ORIGIN_BYTES: usize = 4;
/// The origin of a rule that is new.
const NEW: u32 = u32::MAX;

/// Where the parts are, checked against the size of the whole.
#[derive(Clone, Copy, Debug)]
struct Parts {
    image: (usize, usize),
    labels: (usize, usize),
    origins: (usize, usize),
    first: u32,
}

/// The image begins on a page, and so on a cache line, as whoever compiled it wants it.
const _: () = assert!(HEADER_BYTES.is_multiple_of(crate::layout::CACHE_LINE));

impl Parts {
    /// Image behind the header, labels behind the image, on a cache line each, and origins behind the labels: as many, or
    /// none.
    fn plan(image: usize, first: u32, labels: usize, origins: usize) -> Option<(Parts, usize)> {
        let labels_at = HEADER_BYTES.checked_add(image)?.checked_next_multiple_of(64)?;
        let origins_at = labels_at.checked_add(labels.checked_mul(LABEL_BYTES)?)?;
        let len = origins_at.checked_add(origins.checked_mul(ORIGIN_BYTES)?)?;
        let parts = Parts {
            image: (HEADER_BYTES, image),
            labels: (labels_at, labels),
            origins: (origins_at, origins),
            first,
        };
        let fits = len as u64 <= MAX_POLICY_BYTES && labels <= MOST_NUMBERS as usize && first <= MAX_RULES;
        (fits && [0, labels].contains(&origins)).then_some((parts, len))
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
            n(self.origins.0),
            n(self.origins.1),
            u64::from(self.first),
        ]
    }

    fn read(bytes: &[u8]) -> Result<Parts, SegmentError> {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk));
        let mut next = || words.next().ok_or(SegmentError::Size);
        if next()? != MAGIC || next()? != u64::from(VERSION) || next()? != Kind::Policy as u64 {
            return Err(SegmentError::NotOurs);
        }
        let numbers = [next()?, next()?, next()?, next()?, next()?, next()?];
        let [image_at, image, labels_at, labels, origins_at, origins] =
            numbers.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let first = u32::try_from(next()?).unwrap_or(u32::MAX);
        let planned = Parts::plan(image, first, labels, origins).filter(|(parts, len)| {
            *len == bytes.len()
                && [parts.image.0, parts.labels.0, parts.origins.0] == [image_at, labels_at, origins_at]
        });
        planned.map(|(parts, _)| parts).ok_or(SegmentError::Size)
    }
}

/// A policy segment made by the control plane, to be offered. It cannot be changed any more, by anybody.
#[derive(Debug)]
pub struct PolicySegment {
    fd: OwnedFd,
}

impl PolicySegment {
    /// Makes a segment of a compiled policy and one label for each of its rules, in their order.
    ///
    /// With `origins`, one for each label, the rule goes on with the hit counter that had that number in the policy that was on
    /// the port before; `None` begins at zero.
    ///
    /// An error of kind `InvalidInput` says that they are too large, beyond [`MAX_POLICY_BYTES`] or [`MAX_RULES`], or not as
    /// many origins as labels.
    pub fn build(
        image: &[u8],
        labels: &[Label],
        origins: Option<&[Option<u32>]>,
    ) -> io::Result<PolicySegment> {
        PolicySegment::build_change(image, 0, labels, origins)
    }

    /// The same of a compiled change, whose rules continue the numbers of the policy that it lies over. The labels and origins
    /// are those of all numbers from `first` on that were given, be their rules still there or not; and where the change
    /// gives rules of the policy other labels, of these, too.
    pub fn build_change(
        image: &[u8],
        first: u32,
        labels: &[Label],
        origins: Option<&[Option<u32>]>,
    ) -> io::Result<PolicySegment> {
        let too_large =
            || io::Error::new(io::ErrorKind::InvalidInput, "the policy is too large; use fewer rules");
        let count = origins.map_or(0, <[_]>::len);
        let (parts, len) = Parts::plan(image.len(), first, labels.len(), count).ok_or_else(too_large)?;
        let fd = memfd_create(file_name::POLICY, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
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
        let origins = origins.unwrap_or_default().iter();
        let origins: Vec<u8> = origins.flat_map(|origin| origin.unwrap_or(NEW).to_ne_bytes()).collect();
        file.write_all_at(&origins, parts.origins.0 as u64)?;
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
        if image.origins().flatten().any(|origin| origin >= MOST_NUMBERS) {
            return Err(SegmentError::Origin);
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

    /// The label of the rule of this number, if the segment has it.
    pub fn label(&self, number: u32) -> Option<Label> {
        let place = number.checked_sub(self.first())?;
        self.label_fields().get(place as usize).and_then(|field| Label::from_padded(field).ok())
    }

    /// The number of the first rule that labels and origins are of.
    pub fn first(&self) -> u32 {
        self.inner.parts.first
    }

    /// Labels are of numbers below.
    pub fn numbers(&self) -> u32 {
        // Neither is above what 32 bits hold.
        self.first().saturating_add(self.inner.parts.labels.1 as u32)
    }

    /// Of each rule that there is a label for, the number that it had in the policy before; nothing where the segment does not
    /// say.
    pub fn origins(&self) -> impl ExactSizeIterator<Item = Option<u32>> + '_ {
        let (offset, count) = self.inner.parts.origins;
        let fields = self.part(offset, count * ORIGIN_BYTES).as_chunks::<ORIGIN_BYTES>().0;
        fields.iter().map(|field| Some(u32::from_ne_bytes(*field)).filter(|&origin| origin != NEW))
    }

    /// The labels, in the order of the numbers.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = Label> + '_ {
        // `open` saw that each is a label.
        self.label_fields().iter().map(|field| Label::from_padded(field).unwrap_or_default())
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
///
/// These are small pages, unless the machine's `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says `always`: of an image
/// of many MiB (some ten thousand rules), look-ups that go all over it then miss the TLB at nearly every block.
impl AsRef<[u8]> for PolicyImage {
    fn as_ref(&self) -> &[u8] {
        let (offset, len) = self.inner.parts.image;
        self.part(offset, len)
    }
}

/// Whether two policies are the same, byte for byte, labels included; what was before them may differ.
impl PartialEq for PolicyImage {
    fn eq(&self, other: &PolicyImage) -> bool {
        self.as_ref() == other.as_ref()
            && self.first() == other.first()
            && self.label_fields() == other.label_fields()
    }
}

impl Eq for PolicyImage {}

impl fmt::Debug for PolicyImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyImage")
            .field("segment", &self.segment())
            .field("numbers", &(self.first()..self.numbers()))
            .field("bytes", &self.as_ref().len())
            .finish()
    }
}
