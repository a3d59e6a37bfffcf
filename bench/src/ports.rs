//! What the ports cost by themselves: the same software ports in a process that receives bursts and sends them, and does
//! nothing else (what `dpdk-testpmd` calls its io mode). What remains of a gateway's clocks is the gateway's.

use crate::dataplane::{MBUFS, Machine};
use crate::error::Error;
use crate::tunnels::Devices;
use dpdk::{Mempool, Packets, PortConfig};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// As the data plane's buffers are.
const DATA_ROOM: u16 = 2048 + 128;
/// As the data plane's queues are.
const DESCRIPTORS: u16 = 1024;
/// Bursts between two looks at the clock.
const BURSTS: u32 = 64;

/// What passed while the ports were alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Packets.
    pub packets: u64,
    /// Nanoseconds that the thread ran for them.
    pub nanoseconds: u64,
}

/// The process's whole life: opens the ports, then passes packets on for as many milliseconds as each line of stdin
/// says, and answers each with a line: packets and nanoseconds.
///
/// # Errors
///
/// DPDK's, and those of stdin and stdout.
pub fn serve(input: &str, output: &str, eal: &[String]) -> Result<(), Error> {
    let eal = dpdk::Eal::start("espalier-bench-ports", eal)?;
    let pool = Mempool::new(&eal, "packets", MBUFS, DATA_ROOM)?;
    let config = PortConfig::new(1, DESCRIPTORS);
    let (mut from, mut to) = (dpdk::attach(input)?, dpdk::attach(output)?);
    let (mut rx, _tx) = from.start(config, &pool)?;
    let (_rx, mut tx) = to.start(config, &pool)?;
    let (Some(rx), Some(tx)) = (rx.first_mut(), tx.first_mut()) else { return Ok(()) };
    let answer = |text: String| {
        let mut out = std::io::stdout();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::io("cannot answer"))
    };
    answer("ready".to_owned())?;
    let mut packets = Packets::new();
    for line in std::io::stdin().lines() {
        let line = line.map_err(Error::io("cannot read what to do"))?;
        let Ok(milliseconds) = line.trim().parse::<u64>() else { break };
        let begun = thread_time();
        let mut passed = 0;
        let took = loop {
            for _ in 0..BURSTS {
                let mask = packets.receive(rx);
                let left = packets.send(mask, tx);
                packets.free(left);
                passed += u64::from((mask & !left).count_ones());
            }
            let took = thread_time() - begun;
            if took >= milliseconds * 1_000_000 {
                break took;
            }
        };
        answer(format!("{passed} {took}"))?;
    }
    Ok(())
}

/// Nanoseconds that this thread has run.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The process, which waits to be asked.
pub struct Ports {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Ports {
    /// Starts this very program as the process between the two ports of `devices`, in the direction of the traffic.
    ///
    /// # Errors
    ///
    /// [`Error::Process`].
    pub fn start(machine: &Machine, devices: (&str, &str), folder: &Path) -> Result<Ports, Error> {
        let program = std::env::current_exe().map_err(Error::io("cannot learn this program's own path"))?;
        let log = folder.join("ports.log");
        let stderr = std::fs::File::create(&log).map_err(Error::io("cannot make the ports' log"))?;
        let private = if machine.hugepages { "--in-memory" } else { "--no-shconf" };
        let mut child = Command::new(program)
            .args(["ports", devices.0, devices.1, "--", private, "--no-telemetry", "--log-level=*:warning"])
            .arg(format!("--lcores=0@{}", machine.core))
            .args(machine.eal(128))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(Error::io("cannot run the bare ports"))?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Generator("a pipe was not there".to_owned()));
        };
        let mut ports = Ports { child, ask, answers: BufReader::new(answers), log };
        match ports.answer()?.as_str() {
            "ready" => Ok(ports),
            other => Err(ports.failed(format!("it says '{other}'"))),
        }
    }

    /// Lets it pass packets for so long.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it ended.
    pub fn run(&mut self, time: Duration) -> Result<Passed, Error> {
        writeln!(self.ask, "{}", time.as_millis()).map_err(|error| self.failed(error.to_string()))?;
        let answer = self.answer()?;
        let numbers = || {
            let (packets, nanoseconds) = answer.split_once(' ')?;
            Some(Passed { packets: packets.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
        };
        numbers().ok_or_else(|| self.failed(format!("it says '{answer}'")))
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
        Error::Process { who: "the bare ports", why, log }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Device strings of a case's traffic: frames come in for ever from a capture file, the same into each queue, and what is
/// sent is dropped.
pub fn devices(capture: &Path, queues: u32) -> (String, String) {
    let queue = format!(",rx_pcap={}", capture.display());
    let queues = queue.repeat(queues as usize);
    (format!("net_pcap0{queues},infinite_rx=1"), "net_null0,no-rx=1".to_owned())
}

/// The devices by what they face.
pub fn facing(input: &str, output: &str, from_wan: bool) -> Devices {
    let (lan, wan) = if from_wan { (output, input) } else { (input, output) };
    Devices { lan: lan.to_owned(), wan: wan.to_owned() }
}
