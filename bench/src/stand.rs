//! A gateway that stands for others to measure: between ports of theirs, with as many tunnels as they like, for as long as
//! its standard input lasts. It is what `scripts/pktgen` sends through.

use crate::case::{Case, Headers, Size, Way};
use crate::command::{Place, stop_on_signals};
use crate::dataplane::Dataplane;
use crate::error::Error;
use crate::tunnels::Role;
use crate::tunnels::{Devices, End, LAN, WAN};
use clap::Args;
use model::Suite;
use serde::Serialize;
use shm::{CountersSnapshot, PortId, PortTraffic};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a look is taken at whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// What it is told.
#[derive(Debug, Args)]
pub struct StandArgs {
    /// The port that faces hosts: a PCI address, or a software port of DPDK's.
    #[arg(long, value_name = "DEVICE")]
    lan: String,
    /// The port that faces the other end of the tunnels.
    #[arg(long, value_name = "DEVICE")]
    wan: String,
    /// Tunnels, each to a host of its own: 10.2.0.1 and those behind it. What goes elsewhere leaves in clear.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tunnels: u32,
    /// Workers, on cores side by side of which the last is `--core`.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    #[command(flatten)]
    place: Place,
}

/// What it counted.
#[derive(Debug, Serialize)]
struct Counted {
    lan: PortTraffic,
    wan: PortTraffic,
    drops: BTreeMap<String, u64>,
}

/// Starts it, says `ready`, and when its input ends or a signal comes, what it counted, as JSON.
///
/// # Errors
///
/// Those of [`Dataplane`].
pub fn stand(args: &StandArgs) -> Result<(), Error> {
    let mut machine = args.place.machine()?;
    machine.cards = [&args.lan, &args.wan].iter().any(|device| !device.starts_with("net_"));
    let case = Case {
        way: Way::Encrypt,
        size: Size::Imix,
        tunnels: args.tunnels,
        suite: Suite::AES_GCM_128,
        headers: Headers::FourInFour,
        workers: args.workers,
    };
    let stop = stop_on_signals()?;
    let folder = tempfile::Builder::new()
        .prefix("espalier-bench-")
        .tempdir()
        .map_err(Error::io("cannot make a temporary folder"))?;
    let devices = Devices { lan: args.lan.clone(), wan: args.wan.clone() };
    let role = Role {
        case: &case,
        end: End::Ours,
        devices: &devices,
        idle: "busy",
        window: shm::layout::DEFAULT_REPLAY_WINDOW,
    };
    let mut gateway = Dataplane::start(&machine, role, folder.path())?;
    gateway.resume()?;
    println!("ready");
    let waiting = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !waiting.is_finished() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    gateway.stop()?;
    println!("{}", serde_json::to_string(&counted(&gateway.counters())).unwrap_or_default());
    Ok(())
}

fn counted(counters: &CountersSnapshot) -> Counted {
    let traffic = |port| PortId::new(port).map(|port| counters.traffic(port)).unwrap_or_default();
    let drops = counters.drops().into_iter().filter(|(_, count)| *count > 0);
    Counted {
        lan: traffic(LAN),
        wan: traffic(WAN),
        drops: drops.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
    }
}
