//! What the gateway asks of its endpoint.

use super::{Down, Endpoint};
use crate::connection::{ChildPolicy, Connection};
use crate::message::IkeSpi;
use crate::negotiate::{Cause, Explanation, Stage};
use crate::sa::{IkeSa, Task};
use model::Spi;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A request cannot be carried out. The caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such connection.
    #[error("there is no connection {0}")]
    NoConnection(String),
    /// The connection has no such child policy.
    #[error("connection {0} has no child policy {1}")]
    NoPolicy(String, String),
    /// There is no such IKE SA, or it does not stand.
    #[error("there is no IKE SA {0} that stands")]
    NoIkeSa(IkeSpi),
    /// There is no such child SA.
    #[error("there is no child SA with inbound SPI {0}")]
    NoChild(Spi),
    /// Too many requests wait already.
    #[error("too many requests wait for their turn in IKE SA {0}")]
    Busy(IkeSpi),
    /// It came to nothing at once.
    #[error("{0}")]
    Failed(Explanation),
}

impl Endpoint {
    /// Begins an IKE SA from `local` to `remote`, with a child SA of that policy if one is named. Gives our SPI of it.
    ///
    /// # Errors
    /// [`RequestError`] for names that lead nowhere.
    pub fn initiate(
        &mut self,
        now: Instant,
        connection: &str,
        policy: Option<&str>,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<IkeSpi, RequestError> {
        let none = || RequestError::NoConnection(connection.to_owned());
        let found = self.connections.iter().find(|known| *known.name == *connection);
        let connection = found.cloned().ok_or_else(none)?;
        let child = policy.map(|policy| self.find_policy(&connection, policy)).transpose()?;
        let failed =
            |cause: Cause| RequestError::Failed(Explanation { stage: Stage::Init, by_peer: false, cause });
        let spi = self.fresh_spi().map_err(|error| failed(Cause::Ours(error.to_string())))?;
        let mut ctx = self.context(now, false);
        let mut sa = IkeSa::initiate(&ctx, connection, spi, (local, remote)).map_err(failed)?;
        sa.tasks.extend(child.map(Task::Child));
        sa.pump(&mut ctx);
        self.index.put(Box::new(sa), &self.settings);
        Ok(spi)
    }

    /// Asks for another child SA of that policy.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such IKE SA or policy, or too much waits already.
    pub fn create_child(&mut self, now: Instant, ike: IkeSpi, policy: &str) -> Result<(), RequestError> {
        let connection = self.index.get(ike).and_then(IkeSa::connection).cloned();
        let connection = connection.ok_or(RequestError::NoIkeSa(ike))?;
        let policy = self.find_policy(&connection, policy)?;
        self.ask(now, ike, Task::Child(policy))
    }

    /// Asks for another pair in the place of that child SA.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such child SA, or too much waits already.
    pub fn rekey_child(&mut self, now: Instant, inbound: Spi) -> Result<(), RequestError> {
        let ike = self.ike_of(inbound)?;
        self.ask(now, ike, Task::RekeyChild(inbound))
    }

    /// Deletes that child SA.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such child SA, or too much waits already.
    pub fn delete_child(&mut self, now: Instant, inbound: Spi) -> Result<(), RequestError> {
        let ike = self.ike_of(inbound)?;
        self.ask(now, ike, Task::DeleteChild(inbound, Down::Asked))
    }

    /// Asks for another IKE SA in the place of that one.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such IKE SA, or too much waits already.
    pub fn rekey(&mut self, now: Instant, ike: IkeSpi) -> Result<(), RequestError> {
        self.ask(now, ike, Task::RekeyIke)
    }

    /// Deletes that IKE SA and its children, wherever it stands.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such IKE SA.
    pub fn delete(&mut self, now: Instant, ike: IkeSpi) -> Result<(), RequestError> {
        let done = self.with(now, ike, |sa, ctx| sa.delete(ctx, Down::Asked));
        done.ok_or(RequestError::NoIkeSa(ike))
    }

    fn ask(&mut self, now: Instant, ike: IkeSpi, task: Task) -> Result<(), RequestError> {
        if !self.index.get(ike).is_some_and(|sa| sa.is_settled() || matches!(task, Task::Child(_))) {
            return Err(RequestError::NoIkeSa(ike));
        }
        match self.with(now, ike, |sa, ctx| sa.ask(ctx, task)) {
            Some(true) => Ok(()),
            Some(false) => Err(RequestError::Busy(ike)),
            None => Err(RequestError::NoIkeSa(ike)),
        }
    }

    fn ike_of(&self, inbound: Spi) -> Result<IkeSpi, RequestError> {
        self.child_spis.get(&inbound).copied().ok_or(RequestError::NoChild(inbound))
    }

    fn find_policy(&self, connection: &Connection, policy: &str) -> Result<Arc<ChildPolicy>, RequestError> {
        let found = connection.children.iter().find(|known| *known.name == *policy);
        let none = || RequestError::NoPolicy(connection.name.to_string(), policy.to_owned());
        found.cloned().ok_or_else(none)
    }
}
