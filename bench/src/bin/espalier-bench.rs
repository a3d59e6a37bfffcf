//! `espalier-bench`: the command line of the measurements.
#![forbid(unsafe_code)]

use bench::case::{Case, Group};
use bench::clock::Rate;
use bench::command::{Place, last_core, only, publish, stay_on, stop_on_signals};
use bench::guard::Guard;
use bench::measure::{Effort, measure};
use bench::memory::{self, MemoryArgs};
use bench::progress::Progress;
use bench::rings::{self, RingsArgs, process::GeneratorArgs};
use bench::stand::{self, StandArgs};
use bench::whole::{self, ReportArgs};
use bench::{Error, acl, gcm, ports, report};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// What a packet costs our AES-GCM, and the peers that it was built with.
    Gcm(GcmArgs),
    /// What a packet costs our access lists, and DPDK's.
    Acl(AclArgs),
    /// What a gateway of one worker carries behind rings that another core fills, and how long a packet's way takes.
    Rings(RingsArgs),
    /// What SAs cost in memory, and how long it takes to begin with many.
    Memory(MemoryArgs),
    /// A gateway of many tunnels between two ports, for others to measure (scripts/pktgen).
    Stand(StandArgs),
    /// One page, and one file for programs, of what the others wrote.
    Report(ReportArgs),
    /// The ports alone, for `gateway` to compare with.
    #[command(hide = true)]
    Ports {
        input: String,
        output: String,
        #[arg(last = true)]
        eal: Vec<String>,
    },
    /// The other side of the rings, for `rings`.
    #[command(hide = true)]
    Generator(GeneratorArgs),
}

const COLUMNS: &str = "\
Columns and JSON fields:
  case        forward: past the policy in clear; encrypt, decrypt: through tunnels
  suite       as IOS writes it; not in the JSON of AES-GCM with a 16-byte ICV
  headers     udp: ESP in UDP; 6in4, 4in6, 6in6: IP within IP; not in the JSON of IPv4 in IPv4. Beside the suite in the table
  size        bytes of the inner packets; imix: 7 x 64, 4 x 576 and 1 x 1420
  sas         SAs that packets are spread over in random order, each with a peer and a policy rule of its own
  key_bits    of the ciphers' keys
  workers     where there are more than one, each on a core of its own, with queues of its own
  speedup     how many times what one worker carries they carry: rounds of both in turn, the median of their ratios
  mpps, gbps  millions of packets, and 10^9 bits of inner packets, in a second of the workers' cores
  clocks      clocks of the time-stamp counter per packet: the worker threads' time on their cores, all included
  clocks_best the same, of the round that was disturbed the least: what others do on the machine's caches only adds
  port_clocks of them, what the same two ports cost in a process that only passes bursts on (like testpmd's io mode)
  spread      how far the rounds were apart, as a part of their median; all figures are medians
  stages      clocks per packet by stage

Packets come from a capture file in memory, copied into fresh buffers by DPDK's net_pcap, and end in net_null. AES-GCM and
GMAC are our own; the other suites are DPDK's crypto_aesni_mb, or crypto_openssl (ESPALIER_CRYPTO says otherwise). Each case
fails unless every packet left, as long as it must be, and the SAs counted it.";

const CONTEST: &str = "\
Each row is one implementation:
  vaes-512, vaes-256, aes-ni, portable   our back ends, those that run here; the chosen one first (ESPALIER_GCM)
  ipsec-mb           Debian's libipsec-mb, its direct API by its best path
  ipsec-mb+prefetch  the same by a user who brings keys in a burst ahead; where ours are (--prefetch)
  aes-gcm            the crate, built for AES-NI, PCLMULQDQ and SSE 4.1, as scripts/bench builds all
  ring, aws-lc-rs    the crates

Payload is what is encrypted, in bytes; imix is 7 x 64, 4 x 576 and 1 x 1420 in random order. The additional data have 8
bytes, the tag 16. Keys are expanded and side by side in memory; each packet's is any of them. Packets lie in buffers like
DPDK's mbufs, 50 bytes behind a line, dealt anew before each lap and then in place; a lap is 32 to 128 packets of at most
256 KiB together, so in the second cache, or four times that at 100,000 keys. What is to be decrypted was sealed outside of
the measured time, by other keys in memory, and must verify. Bursts are of 32; each implementation finds its arguments in
the form that it takes, made before: ours `Job`s, the others key, nonce, data and text. All are first proved to write the
same bytes.

JSON fields:
  impl, op, key_bits, payload, keys   as said
  clocks      of the time-stamp counter per packet: the median of the rounds, in each of which all take their turn
  ratio       those clocks over the chosen back end's: the median of the rounds' ratios; above 1, ours is faster
  ratios      the same over each of our back ends
  key_bytes   of an expanded key, without what is behind pointers (aws-lc-rs and portable keep it there)
  rounds      how many
  spread      how far the rounds' upper and lower tenth are apart, as a part of the median
  pace        clocks of a fixed loop when the case was done: cases can be held against each other where it is the same";

#[derive(Debug, Args)]
#[command(after_help = CONTEST)]
struct GcmArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few cases, shortly: less than a minute.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name has this in it, as in `encrypt-64-1key-aes128`; may be given several times.
    #[arg(long, value_name = "SUBSTR")]
    only: Vec<String>,
    /// Instead of the cases: every payload from 0 to 9000 bytes that this divides, shortly each, encrypted with AES-128 and 1
    /// key; and at which of them others are faster. By 60 it takes half a minute.
    #[arg(long, value_name = "STEP", conflicts_with_all = ["quick", "only"])]
    sweep: Option<NonZeroUsize>,
    /// Bring keys in ahead where there are at least so many.
    #[arg(long, value_name = "KEYS", default_value_t = gcm::case::MANY)]
    prefetch: usize,
    /// The core to measure on. Default: the last one that we may use.
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Name the cases and measure nothing.
    #[arg(long)]
    list: bool,
}

const LISTS: &str = "\
Each row is one implementation:
  espalier           our compiled access lists, by the best instructions that the processor has
  espalier-avx2, -portable   by fewer instructions
  espalier+N         with N lines written anew over a compiled list of a thousand rules at least
  espalier-ipv6      the same rules and packets, of IPv6
  rte_acl-METHOD     DPDK's, as its dpdk-test-acl runs it, with 512-bit vectors allowed: every method that the processor has
  linear             rule by rule, for scale: sets of up to a thousand rules in bursts of 32

Sets are acl, fw and ipc, the classical shapes of access lists, firewalls and IP chains, drawn always alike; hot traces have
most packets from few rules, all traces have as many from every rule, and in both one of twenty is drawn from none. Keys are
ready-made. Everyone classifies the same packets, a burst at a time, in turns of some milliseconds on one core: ours by the
time-stamp counter, rte_acl by the time that Linux says its thread ran. Before, all are proved to find the same rules as the
linear scan, on a sample: rte_acl from 10000 rules on by its widest method only. From 100000 rules on it takes part at bursts
of 32 and 256 only, and at a million at all-32 only, as it builds for many seconds, each time. A set that it does not build
within --patience, or in half of the memory that is free, has a note instead of clocks.

JSON fields:
  impl, set, rules, trace, burst   as said
  clocks      of the time-stamp counter per packet: the median of the rounds
  ratio       those clocks over ours: the median of the rounds' ratios; above 1, ours is faster
  build_ms    from rules in memory to what is looked up in; of rte_acl what it ran, with reading their lines (about 1 us
              each). Ours with all cores that it may use, rte_acl with the one that it has
  bytes       of what is looked up in; of rte_acl as librte_acl logs it
  hugepages   whether rte_acl has large pages, as it has for root where enough are free; whether we have any
  rounds      how many
  spread      how far the rounds' upper and lower tenth are apart, as a part of the median
  pace        clocks of a fixed loop when the case was done: cases can be held against each other where it is the same
  note        why there are no clocks";

#[derive(Debug, Args)]
#[command(after_help = LISTS)]
struct AclArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few cases, shortly: less than two minutes.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name has this in it, as in `acl-1000-hot-32`; may be given several times.
    #[arg(long, value_name = "SUBSTR")]
    only: Vec<String>,
    /// Measure ours alone.
    #[arg(long)]
    alone: bool,
    /// Measure only this method of rte_acl, as in `avx512x32`: of large sets each takes minutes.
    #[arg(long, value_name = "NAME", conflicts_with = "alone")]
    method: Option<String>,
    /// How long rte_acl may build a set.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    patience: u64,
    /// The core to measure on. Default: the last one that we may use.
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Name the cases and measure nothing.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
struct GatewayArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few cases, shortly: less than a minute.
    #[arg(long)]
    quick: bool,
    /// Which cases there are; may be given several times.
    #[arg(long, value_enum, value_name = "GROUP", default_values_t = [Group::Usual])]
    group: Vec<Group>,
    /// The cases of every group: a quarter of an hour.
    #[arg(long, conflicts_with = "group")]
    all: bool,
    /// Of these, only cases whose name has this in it, as in `encrypt-64-1sa`; may be given several times.
    #[arg(long, value_name = "SUBSTR")]
    only: Vec<String>,
    /// Show the clocks of each stage.
    #[arg(long)]
    stages: bool,
    #[command(flatten)]
    place: Place,
    /// Name the cases and measure nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Gateway(args) => gateway(&args),
        Command::Gcm(args) => contest(&args),
        Command::Acl(args) => classify(&args),
        Command::Rings(args) => rings::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Stand(args) => stand::stand(&args),
        Command::Generator(args) => rings::process::serve(&args),
        Command::Report(args) => whole::report(&args),
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
    let groups = if args.all { Group::value_variants() } else { &args.group };
    let cases: Vec<Case> = groups.iter().flat_map(|group| group.cases(args.quick)).collect();
    let cases = only(cases, &args.only)?;
    if args.list {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    let machine = args.place.machine()?;
    let stop = stop_on_signals()?;
    let mut rows = Vec::new();
    let mut progress = Progress::new(cases.len());
    for case in &cases {
        let row = measure(case, &machine, Effort::new(args.quick), &stop)?;
        let clocks = format!("{:7.0} clocks, {:3.0} of them the ports'", row.clocks, row.port_clocks);
        progress.done(case, &clocks);
        rows.push(row);
    }
    publish(args.json.as_deref(), &rows, || {
        println!("{}", report::table(&rows, args.stages));
        if let Some(row) = rows.first() {
            println!(
                "{:.0} MHz time-stamp counter, AES-GCM by {}, {}",
                row.tsc_mhz,
                row.crypto,
                if row.hugepages { "hugepages" } else { "no hugepages" }
            );
        }
    })
}

/// Measures AES-GCM by itself.
fn contest(args: &GcmArgs) -> Result<(), Error> {
    let (cases, effort) = match args.sweep {
        Some(step) => (gcm::case::Case::sweep(step), gcm::contest::Effort::brief()),
        None => (only(gcm::case::Case::all(args.quick), &args.only)?, gcm::contest::Effort::new(args.quick)),
    };
    if args.list {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    let core = args.core.unwrap_or_else(last_core);
    stay_on(core);
    let mut guard = Guard::default();
    let mut rows = Vec::new();
    let mut progress = Progress::new(cases.len());
    for group in cases.chunk_by(|a, b| (a.key, a.keys) == (b.key, b.keys)) {
        let Some(first) = group.first() else { continue };
        let keys = gcm::contender::RawKeys::new(first.key, first.keys);
        let field = gcm::contest::Field::new(&keys, first.keys >= args.prefetch)?;
        for case in group {
            let measured = field.measure(*case, effort, &mut guard)?;
            let clocks = measured.iter().map(|row| format!("{} {:.0}", row.implementation, row.clocks));
            progress.done(case, &clocks.collect::<Vec<_>>().join(", "));
            rows.extend(measured);
        }
    }
    publish(args.json.as_deref(), &rows, || {
        let text = if args.sweep.is_some() { gcm::report::lost(&rows) } else { gcm::report::table(&rows) };
        println!("{text}");
        println!("\n{}", gcm::report::conditions(&rows, &guard));
    })
}

/// Measures access lists by themselves.
fn classify(args: &AclArgs) -> Result<(), Error> {
    let cases = only(acl::case::Case::all(args.quick), &args.only)?;
    if args.list {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    if !args.alone && !acl::rival::is_installed() {
        return Err(Error::NoRival);
    }
    let stop = stop_on_signals()?;
    let core = args.core.unwrap_or_else(last_core);
    let folder = tempfile::Builder::new()
        .prefix("espalier-bench-")
        .tempdir()
        .map_err(Error::io("cannot make a temporary folder"))?;
    let mut contest = acl::contest::Contest {
        effort: acl::contest::Effort::new(args.quick),
        place: acl::rival::Place {
            core,
            folder: folder.path(),
            patience: Duration::from_secs(args.patience),
            memory: acl::rival::half_of_memory(),
            stop: &stop,
        },
        guard: Guard::default(),
        rate: Rate::begin(),
        alone: args.alone,
        method: args.method.clone(),
    };
    let mut rows = Vec::new();
    let mut progress = Progress::new(cases.len());
    for group in cases.chunk_by(|a, b| a.set == b.set) {
        let Some(first) = group.first() else { continue };
        // Compiled by all cores, so by a thread that may use them; measured by one that stays on its core.
        let field = acl::field::Field::new(first.set, group, folder.path())?;
        let done = |case: acl::case::Case, rows: &[acl::report::Row]| {
            let clocks = rows.iter().map(|row| match &row.note {
                None => format!("{} {:.1}", row.implementation, row.clocks),
                Some(why) => format!("{}: {why}", row.implementation),
            });
            progress.done(&case, &clocks.collect::<Vec<_>>().join(", "));
        };
        let measured = std::thread::scope(|scope| {
            let measuring = scope.spawn(|| {
                stay_on(core);
                contest.measure(&field, group, done)
            });
            measuring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        rows.extend(measured);
    }
    publish(args.json.as_deref(), &rows, || {
        println!("{}", acl::report::table(&rows));
        println!("\n{}", acl::report::conditions(&rows, &contest.guard));
    })
}
