//! Starting up: every resource in order, each failure in one sentence that says what mends it.

use crate::args::{Args, Idle};
use crate::cores::{self, CoreError};
use crate::eal;
use crate::fib::Fibs;
use crate::manager::{Capacity, Crypto, Manager};
use crate::reassembly::Aside;
use crate::snapshot::Snapshot;
use crate::worker::{self, Hiring, Shared};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where claims on cores are kept; one folder for the machine, whatever the socket's path.
const RUN_FOLDER: &str = "/run/espalier";
/// Buffers that hold the longest packet that there can be, for what was put together of fragments, and bytes of each.
const LARGE_BUFFERS: u32 = 63;
const LARGE_ROOM: u16 = 65_535 / 64 * 64;
/// Bytes that a buffer takes beside those of a frame: DPDK's headroom, and what it notes of a packet.
const BESIDE: u64 = 512;
/// Alarms of all workers that may wait for the manager.
const ALARMS: usize = 1024;
/// Orders to one worker that may wait: a port and its successor, for every port.
const ORDERS: usize = 128;

/// Why the data plane could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("it must run as root, as it takes over network devices and locks memory; start it with sudo")]
    NotRoot,
    #[error(transparent)]
    Core(#[from] CoreError),
    #[error("cannot make the folder {RUN_FOLDER}: {0}")]
    RunFolder(io::Error),
    #[error(transparent)]
    Bind(#[from] shm::BindError),
    #[error("DPDK does not start: {0}; its own lines above say more")]
    Eal(dpdk::Error),
    #[error("no memory for {count} packet buffers ({source}); free hugepages, or give fewer with --mbufs")]
    Pool { count: u32, source: dpdk::Error },
    #[error("no memory for {routes} routes ({source}); free hugepages, or give fewer with --max-routes")]
    Fib { routes: u32, source: dpdk::Error },
    #[error("no random numbers from the system: {0}")]
    Random(getrandom::Error),
    #[error("{0}")]
    Worker(String),
    #[error("the AES-GCM kernel {0} computes wrongly on this processor; choose another with --gcm")]
    Gcm(&'static str),
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    #[error("the socket or its shared memory failed: {0}")]
    Serve(#[from] shm::ServeError),
}

/// Starts everything, serves until SIGINT or SIGTERM, and takes everything down again.
pub(crate) fn run(args: &Args) -> Result<(), StartError> {
    if !rustix::process::geteuid().is_root() {
        return Err(StartError::NotRoot);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal ends the process at once, should the first one's work hang.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(StartError::Signals)?;
    }
    let mut kernels = args.gcm.map_or_else(gcm::BackEnd::available, |asked| vec![asked]).into_iter();
    let unsound = StartError::Gcm(args.gcm.map_or("portable", gcm::BackEnd::name));
    let gcm = kernels.find(|kernel| kernel.is_sound()).ok_or(unsound)?.choose();
    for faster in gcm::BackEnd::available().iter().take_while(|each| args.gcm.is_none() && **each != gcm) {
        tracing::error!(
            "the AES-GCM kernel {} computes wrongly on this processor and is not used",
            faster.name()
        );
    }
    let cores = cores::choose(args.cores.as_ref())?;
    make_run_folder(Path::new(RUN_FOLDER)).map_err(StartError::RunFolder)?;
    let _claims = cores::claim(&cores, args.idle, Path::new(RUN_FOLDER))?;
    let workers = cores.len();
    let server = shm::Server::bind(&args.socket, shm::Setup { workers, sa_capacity: args.max_sas })?;

    let buffers = args.mbufs.unwrap_or(16_384 + 4096 * workers as u32);
    let needed = u64::from(buffers) * (u64::from(args.max_frame) + BESIDE) + Fibs::bytes(args.max_routes);
    let free = eal::free_hugepages(Path::new("/sys/kernel/mm/hugepages"));
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let eal_args = eal::complete(&args.eal, &allowed, free, needed);
    if !eal_args.hugepages && free < needed {
        tracing::warn!(
            "no hugepages: {} MiB are free and {} MiB are wanted; running on ordinary memory, which is slower \
             (mend: sysctl vm.nr_hugepages={})",
            free >> 20,
            needed >> 20,
            needed.div_ceil(2 << 20) + 64,
        );
    }
    let eal = dpdk::Eal::start("espalier-dataplane", &eal_args.args).map_err(StartError::Eal)?;
    let pool = dpdk::Mempool::new(&eal, "packets", buffers, args.max_frame + dpdk::HEADROOM)
        .map_err(|source| StartError::Pool { count: buffers, source })?;
    let large = dpdk::Mempool::new(&eal, "large packets", LARGE_BUFFERS, LARGE_ROOM)
        .map_err(|source| StartError::Pool { count: LARGE_BUFFERS, source })?;
    let fibs = Fibs::new(&eal, args.max_routes)
        .map_err(|source| StartError::Fib { routes: args.max_routes, source })?;

    let counters = server.counters();
    counters.describe(&shm::Description {
        tsc_hz: dpdk::tsc_hz(),
        hugepages: eal_args.hugepages,
        crypto: gcm.name(),
        idle: match args.idle {
            Idle::Busy => "busy",
            Idle::Pause => "pause",
            Idle::Sleep => "sleep",
        },
    });
    let shared = Shared {
        snapshots: Arc::new(epoch::Published::new(Snapshot::empty(fibs))),
        sas: server.sa_table(),
        counters,
        aside: Arc::new(Aside::new(waiting_fragments(buffers), dpdk::tsc_hz())),
    };
    let secret = getrandom::u32().map_err(StartError::Random)?;
    let (alarm_sender, alarms) = crossbeam_channel::bounded(ALARMS);
    let (started_sender, started) = crossbeam_channel::bounded(workers);
    let mut orders = Vec::new();
    let mut threads = Vec::new();
    for (number, core) in cores.iter().enumerate() {
        let (sender, receiver) = crossbeam_channel::bounded(ORDERS);
        orders.push(sender);
        let hiring = Hiring {
            number,
            of: workers,
            core: *core,
            idle: args.idle,
            tsc_hz: dpdk::tsc_hz(),
            shared: shared.clone(),
            orders: receiver,
            alarms: alarm_sender.clone(),
            pool: pool.clone(),
            large: large.clone(),
        };
        let started = started_sender.clone();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || worker::run(hiring, &started))
            .map_err(|error| StartError::Worker(format!("worker {number} cannot be started: {error}")))?;
        threads.push(thread);
    }
    for _ in 0..workers {
        started
            .recv()
            .unwrap_or_else(|_| Err("a worker died while it started".to_owned()))
            .map_err(StartError::Worker)?;
    }
    tracing::info!(
        "ready: {workers} worker(s) on core(s) {:?}, AES-GCM by {}, waiting for a control plane on {}",
        cores.iter().map(|core| core.id).collect::<Vec<_>>(),
        gcm.name(),
        args.socket.display(),
    );
    let capacity = Capacity::new(args.max_sas, args.max_routes);
    let crypto = Crypto::new(eal, args.crypto.clone(), workers as u16);
    Manager::new(server, (pool, crypto), shared, orders, alarms, capacity, secret).run(&stop)?;
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker had died");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Fragments that may wait for others in each place: few enough that packets find buffers while all of them do.
fn waiting_fragments(buffers: u32) -> usize {
    (buffers as usize / 8).min(4096)
}

/// Makes the folder, for root alone to write in.
fn make_run_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}
