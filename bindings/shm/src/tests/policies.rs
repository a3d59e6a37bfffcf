//! Policies: handed over as files that nobody can change, counted by whoever uses them.

use super::Plane;
use crate::layout::{HEADER_BYTES, MAX_PENDING_IMAGES, MOST_NUMBERS, SPARE_RULES};
use crate::{Command, Label, PolicyInUse, PolicySegment, PortId};
use proptest::prelude::*;
use rustix::io::Errno;

fn label(number: usize) -> Label {
    Label::new(&format!("100:{number}")).unwrap()
}

fn segment(image: &[u8], rules: usize) -> PolicySegment {
    PolicySegment::build(image, &(0..rules).map(label).collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn an_offered_image_arrives_byte_for_byte() {
    let plane = Plane::start();
    let mut control = plane.control();
    for (len, rules) in [(0, 0), (1, 1), (64, 3), (5000, 0), (100_001, 700)] {
        let image: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
        let number = control.offer(&segment(&image, rules)).unwrap();
        let got = plane.with(move |server| server.image(number)).unwrap();
        assert_eq!(got.as_ref(), image);
        assert!(got.as_ref().as_ptr().addr().is_multiple_of(HEADER_BYTES), "it begins on a page");
        assert!(got.labels().eq((0..rules).map(label)));
        assert_eq!((got.numbers() as usize, got.segment()), (rules, number));
    }
}

/// Until the transaction that uses it is answered, so that a refused one can be mended and sent again with a new offer.
#[test]
fn an_image_is_on_offer_until_its_transaction_is_answered() {
    let plane = Plane::start();
    let mut control = plane.control();
    let taken = control.offer(&segment(b"taken", 1)).unwrap();
    let left = control.offer(&segment(b"left", 1)).unwrap();
    let port = PortId::new(0).unwrap();
    let commit = control.submit(&[Command::SetPolicy { port, segment: taken }], false).unwrap();
    assert_eq!(plane.transaction().commands[0].1, Command::SetPolicy { port, segment: taken });
    plane.with(move |server| {
        assert!(server.image(taken).is_some());
        assert!(server.image(taken).is_some(), "two ports may have one policy");
        assert!(server.image(77).is_none(), "never offered");
        server.ack(commit, Ok(()));
        assert!(server.image(taken).is_none());
        assert_eq!(server.image(left).unwrap().as_ref(), b"left");
    });
    drop(control);
    plane.next();
    assert!(plane.with(move |server| server.image(left)).is_none(), "an offer ends with who made it");
}

#[test]
fn offers_that_nobody_uses_do_not_pile_up() {
    let plane = Plane::start();
    let mut control = plane.control();
    let policy = segment(b"image", 0);
    let numbers: Vec<u32> = (0..=MAX_PENDING_IMAGES).map(|_| control.offer(&policy).unwrap()).collect();
    let held = plane.with(move |server| numbers.into_iter().map(|n| server.image(n).is_some()).collect());
    let held: Vec<bool> = held;
    assert_eq!(held.iter().filter(|held| **held).count(), MAX_PENDING_IMAGES);
    assert!(!held[MAX_PENDING_IMAGES]);
}

#[test]
fn nobody_can_change_a_policy_not_even_its_maker() {
    let policy = segment(b"image", 1);
    assert_eq!(rustix::io::pwrite(policy.fd(), b"x", HEADER_BYTES as u64), Err(Errno::PERM));
    assert_eq!(rustix::fs::ftruncate(policy.fd(), 1 << 20), Err(Errno::PERM));
    assert!(crate::memory::Mapping::new(policy.fd(), HEADER_BYTES, true).is_err());
}

#[test]
fn observers_see_policies_in_use_and_what_met_them() {
    let mut plane = Plane::start();
    let mut control = plane.control();
    let observer = plane.observer();
    assert!(observer.policies().unwrap().is_empty());
    let number = control.offer(&segment(b"image", 3)).unwrap();
    let ports = [4, 31].map(|port| PortId::new(port).unwrap());
    let hits = plane.with(move |server| {
        let image = server.image(number).unwrap();
        ports.map(|port| {
            let hits = server.hits(image.numbers()).unwrap();
            server.set_policy(
                port,
                Some(PolicyInUse { image: image.clone(), change: None, hits: hits.clone() }),
            );
            hits
        })
    });
    // Each worker has its row; no rule and no worker beyond them spills into another's.
    let beyond = 3 + SPARE_RULES;
    for (worker, rule, packets) in
        [(0, 0, 5), (1, 0, 6), (1, 2, 7), (2, 0, 100), (3, 0, 100), (0, beyond, 100), (0, u32::MAX, 100)]
    {
        hits[0].add(worker, rule, packets);
    }
    assert_eq!([0, 1, 2, 3, beyond].map(|rule| hits[0].get(rule)), [11, 0, 7, 0, 0]);
    let seen = observer.policies().unwrap();
    assert!(seen.iter().map(|policy| policy.port()).eq(ports));
    assert_eq!(seen[0].image().as_ref(), b"image");
    let of = |policy: usize| (0..).map_while(|number| seen[policy].rule(number)).collect::<Vec<_>>();
    assert_eq!(of(0), [(label(0), 11), (label(1), 0), (label(2), 7)]);
    assert_eq!(of(1), [(label(0), 0), (label(1), 0), (label(2), 0)]);
    plane.with(move |server| server.set_policy(ports[0], None));
    assert!(observer.policies().unwrap().iter().map(|policy| policy.port()).eq([ports[1]]));
    plane.stop();
    hits[0].add(0, 0, 1);
    assert_eq!(seen[0].rule(0), Some((label(0), 12)), "still readable when the data plane is gone");
    assert!(observer.policies().is_err());
}

/// The rules that a change adds continue the numbers, and what a rule had before it keeps.
#[test]
fn observers_see_a_change_and_what_rules_bring_with_them() {
    let plane = Plane::start();
    let mut control = plane.control();
    let base = control.offer(&segment(b"image", 2)).unwrap();
    let origins = [Some(1), None, Some(MOST_NUMBERS - 1)];
    let change = PolicySegment::build_change(b"change", 2, &[5, 6, 7].map(label), Some(&origins)).unwrap();
    let change = control.offer(&change).unwrap();
    let port = PortId::new(4).unwrap();
    plane.with(move |server| {
        let [image, change] = [base, change].map(|segment| server.image(segment).unwrap());
        assert_eq!((image.origins().len(), change.origins().len()), (0, 3));
        assert!(change.origins().eq(origins));
        let hits = server.hits(5).unwrap();
        hits.carry(1, 40);
        hits.add(0, 1, 2);
        hits.add(1, 4, 3);
        server.set_policy(port, Some(PolicyInUse { image, change: Some(change), hits }));
    });
    let seen = plane.observer().policies().unwrap().remove(0);
    assert_eq!(seen.change().unwrap().as_ref(), b"change");
    let rules: Vec<_> = (0..).map_while(|number| seen.rule(number)).collect();
    assert_eq!(rules, [(label(0), 0), (label(1), 42), (label(5), 0), (label(6), 0), (label(7), 3)]);
    // Lines that were numbered anew.
    let change = PolicySegment::build_change(b"change", 1, &[8, 9].map(label), None).unwrap();
    let change = control.offer(&change).unwrap();
    let image = seen.image().clone();
    plane.with(move |server| {
        let change = server.image(change);
        let hits = server.hits(3).unwrap();
        server.set_policy(port, Some(PolicyInUse { image, change, hits }));
    });
    let seen = plane.observer().policies().unwrap().remove(0);
    let rules: Vec<_> = (0..).map_while(|number| seen.rule(number)).collect();
    assert_eq!(rules, [label(0), label(8), label(9)].map(|label| (label, 0)));
}

#[test]
fn origins_that_cannot_be_are_refused() {
    let labels = [label(1), label(2)];
    assert!(PolicySegment::build(b"image", &labels, Some(&[None])).is_err(), "one for each rule");
    let plane = Plane::start();
    let mut control = plane.control();
    let beyond = PolicySegment::build(b"image", &labels, Some(&[None, Some(MOST_NUMBERS)])).unwrap();
    let beyond = control.offer(&beyond).unwrap();
    assert!(plane.with(move |server| server.image(beyond)).is_none());
}

proptest! {
    #[test]
    fn texts_survive_their_fields(text in "\\PC{0,40}") {
        let label = Label::lossy(&text);
        prop_assert!(text.replace(char::is_control, "?").starts_with(label.as_str()));
        prop_assert_eq!(Label::from_padded(label.padded()), Ok(label));
        match Label::new(&text) {
            Ok(exact) => prop_assert_eq!(exact.as_str(), &text),
            Err(_) => prop_assert!(text.len() > crate::layout::LABEL_BYTES || text.contains(char::is_control)),
        }
    }

    #[test]
    fn a_text_with_something_behind_its_end_is_none(text in "[a-z]{0,30}", behind in 1..32_usize, byte in 1..=u8::MAX) {
        let mut field = *Label::new(&text).unwrap().padded();
        let at = (text.len() + behind).min(field.len() - 1);
        field[at] = byte;
        prop_assert!(Label::from_padded(&field).is_err());
    }
}
