//! Packets of few blocks, four abreast: one in each lane of a vector.
//!
//! What a short packet costs is less its AES than all that is around it: the tag's mask, the additional data, the lengths,
//! the reduction, the tag. Here four packets, whose texts have equally many blocks, share the instructions of all that.
//! Vectors of text are turned, so that the blocks of one place in all four make one vector, and turned back.
//!
//! Each of the four may have a key of its own: round keys and powers are brought into their lanes first. While four are
//! encrypted, the four before them are hashed. Where there are fewer than four left, copies of one stand in for the
//! others, whose text and tag nobody will see.
//!
//! Lanes are gone through by [`each`] and never gathered in structures: what was written to memory by small parts stalls
//! whoever reads it as one.

#![expect(clippy::needless_range_loop, reason = "several arrays go by the same place")]

mod keys;

pub(super) use keys::Keys;

use super::ghash::Sum;
use super::schedule::Schedule;
use super::v512::V512;
use super::vector::{COUNTERS, Vector, block};
use super::{copy_tag, is_tag};
use crate::TAG_LEN;
use crate::batch::{BURST, Job};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Blocks of a text at most.
pub(super) const MOST: usize = 8;

/// Four jobs of a class.
type Four<'a> = [*mut Job<'a>; 4];

/// What that makes of each lane.
#[inline(always)]
fn each<T>(of: impl Fn(usize) -> T) -> [T; 4] {
    [of(0), of(1), of(2), of(3)]
}

/// Packets of N blocks that are encrypted, or decrypted, and not yet hashed.
struct Pending<const N: usize> {
    aad: V512,
    blocks: [V512; N],
    /// Turned over already.
    lengths: V512,
    /// What masks the tags.
    mask: V512,
}

impl<const N: usize> Pending<N> {
    /// What is hashed first, second, ...: N + 2 of them, the last of which takes the first power.
    ///
    /// # Safety
    /// The processor has V512's instructions.
    #[inline(always)]
    unsafe fn hashed(&self, at: usize) -> V512 {
        // SAFETY: as the caller says.
        unsafe {
            match at {
                0 => self.aad.reverse(),
                _ if at <= N => self.blocks[at - 1].reverse(),
                _ => self.lengths,
            }
        }
    }

    /// # Safety
    /// The processor has V512's instructions.
    #[inline(always)]
    unsafe fn tags(&self, sum: Sum<V512>) -> V512 {
        // SAFETY: as the caller says.
        unsafe { sum.reduce().reverse().xor(self.mask) }
    }
}

/// Seals or opens the jobs of `mask`, and says which failed. `whole`: all their ICVs are whole tags.
///
/// # Safety
/// The jobs of the mask, one at least, have texts of N blocks, which lie in their packets with their ICVs; their keys are
/// ours, and have equally many rounds. `S` is N + 1, `P` is N + 2. The processor has V512's instructions.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
pub(super) unsafe fn all<const N: usize, const S: usize, const P: usize, const SEAL: bool>(
    jobs: &mut [Job<'_>],
    mut mask: u64,
    whole: bool,
    keys: &mut [Keys; 2],
) -> u64 {
    const { assert!(N <= MOST && S == N + 1 && P == N + 2) };
    let jobs = std::ptr::from_mut(jobs);
    let mut stand_in = StandIn { made: false, text: MaybeUninit::uninit(), job: MaybeUninit::uninit() };
    let mut failed = 0;
    // SAFETY: as the caller says; the keys of four packets are there until the next but one are brought.
    unsafe {
        let mut four = pick(jobs, &mut mask, &mut stand_in);
        // Whatever was brought for another class may have had fewer powers.
        let mut now = 0;
        keys[now].bring::<P>(schedules(&four));
        let zero = V512::zero();
        let nothing = Pending::<N> { aad: zero, blocks: [zero; N], lengths: zero, mask: zero };
        let (mut pending, _) = step::<N, S, SEAL, false>(&four, &keys[now], &nothing, &keys[now]);
        while mask != 0 {
            let (before, then) = (four, now);
            four = pick(jobs, &mut mask, &mut stand_in);
            now = bring::<P>(now, &four, keys);
            let (next, tags) = step::<N, S, SEAL, true>(&four, &keys[now & 1], &pending, &keys[then & 1]);
            pending = next;
            failed |= settle::<SEAL>(&before, tags, whole, jobs);
        }
        let mut sum = Sum::zero();
        for at in 0..P {
            sum.add(pending.hashed(at), keys[now & 1].power(P - at));
        }
        failed |= settle::<SEAL>(&four, pending.tags(sum), whole, jobs);
        if stand_in.made {
            stand_in.wipe();
        }
        failed
    }
}

/// Vectors that have room for a text of [`MOST`] blocks and its tag.
const OWN: usize = (16 * MOST + TAG_LEN).div_ceil(64);

/// What stands in for a packet.
struct StandIn<'a> {
    /// Text and job are written.
    made: bool,
    text: MaybeUninit<[V512; OWN]>,
    job: MaybeUninit<Job<'a>>,
}

/// The next four of the mask.
///
/// # Safety
/// The mask has one; its jobs are there.
#[inline(always)]
unsafe fn pick<'a>(jobs: *mut [Job<'a>], mask: &mut u64, stand_in: &mut StandIn<'a>) -> Four<'a> {
    let jobs = jobs.cast::<Job<'a>>();
    let mut next = || {
        let job = jobs.wrapping_add(mask.trailing_zeros() as usize);
        let there = *mask != 0;
        *mask &= mask.wrapping_sub(1);
        there.then_some(job)
    };
    let first = next().unwrap_or(jobs);
    let mut four = [first; 4];
    for lane in 1..4 {
        // SAFETY: the first is there.
        four[lane] = next().unwrap_or_else(|| unsafe { stand_in.of(first) });
    }
    four
}

impl<'a> StandIn<'a> {
    /// A job like that one, with a text and a packet of its own.
    ///
    /// # Safety
    /// The job is there, and its text has no more than [`MOST`] blocks. The processor has V512's instructions.
    #[inline(always)]
    unsafe fn of(&mut self, job: *mut Job<'a>) -> *mut Job<'a> {
        // SAFETY: the text's place is ours, and stays where it is as long as the job does; nothing of it is uninitialised.
        unsafe {
            let Job { key, nonce, aad, ref text, icv, .. } = *job;
            let len = text.end - text.start;
            self.made = true;
            let own = self.text.write([V512::zero(); OWN]);
            let packet = std::slice::from_raw_parts_mut(own.as_mut_ptr().cast(), size_of_val(own));
            self.job.write(Job { key, packet, text: 0..len, nonce, aad, icv })
        }
    }

    /// Wipes the text, which is a key stream that a packet has, too.
    ///
    /// # Safety
    /// It is written, and the job is not used any more. The processor has V512's instructions.
    #[inline(always)]
    unsafe fn wipe(&mut self) {
        for part in 0..OWN {
            // SAFETY: the place is ours, and the caller has V512's instructions. Volatile, as nobody reads it any more.
            unsafe { self.text.as_mut_ptr().cast::<V512>().add(part).write_volatile(V512::zero()) };
        }
    }
}

/// Has the jobs' keys brought, if they are not those that are in use `now`. Which are then.
///
/// # Safety
/// As for [`Keys::bring`].
#[inline(always)]
unsafe fn bring<const P: usize>(now: usize, four: &Four<'_>, keys: &mut [Keys; 2]) -> usize {
    // SAFETY: the caller's keys are ours.
    unsafe {
        let of = schedules(four);
        let had = &keys[now & 1].of;
        if of[0] == had[0] && of[1] == had[1] && of[2] == had[2] && of[3] == had[3] {
            return now;
        }
        keys[(now ^ 1) & 1].bring::<P>(of);
        now ^ 1
    }
}

/// # Safety
/// The jobs are there, and their keys are ours.
#[inline(always)]
unsafe fn schedules(four: &Four<'_>) -> [*const Schedule; 4] {
    // SAFETY: as the caller says.
    each(|lane| unsafe { std::ptr::from_ref(schedule(four[lane])) })
}

/// # Safety
/// The job is there, and its key is ours.
#[inline(always)]
unsafe fn schedule<'a>(job: *const Job<'a>) -> &'a Schedule {
    // SAFETY: as the caller says.
    unsafe { (*job).key.schedule().unwrap_unchecked() }
}

/// Encrypts or decrypts four, and hashes the four before (if `HASH`), whose tags it returns.
///
/// # Safety
/// As for [`all`]; what the packets before need of the keys' powers is there.
#[inline(always)]
unsafe fn step<const N: usize, const S: usize, const SEAL: bool, const HASH: bool>(
    four: &Four<'_>,
    keys: &Keys,
    before: &Pending<N>,
    powers: &Keys,
) -> (Pending<N>, V512) {
    // SAFETY: the jobs are there, their texts theirs and ours; no key has fewer rounds than ten.
    unsafe {
        // Of the 16 bytes that are read, the last 4 are the additional data's.
        let nonces = V512::gather(each(|lane| (&raw const (*four[lane]).nonce).cast()));
        let start = nonces.first_12_xor(keys.round(0));
        let mut states = [V512::zero(); S];
        for place in 0..S {
            // The last one is for the tags, and has counter 1.
            let counter = if place == N { 0 } else { place + 1 };
            states[place] = start.xor(V512::broadcast(block(&COUNTERS.0[counter])));
        }
        let mut sum = Sum::zero();
        macro_rules! rounds {
            ($($number:literal)*) => { $(
                let key = keys.round($number);
                for state in &mut states {
                    *state = state.aes(key).pin();
                }
                let at = 2 * ($number - 1);
                if HASH && at + 1 < N + 2 {
                    sum.add_two(
                        [before.hashed(at), before.hashed(at + 1)],
                        [powers.power(N + 2 - at), powers.power(N + 1 - at)],
                    );
                    sum.pin();
                } else if HASH && at < N + 2 {
                    sum.add(before.hashed(at), powers.power(N + 2 - at));
                    sum.pin();
                }
            )* };
        }
        rounds!(1 2 3 4 5 6 7 8 9);
        let tags = before.tags(sum);
        let last = schedule(four[0]).last();
        for number in 10..last {
            let key = keys.round(number);
            for state in &mut states {
                *state = state.aes(key);
            }
        }
        let key = keys.round(last);
        let aad = V512::gather(each(|lane| (&raw const (*four[lane]).aad).cast()));
        let bytes = V512::gather(each(|lane| (&raw const (*four[lane]).text).cast())).lengths(aad);
        let mut pending = Pending {
            aad: aad.first_12(),
            blocks: [V512::zero(); N],
            lengths: bytes.bits(),
            mask: states[N].aes_last(key),
        };
        // Bytes that each text's last block has.
        let kept = bytes.kept();
        for vector in 0..N.div_ceil(4) {
            let at = each(|lane| text(four[lane]).wrapping_add(64 * vector));
            let rest = each(|lane| low(len(four[lane]).wrapping_sub(64 * vector)));
            let part = vector == N.div_ceil(4) - 1;
            let count = if part { N - 4 * vector } else { 4 };
            let data = match count {
                1 => [V512::gather_bytes(at, kept); 4],
                _ if part => V512::turn(each(|lane| V512::load_bytes(at[lane], rest[lane]))),
                _ => V512::turn(each(|lane| V512::load(at[lane]))),
            };
            let mut done = [V512::zero(); 4];
            for next in 0..count {
                let place = 4 * vector + next;
                done[next] = states[place].aes_last(key.xor(data[next]));
                pending.blocks[place] = match SEAL {
                    true if place == N - 1 => done[next].keep_bytes(kept),
                    true => done[next],
                    false => data[next],
                };
            }
            if count == 1 {
                done[0].scatter_bytes(at, kept);
                continue;
            }
            if count == 2 {
                // Two that are there make fewer instructions than one that is zero.
                done = [done[0], done[1], done[0], done[1]];
            }
            done = V512::turn(done);
            for lane in 0..4 {
                if part {
                    done[lane].store_bytes(at[lane], rest[lane]);
                } else {
                    done[lane].store(at[lane]);
                }
            }
        }
        (pending, tags)
    }
}

/// Where the job's text begins.
///
/// # Safety
/// The job is there, and its text in its packet.
#[inline(always)]
unsafe fn text(job: *mut Job<'_>) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe { (*job).packet.as_mut_ptr().wrapping_add((*job).text.start) }
}

/// Bytes of the job's text.
///
/// # Safety
/// The job is there, and its text does not end before it begins.
#[inline(always)]
unsafe fn len(job: *const Job<'_>) -> usize {
    // SAFETY: as the caller says.
    unsafe { (*job).text.end - (*job).text.start }
}

/// So many bits, and all of them if there are more than there can be; the lowest ones.
#[inline(always)]
fn low(bits: usize) -> u64 {
    // SAFETY: only V512 comes this way, whose processors have BMI2.
    unsafe { _bzhi_u64(u64::MAX, bits as u32) }
}

/// Writes the tags, or compares them and wipes the texts of those that have others, and says which.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn settle<const SEAL: bool>(four: &Four<'_>, tags: V512, whole: bool, jobs: *const [Job<'_>]) -> u64 {
    // SAFETY: the ICVs are in their packets.
    unsafe {
        if whole {
            let icvs = each(|lane| text(four[lane]).wrapping_add(len(four[lane])));
            if SEAL {
                let tags = tags.lanes();
                for lane in 0..4 {
                    _mm_storeu_si128(icvs[lane].cast(), tags[lane]);
                }
                return 0;
            }
            if tags.same(V512::gather(each(|lane| icvs[lane].cast_const()))) {
                return 0;
            }
        }
        settle_each::<SEAL>(four, &tags.lanes(), jobs)
    }
}

/// [`settle`], one by one.
#[inline(never)]
fn settle_each<const SEAL: bool>(four: &Four<'_>, tags: &[__m128i; 4], jobs: *const [Job<'_>]) -> u64 {
    let mut failed = 0;
    for lane in 0..4 {
        // SAFETY: the jobs are there, and nobody else has them.
        let Some((text, icv)) = (unsafe { (*four[lane]).parts() }) else { continue };
        if SEAL {
            copy_tag(tags[lane], icv);
        } else if !is_tag(tags[lane], icv) {
            text.fill(0);
            // A stand-in is none of the jobs.
            let from_first = (four[lane] as usize).wrapping_sub(jobs.cast::<u8>() as usize);
            let index = from_first / size_of::<Job<'_>>();
            failed |= u64::from(index < jobs.len()) << (index % BURST);
        }
    }
    failed
}
