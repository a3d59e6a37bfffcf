//! `espalier-dataplane`: the packet process. Poll-mode workers pull bursts from NIC queues, protect and forward them;
//! a manager thread does what the control plane asks over shared memory. It reads no configuration, speaks no protocol
//! with anybody, and knows nothing of where SAs and routes come from.
#![forbid(unsafe_code)]

mod args;
mod burst;
mod cores;
mod device;
mod eal;
mod fib;
mod manager;
mod pages;
mod policy;
mod reassembly;
mod sad;
mod selectors;
mod snapshot;
mod stages;
mod startup;
#[cfg(test)]
mod testing;
mod worker;

use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let filter = match EnvFilter::try_new(&args.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!(
                "espalier-dataplane: --log '{}': {error}; write a level such as info or debug",
                args.log
            );
            return ExitCode::from(2);
        }
    };
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .init();
    match startup::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("espalier-dataplane: {error}");
            ExitCode::FAILURE
        }
    }
}
