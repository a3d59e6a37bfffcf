//! `espalier`: the operator's command.

mod run;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look at a running Espalier gateway, check a configuration, or make it take one.
#[derive(Debug, Parser)]
#[command(name = "espalier", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    sockets: Sockets,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Sockets {
    /// Where the data plane listens [default: $ESPALIER_DATAPLANE_SOCKET, or /run/espalier/dataplane.sock]
    #[arg(long, visible_alias = "socket", value_name = "PATH", global = true)]
    dataplane_socket: Option<PathBuf>,
    /// Where the control plane listens [default: $ESPALIER_CONTROL_SOCKET, or /run/espalier/control.sock]
    #[arg(long, value_name = "PATH", global = true)]
    control_socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration file: exit status 0 if it can be used, 2 if not
    Check {
        /// The configuration
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the gateway does
    #[command(subcommand)]
    Show(Show),
    /// Print every counter as one JSON document
    Stats {
        /// Print one document a line, every so many seconds
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        watch: Option<std::time::Duration>,
    },
    /// Take down what IKE brought up; the next packet brings it up again
    #[command(subcommand)]
    Clear(Clear),
    /// Follow what the control plane does, as it happens; ends with Ctrl-C
    #[command(subcommand)]
    Debug(Debugging),
    /// Have the control plane read its configuration again
    Reload,
}

#[derive(Debug, Subcommand)]
enum Debugging {
    /// Crypto sessions
    #[command(subcommand)]
    Crypto(DebugCrypto),
}

#[derive(Debug, Subcommand)]
enum DebugCrypto {
    /// IKE: every message, what was agreed on, and what came to nothing and why
    Ikev2(Following),
    /// Child SAs: their coming and going, and the packets that want them
    Ipsec(Following),
}

#[derive(Debug, Args)]
struct Following {
    /// Only what is about one peer: `peer ADDRESS`
    #[arg(num_args = 2, value_names = ["peer", "ADDRESS"])]
    peer: Vec<String>,
    /// Print JSON, a document a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Clear {
    /// Crypto sessions
    #[command(subcommand)]
    Crypto(ClearCrypto),
}

#[derive(Debug, Subcommand)]
enum ClearCrypto {
    /// Tunnels and their IKE SAs: of one peer, or all
    Session {
        /// The peer's address [default: every peer]
        peer: Option<std::net::IpAddr>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Show {
    /// Crypto maps and SAs
    #[command(subcommand)]
    Crypto(Crypto),
    /// Access lists, with the packets that met each line
    AccessLists(Lists),
    /// Interfaces, with their counters
    Interfaces(Output),
    /// Packets dropped, by reason, and what to do about each
    Drops(Output),
    /// The workers
    #[command(subcommand)]
    Dataplane(Dataplane),
}

#[derive(Debug, Subcommand)]
enum Dataplane {
    /// Where the workers' clocks go, by stage and packet
    Stages(Output),
    /// What memory it takes, by what it is for, and how much of it is on large pages
    Memory(Output),
}

#[derive(Debug, Args)]
struct Lists {
    /// Show also what the list of each interface was compiled to: trees, bytes, time, what changed since
    #[arg(value_name = "detail", value_parser = ["detail"])]
    detail: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Crypto {
    /// IPsec
    #[command(subcommand)]
    Ipsec(Ipsec),
    /// IKEv2
    #[command(subcommand)]
    Ikev2(Ikev2),
    /// Tunnels that IKE brings up: which are up, and why others are not
    Session(Output),
    /// Crypto maps and the state of their entries
    Map(Output),
}

#[derive(Debug, Subcommand)]
enum Ikev2 {
    /// IKE SAs
    Sa(IkeSas),
}

#[derive(Debug, Args)]
struct IkeSas {
    /// Show also SPIs, NAT, child SAs and counters
    #[arg(value_name = "detail", value_parser = ["detail"])]
    detail: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Ipsec {
    /// Security associations, with their counters
    Sa(Sas),
}

#[derive(Debug, Args)]
struct Sas {
    /// Only some of them: `peer ADDRESS`, `map NAME` or `interface NAME`
    #[arg(num_args = 2, value_names = ["peer|map|interface", "WHICH"])]
    only: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds
        .map(std::time::Duration::from_secs_f64)
        .ok_or_else(|| "give seconds from 0.01 to 86400".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let path = |given: Option<PathBuf>, variable: &str, default: &str| {
        let environment = std::env::var_os(variable).filter(|value| !value.is_empty());
        given.unwrap_or_else(|| environment.unwrap_or_else(|| OsString::from(default)).into())
    };
    let sockets = run::Sockets {
        dataplane: path(
            arguments.sockets.dataplane_socket,
            "ESPALIER_DATAPLANE_SOCKET",
            controlplane::daemon::DEFAULT_DATAPLANE_SOCKET,
        ),
        control: path(
            arguments.sockets.control_socket,
            "ESPALIER_CONTROL_SOCKET",
            controlplane::operator::DEFAULT_SOCKET,
        ),
    };
    let outcome = match arguments.command {
        Command::Check { file, json } => run::check(&file, json),
        Command::Show(show) => run::show(&sockets, &show),
        Command::Stats { watch } => run::stats(&sockets, watch),
        Command::Clear(Clear::Crypto(ClearCrypto::Session { peer, json })) => {
            run::clear(&sockets, peer, json)
        }
        Command::Debug(Debugging::Crypto(what)) => run::debug(&sockets, &what),
        Command::Reload => run::reload(&sockets),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("espalier: {error}");
        ExitCode::FAILURE
    })
}
