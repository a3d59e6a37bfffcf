//! Asking the daemon, from the operator's command.

use super::trail::{Said, Topic};
use super::{Answer, Question};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the daemon may take: a reload may attach devices.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the longest answer.
const MAX_ANSWER: u64 = 1 << 30;

/// The daemon was not heard.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no control plane listens on {path}; start espalier-controlplane, or say where it is", path = .0.display())]
    NotRunning(PathBuf),
    /// The socket is not for us.
    #[error("{path} is not for this user; run as root", path = .0.display())]
    NotPermitted(PathBuf),
    /// It answers nonsense, or was cut off.
    #[error("what listens on {path} gave no answer that makes sense; is it a control plane of this version?", path = .0.display())]
    Nonsense(PathBuf),
    /// The kernel refused something.
    #[error("cannot ask the control plane on {path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

/// Asks one thing.
pub fn ask(path: &Path, question: &Question) -> Result<Answer, AskError> {
    let mut answer = String::new();
    let stream = put(path, question)?;
    BufReader::new(stream).take(MAX_ANSWER).read_line(&mut answer).map_err(|error| failed(path, error))?;
    serde_json::from_str(&answer).map_err(|_| AskError::Nonsense(path.to_owned()))
}

/// Listens to what the daemon traces, until it ends or `hear` has heard enough.
pub fn debug(
    path: &Path,
    topic: Topic,
    peer: Option<IpAddr>,
    mut hear: impl FnMut(Said) -> bool,
) -> Result<(), AskError> {
    let stream = put(path, &Question::Debug { topic, peer })?;
    // Nothing may happen for as long as it likes.
    stream.set_read_timeout(None).map_err(|error| failed(path, error))?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| failed(path, error))?;
        if !hear(serde_json::from_str(&line).map_err(|_| AskError::Nonsense(path.to_owned()))?) {
            break;
        }
    }
    Ok(())
}

fn failed(path: &Path, error: io::Error) -> AskError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(path.to_owned()),
        io::ErrorKind::PermissionDenied => AskError::NotPermitted(path.to_owned()),
        _ => AskError::Io(path.to_owned(), error),
    }
}

/// Puts a question; the answer comes out of the stream.
fn put(path: &Path, question: &Question) -> Result<UnixStream, AskError> {
    let failed = |error| failed(path, error);
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut line = serde_json::to_vec(question).map_err(|_| AskError::Nonsense(path.to_owned()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    Ok(stream)
}
