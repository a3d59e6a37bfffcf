//! What is said on the socket: who comes, what it gets, and shares of files that go along.

use crate::codec::{Field, Malformed, Reader, Slot, Writer};
use crate::command::PortId;
use crate::layout::{MAGIC, MAX_WORKERS, VERSION};
use crate::named::named_enum;
use crate::segment::SegmentError;
use crate::socket::{self, Received, Sent};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, connect};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a data plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Control,
    Observer,
}

named_enum! {
    /// Why the data plane does not want a client.
    Refusal {
        WrongVersion = 1, "wrong_version", "The data plane is of another version; install both from one build and restart them.";
        Busy = 2, "busy", "Another control plane is attached; stop that one first.";
        TooManyClients = 3, "too_many_clients", "The data plane has too many clients; end some of them.";
        NotPermitted = 4, "not_permitted", "Only the data plane's own user and root may connect; run as one of them.";
        NoResources = 5, "no_resources", "The data plane has no memory or file descriptors left; its machine needs more.";
    }
}

/// A message on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Client: the first message.
    Hello { role: Role },
    /// Data plane: with the files of the SA table and the counters, and for a control plane of the rings.
    Welcome { generation: u64, pid: u32, workers: u32 },
    /// Data plane: instead of a welcome. The detail is the version, or the process that is attached.
    Refused { refusal: Refusal, detail: u64 },
    /// Both: look at the rings.
    Doorbell,
    /// Control plane: with a policy segment, to be used under this number.
    Offer { segment: u32 },
    /// Observer: what policies are in use?
    ListPolicies,
    /// Data plane: one of them, with the files of its segment and its hit counters, and that of its change, if there is one.
    Policy { port: PortId, segment: u32, change: Option<u32> },
    /// Data plane: these were all.
    PoliciesEnd,
}

const HELLO: u32 = 1;
const WELCOME: u32 = 2;
const REFUSED: u32 = 3;
const DOORBELL: u32 = 4;
const OFFER: u32 = 5;
const LIST_POLICIES: u32 = 6;
const POLICY: u32 = 7;
const POLICIES_END: u32 = 8;

/// Why a message could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// It speaks another version.
    Version(u32),
    /// It is nonsense.
    Malformed,
}

impl From<Malformed> for Unclear {
    fn from(_: Malformed) -> Unclear {
        Unclear::Malformed
    }
}

impl Message {
    pub(crate) fn encode(self) -> Slot {
        let mut slot = Slot::zeroed();
        // Every message is far shorter than a slot.
        let _ = self.write(&mut Writer::new(&mut slot));
        slot
    }

    fn write(self, w: &mut Writer<'_>) -> Result<(), Malformed> {
        w.u64(MAGIC)?;
        w.u32(VERSION)?;
        match self {
            Message::Hello { role } => {
                w.u32(HELLO)?;
                w.u32(match role {
                    Role::Control => 1,
                    Role::Observer => 2,
                })
            }
            Message::Welcome { generation, pid, workers } => {
                w.u32(WELCOME)?;
                w.u64(generation)?;
                w.u32(pid)?;
                w.u32(workers)
            }
            Message::Refused { refusal, detail } => {
                w.u32(REFUSED)?;
                w.u64(refusal as u64)?;
                w.u64(detail)
            }
            Message::Doorbell => w.u32(DOORBELL),
            Message::Offer { segment } => {
                w.u32(OFFER)?;
                w.u32(segment)
            }
            Message::ListPolicies => w.u32(LIST_POLICIES),
            Message::Policy { port, segment, change } => {
                w.u32(POLICY)?;
                w.u16(port.get())?;
                w.u32(segment)?;
                w.u8(u8::from(change.is_some()))?;
                w.u32(change.unwrap_or_default())
            }
            Message::PoliciesEnd => w.u32(POLICIES_END),
        }
    }

    pub(crate) fn decode(slot: &Slot) -> Result<Message, Unclear> {
        let mut r = Reader::new(slot);
        if r.u64()? != MAGIC {
            return Err(Unclear::Malformed);
        }
        let version = r.u32()?;
        let kind = r.u32()?;
        if version != VERSION {
            return Err(Unclear::Version(version));
        }
        let message = match kind {
            HELLO => Message::Hello {
                role: match r.u32()? {
                    1 => Role::Control,
                    2 => Role::Observer,
                    _ => return Err(Unclear::Malformed),
                },
            },
            WELCOME => {
                let (generation, pid, workers) = (r.u64()?, r.u32()?, r.u32()?);
                if !(1..=MAX_WORKERS as u32).contains(&workers) {
                    return Err(Unclear::Malformed);
                }
                Message::Welcome { generation, pid, workers }
            }
            REFUSED => Message::Refused {
                refusal: Refusal::from_number(r.u64()?).ok_or(Unclear::Malformed)?,
                detail: r.u64()?,
            },
            DOORBELL => Message::Doorbell,
            OFFER => Message::Offer { segment: r.u32()? },
            LIST_POLICIES => Message::ListPolicies,
            POLICY => {
                let port = PortId::new(r.u16()?).ok_or(Malformed(Field::Port))?;
                let segment = r.u32()?;
                let change = match (r.u8()?, r.u32()?) {
                    (0, 0) => None,
                    (1, change) => Some(change),
                    _ => return Err(Unclear::Malformed),
                };
                Message::Policy { port, segment, change }
            }
            POLICIES_END => Message::PoliciesEnd,
            _ => return Err(Unclear::Malformed),
        };
        r.finish()?;
        Ok(message)
    }
}

/// Why there is no connection to the data plane.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens.
    #[error("no data plane listens on {path}; start espalier-dataplane, or say where it is", path = .0.display())]
    NotRunning(PathBuf),
    /// The socket or its owner is not to be used by us.
    #[error("{path} is not for this user; run as root or as the data plane's user", path = .0.display())]
    NotPermitted(PathBuf),
    /// The path cannot be a socket's.
    #[error("{path} cannot be a socket's path (at most 107 bytes); choose another one", path = .0.display())]
    BadPath(PathBuf),
    /// Another control plane is attached.
    #[error("another control plane (process {pid}) is attached to the data plane; stop that one first")]
    Busy {
        /// Its process.
        pid: u64,
    },
    /// The other side is of another build.
    #[error(
        "the data plane speaks version {theirs} of the shared memory, not {VERSION}; install both planes from one build and restart them"
    )]
    WrongVersion {
        /// What it speaks.
        theirs: u32,
    },
    /// The data plane refused for another reason.
    #[error("the data plane refused: {}", .0.about())]
    Refused(Refusal),
    /// It does not answer.
    #[error("the data plane does not answer; is it hung or stopped?")]
    NoAnswer,
    /// It answers nonsense.
    #[error("what listens on {path} is no data plane, or a faulty one; look at what it is", path = .0.display())]
    Nonsense(PathBuf),
    /// A segment that it handed over is not as it must be.
    #[error("the data plane's memory cannot be used: {0}")]
    Segment(#[from] SegmentError),
    /// The kernel refused something.
    #[error("cannot connect to the data plane: {0}; look at this machine's limits")]
    Io(#[from] io::Error),
}

/// A connection that was welcomed.
pub(crate) struct Welcomed {
    pub(crate) socket: OwnedFd,
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) workers: usize,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Connects, says hello, and waits for the welcome.
pub(crate) fn greet(path: &Path, role: Role) -> Result<Welcomed, ConnectError> {
    let socket = socket::new()?;
    let address = SocketAddrUnix::new(path).map_err(|_| ConnectError::BadPath(path.to_owned()))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Err(ConnectError::NotRunning(path.to_owned())),
            Err(Errno::ACCESS | Errno::PERM) => return Err(ConnectError::NotPermitted(path.to_owned())),
            Err(Errno::PROTOTYPE | Errno::NOTSOCK) => return Err(ConnectError::Nonsense(path.to_owned())),
            Err(Errno::INTR) => {}
            // Its queue of connections is full.
            Err(Errno::AGAIN) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::AGAIN) => return Err(ConnectError::NoAnswer),
            Err(errno) => return Err(ConnectError::Io(errno.into())),
        }
    }
    if !socket::peer(socket.as_fd())?.is_trusted() {
        return Err(ConnectError::NotPermitted(path.to_owned()));
    }
    // A data plane that refuses at once, without hearing the hello, has said why.
    let said = socket::send(socket.as_fd(), &Message::Hello { role }.encode(), &[]);
    if said == Sent::Full {
        return Err(ConnectError::NoAnswer);
    }
    loop {
        if !socket::wait(socket.as_fd(), PollFlags::IN, deadline)? {
            return Err(ConnectError::NoAnswer);
        }
        let (slot, fds) = match socket::receive(socket.as_fd()) {
            Received::Message(slot, fds) => (slot, fds),
            Received::Nothing => continue,
            Received::Malformed => return Err(ConnectError::Nonsense(path.to_owned())),
            Received::Gone => return Err(ConnectError::NotRunning(path.to_owned())),
        };
        return match Message::decode(&slot) {
            Ok(Message::Welcome { generation, pid, workers }) => {
                Ok(Welcomed { socket, generation, pid, workers: workers as usize, fds })
            }
            Ok(Message::Refused { refusal: Refusal::Busy, detail }) => {
                Err(ConnectError::Busy { pid: detail })
            }
            Ok(Message::Refused { refusal: Refusal::NotPermitted, .. }) => {
                Err(ConnectError::NotPermitted(path.to_owned()))
            }
            Ok(Message::Refused { refusal: Refusal::WrongVersion, detail }) => {
                Err(ConnectError::WrongVersion { theirs: detail as u32 })
            }
            Ok(Message::Refused { refusal, .. }) => Err(ConnectError::Refused(refusal)),
            Err(Unclear::Version(theirs)) => Err(ConnectError::WrongVersion { theirs }),
            Ok(_) | Err(Unclear::Malformed) => Err(ConnectError::Nonsense(path.to_owned())),
        };
    }
}
