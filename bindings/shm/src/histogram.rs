//! A histogram in shared memory: log-linear, so that a value is known to within a sixteenth over all of its range.

use crate::counters::Counter;
use crate::memory::Overlay;

/// Buckets to each power of two, as a power of two.
const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;
/// Values are below two to this; larger ones count as the largest.
const VALUE_BITS: u32 = 32;
/// Buckets that there are.
pub(crate) const BUCKETS: usize = (SUB as usize) * (VALUE_BITS - SUB_BITS + 1) as usize;

const _: () = assert!(BUCKETS == 464);

/// Counts values by bucket. One writer, any number of readers.
#[repr(C)]
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
}

// SAFETY: `repr(C)` of an array of `Overlay`.
unsafe impl Overlay for Histogram {}

/// The bucket of a value: below [`BUCKETS`].
#[inline]
fn bucket(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS) - 1);
    if value < SUB {
        return value as usize;
    }
    // The leading bit says which power of two, the next SUB_BITS bits which part of it.
    let power = 63 - value.leading_zeros();
    let part = (value >> (power - SUB_BITS)) - SUB;
    (u64::from(power - SUB_BITS + 1) * SUB + part) as usize
}

/// The lowest value of a bucket.
fn lowest(bucket: usize) -> u64 {
    let (power, part) = (bucket as u64 / SUB, bucket as u64 % SUB);
    match power {
        0 => part,
        power => (SUB + part) << (power - 1),
    }
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    lowest(bucket + 1) - 1
}

impl Histogram {
    /// Counts `count` occurrences of a value.
    #[inline]
    pub fn record(&self, value: u64, count: u64) {
        if let Some(counter) = self.buckets.get(bucket(value)) {
            counter.add(count);
        }
    }

    /// A copy of the counts.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot { counts: self.buckets.iter().map(Counter::get).collect() }
    }
}

/// A copy of a histogram's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
}

impl HistogramSnapshot {
    /// The buckets that counted anything: their middle value, and how often it was.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count != 0)
            .map(|(bucket, &count)| (lowest(bucket).midpoint(highest(bucket)), count))
    }

    /// What was counted since an earlier copy of the same histogram.
    pub fn since(&self, earlier: &HistogramSnapshot) -> HistogramSnapshot {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        HistogramSnapshot {
            counts: self.counts.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)).collect(),
        }
    }

    /// Adds another histogram's counts, as of another worker.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.wrapping_add(*count);
        }
    }

    /// As an `hdrhistogram::Histogram` with two significant digits, for percentiles.
    pub fn to_hdr(&self) -> hdrhistogram::Histogram<u64> {
        // The bounds are constants that it takes.
        let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << VALUE_BITS, 2)
            .expect("bounds and digits are in range");
        for (value, count) in self.buckets() {
            hdr.saturating_record_n(value, count);
        }
        hdr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_in_its_bucket_and_a_bucket_is_narrow(value in prop_oneof![0..1_u64 << 32, 0..100_000_u64]) {
            let bucket = bucket(value);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(lowest(bucket) <= value && value <= highest(bucket));
            prop_assert!(highest(bucket) - lowest(bucket) <= value / SUB);
        }
    }

    #[test]
    fn buckets_touch_and_end() {
        for bucket in 0..BUCKETS {
            assert_eq!(super::bucket(lowest(bucket)), bucket);
            assert_eq!(super::bucket(highest(bucket)), bucket);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_come_back() {
        let counts =
            (0..BUCKETS as u64).map(|b| u64::from(b == 100) * 90 + u64::from(b == 200) * 10).collect();
        let snapshot = HistogramSnapshot { counts };
        let hdr = snapshot.to_hdr();
        assert_eq!(hdr.len(), 100);
        let near = |value: u64, bucket: usize| {
            lowest(bucket) * 15 / 16 <= value && value <= highest(bucket) * 17 / 16
        };
        assert!(near(hdr.value_at_quantile(0.5), 100), "{}", hdr.value_at_quantile(0.5));
        assert!(near(hdr.value_at_quantile(0.99), 200), "{}", hdr.value_at_quantile(0.99));
        let mut twice = snapshot.clone();
        twice.merge(&snapshot);
        assert_eq!(twice.since(&snapshot), snapshot);
        // Whatever stands in memory: counts of any size convert.
        let wild = HistogramSnapshot { counts: vec![u64::MAX; BUCKETS] };
        assert_ne!(wild.to_hdr().len(), 0);
    }
}
