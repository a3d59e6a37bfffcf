//! What the generator does with its core: it sends, and takes what comes back.

use super::order::Order;
use crate::case::Way;
use crate::error::Error;
use dpdk::{BURST, Mempool, Packets, RxQueue, TxQueue};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Packets that may be under way. More than a ring holds, so that the gateway never waits for us, and fewer than a round
/// has, so that [`Order`] can tell whatever happens to them.
pub const WINDOW: usize = 2048;
/// Frames of a round.
pub const ROUND: usize = WINDOW + 4;
/// For so long, in parts of a second, nothing comes back before what is under way is given up: longer than Linux takes the
/// core from a worker.
const PATIENCE: u64 = 5;
/// Significant digits of times.
const DIGITS: u8 = 3;
/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Packets a second, evenly spaced; none is as many as are taken.
    pub rate: Option<f64>,
    /// For so long.
    pub milliseconds: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Packets that the ring took.
    pub sent: u64,
    /// Packets that came back.
    pub received: u64,
    /// Bytes of them, as frames.
    pub bytes: u64,
    /// Frames that came and are none that was sent, or for the second time.
    pub strays: u64,
    /// Of those received, how many a second while we were sending.
    pub rate: f64,
    /// From when a packet was given to the transmit queue to when it was found in the receive queue.
    pub latency: Latency,
}

/// Percentiles, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of all packets took no longer.
    pub p50: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// The queues and what is under way between them.
pub struct Generator {
    pool: Mempool,
    to: TxQueue,
    from: RxQueue,
    frames: Vec<Vec<u8>>,
    order: Order,
    /// Since its start: packets that were made, and the place of the next that can come back.
    made: u64,
    next: u64,
    /// When each packet under way was offered, by its place.
    times: Box<[u64; WINDOW]>,
    /// Made, and not yet taken by the ring.
    offered: Packets,
    came: Packets,
}

impl Generator {
    /// Between two queues. None, if there are too few frames, or they are not such as can be told apart.
    pub fn new(
        pool: Mempool,
        (to, from): (TxQueue, RxQueue),
        way: Way,
        frames: Vec<Vec<u8>>,
    ) -> Option<Generator> {
        if frames.len() < ROUND {
            return None;
        }
        let order = Order::new(way, &frames)?;
        Some(Generator {
            pool,
            to,
            from,
            frames,
            order,
            made: 0,
            next: 0,
            times: Box::new([0; WINDOW]),
            offered: Packets::new(),
            came: Packets::new(),
        })
    }

    /// Sends as is wanted, and returns when everything came back, or nothing does any more.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`] if the ring takes no more.
    pub fn run(&mut self, wanted: Wanted) -> Result<Ran, Error> {
        let hz = dpdk::tsc_hz();
        let mut histogram = Histogram::new_with_bounds(1, 100 * hz, DIGITS)
            .map_err(|error| Error::Generator(error.to_string()))?;
        let mut ran = Ran::default();
        // What did not come back before never will.
        self.next = self.made;
        let first = self.made;
        let per_clock = wanted.rate.map(|rate| rate / hz as f64);
        let begin = dpdk::tsc();
        let span = wanted.milliseconds * hz / 1000;
        loop {
            let since = dpdk::tsc().wrapping_sub(begin);
            if since >= span {
                ran.rate = ran.received as f64 / (since as f64 / hz as f64);
                break;
            }
            let due = per_clock.map_or(u64::MAX, |rate| (since as f64 * rate) as u64);
            self.send(due.saturating_sub(self.made - first), &mut ran);
            self.receive(&mut ran, &mut histogram);
        }
        let mut heard = dpdk::tsc();
        while self.next < self.made && dpdk::tsc().wrapping_sub(heard) < hz / PATIENCE {
            self.send(0, &mut ran);
            if self.receive(&mut ran, &mut histogram) {
                heard = dpdk::tsc();
            }
        }
        if self.offered.mask() != 0 {
            return Err(Error::Generator("the gateway no longer takes packets".to_owned()));
        }
        let nanoseconds = |clocks: u64| (clocks as f64 / hz as f64 * SECOND) as u64;
        let quantile = |part| nanoseconds(histogram.value_at_quantile(part));
        ran.latency = Latency {
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: nanoseconds(histogram.max()),
        };
        Ok(ran)
    }

    /// Offers the ring what it did not take before, or else so many new packets, as far as there may be more under way.
    #[inline]
    fn send(&mut self, wanted: u64, ran: &mut Ran) {
        if self.offered.mask() == 0 {
            let room = WINDOW as u64 - (self.made - self.next);
            let now = dpdk::tsc();
            for _ in 0..wanted.min(room).min(BURST as u64) {
                let place = self.made as usize;
                let Some(frame) = self.frames.get(place % self.frames.len()) else { break };
                let Ok(mbuf) = self.pool.alloc_from_slice(frame) else { break };
                if self.offered.push(mbuf).is_err() {
                    break;
                }
                if let Some(time) = self.times.get_mut(place % WINDOW) {
                    *time = now;
                }
                self.made += 1;
            }
        }
        let offered = self.offered.mask();
        let left = self.offered.send(offered, &mut self.to);
        ran.sent += u64::from((offered & !left).count_ones());
    }

    /// Takes what is there. Whether there was anything.
    #[inline]
    fn receive(&mut self, ran: &mut Ran, histogram: &mut Histogram<u64>) -> bool {
        let mask = self.came.receive(&mut self.from);
        if mask == 0 {
            return false;
        }
        let now = dpdk::tsc();
        self.came.prefetch(mask);
        for (_, mbuf) in self.came.masked(mask) {
            let place = self.order.place(mbuf.data(), self.next);
            let Some(place) = place.filter(|place| (self.next..self.made).contains(place)) else {
                ran.strays += 1;
                continue;
            };
            let time = self.times.get(place as usize % WINDOW).copied().unwrap_or(now);
            // The histogram ends at more than we ever wait.
            histogram.saturating_record(now.saturating_sub(time));
            self.next = place + 1;
            ran.received += 1;
            ran.bytes += mbuf.len() as u64;
        }
        self.came.free(mask);
        true
    }
}
