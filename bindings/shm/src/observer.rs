//! Those who only look: an operator's command, a monitor.

use crate::client::LinkError;
use crate::command::PortId;
use crate::counters::CountersView;
use crate::hello::{ConnectError, Message, Role, greet};
use crate::hits::HitsView;
use crate::layout::MAX_PORTS;
use crate::policy::PolicyImage;
use crate::sa::SaTableView;
use crate::socket::{self, Received, Sent};
use crate::text::Label;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the data plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An observer's connection: it can change nothing. What it sees stays readable when the data plane is dead.
#[derive(Debug)]
pub struct Observer {
    socket: OwnedFd,
    generation: u64,
    pid: u32,
    sas: SaTableView,
    counters: CountersView,
}

/// The policy in use on a port.
#[derive(Debug)]
pub struct PolicyView {
    port: PortId,
    image: PolicyImage,
    change: Option<PolicyImage>,
    hits: HitsView,
}

impl PolicyView {
    /// The egress port that it is on.
    pub fn port(&self) -> PortId {
        self.port
    }

    /// The compiled policy.
    pub fn image(&self) -> &PolicyImage {
        &self.image
    }

    /// The compiled change that lies over it.
    pub fn change(&self) -> Option<&PolicyImage> {
        self.change.as_ref()
    }

    /// The label of the rule of this number, and the packets that met it so far, of all workers. The rules of a change continue
    /// the numbers.
    pub fn rule(&self, number: u32) -> Option<(Label, u64)> {
        let changed = self.change.as_ref().and_then(|change| change.label(number));
        Some((changed.or_else(|| self.image.label(number))?, self.hits.get(number)))
    }
}

impl Observer {
    /// Connects to the data plane that listens on `path`.
    pub fn connect(path: &Path) -> Result<Observer, ConnectError> {
        let welcomed = greet(path, Role::Observer)?;
        let Ok([sas, counters]) = <[OwnedFd; 2]>::try_from(welcomed.fds) else {
            return Err(ConnectError::Nonsense(path.to_owned()));
        };
        Ok(Observer {
            socket: welcomed.socket,
            generation: welcomed.generation,
            pid: welcomed.pid,
            sas: SaTableView::open(sas)?,
            counters: CountersView::open(counters)?,
        })
    }

    /// Identifies this life of the data plane.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The data plane's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The SA table.
    pub fn sa_table(&self) -> &SaTableView {
        &self.sas
    }

    /// The counters.
    pub fn counters(&self) -> &CountersView {
        &self.counters
    }

    /// The policies in use, by port.
    pub fn policies(&self) -> Result<Vec<PolicyView>, LinkError> {
        match socket::send(self.socket.as_fd(), &Message::ListPolicies.encode(), &[]) {
            Sent::Yes => {}
            Sent::Full => return Err(LinkError::Hung),
            Sent::Gone => return Err(LinkError::Gone),
        }
        let deadline = Instant::now() + PATIENCE;
        let mut policies = Vec::new();
        loop {
            if !socket::wait(self.socket.as_fd(), PollFlags::IN, deadline)? {
                return Err(LinkError::Hung);
            }
            let (slot, fds) = match socket::receive(self.socket.as_fd()) {
                Received::Message(slot, fds) => (slot, fds),
                Received::Nothing => continue,
                Received::Malformed => return Err(LinkError::Nonsense),
                Received::Gone => return Err(LinkError::Gone),
            };
            match Message::decode(&slot) {
                Ok(Message::Policy { port, segment, change }) if policies.len() < MAX_PORTS => {
                    policies.push(policy(port, segment, change, fds).ok_or(LinkError::Nonsense)?);
                }
                Ok(Message::PoliciesEnd) => return Ok(policies),
                _ => return Err(LinkError::Nonsense),
            }
        }
    }
}

fn policy(port: PortId, segment: u32, change: Option<u32>, fds: Vec<OwnedFd>) -> Option<PolicyView> {
    let mut fds = fds.into_iter();
    let (image, hits) = (fds.next()?, fds.next()?);
    let change = match change {
        Some(segment) => Some(PolicyImage::open(fds.next()?, segment).ok()?),
        None => None,
    };
    let image = PolicyImage::open(image, segment).ok()?;
    fds.next().is_none().then_some(PolicyView { port, image, change, hits: HitsView::open(hits).ok()? })
}
