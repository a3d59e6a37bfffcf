//! What came to nothing: said once in a while, remembered for `show`. Bounded, as whoever likes can fail. Pure.

use ike::endpoint::Failed;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Peers whose failures are remembered.
const MOST: usize = 256;
/// How long the same failure of the same peer is not said again.
const SILENCE: Duration = Duration::from_secs(30);
/// Lines of the log in that time, of all peers.
const MOST_LINES: usize = 64;

/// The last failure with one peer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was said of it.
    pub failed: Failed,
    /// When it happened last.
    pub at: Instant,
    /// How often the peer has failed since it was first remembered.
    pub times: u64,
    said: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Failures {
    by_peer: BTreeMap<IpAddr, Failure>,
    lines: VecDeque<Instant>,
}

impl Failures {
    /// Remembers one; true if it is to be said.
    pub fn add(&mut self, failed: &Failed, now: Instant) -> bool {
        let peer = failed.remote.ip();
        let known = self.by_peer.get(&peer);
        let is_news = known.is_none_or(|known| {
            known.failed.explanation != failed.explanation
                || now.saturating_duration_since(known.said) >= SILENCE
        });
        while self.lines.front().is_some_and(|&at| now.saturating_duration_since(at) >= SILENCE) {
            self.lines.pop_front();
        }
        let say = is_news && self.lines.len() < MOST_LINES;
        if say {
            self.lines.push_back(now);
        }
        let said = if say { now } else { known.map_or(now, |known| known.said) };
        let times = known.map_or(0, |known| known.times) + 1;
        if known.is_none() && self.by_peer.len() >= MOST {
            let oldest = self.by_peer.iter().min_by_key(|(_, failure)| failure.at).map(|(&peer, _)| peer);
            oldest.map(|oldest| self.by_peer.remove(&oldest));
        }
        self.by_peer.insert(peer, Failure { failed: failed.clone(), at: now, times, said });
        say
    }

    /// A tunnel with the peer stands, so that what was before is past.
    pub fn forget(&mut self, peer: IpAddr) {
        self.by_peer.remove(&peer);
    }

    /// By peer.
    pub fn iter(&self) -> impl Iterator<Item = (&IpAddr, &Failure)> {
        self.by_peer.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::negotiate::{Cause, Explanation, Stage};

    fn failed(peer: u32, tries: u32) -> Failed {
        Failed {
            ike: None,
            connection: None,
            policy: None,
            local: "192.0.2.1:500".parse().unwrap(),
            remote: (std::net::Ipv4Addr::from(peer), 500).into(),
            explanation: Explanation { stage: Stage::Init, by_peer: false, cause: Cause::Timeout { tries } },
        }
    }

    #[test]
    fn a_storm_is_said_once_and_costs_little() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        assert!(failures.add(&failed(1, 1), start));
        assert!(!failures.add(&failed(1, 1), start + SILENCE / 2));
        assert!(failures.add(&failed(1, 2), start + SILENCE / 2));
        assert!(failures.add(&failed(1, 2), start + SILENCE * 2));
        assert_eq!(failures.iter().next().unwrap().1.times, 4);
        let said = (2..10_000).filter(|&peer| failures.add(&failed(peer, 1), start + SILENCE * 2)).count();
        assert_eq!((failures.by_peer.len(), said), (MOST, MOST_LINES - 1));
        failures.forget(std::net::Ipv4Addr::from(9_999).into());
        assert_eq!(failures.by_peer.len(), MOST - 1);
    }
}
