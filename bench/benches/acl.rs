//! Look-ups of bursts of 32 keys in compiled access lists: by shape and number of rules, with packets of all rules.
//! `scripts/bench acl` has more, and others beside.

use acl::{Classifier, Limits, Verdict, compile};
use bench::acl::shape::Shape;
use bench::acl::trace::Locality;
use bench::acl::{rules, trace};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const BURST: usize = 32;
const RULES: [usize; 4] = [10, 100, 1000, 10_000];

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("acl");
    group.throughput(Throughput::Elements(BURST as u64));
    for shape in Shape::ALL {
        for count in RULES {
            let rules = rules::generate(shape, count, 1);
            let keys = trace::generate(&rules, Locality::All, 1);
            let image = compile(&rules, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
            let classifier = Classifier::verify(image.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            let mut verdicts = [Verdict::NONE; BURST];
            let mut bursts = keys.chunks_exact(BURST).cycle();
            group.bench_function(BenchmarkId::new(shape.to_string(), count), |bencher| {
                bencher.iter(|| {
                    if let Some(keys) = bursts.next() {
                        classifier.lookup_v4(black_box(keys), &mut verdicts);
                    }
                    black_box(&verdicts);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, look_up);
criterion_main!(benches);
