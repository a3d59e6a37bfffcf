//! DPDK's `rte_acl`, as its own test program shows it: `dpdk-test-acl` of Debian's package `dpdk-dev`.
//!
//! It builds once and then passes over its trace again and again, with a line for each pass. The pipe that it writes them
//! to holds one line: so it stands still, until we read, with one line in the pipe and another in its hands, and for each
//! line that we take it makes one pass, exactly. Linux says how long its thread ran for that. So a process that takes half
//! a minute to build takes turns with us as a library would.

use super::contender::{Contender, TRIES, Turn};
use super::method::Method;
use crate::Error;
use crate::clock::{Lap, Rate};
use crate::guard::Guard;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::{PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = "dpdk-test-acl";
/// How long anything but building may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often we look whether we are to stop, or whether it stands still.
const LOOK: Duration = Duration::from_millis(100);
const GLANCE: Duration = Duration::from_micros(50);
/// What it may take of memory for each rule, once built: more than was ever seen.
const BYTES_PER_RULE: u64 = 8 << 10;
/// The memory that DPDK takes whatever it does.
const BYTES: u64 = 128 << 20;

/// Where it runs, and how far it may go.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The one core.
    pub core: usize,
    /// For logs and what DPDK leaves.
    pub folder: &'a Path,
    /// How long it may build.
    pub patience: Duration,
    /// How much it may take while it builds, in bytes.
    pub memory: u64,
    /// Set once the user has enough.
    pub stop: &'a AtomicBool,
}

/// What it is given.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The file of the rules.
    pub rules: &'a Path,
    /// How many they are.
    pub rule_count: usize,
    /// The file of the packets.
    pub trace: &'a Path,
    /// How many they are.
    pub packets: usize,
}

/// What it says of a set that it built.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Built {
    /// Milliseconds that it ran from its settings to the built set, reading the rules' lines included.
    pub milliseconds: f64,
    /// Bytes that are looked up in.
    pub bytes: usize,
    /// They are on large pages.
    pub hugepages: bool,
}

/// It, built, and standing still.
pub struct Rival<'a> {
    child: Child,
    lines: PipeReader,
    log: PathBuf,
    place: Place<'a>,
    method: Method,
    packets: usize,
    rate: Rate,
    /// What it built.
    pub built: Built,
}

impl<'a> Rival<'a> {
    /// Starts it and lets it build.
    ///
    /// # Errors
    ///
    /// [`Error::NoRival`]; [`Error::Process`] if it does not build these rules; [`Error::Interrupted`].
    pub fn start(
        place: &Place<'a>,
        task: &Task<'_>,
        burst: usize,
        method: Method,
        rate: Rate,
    ) -> Result<Rival<'a>, Error> {
        let how = ["--verbose=1".to_owned(), "--iter=2147483647".to_owned(), format!("--tracestep={burst}")];
        let mut rival = Rival::spawn(place, task, &how, method, rate)?;
        rival.build()?;
        // Past what it tells of the set, to the first pass.
        while !rival.line(PATIENCE)?.starts_with("search_ip5tuples_once") {}
        rival.rest()?;
        Ok(rival)
    }

    /// Which rule each packet of the trace meets; `None` is no rule.
    ///
    /// # Errors
    ///
    /// Those of [`Rival::start`].
    pub fn verdicts(
        place: &Place<'a>,
        task: &Task<'_>,
        method: Method,
        rate: Rate,
    ) -> Result<Vec<Option<u32>>, Error> {
        let how = ["--verbose=2".to_owned(), "--iter=1".to_owned()];
        let mut rival = Rival::spawn(place, task, &how, method, rate)?;
        rival.build()?;
        let mut verdicts = Vec::with_capacity(task.packets);
        while verdicts.len() < task.packets {
            let line = rival.line(PATIENCE)?;
            if let Some(said) = line.strip_prefix("ipv4_5tuple: ") {
                let rule = said.rsplit(' ').next().and_then(|number| number.trim().parse::<u32>().ok());
                let rule = rule.ok_or_else(|| rival.failed(format!("it says '{line}'")))?;
                verdicts.push((rule != u32::MAX).then_some(rule));
            }
        }
        Ok(verdicts)
    }

    fn spawn(
        place: &Place<'a>,
        task: &Task<'_>,
        how: &[String],
        method: Method,
        rate: Rate,
    ) -> Result<Rival<'a>, Error> {
        if !is_installed() {
            return Err(Error::NoRival);
        }
        let log = place.folder.join("dpdk-test-acl.log");
        let stderr = std::fs::File::create(&log).map_err(Error::io("cannot make dpdk-test-acl's log"))?;
        let cannot = || Error::io("cannot make a pipe for dpdk-test-acl");
        let (lines, writer) = std::io::pipe().map_err(cannot())?;
        one_line_at_a_time(&writer).map_err(cannot())?;
        let needed = BYTES + BYTES_PER_RULE * task.rule_count as u64;
        let hugepages = rustix::process::geteuid().is_root() && dpdk::hugepages_free() >= needed;
        // By setpriv it ends with us, even if we are killed; by chrt it is an ordinary process even if we run in real time,
        // in which DPDK's threads would wait for each other for ever on one core; by prlimit it cannot take all memory; by
        // stdbuf it writes each line when it is complete.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "chrt", "--other", "0", "prlimit"])
            .arg(format!("--data={}", place.memory))
            .args(["--", "stdbuf", "-oL", PROGRAM, "--no-pci", "--no-telemetry", "--log-level=lib.acl:debug"])
            .args(["--force-max-simd-bitwidth=512".to_owned(), format!("--lcores=0@{}", place.core)])
            // Where DPDK keeps a folder for each process, which it never removes.
            .env("RUNTIME_DIRECTORY", place.folder);
        match hugepages {
            true => command.arg("--in-memory"),
            false => command.args(["--no-huge", "--no-shconf", "-m"]).arg((needed >> 20).to_string()),
        };
        let file = |option: &str, path: &Path| format!("{option}={}", path.display());
        let child = command
            .args(["--".to_owned(), file("--rulesf", task.rules), file("--tracef", task.trace)])
            .arg(format!("--rulenum={}", task.rule_count.max(1)))
            // One more, as it reads one more.
            .arg(format!("--tracenum={}", task.packets + 1))
            .args([format!("--alg={method}"), "--bldcat=1".to_owned()])
            .args(how)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(stderr)
            .spawn()
            .map_err(Error::io("cannot run dpdk-test-acl by setpriv, chrt, prlimit and stdbuf"))?;
        Ok(Rival {
            child,
            lines,
            log,
            place: place.clone(),
            method,
            packets: task.packets,
            rate,
            built: Built { hugepages, ..Built::default() },
        })
    }

    fn build(&mut self) -> Result<(), Error> {
        // It tells its settings, of which two are left, and builds.
        while !self.line(PATIENCE)?.starts_with("verbose:") {}
        self.rest()?;
        let (begun, ran) = (Instant::now(), self.thread_time()?);
        loop {
            let line = self.line(self.place.patience.saturating_sub(begun.elapsed()))?;
            if let Some((_, result)) = line.split_once(") finished with ") {
                match result.trim() {
                    "0" => break,
                    // ENOMEM.
                    "-12" => {
                        let why = format!("it could not build within {} MiB", self.place.memory >> 20);
                        return Err(self.failed(why));
                    }
                    other => return Err(self.failed(format!("it could not build: error {other}"))),
                }
            }
        }
        // It tells of the set then, by more lines than it gets rid of.
        self.rest()?;
        let milliseconds = (self.thread_time()? - ran) as f64 / 1e6;
        let bytes = footprint(&std::fs::read_to_string(&self.log).unwrap_or_default());
        let bytes = bytes.ok_or_else(|| self.failed("it does not say what it takes of memory".to_owned()))?;
        self.built = Built { milliseconds, bytes, ..self.built };
        Ok(())
    }

    /// Makes so many passes. Nanoseconds that its thread ran for them.
    fn pass(&mut self, times: usize) -> Result<u64, Error> {
        let before = self.thread_time()?;
        for _ in 0..times {
            self.line(PATIENCE)?;
        }
        self.rest()?;
        Ok(self.thread_time()? - before)
    }

    /// Waits until it stands still.
    fn rest(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let stat = format!("/proc/{}/stat", self.child.id());
        while begun.elapsed() < PATIENCE {
            let text = std::fs::read_to_string(&stat).unwrap_or_default();
            match text.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next()) {
                Some('S') => return Ok(()),
                Some('R' | 'D') => std::thread::sleep(GLANCE),
                _ => return Err(self.failed("it ended by itself".to_owned())),
            }
            if self.place.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
        }
        Err(self.failed("it does not get its core; what else runs there?".to_owned()))
    }

    /// Nanoseconds that its one thread has run so far, exact while it stands still.
    fn thread_time(&self) -> Result<u64, Error> {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let time = text.split(' ').next().and_then(|time| time.parse().ok());
        time.ok_or_else(|| self.failed(format!("{path} says nothing")))
    }

    /// The next line that it writes.
    fn line(&mut self, patience: Duration) -> Result<String, Error> {
        let begun = Instant::now();
        let look = Timespec::try_from(LOOK).unwrap_or_default();
        loop {
            if self.place.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let ready = poll(&mut [PollFd::new(&self.lines, PollFlags::IN)], Some(&look));
            match ready {
                Ok(0) if begun.elapsed() > patience => {
                    return Err(self.failed(format!("it took more than {:.0} s", patience.as_secs_f64())));
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => break,
                Err(error) => return Err(self.failed(error.to_string())),
            }
        }
        let mut line = [0; 4096];
        match self.lines.read(&mut line) {
            Ok(0) => Err(self.failed("it ended by itself".to_owned())),
            Ok(length) => Ok(String::from_utf8_lossy(line.get(..length).unwrap_or_default()).into_owned()),
            Err(error) => Err(self.failed(error.to_string())),
        }
    }

    fn failed(&self, why: String) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        Error::Process { who: PROGRAM, why, log }
    }
}

impl Contender for Rival<'_> {
    fn name(&self) -> String {
        format!("rte_acl-{}", self.method)
    }

    fn turn(&mut self, turn: Turn, guard: &mut Guard) -> Result<f64, Error> {
        let rate = self.rate.per_nanosecond();
        let passes = |clocks: u64, nanoseconds: u64| {
            (clocks as f64 / (nanoseconds as f64 * rate).max(1.0)).ceil().clamp(1.0, 1000.0) as usize
        };
        let first = self.pass(1)?;
        let warm = passes(turn.warm, first);
        let took = self.pass(warm)? / warm as u64;
        let times = passes(turn.counted, took);
        let mut error = None;
        for attempt in 1..=TRIES {
            let (lap, trusted) = guard.watch(|| {
                let nanoseconds = self.pass(times).unwrap_or_else(|failure| {
                    error = Some(failure);
                    0
                });
                Lap { clocks: (nanoseconds as f64 * rate) as u64, failed: 0 }
            });
            if let Some(error) = error {
                return Err(error);
            }
            if trusted || attempt == TRIES {
                return Ok(lap.clocks as f64 / (times * self.packets) as f64);
            }
        }
        Ok(f64::NAN)
    }
}

impl Drop for Rival<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the program is where programs are looked for.
pub fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file())
}

/// Half of the memory that is free, in bytes, so that who takes it all fails and not the machine.
pub fn half_of_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(4 << 20) * 1024 / 2
}

/// Makes the pipe hold what is written at once, and nothing beside it.
fn one_line_at_a_time(writer: &std::io::PipeWriter) -> std::io::Result<()> {
    rustix::pipe::fcntl_setpipe_size(writer, 4096)?;
    fcntl_setfl(writer, fcntl_getfl(writer)? | OFlags::DIRECT)?;
    Ok(())
}

/// Bytes that are looked up in, as `librte_acl` logs them.
fn footprint(log: &str) -> Option<usize> {
    let line = log.lines().rev().find_map(|line| line.strip_prefix("total: "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_log_says_the_footprint() {
        let log = "EAL: Detected\nACL: Gen phase for ACL \"TESTACL\":\nmatch nodes/bytes used: 10/1280\ntotal: 13536 bytes\nmax limit: 1 bytes\n";
        assert_eq!(footprint(log), Some(13_536));
        assert_eq!(footprint("EAL: Detected\n"), None);
    }

    #[test]
    fn a_pipe_holds_one_line() {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        one_line_at_a_time(&writer).unwrap();
        fcntl_setfl(&writer, fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK).unwrap();
        let mut line = [0; 64];
        for _ in 0..3 {
            writer.write_all(b"one\n").unwrap();
            assert!(writer.write(b"two\n").is_err(), "there is room for another");
            assert_eq!(reader.read(&mut line).unwrap(), 4);
        }
    }
}
