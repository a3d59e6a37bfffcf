//! What becomes of samples: medians, and how far they are apart.

/// The middle one, or the mean of the two in the middle; not a number of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { middle(half) } else { (middle(half.wrapping_sub(1)) + middle(half)) / 2.0 }
}

/// The median of the paired ratios.
pub(crate) fn ratio(theirs: &[f64], ours: &[f64]) -> f64 {
    median(theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect())
}

/// How far the upper and the lower tenth are apart, as a part of the median.
pub(crate) fn spread(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tenth = sorted.len() / 10;
    let ends = sorted.get(tenth).zip(sorted.get(sorted.len().saturating_sub(1 + tenth)));
    ends.map_or(f64::NAN, |(low, high)| (high - low) / median(sorted.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_ratio_is_of_pairs() {
        assert_eq!(ratio(&[2.0, 30.0, 4.0], &[1.0, 10.0, 1.0]), 3.0);
    }
}
