//! What SAs cost in memory and in time to begin: data planes with ever more of them, each alone, as Linux sees the process.

use crate::case::{Case, Headers, Size, Way};
use crate::command::{Place, publish};
use crate::dataplane::{Dataplane, Machine};
use crate::error::Error;
use crate::progress::Progress;
use crate::tunnels::{Devices, End, Role};
use clap::Args;
use comfy_table::{CellAlignment, Table};
use model::Suite;
use serde::Serialize;
use shm::{Taken, Usage};
use std::collections::BTreeMap;
use std::path::PathBuf;

const COLUMNS: &str = "\
One row for each number of SAs, half of them inbound, AES-GCM with 128 bits; columns and JSON fields:
  sas       all of them in one transaction, behind a policy with a rule for each outbound one
  start     seconds from the process's start to when it can be told anything
  compile   seconds that the policy takes to compile, on our side, by all cores
  install   seconds from the first command to the acknowledgement that all is in use
  policies, sas_table, heap   MiB of compiled policy; of sequence numbers, counters and replay windows; of expanded keys, what
            packets of an SA have in common, and tables
  per_sa    bytes of these three that each SA took beyond those of the first row: of the heap with what its commands left
            behind, so also what malloc keeps
  packets   MiB of packet buffers and routes; large of all memory on large pages";

/// What it is told.
#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub struct MemoryArgs {
    /// Write the rows to this file as a JSON array, too; `-` is stdout instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Numbers of SAs, an even number each; the first is what the others are held against.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2, 1000, 10_000, 100_000])]
    sas: Vec<u32>,
    /// Packets of each inbound SA's replay window.
    #[arg(long, value_name = "PACKETS", default_value_t = shm::layout::DEFAULT_REPLAY_WINDOW)]
    window: u32,
    #[command(flatten)]
    place: Place,
}

/// One data plane.
#[derive(Clone, Debug, Serialize)]
struct Row {
    sas: u32,
    window: u32,
    start_seconds: f64,
    compile_seconds: f64,
    install_seconds: f64,
    /// By what memory is for.
    places: BTreeMap<shm::Place, Taken>,
    /// Bytes that each SA takes beyond the first row's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    per_sa: BTreeMap<shm::Place, f64>,
}

/// What grows with SAs.
const GROWING: [shm::Place; 3] = [shm::Place::Policies, shm::Place::Sas, shm::Place::Heap];

/// Measures them.
///
/// # Errors
///
/// Those of [`Dataplane`].
pub fn run(args: &MemoryArgs) -> Result<(), Error> {
    let machine = args.place.machine()?;
    let mut progress = Progress::new(args.sas.len());
    let mut rows = Vec::<Row>::new();
    for &sas in &args.sas {
        let row = measure(sas, args.window, &machine, rows.first())?;
        progress.done(&format!("{sas} SAs"), &format!("installed in {:.2} s", row.install_seconds));
        rows.push(row);
    }
    publish(args.json.as_deref(), &rows, || println!("{}", table(&rows)))
}

fn measure(sas: u32, window: u32, machine: &Machine, first: Option<&Row>) -> Result<Row, Error> {
    let (suite, headers) = (Suite::AES_GCM_128, Headers::FourInFour);
    let case =
        Case { way: Way::Encrypt, size: Size::Imix, tunnels: (sas / 2).max(1), suite, headers, workers: 1 };
    let folder = tempfile::Builder::new()
        .prefix("espalier-bench-")
        .tempdir()
        .map_err(Error::io("cannot make a temporary folder"))?;
    // Ports that nothing comes by.
    let device = |number: u32| format!("net_null{number},no-rx=1");
    let devices = Devices { lan: device(0), wan: device(1) };
    let role = Role { case: &case, end: End::Ours, devices: &devices, idle: "sleep", window };
    let dataplane = Dataplane::start(machine, role, folder.path())?;
    let usage = dataplane.usage()?;
    let times = dataplane.times();
    let counted = dataplane.sas().len();
    if counted != 2 * case.tunnels as usize {
        return Err(Error::Unproven {
            case: format!("{sas} SAs"),
            why: format!("{counted} SAs are in the table"),
        });
    }
    Ok(Row {
        sas: 2 * case.tunnels,
        window,
        start_seconds: times.start.as_secs_f64(),
        compile_seconds: times.compile.as_secs_f64(),
        install_seconds: times.install.as_secs_f64(),
        per_sa: first.map_or_else(BTreeMap::new, |first| per_sa(first, &usage, 2 * case.tunnels)),
        places: usage.places,
    })
}

/// Of each place that grows, bytes for each SA that there are more than in the first row.
fn per_sa(first: &Row, usage: &Usage, sas: u32) -> BTreeMap<shm::Place, f64> {
    let more = f64::from(sas) - f64::from(first.sas);
    let grown = |place: shm::Place| {
        let before = first.places.get(&place).copied().unwrap_or_default();
        usage.place(place).bytes as f64 - before.bytes as f64
    };
    GROWING.iter().filter(|_| more > 0.0).map(|&place| (place, grown(place) / more)).collect()
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "SAs",
        "start s",
        "compile s",
        "install s",
        "policies",
        "SA table",
        "heap",
        "per SA: policies",
        "SA table",
        "heap",
        "packets",
        "large",
    ]);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    for row in rows {
        let taken = |place: shm::Place| row.places.get(&place).copied().unwrap_or_default();
        let mut cells = vec![
            row.sas.to_string(),
            format!("{:.2}", row.start_seconds),
            format!("{:.2}", row.compile_seconds),
            format!("{:.2}", row.install_seconds),
        ];
        cells.extend(GROWING.map(|place| mib(taken(place).bytes)));
        cells.extend(GROWING.map(|place| {
            row.per_sa.get(&place).map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"))
        }));
        cells.push(mib(taken(shm::Place::Packets).bytes));
        cells.push(mib(row.places.values().map(|taken| taken.large).sum()));
        table.add_row(cells);
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_sa_takes_is_what_more_of_them_take() {
        let taken = |bytes| BTreeMap::from([(shm::Place::Heap, Taken { bytes, large: 0 })]);
        let (start_seconds, compile_seconds, install_seconds) = (0.0, 0.0, 0.0);
        let (places, per_sa) = (taken(1000), BTreeMap::new());
        let first =
            Row { sas: 2, window: 0, start_seconds, compile_seconds, install_seconds, places, per_sa };
        let each = super::per_sa(&first, &Usage { places: taken(6000) }, 12);
        assert_eq!(each[&shm::Place::Heap], 500.0);
        assert!(super::per_sa(&first, &Usage::default(), 2).is_empty());
    }
}
