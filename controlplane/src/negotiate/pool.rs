//! Diffie-Hellman and signatures off the event loop: a few threads, and as many jobs at once as the endpoint lets wait.

use ike::endpoint::{Done, Job};
use std::thread::available_parallelism;
use tokio::sync::mpsc::UnboundedSender;

/// Threads of the pool, at most: the event loop feeds no more.
const MOST_THREADS: usize = 4;

/// The threads.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
    done: UnboundedSender<Done>,
}

impl Pool {
    /// Starts them. What is done comes out of the other end of `done`.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(done: UnboundedSender<Done>) -> std::io::Result<Pool> {
        let count = available_parallelism().map_or(1, |cores| cores.get()).min(MOST_THREADS);
        let threads =
            rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|n| format!("ike-pool-{n}"));
        Ok(Pool { threads: threads.build().map_err(std::io::Error::other)?, done })
    }

    /// Has a job done; it comes back whatever becomes of it. How many wait is bounded by the endpoint
    /// ([`ike::Settings::most_jobs`]).
    pub fn start(&self, job: Job) {
        let done = self.done.clone();
        // Nobody takes it when we are about to end.
        self.threads.spawn(move || drop(done.send(job.run())));
    }
}
