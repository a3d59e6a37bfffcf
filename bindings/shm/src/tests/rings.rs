//! Rings whose other side writes what it likes, wherever it can: each side ends the connection or goes on, and does no
//! more work for it than a ring's worth.

use super::hostile::{self, number};
use super::villain::{COMMANDS, Deed, EVENTS, HEAD, SLOTS, TAIL, Villain, deeds};
use super::{PATIENCE, Plane, samples};
use crate::codec::Slot;
use crate::hello::Message;
use crate::layout::{RING_SLOTS, SLOT_WORDS};
use crate::memory::{Mapping, One};
use crate::ring::{Consumer, Corrupt, Producer, Ring};
use crate::{Command, Detached, Envelope, Event, Failure, LinkError, Reason, Request, Server, SubmitError};
use proptest::prelude::*;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Poke(usize, u64),
    Push([u64; 3]),
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..SLOTS + 24, number()).prop_map(|(at, value)| Step::Poke(at, value)),
        2 => (prop::sample::select(vec![HEAD, TAIL]), 0..20_u64).prop_map(|(at, value)| Step::Poke(at, value)),
        4 => any::<[u64; 3]>().prop_map(Step::Push),
        4 => Just(Step::Pop),
    ]
}

proptest! {
    /// Beside the plainest twin that there is: a position of one's own, and memory that is as it is.
    #[test]
    fn each_end_believes_of_the_other_only_what_is_possible(steps in prop::collection::vec(step(), 0..60)) {
        const LEN: usize = (SLOTS + 8 * 3) * 8;
        let (fd, words) = hostile::memory(LEN);
        let mapping = Arc::new(Mapping::new(fd.as_fd(), LEN, true).unwrap());
        let ring = || One::<Ring<8, 3>>::new(&mapping, 0).unwrap();
        let (mut producer, mut consumer) = (Producer::new(ring()), Consumer::new(ring()));
        let (mut head, mut tail) = (0_u64, 0_u64);
        let memory = || words.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
        for step in steps {
            let mut after = memory();
            let place = |number: u64| SLOTS + number as usize % 8 * 3;
            match step {
                Step::Poke(at, value) => {
                    words[at].store(value, Relaxed);
                    after[at] = value;
                }
                Step::Push(message) => {
                    let result = match tail.wrapping_sub(after[HEAD]) {
                        0..8 => Ok(true),
                        8 => Ok(false),
                        _ => Err(Corrupt),
                    };
                    prop_assert_eq!(producer.push(&message), result);
                    if result == Ok(true) {
                        after[place(tail)..][..3].copy_from_slice(&message);
                        tail += 1;
                        after[TAIL] = tail;
                    }
                }
                Step::Pop => {
                    let result = match after[TAIL].wrapping_sub(head) {
                        0 => Ok(false),
                        1..=8 => Ok(true),
                        _ => Err(Corrupt),
                    };
                    let mut message = [77; 3];
                    prop_assert_eq!(consumer.pop(&mut message), result);
                    if result == Ok(true) {
                        prop_assert_eq!(message.as_slice(), &after[place(head)..][..3]);
                        after[place(head)..][..3].fill(0);
                        head += 1;
                        after[HEAD] = head;
                    } else {
                        prop_assert_eq!(message, [77; 3]);
                    }
                }
            }
            prop_assert_eq!(memory(), after);
        }
    }
}

/// Commands in their order for the most part, of which any can end a transaction.
fn commands() -> impl Strategy<Value = Slot> {
    let envelope = (any::<bool>(), any::<bool>()).prop_map(|(commit, replace)| Envelope {
        number: 0,
        commit,
        replace: replace && commit,
    });
    (samples::command(), envelope).prop_map(|(command, envelope)| command.encode(envelope).unwrap())
}

/// One round of the server, which owes nobody more than a ring's worth of work.
fn round(server: &mut Server) -> Option<Detached> {
    let requests = server.wait(Duration::ZERO).unwrap();
    assert!(requests.len() <= RING_SLOTS + 1);
    requests.into_iter().find_map(|request| match request {
        Request::ControlDetached(why) => Some(why),
        _ => None,
    })
}

/// An honest control plane is served, whatever was before.
fn serves(server: &mut Server, path: &Path) {
    let mut honest = Villain::control_plane(server, path);
    let envelope = Envelope { number: 1, commit: true, replace: false };
    honest.send(&Command::Barrier.encode(envelope).unwrap().0);
    let requests = server.wait(PATIENCE).unwrap();
    assert!(matches!(&requests[..], [Request::Transaction(transaction)] if transaction.commit == 1));
    drop(honest);
    assert_eq!(server.wait(PATIENCE).unwrap(), [Request::ControlDetached(Detached::Gone)]);
}

fn failed(number: u64) -> Result<(), Failure> {
    Err(Failure { number, reason: Reason::Internal, detail: number })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_data_plane_survives_its_control_plane(deeds in deeds(COMMANDS, commands())) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut server = Server::bind(&path, Plane::SETUP).unwrap();
        let mut villain = Villain::control_plane(&mut server, &path);
        let mut detached = None;
        for deed in deeds {
            match deed {
                Deed::Poke(at, value) => villain.poke(at, value),
                Deed::Send(message) => villain.send(&message),
                Deed::Say(message, files) => villain.say(&message, &files),
                Deed::Wait => detached = detached.or(round(&mut server)),
                Deed::Answer(number) => {
                    server.event(Event::Ack(crate::Ack { number, result: Ok(()) }));
                    server.ack(number, failed(number));
                    if let Some(image) = server.image(number as u32) {
                        prop_assert_eq!(image.as_ref(), b"image");
                    }
                }
            }
        }
        drop(villain);
        detached = detached.or_else(|| (0..10).find_map(|_| round(&mut server)));
        prop_assert!(detached.is_some());
        serves(&mut server, &path);
    }

    #[test]
    fn a_control_plane_survives_its_data_plane(
        deeds in deeds(EVENTS, samples::event().prop_map(|event| event.encode(0).unwrap())),
    ) {
        let (mut control, mut villain) = Villain::data_plane();
        for deed in deeds {
            match deed {
                // Just full would mean waiting for room, as long as for an honest one.
                Deed::Poke(at, value) if at == COMMANDS + HEAD => villain.poke(at, value | 1 << 40),
                Deed::Poke(at, value) => villain.poke(at, value),
                Deed::Send(message) => villain.send(&message),
                Deed::Say(message, files) => villain.say(&message, &files),
                Deed::Wait => {
                    let events = std::iter::from_fn(|| control.try_event().ok().flatten());
                    prop_assert!(events.take(RING_SLOTS + 1).count() <= RING_SLOTS);
                }
                Deed::Answer(number) => {
                    match control.submit(&[Command::Barrier], false) {
                        Ok(_) | Err(SubmitError::Link(LinkError::Nonsense)) => {}
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                    let _ = control.wait_ack(number, Duration::ZERO);
                }
            }
        }
    }
}

/// Each way of breaking the rules has its name, which is what the log says.
#[test]
fn a_control_plane_is_let_go_for_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::bind(&path, Plane::SETUP).unwrap();
    let barrier = |number| {
        Command::Barrier.encode(Envelope { number, commit: true, replace: false }).unwrap().0.to_vec()
    };
    type Deed = fn(&mut Villain, [Vec<u64>; 2]);
    let deeds: [(Deed, Detached); 7] = [
        (|villain, _| villain.poke(COMMANDS + TAIL, RING_SLOTS as u64 + 1), Detached::RingCorrupt),
        (|villain, _| villain.poke(COMMANDS + TAIL, u64::MAX), Detached::RingCorrupt),
        (|villain, _| villain.poke(EVENTS + HEAD, 1), Detached::RingCorrupt),
        (|villain, [_, second]| villain.send(&second), Detached::OutOfOrder),
        (
            |villain, [first, _]| {
                villain.send(&first);
                villain.send(&first);
            },
            Detached::OutOfOrder,
        ),
        (|villain, _| villain.say(&Message::PoliciesEnd.encode().0, &[]), Detached::Nonsense),
        (|villain, _| villain.say(&[7; SLOT_WORDS], &[]), Detached::Nonsense),
    ];
    for (deed, why) in deeds {
        let mut villain = Villain::control_plane(&mut server, &path);
        deed(&mut villain, [barrier(1), barrier(2)]);
        let mut detached = round(&mut server);
        server.event(Event::PortLink { port: crate::PortId::new(0).unwrap(), up: true });
        detached = detached.or_else(|| round(&mut server));
        assert_eq!(detached, Some(why));
        serves(&mut server, &path);
    }
    // A malformed command is refused by its field; the connection goes on.
    let mut villain = Villain::control_plane(&mut server, &path);
    let mut bad = barrier(1);
    bad[5] = 1;
    villain.send(&bad);
    villain.send(&barrier(2));
    let requests = server.wait(PATIENCE).unwrap();
    assert!(matches!(&requests[..], [Request::Transaction(transaction)] if transaction.commit == 2));
    let answer = Slot(std::array::from_fn(|at| villain.words[EVENTS + SLOTS + at].load(Relaxed)));
    let detail = crate::Field::Reserved as u64;
    let result = Err(Failure { number: 1, reason: Reason::Malformed, detail });
    assert_eq!(Event::decode(&answer), Ok((1, Event::Ack(crate::Ack { number: 1, result }))));
}

/// The same the other way round.
#[test]
fn a_data_plane_is_not_believed_what_cannot_be() {
    let event = |number| {
        let event = Event::PortLink { port: crate::PortId::new(0).unwrap(), up: true };
        event.encode(number).unwrap().0.to_vec()
    };
    type Deed = fn(&mut Villain, [Vec<u64>; 2]);
    let deeds: [Deed; 7] = [
        |villain, _| villain.poke(EVENTS + TAIL, RING_SLOTS as u64 + 2),
        |villain, _| villain.poke(EVENTS + TAIL, 0),
        // The same number again, and one that is left out.
        |villain, [first, _]| villain.send(&first),
        |villain, [_, third]| villain.send(&third),
        |villain, _| villain.send(&[2, 77, 0, 0]),
        |villain, _| villain.say(&Message::Offer { segment: 1 }.encode().0, &[]),
        |villain, _| villain.say(&[7; SLOT_WORDS], &[]),
    ];
    for deed in deeds {
        let (mut control, mut villain) = Villain::data_plane();
        villain.send(&event(1));
        assert!(control.try_event().unwrap().is_some());
        deed(&mut villain, [event(1), event(3)]);
        assert!(matches!(control.try_event(), Err(LinkError::Nonsense)));
    }
    let (mut control, villain) = Villain::data_plane();
    villain.poke(COMMANDS + HEAD, 1);
    assert!(matches!(control.submit(&[], false), Err(SubmitError::Link(LinkError::Nonsense))));
}

/// Words that change while they are looked at.
#[test]
fn a_data_plane_survives_a_ring_that_is_never_still() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::bind(&path, Plane::SETUP).unwrap();
    for _ in 0..20 {
        let villain = Villain::control_plane(&mut server, &path);
        let over = std::thread::scope(|scope| {
            let server = &mut server;
            let served = scope.spawn(move || (0..100).find_map(|_| round(server)));
            let mut sent = 0;
            while !served.is_finished() {
                // Positions that can be, most of the time.
                sent += 7;
                villain.words[COMMANDS + TAIL].store(sent, Relaxed);
                for word in &villain.words[COMMANDS + SLOTS..][..64 * SLOT_WORDS] {
                    word.store(word.load(Relaxed).wrapping_add(1 << (sent % 64)), Relaxed);
                }
            }
            served.join().unwrap()
        });
        drop(villain);
        if over.is_none() {
            assert!((0..10).find_map(|_| round(&mut server)).is_some());
        }
        serves(&mut server, &path);
    }
}
