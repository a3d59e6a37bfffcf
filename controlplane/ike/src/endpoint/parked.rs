//! First requests that wait for the arithmetic of their answer.

use super::Endpoint;
use super::job::{Done, Owner, Work};
use crate::message::{Header, IkeSpi};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// All of them, by the number of their job.
#[derive(Default)]
pub(crate) struct Parked {
    requests: HashMap<u64, Request>,
    /// By where and under which SPI they begin.
    begun: HashMap<(SocketAddr, IkeSpi), u64>,
}

struct Request {
    path: (SocketAddr, SocketAddr),
    begun: (SocketAddr, IkeSpi),
    datagram: Vec<u8>,
    since: Instant,
}

impl Parked {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn has(&self, from: SocketAddr, spi: IkeSpi) -> bool {
        self.begun.contains_key(&(from, spi))
    }

    fn put(&mut self, job: u64, request: Request) {
        self.begun.insert(request.begun, job);
        self.requests.insert(job, request);
    }

    fn take(&mut self, job: u64) -> Option<Request> {
        let request = self.requests.remove(&job)?;
        self.begun.remove(&request.begun);
        Some(request)
    }

    /// What nobody came back with must not stay for ever.
    fn forget(&mut self, now: Instant, patience: Duration) {
        let late = |request: &Request| now.saturating_duration_since(request.since) > patience;
        let late: Vec<u64> =
            self.requests.iter().filter(|(_, request)| late(request)).map(|(job, _)| *job).collect();
        late.into_iter().for_each(|job| drop(self.take(job)));
    }
}

impl Endpoint {
    /// Takes what a job has given. One that comes too late does no harm.
    pub fn handle_done(&mut self, now: Instant, done: Done) {
        let Done { id, owner, ready } = done;
        self.jobs.came_back();
        match owner {
            Owner::Ike(spi) => {
                self.with(now, spi, |sa, ctx| {
                    ctx.ready = *ready;
                    sa.resume(ctx, id);
                });
            }
            Owner::First => {
                let Some(Request { path, datagram, .. }) = self.parked.take(id) else { return };
                if let Ok(header) = Header::parse(&datagram) {
                    self.answer_again(now, path, &header, &datagram, *ready);
                }
            }
        }
    }

    /// Sets a first request aside until its arithmetic is done.
    pub(super) fn park(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        begun: IkeSpi,
        datagram: &[u8],
        work: Work,
    ) {
        if self.parked.len() >= self.settings.cookie_threshold {
            self.parked.forget(now, self.settings.half_open_for);
        }
        let job = self.context(now, false).give_away(Owner::First, vec![work]);
        if let Some(job) = job {
            let request = Request { path, begun: (path.1, begun), datagram: datagram.to_vec(), since: now };
            self.parked.put(job, request);
        }
    }
}
