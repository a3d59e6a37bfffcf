//! The control plane's end.

use crate::codec::{Malformed, Slot};
use crate::command::{Command, Envelope};
use crate::counters::CountersView;
use crate::event::{Ack, Event, Failure};
use crate::hello::{ConnectError, Message, Role, greet};
use crate::layout::MAX_TRANSACTION;
use crate::policy::PolicySegment;
use crate::ring::Corrupt;
use crate::rings::{self, Receiver, Sender};
use crate::sa::SaTableView;
use crate::socket::{self, Received, Sent};
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the data plane may take to make room for commands.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a writer looks whether there is room.
const LOOK: Duration = Duration::from_micros(200);

/// The connection to the data plane is of no use any more; connect again.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The data plane closed it.
    #[error("the data plane is gone")]
    Gone,
    /// It does not read.
    #[error("the data plane does not take commands; is it hung or stopped?")]
    Hung,
    /// What it writes makes no sense.
    #[error("the data plane is faulty: what it writes makes no sense")]
    Nonsense,
    /// The kernel refused something.
    #[error("the connection to the data plane failed: {0}")]
    Io(#[from] io::Error),
}

impl From<Corrupt> for LinkError {
    fn from(_: Corrupt) -> LinkError {
        LinkError::Nonsense
    }
}

/// A transaction was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// One of the commands cannot be; nothing was sent.
    #[error("command {position} of the transaction cannot be sent: {malformed}")]
    Malformed {
        /// Which, from 0.
        position: usize,
        /// What is wrong with it.
        malformed: Malformed,
    },
    /// There are too many; nothing was sent.
    #[error("a transaction of {0} commands is too long; send at most {MAX_TRANSACTION} at once")]
    TooLong(usize),
    /// The connection failed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A transaction was not done, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It was refused, and so done in no part.
    #[error(transparent)]
    Refused(Failure),
    /// No answer in time; it may still be done.
    #[error("the data plane does not answer; is it hung or stopped?")]
    NoAnswer,
    /// The connection failed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// The control plane's connection. Its file descriptor ([`AsFd`]) is readable when [`Control::try_event`] may have news.
pub struct Control {
    socket: OwnedFd,
    generation: u64,
    pid: u32,
    workers: usize,
    commands: Sender,
    events: Receiver,
    sas: SaTableView,
    counters: CountersView,
    number: u64,
    event_number: u64,
    segment: u32,
    /// Events that came while an acknowledgement was waited for.
    early: VecDeque<Event>,
}

impl Control {
    /// Connects to the data plane that listens on `path`.
    pub fn connect(path: &Path) -> Result<Control, ConnectError> {
        let welcomed = greet(path, Role::Control)?;
        let Ok([sas, counters, rings]) = <[OwnedFd; 3]>::try_from(welcomed.fds) else {
            return Err(ConnectError::Nonsense(path.to_owned()));
        };
        let (commands, events) = rings::open(rings)?;
        Ok(Control {
            socket: welcomed.socket,
            generation: welcomed.generation,
            pid: welcomed.pid,
            workers: welcomed.workers,
            commands,
            events,
            sas: SaTableView::open(sas)?,
            counters: CountersView::open(counters)?,
            number: 0,
            event_number: 0,
            segment: 0,
            early: VecDeque::new(),
        })
    }

    /// Identifies this life of the data plane: another number, another life, and nothing of the old one's state.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The data plane's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The SA table. Readable, as it was left, when the data plane is dead.
    pub fn sa_table(&self) -> &SaTableView {
        &self.sas
    }

    /// The counters. Readable, as they were left, when the data plane is dead.
    pub fn counters(&self) -> &CountersView {
        &self.counters
    }

    /// Hands a policy over; returns the number by which [`Command::SetPolicy`] in the next transaction names it.
    pub fn offer(&mut self, policy: &PolicySegment) -> Result<u32, LinkError> {
        self.segment = self.segment.wrapping_add(1);
        let message = Message::Offer { segment: self.segment }.encode();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match socket::send(self.socket.as_fd(), &message, &[policy.fd()]) {
                Sent::Yes => return Ok(self.segment),
                Sent::Gone => return Err(LinkError::Gone),
                Sent::Full if Instant::now() < deadline => std::thread::sleep(LOOK),
                Sent::Full => return Err(LinkError::Hung),
            }
        }
    }

    /// Sends commands to be done all together or not at all; with `replace`, what they list is the whole state. Returns
    /// the number that the acknowledgement will have.
    ///
    /// Waits, at most some seconds, while the ring is full. After [`SubmitError::Link`] the connection is of no use.
    pub fn submit(&mut self, commands: &[Command], replace: bool) -> Result<u64, SubmitError> {
        if commands.len() >= MAX_TRANSACTION {
            return Err(SubmitError::TooLong(commands.len()));
        }
        // A commit of its own, so that a transaction of no commands is one too.
        let commit = self.number.wrapping_add(commands.len() as u64 + 1);
        // All are tried before the first is sent.
        for (position, command) in commands.iter().enumerate() {
            command
                .encode(Envelope { number: 1, commit: false, replace: false })
                .map_err(|malformed| SubmitError::Malformed { position, malformed })?;
        }
        let deadline = Instant::now() + PATIENCE;
        for (position, command) in commands.iter().chain([&Command::Barrier]).enumerate() {
            let number = self.number.wrapping_add(1);
            let last = number == commit;
            let slot = command
                .encode(Envelope { number, commit: last, replace: last && replace })
                .map_err(|malformed| SubmitError::Malformed { position, malformed })?;
            self.push(&slot, deadline)?;
            self.number = number;
        }
        self.ring_doorbell()?;
        Ok(commit)
    }

    fn push(&mut self, slot: &Slot, deadline: Instant) -> Result<(), LinkError> {
        while !self.commands.push(&slot.0)? {
            self.ring_doorbell()?;
            if Instant::now() >= deadline {
                return Err(LinkError::Hung);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn ring_doorbell(&self) -> Result<(), LinkError> {
        match socket::send(self.socket.as_fd(), &Message::Doorbell.encode(), &[]) {
            // With so many doorbells unread the data plane will look anyway.
            Sent::Yes | Sent::Full => Ok(()),
            Sent::Gone => Err(LinkError::Gone),
        }
    }

    /// The next event, if there is one now.
    pub fn try_event(&mut self) -> Result<Option<Event>, LinkError> {
        match self.early.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.next(),
        }
    }

    fn next(&mut self) -> Result<Option<Event>, LinkError> {
        let mut gone = false;
        loop {
            let mut slot = Slot::zeroed();
            if self.events.pop(&mut slot.0)? {
                let (number, event) = Event::decode(&slot).map_err(|_| LinkError::Nonsense)?;
                if number != self.event_number.wrapping_add(1) {
                    return Err(LinkError::Nonsense);
                }
                self.event_number = number;
                return Ok(Some(event));
            }
            if gone {
                return Err(LinkError::Gone);
            }
            match socket::receive(self.socket.as_fd()) {
                Received::Message(slot, _) => match Message::decode(&slot) {
                    Ok(Message::Doorbell) => {}
                    _ => return Err(LinkError::Nonsense),
                },
                Received::Nothing => return Ok(None),
                Received::Malformed => return Err(LinkError::Nonsense),
                // What it wrote before is still to be read.
                Received::Gone => gone = true,
            }
        }
    }

    /// Waits until the transaction `number` is acknowledged. Other events are kept for [`Control::try_event`].
    pub fn wait_ack(&mut self, number: u64, timeout: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.next()? {
                Some(Event::Ack(Ack { number: acked, result })) if acked == number => {
                    return result.map_err(WaitError::Refused);
                }
                Some(event) => self.early.push_back(event),
                None => {
                    if !socket::wait(self.socket.as_fd(), PollFlags::IN, deadline).map_err(LinkError::Io)? {
                        return Err(WaitError::NoAnswer);
                    }
                }
            }
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("pid", &self.pid)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
