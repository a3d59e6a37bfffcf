//! What was measured: a table for people, rows for programs.

use super::case::Op;
use crate::case::Size;
use crate::guard::Guard;
use crate::report::hugepages;
use comfy_table::{CellAlignment, Table};
use gcm::BackEnd;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What a case costs an implementation.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    #[serde(rename = "impl")]
    pub implementation: String,
    /// What was done to each packet.
    pub op: Op,
    /// Of the keys.
    pub key_bits: usize,
    /// Bytes, or `imix`.
    pub payload: Size,
    /// How many, in random order.
    pub keys: usize,
    /// Clocks of the time-stamp counter per packet, median of the rounds.
    pub clocks: f64,
    /// Those over the chosen back end's, median of the rounds' ratios.
    pub ratio: f64,
    /// The same over each of our back ends.
    pub ratios: BTreeMap<String, f64>,
    /// Bytes of an expanded key, without what is behind pointers.
    pub key_bytes: usize,
    /// Rounds.
    pub rounds: usize,
    /// How far the upper and the lower tenth of the rounds are apart, as a part of the median.
    pub spread: f64,
    /// Clocks of the guard's loop when the case was done: less is a faster machine.
    pub pace: u64,
}

/// Comparisons that are made beside those of all peers with the chosen back end: a peer, and which of ours.
const ALSO: [(&str, &str); 2] = [("aes-gcm", "aes-ni"), ("ring", "vaes-256")];

/// A block for each operation, key length and number of keys: payloads across, a line for each implementation, and then
/// how many times ours the peers' clocks are.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for block in rows.chunk_by(|a, b| (a.op, a.key_bits, a.keys) == (b.op, b.key_bits, b.keys)) {
        if let Some(first) = block.first() {
            let keys = if first.keys == 1 { "1 key".into() } else { format!("{} keys", first.keys) };
            let _ = writeln!(text, "{}, AES-{}, {keys}: clocks per packet", first.op, first.key_bits);
            let _ = writeln!(text, "{}\n", block_table(block));
        }
    }
    text.trim_end().to_owned()
}

/// The payloads at which others than our back ends are faster than the chosen one, with how many times ours their clocks are.
pub fn lost(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.ratio < 1.0 && !row.ratios.contains_key(&row.implementation)) {
        let _ = writeln!(text, "{} bytes: {} {:.2}", row.payload, row.implementation, row.ratio);
    }
    let payloads = rows.chunk_by(|a, b| a.payload == b.payload).count();
    if text.is_empty() {
        format!("of {payloads} payloads, nobody is faster at any")
    } else {
        text.trim_end().to_owned()
    }
}

/// What to know of a run beside its rows.
pub fn conditions(rows: &[Row], guard: &Guard) -> String {
    let mut peers = String::new();
    for (name, bytes) in
        rows.iter().map(|row| (row.implementation.as_str(), row.key_bytes)).collect::<BTreeSet<_>>()
    {
        let _ = write!(peers, "{}{name} {bytes}", if peers.is_empty() { "" } else { ", " });
    }
    format!(
        "bytes per key: {peers}\n{} laps, {} of them disturbed by others; {}; {}",
        guard.laps,
        guard.disturbed,
        super::peers_built(),
        if hugepages() { "hugepages" } else { "no hugepages, so many keys cost more" },
    )
}

fn block_table(block: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let columns: Vec<&[Row]> = block.chunk_by(|a, b| a.payload == b.payload).collect();
    let size = |column: &&[Row]| column.first().map_or(String::new(), |row| row.payload.to_string());
    table.set_header([String::new()].into_iter().chain(columns.iter().map(size)));
    let mut line = |title: &str, name: &str, cell: &dyn Fn(&Row) -> String| {
        let cells = columns.iter().map(|column| {
            column.iter().find(|row| row.implementation == name).map_or_else(|| "-".to_owned(), cell)
        });
        table.add_row([title.to_owned()].into_iter().chain(cells));
    };
    let names: Vec<&str> = columns
        .first()
        .map_or(Vec::new(), |column| column.iter().map(|row| row.implementation.as_str()).collect());
    for name in &names {
        line(name, name, &|row| format!("{:.0}", row.clocks));
    }
    let ours: Vec<&str> = BackEnd::available().iter().map(|each| each.name()).collect();
    let chosen = BackEnd::chosen().name();
    let peers = names.iter().copied().filter(|name| !ours.contains(name)).map(|peer| (peer, chosen));
    let also =
        ALSO.into_iter().filter(|&(peer, our)| our != chosen && names.contains(&peer) && ours.contains(&our));
    for (peer, our) in peers.chain(also) {
        line(&format!("{peer} / {our}"), peer, &|row| {
            row.ratios.get(our).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        });
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
