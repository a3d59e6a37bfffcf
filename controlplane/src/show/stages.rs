//! `show dataplane stages`.

use super::stats::{StageTimes, times};
use super::{Page, View};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use shm::Stage;

/// Where the workers' clocks go, since the data plane started. Of every sixteenth burst each stage's clocks are taken.
#[derive(Clone, Debug, Serialize)]
pub struct Stages {
    /// `hostname`.
    pub hostname: Option<String>,
    /// TSC clocks in a second.
    pub tsc_hz: u64,
    /// All workers together; the stages that any packet went through, in the order of its way.
    pub stages: Vec<StageRow>,
    /// Each worker alone, by number.
    pub workers: Vec<Vec<StageRow>>,
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageRow {
    /// Which.
    pub stage: Stage,
    /// Of all clocks that were taken, the part that this stage took.
    pub share: f64,
    /// What it took.
    #[serde(flatten)]
    pub times: StageTimes,
}

impl Stages {
    /// Out of a view.
    pub fn new(view: &View) -> Stages {
        let counters = &view.counters;
        let of_worker = |number: usize| {
            let worker = &counters.workers[number];
            rows(|stage| worker.stages.get(&stage).map(times))
        };
        Stages {
            hostname: view.hostname(),
            tsc_hz: counters.tsc_hz,
            stages: rows(|stage| Some(times(&counters.stage(stage)))),
            workers: (0..counters.workers.len()).map(of_worker).collect(),
        }
    }
}

fn rows(of: impl Fn(Stage) -> Option<StageTimes>) -> Vec<StageRow> {
    let met = |stage: &Stage| Some((*stage, of(*stage)?)).filter(|(_, times)| times.packets > 0);
    let met: Vec<(Stage, StageTimes)> = Stage::ALL.iter().filter_map(met).collect();
    let all = met.iter().map(|(_, times)| times.clocks).fold(0, u64::saturating_add).max(1);
    met.into_iter()
        .map(|(stage, times)| StageRow { stage, share: times.clocks as f64 / all as f64, times })
        .collect()
}

fn table(rows: &[StageRow]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "Stage",
        "Of all clocks",
        "Clocks/packet",
        "half below",
        "99 % below",
        "Packets measured",
    ]);
    for StageRow { stage, share, times } in rows {
        let spread = times.clocks_per_packet.as_ref();
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            stage.name().replace('_', " "),
            format!("{:.1} %", share * 100.0),
            or_dash(spread.map(|spread| format!("{:.1}", spread.mean))),
            or_dash(spread.map(|spread| spread.p50.to_string())),
            or_dash(spread.map(|spread| spread.p99.to_string())),
            times.packets.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

impl Page for Stages {
    fn text(&self) -> String {
        if self.stages.is_empty() {
            return "No packet has come yet.\n".to_owned();
        }
        let mut text = format!("{}\n", table(&self.stages));
        if self.workers.len() > 1 {
            for (number, rows) in self.workers.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                text += &format!("\nWorker {number}\n{}\n", table(rows));
            }
        }
        text + "Clocks are the time-stamp counter's, of one burst of sixteen, since the data plane started.\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::StageSnapshot;

    fn some(packets: u64, clocks: u64) -> StageTimes {
        times(&StageSnapshot { calls: 1, packets, clocks, ..StageSnapshot::default() })
    }

    #[test]
    fn stages_that_nothing_went_through_are_left_out_and_shares_are_of_the_rest() {
        let rows = rows(|stage| match stage {
            Stage::Parse => Some(some(64, 1000)),
            Stage::Encrypt => Some(some(64, 3000)),
            _ => Some(some(0, 0)),
        });
        let shares: Vec<(Stage, f64)> = rows.iter().map(|row| (row.stage, row.share)).collect();
        assert_eq!(shares, [(Stage::Parse, 0.25), (Stage::Encrypt, 0.75)]);
        let text = table(&rows);
        assert!(text.contains("encrypt") && text.contains("75.0 %"), "{text}");
    }
}
