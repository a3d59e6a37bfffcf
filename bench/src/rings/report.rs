//! What was measured: a table for people, rows for programs.

use super::case::Ring;
use super::generator::Latency;
use super::measure::microseconds;
use crate::case::{Size, Way};
use comfy_table::{CellAlignment, Table};
use serde::{Serialize, Serializer};
use shm::Stage;
use std::collections::BTreeMap;
use std::fmt;

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// As much as the gateway takes.
    Peak,
    /// So many percent of that.
    Percent(u32),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Peak => f.write_str("peak"),
            Load::Percent(percent) => write!(f, "{percent}"),
        }
    }
}

impl Serialize for Load {
    /// A number, or `"peak"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Load::Peak => serializer.serialize_str("peak"),
            Load::Percent(percent) => serializer.serialize_u32(*percent),
        }
    }
}

/// A case's figures at one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What lies between generator and gateway.
    pub ring: Ring,
    /// What was done to each packet.
    pub case: Way,
    /// Bytes of the inner packets, or `imix`.
    pub size: Size,
    /// SAs that they went through.
    pub sas: u32,
    /// How much was sent: `peak`, or percent of that.
    pub load: Load,
    /// Millions of packets that came back in a second.
    pub mpps: f64,
    /// Thousands of millions of bits of inner packets of them.
    pub gbps: f64,
    /// Clocks per packet of the gateway's worker, in all stages.
    pub clocks: f64,
    /// Part of the worker's time that those are.
    pub busy: f64,
    /// Packets that the worker found at a time, on average.
    pub burst: f64,
    /// Packets that were sent.
    pub sent: u64,
    /// Those that came back.
    pub received: u64,
    /// The others, by the gateway's reason.
    pub drops: BTreeMap<String, u64>,
    /// From the generator's transmit queue to its receive queue, in nanoseconds; not at the peak, where packets wait in
    /// full rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Millions of clocks in a second.
    pub tsc_mhz: f64,
    /// Packet memory was on hugepages.
    pub hugepages: bool,
    /// What did the AES-GCM.
    pub crypto: String,
    /// Clocks per packet by stage, as the data plane timed one burst of sixteen.
    pub stages: BTreeMap<Stage, f64>,
}

/// What a case came to, in a line.
pub(super) fn line(rows: &[Row]) -> String {
    let each = rows.iter().map(|row| match row.latency {
        None => format!("{:6.3} Mpps, {:4.0} clocks", row.mpps, row.clocks),
        Some(latency) => {
            let [half, most, ..] = microseconds(latency);
            format!("at {} % {half:.1} to {most:.1} us", row.load)
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The rows as a table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "ring", "case", "size", "SAs", "load", "Mpps", "Gbit/s", "clocks", "busy", "burst", "dropped", "p50",
        "p99", "p99.9", "max",
    ]);
    for row in rows {
        let mut cells = vec![
            row.ring.name().to_owned(),
            format!("{:?}", row.case).to_lowercase(),
            row.size.to_string(),
            if row.sas == 0 { "-".to_owned() } else { row.sas.to_string() },
            row.load.to_string(),
            format!("{:.3}", row.mpps),
            format!("{:.2}", row.gbps),
            format!("{:.0}", row.clocks),
            format!("{:.0} %", row.busy * 100.0),
            format!("{:.1}", row.burst),
            (row.sent - row.received).to_string(),
        ];
        match row.latency {
            Some(latency) => cells.extend(microseconds(latency).map(|time| format!("{time:.1}"))),
            None => cells.extend(vec!["-".to_owned(); 4]),
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What holds for all rows.
pub(super) fn conditions(row: &Row) -> String {
    format!(
        "Times in microseconds; {:.0} MHz time-stamp counter, AES-GCM by {}, {}",
        row.tsc_mhz,
        row.crypto,
        if row.hugepages { "hugepages" } else { "no hugepages" }
    )
}
