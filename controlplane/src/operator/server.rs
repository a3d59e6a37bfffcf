//! Answering operators.

use super::trail::{self, Said, Topic};
use super::{Answer, MAX_QUESTION, Question};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Operators that are served at the same time.
const CONNECTIONS: usize = 16;
/// How long an operator may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub question: Question,
    /// Who waits for the answer; perhaps no longer.
    pub reply: oneshot::Sender<Answer>,
}

/// The control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("another control plane listens on {path}; stop that one first, or choose another --control-socket", path = .0.display())]
    InUse(PathBuf),
    /// There is something else.
    #[error("{path} is not a socket; remove it, or choose another --control-socket", path = .0.display())]
    NotASocket(PathBuf),
    /// The kernel refused something.
    #[error("cannot listen on {path}: {error}; choose another --control-socket", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

/// The socket; its file goes away with it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Server {
    /// Listens on `path`, for its own user and root only, and hands questions over. Must be called inside a tokio runtime.
    pub fn bind(path: &Path) -> Result<(Server, mpsc::Receiver<Asked>), BindError> {
        let failed = |error| BindError::Io(path.to_owned(), error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(BindError::NotASocket(path.to_owned()));
            }
            // What a control plane left that is no longer there.
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(BindError::InUse(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            },
            Err(_) => {}
        }
        // Nobody else may ever connect, not even before a chmod.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener.map_err(failed)?;
        let identity = fs::symlink_metadata(path).ok().map(|there| (there.dev(), there.ino()));
        let (asked, questions) = mpsc::channel(CONNECTIONS);
        tokio::spawn(accept(listener, asked));
        Ok((Server { path: path.to_owned(), identity }, questions))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only our own: a later control plane may have put its socket in our place.
        let there = fs::symlink_metadata(&self.path).ok().map(|there| (there.dev(), there.ino()));
        if there.is_some() && there == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn accept(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asked = asked.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, asked).await {
                        tracing::debug!("an operator's connection: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept an operator's connection: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut limited = (&mut reader).take(MAX_QUESTION);
        let read = tokio::time::timeout(PATIENCE, limited.read_line(&mut line)).await??;
        if read == 0 {
            return Ok(());
        }
        let refused = |reason: &str| Answer::Refused { reason: reason.to_owned(), diagnostics: Vec::new() };
        let answer = match serde_json::from_str(&line) {
            Ok(Question::Debug { topic, peer }) => {
                return tell(reader, writer, topic, peer).await;
            }
            Ok(question) => {
                let (reply, answer) = oneshot::channel();
                let going = asked.send(Asked { question, reply }).await.is_ok();
                let answer = if going { answer.await.ok() } else { None };
                answer.unwrap_or_else(|| refused("the control plane is going down"))
            }
            Err(error) => refused(&format!("the question makes no sense: {error}")),
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        tokio::time::timeout(PATIENCE, writer.write_all(&line)).await??;
    }
}

/// Passes on what the daemon traces, until the operator leaves.
async fn tell(
    mut reader: impl tokio::io::AsyncRead + Unpin,
    mut writer: OwnedWriteHalf,
    topic: Topic,
    peer: Option<IpAddr>,
) -> io::Result<()> {
    let mut ear = trail::listen();
    loop {
        // Nothing more is asked on this connection: what can be read is its end.
        let mut nothing = [0; 64];
        let heard = tokio::select! {
            _ = reader.read(&mut nothing) => return Ok(()),
            heard = ear.recv() => heard,
        };
        let said = match heard {
            Ok(said) if said.topic == topic && peer.is_none_or(|peer| said.peer == Some(peer)) => said,
            Ok(_) => continue,
            Err(RecvError::Lagged(count)) => Arc::new(missed(topic, count)),
            Err(RecvError::Closed) => return Ok(()),
        };
        let mut line = serde_json::to_vec(&*said)?;
        line.push(b'\n');
        tokio::time::timeout(PATIENCE, writer.write_all(&line)).await??;
    }
}

fn missed(topic: Topic, count: u64) -> Said {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let text = format!("{count} events were not read in time, and are missing here");
    Said { at, topic, level: "warn".to_owned(), peer: None, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::client::{AskError, ask};
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_question_gets_its_answer_and_only_one_may_listen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (server, mut questions) = Server::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Server::bind(&path), Err(BindError::InUse(_))));
        tokio::spawn(async move {
            while let Some(Asked { reply, .. }) = questions.recv().await {
                let _ = reply.send(Answer::Reloaded { warnings: vec!["careful".into()] });
            }
        });
        let there = path.clone();
        let answer =
            tokio::task::spawn_blocking(move || ask(&there, &Question::Reload)).await.unwrap().unwrap();
        assert_eq!(answer, Answer::Reloaded { warnings: vec!["careful".into()] });
        drop(server);
        assert!(!path.exists());
        assert!(matches!(ask(&path, &Question::Reload), Err(AskError::NotRunning(_))));
    }

    #[tokio::test]
    async fn nonsense_is_answered_and_a_dead_socket_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_server, _questions) = Server::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).await.unwrap();
        let (reader, mut writer) = stream.into_split();
        writer.write_all(b"{\"ask\":\"money\"}\n").await.unwrap();
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).await.unwrap();
        assert!(matches!(serde_json::from_str(&line).unwrap(), Answer::Refused { .. }), "{line}");
        fs::write(folder.path().join("file"), "precious").unwrap();
        assert!(matches!(Server::bind(&folder.path().join("file")), Err(BindError::NotASocket(_))));
    }
}
