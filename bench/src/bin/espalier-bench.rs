//! `espalier-bench`: the command line of the measurements.
#![forbid(unsafe_code)]

use bench::case::Case;
use bench::dataplane::Machine;
use bench::measure::{Effort, measure};
use bench::{Error, ports, report};
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Hugepages that the data plane and its bare ports take together, in bytes.
const NEEDED: u64 = 384 << 20;

/// Measures Espalier.
#[derive(Debug, Parser)]
#[command(name = "espalier-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a packet costs a gateway of one worker, between software ports with no kernel in the way.
    Gateway(GatewayArgs),
    /// The ports alone, for `gateway` to compare with.
    #[command(hide = true)]
    Ports {
        input: String,
        output: String,
        #[arg(last = true)]
        eal: Vec<String>,
    },
}

const COLUMNS: &str = "\
Columns and JSON fields:
  case        forward: past the policy in clear; encrypt, decrypt: through tunnels of AES-GCM with a 16-byte ICV
  size        bytes of the inner IPv4 packets; imix: 7 x 64, 4 x 576 and 1 x 1420
  sas         SAs that packets are spread over in random order, each with a peer and a policy rule of its own
  key_bits    of the AES keys
  mpps, gbps  millions of packets, and 10^9 bits of inner IPv4 packets, in a second of one core
  clocks      clocks of the time-stamp counter per packet: the worker thread's time on its core, all included
  clocks_best the same, of the round that was disturbed the least: what others do on the machine's caches only adds
  port_clocks of them, what the same two ports cost in a process that only passes bursts on (like testpmd's io mode)
  spread      how far the rounds were apart, as a part of their median; all figures are medians
  stages      clocks per packet by stage

Packets come from a capture file in memory, copied into fresh buffers by DPDK's net_pcap, and end in net_null. Each case
fails unless every packet left, as long as it must be, and the SAs counted it.";

#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
struct GatewayArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few cases, shortly: less than a minute.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name has this in it, as in `encrypt-64-1sa`; may be given several times.
    #[arg(long, value_name = "SUBSTR")]
    only: Vec<String>,
    /// Show the clocks of each stage.
    #[arg(long)]
    stages: bool,
    /// The core to measure on. Default: the last one that we may use.
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Name the cases and measure nothing.
    #[arg(long)]
    list: bool,
    /// Where espalier-dataplane is. Default: beside this program.
    #[arg(long, value_name = "FOLDER", env = "ESPALIER_BIN")]
    programs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Gateway(args) => gateway(&args),
        Command::Ports { input, output, eal } => ports::serve(&input, &output, &eal),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("espalier-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn gateway(args: &GatewayArgs) -> Result<(), Error> {
    let mut cases = Case::all(args.quick);
    for part in &args.only {
        if !cases.iter().any(|case| case.to_string().contains(part)) {
            return Err(Error::NoSuchCase(part.clone()));
        }
    }
    cases.retain(|case| args.only.is_empty() || args.only.iter().any(|part| case.to_string().contains(part)));
    if args.list {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(Error::io("cannot watch for signals"))?;
    }
    let machine = machine(args)?;
    let mut rows = Vec::new();
    for (number, case) in (1..).zip(&cases) {
        let row = measure(case, &machine, Effort::new(args.quick), &stop)?;
        eprintln!(
            "[{number:2}/{}] {:26} {:7.0} clocks, {:3.0} of them the ports'",
            cases.len(),
            case.to_string(),
            row.clocks,
            row.port_clocks
        );
        rows.push(row);
    }
    let json = || serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n";
    match args.json.as_deref() {
        Some(file) if file == Path::new("-") => print!("{}", json()),
        file => {
            if let Some(file) = file {
                std::fs::write(file, json())
                    .map_err(Error::io(format!("cannot write {}", file.display())))?;
            }
            println!("{}", report::table(&rows, args.stages));
            if let Some(row) = rows.first() {
                println!(
                    "one worker, {:.0} MHz time-stamp counter, AES-GCM by {}, {}",
                    row.tsc_mhz,
                    row.crypto,
                    if row.hugepages { "hugepages" } else { "no hugepages" }
                );
            }
        }
    }
    Ok(())
}

/// The core to measure on, the memory, the programs.
fn machine(args: &GatewayArgs) -> Result<Machine, Error> {
    // We ourselves sleep while anything is measured, so we may stay where we are.
    let last = core_affinity::get_core_ids().unwrap_or_default().last().map_or(0, |core| core.id);
    let core = args.core.unwrap_or(last);
    let hugepages = dpdk::hugepages_free() >= NEEDED;
    if !hugepages {
        eprintln!(
            "warning: {} MiB of hugepages are free and {} MiB are wanted; on ordinary memory all is slower \
             (mend: scripts/setup bench)",
            dpdk::hugepages_free() >> 20,
            NEEDED >> 20
        );
    }
    let programs = match &args.programs {
        Some(folder) => folder.clone(),
        None => {
            let mut program =
                std::env::current_exe().map_err(Error::io("cannot learn this program's own path"))?;
            program.pop();
            program
        }
    };
    Ok(Machine { programs, core, hugepages })
}
