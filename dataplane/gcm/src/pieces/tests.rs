//! Packets cut anywhere against the slow twin.

use super::*;
use crate::batch::tests::{Sample, sample, tampered};
use crate::reference;
use proptest::prelude::*;

/// The packet in pieces that end at those places, some of which may be the same.
fn cut<'p>(packet: &'p mut [u8], cuts: &[usize]) -> Vec<&'p mut [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (packet.len() + 1)).collect();
    cuts.sort_unstable();
    let (mut pieces, mut rest, mut before) = (Vec::new(), packet, 0);
    for cut in cuts {
        let (piece, behind) = rest.split_at_mut(cut - before);
        pieces.push(piece);
        (rest, before) = (behind, cut);
    }
    pieces.push(rest);
    pieces
}

type Act = fn(&mut Pieces<'_, '_>, &mut Vec<u8>) -> bool;

/// Whether it was done, and what the packet is then.
fn by(act: Act, back_end: BackEnd, sample: &Sample, cuts: &[usize]) -> (bool, Vec<u8>) {
    let key = Key::new_for(back_end, &sample.key, sample.length).unwrap();
    let mut packet = sample.packet.clone();
    let mut scratch = vec![1, 2, 3];
    let done = act(
        &mut Pieces {
            key: &key,
            nonce: sample.nonce,
            aad: sample.aad,
            pieces: &mut cut(&mut packet, cuts),
            text: sample.text.clone(),
            icv: sample.icv,
        },
        &mut scratch,
    );
    assert!(scratch.is_empty(), "the packet stays in the scratch");
    (done, packet)
}

/// The packet with the slow twin's ICV; its text sealed, if that is wanted.
fn slowly(sample: &Sample, seal: bool) -> Sample {
    let key = reference::Key::new(&sample.key, sample.length).unwrap();
    let mut done = sample.clone();
    let text = &mut done.packet[sample.text.clone()];
    let tag = if seal {
        key.seal(&sample.nonce, sample.aad.as_slice(), &mut [text])
    } else {
        key.authenticate(&sample.nonce, &[sample.aad.as_slice(), text].concat())
    };
    done.packet[sample.text.end..][..sample.icv.bytes()].copy_from_slice(&tag[..sample.icv.bytes()]);
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_reference(
        sample in sample(),
        mut cuts in prop::collection::vec(any::<usize>(), 0..6),
        within_icv in prop::option::of(0_usize..=16),
    ) {
        // Random places hardly ever hit the ICV.
        cuts.extend(within_icv.map(|place| sample.text.end + place));
        for back_end in BackEnd::available() {
            for (forward, backward, seal) in
                [(seal_pieces as Act, open_pieces as Act, true), (authenticate_pieces, verify_pieces, false)]
            {
                let done = slowly(&sample, seal);
                prop_assert!(by(forward, back_end, &sample, &cuts) == (true, done.packet.clone()));

                let mut expected = done.packet.clone();
                expected[sample.text.clone()].copy_from_slice(&sample.packet[sample.text.clone()]);
                prop_assert!(by(backward, back_end, &done, &cuts) == (true, expected));

                let mut forged = [done];
                prop_assert_eq!(tampered(&mut forged, 1), 1);
                let mut expected = forged[0].packet.clone();
                expected[sample.text.clone()].fill(0);
                prop_assert!(by(backward, back_end, &forged[0], &cuts) == (false, expected));
            }
        }
    }

    /// Text and ICV that go beyond the pieces, or end before they begin.
    #[test]
    fn no_room_is_a_failure_and_no_panic(
        sample in sample(), cuts in prop::collection::vec(any::<usize>(), 0..4), beyond: usize, turned: bool,
    ) {
        let mut wrong = sample.clone();
        wrong.text = match turned {
            true => sample.text.end + 1..sample.text.end,
            false => sample.text.start..sample.packet.len().saturating_add(beyond),
        };
        for back_end in BackEnd::available() {
            for act in [seal_pieces, open_pieces, authenticate_pieces, verify_pieces] {
                prop_assert!(no_room(act, back_end, &wrong, &cuts));
            }
        }
    }
}

fn no_room(act: Act, back_end: BackEnd, wrong: &Sample, cuts: &[usize]) -> bool {
    let key = Key::new_for(back_end, &wrong.key, wrong.length).unwrap();
    let mut packet = wrong.packet.clone();
    let mut pieces = cut(&mut packet, cuts);
    let (nonce, aad, text, icv) = (wrong.nonce, wrong.aad, wrong.text.clone(), wrong.icv);
    let done = act(&mut Pieces { key: &key, nonce, aad, pieces: &mut pieces, text, icv }, &mut Vec::new());
    !done && packet == wrong.packet
}
