//! Keys as rows of words.

use super::super::super::Burst;
use super::{HALVES, WIDE, all, load, store};
use crate::KeyV4;
use crate::layout::{PORTS_SEEN, V4};
use std::arch::x86_64::*;
use std::mem::{offset_of, size_of};

// A key's memory is its words.
const _: () = assert!(
    size_of::<KeyV4>() == 4 * V4
        && offset_of!(KeyV4, source) == 0
        && offset_of!(KeyV4, destination) == 4
        && offset_of!(KeyV4, source_port) == 8
        && offset_of!(KeyV4, destination_port) == 10
        && offset_of!(KeyV4, protocol) == 12
        && offset_of!(KeyV4, has_ports) == 13
        && offset_of!(KeyV4, tcp_flags) == 14
        && offset_of!(KeyV4, traffic_class) == 15
);
/// Keys of a vector as they come.
const KEYS: usize = WIDE / V4;

/// The words of each key, at most a burst's, in a column of its own; zeros behind.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(in super::super) fn fill_v4(keys: &[KeyV4], burst: &mut Burst<V4>) {
    for half in 0..HALVES {
        let quarter = |quarter: usize| {
            let keys = keys.get(half * WIDE + quarter * KEYS..).unwrap_or_default();
            let there = 1_u64.checked_shl(16 * keys.len() as u32).map_or(u64::MAX, |beyond| beyond - 1);
            // SAFETY: only bytes of keys that are there are read.
            unsafe { _mm512_maskz_loadu_epi8(there, keys.as_ptr().cast()) }
        };
        let [first, second, third, fourth] = [quarter(0), quarter(1), quarter(2), quarter(3)];
        for (word, row) in burst.words.iter_mut().enumerate() {
            let every = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
            let every = _mm512_add_epi32(every, _mm512_set1_epi32(word as i32));
            let front = _mm512_permutex2var_epi32(first, every, second);
            let back = _mm512_permutex2var_epi32(third, every, fourth);
            store(row, half, _mm512_inserti64x4::<1>(front, _mm512_castsi512_si256(back)));
        }
        let seen = _mm512_test_epi32_mask(load(&burst.words[V4 - 1], half), all(PORTS_SEEN));
        store(&mut burst.unseen, half, _mm512_maskz_mov_epi32(!seen, all(u32::MAX)));
    }
}
