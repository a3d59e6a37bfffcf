//! What was measured: a table for people, rows for programs.

use super::trace::Locality;
use crate::guard::Guard;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What a case costs an implementation.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    #[serde(rename = "impl")]
    pub implementation: String,
    /// The rule set: its shape and how many rules.
    pub set: String,
    /// How many rules.
    pub rules: usize,
    /// Which rules packets are drawn from.
    pub trace: Locality,
    /// Packets that are looked up at a time.
    pub burst: usize,
    /// Clocks of the time-stamp counter per packet, median of the rounds; not a number if there is none.
    pub clocks: f64,
    /// Those over ours, median of the rounds' ratios.
    pub ratio: f64,
    /// Milliseconds from the rules to what is looked up in.
    pub build_ms: f64,
    /// Bytes that are looked up in.
    pub bytes: usize,
    /// They, or some of ours, are on large pages.
    pub hugepages: bool,
    /// Rounds.
    pub rounds: usize,
    /// How far the upper and the lower tenth of the rounds are apart, as a part of the median.
    pub spread: f64,
    /// Clocks of the guard's loop when the case was done: less is a faster machine.
    pub pace: u64,
    /// Why there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is smaller gains nothing by large pages.
const LARGE_PAGE: usize = 2 << 20;

/// A block for each set: a line for each implementation; across, traces and bursts, and what it takes to build and to hold.
/// The last line says how many times ours the clocks of the fastest other are.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for block in rows.chunk_by(|a, b| a.set == b.set) {
        if let Some(first) = block.first() {
            let _ = writeln!(text, "{}: clocks per packet", first.set);
            let _ = writeln!(text, "{}\n", block_table(block));
        }
    }
    text.trim_end().to_owned()
}

/// What to know of a run beside its rows.
pub fn conditions(rows: &[Row], guard: &Guard) -> String {
    let notes: BTreeSet<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: {} {}\n", row.set, row.implementation, row.note.as_ref()?)))
        .collect();
    let notes: String = notes.into_iter().collect();
    let small: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.bytes > LARGE_PAGE && !row.hugepages)
        .map(|row| {
            format!("{}: {} was on ordinary memory, where it is slower\n", row.set, row.implementation)
        })
        .collect();
    let small: String = small.into_iter().collect();
    format!("{notes}{small}{} laps, {} of them disturbed by others", guard.laps, guard.disturbed)
}

fn block_table(block: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let columns: Vec<&[Row]> = block.chunk_by(|a, b| (a.trace, a.burst) == (b.trace, b.burst)).collect();
    let name =
        |column: &&[Row]| column.first().map_or(String::new(), |row| format!("{} {}", row.trace, row.burst));
    let header = [String::new()].into_iter().chain(columns.iter().map(name));
    table.set_header(header.chain(["build".to_owned(), "memory".to_owned()]));
    let mut names: Vec<&str> = Vec::new();
    for row in block {
        if !names.contains(&row.implementation.as_str()) {
            names.push(&row.implementation);
        }
    }
    let ours = names.first().copied().unwrap_or_default();
    for name in names {
        let of = |row: &&Row| row.implementation == name;
        let cells =
            columns.iter().map(|column| column.iter().find(of).map_or_else(none, |row| clocks(row.clocks)));
        let mut builds: Vec<f64> = block.iter().filter(of).map(|row| row.build_ms).collect();
        builds.sort_by(f64::total_cmp);
        let build = builds.get(builds.len() / 2).copied().unwrap_or(f64::NAN);
        let bytes = block.iter().find(of).map_or(0, |row| row.bytes);
        let built = if bytes == 0 { [none(), none()] } else { [milliseconds(build), size(bytes)] };
        table.add_row([name.to_owned()].into_iter().chain(cells).chain(built));
    }
    let best = columns.iter().map(|column| {
        let others = column.iter().filter(|row| !row.implementation.starts_with(ours) && !row.ratio.is_nan());
        let best = others.min_by(|a, b| a.ratio.total_cmp(&b.ratio));
        best.map_or_else(none, |row| format!("{:.2}", row.ratio))
    });
    table.add_row([format!("best / {ours}")].into_iter().chain(best).chain([none(), none()]));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn none() -> String {
    "-".to_owned()
}

fn clocks(clocks: f64) -> String {
    match clocks {
        _ if clocks.is_nan() => none(),
        0.0..100.0 => format!("{clocks:.1}"),
        _ => format!("{clocks:.0}"),
    }
}

fn milliseconds(time: f64) -> String {
    match time {
        0.0 => none(),
        0.0..0.1 => format!("{:.1} us", time * 1e3),
        0.1..10.0 => format!("{time:.2} ms"),
        _ => format!("{time:.0} ms"),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(implementation: &str, burst: usize, clocks: f64, ratio: f64) -> Row {
        Row {
            implementation: implementation.to_owned(),
            set: "acl-10".to_owned(),
            rules: 10,
            trace: Locality::All,
            burst,
            clocks,
            ratio,
            build_ms: 1.0,
            bytes: 640,
            hugepages: true,
            rounds: 9,
            spread: 0.1,
            pace: 2000,
            note: None,
        }
    }

    #[test]
    fn the_fastest_other_is_compared_and_who_has_no_figure_is_not() {
        let rows = [
            row("espalier", 1, 10.0, 1.0),
            row("slow", 1, 40.0, 4.0),
            row("fast", 1, 25.0, 2.5),
            row("none", 1, f64::NAN, f64::NAN),
            row("espalier", 8, 12.0, 1.0),
        ];
        let text = table(&rows);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("best / espalier") && last.contains("2.50"), "{text}");
        assert!(text.contains("all 8") && !text.contains("NaN"), "{text}");
    }

    #[test]
    fn a_row_has_the_fields_that_programs_ask_for() {
        let json = serde_json::to_value(row("espalier", 1, f64::NAN, 1.0)).unwrap();
        for field in [
            "impl", "set", "rules", "trace", "burst", "ratio", "build_ms", "bytes", "rounds", "spread",
            "pace",
        ] {
            assert!(!json[field].is_null(), "{field}");
        }
        assert!(json["clocks"].is_null());
    }
}
