//! Who may come to a data plane's socket, who may not, and what is said to them.

use super::{PATIENCE, Plane};
use crate::codec::Slot;
use crate::hello::{ConnectError, Message, Refusal, Role};
use crate::layout::VERSION;
use crate::listener::Listener;
use crate::socket::{self, Received, Sent};
use crate::{BindError, Control, Detached, Observer, Request, SegmentError, Server, Setup};
use rustix::event::PollFlags;
use rustix::net::SocketAddrUnix;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Somebody who has connected and said nothing yet.
fn stranger(path: &Path) -> OwnedFd {
    let socket = socket::new().unwrap();
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

fn reply(socket: BorrowedFd<'_>) -> Received {
    assert!(socket::wait(socket, PollFlags::IN, Instant::now() + PATIENCE).unwrap());
    socket::receive(socket)
}

fn say(socket: &OwnedFd, slot: &Slot, fds: &[BorrowedFd<'_>]) {
    assert_eq!(socket::send(socket.as_fd(), slot, fds), Sent::Yes);
}

/// A message as a build of another version would write it.
fn of_version(message: Message, version: u32) -> Slot {
    let mut bytes = *message.encode().to_bytes();
    bytes[8..12].copy_from_slice(&version.to_ne_bytes());
    Slot::from_bytes(&bytes)
}

#[test]
fn a_control_plane_is_told_whom_it_has_reached() {
    let plane = Plane::start();
    let control = plane.control();
    assert_eq!(control.pid(), std::process::id());
    assert_eq!(control.workers(), Plane::SETUP.workers);
    assert_eq!(control.counters().workers(), Plane::SETUP.workers);
    assert_eq!(control.sa_table().capacity(), Plane::SETUP.sa_capacity);
    assert_eq!(control.counters().snapshot().generation, control.generation());
    assert_eq!(plane.observer().generation(), control.generation());
    assert_ne!(Plane::start().observer().generation(), control.generation());
}

#[test]
fn there_is_one_control_plane_at_a_time() {
    let plane = Plane::start();
    let mut first = plane.control();
    for _ in 0..3 {
        let error = Control::connect(&plane.path()).unwrap_err();
        assert!(matches!(error, ConnectError::Busy { pid } if pid == u64::from(std::process::id())));
        assert!(error.to_string().contains("another control plane"), "{error}");
    }
    // It has noticed nothing.
    let commit = first.submit(&[], false).unwrap();
    assert_eq!(plane.transaction().commit, commit);
    // And its successor need not wait until its end was noticed.
    drop(first);
    let _second = Control::connect(&plane.path()).unwrap();
    assert_eq!(plane.next(), Request::ControlDetached(Detached::Gone));
    assert!(matches!(plane.next(), Request::ControlAttached { .. }));
}

#[test]
fn observers_come_beside_a_control_plane_until_there_are_too_many() {
    let plane = Plane::start();
    let _control = plane.control();
    let observers: Vec<Observer> = (0..63).map(|_| plane.observer()).collect();
    let error = Observer::connect(&plane.path()).unwrap_err();
    assert!(matches!(error, ConnectError::Refused(Refusal::TooManyClients)), "{error}");
    drop(observers);
    assert!(plane.with(|server| server.wait(Duration::ZERO)).unwrap().is_empty());
    plane.observer().policies().unwrap();
}

/// Also when it closed without reading what we said meanwhile, which the kernel tells us of first.
#[test]
fn what_a_peer_said_before_it_closed_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path).unwrap();
    let here = stranger(&path);
    let there = listener.accept().unwrap();
    say(&here, &Message::Doorbell.encode(), &[]);
    say(&there, &Message::PoliciesEnd.encode(), &[]);
    drop(there);
    let Received::Message(slot, _) = reply(here.as_fd()) else { panic!("not heard") };
    assert_eq!(Message::decode(&slot), Ok(Message::PoliciesEnd));
    assert!(matches!(reply(here.as_fd()), Received::Gone));
}

#[test]
fn who_says_nothing_keeps_nobody_waiting() {
    let plane = Plane::start();
    let silent: Vec<OwnedFd> = (0..10).map(|_| stranger(&plane.path())).collect();
    let _control = plane.control();
    plane.observer().policies().unwrap();
    drop(silent);
}

#[test]
fn another_version_is_told_ours() {
    let plane = Plane::start();
    let socket = stranger(&plane.path());
    say(&socket, &of_version(Message::Hello { role: Role::Control }, VERSION + 1), &[]);
    let Received::Message(slot, fds) = reply(socket.as_fd()) else { panic!("no answer") };
    let refused = Message::Refused { refusal: Refusal::WrongVersion, detail: VERSION.into() };
    assert_eq!(Message::decode(&slot), Ok(refused));
    assert!(fds.is_empty());
    assert!(matches!(reply(socket.as_fd()), Received::Gone));
}

/// Whoever does not begin with a hello, or goes on with what is not for it to say, is let go; nobody else is.
#[test]
fn who_talks_nonsense_is_let_go() {
    let plane = Plane::start();
    let mut control = plane.control();
    let mut others = [
        Message::Doorbell,
        Message::ListPolicies,
        Message::Offer { segment: 1 },
        Message::Welcome { generation: 1, pid: 1, workers: 1 },
    ]
    .map(Message::encode)
    .to_vec();
    others.push(Slot::zeroed());
    others.push(Slot::from_bytes(&[0xFF; 256]));
    for slot in others {
        let socket = stranger(&plane.path());
        say(&socket, &slot, &[]);
        assert!(matches!(reply(socket.as_fd()), Received::Gone));
    }
    // What would be a hello, were it not too short or too long.
    for len in [1, 24, 255, 257, 5000] {
        let socket = stranger(&plane.path());
        let mut hello = Message::Hello { role: Role::Observer }.encode().to_bytes().to_vec();
        hello.resize(len, 0);
        rustix::net::send(&socket, &hello, rustix::net::SendFlags::empty()).unwrap();
        assert!(matches!(reply(socket.as_fd()), Received::Gone));
    }
    let commit = control.submit(&[], false).unwrap();
    assert_eq!(plane.transaction().commit, commit);
    // The control plane itself, as well.
    say(&control.as_fd().try_clone_to_owned().unwrap(), &Message::PoliciesEnd.encode(), &[]);
    assert_eq!(plane.next(), Request::ControlDetached(Detached::Nonsense));
}

/// What a client hears of whoever listens on the path and answers this.
fn answered(answer: Slot, fds: &[BorrowedFd<'_>]) -> ConnectError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| Control::connect(&path).unwrap_err());
        assert!(socket::wait(listener.as_fd(), PollFlags::IN, Instant::now() + PATIENCE).unwrap());
        let socket = listener.accept().unwrap();
        assert!(matches!(reply(socket.as_fd()), Received::Message(..)), "the hello");
        say(&socket, &answer, fds);
        client.join().unwrap()
    })
}

#[test]
fn a_client_is_told_what_is_wrong_with_whom_it_reached() {
    let welcome = Message::Welcome { generation: 1, pid: 1, workers: 1 };
    let of_theirs = answered(of_version(welcome, 77), &[]);
    assert!(matches!(of_theirs, ConnectError::WrongVersion { theirs: 77 }));
    assert!(of_theirs.to_string().contains("version 77"), "{of_theirs}");
    let refused = Message::Refused { refusal: Refusal::WrongVersion, detail: 78 };
    assert!(matches!(answered(refused.encode(), &[]), ConnectError::WrongVersion { theirs: 78 }));
    let refused = Message::Refused { refusal: Refusal::NoResources, detail: 0 };
    assert!(matches!(answered(refused.encode(), &[]), ConnectError::Refused(Refusal::NoResources)));
    for nonsense in [Slot::zeroed(), Message::Doorbell.encode(), welcome.encode()] {
        assert!(matches!(answered(nonsense, &[]), ConnectError::Nonsense(_)));
    }
    // Files that are no segments.
    let file = tempfile::tempfile().unwrap();
    let error = answered(welcome.encode(), &[file.as_fd(); 3]);
    assert!(matches!(error, ConnectError::Segment(SegmentError::NotSealed)), "{error}");
    // Segments, but not those that they should be.
    let (rings, ..) = crate::rings::create().unwrap();
    let error = answered(welcome.encode(), &[rings.as_fd(); 3]);
    assert!(matches!(error, ConnectError::Segment(SegmentError::NotOurs)), "{error}");
}

#[test]
fn a_client_is_told_when_there_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let nobody = |path: &Path| Control::connect(path).unwrap_err();
    assert!(matches!(nobody(&path), ConnectError::NotRunning(_)));
    // A socket file that was left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(matches!(nobody(&path), ConnectError::NotRunning(_)));
    assert!(matches!(nobody(Path::new(&"x".repeat(200))), ConnectError::BadPath(_)));
    // A socket of another sort.
    let other = folder.path().join("other");
    let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
    assert!(matches!(nobody(&other), ConnectError::Nonsense(_)));
}

#[test]
fn a_path_belongs_to_one_data_plane() {
    let bind = |path: &Path| Server::bind(path, Plane::SETUP).map(|_| ());
    let mut plane = Plane::start();
    let path = plane.path();
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert!(matches!(bind(&path), Err(BindError::InUse(_))));
    plane.observer();
    plane.stop();
    assert!(!path.exists());
    bind(&path).unwrap();
    // What a killed one leaves is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    bind(&path).unwrap();
    // What is somebody else's is not: a socket where somebody listens, or a file.
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(bind(&path), Err(BindError::InUse(_))));
    drop(listener);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"precious").unwrap();
    assert!(matches!(bind(&path), Err(BindError::NotASocket(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert!(matches!(bind(Path::new("/nowhere/socket")), Err(BindError::Io { .. })));
    for workers in [0, 65] {
        let error = Server::bind(&path, Setup { workers, ..Plane::SETUP }).unwrap_err();
        assert!(matches!(error, BindError::Workers(n) if n == workers));
    }
}

/// Runs something in a thread that belongs to another user. `None` without the right to do so.
fn as_somebody_else<R: Send>(job: impl FnOnce() -> R + Send) -> Option<R> {
    const SOMEBODY: libc::c_long = 65534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can be somebody else");
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let keep: libc::c_long = -1;
            // SAFETY: the bare system call (not libc's function of the name, which is for all threads) changes this
            // thread's user alone, and takes no pointers.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, keep, SOMEBODY, keep) };
            assert_eq!(result, 0);
            job()
        });
        Some(thread.join().unwrap())
    })
}

#[test]
fn another_user_may_not_connect() {
    let plane = Plane::start();
    let path = plane.path();
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    // The file's mode keeps others out.
    let Some(error) = as_somebody_else(|| Control::connect(&path).unwrap_err()) else { return };
    assert!(matches!(error, ConnectError::NotPermitted(_)), "{error}");
    // And where somebody has widened it, the data plane itself does.
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let refused = as_somebody_else(|| Control::connect(&path).unwrap_err()).unwrap();
    assert!(matches!(refused, ConnectError::NotPermitted(_)), "{refused}");
    plane.control();
}

/// Or a stranger who was quicker to make the socket would be handed keys.
#[test]
fn another_users_data_plane_is_not_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().join("socket");
    let Some(server) = as_somebody_else(|| Server::bind(&path, Plane::SETUP).unwrap()) else { return };
    let error = Control::connect(&path).unwrap_err();
    assert!(matches!(error, ConnectError::NotPermitted(_)), "{error}");
    drop(server);
}
