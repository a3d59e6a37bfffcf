//! Fragments that wait for the others of their packet (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! One place for all workers. A card that spreads packets by their ports sends the first fragment of a datagram one way and
//! those behind it, which have none, another; and nothing else is sure to bring them together. It is cut into shards, each
//! behind a lock of its own: fragments are rare, a lock that nobody else holds costs little, and what is done under it is
//! bounded and short (packets are put together outside).
//!
//! Bounded: so many fragments in all, the oldest datagram goes when there is no room; so many of a datagram; and so long.

use crate::burst::Meta;
use dpdk::Mbuf;
use packet::Ecn;
use packet::fragment::{Assembly, Identity, MOST, Misfit, Part};
use shm::{DropReason, WorkerCounters};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 4;
/// How long a datagram may take, in milliseconds, from its first fragment on; below the 60 s of RFC 8200, as what ESP
/// comes late is not in the replay window any more.
const PATIENCE_MS: u64 = 10_000;

/// A fragment.
pub(crate) struct Fragment {
    pub(crate) part: Part,
    pub(crate) mbuf: Mbuf,
    pub(crate) meta: Meta,
}

/// All fragments of a packet, and where its payload ends.
pub(crate) struct Complete {
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) end: usize,
    pub(crate) ecn: Ecn,
}

struct Datagram {
    identity: Identity,
    /// When its first fragment came, in TSC clocks.
    began: u64,
    assembly: Assembly,
    fragments: Vec<Fragment>,
    /// Fragments of it overlapped: none of it is believed, nor what is still to come (RFC 5722, section 4).
    refused: bool,
}

#[derive(Default)]
struct Shard {
    /// Oldest first.
    datagrams: VecDeque<Datagram>,
    fragments: usize,
}

/// All places. What waits in one takes no room from the others, and fragments of different origin never make up a packet.
pub(crate) struct Aside {
    /// What came to us.
    pub(crate) to_us: Reassembly,
    /// What a policy wants to see with the others of its packet: on its way through, and out of our own Linux.
    pub(crate) transit: Reassembly,
    pub(crate) ours: Reassembly,
}

impl Aside {
    /// For at most `room` fragments in each place; `tsc_hz`: clocks of a second.
    pub(crate) fn new(room: usize, tsc_hz: u64) -> Aside {
        let place = |room| Reassembly::new(room, tsc_hz);
        Aside { to_us: place(room), transit: place(room), ours: place(room / 8) }
    }

    /// Lets go of what has waited too long. Cheap where nothing waits.
    pub(crate) fn sweep(&self, now: u64, counters: &WorkerCounters) {
        for place in [&self.to_us, &self.transit, &self.ours] {
            place.sweep(now, counters);
        }
    }
}

/// One place.
pub(crate) struct Reassembly {
    shards: [Mutex<Shard>; SHARDS],
    /// Datagrams that are there, refused ones included; a hint for who passes by.
    datagrams: AtomicUsize,
    /// Fragments, and datagrams, that a shard has room for.
    room: usize,
    patience: u64,
    hasher: RandomState,
}

impl Reassembly {
    fn new(room: usize, tsc_hz: u64) -> Reassembly {
        Reassembly {
            shards: std::array::from_fn(|_| Mutex::default()),
            datagrams: AtomicUsize::new(0),
            // No single datagram can fill one.
            room: room.div_ceil(SHARDS).max(2 * MOST),
            patience: tsc_hz / 1000 * PATIENCE_MS,
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, identity: &Identity) -> MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(identity) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fragment to the others of its packet, and gives them all back if it was the last that lacked. `now` in TSC
    /// clocks.
    pub(crate) fn add(&self, fragment: Fragment, now: u64, counters: &WorkerCounters) -> Option<Complete> {
        let mut shard = self.shard(&fragment.part.identity);
        self.expire(&mut shard, now, counters);
        let identity = fragment.part.identity;
        let known = shard.datagrams.iter().position(|datagram| datagram.identity == identity);
        if known.is_none() && shard.datagrams.len() >= self.room || shard.fragments >= self.room {
            let oldest = shard.datagrams.iter().position(|datagram| datagram.identity != identity);
            match oldest.and_then(|oldest| shard.datagrams.remove(oldest)) {
                Some(oldest) => self.let_go(&mut shard, oldest, DropReason::FragmentsFull, counters),
                None => {
                    counters.drop(DropReason::FragmentsFull, 1);
                    return None;
                }
            }
        }
        let known = shard.datagrams.iter().position(|datagram| datagram.identity == identity);
        let place = known.unwrap_or_else(|| {
            self.datagrams.fetch_add(1, Ordering::Relaxed);
            let (assembly, fragments) = (Assembly::default(), Vec::new());
            shard.datagrams.push_back(Datagram { identity, began: now, assembly, fragments, refused: false });
            shard.datagrams.len() - 1
        });
        let Shard { datagrams, fragments } = &mut *shard;
        let datagram = datagrams.get_mut(place)?;
        if datagram.refused {
            counters.drop(DropReason::FragmentOverlap, 1);
            return None;
        }
        let refused = match datagram.assembly.add(&fragment.part) {
            Ok(end) => {
                counters.stored.add(1);
                *fragments += 1;
                datagram.fragments.push(fragment);
                let end = end?;
                let datagram = datagrams.remove(place)?;
                *fragments -= datagram.fragments.len();
                self.datagrams.fetch_sub(1, Ordering::Relaxed);
                counters.released.add(datagram.fragments.len() as u64);
                return complete(datagram.fragments, end, counters);
            }
            // A copy that the network made is no attack.
            Err(Misfit::Again) if is_copy(&datagram.fragments, &fragment) => {
                counters.drop(DropReason::FragmentAgain, 1);
                return None;
            }
            Err(Misfit::Malformed) => {
                counters.drop(DropReason::IpFragment, 1);
                return None;
            }
            Err(Misfit::Many) => DropReason::FragmentsMany,
            Err(Misfit::Again | Misfit::Overlap) => DropReason::FragmentOverlap,
        };
        let lost = std::mem::take(&mut datagram.fragments);
        datagram.refused = true;
        *fragments -= lost.len();
        counters.released.add(lost.len() as u64);
        counters.drop(refused, lost.len() as u64 + 1);
        None
    }

    fn sweep(&self, now: u64, counters: &WorkerCounters) {
        if self.datagrams.load(Ordering::Relaxed) == 0 {
            return;
        }
        for shard in &self.shards {
            self.expire(&mut shard.lock().unwrap_or_else(PoisonError::into_inner), now, counters);
        }
    }

    fn expire(&self, shard: &mut Shard, now: u64, counters: &WorkerCounters) {
        let late = |datagram: &Datagram| now.wrapping_sub(datagram.began) as i64 > self.patience as i64;
        while shard.datagrams.front().is_some_and(late)
            && let Some(datagram) = shard.datagrams.pop_front()
        {
            self.let_go(shard, datagram, DropReason::FragmentTimeout, counters);
        }
    }

    fn let_go(&self, shard: &mut Shard, datagram: Datagram, reason: DropReason, counters: &WorkerCounters) {
        let count = datagram.fragments.len();
        shard.fragments -= count;
        self.datagrams.fetch_sub(1, Ordering::Relaxed);
        counters.released.add(count as u64);
        counters.drop(reason, count as u64);
    }
}

fn is_copy(fragments: &[Fragment], new: &Fragment) -> bool {
    let bytes =
        |fragment: &Fragment| fragment.mbuf.data().get(fragment.part.payload.clone()).map(<[u8]>::to_vec);
    let old = fragments.iter().find(|old| old.part.offset == new.part.offset);
    old.is_some_and(|old| bytes(old) == bytes(new))
}

/// Joins what the fragments say of congestion (RFC 3168, section 5.3): one that met some speaks for all, but where another
/// says that the sender does not know of such things, there is none to believe.
/// And what would be longer than any packet can be is none: each fragment alone knows only where its payload ends.
fn complete(fragments: Vec<Fragment>, end: usize, counters: &WorkerCounters) -> Option<Complete> {
    let first = fragments.iter().find(|fragment| fragment.part.offset == 0)?;
    if first.part.whole_len(end).is_none() {
        counters.drop(DropReason::IpFragment, fragments.len() as u64);
        return None;
    }
    let says = |ecn: Ecn| fragments.iter().any(|fragment| fragment.part.ecn == ecn);
    let ecn = match (says(Ecn::Ce), says(Ecn::NotEct)) {
        (true, true) => {
            counters.drop(DropReason::IpFragment, fragments.len() as u64);
            return None;
        }
        (true, false) => Ecn::Ce,
        _ => first.part.ecn,
    };
    Some(Complete { fragments, end, ecn })
}
