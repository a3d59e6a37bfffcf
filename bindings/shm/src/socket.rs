//! The Unix socket: whole messages with file descriptors, never blocking unless asked to, and who the peer is.

use crate::codec::Slot;
use crate::layout::SLOT_BYTES;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socket_with,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// File descriptors that one message carries at most.
pub(crate) const MAX_FDS: usize = 3;

/// A socket that keeps the borders of messages (`SOCK_SEQPACKET`).
pub(crate) fn new() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Yes,
    /// The peer does not read: there is no room.
    Full,
    /// The peer is gone.
    Gone,
}

/// Sends a message and shares of files. Never waits, whatever the peer did to the socket's flags.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &Slot, fds: &[BorrowedFd<'_>]) -> Sent {
    let bytes = message.to_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Sent::Gone;
    }
    loop {
        let sent = sendmsg(
            socket,
            &[IoSlice::new(&*bytes)],
            &mut control,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
        match sent {
            Ok(_) => return Sent::Yes,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS) => return Sent::Full,
            Err(_) => return Sent::Gone,
        }
    }
}

/// What came of receiving.
#[derive(Debug)]
pub(crate) enum Received {
    /// A whole message and its files.
    Message(Box<Slot>, Vec<OwnedFd>),
    /// Nothing is there now.
    Nothing,
    /// A message that is too short, too long, or has too many files.
    Malformed,
    /// The peer is gone.
    Gone,
}

/// Takes the next message. Never waits.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> Received {
    let mut bytes = [0; SLOT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(got) => break got,
            // A peer that closes with something of ours unread leaves this error before what it said, which is still there
            // to be read: a refusal, for one. The error is told once.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(Errno::AGAIN) => return Received::Nothing,
            Err(_) => return Received::Gone,
        }
    };
    if got.bytes == 0 {
        return Received::Gone;
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.bytes != SLOT_BYTES || got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Received::Malformed;
    }
    Received::Message(Box::new(Slot::from_bytes(&bytes)), fds)
}

/// Waits until a socket can be read or written, or its peer is gone. `false` if that was not before the deadline.
pub(crate) fn wait(socket: BorrowedFd<'_>, flags: PollFlags, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::from_borrowed_fd(socket, flags)], Some(&timespec(left))) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A duration as the kernel wants it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    // Longer than a century is for ever.
    let duration = duration.min(Duration::from_secs(1 << 31));
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl Peer {
    /// Whoever runs as we do, or as root, may do with us what it wants anyway; nobody else may.
    pub(crate) fn is_trusted(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// The credentials of the peer, as they were when it connected or listened (`SO_PEERCRED`).
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // (Not rustix's call: it cannot express the pid 0 of a peer in a pid namespace that we do not see.)
    // SAFETY: the pointers are to live variables of the type and length that `SO_PEERCRED` writes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    if result != 0 || len as usize != size_of::<libc::ucred>() {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer { pid: credentials.pid, uid: credentials.uid })
}
