//! The steps on x86-64: eight rules in a vector of 256 bits.
//!
//! What is compiled for instructions that a processor may lack is reached only through [`Width`], which is made only
//! where they are.

mod avx2;
mod avx512;

use super::{BURST, Burst, Grafts, Tables, search, verdicts_of};
use crate::block::{Block, Bytes, Row};
use crate::key::fill;
use crate::layout::{ACTION_BYTES, Ranks, V4};
use crate::{KeyV4, Verdict};
use avx2::Avx2;
use avx512::Avx512;
use std::arch::x86_64::*;

/// Instructions that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width(Lanes);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Avx2,
    Avx512,
}

impl Width {
    /// All that this processor has, the best last.
    pub(crate) fn all() -> impl Iterator<Item = Width> {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        [avx2.then_some(Width(Lanes::Avx2)), avx512.then_some(Width(Lanes::Avx512))].into_iter().flatten()
    }

    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Lanes::Avx2 => "avx2",
            Lanes::Avx512 => "avx512",
        }
    }

    /// As [`Words::fill`](crate::key::Words::fill) says.
    #[inline]
    pub(crate) fn fill_v4(self, keys: &[KeyV4], burst: &mut Burst<V4>) {
        match self.0 {
            Lanes::Avx2 => fill(keys, burst),
            // SAFETY: the width was made, so the processor has its instructions.
            Lanes::Avx512 => unsafe { avx512::fill_v4(keys, burst) },
        }
    }

    /// As [`verdicts_of`] says.
    #[inline]
    pub(crate) fn write(
        self,
        actions: &[[u8; ACTION_BYTES]],
        ranks: Ranks,
        best: &[u32; BURST],
        verdicts: &mut [Verdict],
    ) -> u32 {
        match self.0 {
            Lanes::Avx2 => verdicts_of(actions, ranks, best, verdicts),
            // SAFETY: the width was made, so the processor has its instructions.
            Lanes::Avx512 => unsafe { avx512::write_verdicts(actions, ranks, best, verdicts) },
        }
    }

    /// As [`super::BackEnd::search`] says.
    #[inline]
    pub(crate) fn search<const N: usize>(
        self,
        tables: Tables<'_>,
        grafts: Option<Grafts<'_>>,
        burst: &Burst<N>,
        best: &mut [u32; BURST],
    ) {
        // SAFETY: the width was made, so the processor has its instructions.
        unsafe {
            match self.0 {
                Lanes::Avx2 => search_avx2(tables, grafts, burst, best),
                Lanes::Avx512 => search_avx512(tables, grafts, burst, best),
            }
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2")]
fn search_avx2<const N: usize>(
    tables: Tables<'_>,
    grafts: Option<Grafts<'_>>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    search(Avx2, tables, grafts, burst, best);
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn search_avx512<const N: usize>(
    tables: Tables<'_>,
    grafts: Option<Grafts<'_>>,
    burst: &Burst<N>,
    best: &mut [u32; BURST],
) {
    search(Avx512, tables, grafts, burst, best);
}

#[inline(always)]
fn prefetch<const N: usize>(block: Block<'_, N>) {
    for line in block.lines() {
        // SAFETY: a prefetch touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_row(row: &Row) -> __m256i {
    // SAFETY: the row is as long as the vector.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

/// Bytes as words.
#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &Bytes) -> __m256i {
    // SAFETY: so many bytes are loaded as there are.
    _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) })
}
