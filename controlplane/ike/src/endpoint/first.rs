//! First requests, from anybody: what may cost us memory or arithmetic, and what may not (RFC 7296, section 2.6).

use super::{Endpoint, Ready};
use crate::connection::Connection;
use crate::endpoint::{Failed, Output};
use crate::message::{Body, Header, IkeSpi, NotifyType, ParseError, Payload};
use crate::negotiate::{Explanation, Stage};
use crate::sa::{Answer, NON_ESP_MARKER, answer_first, offered, respond_to_first};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Endpoint {
    pub(super) fn first_request(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        datagram: &[u8],
    ) {
        if header.responder_spi != IkeSpi(0) || header.message_id != 0 || !header.from_initiator {
            return self.counters.malformed += 1;
        }
        if let Some(spi) = self.index.begun(path.1, header.initiator_spi) {
            self.with(now, spi, |sa, ctx| sa.answer_init_again(ctx, datagram));
            return;
        }
        if self.parked.has(path.1, header.initiator_spi) {
            // The same again, or what only looks so; the one that waits is answered.
            return;
        }
        let payloads = match Body::parse(header, datagram) {
            Ok(Body::Clear(payloads)) => payloads,
            Ok(Body::Sealed(_)) => return self.counters.unexpected += 1,
            Err(error) => {
                self.counters.malformed += 1;
                if let ParseError::Critical(kind) = error {
                    let data = [kind.0];
                    let notify = Payload::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &data);
                    let answer = answer_first(header, IkeSpi(0), &[notify]);
                    self.send_first(path, answer);
                }
                return;
            }
        };
        let begun = self.half_open();
        if begun >= self.settings.cookie_threshold && !self.has_cookie(now, path, header, &payloads) {
            return;
        }
        if begun >= self.settings.most_half_open {
            return self.counters.half_open_full += 1;
        }
        self.answer(now, path, header, datagram, &payloads, None);
    }

    /// Answers a first request that was let through before, now that its arithmetic is done.
    pub(super) fn answer_again(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        datagram: &[u8],
        ready: Ready,
    ) {
        if let Ok(Body::Clear(payloads)) = Body::parse(header, datagram) {
            self.answer(now, path, header, datagram, &payloads, Some(ready));
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        datagram: &[u8],
        payloads: &[Payload<'_>],
        ready: Option<Ready>,
    ) {
        let fits = |one: &&Arc<Connection>| one.fits(path.0.ip(), path.1.ip());
        let connections: Vec<Arc<Connection>> = self.connections.iter().filter(fits).cloned().collect();
        let answer = match (offered(&connections, header, payloads), ready) {
            (Ok(offered), None) if self.settings.jobs => {
                return self.park(now, path, header.initiator_spi, datagram, offered.work());
            }
            (Ok(offered), ready) => {
                let Ok(spi) = self.fresh_spi() else { return };
                let mut ctx = self.context(now, false);
                ctx.ready = ready.unwrap_or_default();
                respond_to_first(&mut ctx, offered, spi, path, header, datagram)
            }
            (Err(answer), _) => *answer,
        };
        let cause = match answer {
            Answer::Open(sa) => return self.index.put(sa, &self.settings),
            Answer::Refuse(bytes, cause) => {
                self.send_first(path, bytes);
                cause
            }
            Answer::Ignore(cause) => Some(cause),
        };
        let Some(cause) = cause else { return };
        self.counters.failed += 1;
        let connection = match connections.as_slice() {
            [one] => Some(one.name.clone()),
            _ => None,
        };
        self.outputs.push_back(Output::Failed(Box::new(Failed {
            ike: None,
            connection,
            policy: None,
            local: path.0,
            remote: path.1,
            explanation: Explanation { stage: Stage::Init, by_peer: false, cause },
        })));
    }

    /// Whether the request brings our cookie; else the peer gets one.
    fn has_cookie(
        &mut self,
        now: Instant,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        payloads: &[Payload<'_>],
    ) -> bool {
        let (mut said, mut nonce) = (None, &[][..]);
        for payload in payloads {
            match payload {
                Payload::Notify(notify) if notify.kind == NotifyType::COOKIE => said = Some(notify.data),
                Payload::Nonce(data) => nonce = data,
                _ => {}
            }
        }
        let (from, spi) = (path.1, header.initiator_spi);
        if said.is_some_and(|said| self.cookies.knows(said, from, spi, nonce)) {
            return true;
        }
        if let Ok(cookie) = self.cookies.make(now, from, spi, nonce) {
            self.counters.cookies_sent += 1;
            let notify = Payload::notify(NotifyType::COOKIE, &cookie);
            self.send_first(path, answer_first(header, IkeSpi(0), &[notify]));
        }
        false
    }

    fn send_first(&mut self, (local, remote): (SocketAddr, SocketAddr), answer: Vec<u8>) {
        let marker = if local.port() == self.settings.nat_port { &NON_ESP_MARKER[..] } else { &[] };
        let bytes = [marker, &answer].concat();
        self.counters.sent += 1;
        self.outputs.push_back(Output::Transmit { from: local, to: remote, bytes });
    }
}
