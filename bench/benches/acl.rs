//! Look-ups of bursts of 32 keys in compiled access lists: by number of rules, a host or a network each.

use acl::{Action, Classifier, KeyV4, Limits, Rule, Verdict, compile};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{Prefix, Selector};
use std::hint::black_box;
use std::net::Ipv4Addr;

const BURST: usize = 32;
/// Bursts of keys that are looked up in turn.
const BURSTS: usize = 64;
const RULES: [u32; 4] = [1, 10, 1000, 100_000];

/// A rule for each of so many destinations, of prefixes of `len` bits, side by side.
fn rules(count: u32, len: u8) -> Option<Vec<Rule>> {
    let source: Prefix = "10.1.0.0/16".parse().ok()?;
    let rule = |number: u32| {
        let destination = Ipv4Addr::from_bits(0x1400_0000 + (number << (32 - len)));
        let destination: Prefix = format!("{destination}/{len}").parse().ok()?;
        let selector = Selector::between(source, destination).ok()?;
        Some(Rule { selector, action: Action::Protect(number) })
    };
    (0..count).map(rule).collect()
}

fn key(rule: u32, len: u8) -> KeyV4 {
    KeyV4 {
        source: 0x0A01_0009,
        destination: 0x1400_0000 + (rule << (32 - len)),
        source_port: 1000,
        destination_port: 2000,
        protocol: 17,
        has_ports: true,
    }
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("acl");
    group.throughput(Throughput::Elements(BURST as u64));
    for (kind, len) in [("hosts", 32), ("networks", 24)] {
        for count in RULES.into_iter().filter(|&count| len == 32 || count < 100_000) {
            let Some(image) = rules(count, len).and_then(|rules| compile(&rules, Limits::default()).ok())
            else {
                panic!("{count} {kind} do not compile");
            };
            let Ok(classifier) = Classifier::verify(image.as_bytes()) else {
                panic!("{count} {kind} are not verified");
            };
            let mut random = fastrand::Rng::with_seed(1);
            for (what, above) in [("hit", 0), ("miss", count)] {
                let keys: Vec<Vec<KeyV4>> = (0..BURSTS)
                    .map(|_| (0..BURST).map(|_| key(above + random.u32(..count), len)).collect())
                    .collect();
                let mut verdicts = [Verdict::NONE; BURST];
                let mut next = keys.iter().cycle();
                group.bench_function(BenchmarkId::new(format!("{kind}/{what}"), count), |bencher| {
                    bencher.iter(|| {
                        if let Some(keys) = next.next() {
                            classifier.lookup_v4(black_box(keys), &mut verdicts);
                        }
                        black_box(&verdicts);
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, look_up);
criterion_main!(benches);
