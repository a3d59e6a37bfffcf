//! Which of the packets that were sent one is that came back.
//!
//! What a gateway encrypts cannot be recognised by anything inside. But the ESP header says the how manieth packet of its
//! SA it is, and so, as frames are sent in rounds that are always the same, the how manieth of all. What comes back in
//! clear bears the mark of its frame, and which round it is of follows from what came before.

use crate::case::Way;
use crate::frames;
use crate::tunnels::Tunnel;
use model::Spi;
use packet::ethernet;
use std::collections::BTreeMap;

/// Tells the places of packets in the order that they were sent in, from 0.
#[derive(Debug)]
pub struct Order {
    /// Frames of a round.
    round: u64,
    /// Of each tunnel, which frames of the round are its; of none where packets come back in clear.
    tunnels: Vec<Vec<u64>>,
}

/// Where the ESP header is in an IPv4 frame: SPI and sequence number.
const ESP: usize = ethernet::HEADER_LEN + packet::ipv4::HEADER_LEN;

impl Order {
    /// Of frames that are sent round and round, each SA's first as its number 1. None, if some have no tunnel or mark.
    pub fn new(way: Way, frames: &[Vec<u8>]) -> Option<Order> {
        let round = frames.len() as u64;
        if way != Way::Encrypt {
            return Some(Order { round, tunnels: Vec::new() });
        }
        let mut places = BTreeMap::<u32, Vec<u64>>::new();
        for (place, frame) in (0..).zip(frames) {
            let tunnel = Tunnel::beyond_which(frames::destination(frame)?)?;
            places.entry(tunnel.0).or_default().push(place);
        }
        let last = places.last_key_value()?.0;
        let tunnels = (0..=*last).map(|tunnel| places.remove(&tunnel).unwrap_or_default()).collect();
        Some(Order { round, tunnels })
    }

    /// The place of a frame that came back; nothing before `next` is still to come, and less than a round is missing.
    pub fn place(&self, frame: &[u8], next: u64) -> Option<u64> {
        if self.tunnels.is_empty() {
            let mark = u64::from(frames::mark(frame)?);
            let ahead = (mark + self.round - next % self.round) % self.round;
            return (mark < self.round).then_some(next + ahead);
        }
        let word = |at: usize| Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let (spi, sequence) = (word(ESP)?, word(ESP + 4)?);
        let tunnel = Tunnel::of_outbound(Spi::new(spi).ok()?)?;
        let places = self.tunnels.get(tunnel.0 as usize)?;
        let before = u64::from(sequence.checked_sub(1)?);
        let each = places.len() as u64;
        let place = places.get(before.checked_rem(each)? as usize)?;
        Some(before / each * self.round + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Case, Headers, Size};
    use model::{Direction, Suite};

    fn round(way: Way) -> Vec<Vec<u8>> {
        let (suite, headers) = (Suite::AES_GCM_128, Headers::FourInFour);
        let case = Case { way, size: Size::Bytes(64), tunnels: 200, suite, headers, workers: 1 };
        frames::generate(&case, 252).unwrap().frames
    }

    /// What a gateway makes of a frame, as far as it matters here.
    fn outer(frame: &[u8], sequences: &mut BTreeMap<u32, u32>) -> Vec<u8> {
        let tunnel = Tunnel::beyond_which(frames::destination(frame).unwrap()).unwrap();
        let sequence = sequences.entry(tunnel.0).or_default();
        *sequence += 1;
        let mut outer = vec![0; ESP];
        outer.extend(tunnel.spi(Direction::Outbound).unwrap().get().to_be_bytes());
        outer.extend(sequence.to_be_bytes());
        outer
    }

    #[test]
    fn every_packet_is_recognised_though_some_are_lost() {
        for way in [Way::Forward, Way::Encrypt, Way::Decrypt] {
            let frames = round(way);
            let order = Order::new(way, &frames).unwrap();
            let mut random = fastrand::Rng::with_seed(11);
            let (mut sequences, mut next, mut lost) = (BTreeMap::new(), 0, 0);
            for (place, frame) in (0..20_000).zip(frames.iter().cycle()) {
                let back = if way == Way::Encrypt { outer(frame, &mut sequences) } else { frame.clone() };
                // Now and then nearly a round at a time.
                if lost == 0 && random.u32(..100) == 0 {
                    lost = random.u32(1..frames.len() as u32);
                }
                if lost > 0 {
                    lost -= 1;
                    continue;
                }
                assert_eq!(order.place(&back, next), Some(place), "{way:?}");
                next = place + 1;
            }
        }
    }

    #[test]
    fn what_was_never_sent_is_nobodys() {
        let frames = round(Way::Encrypt);
        let order = Order::new(Way::Encrypt, &frames).unwrap();
        let mut strange = outer(&frames[0], &mut BTreeMap::new());
        strange[ESP..ESP + 4].copy_from_slice(&7_u32.to_be_bytes());
        assert_eq!(order.place(&strange, 0), None);
        assert_eq!(order.place(&strange[..ESP + 6], 0), None);
        let clear = Order::new(Way::Decrypt, &frames).unwrap();
        assert_eq!(clear.place(&[0xFF; 80], 0), None);
        assert_eq!(clear.place(&[0; 3], 0), None);
    }
}
