//! Every suite of a device beside its slow twin, which is written from the RFCs over RustCrypto.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use super::*;
use aes::cipher::{BlockModeEncrypt, KeyIvInit, StreamCipher};
use chacha20poly1305::aead::{AeadInOut, inout::InOutBuf};
use esp::tunnel;
use hmac::{KeyInit, Mac as _};
use model::{KeyLen, Mode, Spi};
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// The outer IPv4 header.
const ESP: usize = 20;

/// One packet and its SA.
#[derive(Clone, Debug)]
struct Case {
    suite: Suite,
    esn: bool,
    material: Vec<u8>,
    sequence: u64,
    counter: u64,
    inner: Vec<u8>,
    /// The bit of the ESP packet that is turned over on its way.
    altered: usize,
}

impl Case {
    fn keys(&self) -> Keys<'_> {
        self.suite.key_shape().split(&self.material).unwrap()
    }

    /// ESP header, IV, text and ICV, from the RFCs: the slow twin.
    fn esp(&self, spi: u32) -> Vec<u8> {
        let keys = self.keys();
        let mut text = self.inner.clone();
        let mut pad = 0;
        while !(text.len() + 2).is_multiple_of(self.suite.alignment()) {
            pad += 1;
            text.push(pad);
        }
        text.extend([pad, 4]);
        let mut esp = [spi.to_be_bytes(), (self.sequence as u32).to_be_bytes()].concat();
        let high = ((self.sequence >> 32) as u32).to_be_bytes();
        let counter = self.counter.to_be_bytes();
        let Suite::CipherHmac { cipher, hmac } = self.suite else {
            // RFC 7634, section 2.
            let aad = if self.esn { [&esp[..4], &high, &esp[4..]].concat() } else { esp.clone() };
            let nonce: [u8; 12] = [&keys.salt[..], &counter].concat().try_into().unwrap();
            let cipher = chacha20poly1305::ChaCha20Poly1305::new_from_slice(keys.cipher).unwrap();
            let tag =
                cipher.encrypt_inout_detached(&nonce.into(), &aad, InOutBuf::from(&mut text[..])).unwrap();
            // RFC 8750, section 4: it is the sequence number, and not sent once more.
            let sent: &[u8] = if self.suite == Suite::ChaCha20Poly1305Iiv { &[] } else { &counter };
            return [&esp[..], sent, &text, &tag].concat();
        };
        macro_rules! ctr {
            ($cipher:ty) => {{
                let first = [&keys.salt[..], &counter, &[0, 0, 0, 1]].concat();
                let mut stream = ctr::Ctr32BE::<$cipher>::new_from_slices(keys.cipher, &first).unwrap();
                stream.apply_keystream(&mut text);
                counter.to_vec()
            }};
        }
        macro_rules! cbc {
            ($cipher:ty, $block:literal) => {{
                let encrypt = |iv: &[u8], text: &mut [u8]| {
                    let mut cbc = cbc::Encryptor::<$cipher>::new_from_slices(keys.cipher, iv).unwrap();
                    for block in text.chunks_mut($block) {
                        cbc.encrypt_block(block.try_into().unwrap());
                    }
                };
                // The IV by itself, then the text with it: two passes, where the quick way has one.
                let mut iv = vec![0; $block];
                iv[$block - 8..].copy_from_slice(&counter);
                encrypt(&[0; $block], &mut iv);
                encrypt(&iv, &mut text);
                iv
            }};
        }
        let iv = match cipher {
            model::Cipher::Null => vec![],
            model::Cipher::TripleDesCbc => cbc!(des::TdesEde3, 8),
            model::Cipher::AesCbc(KeyLen::Aes128) => cbc!(aes::Aes128, 16),
            model::Cipher::AesCbc(KeyLen::Aes192) => cbc!(aes::Aes192, 16),
            model::Cipher::AesCbc(KeyLen::Aes256) => cbc!(aes::Aes256, 16),
            model::Cipher::AesCtr(KeyLen::Aes128) => ctr!(aes::Aes128),
            model::Cipher::AesCtr(KeyLen::Aes192) => ctr!(aes::Aes192),
            model::Cipher::AesCtr(KeyLen::Aes256) => ctr!(aes::Aes256),
        };
        esp.extend(iv.into_iter().chain(text));
        let covered = if self.esn { [&esp[..], &high].concat() } else { esp.clone() };
        macro_rules! hmac {
            ($hash:ty) => {{
                let hmac = hmac::Hmac::<$hash>::new_from_slice(keys.integrity).unwrap();
                hmac.chain_update(&covered).finalize().into_bytes().to_vec()
            }};
        }
        let digest = match hmac {
            Hmac::Sha1 => hmac!(sha1::Sha1),
            Hmac::Sha256 => hmac!(sha2::Sha256),
            Hmac::Sha384 => hmac!(sha2::Sha384),
            Hmac::Sha512 => hmac!(sha2::Sha512),
        };
        esp.extend(&digest[..hmac.icv_len()]);
        esp
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let our_own = |suite: &Suite| {
        matches!(suite, Suite::AesGcm { .. } | Suite::AesGcmIiv { .. } | Suite::AesGmac { .. })
    };
    let suites: Vec<Suite> = Suite::all().filter(|suite| !our_own(suite)).collect();
    let material = prop::collection::vec(any::<u8>(), model::KeyMaterial::MAX);
    let payload = prop::collection::vec(any::<u8>(), 0..1400);
    let suite = prop::sample::select(suites);
    (suite, any::<bool>(), material, 1_u64..1 << 40, any::<u64>(), payload, any::<usize>()).prop_map(
        |(suite, esn, mut material, sequence, counter, payload, altered)| {
            material.truncate(suite.key_material_len());
            let mut inner = vec![0; ESP];
            packet::ipv4::Repr {
                source: Ipv4Addr::new(10, 0, 0, 1),
                destination: Ipv4Addr::new(10, 0, 0, 2),
                protocol: 17,
                tos: 0,
                ttl: 9,
                df: false,
                identification: 1,
                payload_len: payload.len(),
            }
            .emit(&mut inner)
            .unwrap();
            inner.extend(payload);
            let sequence = if esn { sequence } else { u64::from(sequence as u32) };
            let implicit = suite.iv_rule() == model::IvRule::Sequence;
            let counter = if implicit { sequence } else { counter };
            Case { suite, esn, material, sequence, counter, inner, altered }
        },
    )
}

/// Out by the device is what the twin says, to the last byte; in by the device is what was sent; no bit can be altered.
#[test]
fn a_device_does_what_the_rfcs_say() {
    let (device, mut queues) = Cryptodev::open(&crate::testing::eal(), "crypto_aesni_mb", 1).unwrap();
    let queue = std::cell::RefCell::new(queues.remove(0));
    let pool = dpdk::Mempool::new(&crate::testing::eal(), "device", 1023, 2048 + dpdk::HEADROOM).unwrap();
    let spi = Spi::new(0x1234_5678).unwrap();
    proptest!(ProptestConfig::with_cases(400), |(cases in prop::collection::vec(any_case(), 1..20))| {
        let queue = &mut *queue.borrow_mut();
        let sa = |case: &Case, way| {
            DeviceSa::new(&device, way, case.suite, &case.keys(), case.esn).unwrap().unwrap()
        };
        let out: Vec<DeviceSa> = cases.iter().map(|case| sa(case, Way::Protect)).collect();
        let back: Vec<DeviceSa> = cases.iter().map(|case| sa(case, Way::Open)).collect();
        let mut burst = dpdk::Packets::new();
        let mut jobs = Vec::new();
        for (case, sa) in cases.iter().zip(&out) {
            let parameters = esp::outbound::Parameters {
                spi,
                suite: case.suite,
                mode: Mode::Tunnel,
                salt: case.keys().salt,
                esn: case.esn,
                local: Ipv4Addr::new(192, 0, 2, 1).into(),
                remote: Ipv4Addr::new(192, 0, 2, 2).into(),
                udp_port: None,
                tunnel: tunnel::Options::default(),
            };
            let template = esp::outbound::Template::new(&parameters).unwrap();
            let slot = burst.push(pool.alloc_from_slice(&case.inner).unwrap()).unwrap();
            let mbuf = burst.get_mut(slot).unwrap();
            let packet = mbuf.grow(template.header_len(), template.trailer_len(&case.inner)).unwrap();
            let (sequence, iv, len) = (case.sequence, case.counter, case.inner.len());
            let sealing = esp::outbound::encapsulate(&template, sequence, iv, packet, len).unwrap();
            jobs.push(sa.seal(slot, packet, &sealing).unwrap());
        }
        queue.process(&mut burst, &mut jobs);
        for ((case, sa), job) in cases.iter().zip(&out).zip(&jobs) {
            prop_assert_eq!(job.outcome, CryptoOutcome::Done, "{}", case.suite);
            let packet = burst.get_mut(job.slot).unwrap().data_mut();
            sa.finish(job, packet).unwrap();
            prop_assert_eq!(&packet[ESP..], &case.esp(spi.get())[..], "{}", case.suite);
        }

        for altered in [true, false] {
            let mut sent = dpdk::Packets::new();
            let mut jobs = Vec::new();
            for ((slot, mbuf), (case, sa)) in burst.masked(u64::MAX).zip(cases.iter().zip(&back)) {
                let mut bytes = mbuf.data().to_vec();
                if altered {
                    // Not the SPI: that would be another SA.
                    let bits = (bytes.len() - ESP - 4) * 8;
                    let bit = case.altered % bits;
                    bytes[ESP + 4 + bit / 8] ^= 1 << (bit % 8);
                }
                sent.put(slot, pool.alloc_from_slice(&bytes).unwrap()).unwrap();
                let packet = sent.get_mut(slot).unwrap().data_mut();
                let window = 64;
                let parameters =
                    esp::inbound::Parameters::new(case.suite, Mode::Tunnel, case.keys().salt, case.esn, window);
                let opening = esp::inbound::prepare(&parameters, packet, ESP, case.sequence - 1).unwrap();
                jobs.push((sa.open(slot, packet, &opening).unwrap(), opening.text));
            }
            let (mut jobs, texts): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            queue.process(&mut sent, &mut jobs);
            for ((case, job), text) in cases.iter().zip(&jobs).zip(texts) {
                if altered {
                    prop_assert_eq!(job.outcome, CryptoOutcome::Forged, "{}", case.suite);
                    continue;
                }
                prop_assert_eq!(job.outcome, CryptoOutcome::Done, "{}", case.suite);
                let packet = sent.get_mut(job.slot).unwrap().data_mut();
                let inner = esp::inbound::finish(Mode::Tunnel, packet, text).unwrap();
                prop_assert_eq!(&packet[inner.range], &case.inner[..], "{}", case.suite);
            }
        }
        drop(burst);
        prop_assert_eq!(pool.in_use(), 0);
    });
}
