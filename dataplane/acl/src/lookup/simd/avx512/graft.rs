//! Which keys of a burst came to leaves that were changed.

use super::super::super::graft::{Filter, GRAFTED, Grafts};
use super::all;
use super::walk::gather;
use std::arch::x86_64::*;

/// Those whose places the index has a bit for, of the keys that the mask has.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn changed(grafts: &Grafts<'_>, place: __m512i, mask: __mmask16) -> __mmask16 {
    const { assert!(GRAFTED == 32 && size_of::<Filter>() == 64) };
    let word = _mm512_srli_epi32::<5>(place);
    let bit = _mm512_sllv_epi32(all(1), _mm512_and_si512(place, all(31)));
    // SAFETY: the filter is as long as the vector.
    let filter = unsafe { _mm512_loadu_si512(grafts.filter.as_ptr().cast()) };
    // A permutation looks at the lower four bits alone.
    let maybe = _mm512_mask_test_epi32_mask(mask, _mm512_permutexvar_epi32(word, filter), bit);
    if maybe == 0 {
        return 0;
    }
    let [bits, _] = gather(grafts.index, word, maybe, 0);
    _mm512_mask_test_epi32_mask(maybe, bits, bit)
}
