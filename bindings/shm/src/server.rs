//! The data plane's end: the socket that everybody comes to, and the session of the one control plane.

use crate::codec::Slot;
use crate::counters::Counters;
use crate::event::{Ack, Event, Failure};
use crate::hello::{Message, Refusal, Role, Unclear};
use crate::hits::Hits;
use crate::layout::{ACK_RESERVE, MAX_PENDING_IMAGES, MAX_WORKERS, RING_SLOTS, SPARE_RULES, VERSION};
use crate::listener::Listener;
use crate::policy::PolicyImage;
use crate::rings::{self, Receiver, Sender};
use crate::sa::SaTable;
use crate::socket::{self, Peer, Received, Sent};
use crate::transaction::{Assembler, Complete, Transaction};
use crate::{PortId, ring};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::listener::BindError;

/// Clients at a time, the control plane included.
const MAX_CLIENTS: usize = 64;
/// How long a client may take to say hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// What the segments have room for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Workers, at most [`MAX_WORKERS`].
    pub workers: usize,
    /// Slots of the SA table, at most [`MAX_SA_CAPACITY`](crate::layout::MAX_SA_CAPACITY).
    pub sa_capacity: u32,
}

/// A policy in use, as observers see it.
#[derive(Clone, Debug)]
pub struct PolicyInUse {
    /// The compiled policy.
    pub image: PolicyImage,
    /// The change that lies over it.
    pub change: Option<PolicyImage>,
    /// Its hit counters.
    pub hits: Arc<Hits>,
}

/// What somebody wants of the data plane.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// A control plane has come.
    ControlAttached {
        /// Its process.
        pid: i32,
    },
    /// It has gone; what it asked for stays.
    ControlDetached(Detached),
    /// To be done whole or not at all, and answered with [`Server::ack`].
    Transaction(Transaction),
}

/// Why a control plane is no longer attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Detached {
    /// It closed its socket: it ended, or was killed.
    #[error("its socket is closed")]
    Gone,
    /// It wrote a position into a ring that cannot be.
    #[error("it wrote an impossible position into a ring")]
    RingCorrupt,
    /// Its commands were not numbered one by one.
    #[error("its commands are out of order")]
    OutOfOrder,
    /// What it said on the socket is no message.
    #[error("what it says on the socket makes no sense")]
    Nonsense,
}

/// The socket or its shared memory failed for a reason that is not a client's.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The kernel refused something.
    #[error("cannot wait for clients: {0}")]
    Io(#[from] io::Error),
}

/// The session of the control plane.
struct Session {
    socket: OwnedFd,
    pid: i32,
    commands: Receiver,
    events: Sender,
    event_number: u64,
    assembler: Assembler,
    /// Acknowledgements that the ring had no room for; as many as transactions that the ring could hold.
    acks: VecDeque<Ack>,
    /// Policy images by the number they were offered under, and whether the transaction in work took them.
    images: BTreeMap<u32, (PolicyImage, bool)>,
    /// It is to be let go for this, once what it sent before is done.
    over: Option<Detached>,
}

/// Somebody else: said hello as an observer, or not yet.
struct Client {
    socket: OwnedFd,
    peer: Peer,
    /// Until when it must have said hello; `None` once it has.
    hello_by: Option<Instant>,
}

/// The server of a data plane: one socket, the segments, at most one control plane, some observers.
pub struct Server {
    listener: Listener,
    generation: u64,
    workers: usize,
    sas: Arc<SaTable>,
    counters: Arc<Counters>,
    session: Option<Session>,
    clients: Vec<Client>,
    policies: BTreeMap<PortId, PolicyInUse>,
    requests: Vec<Request>,
}

impl Server {
    /// Makes the segments and listens on a new socket at `path`, which only this user may open (mode 0600). What an
    /// earlier data plane left there is removed; one that lives is [`BindError::InUse`].
    pub fn bind(path: &Path, setup: Setup) -> Result<Server, BindError> {
        if !(1..=MAX_WORKERS).contains(&setup.workers) {
            return Err(BindError::Workers(setup.workers));
        }
        let listener = Listener::bind(path)?;
        let generation = getrandom::u64().map_err(|error| BindError::Memory(io::Error::other(error)))?;
        let sas = SaTable::create(setup.sa_capacity).map_err(BindError::Memory)?;
        let counters = Counters::create(setup.workers, generation).map_err(BindError::Memory)?;
        Ok(Server {
            listener,
            generation,
            workers: setup.workers,
            sas: Arc::new(sas),
            counters: Arc::new(counters),
            session: None,
            clients: Vec::new(),
            policies: BTreeMap::new(),
            requests: Vec::new(),
        })
    }

    /// The SA table.
    pub fn sa_table(&self) -> Arc<SaTable> {
        Arc::clone(&self.sas)
    }

    /// The counters.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Serves whoever came, waiting at most `timeout` for somebody to come, and returns what is asked for, in order. No
    /// client can make it wait longer, and every call does a bounded amount of work.
    pub fn wait(&mut self, timeout: Duration) -> Result<Vec<Request>, ServeError> {
        let busy = self.session.as_ref().is_some_and(|session| {
            session.over.is_some() || session.commands.waiting().is_ok_and(|waiting| waiting > 0)
        });
        self.poll(if busy { Duration::ZERO } else { timeout })?;
        self.accept();
        self.hear_clients();
        if let Some(session) = &mut self.session {
            session.hear();
            session.take_commands(&mut self.requests);
            session.flush_acks();
            if let Some(why) = session.over {
                self.requests.push(Request::ControlDetached(why));
                self.session = None;
            }
        }
        Ok(std::mem::take(&mut self.requests))
    }

    fn poll(&self, timeout: Duration) -> Result<(), ServeError> {
        let sockets = std::iter::once(self.listener.as_fd())
            .chain(self.session.iter().map(|session| session.socket.as_fd()))
            .chain(self.clients.iter().map(|client| client.socket.as_fd()));
        let mut fds: Vec<PollFd<'_>> =
            sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&socket::timespec(timeout))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(ServeError::Io(errno.into())),
        }
    }

    fn accept(&mut self) {
        // As many as there is room for in the queue of connections; others wait for the next call.
        for _ in 0..MAX_CLIENTS {
            let Some(socket) = self.listener.accept() else { return };
            let Ok(peer) = socket::peer(socket.as_fd()) else { continue };
            if !peer.is_trusted() {
                refuse(socket.as_fd(), Refusal::NotPermitted, 0);
            } else if self.clients.len() + usize::from(self.session.is_some()) >= MAX_CLIENTS {
                refuse(socket.as_fd(), Refusal::TooManyClients, 0);
            } else {
                self.clients.push(Client { socket, peer, hello_by: Some(Instant::now() + HELLO_PATIENCE) });
            }
        }
    }

    fn hear_clients(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            if let Some(client) = self.hear_client(client) {
                self.clients.push(client);
            }
        }
    }

    /// One message of one client. Returns the client if it stays one.
    fn hear_client(&mut self, mut client: Client) -> Option<Client> {
        let socket = client.socket.as_fd();
        let message = match socket::receive(socket) {
            Received::Message(slot, _) => Message::decode(&slot),
            Received::Nothing => {
                return client.hello_by.is_none_or(|by| Instant::now() < by).then_some(client);
            }
            Received::Malformed | Received::Gone => return None,
        };
        match (message, client.hello_by) {
            (Ok(Message::Hello { role: Role::Control }), Some(_)) => {
                self.attach(client);
                None
            }
            (Ok(Message::Hello { role: Role::Observer }), Some(_)) => {
                client.hello_by = None;
                let welcomed = socket::send(socket, &self.welcome(), &[self.sas.fd(), self.counters.fd()]);
                (welcomed == Sent::Yes).then_some(client)
            }
            (Ok(Message::ListPolicies), None) => self.list_policies(socket).then_some(client),
            (Err(Unclear::Version(_)), Some(_)) => {
                refuse(socket, Refusal::WrongVersion, u64::from(VERSION));
                None
            }
            _ => None,
        }
    }

    fn welcome(&self) -> Slot {
        let (generation, workers) = (self.generation, self.workers as u32);
        Message::Welcome { generation, pid: std::process::id(), workers }.encode()
    }

    fn attach(&mut self, client: Client) {
        let socket = client.socket.as_fd();
        // One that was killed just now may have a successor before its end was noticed.
        if let Some(session) = &mut self.session {
            session.hear();
            session.take_commands(&mut self.requests);
            match session.over {
                Some(why) => {
                    self.requests.push(Request::ControlDetached(why));
                    self.session = None;
                }
                None => {
                    refuse(socket, Refusal::Busy, session.pid.unsigned_abs().into());
                    return;
                }
            }
        }
        let Ok((rings, commands, events)) = rings::create() else {
            refuse(socket, Refusal::NoResources, 0);
            return;
        };
        let fds = [self.sas.fd(), self.counters.fd(), rings.as_fd()];
        if socket::send(socket, &self.welcome(), &fds) != Sent::Yes {
            return;
        }
        self.requests.push(Request::ControlAttached { pid: client.peer.pid });
        self.session = Some(Session {
            socket: client.socket,
            pid: client.peer.pid,
            commands,
            events,
            event_number: 0,
            assembler: Assembler::default(),
            acks: VecDeque::new(),
            images: BTreeMap::new(),
            over: None,
        });
    }

    fn list_policies(&self, socket: BorrowedFd<'_>) -> bool {
        let sent = self.policies.iter().all(|(&port, PolicyInUse { image, change, hits })| {
            let change_segment = change.as_ref().map(PolicyImage::segment);
            let message = Message::Policy { port, segment: image.segment(), change: change_segment };
            let fds: Vec<_> =
                [image.fd(), hits.fd()].into_iter().chain(change.iter().map(PolicyImage::fd)).collect();
            socket::send(socket, &message.encode(), &fds) == Sent::Yes
        });
        sent && socket::send(socket, &Message::PoliciesEnd.encode(), &[]) == Sent::Yes
    }

    /// The policy image that the control plane offered under this number. It stays on offer until the transaction that
    /// uses it is acknowledged.
    pub fn image(&mut self, segment: u32) -> Option<PolicyImage> {
        let session = self.session.as_mut()?;
        if !session.images.contains_key(&segment) {
            // The offer may have come after the socket was last read; it was sent before the command.
            session.hear();
        }
        let (image, taken) = session.images.get_mut(&segment)?;
        *taken = true;
        Some(image.clone())
    }

    /// Hit counters for so many rules of a policy, all zero, and some to spare for those that changes will add.
    pub fn hits(&self, rules: u32) -> io::Result<Arc<Hits>> {
        Hits::create(self.workers, rules.saturating_add(SPARE_RULES)).map(Arc::new)
    }

    /// Tells observers what policy is in use on a port.
    pub fn set_policy(&mut self, port: PortId, policy: Option<PolicyInUse>) {
        match policy {
            Some(policy) => drop(self.policies.insert(port, policy)),
            None => drop(self.policies.remove(&port)),
        }
    }

    /// Whether there is a control plane.
    pub const fn is_controlled(&self) -> bool {
        self.session.is_some()
    }

    /// Tells the control plane of something. Without a control plane, or when it does not read, the event is lost, and
    /// counted. Returns whether it was told.
    pub fn event(&mut self, event: Event) -> bool {
        let told = self.session.as_mut().is_some_and(|session| {
            session.flush_acks();
            session.has_room(ACK_RESERVE) && session.push(&event)
        });
        if !told {
            self.counters.lose_event();
        }
        told
    }

    /// Tells the control plane what became of its transaction `number`. It is kept until there is room for it.
    pub fn ack(&mut self, number: u64, result: Result<(), Failure>) {
        let Some(session) = &mut self.session else { return };
        session.images.retain(|_, (_, taken)| !*taken);
        session.acks.push_back(Ack { number, result });
        session.flush_acks();
    }
}

impl Session {
    /// Takes what waits on the socket: doorbells, whose meaning is that we woke up, and offers.
    fn hear(&mut self) {
        // More than the kernel's buffer holds; a client that says more waits for the next call.
        for _ in 0..RING_SLOTS {
            if self.over.is_some() {
                return;
            }
            match socket::receive(self.socket.as_fd()) {
                Received::Message(slot, fds) => match Message::decode(&slot) {
                    Ok(Message::Doorbell) => {}
                    Ok(Message::Offer { segment }) => self.offer(segment, fds),
                    _ => self.over = Some(Detached::Nonsense),
                },
                Received::Nothing => return,
                Received::Malformed => self.over = Some(Detached::Nonsense),
                Received::Gone => self.over = Some(Detached::Gone),
            }
        }
    }

    /// Takes a policy image. One that is not as it must be is not there when a command names it.
    fn offer(&mut self, segment: u32, fds: Vec<OwnedFd>) {
        if self.images.len() >= MAX_PENDING_IMAGES {
            return;
        }
        if let Ok([fd]) = <[OwnedFd; 1]>::try_from(fds)
            && let Ok(image) = PolicyImage::open(fd, segment)
        {
            self.images.insert(segment, (image, false));
        }
    }

    fn take_commands(&mut self, requests: &mut Vec<Request>) {
        let mut slot = Slot::zeroed();
        for _ in 0..RING_SLOTS {
            match self.commands.pop(&mut slot.0) {
                Ok(true) => {}
                Ok(false) => return,
                Err(ring::Corrupt) => return self.end(Detached::RingCorrupt),
            }
            match self.assembler.feed(&slot) {
                Ok(None) => {}
                Ok(Some(Complete::Transaction(transaction))) => {
                    requests.push(Request::Transaction(transaction))
                }
                Ok(Some(Complete::Refused { commit, failure })) => {
                    self.acks.push_back(Ack { number: commit, result: Err(failure) });
                }
                Err(_) => return self.end(Detached::OutOfOrder),
            }
        }
    }

    fn end(&mut self, why: Detached) {
        self.over.get_or_insert(why);
    }

    fn has_room(&mut self, more_than: usize) -> bool {
        match self.events.free() {
            Ok(free) => free > more_than,
            Err(ring::Corrupt) => {
                self.end(Detached::RingCorrupt);
                false
            }
        }
    }

    fn flush_acks(&mut self) {
        while let Some(&ack) = self.acks.front()
            && self.has_room(0)
            && self.push(&Event::Ack(ack))
        {
            self.acks.pop_front();
        }
    }

    fn push(&mut self, event: &Event) -> bool {
        let number = self.event_number.wrapping_add(1);
        let Ok(slot) = event.encode(number) else { return false };
        match self.events.push(&slot.0) {
            Ok(true) => {
                self.event_number = number;
                // A client that has so many doorbells unread that no more fit will look anyway.
                let _ = socket::send(self.socket.as_fd(), &Message::Doorbell.encode(), &[]);
                true
            }
            Ok(false) => false,
            Err(ring::Corrupt) => {
                self.end(Detached::RingCorrupt);
                false
            }
        }
    }
}

fn refuse(socket: BorrowedFd<'_>, refusal: Refusal, detail: u64) {
    // Whoever does not hear it sees the socket closed.
    let _ = socket::send(socket, &Message::Refused { refusal, detail }.encode(), &[]);
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("control", &self.session.as_ref().map(|session| session.pid))
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}
