//! Sizes and limits that both planes agree on. Changing anything here, or a `repr(C)` type of this crate,
//! means a new [`VERSION`].

/// Version of every layout in this crate. Both ends must have the same one; there is no negotiation, as both
/// planes are built and installed together.
pub const VERSION: u32 = 7;

/// First eight bytes of every segment ("espalier", read as a big-endian number).
pub const MAGIC: u64 = u64::from_be_bytes(*b"espalier");

/// Bytes that a cache line has, and that what different threads write is kept apart by.
pub const CACHE_LINE: usize = 64;

/// Bytes before the contents of a segment; a whole page, so that contents are aligned to one.
pub const HEADER_BYTES: usize = 4096;

/// Messages that each ring has room for; a power of two.
pub const RING_SLOTS: usize = 1024;
/// Bytes of one message in a ring.
pub const SLOT_BYTES: usize = 256;
/// 64-bit words of one message in a ring.
pub const SLOT_WORDS: usize = SLOT_BYTES / 8;
/// Free slots of the event ring that only acknowledgements may take.
pub const ACK_RESERVE: usize = 64;
/// Messages of one transaction, the commit included.
pub const MAX_TRANSACTION: usize = 1 << 20;

/// Ports of one data plane; a [`PortId`](crate::PortId) is below.
pub const MAX_PORTS: usize = 32;
/// Workers of one data plane.
pub const MAX_WORKERS: usize = 64;
/// Bytes of a DPDK device string.
pub const DEVICE_BYTES: usize = 160;
/// Bytes of an interface name, as in Linux (`IFNAMSIZ` less its zero).
pub const NAME_BYTES: usize = 15;
/// Bytes of a rule's label.
pub const LABEL_BYTES: usize = 32;

/// SAs that a data plane has room for unless told otherwise.
pub const DEFAULT_SA_CAPACITY: u32 = 131_072;
/// SAs that a data plane can have room for at most.
pub const MAX_SA_CAPACITY: u32 = 1 << 20;
/// Traffic selectors of one SA.
pub const MAX_SELECTORS: usize = 64;
/// Packets of the widest replay window.
pub const MAX_REPLAY_WINDOW: u32 = 1 << 16;
/// Packets of the replay window unless told otherwise.
pub const DEFAULT_REPLAY_WINDOW: u32 = 4096;
/// Rules that a policy may be given by changes, before its hit counters need a larger segment.
pub const SPARE_RULES: u32 = 4096;
/// Rules that hit counters can have room for: those of the largest policy, of the largest change of one, and spare ones.
pub const MOST_NUMBERS: u32 = 2 * MAX_RULES + SPARE_RULES;
/// Policy entries: the number in `Protect(entry)` is below.
pub const MAX_ENTRIES: u32 = 1 << 20;
/// Next hops: the number of one is below.
pub const MAX_NEXT_HOPS: u32 = 1 << 20;
/// Policy images that the data plane holds for a control plane that has offered but not yet used them.
pub const MAX_PENDING_IMAGES: usize = 64;
/// Bytes of the largest policy segment.
pub const MAX_POLICY_BYTES: u64 = 1 << 32;
/// Rules of the largest policy.
pub const MAX_RULES: u32 = 1 << 20;

/// Drop reasons that the counters have room for.
pub const DROP_ROOM: usize = 96;
/// Stages that the counters have room for.
pub const STAGE_ROOM: usize = 16;
