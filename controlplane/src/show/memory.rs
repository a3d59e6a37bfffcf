//! `show dataplane memory`.

use super::{Page, View, plural};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use shm::{Place, Taken, Usage};
use std::collections::BTreeMap;

/// What memory the data plane takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// `hostname`.
    pub hostname: Option<String>,
    /// Live SAs.
    pub sas: usize,
    /// Packet buffers in use, and free.
    pub buffers: Buffers,
    /// By what it is for.
    pub places: BTreeMap<Place, Taken>,
    /// All of it.
    pub all: Taken,
}

/// Packet buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Buffers {
    /// By packets and queues.
    pub in_use: u64,
    /// By nobody.
    pub free: u64,
}

impl Memory {
    /// Out of a view, and what Linux says of the process.
    pub fn new(view: &View, usage: Usage) -> Memory {
        let buffers = Buffers { in_use: view.counters.mbufs_in_use, free: view.counters.mbufs_available };
        let all = usage.all();
        Memory { hostname: view.hostname(), sas: view.sas.len(), buffers, places: usage.places, all }
    }
}

/// What a place is, in words.
fn words(place: Place) -> &'static str {
    match place {
        Place::Packets => "packet buffers and routes",
        Place::Heap => "keys, templates and their tables",
        Place::Sas => "sequence numbers, windows, counters",
        Place::Policies => "compiled access lists",
        Place::Contract => "rings, counters, hits",
        Place::Program => "code and libraries",
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

impl Page for Memory {
    fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["What for", "MiB", "on large pages", "bytes per SA"]);
        let per_sa = |place: Place, taken: Taken| match (place, self.sas) {
            (Place::Sas | Place::Heap, sas @ 1..) => (taken.bytes / sas as u64).to_string(),
            _ => "-".to_owned(),
        };
        for (&place, &taken) in &self.places {
            table.add_row([words(place).into(), mib(taken.bytes), mib(taken.large), per_sa(place, taken)]);
        }
        table.add_row(["all".into(), mib(self.all.bytes), mib(self.all.large), "-".to_owned()]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let Buffers { in_use, free } = self.buffers;
        format!(
            "{}\n\n{}; {} in use, {free} free\nBytes per SA are of all that is there, so of few SAs they say little.\n",
            table.trim_fmt(),
            plural(self.sas, "SA"),
            plural(in_use, "packet buffer"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sas_take_is_shown_for_each() {
        let taken = |mib: u64| Taken { bytes: mib << 20, large: 0 };
        let places = BTreeMap::from([(Place::Sas, taken(4)), (Place::Packets, taken(100))]);
        let buffers = Buffers { in_use: 1, free: 9 };
        let mut memory = Memory { hostname: None, sas: 1024, buffers, places, all: taken(104) };
        let text = memory.text();
        for words in ["4096", "100.0", "104.0", "1024 SAs; 1 packet buffer in use, 9 free"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        memory.sas = 0;
        assert!(!memory.text().contains("4096"));
    }
}
