//! The data plane's socket as a file: made for its owner alone, one data plane to a path, gone when it ends.

use crate::socket;
use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, accept_with, bind, connect, listen};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the data plane cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another data plane has the path.
    #[error("{path} is in use by another data plane; stop that one, or choose another path", path = .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has the path.
    #[error("{path} is there and is no socket; remove it, or choose another path", path = .0.display())]
    NotASocket(PathBuf),
    /// The path cannot be a socket's.
    #[error("{path} cannot be a socket's path (at most 107 bytes); choose another one", path = .0.display())]
    BadPath(PathBuf),
    /// The kernel does not let us make the socket there.
    #[error("cannot listen on {path}: {source}; see that its folder exists and can be written", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The segments cannot be made.
    #[error("cannot make the shared memory: {0}; look at this machine's limits")]
    Memory(io::Error),
    /// Not a possible number of workers.
    #[error("{0} workers are not possible; choose 1 to {max} cores", max = crate::layout::MAX_WORKERS)]
    Workers(usize),
}

/// The listening socket. Its file goes away with it.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Held as long as the data plane lives, however it ends: what decides whether a socket file is a leftover.
    _lock: OwnedFd,
}

impl Listener {
    pub(crate) fn bind(path: &Path) -> Result<Listener, BindError> {
        let io = |errno: Errno| BindError::Io { path: path.to_owned(), source: errno.into() };
        let address = SocketAddrUnix::new(path).map_err(|_| BindError::BadPath(path.to_owned()))?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = open(&lock_path, flags, Mode::RUSR | Mode::WUSR).map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(BindError::InUse(path.to_owned())),
            Err(errno) => return Err(io(errno)),
        }
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(BindError::NotASocket(path.to_owned()));
            }
            Ok(_) => {
                // Not one of ours, as we have the lock; but whoever listens there shall not lose its socket.
                if connect(
                    socket::new().map_err(|source| BindError::Io { path: path.to_owned(), source })?,
                    &address,
                ) != Err(Errno::CONNREFUSED)
                {
                    return Err(BindError::InUse(path.to_owned()));
                }
                std::fs::remove_file(path)
                    .map_err(|source| BindError::Io { path: path.to_owned(), source })?;
            }
            Err(_) => {}
        }
        let socket = socket::new().map_err(|source| BindError::Io { path: path.to_owned(), source })?;
        // The file gets the mode that the socket has: there is no moment when others could open it.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(io)?;
        bind(&socket, &address).map_err(io)?;
        listen(&socket, BACKLOG).map_err(io)?;
        Ok(Listener { socket, path: path.to_owned(), _lock: lock })
    }

    /// The next connection that waits, if there is one.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => return Some(socket),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return None,
            }
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The lock file stays: removing it would let two data planes have two locks of one name.
        let _ = std::fs::remove_file(&self.path);
    }
}
