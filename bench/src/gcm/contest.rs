//! A case's figures: all contenders in turn, round by round, on the same packets. Proof first that they do the same.
//!
//! A sample is a contender's median over some laps, after others in which its keys and code come back to the caches that
//! they fit in. A ratio is of two samples of one round, and its median over all rounds is what counts: a machine whose pace
//! drifts is fair to both.

use super::case::{Case, MANY, Op};
use super::contender::{Contender, RawKeys};
use super::ours::Ours;
use super::report::Row;
use super::traffic::Traffic;
use crate::Error;
use crate::clock::Lap;
use crate::guard::Guard;
use crate::samples::{median, ratio, spread};
use gcm::BackEnd;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a lap is run again that somebody disturbed.
const TRIES: u64 = 10;

/// How long a case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds go on for so long.
    pub time: Duration,
    /// But there are so many at least.
    pub least: u64,
    /// And not more.
    pub most: u64,
}

impl Effort {
    /// The default, or less.
    pub fn new(quick: bool) -> Effort {
        if quick {
            Effort { time: Duration::from_millis(1100), least: 5, most: 41 }
        } else {
            Effort { time: Duration::from_millis(4000), least: 9, most: 101 }
        }
    }

    /// For one of very many cases.
    pub fn brief() -> Effort {
        Effort { time: Duration::from_millis(100), least: 5, most: 15 }
    }
}

/// Those that are measured, and what seals for them what they are to open.
pub struct Field {
    contenders: Vec<Box<dyn Contender>>,
    sealer: Ours,
}

impl Field {
    /// Expands the keys for everyone.
    ///
    /// # Errors
    ///
    /// [`Error::Peer`], if a peer cannot be set up.
    pub fn new(keys: &RawKeys, prefetch: bool) -> Result<Field, Error> {
        let sealer = Ours::new(BackEnd::chosen(), keys, keys.count() >= MANY)?;
        Ok(Field { contenders: super::contenders(keys, prefetch)?, sealer })
    }

    /// Measures a case: a row for each contender.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`] if two do not do the same, or a packet fails.
    pub fn measure(&self, case: Case, effort: Effort, guard: &mut Guard) -> Result<Vec<Row>, Error> {
        prove(case, &self.contenders, &self.sealer)?;
        let mut traffic = Traffic::new(case, &self.sealer);
        let mut samples = vec![Vec::new(); self.contenders.len()];
        let begun = Instant::now();
        for round in 0..effort.most {
            if round >= effort.least && begun.elapsed() >= effort.time {
                break;
            }
            // Whoever begins this round comes last in the next.
            let each = self.contenders.iter().zip(&mut samples);
            let mut turns: Vec<_> = each.collect();
            let first = round as usize % turns.len().max(1);
            turns.rotate_left(first);
            for (contender, samples) in turns {
                samples.push(sample(case, contender.as_ref(), &mut traffic, guard, round)?);
            }
        }
        Ok(self.rows(case, &samples, guard.pace()))
    }

    fn rows(&self, case: Case, samples: &[Vec<f64>], pace: u64) -> Vec<Row> {
        let named = || self.contenders.iter().map(|each| each.name()).zip(samples);
        let is_ours = |name: &String| BackEnd::available().iter().any(|each| each.name() == name);
        let ours: Vec<_> = named().filter(|(name, _)| is_ours(name)).collect();
        let key_bytes = self.contenders.iter().map(|each| each.key_bytes());
        let row = |((name, clocks), key_bytes): ((String, &Vec<f64>), usize)| {
            let ratios: BTreeMap<String, f64> =
                ours.iter().map(|(our, ours)| (our.clone(), ratio(clocks, ours))).collect();
            Row {
                implementation: name,
                op: case.op,
                key_bits: case.key.bits(),
                payload: case.payload,
                keys: case.keys,
                clocks: median(clocks.clone()),
                ratio: ratios.get(BackEnd::chosen().name()).copied().unwrap_or(f64::NAN),
                ratios,
                key_bytes,
                rounds: clocks.len(),
                spread: spread(clocks),
                pace,
            }
        };
        named().zip(key_bytes).map(row).collect()
    }
}

/// Clocks per packet of one contender in one round. All of them meet the same packets in it.
fn sample(
    case: Case,
    contender: &dyn Contender,
    traffic: &mut Traffic<'_>,
    guard: &mut Guard,
    round: u64,
) -> Result<f64, Error> {
    let (warm, laps) = laps(case, traffic.count());
    let mut clocks = Vec::with_capacity(laps);
    for number in 0..warm + laps {
        let seed = (round << 32) | number as u64;
        for attempt in 1.. {
            let count = traffic.count() as f64;
            let mut packets = traffic.deal(seed)?;
            let (lap, trusted) = guard.watch(|| contender.lap(case.op, &mut packets));
            done(case, contender, lap)?;
            if trusted || attempt == TRIES || number < warm {
                clocks.extend((number >= warm).then_some(lap.clocks as f64 / count));
                break;
            }
        }
    }
    Ok(median(clocks))
}

/// Laps that only warm up, and laps that count. Half of the keys that fit into a cache are met in the former.
fn laps(case: Case, count: usize) -> (usize, usize) {
    let (warm, counted) = match case.keys {
        0..1000 => (count, 2048),
        1000..MANY => (2 * case.keys, 2 * case.keys),
        MANY.. => (8192, 8192),
    };
    (warm.div_ceil(count), counted.div_ceil(count).clamp(5, 64))
}

fn done(case: Case, contender: &dyn Contender, lap: Lap) -> Result<(), Error> {
    let why = || format!("{} failed on {} packets", contender.name(), lap.failed);
    if lap.failed == 0 { Ok(()) } else { Err(unproven(case, why())) }
}

fn unproven(case: Case, why: String) -> Error {
    Error::Unproven { case: case.to_string(), why }
}

/// That all give the same bytes for the same packets and none beside them, and open what is sealed to what it was.
///
/// # Errors
///
/// [`Error::Unproven`], which says who does not.
fn prove(case: Case, contenders: &[Box<dyn Contender>], sealer: &dyn Contender) -> Result<(), Error> {
    let seed = u64::MAX;
    let mut sealing = Traffic::new(Case { op: Op::Encrypt, ..case }, sealer);
    let mut opening = Traffic::new(Case { op: Op::Decrypt, ..case }, sealer);
    let mut expected: Option<(String, Vec<u8>)> = None;
    for contender in contenders {
        sealing.wipe();
        done(case, contender.as_ref(), contender.lap(Op::Encrypt, &mut sealing.deal(seed)?))?;
        match &expected {
            None => expected = Some((contender.name(), sealing.memory().to_vec())),
            Some((other, memory)) if *memory != sealing.memory() => {
                let why = format!("{} and {other} seal the same packets differently", contender.name());
                return Err(unproven(case, why));
            }
            Some(_) => {}
        }
        done(case, contender.as_ref(), contender.lap(Op::Decrypt, &mut opening.deal(seed)?))?;
        if !opening.is_clear() {
            return Err(unproven(case, format!("{} opens to something else", contender.name())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Size;
    use crate::gcm::traffic::Packet;
    use model::KeyLen;

    type Spoil = fn(&mut Packet<'_>);

    /// One of ours, who spoils a packet after it did `op`.
    struct Spoiler {
        inner: Ours,
        op: Op,
        spoil: Spoil,
    }

    impl Contender for Spoiler {
        fn name(&self) -> String {
            "spoiler".to_owned()
        }

        fn key_bytes(&self) -> usize {
            self.inner.key_bytes()
        }

        fn lap(&self, op: Op, packets: &mut [Packet<'_>]) -> Lap {
            let lap = self.inner.lap(op, packets);
            if op == self.op {
                (self.spoil)(&mut packets[1]);
            }
            lap
        }
    }

    #[test]
    fn all_of_ours_do_the_same_and_who_does_not_is_named() {
        let keys = RawKeys::new(KeyLen::Aes256, 3);
        let ours = |back_end| Ours::new(back_end, &keys, true).unwrap();
        let sealer = ours(BackEnd::chosen());
        let all = || BackEnd::available().into_iter().map(|each| Box::new(ours(each)) as Box<dyn Contender>);
        let case = Case { key: keys.length, keys: 3, op: Op::Encrypt, payload: Size::Imix };
        prove(case, &all().collect::<Vec<_>>(), &sealer).unwrap();

        let spoils: [(Op, Spoil); 3] = [
            (Op::Encrypt, |packet| packet.sealed().unwrap()[0] ^= 1),
            (Op::Encrypt, |packet| packet.buffer[packet.text.end + 16] ^= 1),
            (Op::Decrypt, |packet| packet.sealed().unwrap()[63] ^= 1),
        ];
        for (op, spoil) in spoils {
            let spoiler = Spoiler { inner: ours(BackEnd::chosen()), op, spoil };
            let with_it: Vec<_> = all().chain([Box::new(spoiler) as Box<dyn Contender>]).collect();
            let error = prove(case, &with_it, &sealer).unwrap_err();
            assert!(error.to_string().contains("spoiler"), "{error}");
        }
    }

    #[test]
    fn ratios_are_of_one_round_each() {
        assert_eq!(ratio(&[20.0, 90.0, 40.0], &[10.0, 30.0, 10.0]), 3.0);
        assert_eq!(spread(&[1.0, 2.0, 3.0]), 1.0);
    }
}
