//! The gateway behind real rings: a generator on another core sends through shared memory, and takes what comes back. So
//! descriptors and another core's cache lines are in the picture, and there is a time between the one and the other.
//!
//! - [`case`](mod@case): what is measured, over which rings.
//! - [`order`]: which of the packets that were sent one is that came back.
//! - [`generator`]: what the generator does with its core.
//! - [`process`]: the process that it is.
//! - [`measure`]: the peak, parts of it, and the proof that no packet is unaccounted for.
//! - [`report`]: a table for people, rows for programs.

pub mod case;
pub mod generator;
pub mod measure;
pub mod order;
pub mod process;
pub mod report;

use crate::Error;
use crate::command::{Place, only, publish, stop_on_signals};
use crate::progress::Progress;
use case::{Case, Ring};
use clap::Args;
use measure::Effort;
use std::path::PathBuf;

const COLUMNS: &str = "\
One row for each load of a case; columns and JSON fields:
  ring        memif: net_memif on both sides, the generator's without copies; vhost: the gateway's net_vhost, as of a
              hypervisor, and the generator's net_virtio_user, as of a guest. 1024 descriptors each way
  case, size, sas   as of `gateway`; AES-GCM with 128 bits, IPv4 in IPv4
  load        peak: as fast as the gateway takes packets; else percent of that, evenly spaced
  mpps, gbps  millions of packets, and 10^9 bits of inner packets, that came back in a second
  clocks      per packet of the gateway's worker, in all stages, those of the rings included; by its own stopwatch, on one
              burst of sixteen. JSON has them by stage, too
  busy        part of the worker's time that those clocks are. Nearly all of it at the peak: else the generator is the slower
  burst       packets that the worker found at a time, on average
  sent, received, drops   packets of all rounds; drops by reason, and where they are not all, there is no row
  p50, p99, p999, max     microseconds from the generator's transmit queue to its receive queue; in JSON nanoseconds, `latency`

The generator takes a core (--generator-core), the gateway's worker another (--core); the other threads of both sleep. A
generator that loses its core to somebody else measures that, too: look at the rows of a machine that is otherwise idle.";

/// What the rings' measurement is told.
#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub struct RingsArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few cases, shortly: half a minute.
    #[arg(long)]
    quick: bool,
    /// Which rings; may be given several times.
    #[arg(long, value_enum, value_name = "RING", default_values_t = [Ring::Memif, Ring::Vhost])]
    ring: Vec<Ring>,
    /// Only cases whose name has this in it, as in `memif-encrypt-64-1sa`; may be given several times.
    #[arg(long, value_name = "SUBSTR")]
    only: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// The generator's core. Default: the one before the gateway's.
    #[arg(long, value_name = "N")]
    generator_core: Option<usize>,
    /// Name the cases and measure nothing.
    #[arg(long)]
    list: bool,
}

/// Measures gateways behind rings.
///
/// # Errors
///
/// Those of [`measure`](measure::measure), and of the arguments.
pub fn run(args: &RingsArgs) -> Result<(), Error> {
    let cases = only(Case::all(&args.ring, args.quick), &args.only)?;
    if args.list {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    let machine = args.place.machine()?;
    let core = args.generator_core.or(machine.core.checked_sub(1)).ok_or(Error::TooFewCores(2))?;
    let stop = stop_on_signals()?;
    let mut rows = Vec::new();
    let mut progress = Progress::new(cases.len());
    for case in &cases {
        let measured = measure::measure(case, &machine, core, Effort::new(args.quick), &stop)?;
        progress.done(case, &report::line(&measured));
        rows.extend(measured);
    }
    publish(args.json.as_deref(), &rows, || {
        println!("{}", report::table(&rows));
        if let Some(row) = rows.first() {
            println!("{}", report::conditions(row));
        }
    })
}
