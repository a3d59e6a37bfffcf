//! What waits until its arithmetic is done: of the peer's messages one request and one answer, and one task of ours.

use super::{Context, IkeSa, Task};
use crate::crypto::Secret;
use crate::endpoint::Owner;
use crate::message::{Body, Header, PayloadType, parse_chain};

/// One of them, and the number of its job.
pub(crate) struct Waiting {
    job: u64,
    what: What,
}

enum What {
    /// A message, opened.
    Message(Header, PayloadType, Secret),
    /// An answer in clear.
    Clear(Header, Vec<u8>),
    Task(Task),
}

impl IkeSa {
    /// Whether an answer of the peer waits, or else a request of it. Then another one can only be the same again.
    pub(super) fn has_waiting(&self, response: bool) -> bool {
        self.waiting.iter().any(|waiting| match &waiting.what {
            What::Message(header, ..) | What::Clear(header, _) => header.response == response,
            What::Task(_) => false,
        })
    }

    /// Whether something is about to be asked of the peer.
    pub(super) fn prepares(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting.what, What::Task(_)))
    }

    /// Gives up what is about to be asked, if anything is.
    pub(super) fn take_prepared(&mut self) -> Option<Task> {
        let place = self.waiting.iter().position(|waiting| matches!(waiting.what, What::Task(_)))?;
        match self.waiting.swap_remove(place).what {
            What::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Handles a message that the peer has sealed, or sets it aside. Where there is no room for its arithmetic it is
    /// dropped: it will come again.
    pub(super) fn message_came(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        first: PayloadType,
        inside: Secret,
    ) {
        let payloads = parse_chain(first, inside.expose());
        let works = match &payloads {
            Ok(payloads) if ctx.settings.jobs => self.foresee(ctx, header, payloads),
            _ => Vec::new(),
        };
        if works.is_empty() {
            return self.message_ready(ctx, header, payloads);
        }
        if let Some(job) = ctx.give_away(Owner::Ike(self.spi()), works) {
            self.waiting.push(Waiting { job, what: What::Message(*header, first, inside) });
        }
    }

    /// Handles an answer in clear, or sets it aside.
    pub(super) fn clear_came(&mut self, ctx: &mut Context<'_>, header: &Header, datagram: &[u8]) {
        let Ok(Body::Clear(payloads)) = Body::parse(header, datagram) else { return };
        let work = if ctx.settings.jobs { self.foresee_answer(ctx, &payloads) } else { None };
        let Some(work) = work else { return self.init_answered(ctx, header, datagram, &payloads) };
        if let Some(job) = ctx.give_away(Owner::Ike(self.spi()), vec![work]) {
            self.waiting.push(Waiting { job, what: What::Clear(*header, datagram.to_vec()) });
        }
    }

    /// Begins a task, or sets it aside.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_>, task: Task) {
        let work = if ctx.settings.jobs { self.foresee_task(&task) } else { None };
        let Some(work) = work else { return self.start(ctx, task) };
        match ctx.give_away(Owner::Ike(self.spi()), vec![work]) {
            Some(job) => self.waiting.push(Waiting { job, what: What::Task(task) }),
            None => {
                self.tasks.push_front(task);
                self.retry_at = Some(ctx.retry_at());
            }
        }
    }

    /// Goes on with what waited for a job, as if it came now.
    pub(crate) fn resume(&mut self, ctx: &mut Context<'_>, job: u64) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.job == job) else { return };
        match self.waiting.swap_remove(place).what {
            What::Message(header, first, inside) => {
                self.message_ready(ctx, &header, parse_chain(first, inside.expose()));
            }
            What::Clear(header, datagram) => {
                if let Ok(Body::Clear(payloads)) = Body::parse(&header, &datagram) {
                    self.init_answered(ctx, &header, &datagram, &payloads);
                }
            }
            // Something else was asked meanwhile, such as to end it all.
            What::Task(task) if self.window.outstanding.is_some() => self.tasks.push_front(task),
            What::Task(task) => self.start(ctx, task),
        }
        self.pump(ctx);
    }
}
