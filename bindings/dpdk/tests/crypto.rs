//! Crypto devices: whole bursts against RustCrypto, and what must not go wrong whatever is asked of them.
#![allow(clippy::unwrap_used)]

mod common;

use aes::cipher::{BlockModeEncrypt, KeyIvInit, StreamCipher};
use chacha20poly1305::aead::{AeadInOut, inout::InOutBuf};
use common::{capture, device, eal, packets, pool};
use dpdk::{
    BURST, Cipher, CryptoJob, CryptoOutcome, CryptoQueue, Cryptodev, DIGEST_MAX, HEADROOM, Mac, Packets,
    Session, Transform, Way,
};
use hmac::{KeyInit, Mac as _};
use proptest::prelude::*;
use std::cell::RefCell;
use std::time::Duration;

fn open(queues: u16) -> (Cryptodev, Vec<CryptoQueue>) {
    Cryptodev::open(&eal(), "crypto_aesni_mb", queues).unwrap()
}

/// The algorithms of one session, with keys.
#[derive(Clone, Debug)]
struct Keys {
    cipher: Option<(Cipher, Vec<u8>)>,
    /// `None`: ChaCha20-Poly1305, with the key alone and so much additional data.
    mac: Option<(Mac, Vec<u8>, u8)>,
    chacha: (Vec<u8>, u8),
}

impl Keys {
    fn transform(&self) -> Transform<'_> {
        match &self.mac {
            None => Transform::ChaCha20Poly1305 { key: &self.chacha.0, aad: self.chacha.1 },
            Some((mac, key, digest)) => Transform::CipherMac {
                cipher: self.cipher.as_ref().map(|(cipher, key)| (*cipher, &key[..])),
                mac: (*mac, key),
                digest: *digest,
            },
        }
    }

    fn block(&self) -> usize {
        match (&self.mac, &self.cipher) {
            (Some(_), Some((Cipher::AesCbc, _))) => 16,
            (Some(_), Some((Cipher::TripleDesCbc, _))) => 8,
            _ => 1,
        }
    }

    /// By RustCrypto: the bytes of `text` encrypted in place, and the digest of `covered`.
    fn seal(&self, packet: &mut [u8], job: &CryptoJob<'_>) -> Vec<u8> {
        let text = &mut packet[job.text.clone()];
        let Some((mac, mac_key, digest)) = &self.mac else {
            let cipher = chacha20poly1305::ChaCha20Poly1305::new_from_slice(&self.chacha.0).unwrap();
            let nonce: [u8; 12] = job.iv[..12].try_into().unwrap();
            let aad = &job.aad[..usize::from(self.chacha.1)];
            return cipher.encrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(text)).unwrap().to_vec();
        };
        if let Some((cipher, key)) = &self.cipher {
            macro_rules! cbc {
                ($cipher:ty, $iv:expr) => {{
                    let mut cipher = cbc::Encryptor::<$cipher>::new_from_slices(key, $iv).unwrap();
                    for block in text.chunks_mut(self.block()) {
                        cipher.encrypt_block(block.try_into().unwrap());
                    }
                }};
            }
            macro_rules! ctr {
                ($cipher:ty) => {
                    ctr::Ctr32BE::<$cipher>::new_from_slices(key, &job.iv).unwrap().apply_keystream(text)
                };
            }
            match (cipher, key.len()) {
                (Cipher::AesCbc, 16) => cbc!(aes::Aes128, &job.iv),
                (Cipher::AesCbc, 24) => cbc!(aes::Aes192, &job.iv),
                (Cipher::AesCbc, _) => cbc!(aes::Aes256, &job.iv),
                (Cipher::TripleDesCbc, _) => cbc!(des::TdesEde3, &job.iv[..8]),
                (Cipher::AesCtr, 16) => ctr!(aes::Aes128),
                (Cipher::AesCtr, 24) => ctr!(aes::Aes192),
                (Cipher::AesCtr, _) => ctr!(aes::Aes256),
            }
        }
        macro_rules! hmac {
            ($hash:ty) => {
                hmac::Hmac::<$hash>::new_from_slice(mac_key)
                    .unwrap()
                    .chain_update(&packet[job.covered.clone()])
                    .finalize()
                    .into_bytes()[..usize::from(*digest)]
                    .to_vec()
            };
        }
        match mac {
            Mac::HmacSha1 => hmac!(sha1::Sha1),
            Mac::HmacSha256 => hmac!(sha2::Sha256),
            Mac::HmacSha384 => hmac!(sha2::Sha384),
            Mac::HmacSha512 => hmac!(sha2::Sha512),
        }
    }
}

/// Random keys of every suite that ESP has.
fn any_keys() -> impl Strategy<Value = Keys> {
    let bytes = |len| prop::collection::vec(any::<u8>(), len);
    let aes = || prop::sample::select(vec![16_usize, 24, 32]).prop_flat_map(bytes);
    let cipher = prop_oneof![
        Just(None),
        aes().prop_map(|key| Some((Cipher::AesCbc, key))),
        aes().prop_map(|key| Some((Cipher::AesCtr, key))),
        bytes(24).prop_map(|key| Some((Cipher::TripleDesCbc, key))),
    ];
    let mac = prop_oneof![
        Just(None),
        bytes(20).prop_map(|key| Some((Mac::HmacSha1, key, 12))),
        bytes(32).prop_map(|key| Some((Mac::HmacSha256, key, 16))),
        bytes(48).prop_map(|key| Some((Mac::HmacSha384, key, 24))),
        bytes(64).prop_map(|key| Some((Mac::HmacSha512, key, 32))),
    ];
    let chacha = (bytes(32), prop::sample::select(vec![8_u8, 12]));
    (cipher, mac, chacha).prop_map(|(cipher, mac, chacha)| Keys { cipher, mac, chacha })
}

#[derive(Clone, Debug)]
struct Packet {
    /// Which of the keys.
    keys: usize,
    head: usize,
    blocks: usize,
    seed: u8,
    iv: [u8; 16],
    aad: [u8; 16],
    tampered: bool,
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let len = prop_oneof![1..20_usize, 20..90_usize, Just(88)];
    (0..4_usize, 1..40_usize, len, any::<u8>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<bool>()).prop_map(
        |(keys, head, blocks, seed, iv, aad, tampered)| Packet {
            keys,
            head,
            blocks,
            seed,
            iv,
            aad,
            tampered,
        },
    )
}

/// A burst of packets of several sessions: sealed as RustCrypto seals them, opened again, and what was altered is found.
#[test]
fn bursts_are_what_rustcrypto_says() {
    let (device, queues) = open(1);
    let queue = RefCell::new(queues.into_iter().next().unwrap());
    let pool = packets();
    let bursts = (prop::collection::vec(any_keys(), 4), prop::collection::vec(any_packet(), 1..=BURST));
    proptest!(ProptestConfig::with_cases(96), |((keys, plan) in bursts)| {
        let queue = &mut *queue.borrow_mut();
        let sessions: Vec<[Session; 2]> = keys
            .iter()
            .map(|keys| [Way::Protect, Way::Open].map(|way| device.session(way, &keys.transform()).unwrap()))
            .collect();
        let mut burst = Packets::new();
        let mut expected = Vec::new();
        let mut jobs = Vec::new();
        for packet in &plan {
            let keys = &keys[packet.keys];
            let len = packet.blocks * keys.block();
            let bytes: Vec<u8> = (0..packet.head + len).map(|at| (at as u8) ^ packet.seed).collect();
            let slot = burst.push(pool.alloc_from_slice(&bytes).unwrap()).unwrap();
            let job = CryptoJob {
                session: &sessions[packet.keys][0],
                slot,
                iv: packet.iv,
                aad: packet.aad,
                text: packet.head..packet.head + len,
                covered: packet.head / 2..packet.head + len,
                digest: [0; DIGEST_MAX],
                outcome: CryptoOutcome::Late,
            };
            let mut sealed = bytes.clone();
            let digest = keys.seal(&mut sealed, &job);
            expected.push((bytes, sealed, digest));
            jobs.push(job);
        }
        queue.process(&mut burst, &mut jobs);
        for (job, (_, sealed, digest)) in jobs.iter().zip(&expected) {
            prop_assert_eq!(job.outcome, CryptoOutcome::Done);
            prop_assert_eq!(burst.get(job.slot).unwrap().data(), &sealed[..]);
            prop_assert_eq!(&job.digest[..digest.len()], &digest[..]);
        }
        for (job, packet) in jobs.iter_mut().zip(&plan) {
            job.session = &sessions[packet.keys][1];
            if packet.tampered {
                let at = job.text.end - 1;
                burst.get_mut(job.slot).unwrap().data_mut()[at] ^= 1 << (packet.seed % 8);
            }
        }
        queue.process(&mut burst, &mut jobs);
        for ((job, packet), (plain, ..)) in jobs.iter().zip(&plan).zip(&expected) {
            if packet.tampered {
                prop_assert_eq!(job.outcome, CryptoOutcome::Forged);
            } else {
                prop_assert_eq!(job.outcome, CryptoOutcome::Done);
                prop_assert_eq!(burst.get(job.slot).unwrap().data(), &plain[..]);
            }
        }
        drop(burst);
        prop_assert_eq!(pool.in_use(), 0);
    });
}

const CBC: Transform<'_> = Transform::CipherMac {
    cipher: Some((Cipher::AesCbc, &[1; 16])),
    mac: (Mac::HmacSha1, &[2; 20]),
    digest: 12,
};

fn job(session: &Session, slot: usize, len: usize) -> CryptoJob<'_> {
    CryptoJob {
        session,
        slot,
        iv: [3; 16],
        aad: [0; 16],
        text: 0..len,
        covered: 0..len,
        digest: [0; DIGEST_MAX],
        outcome: CryptoOutcome::Done,
    }
}

/// Ranges beyond the packet, half blocks, empty slots, one packet twice, another device's session: none is tried.
#[test]
fn what_cannot_be_is_not_tried() {
    let (device, mut queues) = open(1);
    let (other, _) = Cryptodev::open(&eal(), "crypto_openssl", 1).unwrap();
    let (session, foreign) =
        (device.session(Way::Protect, &CBC).unwrap(), other.session(Way::Protect, &CBC).unwrap());
    let pool = packets();
    let mut burst = Packets::new();
    for _ in 0..12 {
        burst.push(pool.alloc_from_slice(&[9; 64]).unwrap()).unwrap();
    }
    let with = |slot, change: fn(&mut CryptoJob<'_>)| {
        let mut job = job(&session, slot, 64);
        change(&mut job);
        job
    };
    let mut jobs = vec![
        with(0, |job| job.text = 0..80),
        with(1, |job| job.text = 1..64),
        with(2, |job| job.text = 64..64),
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tried")]
        with(3, |job| job.text = 48..16),
        with(4, |job| job.text = 16..usize::MAX & !15),
        with(5, |job| job.covered = 0..65),
        with(6, |job| job.covered = 8..8),
        with(40, |_| ()),
        with(64, |_| ()),
        job(&foreign, 7, 64),
        with(8, |_| ()),
        with(8, |_| ()),
    ];
    queues[0].process(&mut burst, &mut jobs);
    let done: Vec<usize> =
        (0..jobs.len()).filter(|&place| jobs[place].outcome == CryptoOutcome::Done).collect();
    assert_eq!(done, [10]);
    assert!(jobs.iter().enumerate().all(|(at, job)| at == 10 || job.outcome == CryptoOutcome::Failed));
    for (slot, packet) in burst.masked(u64::MAX) {
        assert_eq!(packet.data() == [9; 64], slot != 8, "packet {slot}");
    }
    // More than a burst: the first 64 are done.
    let mut many = Packets::new();
    while many.push(pool.alloc_from_slice(&[9; 64]).unwrap()).is_ok() {}
    let mut jobs: Vec<_> = (0..BURST + 5).map(|slot| job(&session, slot, 64)).collect();
    queues[0].process(&mut many, &mut jobs);
    assert!(jobs[..BURST].iter().all(|job| job.outcome == CryptoOutcome::Done));
    assert!(jobs[BURST..].iter().all(|job| job.outcome == CryptoOutcome::Failed));
}

/// What does not come back in time is the queue's, with its session, until it does; nothing is freed under the device.
#[test]
fn late_packets_come_back_later() {
    let (device, mut queues) = open(1);
    let queue = &mut queues[0];
    let pool = packets();
    let session = device.session(Way::Protect, &CBC).unwrap();
    let mut burst = Packets::new();
    for _ in 0..BURST {
        burst.push(pool.alloc_from_slice(&[9; 64]).unwrap()).unwrap();
    }
    let mut jobs: Vec<_> = (0..BURST).map(|slot| job(&session, slot, 64)).collect();
    queue.set_patience(Duration::ZERO);
    queue.process(&mut burst, &mut jobs);
    assert!(jobs.iter().all(|job| job.outcome == CryptoOutcome::Late));
    assert_eq!((burst.mask(), queue.late(), pool.in_use()), (0, BURST, BURST as u32));
    drop(jobs);
    // Gone for us; the device still reads it.
    drop(session);
    let session = device.session(Way::Protect, &CBC).unwrap();
    queue.set_patience(Duration::from_secs(10));
    let slot = burst.push(pool.alloc_from_slice(&[9; 64]).unwrap()).unwrap();
    let mut one = [job(&session, slot, 64)];
    queue.process(&mut burst, &mut one);
    assert_eq!(one[0].outcome, CryptoOutcome::Done);
    assert_eq!((queue.late(), pool.in_use()), (0, 1));

    // As many late as there is room for, and then no more are taken.
    queue.set_patience(Duration::ZERO);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let mut burst = Packets::new();
        while burst.push(pool.alloc_from_slice(&[9; 64]).unwrap()).is_ok() {}
        let mut jobs: Vec<_> = (0..BURST).map(|slot| job(&session, slot, 64)).collect();
        queue.process(&mut burst, &mut jobs);
        outcomes.extend(jobs.iter().map(|job| job.outcome));
    }
    assert!(outcomes.iter().all(|outcome| *outcome == CryptoOutcome::Late));
    drop((burst, queues));
    drop(session);
    drop(device);
    assert_eq!(pool.in_use(), 0, "the last look of a queue found them");
}

/// A chain of segments is done as if it were one piece.
#[test]
fn packets_in_several_segments() {
    let (device, mut queues) = open(1);
    let (protect, opens) =
        (device.session(Way::Protect, &CBC).unwrap(), device.session(Way::Open, &CBC).unwrap());
    let small = pool(255, 200 + HEADROOM);
    let folder = tempfile::tempdir().unwrap();
    let whole: Vec<u8> = (0..960).map(|at| (at % 251) as u8).collect();
    let file = capture(folder.path(), std::slice::from_ref(&whole));
    let mut pcap = dpdk::attach(&device_name("net_pcap", &format!("rx_pcap={}", file.display()))).unwrap();
    let config = dpdk::PortConfig { mtu: Some(100), ..dpdk::PortConfig::new(1, 512) };
    let (mut rx, _) = pcap.start(config, &small).unwrap();
    let mut burst = Packets::new();
    assert_eq!(burst.receive(&mut rx[0]), 1);
    assert!(burst.get(0).unwrap().segments() > 3);
    let flat = |burst: &Packets| burst.get(0).unwrap().segment_slices().collect::<Vec<_>>().concat();

    let keys = Keys {
        cipher: Some((Cipher::AesCbc, vec![1; 16])),
        mac: Some((Mac::HmacSha1, vec![2; 20], 12)),
        chacha: (vec![], 0),
    };
    let mut jobs = [CryptoJob { text: 64..960, ..job(&protect, 0, 960) }];
    let mut expected = whole.clone();
    let digest = keys.seal(&mut expected, &jobs[0]);
    queues[0].process(&mut burst, &mut jobs);
    assert_eq!((jobs[0].outcome, flat(&burst)), (CryptoOutcome::Done, expected));
    assert_eq!(jobs[0].digest[..12], digest[..]);
    jobs[0].session = &opens;
    queues[0].process(&mut burst, &mut jobs);
    assert_eq!((jobs[0].outcome, flat(&burst)), (CryptoOutcome::Done, whole));
    drop(burst);
    assert_eq!(small.in_use(), 0);
}

fn device_name(driver: &str, arguments: &str) -> String {
    device(driver, arguments)
}

/// Queues of one device, each on a thread of its own, with sessions that come and go under them.
#[test]
fn several_workers_and_a_manager() {
    let (device, queues) = open(3);
    let pool = packets();
    let shared = device.session(Way::Protect, &CBC).unwrap();
    let (shared, pool) = (&shared, &pool);
    let expected = {
        let keys = Keys {
            cipher: Some((Cipher::AesCbc, vec![1; 16])),
            mac: Some((Mac::HmacSha1, vec![2; 20], 12)),
            chacha: (vec![], 0),
        };
        let mut bytes = [9; 64];
        (keys.seal(&mut bytes, &job(shared, 0, 64)), bytes)
    };
    let expected = &expected;
    std::thread::scope(|scope| {
        for mut queue in queues {
            scope.spawn(move || {
                for _ in 0..300 {
                    let mut burst = Packets::new();
                    for _ in 0..20 {
                        burst.push(pool.alloc_from_slice(&[9; 64]).unwrap()).unwrap();
                    }
                    let mut jobs: Vec<_> = (0..20).map(|slot| job(shared, slot, 64)).collect();
                    queue.set_patience(Duration::from_secs(10));
                    queue.process(&mut burst, &mut jobs);
                    for job in &jobs {
                        assert_eq!(job.outcome, CryptoOutcome::Done);
                        assert_eq!(job.digest[..12], expected.0[..]);
                        assert_eq!(burst.get(job.slot).unwrap().data(), expected.1);
                    }
                }
            });
        }
        // More than one pool of them.
        let many: Vec<Session> = (0..1200).map(|_| device.session(Way::Open, &CBC).unwrap()).collect();
        drop(many);
    });
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_device_is_had_once_and_comes_again() {
    let eal = eal();
    let (device, queues) = open(2);
    assert_eq!((device.name(), queues.len()), ("crypto_aesni_mb", 2));
    let again = Cryptodev::open(&eal, "crypto_aesni_mb", 1).unwrap_err();
    assert!(again.to_string().contains("in use"), "{again}");
    drop(device);
    drop(queues);
    drop(open(1));
    let missing = Cryptodev::open(&eal, "crypto_no_such_driver", 1).unwrap_err();
    assert!(matches!(missing, dpdk::Error::Cryptodev { step: "find it", .. }), "{missing}");
}
