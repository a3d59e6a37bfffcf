//! Whoever is at the other end of the rings and the socket, and does what it likes with both.

use super::PATIENCE;
use super::hostile::{self, Words, number, poke};
use crate::codec::Slot;
use crate::hello::{Message, Role};
use crate::layout::{HEADER_BYTES, RING_SLOTS, SLOT_WORDS};
use crate::listener::Listener;
use crate::socket::{self, Received, Sent};
use crate::{Control, Counters, PolicySegment, Request, SaTable, Server, rings};
use proptest::prelude::*;
use rustix::event::PollFlags;
use rustix::net::SocketAddrUnix;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Words of a ring: where the positions are, and where its slots begin.
pub(super) const HEAD: usize = 0;
pub(super) const TAIL: usize = 8;
pub(super) const SLOTS: usize = 16;
/// Where the rings are in their segment.
pub(super) const COMMANDS: usize = HEADER_BYTES / 8;
pub(super) const EVENTS: usize = COMMANDS + SLOTS + RING_SLOTS * SLOT_WORDS;

/// What somebody who has a ring and a socket can do with them.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Writes a word of its own ring's positions, of the other's, or anything.
    Poke(usize, u64),
    /// Puts a message behind the last one, and says so.
    Send(Vec<u64>),
    /// Says a message on the socket, perhaps with files.
    Say(Vec<u64>, Vec<usize>),
    /// The honest side goes on.
    Wait,
    /// It has something to say itself.
    Answer(u64),
}

fn message(honest: impl Strategy<Value = Slot>) -> impl Strategy<Value = Vec<u64>> {
    let damage = prop_oneof![3 => Just(Vec::new()), 1 => hostile::pokes(SLOT_WORDS)];
    (honest, damage).prop_map(|(slot, damage)| {
        let mut words = slot.0.to_vec();
        damage.into_iter().for_each(|(at, value)| words[at] = value);
        words
    })
}

pub(super) fn deeds(ring: usize, sent: impl Strategy<Value = Slot>) -> impl Strategy<Value = Vec<Deed>> {
    let other = COMMANDS + EVENTS - ring;
    let places = prop_oneof![
        Just(ring + HEAD),
        Just(ring + TAIL),
        Just(other + HEAD),
        Just(other + TAIL),
        0..EVENTS + SLOTS + RING_SLOTS * SLOT_WORDS,
    ];
    let said = prop_oneof![
        4 => Just(Message::Doorbell),
        4 => (0..4_u32).prop_map(|segment| Message::Offer { segment }),
        1 => Just(Message::Hello { role: Role::Control }),
    ]
    .prop_map(Message::encode);
    let files = prop_oneof![Just(vec![0]), prop::collection::vec(0..6_usize, 0..=socket::MAX_FDS)];
    let deed = prop_oneof![
        1 => (places, number()).prop_map(|(at, value)| Deed::Poke(at, value)),
        6 => message(sent).prop_map(Deed::Send),
        2 => (message(said), files).prop_map(|(message, files)| Deed::Say(message, files)),
        4 => Just(Deed::Wait),
        2 => (0..6_u64).prop_map(Deed::Answer),
    ];
    prop::collection::vec(deed, 1..40)
}

/// The hostile end of a connection.
pub(super) struct Villain {
    socket: OwnedFd,
    pub(super) words: Words,
    /// Where its own ring is.
    ring: usize,
    sent: u64,
    files: Vec<OwnedFd>,
}

impl Villain {
    fn new(socket: OwnedFd, rings: &OwnedFd, ring: usize) -> Villain {
        let policy = PolicySegment::build(b"image", &[], None).unwrap();
        let mut files = vec![policy.fd().try_clone_to_owned().unwrap()];
        files.extend(hostile::no_memory());
        Villain { socket, words: hostile::words(rings), ring, sent: 0, files }
    }

    /// Attaches to a data plane by hand, so that the rings' file can be kept.
    pub(super) fn control_plane(server: &mut Server, path: &Path) -> Villain {
        let socket = socket::new().unwrap();
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        socket::send(socket.as_fd(), &Message::Hello { role: Role::Control }.encode(), &[]);
        let pid = std::process::id() as i32;
        assert_eq!(server.wait(PATIENCE).unwrap(), [Request::ControlAttached { pid }]);
        let Received::Message(_, fds) = socket::receive(socket.as_fd()) else { panic!("no welcome") };
        Villain::new(socket, &fds[2], COMMANDS)
    }

    /// Takes in an honest control plane.
    pub(super) fn data_plane() -> (Control, Villain) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = Listener::bind(&path).unwrap();
        let (rings, _commands, _events) = rings::create().unwrap();
        let (sas, counters) = (SaTable::create(1).unwrap(), Counters::create(1, 1).unwrap());
        std::thread::scope(|scope| {
            let client = scope.spawn(|| Control::connect(&path).unwrap());
            assert!(socket::wait(listener.as_fd(), PollFlags::IN, Instant::now() + PATIENCE).unwrap());
            let socket = listener.accept().unwrap();
            let welcome = Message::Welcome { generation: 1, pid: 1, workers: 1 }.encode();
            socket::send(socket.as_fd(), &welcome, &[sas.fd(), counters.fd(), rings.as_fd()]);
            (client.join().unwrap(), Villain::new(socket, &rings, EVENTS))
        })
    }

    pub(super) fn send(&mut self, message: &[u64]) {
        let slot = self.ring + SLOTS + self.sent as usize % RING_SLOTS * SLOT_WORDS;
        for (word, value) in self.words[slot..].iter().zip(message) {
            word.store(*value, Relaxed);
        }
        self.sent += 1;
        // The number that is due, unless it was damaged to be another.
        let number: &AtomicU64 = &self.words[slot];
        let _ = number.compare_exchange(0, self.sent, Relaxed, Relaxed);
        self.words[self.ring + TAIL].store(self.sent, Relaxed);
    }

    pub(super) fn say(&self, message: &[u64], files: &[usize]) {
        let slot = Slot(message.try_into().unwrap());
        let fds: Vec<_> = files.iter().map(|&file| self.files[file].as_fd()).collect();
        let _: Sent = socket::send(self.socket.as_fd(), &slot, &fds);
    }

    pub(super) fn poke(&self, at: usize, value: u64) {
        poke(&self.words, &[(at, value)]);
    }
}
