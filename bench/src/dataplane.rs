//! The data plane's process: started, told what to be, and stopped whenever it is not its turn.
//!
//! It stands still (SIGSTOP) but while it is measured. So whatever is read of it between two rounds is exact, and the
//! core is free for what it is compared with.

use crate::error::Error;
use crate::tunnels::{self, Role};
use rustix::process::{Pid, Signal, WaitOptions};
use shm::{Control, CountersSnapshot};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the data plane may take to start, and to do what it is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a look is taken at how long its worker has run.
const LOOK: Duration = Duration::from_millis(4);
/// Its packet buffers.
pub const MBUFS: u32 = 16_384;
/// Its SAs at least.
const MIN_SAS: u32 = 4096;
/// Its routes.
const MAX_ROUTES: u32 = 1024;

/// Where the programs run and what memory they have.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The folder of the `espalier-dataplane` to measure.
    pub programs: PathBuf,
    /// The core that is measured on; with more than one worker the last of them.
    pub core: usize,
    /// Packet memory on hugepages.
    pub hugepages: bool,
    /// Network cards may be taken.
    pub cards: bool,
}

impl Machine {
    /// The cores of so many workers, as the data plane takes them.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewCores`].
    fn cores(&self, workers: u32) -> Result<String, Error> {
        let first = (self.core + 1).checked_sub(workers as usize).ok_or(Error::TooFewCores(workers))?;
        Ok(format!("{first}-{}", self.core))
    }

    /// EAL arguments that say so, with `mib` of memory where there are no hugepages.
    pub fn eal(&self, mib: u32) -> Vec<String> {
        let mut args = Vec::new();
        if !self.cards {
            args.push("--no-pci".to_owned());
        }
        if !self.hugepages {
            args.extend(["--no-huge".to_owned(), "-m".to_owned(), mib.to_string()]);
        }
        args
    }
}

/// How long it took to begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// From the process's start to its welcome.
    pub start: Duration,
    /// To compile the policy, here.
    pub compile: Duration,
    /// From the first command to the acknowledgement of all.
    pub install: Duration,
}

/// A data plane that stands still.
pub struct Dataplane {
    child: Child,
    log: PathBuf,
    /// The connection to it, and the view of its memory.
    control: Control,
    /// How long each worker has run, as Linux says it.
    workers: Vec<PathBuf>,
    times: Times,
}

impl Dataplane {
    /// Starts it with its socket and its log in `folder`, makes it what its role says, and stops it.
    ///
    /// # Errors
    ///
    /// [`Error::NoProgram`], [`Error::Process`] and others.
    pub fn start(machine: &Machine, role: Role<'_>, folder: &Path) -> Result<Dataplane, Error> {
        let Role { case, idle, .. } = role;
        let program = machine.programs.join("espalier-dataplane");
        if !program.exists() {
            return Err(Error::NoProgram(program));
        }
        let (socket, log) = (folder.join("socket"), folder.join("dataplane.log"));
        let stderr = std::fs::File::create(&log).map_err(Error::io("cannot make the data plane's log"))?;
        // By setpriv it ends with us, even if we are killed.
        let begun = Instant::now();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args(["--log", "warn", "--idle", idle])
            .args(["--max-sas", &MIN_SAS.max(2 * case.tunnels).to_string()])
            .args(["--cores", &machine.cores(case.workers)?, "--mbufs", &MBUFS.to_string()])
            .args(["--max-routes", &MAX_ROUTES.to_string(), "--socket"])
            .arg(&socket)
            .arg("--")
            .args(machine.eal(512))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(Error::io(format!("cannot run {}", program.display())))?;
        let connected = connect(&mut child, &socket, &log).and_then(|control| {
            let workers = workers(&child, case.workers)?;
            Ok((control, workers))
        });
        match connected {
            Ok((control, workers)) => {
                let times = Times { start: begun.elapsed(), ..Times::default() };
                let mut dataplane = Dataplane { child, log, control, workers, times };
                dataplane.configure(&role)?;
                dataplane.stop()?;
                Ok(dataplane)
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn configure(&mut self, role: &Role<'_>) -> Result<(), Error> {
        let begun = Instant::now();
        let policy = tunnels::policy(role.case, role.end)?;
        self.times.compile = begun.elapsed();
        let begun = Instant::now();
        let segment = self.control.offer(&policy).map_err(|error| self.failed(error.to_string()))?;
        let commands = tunnels::commands(role, segment)?;
        let commit = self.control.submit(&commands, true).map_err(|error| self.failed(error.to_string()))?;
        self.control.wait_ack(commit, PATIENCE).map_err(|error| self.failed(error.to_string()))?;
        self.times.install = begun.elapsed();
        Ok(())
    }

    /// How long it took to begin.
    pub fn times(&self) -> Times {
        self.times
    }

    /// What memory it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if Linux does not say.
    pub fn usage(&self) -> Result<shm::Usage, Error> {
        shm::Usage::of(self.child.id()).map_err(Error::io("cannot look at the data plane's memory"))
    }

    fn failed(&self, why: String) -> Error {
        failed(why, &self.log)
    }

    /// Lets it go on until its workers have run for so long each, on average, and stops it again.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it ended by itself, or its workers do not get their cores.
    pub fn run(&mut self, time: Duration) -> Result<(), Error> {
        let enough = self.worker_time()? + time.as_nanos() as u64 * self.workers.len() as u64;
        let deadline = Instant::now() + PATIENCE;
        self.resume()?;
        std::thread::sleep(time);
        while self.worker_time()? < enough {
            if Instant::now() >= deadline {
                return Err(
                    self.failed("its workers do not get their cores; what else runs there?".to_owned())
                );
            }
            std::thread::sleep(LOOK);
        }
        self.stop()
    }

    /// Lets it go on until it is stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it cannot be told.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    /// Returns when its last thread stands still.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it ended by itself.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        let status = rustix::process::waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED);
        match status {
            Ok(Some((_, status))) if status.stopped() => Ok(()),
            Ok(Some((_, status))) => Err(self.failed(format!("it ended by itself: {status:?}"))),
            Ok(None) => Err(self.failed("it does not stop".to_owned())),
            Err(error) => Err(self.failed(format!("it cannot be waited for: {error}"))),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| self.failed(format!("it cannot be sent a signal: {error}")))
    }

    /// Nanoseconds that its workers have run so far, together.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if Linux does not say.
    pub fn worker_time(&self) -> Result<u64, Error> {
        let of = |worker: &PathBuf| {
            let text = std::fs::read_to_string(worker).unwrap_or_default();
            let nanoseconds = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<u64>().ok());
            nanoseconds.ok_or_else(|| self.failed(format!("{} says nothing", worker.display())))
        };
        self.workers.iter().map(of).sum()
    }

    /// What it has counted so far.
    pub fn counters(&self) -> CountersSnapshot {
        self.control.counters().snapshot()
    }

    /// What its SAs have counted so far.
    pub fn sas(&self) -> Vec<shm::SaStatus> {
        self.control.sa_table().live().collect()
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        // It stands still, so this is the signal that ends it; it leaves nothing behind that outlives it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(why: String, log: &Path) -> Error {
    Error::Process { who: "espalier-dataplane", why, log: std::fs::read_to_string(log).unwrap_or_default() }
}

fn connect(child: &mut Child, socket: &Path, log: &Path) -> Result<Control, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match Control::connect(socket) {
            Ok(control) => return Ok(control),
            Err(error) => error,
        };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(format!("it ended by itself: {status}"), log));
        }
        if Instant::now() >= deadline {
            return Err(failed(error.to_string(), log));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where Linux says how long each worker has run.
fn workers(child: &Child, count: u32) -> Result<Vec<PathBuf>, Error> {
    let tasks = PathBuf::from(format!("/proc/{}/task", child.id()));
    let threads = std::fs::read_dir(&tasks).map_err(Error::io(format!("cannot read {}", tasks.display())))?;
    let is_worker = |thread: &PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("worker-"))
    };
    let threads = threads.flatten().map(|thread| thread.path()).filter(is_worker);
    let workers: Vec<PathBuf> = threads.map(|thread| thread.join("schedstat")).collect();
    if workers.len() == count as usize {
        return Ok(workers);
    }
    Err(Error::Process {
        who: "espalier-dataplane",
        why: format!("it has {} threads that are called worker-N, not {count}", workers.len()),
        log: String::new(),
    })
}
