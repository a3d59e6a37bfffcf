//! What time brings to an IKE SA: what is due, what waits for its turn, and the end.

use super::child::Child;
use super::protect::Protection;
use super::{Context, IkeSa, Pending, Phase, Task};
use crate::endpoint::{Down, Output};
use crate::negotiate::{Cause, Stage};
use crate::settings::Settings;
use std::collections::VecDeque;
use std::time::Instant;

impl IkeSa {
    /// The end: children down, and nothing more to be asked. What was answered is answered again for a while.
    pub(crate) fn close(&mut self, ctx: &mut Context<'_>, reason: Down) {
        if matches!(self.phase, Phase::Closing | Phase::Dead) {
            return;
        }
        self.lose_children(ctx, Down::IkeGone);
        self.phase = Phase::Closing;
        for task in self.tasks.drain(..) {
            if let Task::DeleteChild(inbound, _) = task {
                ctx.child_spis.remove(&inbound);
            }
        }
        self.take_prepared();
        self.expires = Some(ctx.now + ctx.settings.linger);
        self.say_down(ctx, reason);
    }

    fn say_down(&mut self, ctx: &mut Context<'_>, reason: Down) {
        if std::mem::take(&mut self.announced) {
            let connection = self.connection_name();
            ctx.outputs.push_back(Output::IkeDown { ike: self.spi(), connection, reason });
        }
    }

    fn lose_children(&mut self, ctx: &mut Context<'_>, reason: Down) {
        for child in std::mem::take(&mut self.children) {
            child.lost(ctx, reason);
        }
        if let Some(outstanding) = self.window.outstanding.take() {
            outstanding.pending.abandon(ctx);
        }
    }

    /// Comes to stand: timers run from here.
    pub(super) fn establish(&mut self, ctx: &mut Context<'_>) {
        self.phase = Phase::Established;
        self.expires = None;
        self.since = ctx.now;
        self.last_heard = ctx.now;
        let lifetime = self.connection().and_then(|connection| connection.lifetime);
        // What is proved anew in that time needs no rekeying.
        let reauth = self.connection().and_then(|connection| connection.reauth);
        let rekey = lifetime.filter(|time| reauth.is_none_or(|reauth| reauth > *time));
        self.rekey_at = rekey.and_then(|time| ctx.now.checked_add(ctx.chance.before(time)));
        self.ends_at = lifetime.and_then(|time| ctx.now.checked_add(time));
    }

    /// When it wants to be woken.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let outstanding = self.window.outstanding.as_ref();
        let established = self.is_established();
        let idle = outstanding.is_none() && !self.prepares();
        let unanswered = outstanding.filter(|_| !self.has_waiting(true));
        let dpd = self.connection().and_then(|connection| connection.dpd);
        let waiting = |at: Instant| self.retry_at.map_or(at, |retry| retry.max(at));
        [
            self.expires,
            unanswered.map(|request| request.again_at),
            self.protection.as_ref().and_then(Protection::deadline),
            self.rekey_at.filter(|_| self.is_settled()),
            self.ends_at.filter(|_| self.is_settled()),
            self.authentication.again_at.filter(|_| self.is_settled()),
            self.authentication.ends_at.filter(|_| self.is_settled()),
            dpd.filter(|_| established && idle).and_then(|dpd| self.last_heard.checked_add(dpd)).map(waiting),
            self.retry_at.filter(|_| idle && !self.tasks.is_empty()),
            (self.nat.ours && established).then(|| self.last_sent + settings.keepalive),
        ]
        .into_iter()
        .chain(
            self.children.iter().flat_map(|child| [child.rekey_at, child.ends_at()]).filter(|_| established),
        )
        .flatten()
        .min()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        if self.expires.is_some_and(|at| at <= now) {
            return self.expire(ctx);
        }
        if let Some(protection) = &mut self.protection {
            protection.tick(now);
        }
        self.retransmit(ctx);
        if matches!(self.phase, Phase::Initiating) {
            return self.pump(ctx);
        }
        if !self.is_established() {
            return;
        }
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.is_settled() && (is_past(self.ends_at) || is_past(self.authentication.ends_at)) {
            // Nothing came of rekeying it, or of proving itself anew, in time.
            return self.delete(ctx, Down::Lifetime);
        }
        if self.is_settled() && is_past(self.authentication.again_at) {
            self.reauthenticate(ctx);
        }
        if self.is_settled() && is_past(self.rekey_at) {
            self.rekey_at = None;
            self.tasks.push_back(Task::RekeyIke);
        }
        for child in &mut self.children {
            if child.rekey_at.is_some_and(|at| at <= now) {
                child.rekey_at = None;
                self.tasks.push_back(Task::RekeyChild(child.inbound));
            }
        }
        self.end_children(ctx);
        let dpd = self.connection().and_then(|connection| connection.dpd);
        let silent = dpd.is_some_and(|dpd| now.saturating_duration_since(self.last_heard) >= dpd);
        let idle = self.window.outstanding.is_none() && !self.prepares();
        if silent && idle && self.tasks.is_empty() {
            self.tasks.push_back(Task::Liveness);
        }
        if self.nat.ours && self.last_sent + ctx.settings.keepalive <= now {
            self.transmit(ctx, &[vec![0xFF]], false);
        }
        self.pump(ctx);
    }

    /// Nothing came of rekeying these in time: they carry nothing from now on, whether the peer answers or not.
    fn end_children(&mut self, ctx: &mut Context<'_>) {
        let (now, ike) = (ctx.now, self.spi());
        for child in self.children.extract_if(.., |child| child.ends_at().is_some_and(|at| at <= now)) {
            let inbound = child.inbound;
            child.lost(ctx, Down::Lifetime);
            // Nobody else has its SPI as long as the peer may send by it.
            ctx.child_spis.insert(inbound, ike);
            self.tasks.push_back(Task::DeleteChild(inbound, Down::Lifetime));
        }
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        if let Phase::HalfOpen(_) = self.phase {
            self.report(ctx, None, Stage::Auth, false, Cause::Timeout { tries: 0 });
            self.close(ctx, Down::Failed);
        }
        self.lose_children(ctx, Down::IkeGone);
        self.phase = Phase::Dead;
    }

    /// Asks for what waits, if nothing is asked already.
    pub(crate) fn pump(&mut self, ctx: &mut Context<'_>) {
        while self.window.outstanding.is_none() && !self.prepares() && !self.is_dead() {
            if self.retry_at.is_some_and(|at| at > ctx.now) {
                return;
            }
            self.retry_at = None;
            let Some(task) = self.tasks.pop_front() else { return self.has_all(ctx) };
            self.begin(ctx, task);
        }
    }

    /// Puts a request in the queue, if there is room.
    pub(crate) fn ask(&mut self, ctx: &mut Context<'_>, task: Task) -> bool {
        let room = self.tasks.len() < ctx.settings.most_tasks;
        if room {
            self.tasks.push_back(task);
            self.pump(ctx);
        }
        room
    }

    /// Deletes it, wherever it stands. What it has asked already must be answered before, or the peer might never take the
    /// request to delete it.
    pub(crate) fn delete(&mut self, ctx: &mut Context<'_>, reason: Down) {
        match self.phase {
            Phase::Established | Phase::Replaced => {
                let mut outstanding = self.window.outstanding.take();
                self.close(ctx, reason);
                if let Some(request) = &mut outstanding
                    && !matches!(request.pending, Pending::Rekey(_))
                {
                    std::mem::replace(&mut request.pending, Pending::Liveness).abandon(ctx);
                }
                self.window.outstanding = outstanding;
                self.retry_at = None;
                self.expires = None;
                self.tasks.push_back(Task::DeleteIke(reason));
                self.pump(ctx);
            }
            Phase::Initiating | Phase::HalfOpen(_) => {
                self.close(ctx, reason);
                self.phase = Phase::Dead;
            }
            Phase::Closing | Phase::Dead => {}
        }
    }

    /// Goes on with what another had.
    pub(crate) fn take_over(&mut self, ctx: &mut Context<'_>, children: Vec<Child>, tasks: VecDeque<Task>) {
        self.announced = true;
        self.children.extend(children);
        if !self.is_established() {
            // The peer has deleted it before it could take over.
            self.lose_children(ctx, Down::IkeGone);
            return self.say_down(ctx, Down::Peer);
        }
        self.expires = None;
        self.tasks.extend(tasks);
        self.pump(ctx);
    }
}
