//! Published vectors, and the burst against the slow twin.

use super::*;
use crate::reference;
use model::KeyLen;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|place| u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).unwrap())
        .collect()
}

/// Key, nonce, text, ciphertext, tag: test cases 1 to 3, 13 to 15 of McGrew and Viega's GCM submission to NIST (those
/// without additional data, which ESP's would not be as long as).
const VECTORS: &[(KeyLen, &str, &str, &str, &str, &str)] = &[
    (
        KeyLen::Aes128,
        "00000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "",
        "58e2fccefa7e3061367f1d57a4e7455a",
    ),
    (
        KeyLen::Aes128,
        "00000000000000000000000000000000",
        "000000000000000000000000",
        "00000000000000000000000000000000",
        "0388dace60b6a392f328c2b971b2fe78",
        "ab6e47d42cec13bdf53a67b21257bddf",
    ),
    (
        KeyLen::Aes256,
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "",
        "530f8afbc74536b9a963b4f1c4cb738b",
    ),
    (
        KeyLen::Aes256,
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "00000000000000000000000000000000",
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
];

#[test]
fn published_vectors() {
    for (length, key, nonce, text, ciphertext, tag) in VECTORS {
        let nonce: [u8; NONCE_LEN] = hex(nonce).try_into().unwrap();
        let mut packet = hex(text);
        let range = 0..packet.len();
        packet.resize(packet.len() + TAG_LEN, 0);
        let key = Key::new(&hex(key), *length).unwrap();
        fn job<'a>(
            key: &'a Key,
            nonce: [u8; NONCE_LEN],
            packet: &'a mut [u8],
            text: &Range<usize>,
        ) -> Job<'a> {
            let aad = Aad { bytes: [0; Aad::MAX], len: 0 };
            Job { key, nonce, aad, packet, text: text.clone(), icv: IcvLen::Bytes16 }
        }
        assert_eq!(seal(&mut [job(&key, nonce, &mut packet, &range)]), 0);
        assert_eq!(packet, [hex(ciphertext), hex(tag)].concat());
        assert_eq!(open(&mut [job(&key, nonce, &mut packet, &range)]), 0);
        assert_eq!(packet[range.clone()], hex(text));
    }
}

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

/// Both forms of a key, nonce, additional data, ICV, packet, place of the text, and a place to tamper with.
type Sample = (Key, reference::Key, [u8; NONCE_LEN], Aad, IcvLen, Vec<u8>, Range<usize>, prop::sample::Index);

prop_compose! {
    fn packet()(
        length in prop::sample::select(vec![KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256]),
        icv in prop::sample::select(vec![IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16]),
        aad in prop::sample::select(vec![8_usize, 12]),
        before in 0_usize..70, text in 0_usize..600, behind in 0_usize..40,
        key: [u8; 32], nonce: [u8; NONCE_LEN], seed: u8, flip: prop::sample::Index,
    ) -> Sample {
        let key = &key[..length.bytes()];
        let bytes = (0..before + text + icv.bytes() + behind).map(|place| (place as u8).wrapping_mul(31) ^ seed).collect();
        (
            Key::new(key, length).unwrap(), reference::Key::new(key, length).unwrap(), nonce,
            Aad::new(&[seed; Aad::MAX][..aad]).unwrap(), icv, bytes, before..before + text, flip,
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A burst of packets with keys, sizes, ICVs and places of their own: sealed as the slow twin seals, nothing written
    /// outside of text and ICV, opened again; and of those with one bit flipped nothing is left to read.
    #[test]
    fn agrees_with_the_reference(mut burst in prop::collection::vec(packet(), 0..=BURST), tamper: u64) {
        let before: Vec<Vec<u8>> = burst.iter().map(|packet| packet.5.clone()).collect();
        fn jobs(burst: &mut [Sample]) -> Vec<Job<'_>> {
            burst
                .iter_mut()
                .map(|(key, _, nonce, aad, icv, packet, text, _)| Job {
                    key, nonce: *nonce, aad: *aad, packet, text: text.clone(), icv: *icv,
                })
                .collect()
        }
        prop_assert_eq!(seal(&mut jobs(&mut burst)), 0);
        for ((_, slow, nonce, aad, icv, packet, text, flip), before) in burst.iter_mut().zip(&before) {
            let mut expected = before.clone();
            // The text in two pieces, cut anywhere.
            let cut = flip.index(text.len() + 1);
            let (one, two) = expected[text.clone()].split_at_mut(cut);
            let tag = slow.seal(nonce, aad.as_slice(), &mut [one, two]);
            expected[text.end..text.end + icv.bytes()].copy_from_slice(&tag[..icv.bytes()]);
            prop_assert_eq!(&*packet, &expected);
        }
        let mut forged = 0;
        for (index, (_, _, _, _, icv, packet, text, flip)) in burst.iter_mut().enumerate() {
            if tamper & 1 << index != 0 {
                let place = text.start + flip.index(text.len() + icv.bytes());
                packet[place] ^= 1 << (index % 8);
                forged |= 1 << index;
            }
        }
        let sealed: Vec<Vec<u8>> = burst.iter().map(|packet| packet.5.clone()).collect();
        prop_assert_eq!(open(&mut jobs(&mut burst)), forged);
        for (index, (_, slow, nonce, aad, icv, packet, text, _)) in burst.iter_mut().enumerate() {
            let mut slowly = sealed[index].clone();
            let (head, tag) = slowly.split_at_mut(text.end);
            let icv = tag[..icv.bytes()].to_vec();
            prop_assert_eq!(slow.open(nonce, aad.as_slice(), &mut [&mut head[text.clone()]], &icv), forged & 1 << index == 0);
            prop_assert_eq!(&*packet, &slowly);
            if forged & 1 << index == 0 {
                prop_assert_eq!(&packet[text.clone()], &before[index][text.clone()]);
            } else {
                prop_assert!(packet[text.clone()].iter().all(|&byte| byte == 0));
            }
        }
    }
}
