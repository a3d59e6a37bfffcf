//! A set made ready: its rules, our image of them, packets for it, files for `dpdk-test-acl`; and proof that all classify
//! alike.

use super::case::{Case, Set};
use super::files::{write_rules, write_trace};
use super::forms::{Changed, Wide, wide_key};
use super::method::Method;
use super::rival::{Place, Rival, Task};
use super::trace::Locality;
use super::{rules, trace};
use crate::Error;
use crate::clock::Rate;
use crate::samples::median;
use acl::{BackEnd, Classifier, Image, KeyV4, KeyV6, Limits, Linear, Overlay, Rule, Verdict, compile};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// All sets and traces are of this seed.
const SEED: u64 = 1;
/// Packets of each trace that are proved, at least and at most.
const PROVED: std::ops::RangeInclusive<usize> = 256..=4096;
/// Rules that the linear scan may look at for the proof of a trace.
const VISITS: usize = 50_000_000;

/// A set made ready.
pub struct Field {
    /// Which.
    pub set: Set,
    /// In their order.
    pub rules: Vec<Rule>,
    /// What we look up in.
    pub image: Image,
    /// Milliseconds that compiling took, the median of some times.
    pub build_ms: f64,
    /// The same, changed.
    pub changed: Vec<Changed>,
    /// The same of IPv6.
    pub wide: Wide,
    traces: BTreeMap<Locality, Vec<KeyV4>>,
    folder: PathBuf,
}

impl Field {
    /// Makes the rules, compiles them with all cores that we may use, and draws the traces of the cases.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`] if the rules do not compile.
    pub fn new(set: Set, cases: &[Case], folder: &Path) -> Result<Field, Error> {
        let rules = rules::generate(set.shape, set.rules, SEED);
        let times = if set.rules < super::case::LARGE { 5 } else { 1 };
        let mut builds = Vec::new();
        let mut image = None;
        for _ in 0..times {
            let begun = Instant::now();
            let compiled = compile(&rules, Limits::default());
            builds.push(begun.elapsed().as_secs_f64() * 1e3);
            image = Some(compiled.map_err(|error| unproven(set, error.to_string()))?);
        }
        let image = image.ok_or_else(|| Error::Generator("nothing was compiled".to_owned()))?;
        let mut traces = BTreeMap::new();
        for case in cases {
            traces.entry(case.trace).or_insert_with(|| trace::generate(&rules, case.trace, SEED));
        }
        let failed = |error: acl::CompileError| unproven(set, error.to_string());
        let changed = Changed::all(&rules, &image, SEED).map_err(failed)?;
        let wide = Wide::new(&rules).map_err(failed)?;
        let build_ms = median(builds);
        let field = Field { set, image, build_ms, changed, wide, traces, folder: folder.to_owned(), rules };
        field
            .write()
            .map_err(Error::io(format!("cannot write rules and packets to {}", folder.display())))?;
        Ok(field)
    }

    fn write(&self) -> std::io::Result<()> {
        write_rules(&self.rules_file(), &self.rules)?;
        for (locality, keys) in &self.traces {
            write_trace(&self.trace_file(*locality), keys)?;
        }
        write_trace(&self.sample_file(), self.traces.values().flat_map(|keys| self.sample(keys)))
    }

    fn rules_file(&self) -> PathBuf {
        self.folder.join("rules")
    }

    fn trace_file(&self, locality: Locality) -> PathBuf {
        self.folder.join(format!("trace-{locality}"))
    }

    fn sample_file(&self) -> PathBuf {
        self.folder.join("trace-sample")
    }

    /// The packets of a case.
    pub fn keys(&self, locality: Locality) -> &[KeyV4] {
        self.traces.get(&locality).map_or(&[], Vec::as_slice)
    }

    /// `rte_acl` with these rules, ready for a case.
    ///
    /// # Errors
    ///
    /// Those of [`Rival::start`].
    pub fn rival<'a>(
        &self,
        place: &Place<'a>,
        case: Case,
        method: Method,
        rate: Rate,
    ) -> Result<Rival<'a>, Error> {
        let (rules, trace) = (self.rules_file(), self.trace_file(case.trace));
        let packets = self.keys(case.trace).len();
        let task = Task { rules: &rules, rule_count: self.set.rules, trace: &trace, packets };
        Rival::start(place, &task, case.burst, method, rate)
    }

    /// Some packets of all of a trace.
    fn sample<'k>(&self, keys: &'k [KeyV4]) -> impl Iterator<Item = &'k KeyV4> + use<'k> {
        let count = (VISITS / self.rules.len().max(1)).clamp(*PROVED.start(), *PROVED.end());
        keys.iter().step_by(keys.len().div_ceil(count).max(1))
    }

    /// What the linear scan says of the sample of all traces.
    pub fn expected(&self) -> (Vec<KeyV4>, Vec<Verdict>) {
        let keys: Vec<KeyV4> = self.traces.values().flat_map(|keys| self.sample(keys)).copied().collect();
        let mut verdicts = vec![Verdict::NONE; keys.len()];
        Linear::new(&self.rules).lookup_v4(&keys, &mut verdicts);
        (keys, verdicts)
    }

    /// That our look-up says the same, whatever the burst.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`], with the first packet of which it does not.
    pub fn prove_ours(&self, (keys, expected): &(Vec<KeyV4>, Vec<Verdict>)) -> Result<(), Error> {
        let classifier = Classifier::verify(self.image.as_bytes())
            .map_err(|error| unproven(self.set, error.to_string()))?;
        for burst in [1, 8, 32, 256, keys.len().max(1)] {
            let mut verdicts = vec![Verdict::NONE; keys.len()];
            for (keys, verdicts) in keys.chunks(burst).zip(verdicts.chunks_mut(burst)) {
                classifier.lookup_v4(keys, verdicts);
            }
            self.compare("espalier", keys, &verdicts, expected)?;
        }
        self.prove_forms(&classifier, keys, expected)
    }

    /// That so do all our other forms.
    fn prove_forms(
        &self,
        base: &Classifier<&[u8]>,
        keys: &[KeyV4],
        expected: &[Verdict],
    ) -> Result<(), Error> {
        let mut verdicts = vec![Verdict::NONE; keys.len()];
        for changed in &self.changed {
            let overlay =
                Overlay::verify(&changed.image).map_err(|error| unproven(self.set, error.to_string()))?;
            if let Some(list) = overlay.over(base) {
                list.lookup_v4(keys, &mut verdicts);
            }
            let found: Vec<_> = verdicts.iter().map(|verdict| (verdict.rule(), verdict.action())).collect();
            let expected: Vec<_> = expected.iter().map(|verdict| changed.renumbered(*verdict)).collect();
            self.compare(&format!("espalier+{}", changed.lines), keys, &found, &expected)?;
        }
        let wide =
            Classifier::verify(&self.wide.image).map_err(|error| unproven(self.set, error.to_string()))?;
        let wide_keys: Vec<KeyV6> = keys.iter().map(wide_key).collect();
        for back_end in BackEnd::all() {
            let by_it = Classifier::verify(self.image.as_bytes())
                .map_err(|error| unproven(self.set, error.to_string()))?;
            by_it.with(back_end).lookup_v4(keys, &mut verdicts);
            self.compare(&format!("espalier-{back_end}"), keys, &verdicts, expected)?;
        }
        wide.lookup_v6(&wide_keys, &mut verdicts);
        self.compare("espalier-ipv6", keys, &verdicts, expected)
    }

    /// That `rte_acl` finds the same rules.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`], and those of [`Rival::verdicts`].
    pub fn prove_rival(
        &self,
        (keys, expected): &(Vec<KeyV4>, Vec<Verdict>),
        place: &Place<'_>,
        method: Method,
        rate: Rate,
    ) -> Result<(), Error> {
        let (rules, trace) = (self.rules_file(), self.sample_file());
        let task = Task { rules: &rules, rule_count: self.set.rules, trace: &trace, packets: keys.len() };
        let found = Rival::verdicts(place, &task, method, rate)?;
        let expected: Vec<Option<u32>> = expected.iter().map(|verdict| verdict.rule()).collect();
        self.compare(&format!("rte_acl-{method}"), keys, &found, &expected)
    }

    fn compare<V: PartialEq + std::fmt::Debug>(
        &self,
        who: &str,
        keys: &[KeyV4],
        found: &[V],
        expected: &[V],
    ) -> Result<(), Error> {
        let mut all = keys.iter().zip(found.iter().zip(expected));
        match all.find(|(_, (found, expected))| found != expected) {
            None => Ok(()),
            Some((key, (found, expected))) => {
                let why = format!("{who} says {found:?} of {key:?}, and the linear scan {expected:?}");
                Err(unproven(self.set, why))
            }
        }
    }
}

fn unproven(set: Set, why: String) -> Error {
    Error::Unproven { case: set.to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::shape::Shape;

    #[test]
    fn ours_is_proved_for_every_shape_and_who_differs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for shape in Shape::ALL {
            let set = Set { shape, rules: 1000 };
            let cases = Locality::BOTH.map(|trace| Case { set, trace, burst: 32 });
            let field = Field::new(set, &cases, folder.path()).unwrap();
            let (keys, mut expected) = field.expected();
            assert!(keys.len() > 2 * *PROVED.start());
            assert!(expected.contains(&Verdict::NONE));
            field.prove_ours(&(keys.clone(), expected.clone())).unwrap();

            let hit = expected.iter_mut().find(|verdict| verdict.rule().is_some()).unwrap();
            *hit = Verdict::NONE;
            let error = field.prove_ours(&(keys, expected)).unwrap_err();
            assert!(error.to_string().contains("espalier says"), "{error}");
        }
    }
}
