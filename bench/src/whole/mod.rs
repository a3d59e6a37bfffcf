//! The report of a whole run: one page for people, one file for programs, of the rows that the single measurements wrote.

mod compare;
mod page;
mod plot;
mod rings;
mod rows;

use crate::Error;
use clap::Args;
use rows::{Acl, Figure, Figures, Gateway, Gcm, Rings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where the rows are, and where the report goes.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `gcm --json` wrote.
    #[arg(long, value_name = "FILE")]
    gcm: Option<PathBuf>,
    /// What `acl --json` wrote.
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
    /// What `gateway --json` wrote.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// What `rings --json` wrote.
    #[arg(long, value_name = "FILE")]
    rings: Option<PathBuf>,
    /// What the report is of: the commit.
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    commit: String,
    /// When it was measured.
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    when: String,
    /// The command that measured a part, as in `gcm=scripts/bench gcm`; once for each part.
    #[arg(long, value_name = "PART=COMMAND")]
    command: Vec<String>,
    /// Show what moved since this run, whose JSON an earlier report wrote.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Write the page to this file.
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// Write the run to this file, for programs and for a later `--compare`.
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
}

/// A run: what was measured, where, and of what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Run {
    commit: String,
    when: String,
    machine: String,
    kernel: String,
    /// By part.
    commands: std::collections::BTreeMap<String, String>,
    /// The rows as they were written; a part that was not measured has none.
    gcm: Vec<Value>,
    acl: Vec<Value>,
    gateway: Vec<Value>,
    /// Runs of before there were any have none.
    #[serde(default)]
    rings: Vec<Value>,
}

/// The same rows, read.
struct Read {
    gcm: Vec<Gcm>,
    acl: Vec<Acl>,
    gateway: Vec<Gateway>,
    rings: Vec<Rings>,
}

impl Run {
    fn read(&self, from: &str) -> Result<Read, Error> {
        fn part<T: serde::de::DeserializeOwned>(
            from: &str,
            part: &str,
            rows: &[Value],
        ) -> Result<Vec<T>, Error> {
            rows.iter().map(|row| serde_json::from_value(row.clone())).collect::<Result<_, _>>().map_err(
                |error| Error::Rows { file: from.to_owned(), why: format!("a row of {part}: {error}") },
            )
        }
        Ok(Read {
            gcm: part(from, "gcm", &self.gcm)?,
            acl: part(from, "acl", &self.acl)?,
            gateway: part(from, "gateway", &self.gateway)?,
            rings: part(from, "rings", &self.rings)?,
        })
    }
}

impl Read {
    /// What runs are compared by. Not what two cores do together: its rounds say too little of its noise.
    fn figures(&self) -> Vec<(&'static str, Vec<Figure>)> {
        fn of<T: Figures>(rows: &[T]) -> Vec<Figure> {
            rows.iter().filter_map(Figures::figure).collect()
        }
        vec![("gateway", of(&self.gateway)), ("gcm", of(&self.gcm)), ("acl", of(&self.acl))]
    }
}

/// Reads the rows, and writes the report.
///
/// # Errors
/// [`Error::Rows`], [`Error::Io`].
pub fn report(args: &ReportArgs) -> Result<(), Error> {
    let rows = |file: &Option<PathBuf>| file.as_deref().map_or(Ok(Vec::new()), parse::<Vec<Value>>);
    let run = Run {
        commit: args.commit.clone(),
        when: args.when.clone(),
        machine: machine(),
        kernel: first_line("/proc/sys/kernel/osrelease"),
        commands: args
            .command
            .iter()
            .filter_map(|command| command.split_once('='))
            .map(|(part, command)| (part.to_owned(), command.to_owned()))
            .collect(),
        gcm: rows(&args.gcm)?,
        acl: rows(&args.acl)?,
        gateway: rows(&args.gateway)?,
        rings: rows(&args.rings)?,
    };
    let read = run.read("this run")?;
    let earlier = match &args.compare {
        None => None,
        Some(file) => {
            let old: Run = parse(file)?;
            let figures = old.read(&file.display().to_string())?.figures();
            let moved = figures
                .iter()
                .zip(read.figures())
                .map(|((part, old), (_, new))| (*part, compare::compare(old, &new)))
                .collect();
            Some(page::Earlier { commit: old.commit, when: old.when, moved })
        }
    };
    let text = serde_json::to_string_pretty(&run).unwrap_or_default() + "\n";
    write(&args.json, &text)?;
    write(&args.html, &page::page(&run, &read, earlier.as_ref()))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, Error> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(Error::io(format!("cannot read {name}")))?;
    serde_json::from_str(&text).map_err(|error| Error::Rows { file: name, why: error.to_string() })
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(file, text).map_err(Error::io(format!("cannot write {}", file.display())))
}

fn first_line(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

/// The processor's name, and how many cores we may use.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let name = name.map_or("an unknown processor", |(_, name)| name);
    format!("{name}, {cores} core{}", if cores == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
