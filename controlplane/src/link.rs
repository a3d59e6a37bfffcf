//! The connection to the data plane, and what its refusals mean to an operator.

use crate::memory::Memory;
use crate::plan::{Plan, Present};
use crate::policy::Next;
use shm::{Command, Control, Event, Failure, LinkError, SubmitError, WaitError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How long a transaction may take; attaching a device can take seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A transaction was not done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The data plane refused it, and did no part of it.
    #[error("{what}: {failure}")]
    Refused {
        /// The command that it did not take, in the operator's words.
        what: String,
        /// Why.
        failure: Failure,
    },
    /// It cannot be asked.
    #[error("the data plane cannot be told: {0}")]
    Unsendable(SubmitError),
    /// The connection is of no use any more.
    #[error(transparent)]
    Link(LinkError),
}

impl From<LinkError> for InstallError {
    fn from(error: LinkError) -> InstallError {
        InstallError::Link(error)
    }
}

/// A connection that can be waited for.
#[derive(Debug)]
pub struct Link {
    control: Control,
    /// The same socket once more, only to hear when there is something to read: nothing is ever read from it here.
    watched: UnixStream,
}

impl Link {
    /// Takes a fresh connection. Must be called inside a tokio runtime.
    pub fn new(control: Control) -> io::Result<Link> {
        let watched = StdUnixStream::from(control.as_fd().try_clone_to_owned()?);
        watched.set_nonblocking(true)?;
        Ok(Link { control, watched: UnixStream::from_std(watched)? })
    }

    /// The connection itself.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the data plane holds.
    pub fn present(&self) -> Present {
        let control = self.control();
        Present {
            ports: control.counters().snapshot().ports,
            sas: control.sa_table().all().collect(),
            capacity: control.sa_table().capacity(),
        }
    }

    /// Remembers where its SAs stand. `live`: it still runs.
    pub fn remember(&self, memory: &mut Memory, live: bool) {
        memory.learn(self.control().sa_table().all(), live);
    }

    /// The next event. Can be dropped and called again without a loss.
    pub async fn event(&mut self) -> Result<Event, LinkError> {
        loop {
            if let Some(event) = self.control.try_event()? {
                return Ok(event);
            }
            self.watched.readable().await?;
            // What it said till now is looked at next; what it says from now on wakes us again.
            let _ = self
                .watched
                .try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
        }
    }

    /// Has a transaction done, and waits for it.
    pub fn transact(&mut self, commands: &[Command], replace: bool) -> Result<(), InstallError> {
        let commit = self.control.submit(commands, replace).map_err(|error| match error {
            SubmitError::Link(error) => InstallError::Link(error),
            error => InstallError::Unsendable(error),
        })?;
        self.control.wait_ack(commit, PATIENCE).map_err(|error| match error {
            WaitError::Refused(failure) => {
                InstallError::Refused { what: blame(commands, commit, &failure), failure }
            }
            WaitError::NoAnswer => InstallError::Link(LinkError::Hung),
            WaitError::Link(error) => InstallError::Link(error),
        })
    }

    /// Makes the data plane hold exactly the plan, these policies and further commands.
    pub fn install(
        &mut self,
        plan: &Plan,
        policies: &[Next],
        further: Vec<Command>,
    ) -> Result<(), InstallError> {
        let mut commands = plan.commands();
        for next in policies {
            commands.extend(self.offer(next)?);
        }
        commands.extend(further);
        self.transact(&commands, true)
    }

    /// Has commands done and policies brought to what they are to be, in one transaction.
    pub fn change(&mut self, commands: &[Command], policies: &[Next]) -> Result<(), InstallError> {
        if policies.is_empty() {
            return self.transact(commands, false);
        }
        let mut commands = commands.to_vec();
        for next in policies {
            commands.extend(self.offer(next)?);
        }
        self.transact(&commands, false)
    }

    /// Offers what the data plane does not have, and says what to do with it.
    fn offer(&mut self, next: &Next) -> Result<Vec<Command>, LinkError> {
        let port = next.port;
        let mut commands = vec![match &next.base {
            Some(base) => Command::SetPolicy { port, segment: self.control.offer(base)? },
            None => Command::KeepPolicy { port },
        }];
        if let Some(change) = &next.change {
            commands.push(Command::ChangePolicy { port, segment: self.control.offer(change)? });
        }
        Ok(commands)
    }
}

/// What the refused command was about. Commands are numbered up to the commit, which stands behind the last one.
fn blame(commands: &[Command], commit: u64, failure: &Failure) -> String {
    let behind = commit.wrapping_sub(failure.number);
    let place = (commands.len() as u64).checked_sub(behind).and_then(|place| usize::try_from(place).ok());
    match place.and_then(|place| commands.get(place)) {
        Some(command) => describe(command),
        None => "the transaction".to_owned(),
    }
}

/// A command in the operator's words; never with a key.
fn describe(command: &Command) -> String {
    match command {
        Command::AttachPort(attach) => format!("interface {} on device {}", attach.name, attach.device),
        Command::DetachPort { port } => format!("detaching port {port}"),
        Command::InstallSa(sa) => format!("the SA {} between {} and {}", sa.spi, sa.local, sa.remote),
        Command::MapDscp { index, .. } => format!("the code points of SA {index}"),
        Command::AddSelector { index, .. } => format!("a selector of SA {index}"),
        Command::RemoveSa { index } => format!("removing SA {index}"),
        Command::KeepSa { index } => format!("keeping SA {index}"),
        Command::BindEntry { entry, .. } => format!("the SA of policy entry {entry}"),
        Command::SetPolicy { port, .. }
        | Command::KeepPolicy { port }
        | Command::ChangePolicy { port, .. }
        | Command::ClearPolicy { port } => {
            format!("the crypto map of port {port}")
        }
        Command::SetNextHop { id, .. } => format!("next hop {id}"),
        Command::AddRoute { prefix, .. } | Command::RemoveRoute { prefix } => {
            format!("the route to {prefix}")
        }
        Command::Barrier => "the transaction".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::{NextHop, Reason};

    #[test]
    fn a_refusal_names_the_command_that_it_is_about() {
        let route = |text: &str| Command::AddRoute { prefix: text.parse().unwrap(), next_hop: 1 };
        let commands =
            [Command::SetNextHop { id: 1, hop: NextHop::Local }, route("10.0.0.0/8"), route("10.1.0.0/16")];
        let said =
            |number| blame(&commands, 104, &Failure { number, reason: Reason::RouteRefused, detail: 28 });
        assert_eq!(said(101), "next hop 1");
        assert_eq!(said(103), "the route to 10.1.0.0/16");
        assert_eq!(said(104), "the transaction");
        assert_eq!(said(7), "the transaction");
    }
}
