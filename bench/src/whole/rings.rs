//! The part of the page about gateways behind rings.

use super::page::{clocks, distinct, drawn, measured_by, table};
use super::plot::{self, Line};
use super::rows::{Latency, Rings, plain};
use maud::{Markup, html};

type Percentile = (&'static str, fn(&Latency) -> f64);

const PERCENTILES: [Percentile; 4] = [
    ("50 %", |latency| latency.p50),
    ("99 %", |latency| latency.p99),
    ("99.9 %", |latency| latency.p999),
    ("all", |latency| latency.max),
];

pub(super) fn rings(rows: &[Rings], command: Option<&String>) -> Markup {
    let names = ["case", "load", "Mpps", "Gbit/s", "clocks", "busy", "burst", "p50", "p99", "p99.9", "max"];
    let cells = |row: &Rings| {
        let mut cells = vec![
            row.kind(),
            plain(&row.load),
            format!("{:.2}", row.mpps),
            format!("{:.2}", row.gbps),
            clocks(row.clocks),
            format!("{:.0} %", row.busy * 100.0),
            format!("{:.1}", row.burst),
        ];
        cells.extend(PERCENTILES.map(|(_, of)| {
            row.latency.map_or_else(|| "-".to_owned(), |latency| format!("{:.1}", of(&latency) / 1e3))
        }));
        cells
    };
    html! {
        h2 { "Behind rings" }
        p {
            "One worker, and a generator on another core that sends through shared memory and takes what comes back. At the "
            "peak packets wait in full rings; at parts of it, in percent, a packet's way takes so many microseconds."
        }
        (measured_by(command))
        @for kind in shown(rows) {
            (drawn(plot::lines(
                &format!("So long takes a packet's way: {kind}"),
                ("percent of the peak", "microseconds"),
                &lines(rows, &kind),
            )))
        }
        (table("Each load", &names.map(str::to_owned), &rows.iter().map(cells).collect::<Vec<_>>()))
    }
}

/// One case of each kind of ring: the first that encrypts.
fn shown(rows: &[Rings]) -> Vec<String> {
    let rings = distinct(rows.iter().map(|row| row.ring.as_str()));
    let first = |ring: &&str| rows.iter().find(|row| row.ring == **ring && row.case == "encrypt");
    rings.iter().filter_map(first).map(Rings::kind).collect()
}

/// A line for each percentile, over the load.
fn lines(rows: &[Rings], kind: &str) -> Vec<Line> {
    let line = |(name, of): Percentile| {
        let own = rows.iter().filter(|row| row.kind() == kind);
        let points = own.filter_map(|row| Some((row.load.as_f64()?, of(row.latency.as_ref()?) / 1e3)));
        (name.to_owned(), points.collect())
    };
    PERCENTILES.map(line).to_vec()
}
