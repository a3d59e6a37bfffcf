//! When SAs are rekeyed: a little before their end, and by chance not when the peer does so, too (RFC 7296, section 2.8).

use crate::crypto::{CryptoError, EspSuite, random};
use model::Lifetime;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How much of its lifetime an SA serves before it is rekeyed, in thousandths. At least a tenth is left to negotiate in.
const SERVES: RangeInclusive<u32> = 820..=900;

/// How many packets an SA without extended sequence numbers may have; there are 2^32 of these.
const SHORT_SEQUENCE: u64 = 1 << 32;

/// Chance that decides about times, and never about anything that nobody may guess.
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    /// The same from the same seed; without one, any.
    pub(crate) fn new(seed: Option<u64>) -> Result<Chance, CryptoError> {
        let seed = seed.map_or_else(|| random().map(u64::from_be_bytes), Ok)?;
        Ok(Chance(fastrand::Rng::with_seed(seed)))
    }

    /// After how much of a lifetime to rekey.
    pub(crate) fn before(&mut self, lifetime: Duration) -> Duration {
        lifetime / 1000 * self.0.u32(SERVES)
    }

    /// After what to rekey a pair of that lifetime and suite.
    pub(crate) fn before_end(&mut self, lifetime: &Lifetime, suite: &EspSuite) -> Lifetime {
        let short = (!suite.esn).then_some(SHORT_SEQUENCE);
        let packets = lifetime.packets.into_iter().chain(short).min();
        let mut part = |of: u64| (u128::from(of) * u128::from(self.0.u32(SERVES)) / 1000) as u64;
        let (bytes, packets) = (lifetime.bytes.map(&mut part), packets.map(&mut part));
        Lifetime { time: lifetime.time.map(|time| self.before(time)), bytes, packets }
    }

    /// How long to wait, at least half of that, before asking again for what the peer had no time for: if both waited
    /// equally long, each would hinder the other for ever.
    pub(crate) fn pause(&mut self, of: Duration) -> Duration {
        of.mul_f64(0.5 + 0.5 * self.0.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Encryption;
    use model::{IcvLen, KeyLen};
    use proptest::prelude::*;

    fn suite(esn: bool) -> EspSuite {
        let encryption = Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16);
        EspSuite { encryption, integrity: None, group: None, esn }
    }

    proptest! {
        #[test]
        fn rekeying_comes_before_the_end_and_not_long_before(
            seed: u64, time: u64, bytes: u64, packets: Option<u64>, esn: bool,
        ) {
            let lifetime = Lifetime { time: Some(Duration::from_secs(time)), bytes: Some(bytes), packets };
            let mut chance = Chance::new(Some(seed)).unwrap();
            let rekey = chance.before_end(&lifetime, &suite(esn));
            let is_within = |part: u128, of: u128| of * 82 / 100 <= part && part <= of * 9 / 10;
            prop_assert!(is_within(rekey.time.unwrap().as_nanos(), Duration::from_secs(time).as_nanos()));
            prop_assert!(is_within(rekey.bytes.unwrap().into(), bytes.into()));
            let most = if esn { u64::MAX } else { 1 << 32 };
            match (rekey.packets, packets) {
                (Some(rekey), packets) => {
                    prop_assert!(is_within(rekey.into(), packets.unwrap_or(most).min(most).into()));
                }
                (None, packets) => prop_assert!(esn && packets.is_none()),
            }
            let pause = chance.pause(Duration::from_secs(8));
            prop_assert!((4..=8).contains(&pause.as_secs()));
        }
    }

    /// Two ends count the same packets: they must not want other keys at the same.
    #[test]
    fn two_ends_differ_and_a_seed_does_not() {
        let lifetime = Lifetime { bytes: Some(1 << 40), packets: Some(1 << 40), ..Lifetime::default() };
        let of = |seed| Chance::new(seed).unwrap().before_end(&lifetime, &suite(true));
        assert_eq!(of(Some(7)), of(Some(7)));
        // 80 steps: that a hundred strangers all come to the same one does not happen.
        let first = of(None);
        assert!((0..100).any(|_| of(None).bytes != first.bytes && of(None).packets != first.packets));
    }
}
