//! Keys: in the ring until they are read, and nowhere after.

use super::{PATIENCE, Plane, samples};
use crate::command::{Command, Envelope};
use crate::hello::{Message, Role, greet};
use crate::layout::HEADER_BYTES;
use crate::memory::{Mapping, Overlaid};
use crate::{InstallSa, Request, Server, rings, socket};
use model::{Direction, KeyMaterial};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const KEY: [u8; 36] = *b"a key that nobody else must ever see";

fn sa() -> InstallSa {
    InstallSa { key: KeyMaterial::new(&KEY).unwrap(), ..samples::sa(0, Direction::Outbound) }
}

/// Every byte behind a segment's header.
fn contents(fd: impl AsFd) -> Vec<u8> {
    let len = rustix::fs::fstat(&fd).unwrap().st_size as usize;
    let mapping = Arc::new(Mapping::new(fd.as_fd(), len, false).unwrap());
    let words: Overlaid<AtomicU64> = Overlaid::new(&mapping, HEADER_BYTES, (len - HEADER_BYTES) / 8).unwrap();
    words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect()
}

/// Whether any eight bytes of the key are there.
fn is_there(bytes: &[u8]) -> bool {
    bytes.windows(8).any(|bytes| KEY.windows(8).any(|part| part == bytes))
}

#[test]
fn a_key_is_in_the_ring_only_until_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut server = Server::bind(&path, Plane::SETUP).unwrap();
    let client = std::thread::spawn(move || greet(&path, Role::Control).unwrap());
    while server.wait(PATIENCE).unwrap().is_empty() {}
    let welcomed = client.join().unwrap();
    let [_, _, rings] = welcomed.fds.try_into().unwrap();
    let shared = rings.try_clone().unwrap();
    let (mut commands, _events) = rings::open(rings).unwrap();

    let slots: Vec<_> = (1..=3)
        .map(|number| {
            let envelope = Envelope { number, commit: number == 3, replace: false };
            Command::InstallSa(Box::new(sa())).encode(envelope).unwrap()
        })
        .collect();
    for slot in &slots {
        assert!(commands.push(&slot.0).unwrap());
    }
    assert!(is_there(&contents(&shared)), "else this test would find nothing below either");
    socket::send(welcomed.socket.as_fd(), &Message::Doorbell.encode(), &[]);
    let requests = server.wait(PATIENCE).unwrap();
    let [Request::Transaction(transaction)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(transaction.commands[2].1, Command::InstallSa(Box::new(sa())));
    assert!(!is_there(&contents(&shared)));
    // All of the command is wiped, not the key alone: two positions are all that is not zero.
    assert!(contents(&shared).iter().filter(|byte| **byte != 0).count() <= 2);

    // Nor does it stand in what is kept of an SA.
    let table = server.sa_table();
    table.install(&sa()).unwrap();
    assert!(!is_there(&contents(table.fd())));
    server.ack(3, Ok(()));
    server.wait(Duration::ZERO).unwrap();
    assert!(!is_there(&contents(&shared)));
}

#[test]
fn a_key_is_not_printed() {
    let command = Command::InstallSa(Box::new(sa()));
    let slot = command.encode(Envelope { number: 1, commit: true, replace: false }).unwrap();
    let printed = format!("{command:?} {command:#?} {slot:?}");
    assert!(printed.contains("KeyMaterial(36 bytes)"));
    assert!(!is_there(printed.as_bytes()));
    assert!(!printed.contains("97, 32, 107"), "nor as numbers");
}
