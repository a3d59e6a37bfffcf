//! What the commands have in common: which cases are wanted, where they are measured, and where the rows go.

use crate::Error;
use crate::dataplane::Machine;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Hugepages that the data plane and its bare ports take together, in bytes.
const NEEDED: u64 = 384 << 20;

/// Where the data plane is measured.
#[derive(Debug, Args)]
pub struct Place {
    /// The core to measure on. Default: the last one that we may use.
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Where espalier-dataplane is. Default: beside this program.
    #[arg(long, value_name = "FOLDER", env = "ESPALIER_BIN")]
    programs: Option<PathBuf>,
}

impl Place {
    /// The core, the memory, the programs.
    ///
    /// # Errors
    ///
    /// [`Error::NotRoot`], [`Error::Io`].
    pub fn machine(&self) -> Result<Machine, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        // We ourselves sleep while anything is measured, so we may stay where we are.
        let core = self.core.unwrap_or_else(last_core);
        let hugepages = dpdk::hugepages_free() >= NEEDED;
        if !hugepages {
            eprintln!(
                "warning: {} MiB of hugepages are free and {} MiB are wanted; on ordinary memory all is slower \
                 (mend: scripts/setup bench)",
                dpdk::hugepages_free() >> 20,
                NEEDED >> 20
            );
        }
        let programs = match &self.programs {
            Some(folder) => folder.clone(),
            None => {
                let mut program =
                    std::env::current_exe().map_err(Error::io("cannot learn this program's own path"))?;
                program.pop();
                program
            }
        };
        Ok(Machine { programs, core, hugepages, cards: false })
    }
}

/// Set once we are to end.
///
/// # Errors
///
/// The system's, where signals cannot be watched for.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(Error::io("cannot watch for signals"))?;
    }
    Ok(stop)
}

/// Keeps this thread on a core.
pub fn stay_on(core: usize) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        eprintln!("warning: we may not stay on core {core}, and where we are moved the figures are worse");
    }
}

/// The cases whose names are wanted.
///
/// # Errors
///
/// [`Error::NoSuchCase`].
pub fn only<C: ToString>(mut cases: Vec<C>, parts: &[String]) -> Result<Vec<C>, Error> {
    for part in parts {
        if !cases.iter().any(|case| case.to_string().contains(part)) {
            return Err(Error::NoSuchCase(part.clone()));
        }
    }
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.to_string().contains(part)));
    Ok(cases)
}

/// Rows for programs where they are wanted, and `table` for people unless the rows are on stdout.
///
/// # Errors
///
/// The file's.
pub fn publish(json: Option<&Path>, rows: &impl Serialize, table: impl FnOnce()) -> Result<(), Error> {
    let text = || serde_json::to_string_pretty(rows).unwrap_or_default() + "\n";
    match json {
        Some(file) if file == Path::new("-") => print!("{}", text()),
        file => {
            if let Some(file) = file {
                std::fs::write(file, text())
                    .map_err(Error::io(format!("cannot write {}", file.display())))?;
            }
            table();
        }
    }
    Ok(())
}

/// The last core that we may use.
pub fn last_core() -> usize {
    core_affinity::get_core_ids().unwrap_or_default().last().map_or(0, |core| core.id)
}
