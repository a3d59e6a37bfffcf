//! The generator's process: started, asked, and ended.

use super::case::Case;
use super::generator::{Generator, Ran, Wanted};
use crate::case::Way;
use crate::dataplane::Machine;
use crate::error::Error;
use crate::pcap;
use clap::Args;
use dpdk::{Mempool, PortConfig};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// As the data plane's buffers are.
const DATA_ROOM: u16 = 2048 + 128;
/// Rings in both directions full, and what is under way.
const MBUFS: u32 = 8192;
/// Of a queue.
const DESCRIPTORS: u16 = 1024;
/// Ordinary memory of the process where there are no hugepages, in MiB.
const MEMORY: u32 = 128;
/// How long the rings may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the process is told.
#[derive(Debug, Args)]
pub struct GeneratorArgs {
    /// What is done to packets.
    #[arg(value_enum)]
    way: Way,
    /// The capture file with a round of them.
    frames: PathBuf,
    /// The port to send by.
    to: String,
    /// The port to receive by.
    from: String,
    #[arg(last = true)]
    eal: Vec<String>,
}

/// The process's whole life: opens its ports, then does what each line of stdin wants, and answers each with a line.
///
/// # Errors
///
/// DPDK's, and those of stdin and stdout.
pub fn serve(args: &GeneratorArgs) -> Result<(), Error> {
    let frames =
        pcap::read(&args.frames).map_err(Error::io(format!("cannot read {}", args.frames.display())))?;
    let eal = dpdk::Eal::start("espalier-bench-generator", &args.eal)?;
    let pool = Mempool::new(&eal, "packets", MBUFS, DATA_ROOM)?;
    let (mut to, mut from) = (dpdk::attach(&args.to)?, dpdk::attach(&args.from)?);
    let config = PortConfig::new(1, DESCRIPTORS);
    let (_, tx) = to.start(config, &pool)?;
    let (rx, _) = from.start(config, &pool)?;
    let (Some(tx), Some(rx)) = (tx.into_iter().next(), rx.into_iter().next()) else { return Ok(()) };
    let mut generator = Generator::new(pool, (tx, rx), args.way, frames)
        .ok_or_else(|| Error::Generator("these frames cannot be told apart".to_owned()))?;
    let begun = Instant::now();
    while !(to.link().up && from.link().up) {
        if begun.elapsed() > PATIENCE {
            return Err(Error::Generator("the gateway's rings do not come up".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let answer = |text: String| {
        let mut out = std::io::stdout();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::io("cannot answer"))
    };
    answer("ready".to_owned())?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(Error::io("cannot read what to do"))?;
        let Ok(wanted) = serde_json::from_str::<Wanted>(&line) else { break };
        let ran = generator.run(wanted)?;
        answer(serde_json::to_string(&ran).unwrap_or_default())?;
    }
    Ok(())
}

/// The process, which waits to be asked.
pub struct Process {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Process {
    /// Starts this very program on a core as the generator of a case, with the round of frames that is in `frames`. The
    /// gateway, whose sockets are in `folder`, must run meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Process`].
    pub fn start(
        machine: &Machine,
        core: usize,
        case: &Case,
        frames: &Path,
        folder: &Path,
    ) -> Result<Process, Error> {
        let program = std::env::current_exe().map_err(Error::io("cannot learn this program's own path"))?;
        let log = folder.join("generator.log");
        let stderr = std::fs::File::create(&log).map_err(Error::io("cannot make the generator's log"))?;
        let devices = case.ring.generator(folder);
        let inwards = case.traffic.way == Way::Decrypt;
        let (to, from) = if inwards { (devices.wan, devices.lan) } else { (devices.lan, devices.wan) };
        let way = clap::ValueEnum::to_possible_value(&case.traffic.way)
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let private = if machine.hugepages { "--in-memory" } else { "--no-shconf" };
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(["generator", &way])
            .arg(frames)
            .args([&to, &from])
            // The other process maps our packets' memory, by a file for each piece.
            .args(["--", private, "--single-file-segments", "--no-telemetry", "--log-level=*:warning"])
            .arg(format!("--lcores=0@{core}"))
            .args(machine.eal(MEMORY))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(Error::io("cannot run the generator"))?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Generator("a pipe was not there".to_owned()));
        };
        let mut process = Process { child, ask, answers: BufReader::new(answers), log };
        match process.answer()?.as_str() {
            "ready" => Ok(process),
            other => Err(process.failed(format!("it says '{other}'"))),
        }
    }

    /// Has it send, and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it ended.
    pub fn run(&mut self, wanted: Wanted) -> Result<Ran, Error> {
        let line = serde_json::to_string(&wanted).unwrap_or_default();
        writeln!(self.ask, "{line}").map_err(|error| self.failed(error.to_string()))?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).map_err(|_| self.failed(format!("it says '{answer}'")))
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err(self.failed("it ended by itself".to_owned())),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(self.failed(error.to_string())),
        }
    }

    fn failed(&self, why: String) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        Error::Process { who: "the generator", why, log }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
