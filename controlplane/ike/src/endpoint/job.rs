//! Diffie-Hellman by somebody else: the arithmetic of first exchanges, which is most of what raising a tunnel costs and what
//! a flood of first requests would buy, done on the caller's threads.

use super::Endpoint;
use crate::crypto::{DhError, Group, KeyPair, Shared};
use crate::message::{Header, IkeSpi};
use crate::sa::{Context, IkeSa};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Arithmetic that an endpoint waits for. Give what [`Job::run`] gives back to [`Endpoint::handle_done`].
#[derive(Debug)]
pub struct Job {
    id: u64,
    work: Work,
}

/// A [`Job`] that has been done.
pub struct Done {
    id: u64,
    ready: Ready,
}

/// What is to be computed.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// The answering side's share.
    Answer(Group, Vec<u8>),
    /// The beginning side's second half.
    Agree(Arc<KeyPair>, Vec<u8>),
}

/// What was computed, and of what.
pub(crate) enum Ready {
    Answer(Group, Vec<u8>, Result<(Vec<u8>, Shared), DhError>),
    Agree(Vec<u8>, Result<Shared, DhError>),
}

impl Job {
    /// Does it. It takes from some ten microseconds (group 31) to some milliseconds (group 16).
    pub fn run(self) -> Done {
        let ready = match self.work {
            Work::Answer(group, peer) => {
                let result = group.answer(&peer);
                Ready::Answer(group, peer, result)
            }
            Work::Agree(pair, peer) => {
                let result = pair.agree(&peer);
                Ready::Agree(peer, result)
            }
        };
        Done { id: self.id, ready }
    }
}

impl Context<'_> {
    /// The answering side's share of an exchange; `None` if somebody else is to compute it, and the message then comes again.
    pub(crate) fn answer(&mut self, group: Group, peer: &[u8]) -> Option<Result<(Vec<u8>, Shared), DhError>> {
        match self.ready.take() {
            Some(Ready::Answer(of, to, result)) if of == group && to == peer => return Some(result),
            _ if !self.settings.jobs => return Some(group.answer(peer)),
            _ => self.wanted = Some(Work::Answer(group, peer.to_vec())),
        }
        None
    }

    /// The beginning side's second half, in the same way.
    pub(crate) fn agree(&mut self, pair: &Arc<KeyPair>, peer: &[u8]) -> Option<Result<Shared, DhError>> {
        match self.ready.take() {
            Some(Ready::Agree(to, result)) if to == peer => return Some(result),
            _ if !self.settings.jobs => return Some(pair.agree(peer)),
            _ => self.wanted = Some(Work::Agree(pair.clone(), peer.to_vec())),
        }
        None
    }
}

/// Messages that wait for a job.
#[derive(Default)]
pub(crate) struct Parked {
    next: u64,
    messages: HashMap<u64, Message>,
    /// Those that are first requests, by where and under which SPI they begin.
    first: HashMap<(SocketAddr, IkeSpi), u64>,
}

struct Message {
    path: (SocketAddr, SocketAddr),
    datagram: Vec<u8>,
    /// The IKE SA that it is for; `None` for a first request, and then by whom.
    ike: Result<IkeSpi, (SocketAddr, IkeSpi)>,
    since: Instant,
}

impl Parked {
    /// How many first requests wait.
    pub(crate) fn first_requests(&self) -> usize {
        self.first.len()
    }

    pub(crate) fn has_first(&self, from: SocketAddr, spi: IkeSpi) -> bool {
        self.first.contains_key(&(from, spi))
    }

    fn park(&mut self, message: Message) -> u64 {
        self.next += 1;
        if let Err(begun) = message.ike {
            self.first.insert(begun, self.next);
        }
        self.messages.insert(self.next, message);
        self.next
    }

    fn take(&mut self, id: u64) -> Option<Message> {
        let message = self.messages.remove(&id)?;
        if let Err(begun) = message.ike {
            self.first.remove(&begun);
        }
        Some(message)
    }
}

impl Endpoint {
    /// Takes what a job has given. One that comes too late, or twice, does no harm.
    pub fn handle_done(&mut self, now: Instant, done: Done) {
        let Some(Message { path, datagram, ike, .. }) = self.parked.take(done.id) else { return };
        let Ok(header) = Header::parse(&datagram) else { return };
        match ike {
            Ok(spi) => {
                let again = |sa: &mut IkeSa, ctx: &mut Context<'_>| {
                    ctx.ready = Some(done.ready);
                    sa.handle(ctx, path, &header, &datagram);
                };
                self.with(now, spi, again);
            }
            Err(_) => self.answer_again(now, path, &header, &datagram, done.ready),
        }
    }

    /// Sets a message aside until its arithmetic is done.
    pub(super) fn park(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        ike: Result<IkeSpi, (SocketAddr, IkeSpi)>,
        datagram: &[u8],
        work: Work,
    ) {
        // What nobody came back with must not stay for ever.
        let patience = self.settings.half_open_for;
        if self.parked.first_requests() >= self.settings.cookie_threshold {
            let late = |message: &Message| now.saturating_duration_since(message.since) > patience;
            let late: Vec<u64> =
                self.parked.messages.iter().filter(|(_, one)| late(one)).map(|(id, _)| *id).collect();
            late.into_iter().for_each(|id| drop(self.parked.take(id)));
        }
        let id = self.parked.park(Message { path, datagram: datagram.to_vec(), ike, since: now });
        self.outputs.push_back(super::Output::Compute(Job { id, work }));
    }
}
