//! Which tunnel is being raised, with which of its peers. Pure.
//!
//! A packet that wants a tunnel raises one; all that follow meanwhile raise nothing. If it comes to nothing with one peer, the
//! next is tried; if with all, nothing is tried for a while, which grows.

use ike::message::IkeSpi;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a peer that has a successor may take; else it is IKE that gives up.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long an attempt may take that nobody speaks of any more.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// The first pause after all peers failed; it doubles each time.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// Attempts and pauses, by policy.
#[derive(Debug, Default)]
pub struct Raising {
    attempts: BTreeMap<Arc<str>, Attempt>,
    /// The place of the peer that is tried first, where it is not the first one.
    preferred: BTreeMap<Arc<str>, usize>,
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// With the peer of that place, which was the `tried`th, by that IKE SA.
    Under {
        place: usize,
        tried: usize,
        ike: IkeSpi,
        since: Instant,
        pause: Duration,
    },
    Pausing {
        until: Instant,
        pause: Duration,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// The policy.
    pub policy: Arc<str>,
    /// The place of its peer.
    pub place: usize,
    /// How many were tried before.
    pub tried: usize,
    /// An IKE SA that is to be given up.
    pub give_up: Option<IkeSpi>,
    pause: Duration,
}

impl Raising {
    /// A packet wants the tunnel; `None` if nothing is to be done for it now.
    pub fn wanted(&self, policy: &Arc<str>, now: Instant) -> Option<Try> {
        let pause = match self.attempts.get(policy) {
            Some(Attempt::Under { since, .. }) if now < *since + FORGOTTEN => return None,
            Some(Attempt::Pausing { until, .. }) if now < *until => return None,
            Some(Attempt::Pausing { pause, .. }) => *pause,
            Some(Attempt::Under { .. }) | None => Duration::ZERO,
        };
        let place = self.preferred.get(policy).copied().unwrap_or(0);
        Some(Try { policy: Arc::clone(policy), place, tried: 0, give_up: None, pause })
    }

    /// It is under way by that IKE SA.
    pub fn begun(&mut self, attempt: &Try, ike: IkeSpi, now: Instant) {
        let Try { place, tried, pause, .. } = *attempt;
        let under = Attempt::Under { place, tried, ike, since: now, pause };
        self.attempts.insert(Arc::clone(&attempt.policy), under);
    }

    /// The tunnel stands.
    pub fn stands(&mut self, policy: &Arc<str>) {
        if let Some(Attempt::Under { place, .. }) = self.attempts.remove(policy) {
            match place {
                0 => drop(self.preferred.remove(policy)),
                place => drop(self.preferred.insert(Arc::clone(policy), place)),
            }
        }
    }

    /// The peer of a tunnel that stood does not answer any more: the next one is tried first.
    pub fn prefer_next(&mut self, policy: &Arc<str>, peers: usize) {
        let place = self.preferred.entry(Arc::clone(policy)).or_insert(0);
        *place = (*place + 1) % peers.max(1);
    }

    /// The policies whose attempts go by that IKE SA.
    pub fn under(&self, ike: IkeSpi) -> Vec<Arc<str>> {
        let is_under = |attempt: &Attempt| matches!(attempt, Attempt::Under { ike: by, .. } if *by == ike);
        self.attempts
            .iter()
            .filter(|(_, attempt)| is_under(attempt))
            .map(|(policy, _)| Arc::clone(policy))
            .collect()
    }

    /// An IKE SA has another SPI now.
    pub fn rekeyed(&mut self, old: IkeSpi, new: IkeSpi) {
        for attempt in self.attempts.values_mut() {
            if let Attempt::Under { ike, .. } = attempt
                && *ike == old
            {
                *ike = new;
            }
        }
    }

    /// The attempt came to nothing; what is tried next, of so many peers.
    pub fn failed(&mut self, policy: &Arc<str>, peers: usize, now: Instant) -> Option<Try> {
        let Some(Attempt::Under { place, tried, pause, .. }) = self.attempts.remove(policy) else {
            return None;
        };
        if tried + 1 < peers {
            let place = (place + 1) % peers;
            return Some(Try { policy: Arc::clone(policy), place, tried: tried + 1, give_up: None, pause });
        }
        let pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        self.attempts.insert(Arc::clone(policy), Attempt::Pausing { until: now + pause, pause });
        None
    }

    /// It cannot even be begun.
    pub fn impossible(&mut self, attempt: &Try, now: Instant) {
        let pause = (attempt.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        self.attempts.insert(Arc::clone(&attempt.policy), Attempt::Pausing { until: now + pause, pause });
    }

    /// Peers that took too long, while there is another: what is tried in their place.
    pub fn late(&mut self, peers: impl Fn(&str) -> usize, now: Instant) -> Vec<Try> {
        let is_late = |policy: &str, attempt: &Attempt| match attempt {
            Attempt::Under { since, tried, ike, .. }
                if tried + 1 < peers(policy) && *since + PATIENCE <= now =>
            {
                Some(*ike)
            }
            _ => None,
        };
        let late: Vec<(Arc<str>, IkeSpi)> = self
            .attempts
            .iter()
            .filter_map(|(policy, attempt)| Some((Arc::clone(policy), is_late(policy, attempt)?)))
            .collect();
        let next = late.into_iter().filter_map(|(policy, ike)| {
            let next = self.failed(&policy, peers(&policy), now)?;
            Some(Try { give_up: Some(ike), ..next })
        });
        next.collect()
    }

    /// Forgets policies that are no more.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.attempts.retain(|policy, _| is_there(policy));
        self.preferred.retain(|policy, _| is_there(policy));
    }

    /// Tries again at once what it paused for.
    pub fn hurry(&mut self) {
        self.attempts.retain(|_, attempt| matches!(attempt, Attempt::Under { .. }));
    }

    /// Whether a policy is being raised, and if so with the peer of which place.
    pub fn is_under_way(&self, policy: &str) -> Option<usize> {
        match self.attempts.get(policy) {
            Some(Attempt::Under { place, .. }) => Some(*place),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_one_attempt_and_each_peer_has_its_turn() {
        let (mut raising, start, policy) = (Raising::default(), Instant::now(), Arc::<str>::from("SITES 10"));
        let peers = |_: &str| 2;
        let first = raising.wanted(&policy, start).unwrap();
        raising.begun(&first, IkeSpi(1), start);
        assert!((0..1000).all(|ms| raising.wanted(&policy, start + Duration::from_millis(ms)).is_none()));
        assert_eq!((first.place, raising.under(IkeSpi(1)).len()), (0, 1));
        // The first takes too long, the second refuses, and then nobody is asked for a while.
        assert!(raising.late(peers, start + PATIENCE / 2).is_empty());
        let next = raising.late(peers, start + PATIENCE).pop().unwrap();
        assert_eq!((next.place, next.tried, next.give_up), (1, 1, Some(IkeSpi(1))));
        let later = start + PATIENCE;
        raising.begun(&next, IkeSpi(2), later);
        assert!(raising.late(peers, later + PATIENCE * 2).is_empty());
        assert_eq!(raising.failed(&policy, 2, later), None);
        assert_eq!(raising.wanted(&policy, later), None);
        let again = raising.wanted(&policy, later + PAUSE).unwrap();
        raising.begun(&again, IkeSpi(3), later);
        assert_eq!(raising.failed(&policy, 1, later), None);
        assert_eq!(raising.wanted(&policy, later + PAUSE), None);
        assert!(raising.wanted(&policy, later + PAUSE * 2).is_some());
    }

    #[test]
    fn the_peer_that_answered_is_asked_first_the_next_time() {
        let (mut raising, now, policy) = (Raising::default(), Instant::now(), Arc::<str>::from("SITES 10"));
        raising.begun(&raising.wanted(&policy, now).unwrap(), IkeSpi(1), now);
        let next = raising.failed(&policy, 2, now).unwrap();
        raising.begun(&next, IkeSpi(2), now);
        raising.stands(&policy);
        assert_eq!(raising.wanted(&policy, now).unwrap().place, 1);
        raising.prefer_next(&policy, 2);
        assert_eq!(raising.wanted(&policy, now).unwrap().place, 0);
    }
}
