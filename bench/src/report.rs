//! What was measured: a table for people, rows for programs.

use crate::case::{Size, Way};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use shm::Stage;
use std::collections::BTreeMap;

/// A case's figures. Clocks are the time-stamp counter's, of one core; every figure is the median of some rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done to each packet.
    pub case: Way,
    /// Bytes of the inner packets, or `imix`.
    pub size: Size,
    /// SAs that they went through.
    pub sas: u32,
    /// Of their ciphers' keys.
    pub key_bits: usize,
    /// As IOS writes it, where it is not AES-GCM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// `udp`, `6in4`, `4in6` or `6in6`, where they are not IPv4 in IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<&'static str>,
    /// Of the gateway, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// How many times what one worker carries they carry: the median of the rounds' ratios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speedup: Option<f64>,
    /// Millions of packets in a second of the workers' cores.
    pub mpps: f64,
    /// Thousands of millions of bits of inner packets in a second of those cores.
    pub gbps: f64,
    /// Clocks per packet, those of the ports included.
    pub clocks: f64,
    /// The same, of the round that was disturbed the least.
    pub clocks_best: f64,
    /// Clocks per packet of the same ports in a process that only passes packets on.
    pub port_clocks: f64,
    /// How far the rounds' clocks were apart at most, as a part of their median.
    pub spread: f64,
    /// Millions of clocks in a second.
    pub tsc_mhz: f64,
    /// Packet memory was on hugepages.
    pub hugepages: bool,
    /// What did the AES-GCM.
    pub crypto: String,
    /// Clocks per packet by stage, as the data plane timed one burst of sixteen.
    pub stages: BTreeMap<Stage, f64>,
}

impl Row {
    /// What the packets were protected by and within.
    fn kind(&self) -> String {
        let suite = match &self.suite {
            Some(suite) => suite,
            None if self.sas == 0 => "-",
            None => "esp-gcm",
        };
        [Some(suite), self.headers].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The rows as a table; with a column for each stage if they are wanted.
pub fn table(rows: &[Row], with_stages: bool) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let used: Vec<Stage> = Stage::ALL
        .iter()
        .copied()
        .filter(|stage| with_stages && rows.iter().any(|row| row.stages.contains_key(stage)))
        .collect();
    let mut header: Vec<String> = [
        "case",
        "suite",
        "size",
        "SAs",
        "key",
        "Mpps",
        "Gbit/s",
        "clocks",
        "best",
        "of ports",
        "gateway's",
        "spread",
    ]
    .map(str::to_owned)
    .into();
    let with_speedup = rows.iter().any(|row| row.speedup.is_some());
    if with_speedup {
        header.push("2 workers".to_owned());
    }
    header.extend(used.iter().map(|stage| stage.name().replace('_', " ")));
    table.set_header(header);
    let or_dash = |number: u64| if number == 0 { "-".to_owned() } else { number.to_string() };
    for row in rows {
        let mut cells = vec![
            format!("{:?}", row.case).to_lowercase(),
            row.kind(),
            row.size.to_string(),
            or_dash(u64::from(row.sas)),
            or_dash(row.key_bits as u64),
            format!("{:.3}", row.mpps),
            format!("{:.2}", row.gbps),
            format!("{:.0}", row.clocks),
            format!("{:.0}", row.clocks_best),
            format!("{:.0}", row.port_clocks),
            format!("{:.0}", row.clocks - row.port_clocks),
            format!("{:.0} %", row.spread * 100.0),
        ];
        if with_speedup {
            cells.push(row.speedup.map_or_else(|| "-".to_owned(), |speedup| format!("{speedup:.2}")));
        }
        cells.extend(used.iter().map(|stage| {
            row.stages.get(stage).map_or_else(|| "-".to_owned(), |clocks| format!("{clocks:.0}"))
        }));
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Whether the system gave us large pages for large things.
pub(crate) fn hugepages() -> bool {
    let pages = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = pages.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    line.is_some_and(|line| !line.trim().starts_with("0 "))
}
