//! The data plane's process: started, told what to be, and stopped whenever it is not its turn.
//!
//! It stands still (SIGSTOP) but while it is measured. So whatever is read of it between two rounds is exact, and the
//! core is free for what it is compared with.

use crate::case::Case;
use crate::error::Error;
use crate::tunnels::{self, Devices, End};
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
/// Its routes.
const MAX_ROUTES: u32 = 1024;

/// Where the programs run and what memory they have.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The folder of the `espalier-dataplane` to measure.
    pub programs: PathBuf,
    /// The core that is measured on.
    pub core: usize,
    /// Packet memory on hugepages.
    pub hugepages: bool,
}

impl Machine {
    /// EAL arguments that say so, with `mib` of memory where there are no hugepages.
    pub fn eal(&self, mib: u32) -> Vec<String> {
        let mut args = vec!["--no-pci".to_owned()];
        if !self.hugepages {
            args.extend(["--no-huge".to_owned(), "-m".to_owned(), mib.to_string()]);
        }
        args
    }
}

/// A data plane that stands still.
pub struct Dataplane {
    child: Child,
    log: PathBuf,
    /// The connection to it, and the view of its memory.
    control: Control,
    /// How long its worker has run, as Linux says it.
    worker: PathBuf,
}

impl Dataplane {
    /// Starts it with its socket and its log in `folder`, makes it the case's gateway at one end, and stops it.
    ///
    /// # Errors
    ///
    /// [`Error::NoProgram`], [`Error::Process`] and others.
    pub fn start(
        machine: &Machine,
        case: &Case,
        end: End,
        devices: &Devices,
        folder: &Path,
    ) -> Result<Dataplane, Error> {
        let program = machine.programs.join("espalier-dataplane");
        if !program.exists() {
            return Err(Error::NoProgram(program));
        }
        let (socket, log) = (folder.join("socket"), folder.join("dataplane.log"));
        let stderr = std::fs::File::create(&log).map_err(Error::io("cannot make the data plane's log"))?;
        // By setpriv it ends with us, even if we are killed. It never idles while it is measured; sleeping is for the
        // moments before.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args(["--log", "warn", "--idle", "sleep", "--max-sas", "4096"])
            .args(["--cores", &machine.core.to_string(), "--mbufs", &MBUFS.to_string()])
            .args(["--max-routes", &MAX_ROUTES.to_string(), "--socket"])
            .arg(&socket)
            .arg("--")
            .args(machine.eal(512))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(Error::io(format!("cannot run {}", program.display())))?;
        let begun = connect(&mut child, &socket, &log).and_then(|control| {
            let worker = worker(&child)?;
            Ok((control, worker))
        });
        match begun {
            Ok((control, worker)) => {
                let mut dataplane = Dataplane { child, log, control, worker };
                dataplane.configure(case, end, devices)?;
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

    fn configure(&mut self, case: &Case, end: End, devices: &Devices) -> Result<(), Error> {
        let policy = tunnels::policy(case, end)?;
        let segment = self.control.offer(&policy).map_err(|error| self.failed(error.to_string()))?;
        let commands = tunnels::commands(case, end, devices, segment)?;
        let commit = self.control.submit(&commands, true).map_err(|error| self.failed(error.to_string()))?;
        self.control.wait_ack(commit, PATIENCE).map_err(|error| self.failed(error.to_string()))
    }

    fn failed(&self, why: String) -> Error {
        failed(why, &self.log)
    }

    /// Lets it go on until its worker has run for so long, and stops it again.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it ended by itself, or its worker does not get its core.
    pub fn run(&mut self, time: Duration) -> Result<(), Error> {
        let enough = self.worker_time()? + time.as_nanos() as u64;
        let deadline = Instant::now() + PATIENCE;
        self.signal(Signal::CONT)?;
        std::thread::sleep(time);
        while self.worker_time()? < enough {
            if Instant::now() >= deadline {
                return Err(self.failed("its worker does not get its core; what else runs there?".to_owned()));
            }
            std::thread::sleep(LOOK);
        }
        self.stop()
    }

    /// Returns when its last thread stands still.
    fn stop(&mut self) -> Result<(), Error> {
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

    /// Nanoseconds that its worker has run so far.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if Linux does not say.
    pub fn worker_time(&self) -> Result<u64, Error> {
        let text = std::fs::read_to_string(&self.worker).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|nanoseconds| nanoseconds.parse().ok())
            .ok_or_else(|| self.failed(format!("{} says nothing", self.worker.display())))
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

/// Where Linux says how long the one worker has run.
fn worker(child: &Child) -> Result<PathBuf, Error> {
    let tasks = PathBuf::from(format!("/proc/{}/task", child.id()));
    let threads = std::fs::read_dir(&tasks).map_err(Error::io(format!("cannot read {}", tasks.display())))?;
    threads
        .flatten()
        .map(|thread| thread.path())
        .find(|thread| {
            std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "worker-0")
        })
        .map(|thread| thread.join("schedstat"))
        .ok_or_else(|| Error::Process {
            who: "espalier-dataplane",
            why: "it has no thread that is called worker-0".to_owned(),
            log: String::new(),
        })
}
