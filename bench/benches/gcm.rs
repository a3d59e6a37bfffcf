//! AES-GCM over bursts of 32 packets, as the data plane calls it: by length of the text and of the key, under one key or
//! 1000 in random order.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gcm::{Aad, Job, Key, NONCE_LEN, TAG_LEN};
use model::{IcvLen, KeyLen};
use std::hint::black_box;

const BURST: usize = 32;
/// Bytes of text: ESP's trailer and padding make them multiples of 4 anyway.
const SIZES: [usize; 6] = [64, 128, 256, 512, 1024, 1420];
/// Headers in front of the text.
const HEADER: usize = 36;

fn keys(count: usize, length: KeyLen) -> Vec<Key> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = vec![0; length.bytes()];
    let key = |_| {
        random.fill(&mut bytes);
        Key::new(&bytes, length).unwrap_or_else(|error| panic!("{error}"))
    };
    (0..count).map(key).collect()
}

/// Times `work` on a burst, which must say each time that the jobs of `failing` fail.
fn bursts(c: &mut Criterion, what: &str, failing: u64, work: impl Fn(&mut [Job<'_>]) -> u64) {
    let mut group = c.benchmark_group(what);
    for (count, length) in [(1, KeyLen::Aes128), (1, KeyLen::Aes256), (1000, KeyLen::Aes128)] {
        let keys = keys(count, length);
        for size in SIZES {
            let mut random = fastrand::Rng::with_seed(2);
            let mut packets = vec![vec![0x5A; HEADER + size + TAG_LEN]; BURST];
            group.throughput(Throughput::Bytes((BURST * size) as u64));
            let name = BenchmarkId::new(format!("{count}x{}", length.bits()), size);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let mut jobs: Vec<Job<'_>> = packets
                        .iter_mut()
                        .filter_map(|packet| {
                            Some(Job {
                                key: random.choice(&keys)?,
                                nonce: [7; NONCE_LEN],
                                aad: Aad::from([3; 8]),
                                packet,
                                text: HEADER..HEADER + size,
                                icv: IcvLen::Bytes16,
                            })
                        })
                        .collect();
                    assert_eq!(work(black_box(&mut jobs)), failing);
                });
            });
        }
    }
    group.finish();
}

fn seal(c: &mut Criterion) {
    bursts(c, "gcm/seal", 0, gcm::seal);
}

/// Packets that do not verify: what a flood of forgeries costs.
fn forged(c: &mut Criterion) {
    bursts(c, "gcm/open-forged", (1 << BURST) - 1, gcm::open);
}

/// Opening undoes sealing, so an honest packet is sealed anew each time before it is opened: subtract `gcm/seal`.
fn seal_and_open(c: &mut Criterion) {
    bursts(c, "gcm/seal-and-open", 0, |jobs| gcm::seal(jobs) | gcm::open(jobs));
}

criterion_group!(benches, seal, forged, seal_and_open);
criterion_main!(benches);
