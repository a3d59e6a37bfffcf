//! Commands one way, answers and events the other: whole, in order, once.

use super::{PATIENCE, Plane, samples};
use crate::layout::{ACK_RESERVE, MAX_TRANSACTION, RING_SLOTS};
use crate::{
    Ack, Command, Detached, Event, Failure, Field, LinkError, Malformed, PortId, Reason, Request,
    SubmitError, WaitError,
};
use model::Direction;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::time::Duration;

fn link(number: u16) -> Event {
    Event::PortLink { port: PortId::new(number).unwrap(), up: true }
}

fn commands(count: usize) -> Vec<Command> {
    let strategy = prop::collection::vec(samples::command(), count);
    strategy.new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// Also when there are more commands than the ring has room for, so that both sides go round it.
#[test]
fn transactions_arrive_whole_in_order_and_numbered() {
    let plane = Plane::start();
    let mut control = plane.control();
    let mut number = 0;
    for (count, replace) in [(0, false), (1, true), (200, false), (3 * RING_SLOTS + 1, true), (1, false)] {
        let commands = commands(count);
        let commit = control.submit(&commands, replace).unwrap();
        let transaction = plane.transaction();
        assert_eq!(transaction.commit, commit);
        assert_eq!(transaction.replace, replace);
        // Its own commands, and the barrier that carries the commit.
        let awaited = commands.into_iter().chain([Command::Barrier]).zip(number + 1..);
        assert!(transaction.commands.into_iter().eq(awaited.map(|(command, number)| (number, command))));
        number = commit;
        plane.with(move |server| server.ack(commit, Ok(())));
        control.wait_ack(commit, PATIENCE).unwrap();
    }
    assert_eq!(control.try_event().unwrap(), None);
}

#[test]
fn a_refusal_says_which_command_and_why() {
    let plane = Plane::start();
    let mut control = plane.control();
    let commit = control.submit(&[Command::RemoveSa { index: 7 }], false).unwrap();
    let failure = Failure { number: plane.transaction().commands[0].0, reason: Reason::NoSuchSa, detail: 7 };
    plane.with(move |server| server.ack(commit, Err(failure)));
    let error = control.wait_ack(commit, PATIENCE).unwrap_err();
    assert!(matches!(error, WaitError::Refused(refused) if refused == failure));
    assert_eq!(
        error.to_string(),
        "command 1 was refused: There is no SA of this index. (detail 7)",
        "what an operator reads"
    );
}

/// Answers may come late and in between; nothing that was said is lost to whoever waits for something else.
#[test]
fn events_beside_an_answer_are_kept_in_order() {
    let plane = Plane::start();
    let mut control = plane.control();
    let (first, second) = (control.submit(&[], false).unwrap(), control.submit(&[], true).unwrap());
    assert!(matches!(control.wait_ack(first, Duration::from_millis(1)), Err(WaitError::NoAnswer)));
    plane.with(move |server| {
        server.event(link(1));
        server.ack(first, Ok(()));
        server.event(link(2));
        server.ack(second, Ok(()));
        server.event(link(3));
    });
    control.wait_ack(second, PATIENCE).unwrap();
    let mut events = std::iter::from_fn(|| control.try_event().unwrap());
    let answer = Event::Ack(Ack { number: first, result: Ok(()) });
    assert_eq!(events.by_ref().take(4).collect::<Vec<_>>(), [link(1), answer, link(2), link(3)]);
}

#[test]
fn what_cannot_be_sent_is_not_sent_in_part() {
    let plane = Plane::start();
    let mut control = plane.control();
    let mut bad = samples::sa(0, Direction::Outbound);
    bad.first_sequence = 0;
    let commands = [Command::Barrier, Command::InstallSa(Box::new(bad))];
    let error = control.submit(&commands, false).unwrap_err();
    let malformed = Malformed(Field::Sequence);
    assert!(matches!(error, SubmitError::Malformed { position: 1, malformed: m } if m == malformed));
    let error = control.submit(&vec![Command::Barrier; MAX_TRANSACTION], false).unwrap_err();
    assert!(matches!(error, SubmitError::TooLong(MAX_TRANSACTION)));
    // The data plane has seen nothing of all that.
    let commit = control.submit(&[], false).unwrap();
    assert_eq!(commit, 1);
    assert_eq!(plane.transaction().commands, [(1, Command::Barrier)]);
}

/// A control plane that does not read loses events, which are counted, but never an answer.
#[test]
fn answers_get_through_where_events_do_not() {
    let plane = Plane::start();
    let mut control = plane.control();
    let sent = 2 * RING_SLOTS;
    let fits = RING_SLOTS - ACK_RESERVE;
    let answers: Vec<u64> = (0..2 * ACK_RESERVE).map(|_| control.submit(&[], false).unwrap()).collect();
    for _ in &answers {
        plane.transaction();
    }
    let to_answer = answers.clone();
    plane.with(move |server| {
        let told = (0..sent).filter(|&number| server.event(link((number % 32) as u16))).count();
        assert_eq!(told, fits);
        to_answer.into_iter().for_each(|number| server.ack(number, Ok(())));
    });
    assert_eq!(control.counters().snapshot().events_lost, (sent - fits) as u64);
    for number in 0..fits {
        assert_eq!(control.try_event().unwrap(), Some(link((number % 32) as u16)));
    }
    // More answers than the ring had room for: the rest follow as it empties.
    for number in answers {
        control.wait_ack(number, PATIENCE).unwrap();
    }
}

#[test]
fn an_event_that_nobody_is_there_for_is_counted() {
    let plane = Plane::start();
    plane.with(|server| {
        assert!(!server.is_controlled());
        assert!(!server.event(link(0)));
    });
    assert_eq!(plane.observer().counters().snapshot().events_lost, 1);
}

/// What a control plane asked for just before its end is done; what it did not commit is not.
#[test]
fn a_control_plane_that_ends_is_heard_to_the_end() {
    let plane = Plane::start();
    let mut control = plane.control();
    let commit = control.submit(&[Command::RemoveSa { index: 1 }], false).unwrap();
    drop(control);
    assert_eq!(plane.transaction().commit, commit);
    assert_eq!(plane.next(), Request::ControlDetached(Detached::Gone));
    // An answer to nobody goes nowhere, and is not taken for the next one's.
    plane.with(move |server| server.ack(commit, Ok(())));
    let mut control = plane.control();
    assert_eq!(control.submit(&[], false).unwrap(), 1);
    plane.transaction();
    assert_eq!(control.try_event().unwrap(), None);
}

#[test]
fn a_data_plane_that_ends_is_heard_to_the_end() {
    let mut plane = Plane::start();
    let mut control = plane.control();
    let commit = control.submit(&[], false).unwrap();
    plane.transaction();
    plane.with(move |server| {
        server.event(link(9));
        server.ack(commit, Ok(()));
    });
    plane.stop();
    control.wait_ack(commit, PATIENCE).unwrap();
    assert_eq!(control.try_event().unwrap(), Some(link(9)));
    assert!(matches!(control.try_event(), Err(LinkError::Gone)));
    assert!(matches!(control.wait_ack(9, PATIENCE), Err(WaitError::Link(LinkError::Gone))));
    assert!(matches!(control.submit(&[], false), Err(SubmitError::Link(LinkError::Gone))));
}
