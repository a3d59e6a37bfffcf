//! Messages of the rings and of the socket: what is written is read, and what is read can be nothing else.

use super::samples;
use crate::codec::Slot;
use crate::hello::Message;
use crate::layout::SLOT_BYTES;
use crate::{Command, Envelope, Event, Field, Malformed};
use model::Direction;
use proptest::prelude::*;

/// A slot in which some bytes were overwritten.
fn damaged(slot: &Slot, damage: &[(usize, u8)]) -> Slot {
    let mut bytes = slot.to_bytes();
    for &(at, byte) in damage {
        bytes[at] = byte;
    }
    Slot::from_bytes(&bytes)
}

fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    // Small numbers are what kinds, flags, lengths and modes are made of; most messages are short.
    let byte = prop_oneof![0..8_u8, any::<u8>()];
    prop::collection::vec((prop_oneof![0..72_usize, 0..SLOT_BYTES], byte), 0..4)
}

proptest! {
    // Each takes microseconds, and the bytes that matter are few among many.
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_command_is_read_as_it_was_written(
        command in samples::command(), number: u64, commit: bool, replace: bool,
    ) {
        let envelope = Envelope { number, commit, replace: commit && replace };
        let slot = command.encode(envelope).unwrap();
        prop_assert_eq!(Command::decode(&slot), Ok((envelope, command)));
        prop_assert_eq!(Command::peek(&slot), (number, commit));
    }

    #[test]
    fn an_event_is_read_as_it_was_written(event in samples::event(), number: u64) {
        prop_assert_eq!(Event::decode(&event.encode(number).unwrap()), Ok((number, event)));
    }

    /// No two slots mean the same, so there is nowhere to hide anything in a message, and no field that is not looked at.
    #[test]
    fn a_damaged_command_is_refused_or_is_another_command(
        command in samples::command(), damage in damage(),
    ) {
        let slot = command.encode(Envelope { number: 1, commit: true, replace: false }).unwrap();
        let slot = damaged(&slot, &damage);
        if let Ok((envelope, command)) = Command::decode(&slot) {
            prop_assert_eq!(command.encode(envelope).unwrap().0, slot.0);
        }
    }

    #[test]
    fn a_damaged_event_is_refused_or_is_another_event(event in samples::event(), damage in damage()) {
        let slot = damaged(&event.encode(1).unwrap(), &damage);
        if let Ok((number, event)) = Event::decode(&slot) {
            prop_assert_eq!(event.encode(number).unwrap().0, slot.0);
        }
    }

    #[test]
    fn a_damaged_greeting_is_refused_or_is_another_one(which in 0..9_usize, damage in damage()) {
        use crate::hello::{Refusal, Role};
        let port = crate::PortId::new(3).unwrap();
        let greetings = [
            Message::Hello { role: Role::Control },
            Message::Welcome { generation: 5, pid: 6, workers: 7 },
            Message::Refused { refusal: Refusal::Busy, detail: 8 },
            Message::Doorbell,
            Message::Offer { segment: 9 },
            Message::ListPolicies,
            Message::Policy { port, segment: 10, change: None },
            Message::Policy { port, segment: 10, change: Some(11) },
            Message::PoliciesEnd,
        ];
        let slot = damaged(&greetings[which].encode(), &damage);
        if let Ok(message) = Message::decode(&slot) {
            prop_assert_eq!(message.encode().0, slot.0);
        }
    }

    /// Random bytes, from which hardly anything comes, must at least do no harm.
    #[test]
    fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), SLOT_BYTES)) {
        let slot = Slot::from_bytes(bytes.as_slice().try_into().unwrap());
        let _ = (Command::decode(&slot), Event::decode(&slot), Message::decode(&slot).is_ok());
        prop_assert_eq!(slot.to_bytes().to_vec(), bytes);
    }
}

/// The writer hears of a bad field from itself, not from the other side.
#[test]
fn what_would_be_refused_is_not_written() {
    let good = samples::sa(0, Direction::Inbound);
    let envelope = Envelope { number: 1, commit: true, replace: false };
    type Change = fn(&mut crate::InstallSa);
    let refused = |change: Change| {
        let mut sa = good.clone();
        change(&mut sa);
        Command::InstallSa(Box::new(sa)).encode(envelope).map(|_| ()).unwrap_err()
    };
    let cases: [(Change, Field); 9] = [
        (|sa| sa.index = u32::MAX, Field::SaIndex),
        (|sa| sa.remote = "::1".parse().unwrap(), Field::RemoteAddress),
        (|sa| sa.replay_window = u32::MAX, Field::ReplayWindow),
        (|sa| sa.first_sequence = 0, Field::Sequence),
        (|sa| (sa.extended_sequence, sa.replay_floor) = (false, 1 << 32), Field::Sequence),
        (|sa| sa.limits.soft_bytes = Some(0), Field::Lifetime),
        (|sa| (sa.limits.soft_packets, sa.limits.hard_packets) = (Some(2), Some(1)), Field::Lifetime),
        (|sa| sa.entry = Some(u32::MAX), Field::Entry),
        (|sa| sa.key = model::KeyMaterial::new(&[0; 20]).unwrap(), Field::Key),
    ];
    for (change, field) in cases {
        assert_eq!(refused(change), Malformed(field));
    }
    let replace_early = Envelope { number: 1, commit: false, replace: true };
    assert_eq!(Command::Barrier.encode(replace_early).map(|_| ()), Err(Malformed(Field::Flags)));
}
