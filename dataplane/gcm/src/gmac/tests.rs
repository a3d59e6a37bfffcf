//! The burst against the slow twin.

use super::*;
use crate::batch::tests::{Sample, jobs, sample, tampered};
use crate::{Aad, Key, NONCE_LEN, reference};
use model::{IcvLen, KeyLen};
use proptest::prelude::*;

/// Authenticates a burst as the slow twin does, nothing written but ICVs; verifies it; and of those with a bit flipped
/// (`tamper`) leaves nothing to read.
fn as_the_reference(back_end: BackEnd, samples: &[Sample], tamper: u64) {
    let keys: Vec<Key> =
        samples.iter().map(|each| Key::new_for(back_end, &each.key, each.length).unwrap()).collect();
    let mut burst = samples.to_vec();
    assert_eq!(authenticate_by(back_end, &mut jobs(&mut burst, &keys)), 0);
    for (done, sample) in burst.iter().zip(samples) {
        let (mut expected, text) = (sample.packet.clone(), &sample.text);
        let slow = reference::Key::new(&sample.key, sample.length).unwrap();
        let data = [sample.aad.as_slice(), &expected[text.clone()]].concat();
        let tag = slow.authenticate(&sample.nonce, &data);
        expected[text.end..text.end + sample.icv.bytes()].copy_from_slice(&tag[..sample.icv.bytes()]);
        assert!(done.packet == expected, "{back_end:?} authenticates {} bytes otherwise", text.len());
    }
    let forged = tampered(&mut burst, tamper);
    let mut expected = burst.clone();
    assert_eq!(verify_by(back_end, &mut jobs(&mut burst, &keys)), forged, "{back_end:?}");
    for (index, (verified, expected)) in burst.iter().zip(&mut expected).enumerate() {
        if forged & 1 << index != 0 {
            expected.packet[verified.text.clone()].fill(0);
        }
        assert!(verified.packet == expected.packet, "{back_end:?} changes {} bytes", verified.text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bursts of packets with keys, sizes, ICVs and places of their own.
    #[test]
    fn agrees_with_the_reference(samples in prop::collection::vec(sample(), 0..=BURST), tamper: u64) {
        for back_end in BackEnd::available() {
            as_the_reference(back_end, &samples, tamper);
        }
    }
}

/// Every length up to several groups of the widest kernel behind additional data of any length, at another place within a
/// cache line each.
#[test]
fn every_length() {
    for back_end in BackEnd::available() {
        for aad in 0..=Aad::MAX {
            let samples: Vec<Sample> = (0..=700_usize)
                .zip((0..64).cycle())
                .map(|(text, place)| Sample {
                    key: vec![aad as u8; 32],
                    length: KeyLen::Aes256,
                    nonce: [text as u8; NONCE_LEN],
                    aad: Aad::new(&[0xA5; Aad::MAX][..aad]).unwrap(),
                    icv: IcvLen::Bytes16,
                    packet: (0..place + text + 80).map(|byte| byte as u8).collect(),
                    text: place..place + text,
                    place: text / 3,
                })
                .collect();
            for burst in samples.chunks(BURST) {
                as_the_reference(back_end, burst, 0x5555_5555_5555_5555);
            }
        }
    }
}

#[test]
fn every_bit_counts() {
    for back_end in BackEnd::available() {
        let key = Key::new_for(back_end, &[3; 16], KeyLen::Aes128).unwrap();
        for text in [0_usize, 1, 4, 5, 100, 345] {
            let job = |packet: &mut [u8], aad: &[u8], act: fn(BackEnd, &mut [Job<'_>]) -> u64| {
                let (aad, icv) = (Aad::new(aad).unwrap(), IcvLen::Bytes16);
                act(back_end, &mut [Job { key: &key, nonce: [5; 12], aad, packet, text: 0..text, icv }])
            };
            let mut whole = vec![0x5A; text + 16];
            assert_eq!(job(&mut whole, &[1; 12], authenticate_by), 0);
            for bit in 0..whole.len() * 8 {
                let mut packet = whole.clone();
                packet[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(job(&mut packet, &[1; 12], verify_by), 1, "{back_end:?} {bit}");
                assert!(packet[..text].iter().all(|byte| *byte == 0), "{back_end:?} {bit}");
            }
            for bit in 0..12 * 8 {
                let mut aad = [1; 12];
                aad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(job(&mut whole.clone(), &aad, verify_by), 1, "{back_end:?} {bit}");
            }
        }
    }
}

#[test]
fn no_room_is_a_failure_and_no_panic() {
    for back_end in BackEnd::available() {
        let key = Key::new_for(back_end, &[7; 16], KeyLen::Aes128).unwrap();
        let (aad, icv) = (Aad::new(&[1; 8]).unwrap(), IcvLen::Bytes16);
        #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
        for text in [0..5, 20..21, 3..2, usize::MAX - 3..usize::MAX] {
            let mut packet = [9; 20];
            for act in [authenticate_by, verify_by] {
                let text = text.clone();
                let job = Job { key: &key, nonce: [0; 12], aad, packet: &mut packet, text, icv };
                assert_eq!(act(back_end, &mut [job]), 1);
            }
            assert_eq!(packet, [9; 20]);
        }
    }
}
