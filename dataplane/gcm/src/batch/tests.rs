//! The burst against the slow twin.

use super::*;
use crate::{TAG_LEN, authenticate_by, reference, verify_by};
use model::KeyLen;
use proptest::prelude::*;

#[test]
fn no_room_is_a_failure_and_no_panic() {
    let key = Key::new(&[7; 16], KeyLen::Aes128).unwrap();
    let aad = Aad::new(&[1; 8]).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    for text in [0..5, 20..21, 3..2, usize::MAX - 3..usize::MAX] {
        let mut packet = [9; 20];
        for act in [seal, open] {
            let text = text.clone();
            let job = Job { key: &key, nonce: [0; 12], aad, packet: &mut packet, text, icv: IcvLen::Bytes16 };
            assert_eq!(act(&mut [job]), 1);
        }
        assert_eq!(packet, [9; 20]);
    }
    assert!(Aad::new(&[0; 13]).is_none());
    assert!(Key::new(&[0; 17], KeyLen::Aes128).is_err());
}

/// A key, nonce, additional data, ICV, packet, place of the text, and a place to tamper with.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) key: Vec<u8>,
    pub(crate) length: KeyLen,
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) aad: Aad,
    pub(crate) icv: IcvLen,
    pub(crate) packet: Vec<u8>,
    pub(crate) text: Range<usize>,
    pub(crate) place: usize,
}

prop_compose! {
    pub(crate) fn sample()(
        length in prop::sample::select(vec![KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256]),
        icv in prop::sample::select(vec![IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16]),
        aad in prop::sample::select(vec![0_usize, 8, 12]),
        before in 0_usize..70,
        text in prop_oneof![16 => 0_usize..600, 2 => 600_usize..9000, 1 => 9000_usize..=65_535, 1 => 65_500_usize..=65_535],
        behind in 0_usize..70,
        key: [u8; 32], nonce: [u8; NONCE_LEN], seed: u8, place: usize,
    ) -> Sample {
        let packet = (0..before + text + icv.bytes() + behind)
            .map(|place| (place as u8).wrapping_mul(31) ^ (place >> 8) as u8 ^ seed)
            .collect();
        let aad = Aad::new(&[seed; Aad::MAX][..aad]).unwrap();
        Sample { key: key[..length.bytes()].to_vec(), length, nonce, aad, icv, packet, text: before..before + text, place }
    }
}

pub(crate) fn jobs<'a>(burst: &'a mut [Sample], keys: &'a [Key]) -> Vec<Job<'a>> {
    let job = |(sample, key): (&'a mut Sample, &'a Key)| Job {
        key,
        nonce: sample.nonce,
        aad: sample.aad,
        packet: &mut sample.packet,
        text: sample.text.clone(),
        icv: sample.icv,
    };
    burst.iter_mut().zip(keys).map(job).collect()
}

/// Flips a bit of text or ICV in those of `which`, and says which those were.
pub(crate) fn tampered(burst: &mut [Sample], which: u64) -> u64 {
    let mut forged = 0;
    for (index, sample) in burst.iter_mut().enumerate() {
        if which & 1 << index != 0 {
            let place = sample.text.start + sample.place % (sample.text.len() + sample.icv.bytes());
            sample.packet[place] ^= 1 << (index % 8);
            forged |= 1 << index;
        }
    }
    forged
}

/// Seals a burst as the slow twin seals it, nothing written outside of text and ICV; opens it again; and of those with a
/// bit flipped (`tamper`) leaves nothing to read.
fn as_the_reference(back_end: BackEnd, samples: &[Sample], tamper: u64) {
    let keys: Vec<Key> =
        samples.iter().map(|each| Key::new_for(back_end, &each.key, each.length).unwrap()).collect();
    let mut burst = samples.to_vec();
    assert_eq!(seal_by(back_end, &mut jobs(&mut burst, &keys)), 0);
    for (sealed, sample) in burst.iter().zip(samples) {
        let slow = reference::Key::new(&sample.key, sample.length).unwrap();
        let (mut expected, text) = (sample.packet.clone(), &sample.text);
        // The text in two pieces, cut anywhere.
        let (one, two) = expected[text.clone()].split_at_mut(sample.place % (text.len() + 1));
        let tag = slow.seal(&sample.nonce, sample.aad.as_slice(), &mut [one, two]);
        expected[text.end..text.end + sample.icv.bytes()].copy_from_slice(&tag[..sample.icv.bytes()]);
        assert!(sealed.packet == expected, "{back_end:?} seals {} bytes otherwise", text.len());
    }
    let forged = tampered(&mut burst, tamper);
    let sealed = burst.clone();
    assert_eq!(open_by(back_end, &mut jobs(&mut burst, &keys)), forged, "{back_end:?}");
    for (index, (opened, sealed)) in burst.iter().zip(&sealed).enumerate() {
        let mut expected = sealed.packet.clone();
        match forged & 1 << index {
            0 => expected[opened.text.clone()].copy_from_slice(&samples[index].packet[opened.text.clone()]),
            _ => expected[opened.text.clone()].fill(0),
        }
        assert!(opened.packet == expected, "{back_end:?} opens {} bytes otherwise", opened.text.len());
    }
}

/// Jobs without room for their ICV (`misfit`) fail untouched, and their neighbours are done as without them.
fn among_misfits(back_end: BackEnd, samples: &[Sample], misfit: u64) {
    let keys: Vec<Key> =
        samples.iter().map(|each| Key::new_for(back_end, &each.key, each.length).unwrap()).collect();
    let mut expected = samples.to_vec();
    assert_eq!(seal_by(back_end, &mut jobs(&mut expected, &keys)), 0);
    let mut burst = samples.to_vec();
    let mut misfits = 0;
    for (index, sample) in burst.iter_mut().enumerate().filter(|(index, _)| misfit & 1 << index != 0) {
        sample.packet.truncate(sample.text.end + sample.icv.bytes() - 1);
        expected[index] = sample.clone();
        misfits |= 1 << index;
    }
    assert_eq!(seal_by(back_end, &mut jobs(&mut burst, &keys)), misfits, "{back_end:?}");
    let same = |(one, other): (&Sample, &Sample)| one.packet == other.packet;
    assert!(burst.iter().zip(&expected).all(same), "{back_end:?}");
    assert_eq!(open_by(back_end, &mut jobs(&mut burst, &keys)), misfits, "{back_end:?}");
    for (opened, sample) in burst.iter().zip(samples) {
        assert!(opened.packet[opened.text.clone()] == sample.packet[opened.text.clone()], "{back_end:?}");
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

    #[test]
    fn misfits_fail_alone(samples in prop::collection::vec(sample(), 0..=BURST), misfit: u64) {
        for back_end in BackEnd::available() {
            among_misfits(back_end, &samples, misfit);
        }
    }
}

#[test]
fn a_key_of_another_back_end_is_a_failure() {
    let (aad, icv) = (Aad::from([1; 8]), IcvLen::Bytes16);
    for back_end in BackEnd::available() {
        for other in BackEnd::available() {
            let key = Key::new_for(other, &[7; 16], KeyLen::Aes128).unwrap();
            let both = [back_end, other].map(|each| each == BackEnd(Kind::Portable));
            for act in [seal_by, open_by, authenticate_by, verify_by] {
                let mut packet = [9; 20];
                let job = Job { key: &key, nonce: [0; 12], aad, packet: &mut packet, text: 0..4, icv };
                let outcome = act(back_end, &mut [job]);
                if both[0] != both[1] {
                    assert_eq!((outcome, packet), (1, [9; 20]), "{back_end:?} {other:?}");
                }
            }
        }
    }
}

/// Every length up to a few groups of the widest kernel, at another place within a cache line each.
#[test]
fn every_length() {
    let (eight, twelve) = (Aad::from([0xA5; 8]), Aad::from([0xA5; 12]));
    for back_end in BackEnd::available() {
        for (length, aad) in [
            (KeyLen::Aes128, eight),
            (KeyLen::Aes128, twelve),
            (KeyLen::Aes192, eight),
            (KeyLen::Aes256, eight),
            (KeyLen::Aes256, twelve),
        ] {
            for (text, place) in (0..=700_usize).zip((0..64).cycle()) {
                let sample = Sample {
                    key: (0..length.bytes() as u8).collect(),
                    length,
                    nonce: [text as u8; NONCE_LEN],
                    aad,
                    icv: IcvLen::Bytes16,
                    packet: (0..place + text + 80).map(|byte| byte as u8).collect(),
                    text: place..place + text,
                    place: text / 3,
                };
                as_the_reference(back_end, &[sample], (text % 2) as u64);
            }
        }
    }
}

/// No bit of text, ICV or additional data may be another one, and of what is refused nothing can be read.
#[test]
fn every_bit_counts() {
    for back_end in BackEnd::available() {
        let key = Key::new_for(back_end, &[3; 16], KeyLen::Aes128).unwrap();
        for text in [0_usize, 1, 16, 48, 79, 345, 1420] {
            let job = |packet: &mut [u8], aad: &[u8], act: fn(BackEnd, &mut [Job<'_>]) -> u64| {
                let (aad, icv) = (Aad::new(aad).unwrap(), IcvLen::Bytes16);
                act(back_end, &mut [Job { key: &key, nonce: [5; 12], aad, packet, text: 0..text, icv }])
            };
            let mut sealed = vec![0x5A; text + TAG_LEN];
            assert_eq!(job(&mut sealed, &[1; 12], seal_by), 0);
            for bit in 0..sealed.len() * 8 {
                let mut packet = sealed.clone();
                packet[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(job(&mut packet, &[1; 12], open_by), 1, "{back_end:?} {bit}");
                assert!(packet[..text].iter().all(|byte| *byte == 0), "{back_end:?} {bit}");
            }
            for bit in 0..12 * 8 {
                let mut aad = [1; 12];
                aad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(job(&mut sealed.clone(), &aad, open_by), 1, "{back_end:?} {bit}");
            }
        }
    }
}

/// The outcome of this run's tests says nothing of back ends that the processor has no instructions for: it says which.
#[test]
fn says_what_it_cannot_prove() {
    let available = BackEnd::available();
    let missing: Vec<&str> = ["vaes-512", "vaes-256", "aes-ni", "portable"]
        .into_iter()
        .filter(|name| match BackEnd::named(name) {
            Ok(back_end) => {
                assert!(available.contains(&back_end) && back_end.is_sound(), "{name}");
                false
            }
            Err(_) => true,
        })
        .collect();
    assert_eq!(missing.len() + available.len(), 4, "a back end of another name");
    assert!(!missing.contains(&"portable"));
    let without = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") };
    println!("STEP: AES-GCM on {available:?}, and this processor cannot run: {without}");
    assert!(BackEnd::named("none").is_err());
}
