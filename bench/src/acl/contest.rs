//! A set's figures: for each case we and each other take turns on one core, on the same packets.
//!
//! A ratio is of two turns of one round, and its median over all rounds is what counts: a machine whose pace drifts is fair
//! to both.

use super::case::{Case, LARGE};
use super::contender::{Contender, Local, Turn};
use super::field::Field;
use super::forms::wide_key;
use super::method::Method;
use super::report::Row;
use super::rival::{Built, Place};
use crate::Error;
use crate::clock::Rate;
use crate::guard::Guard;
use crate::report::hugepages;
use crate::samples::{median, ratio, spread};
use acl::{BackEnd, Classifier, KeyV4, KeyV6, Linear, Overlay, Rule, Verdict, VerifyError};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long two are measured in turn.
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
            Effort { time: Duration::from_millis(350), least: 5, most: 41 }
        } else {
            Effort { time: Duration::from_millis(700), least: 9, most: 101 }
        }
    }
}

/// Where a contest is held, and how.
pub struct Contest<'a> {
    /// How long.
    pub effort: Effort,
    /// Where `rte_acl` runs.
    pub place: Place<'a>,
    /// Against others on the machine.
    pub guard: Guard,
    /// The clock's pace.
    pub rate: Rate,
    /// Without `rte_acl`, in seconds instead of minutes.
    pub alone: bool,
    /// Of its methods only the one of this name.
    pub method: Option<String>,
}

impl Contest<'_> {
    /// Measures all cases of a set, and tells each when it is done: a row for each contender.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`] if two do not classify alike; [`Error::Process`] if `rte_acl` fails on a set that is not large.
    pub fn measure(
        &mut self,
        field: &Field,
        cases: &[Case],
        mut done: impl FnMut(Case, &[Row]),
    ) -> Result<Vec<Row>, Error> {
        let expected = field.expected();
        field.prove_ours(&expected)?;
        // The widest first: if it cannot be built, none can.
        let mut methods = if self.alone { Vec::new() } else { Method::available() };
        methods.retain(|method| self.method.as_ref().is_none_or(|only| method.to_string() == *only));
        methods.reverse();
        let mut declined = None;
        // A large set is built too slowly to be proved for each method.
        let proved = if field.set.rules < 10_000 { methods.len() } else { 1 };
        for &method in methods.iter().take(proved).filter(|_| cases.iter().any(Case::has_rival)) {
            let proof = field.prove_rival(&expected, &self.place, method, self.rate);
            declined = declines(proof, field)?.err();
        }
        let mut rows = Vec::new();
        for &case in cases {
            let methods = if case.has_rival() { methods.as_slice() } else { &[] };
            let measured = self.case(field, case, methods, &mut declined)?;
            done(case, &measured);
            rows.extend(measured);
        }
        Ok(rows)
    }

    fn case(
        &mut self,
        field: &Field,
        case: Case,
        methods: &[Method],
        declined: &mut Option<String>,
    ) -> Result<Vec<Row>, Error> {
        let keys = field.keys(case.trace);
        let classifier = Classifier::verify(field.image.as_bytes())
            .map_err(|error| Error::Unproven { case: case.to_string(), why: error.to_string() })?;
        let look_up = |keys: &[KeyV4], verdicts: &mut [Verdict]| classifier.lookup_v4(keys, verdicts);
        let mut ours = Local::new("espalier", look_up, keys, case.burst);
        let mut all = Vec::new();
        let mut rows = Vec::new();
        for &method in methods {
            let started = match declined {
                Some(why) => Err(why.clone()),
                None => declines(field.rival(&self.place, case, method, self.rate), field)?,
            };
            match started {
                Ok(mut rival) => {
                    let samples = self.duel(&mut ours, &mut rival)?;
                    rows.push(self.row(case, rival.name(), rival.built, &samples));
                    all.extend(samples.ours);
                }
                Err(why) => {
                    let name = format!("rte_acl-{method}");
                    let mut row = self.row(case, name, Built::default(), &Samples::default());
                    row.note = Some(why.clone());
                    rows.push(row);
                    *declined = Some(why);
                }
            }
        }
        if case.has_forms() {
            rows.extend(self.forms(field, case, &classifier, &mut ours, &mut all)?);
        }
        if case.has_linear() {
            let linear = Linear::new(&field.rules);
            let look_up = |keys: &[KeyV4], verdicts: &mut [Verdict]| linear.lookup_v4(keys, verdicts);
            let mut linear = Local::new("linear", look_up, keys, case.burst);
            let samples = self.duel(&mut ours, &mut linear)?;
            let bytes = field.rules.len() * size_of::<Rule>();
            let built = Built { milliseconds: 0.0, bytes, hugepages: hugepages() };
            rows.push(self.row(case, linear.name(), built, &samples));
            all.extend(samples.ours);
        }
        if all.is_empty() {
            all = self.alone(&mut ours)?;
        }
        let bytes = field.image.as_bytes().len();
        let built = Built { milliseconds: field.build_ms, bytes, hugepages: hugepages() };
        let samples = Samples { theirs: all.clone(), ours: all };
        rows.insert(0, self.row(case, ours.name(), built, &samples));
        Ok(rows)
    }

    /// Our other forms.
    fn forms(
        &mut self,
        field: &Field,
        case: Case,
        classifier: &Classifier<&[u8]>,
        ours: &mut dyn Contender,
        all: &mut Vec<f64>,
    ) -> Result<Vec<Row>, Error> {
        let keys = field.keys(case.trace);
        let unproven =
            |error: VerifyError| Error::Unproven { case: case.to_string(), why: error.to_string() };
        let mut rows = Vec::new();
        let mut against = |this: &mut Self, other: &mut dyn Contender, milliseconds: f64, bytes: usize| {
            let samples = this.duel(ours, other)?;
            let built = Built { milliseconds, bytes, hugepages: hugepages() };
            rows.push(this.row(case, other.name(), built, &samples));
            all.extend(samples.ours);
            Ok::<(), Error>(())
        };
        let bytes = field.image.as_bytes().len();
        for back_end in BackEnd::all().into_iter().filter(|back_end| *back_end != BackEnd::best()) {
            let other = Classifier::verify(field.image.as_bytes()).map_err(unproven)?.with(back_end);
            let look_up = |keys: &[KeyV4], verdicts: &mut [Verdict]| other.lookup_v4(keys, verdicts);
            let mut other = Local::new(format!("espalier-{back_end}"), look_up, keys, case.burst);
            against(self, &mut other, 0.0, bytes)?;
        }
        for changed in &field.changed {
            let overlay = Overlay::verify(&changed.image).map_err(unproven)?;
            let look_up = |keys: &[KeyV4], verdicts: &mut [Verdict]| {
                if let Some(list) = overlay.over(classifier) {
                    list.lookup_v4(keys, verdicts);
                }
            };
            let name = format!("espalier+{}", changed.lines);
            let mut other = Local::new(name, look_up, keys, case.burst);
            against(self, &mut other, changed.build_ms, changed.image.as_bytes().len())?;
        }
        let wide = Classifier::verify(&field.wide.image).map_err(unproven)?;
        let keys: Vec<KeyV6> = keys.iter().map(wide_key).collect();
        let look_up = |keys: &[KeyV6], verdicts: &mut [Verdict]| wide.lookup_v6(keys, verdicts);
        let mut other = Local::new("espalier-ipv6", look_up, &keys, case.burst);
        against(self, &mut other, field.wide.build_ms, field.wide.image.as_bytes().len())?;
        Ok(rows)
    }

    /// Both in turn, round by round; whoever begins a round comes last in the next.
    fn duel(&mut self, ours: &mut dyn Contender, theirs: &mut dyn Contender) -> Result<Samples, Error> {
        let mut samples = Samples::default();
        let begun = Instant::now();
        for round in 0..self.effort.most {
            if round >= self.effort.least && begun.elapsed() >= self.effort.time {
                break;
            }
            if self.place.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let mut turn = |each: &mut dyn Contender| each.turn(Turn::USUAL, &mut self.guard);
            let (our, their) = if round.is_multiple_of(2) {
                let our = turn(ours)?;
                (our, turn(theirs)?)
            } else {
                let their = turn(theirs)?;
                (turn(ours)?, their)
            };
            samples.ours.push(our);
            samples.theirs.push(their);
        }
        Ok(samples)
    }

    fn alone(&mut self, ours: &mut dyn Contender) -> Result<Vec<f64>, Error> {
        let mut samples = Vec::new();
        for _ in 0..self.effort.least {
            if self.place.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            samples.push(ours.turn(Turn::USUAL, &mut self.guard)?);
        }
        Ok(samples)
    }

    fn row(&self, case: Case, implementation: String, built: Built, samples: &Samples) -> Row {
        Row {
            implementation,
            set: case.set.to_string(),
            rules: case.set.rules,
            trace: case.trace,
            burst: case.burst,
            clocks: median(samples.theirs.clone()),
            ratio: ratio(&samples.theirs, &samples.ours),
            build_ms: built.milliseconds,
            bytes: built.bytes,
            hugepages: built.hugepages,
            rounds: samples.theirs.len(),
            spread: spread(&samples.theirs),
            pace: self.guard.pace(),
            note: None,
        }
    }
}

/// Clocks per packet, round by round.
#[derive(Default)]
struct Samples {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// That `rte_acl` cannot build a large set is a result, not an error.
fn declines<T>(outcome: Result<T, Error>, field: &Field) -> Result<Result<T, String>, Error> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Error::Process { why, .. }) if field.set.rules >= LARGE => Ok(Err(why)),
        Err(error) => Err(error),
    }
}
