//! A data plane in a thread of its own, which does what the test tells it to between its rounds.

use super::PATIENCE;
use crate::{Control, Observer, Request, Server, Setup, Transaction};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

type Job = Box<dyn FnOnce(&mut Server) + Send>;

/// Drops as a data plane that ends: its sockets close, its socket file goes.
pub(super) struct Plane {
    folder: TempDir,
    /// `None` once it is to end.
    jobs: Option<mpsc::Sender<Job>>,
    requests: mpsc::Receiver<Request>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    pub(super) const SETUP: Setup = Setup { workers: 2, sa_capacity: 8 };

    pub(super) fn start() -> Plane {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::bind(&folder.path().join("socket"), Plane::SETUP).unwrap();
        let (jobs, todo) = mpsc::channel::<Job>();
        let (asked, requests) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            loop {
                match todo.try_recv() {
                    Ok(job) => job(&mut server),
                    Err(mpsc::TryRecvError::Empty) => {}
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
                for request in server.wait(Duration::from_millis(1)).unwrap() {
                    // A test that asks no more is over.
                    let _ = asked.send(request);
                }
            }
        });
        Plane { folder, jobs: Some(jobs), requests, thread: Some(thread) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Has the data plane's thread do something; returns what came of it.
    pub(super) fn with<R: Send + 'static>(&self, job: impl FnOnce(&mut Server) -> R + Send + 'static) -> R {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move |server| done.send(job(server)).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv_timeout(PATIENCE).unwrap()
    }

    /// What was asked of the data plane next.
    pub(super) fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// The same, where it can only be a transaction.
    pub(super) fn transaction(&self) -> Transaction {
        match self.next() {
            Request::Transaction(transaction) => transaction,
            other => panic!("a transaction was awaited, not {other:?}"),
        }
    }

    /// A control plane that the data plane has taken note of.
    pub(super) fn control(&self) -> Control {
        let control = Control::connect(&self.path()).unwrap();
        assert_eq!(self.next(), Request::ControlAttached { pid: std::process::id() as i32 });
        control
    }

    pub(super) fn observer(&self) -> Observer {
        Observer::connect(&self.path()).unwrap()
    }

    /// Ends the data plane, leaving the folder.
    pub(super) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.jobs = None;
        // What made the thread panic was said by the thread.
        self.thread.take().map(JoinHandle::join);
    }
}
