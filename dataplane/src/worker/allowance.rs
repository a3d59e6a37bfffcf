//! How many packets of its own a worker may send in answer to others' (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4).

/// So many a second in the long run, and so many at once.
const PER_SECOND: u64 = 1000;
const AT_ONCE: u64 = 100;

/// A bucket of tokens: one is put in every so often, one is taken for each answer.
#[derive(Debug)]
pub(super) struct Allowance {
    tokens: u64,
    /// Clocks in which a token comes.
    pace: u64,
    /// When the last one came, in TSC clocks.
    filled: u64,
}

impl Allowance {
    /// `tsc_hz`: clocks of a second.
    pub(super) fn new(tsc_hz: u64) -> Allowance {
        Allowance { tokens: AT_ONCE, pace: (tsc_hz / PER_SECOND).max(1), filled: 0 }
    }

    /// Whether one more answer may be given at `now`, in TSC clocks.
    pub(super) fn take(&mut self, now: u64) -> bool {
        let fresh = now.wrapping_sub(self.filled) / self.pace;
        self.tokens = self.tokens.saturating_add(fresh).min(AT_ONCE);
        self.filled = self.filled.wrapping_add(fresh.wrapping_mul(self.pace));
        let taken = self.tokens > 0;
        self.tokens -= u64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_answered_by_a_trickle() {
        let mut allowance = Allowance::new(1_000_000);
        let given = |allowance: &mut Allowance, from: u64, to: u64| {
            (from..to).filter(|&now| allowance.take(now)).count()
        };
        assert_eq!(given(&mut allowance, 5_000_000, 5_000_500), 100);
        assert_eq!(given(&mut allowance, 5_000_500, 6_000_500), 1000);
        assert_eq!(given(&mut allowance, 9_000_000, 9_000_001), 1);
        assert_eq!(given(&mut allowance, 9_000_001, 9_000_400), 99);
    }
}
