//! One page with everything in it: plots, tables, and what they were measured by.

use super::compare::{Moved, Verdict};
use super::plot::{self, Bar, Drawn, Line};
use super::rows::{Acl, Gateway, Gcm, plain};
use super::{Read, Run, rings};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use shm::Stage;

/// Another run, and what moved since, by part.
pub(super) struct Earlier {
    pub(super) commit: String,
    pub(super) when: String,
    pub(super) moved: Vec<(&'static str, Vec<Moved>)>,
}

const STYLE: &str = "
body { font: 15px/1.5 sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px } caption { text-align: left; font-weight: bold }
td, th { padding: .15rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right }
td:first-child, th:first-child { text-align: left } svg { max-width: 100%; height: auto }
code { background: #f2f2f2; padding: 0 .25rem } .faster { color: #19692c } .slower { color: #a51d2d }
details { margin: 1rem 0 }
";

pub(super) fn page(run: &Run, read: &Read, earlier: Option<&Earlier>) -> String {
    let command = |part: &str| run.commands.get(part);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Espalier, measured " (run.when) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Espalier, measured" }
                p {
                    (run.when) ", commit " code { (run.commit) } ", on " (run.machine) ", Linux " (run.kernel) ". "
                    "Clocks are the time-stamp counter's, per packet, of one core; every figure is the median of its rounds. "
                    "Compare figures of one run with each other; between runs, their ratios."
                }
                @if let Some(earlier) = earlier { (since(earlier)) }
                @if !read.gateway.is_empty() { (gateway(&read.gateway, command("gateway"))) }
                @if !read.rings.is_empty() { (rings::rings(&read.rings, command("rings"))) }
                @if !read.gcm.is_empty() { (gcm(&read.gcm, command("gcm"))) }
                @if !read.acl.is_empty() { (acl(&read.acl, command("acl"))) }
            }
        }
    }
    .into_string()
}

pub(super) fn measured_by(command: Option<&String>) -> Markup {
    html! { @if let Some(command) = command { p { "Measured by " code { (command) } "." } } }
}

pub(super) fn drawn(plot: Drawn) -> Markup {
    match plot {
        Ok(svg) => PreEscaped(svg),
        Err(why) => html! { p { "This plot could not be drawn: " (why) } },
    }
}

pub(super) fn table(caption: &str, head: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            caption { (caption) }
            tr { @for cell in head { th { (cell) } } }
            @for row in rows { tr { @for cell in row { td { (cell) } } } }
        }
    }
}

fn since(earlier: &Earlier) -> Markup {
    let moved = || earlier.moved.iter().flat_map(|(part, moved)| moved.iter().map(move |each| (part, each)));
    let count = |verdict| moved().filter(|(_, each)| each.verdict() == verdict).count();
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    html! {
        h2 { "What moved" }
        p {
            "Since commit " code { (earlier.commit) } ", measured " (earlier.when) ": " (count(Verdict::Faster)) " faster, "
            (count(Verdict::Slower)) " slower, " (count(Verdict::Same)) " the same within the noise. The change is of the clocks; "
            "beside it stands the change in units of each run's own yardstick (of the gateway, what the ports cost; else, a "
            "fixed loop). What is called faster or slower is so by both, beyond what the rounds of the two runs were apart."
        }
        details open {
            summary { "Each figure" }
            table {
                tr { @for cell in ["figure", "before", "now", "change", "by the yardstick", "noise", ""] { th { (cell) } } }
                @for (part, each) in moved() {
                    @let verdict = each.verdict();
                    tr class=(verdict.word()) {
                        td { (part) " " (each.name) }
                        td { (clocks(each.old)) } td { (clocks(each.new)) }
                        td { (percent(each.ratio)) } td { (percent(each.paced)) }
                        td { (format!("{:.1} %", each.noise * 100.0)) }
                        td { (verdict.word()) }
                    }
                }
            }
        }
    }
}

/// Bytes of a packet, if it is not a mix.
fn bytes(size: &Value) -> Option<f64> {
    size.as_f64().or_else(|| size.as_str()?.parse().ok())
}

/// What is new in order of appearance.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    all.for_each(|each| {
        if !seen.contains(&each) {
            seen.push(each);
        }
    });
    seen
}

pub(super) fn clocks(clocks: f64) -> String {
    if clocks < 100.0 { format!("{clocks:.1}") } else { format!("{clocks:.0}") }
}

fn gateway(rows: &[Gateway], command: Option<&String>) -> Markup {
    let kinds = distinct(rows.iter().map(Gateway::kind));
    let lines: Vec<Line> = kinds
        .iter()
        .map(|kind| {
            let own = rows.iter().filter(|row| row.kind() == *kind);
            let points = own.filter_map(|row| Some((bytes(&row.size)?, row.clocks - row.port_clocks)));
            (kind.clone(), points.collect())
        })
        .filter(|(_, points): &Line| points.len() > 1)
        .collect();
    let met = |stage: &String| rows.iter().any(|row| row.stages.contains_key(stage));
    let stages: Vec<String> = Stage::ALL.iter().map(|stage| stage.name().to_owned()).filter(met).collect();
    let bars: Vec<Bar> = kinds
        .iter()
        .filter_map(|kind| rows.iter().find(|row| row.kind() == *kind))
        .map(|row| {
            let each = |stage: &String| row.stages.get(stage).and_then(Value::as_f64).unwrap_or(0.0);
            (format!("{} {}", row.kind(), plain(&row.size)), stages.iter().map(each).collect())
        })
        .collect();
    let head = ["case", "size", "Mpps", "Gbit/s", "clocks", "of ports", "the gateway's", "spread"];
    let cells = |row: &Gateway| {
        vec![
            row.kind(),
            plain(&row.size),
            format!("{:.2}", row.mpps),
            format!("{:.2}", row.gbps),
            clocks(row.clocks),
            clocks(row.port_clocks),
            clocks(row.clocks - row.port_clocks),
            format!("{:.0} %", row.spread * 100.0),
        ]
    };
    html! {
        h2 { "The whole gateway" }
        p {
            "One worker, from a software port to another; AES-GCM by " (rows.first().map_or("", |row| row.crypto.as_str()))
            ". The ports' own cost, which the same run measured, is taken off in the plot."
        }
        (measured_by(command))
        (drawn(plot::lines("What a packet costs the gateway", ("bytes of the inner packet", plot::CLOCKS), &lines)))
        @if !stages.is_empty() { (drawn(plot::bars("Where the clocks go", &stages, &bars))) }
        (table("Clocks per packet", &head.map(str::to_owned), &rows.iter().map(cells).collect::<Vec<_>>()))
    }
}

fn gcm(rows: &[Gcm], command: Option<&String>) -> Markup {
    html! {
        h2 { "AES-GCM" }
        p { "Our back ends and others' libraries, on the same packets in turns. A ratio is others' clocks over the chosen back end's: above 1, ours is faster." }
        (measured_by(command))
        @for block in rows.chunk_by(|a, b| (&a.op, a.key_bits, a.keys) == (&b.op, b.key_bits, b.keys)) {
            @if let Some(first) = block.first() { (gcm_block(first, block)) }
        }
    }
}

fn gcm_block(first: &Gcm, block: &[Gcm]) -> Markup {
    let keys = if first.keys == 1 { "1 key".to_owned() } else { format!("{} keys", first.keys) };
    let title = format!("{}, AES-{}, {keys}", first.op, first.key_bits);
    let names = distinct(block.iter().map(|row| row.who.as_str()));
    let sizes = distinct(block.iter().map(|row| plain(&row.payload)));
    let lines: Vec<Line> = names
        .iter()
        .map(|name| {
            let own = block.iter().filter(|row| row.who == *name);
            ((*name).to_owned(), own.filter_map(|row| Some((bytes(&row.payload)?, row.clocks))).collect())
        })
        .collect();
    let cells = |name: &&str| {
        let each = |size: &String| {
            let row = block.iter().find(|row| row.who == **name && plain(&row.payload) == *size);
            row.map_or_else(|| "-".to_owned(), |row| format!("{} ({:.2})", clocks(row.clocks), row.ratio))
        };
        [(*name).to_owned()].into_iter().chain(sizes.iter().map(each)).collect()
    };
    let head: Vec<String> = [String::new()].into_iter().chain(sizes.iter().cloned()).collect();
    html! {
        h3 { (title) }
        @if sizes.len() > 2 { (drawn(plot::lines(&title, ("bytes of the text", plot::CLOCKS), &lines))) }
        (table("Clocks per packet (ratio)", &head, &names.iter().map(cells).collect::<Vec<_>>()))
    }
}

fn acl(rows: &[Acl], command: Option<&String>) -> Markup {
    html! {
        h2 { "Access lists" }
        p { "Our compiled lists and DPDK's rte_acl by each of its methods, on the same rules and packets in turns. The plots are of bursts of 32 that all rules have packets in." }
        (measured_by(command))
        @for shape in distinct(rows.iter().map(Acl::shape)) {
            (acl_shape(shape, &rows.iter().filter(|row| row.shape() == shape).collect::<Vec<_>>()))
        }
    }
}

fn acl_shape(shape: &str, rows: &[&Acl]) -> Markup {
    let names = distinct(rows.iter().map(|row| row.who.as_str()));
    let plotted = |row: &&&Acl| row.trace == "all" && row.burst == 32;
    let lines: Vec<Line> = names
        .iter()
        .map(|name| {
            let own = rows.iter().filter(plotted).filter(|row| row.who == *name);
            ((*name).to_owned(), own.filter_map(|row| Some((row.rules as f64, row.clocks?))).collect())
        })
        .filter(|(_, points): &Line| !points.is_empty())
        .collect();
    let head = ["set", "packets", "impl", "clocks", "over ours", "build", "memory"].map(str::to_owned);
    let or_dash = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}{unit}"))
    };
    let cells = |row: &&Acl| {
        vec![
            row.set.clone(),
            format!("{} {}", row.trace, row.burst),
            row.who.clone(),
            row.clocks.map_or_else(|| "-".to_owned(), clocks),
            or_dash(row.ratio, ""),
            or_dash(row.build_ms.filter(|ms| *ms > 0.0), " ms"),
            format!("{} KiB", row.bytes >> 10),
        ]
    };
    let title = format!("Rules of the shape {shape}");
    html! {
        h3 { (title) }
        (drawn(plot::lines(&title, ("rules", plot::CLOCKS), &lines)))
        details {
            summary { "Each figure" }
            (table("Clocks per packet", &head, &rows.iter().map(cells).collect::<Vec<_>>()))
        }
    }
}
