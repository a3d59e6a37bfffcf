//! The daemon: from configuration and kernel to the data plane, and again whenever either changes or dies.
//!
//! One thread does everything. What takes the data plane's word for granted waits for its acknowledgement.

mod change;
mod ike;
mod linux;
pub mod load;
mod outputs;
mod privileges;
mod sessions;
mod turn;

use crate::forwarding::{Action, Forwarding, Hop, Sent};
use crate::kernel::facts::Facts;
use crate::kernel::monitor::{Monitor, Notice};
use crate::kernel::{KernelError, monitor, setup};
use crate::link::{InstallError, Link};
use crate::memory::Memory;
use crate::negotiate::connections::ConnectionError;
use crate::negotiate::sockets::Datagram;
use crate::operator::facts::ConfigFacts;
use crate::operator::server::{Asked, BindError, Server};
use crate::operator::trail::IPSEC;
use crate::operator::{Answer, Question};
use crate::plan::{Plan, PlanError};
use crate::policy::{Folded, Policies, PolicyError};
use ::ike::endpoint::Done;
use config::Config;
use ike::Ike;
use load::LoadError;
use rtnetlink::Handle;
use shm::{ConnectError, Control, Event, LinkError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// Where the data plane listens unless told otherwise.
pub const DEFAULT_DATAPLANE_SOCKET: &str = "/run/espalier/dataplane.sock";

/// How long changes of the kernel are gathered before the data plane is told.
const GATHER: Duration = Duration::from_millis(5);
/// How often a data plane that is gone is looked for.
const TICK: Duration = Duration::from_millis(200);
/// How long until something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often Linux is asked to make sure of the neighbours that the data plane sends to.
const REFRESH: Duration = Duration::from_secs(30);
/// Neighbours that are made sure of at once.
const REFRESH_MOST: usize = 1024;
/// How long a neighbour is not asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What the daemon is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration's file.
    pub config: PathBuf,
    /// Where the data plane listens.
    pub dataplane_socket: PathBuf,
    /// Where operators connect.
    pub control_socket: PathBuf,
    /// How long the data plane is waited for.
    pub wait: Duration,
}

/// The daemon did not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No configuration.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Linux would not let us.
    #[error("setting up Linux's interfaces and routes takes root (or CAP_NET_ADMIN); run it as root")]
    Privileges,
    /// No data plane.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No control socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The kernel does not tell us anything.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The data plane does not take the configuration.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The operating system refused something at the start.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// The data plane does not hold what it was to hold.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It cannot.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A crypto map cannot be compiled.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A certificate that IKE needs cannot be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It would not.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// It is not there.
    #[error("the data plane is not there")]
    NoDataPlane,
}

struct Daemon {
    options: Options,
    config: Config,
    plan: Plan,
    policies: Policies,
    /// Where background compilers hand over what they made.
    compilers: mpsc::UnboundedSender<Folded>,
    memory: Memory,
    ike: Ike,
    link: Option<Link>,
    /// The data plane holds the plan.
    installed: bool,
    handle: Handle,
    monitor: Monitor,
    facts: Facts,
    picture: Forwarding,
    sent: Sent,
    /// The mirror TAPs that were last arranged.
    arranged: BTreeMap<u32, u16>,
    /// What is to be done when the gathering is over.
    due: Due,
    /// What was complained of, so that it is said once.
    said: BTreeSet<String>,
    asked: BTreeMap<(u32, IpAddr), Instant>,
}

#[derive(Debug, Default)]
struct Due {
    /// When the data plane is next told of changes.
    settle: Option<Instant>,
    /// Only a dump tells what routes there are.
    dump: bool,
    /// When Linux is next arranged, as something failed the last time.
    arrange: Option<Instant>,
    /// When the data plane is next given the whole, as it refused the last time.
    install: Option<Instant>,
}

impl Due {
    fn settle_soon(&mut self) {
        self.settle.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

enum Wake {
    Event(Result<Event, LinkError>),
    Notice(Result<Notice, KernelError>),
    Asked(Asked),
    Reload,
    Stop(&'static str),
    Folded(Box<Folded>),
    Datagram(Datagram),
    Computed(Done),
    IkeTimer,
    Settle,
    Tick,
    Refresh,
}

/// Runs the daemon until a signal ends it.
pub async fn run(options: Options) -> Result<(), DaemonError> {
    privileges::keep_keys_out_of_core_dumps();
    let (config, warnings) = load::load(&options.config)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !privileges::may_administer_network() {
        return Err(DaemonError::Privileges);
    }
    let control = connect(&options).await?;
    let (_server, questions) = Server::bind(&options.control_socket)?;
    let (handle, monitor) = monitor::open()?;
    let facts = monitor::dump(&handle).await?;
    let (compilers, compiled) = mpsc::unbounded_channel();
    let mut daemon = Daemon {
        options,
        config: config.clone(),
        plan: Plan::default(),
        policies: Policies::default(),
        compilers,
        memory: Memory::default(),
        ike: Ike::new()?,
        link: Some(attached(control)?),
        installed: false,
        handle,
        monitor,
        facts,
        picture: Forwarding::default(),
        sent: Sent::default(),
        arranged: BTreeMap::new(),
        due: Due::default(),
        said: BTreeSet::new(),
        asked: BTreeMap::new(),
    };
    let connections = ike::connections(&config).map_err(ChangeError::from)?;
    daemon.install(&config, &connections)?;
    daemon.arrange().await?;
    daemon.settle().await?;
    daemon.adopt(&config, connections);
    daemon.refresh();
    tracing::info!(
        "ready: {} interfaces, {} SAs, {} routes",
        daemon.plan.ports.len(),
        daemon.plan.sas.len(),
        daemon.sent.route_count()
    );
    daemon.serve(questions, compiled).await
}

async fn connect(options: &Options) -> Result<Control, ConnectError> {
    let deadline = Instant::now() + options.wait;
    loop {
        match Control::connect(&options.dataplane_socket) {
            Err(ConnectError::NotRunning(_) | ConnectError::Busy { .. }) if Instant::now() < deadline => {
                sleep(TICK).await;
            }
            outcome => return outcome,
        }
    }
}

fn attached(control: Control) -> std::io::Result<Link> {
    tracing::info!("attached to the data plane (process {}, {} workers)", control.pid(), control.workers());
    Link::new(control)
}

impl Daemon {
    async fn serve(
        mut self,
        mut questions: mpsc::Receiver<Asked>,
        mut compiled: mpsc::UnboundedReceiver<Folded>,
    ) -> Result<(), DaemonError> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut tick = interval(TICK);
        let mut refresh = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Daemon { link, monitor, due, ike, .. } = &mut self;
            let settle_at = due.settle;
            let ike_at = ike.deadline();
            let Ike { came, done, .. } = ike;
            let event = async {
                match link {
                    Some(link) => link.event().await,
                    None => std::future::pending().await,
                }
            };
            let until = |at: Option<Instant>| async move {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let wake = tokio::select! {
                _ = terminate.recv() => Wake::Stop("SIGTERM"),
                _ = interrupt.recv() => Wake::Stop("SIGINT"),
                _ = hangup.recv() => Wake::Reload,
                Some(asked) = questions.recv() => Wake::Asked(asked),
                Some(folded) = compiled.recv() => Wake::Folded(Box::new(folded)),
                event = event => Wake::Event(event),
                notice = monitor.next() => Wake::Notice(notice),
                Some(datagram) = came.recv() => Wake::Datagram(datagram),
                Some(done) = done.recv() => Wake::Computed(done),
                () = until(ike_at.map(Instant::from_std)) => Wake::IkeTimer,
                () = until(settle_at) => Wake::Settle,
                _ = tick.tick() => Wake::Tick,
                _ = refresh.tick() => Wake::Refresh,
            };
            match wake {
                Wake::Stop(signal) => {
                    tracing::info!("{signal}: ending; traffic flows on");
                    return Ok(());
                }
                Wake::Reload => drop(self.reload().await?),
                Wake::Folded(folded) => self.folded(*folded),
                Wake::Asked(Asked { question, reply }) => {
                    let answer = match question {
                        Question::Facts => {
                            let file = self.options.config.display().to_string();
                            Answer::Facts(Box::new(ConfigFacts::new(
                                &self.config,
                                &self.plan,
                                &self.policies,
                                &file,
                                self.installed,
                            )))
                        }
                        Question::Sessions => Answer::Sessions(Box::new(self.sessions())),
                        Question::Pairs => Answer::Pairs { pairs: self.pairs() },
                        Question::Clear { peer } => Answer::Cleared { ike_sas: self.clear_sessions(peer) },
                        Question::Reload => self.reload().await?,
                        // The server's own.
                        Question::Debug { .. } => continue,
                    };
                    // Whoever asked may have left.
                    let _ = reply.send(answer);
                }
                Wake::Event(Ok(event)) => self.event(event),
                Wake::Event(Err(error)) => self.lose(&error),
                Wake::Notice(notice) => self.notice(notice?),
                Wake::Datagram(datagram) => self.datagram(datagram),
                Wake::Computed(done) => self.computed(done),
                Wake::IkeTimer => self.ike_timer(),
                Wake::Settle => {
                    let outcome = self.settle().await;
                    self.endure(outcome)?;
                }
                Wake::Tick => {
                    let outcome = self.tick().await;
                    self.endure(outcome)?;
                }
                Wake::Refresh => self.refresh(),
            }
        }
    }

    /// A kernel that refuses to tell something now may tell it soon; one that is gone ends us.
    fn endure(&mut self, outcome: Result<(), KernelError>) -> Result<(), KernelError> {
        match outcome {
            Err(error @ KernelError::Refused { .. }) => {
                self.complain(format!("{error}; trying again"));
                self.due.dump = true;
                self.due.settle = Some(Instant::now() + AGAIN);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Linux changed something.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Change(change) => self.due.dump |= self.facts.apply(change),
            Notice::Lost => self.due.dump = true,
        }
        self.due.settle_soon();
    }

    /// The data plane has news.
    fn event(&mut self, event: Event) {
        match event {
            Event::NeighbourNeeded { port, address } => {
                // Behind a gateway it is the gateway that must be found.
                let target = self.picture.neighbour_for(address).unwrap_or((port.get(), address));
                self.solicit(target);
            }
            Event::Acquire { entry, flow } => {
                if self.acquire(entry) {
                    return;
                }
                let entry =
                    self.plan.entry(entry).map_or_else(|| format!("entry {entry}"), ToString::to_string);
                tracing::warn!(
                    target: IPSEC,
                    "no SA serves crypto map {entry}: a packet from {} to {} was dropped",
                    flow.source,
                    flow.destination
                );
            }
            Event::SaSoftExpired { index, spi } => {
                if !self.renew(index, false) {
                    tracing::warn!(target: IPSEC, "SA {spi} of {} nears its limit; give it a new key", self.serves(index));
                }
            }
            Event::SaHardExpired { index, spi } => {
                if !self.renew(index, true) {
                    tracing::error!(
                        target: IPSEC,
                        "SA {spi} of {} is past its limit and carries nothing more; give it a new key",
                        self.serves(index)
                    );
                }
            }
            Event::SequenceExhausted { index, spi } => {
                if !self.renew(index, false) {
                    tracing::error!(
                        target: IPSEC,
                        "SA {spi} of {} has no sequence number left and carries nothing more; give it a new key and SPI, and use ESN",
                        self.serves(index)
                    );
                }
            }
            Event::PeerMoved { index, spi, peer } => {
                tracing::info!(target: IPSEC, peer = %peer.ip(), "the peer of SA {spi} of {} moved to {peer}", self.serves(index));
            }
            Event::PortLink { port, up } => {
                let name = self.plan.ports.get(&port).map(|attach| attach.name).unwrap_or_default();
                tracing::info!("port {port} ({name}): link {}", if up { "up" } else { "down" });
            }
            Event::Ack(ack) => tracing::debug!("an acknowledgement that nobody waits for: {}", ack.number),
        }
    }

    /// What an SA is for, in the operator's words.
    fn serves(&self, index: u32) -> String {
        let sa = self.plan.sas.iter().find(|sa| sa.install.index == index).map(|sa| &sa.entry);
        let entry = sa.or_else(|| self.ike.children.at(index).map(|child| &child.entry));
        entry.map_or_else(|| "nothing any more".to_owned(), |entry| format!("crypto map {entry}"))
    }

    /// Has Linux look for a neighbour; what it finds comes as a notice.
    fn solicit(&mut self, (port, address): (u16, IpAddr)) {
        let mirrors = linux::mirrors(&self.plan, &self.facts);
        let Some((&link, _)) = mirrors.iter().find(|(_, of)| **of == port) else { return };
        let now = Instant::now();
        if self.asked.get(&(link, address)).is_some_and(|&at| now < at + ASK_AGAIN) {
            return;
        }
        self.asked.insert((link, address), now);
        let handle = self.handle.clone();
        tokio::spawn(async move {
            if let Err(error) = setup::solicit(&handle, link, address).await {
                tracing::debug!("{error}");
            }
        });
    }

    /// Has Linux make sure of every neighbour that the data plane sends to, as Linux itself does not see the traffic; and
    /// look for the tunnels' next hops, so that the first packet need not wait.
    fn refresh(&mut self) {
        let now = Instant::now();
        self.asked.retain(|_, at| now < *at + ASK_AGAIN);
        let in_use = self.picture.hops.iter().filter_map(|(hop, action)| match (hop, action) {
            (&Hop::Neighbour { port, address }, Action::Forward { .. }) => Some((port, address)),
            _ => None,
        });
        let ways =
            self.ike.connections.tunnels.values().flat_map(|tunnel| &tunnel.ways).map(|way| way.remote);
        let peers = self.plan.sas.iter().map(|sa| sa.install.remote).chain(ways);
        let peers = peers.filter_map(|peer| self.picture.neighbour_for(peer));
        let targets: BTreeSet<(u16, IpAddr)> =
            peers.chain(self.picture.gateways()).chain(in_use).take(REFRESH_MOST).collect();
        targets.into_iter().for_each(|target| self.solicit(target));
    }
}
