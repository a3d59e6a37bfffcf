//! `show drops`.

use super::{Page, View, plural};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use shm::DropReason;
use std::collections::BTreeMap;

/// Packets that were dropped, since the data plane started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drops {
    /// `hostname`.
    pub hostname: Option<String>,
    /// Sum of all reasons.
    pub total: u64,
    /// Every reason, also those that never happened.
    pub drops: BTreeMap<DropReason, u64>,
}

impl Drops {
    /// Out of a view.
    pub fn new(view: &View) -> Drops {
        let drops = view.counters.drops();
        Drops { hostname: view.hostname(), total: drops.values().fold(0, |s, n| s.wrapping_add(*n)), drops }
    }
}

impl Page for Drops {
    fn text(&self) -> String {
        if self.total == 0 {
            return "No packet was dropped.\n".to_owned();
        }
        let mut rows: Vec<(DropReason, u64)> = self
            .drops
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(reason, count)| (*reason, *count))
            .collect();
        rows.sort_by_key(|&(reason, count)| (std::cmp::Reverse(count), reason));
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["Packets", "Reason", "What it means"]);
        for (reason, count) in rows {
            table.add_row([count.to_string(), reason.name().to_owned(), reason.advice().to_owned()]);
        }
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{}\n{} dropped.\n", table.trim_fmt(), plural(self.total, "packet"))
    }
}
