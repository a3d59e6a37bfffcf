//! Reauthentication: another IKE SA from scratch, with child SAs of its own, before this one goes (RFC 7296, section 2.8.3).
//!
//! Whoever began an IKE SA does it; the other says in AUTH_LIFETIME (RFC 4478) when it wants that. So never both do. It is make
//! before break: the old IKE SA goes when the new one has asked for all that it was begun for.

use super::{Context, Effect, IkeSa, Task};
use crate::crypto::random;
use crate::endpoint::Down;
use crate::message::{IkeSpi, NotifyType, Payload};
use crate::negotiate::{Cause, Stage};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nobody has us prove ourselves more often than that.
const SHORTEST: Duration = Duration::from_secs(10);

/// How long the two proofs are good for. An IKE SA that takes the place of another by rekeying has them from that one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Authentication {
    /// Whether we began, so that renewing it is ours.
    began: bool,
    /// When to begin another IKE SA, or to try that again.
    pub(super) again_at: Option<Instant>,
    pub(super) ends_at: Option<Instant>,
    /// The one that is to take this one's place.
    successor: Option<IkeSpi>,
}

/// How long the peer wants our proof to be good for, if it says so.
pub(super) fn auth_lifetime(payloads: &[Payload<'_>]) -> Option<Duration> {
    let data = super::pieces::notify(payloads, NotifyType::AUTH_LIFETIME)?;
    Some(Duration::from_secs(u32::from_be_bytes(data.try_into().ok()?).into()))
}

fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

impl IkeSa {
    /// Both have proved themselves just now.
    pub(super) fn authenticated(&mut self, ctx: &mut Context<'_>) {
        self.authentication = Authentication { began: self.is_initiator, ..Authentication::default() };
        if let Some(wanted) = self.connection().and_then(|connection| connection.reauth) {
            self.authenticate_within(ctx, wanted);
        }
    }

    /// The proofs are good for no longer than that.
    pub(super) fn authenticate_within(&mut self, ctx: &mut Context<'_>, time: Duration) {
        let time = time.max(SHORTEST);
        let again_at = ctx.now.checked_add(ctx.chance.before(time)).filter(|_| self.authentication.began);
        let authentication = &mut self.authentication;
        authentication.again_at = sooner(authentication.again_at, again_at);
        authentication.ends_at = sooner(authentication.ends_at, ctx.now.checked_add(time));
    }

    /// Begins the IKE SA that is to take this one's place. If nothing comes of it, there is time to try again.
    pub(super) fn reauthenticate(&mut self, ctx: &mut Context<'_>) {
        self.authentication.again_at = ctx.now.checked_add(2 * ctx.patience());
        // What has not come to stand by now never will.
        ctx.effects.extend(self.authentication.successor.take().map(Effect::Delete));
        let mut policies: Vec<_> = Vec::new();
        for child in
            self.children.iter().filter(|child| child.replaced_by.is_none() && child.leaving.is_none())
        {
            if !policies.iter().any(|known| Arc::ptr_eq(known, &child.policy)) {
                policies.push(child.policy.clone());
            }
        }
        let (Some(connection), false) = (self.connection().cloned(), policies.is_empty()) else {
            // Nobody misses it when its time is over.
            return;
        };
        let spi = random().map_err(|error| Cause::Ours(error.to_string()));
        let path = (self.local, self.remote);
        let begun =
            spi.and_then(|spi| IkeSa::initiate(ctx, connection, IkeSpi(u64::from_be_bytes(spi)), path));
        let mut new = match begun {
            Ok(new) => new,
            Err(cause) => return self.report(ctx, None, Stage::Init, false, cause),
        };
        new.takes_over = true;
        new.tasks.extend(policies.into_iter().map(Task::Child));
        new.pump(ctx);
        self.authentication.successor = Some(new.spi());
        ctx.effects.push(Effect::Add(Box::new(new)));
    }

    /// It has nothing left to ask for: the one whose place it was begun to take may go.
    pub(super) fn has_all(&mut self, ctx: &mut Context<'_>) {
        if self.takes_over && self.is_settled() {
            self.takes_over = false;
            ctx.effects.push(Effect::TakeOver);
        }
    }

    /// Goes, if it is that one whose place the other was begun to take. Gives what nobody has asked for yet.
    pub(crate) fn give_way(&mut self, ctx: &mut Context<'_>, to: IkeSpi) -> VecDeque<Task> {
        if self.authentication.successor != Some(to) {
            return VecDeque::new();
        }
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.retain(|task| matches!(task, Task::Child(_)));
        for child in &mut self.children {
            child.leaving = Some(Down::Replaced);
        }
        self.delete(ctx, Down::Replaced);
        tasks
    }
}
