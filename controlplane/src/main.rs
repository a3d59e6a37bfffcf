//! `espalier-controlplane`: the daemon.

use clap::Parser;
use controlplane::daemon::{self, DaemonError, Options};
use controlplane::operator::{self, trail};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The decision process of Espalier: reads the configuration, follows Linux's routes and neighbours, and tells the data
/// plane what to do. SIGHUP, or `espalier reload`, makes it read the configuration again; when it ends, traffic flows on.
#[derive(Debug, Parser)]
#[command(name = "espalier-controlplane", version, max_term_width = 100)]
struct Arguments {
    /// The configuration to run
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the data plane listens
    #[arg(long, value_name = "PATH", default_value = daemon::DEFAULT_DATAPLANE_SOCKET)]
    dataplane_socket: PathBuf,
    /// Where to listen for operators
    #[arg(long, value_name = "PATH", default_value = operator::DEFAULT_SOCKET)]
    control_socket: PathBuf,
    /// How long to wait for the data plane to be there
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("ESPALIER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(color).with_filter(filter);
    tracing_subscriber::registry().with(log).with(trail::layer()).init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("espalier-controlplane: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let options = Options {
        config: arguments.config,
        dataplane_socket: arguments.dataplane_socket,
        control_socket: arguments.control_socket,
        wait: Duration::from_secs(arguments.wait.into()),
    };
    match runtime.block_on(daemon::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let DaemonError::Load(error) = &error {
                eprint!("{}", config::render(error.diagnostics(), color));
            }
            eprintln!("espalier-controlplane: {error}");
            ExitCode::from(if matches!(error, DaemonError::Load(_)) { 2 } else { 1 })
        }
    }
}
