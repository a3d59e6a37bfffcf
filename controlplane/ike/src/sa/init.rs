//! IKE_SA_INIT, from the side that begins (RFC 7296, sections 1.2, 2.6 and 2.7).

use super::auth::Proofs;
use super::nat::{self, Nat};
use super::pieces::{Exchange, Extras, NONCE, error_notify, notify, offered_group, refused, wanted_group};
use super::{Abilities, Context, IkeSa, Pending, Phase, Task};
use crate::connection::Connection;
use crate::crypto::{CryptoError, KeyPair, random};
use crate::endpoint::Down;
use crate::keys::{Seed, first_seed, ike_keys};
use crate::message::{ExchangeType, Header, IkeSpi, NotifyType, Payload, Proposal};
use crate::negotiate::{Cause, Stage, accept, ike_offer, ike_suite};
use crate::sa::protect::Protection;
use std::net::SocketAddr;
use std::sync::Arc;

/// How often a first request is sent in another form before we take it for mockery.
const RESTARTS: u32 = 4;

/// What we remember until the answer comes.
pub(crate) struct Initiating {
    pub(super) pair: Arc<KeyPair>,
    nonce: Vec<u8>,
    pub(super) offer: Vec<Proposal>,
    cookie: Option<Vec<u8>>,
    restarts: u32,
}

impl IkeSa {
    /// One that begins as soon as it is pumped.
    pub(crate) fn initiate(
        ctx: &Context<'_>,
        connection: Arc<Connection>,
        spi: IkeSpi,
        path: (SocketAddr, SocketAddr),
    ) -> Result<IkeSa, Cause> {
        if connection.proposals.iter().all(|proposal| proposal.groups.is_empty()) {
            return Err(Cause::Ours("no DH group is configured".to_owned()));
        }
        let mut sa = IkeSa::new(ctx.now, true, (spi, IkeSpi(0)), path, Phase::Initiating);
        sa.connections = vec![connection];
        sa.announced = true;
        sa.tasks.push_back(Task::Init);
        Ok(sa)
    }

    /// Sends the first request.
    pub(super) fn ask_init(&mut self, ctx: &mut Context<'_>) {
        match self.initiating(ctx) {
            Ok(initiating) => self.send_init(ctx, initiating),
            Err(cause) => self.init_failed(ctx, false, cause),
        }
    }

    fn initiating(&self, ctx: &mut Context<'_>) -> Result<Initiating, Cause> {
        let ours = |error: CryptoError| Cause::Ours(error.to_string());
        let Some(connection) = self.connection() else { return Err(Cause::NoConnection) };
        let group = connection.proposals.iter().find_map(|proposal| proposal.groups.first());
        let Some(&group) = group else { return Err(Cause::Ours("no DH group is configured".to_owned())) };
        Ok(Initiating {
            pair: ctx.generate(group).map_err(ours)?,
            nonce: random::<NONCE>().map_err(ours)?.to_vec(),
            offer: ike_offer(&connection.proposals, &[]),
            cookie: None,
            restarts: 0,
        })
    }

    fn send_init(&mut self, ctx: &mut Context<'_>, initiating: Initiating) {
        let extras = Extras::new(self.initiator_spi, IkeSpi(0), self.local, self.remote);
        let cookie = initiating.cookie.clone();
        let (offer, nonce) = (initiating.offer.clone(), initiating.nonce.clone());
        let (group, public) = (initiating.pair.group().id(), initiating.pair.public().to_vec());
        let mut payloads = Vec::new();
        payloads.extend(cookie.as_deref().map(|cookie| Payload::notify(NotifyType::COOKIE, cookie)));
        payloads.push(Payload::Sa(offer));
        payloads.push(Payload::KeyExchange { group, data: &public });
        payloads.push(Payload::Nonce(&nonce));
        payloads.extend(extras.payloads());
        self.request(ctx, ExchangeType::IKE_SA_INIT, &payloads, Pending::Init(Box::new(initiating)));
    }

    /// An answer to the first request, from anybody who saw it.
    pub(super) fn init_answered(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        datagram: &[u8],
        payloads: &[Payload<'_>],
    ) {
        let message = match &self.window.outstanding {
            Some(request) if matches!(request.pending, Pending::Init(_)) && header.message_id == 0 => {
                request.datagrams.first().cloned().unwrap_or_default()
            }
            _ => {
                ctx.counters.unexpected += 1;
                return;
            }
        };
        let restart = notify(payloads, NotifyType::COOKIE).map(|cookie| (Some(cookie), None)).or_else(|| {
            notify(payloads, NotifyType::INVALID_KE_PAYLOAD).map(|data| (None, Some(wanted_group(data))))
        });
        if restart.is_none() && error_notify(payloads).is_none() && Exchange::read(payloads).is_none() {
            // Not an answer at all; the true one may still come.
            ctx.counters.unexpected += 1;
            return;
        }
        let Some(Pending::Init(mut initiating)) = self.window.restart() else { return };
        if let Some((cookie, group)) = restart {
            match self.change(ctx, &mut initiating, cookie, group) {
                Ok(()) => self.send_init(ctx, *initiating),
                Err(cause) => self.init_failed(ctx, true, cause),
            }
            return;
        }
        match self.init_agreed(ctx, &initiating, header, payloads) {
            Ok(nonce) => {
                self.window.skip_first();
                let proofs = Proofs {
                    our_message: message,
                    their_message: datagram.to_vec(),
                    our_nonce: initiating.nonce,
                    their_nonce: nonce,
                };
                self.tasks.push_front(Task::Auth(Box::new(proofs)));
            }
            Err((by_peer, cause)) => self.init_failed(ctx, by_peer, cause),
        }
    }

    fn init_failed(&mut self, ctx: &mut Context<'_>, by_peer: bool, cause: Cause) {
        self.report(ctx, None, Stage::Init, by_peer, cause);
        self.close(ctx, Down::Failed);
        self.phase = Phase::Dead;
    }

    /// Another form of the first request: with a cookie, or with a key of another group.
    fn change(
        &self,
        ctx: &mut Context<'_>,
        initiating: &mut Initiating,
        cookie: Option<&[u8]>,
        group: Option<u16>,
    ) -> Result<(), Cause> {
        initiating.restarts += 1;
        if initiating.restarts > RESTARTS {
            return Err(Cause::Protocol("it asks for one first request after the other".to_owned()));
        }
        if let Some(cookie) = cookie {
            if !(1..=64).contains(&cookie.len()) {
                return Err(Cause::Protocol("a cookie of a wrong length".to_owned()));
            }
            initiating.cookie = Some(cookie.to_vec());
        }
        if let Some(number) = group {
            let current = initiating.pair.group().id();
            match offered_group(&initiating.offer, number) {
                Some(group) if number != current => {
                    let pair = ctx.generate(group).map_err(|error| Cause::Ours(error.to_string()))?;
                    initiating.pair = pair;
                }
                _ => {
                    let ours = self.connections.iter().flat_map(|connection| &connection.proposals);
                    let ours = ours.flat_map(|proposal| proposal.groups.clone()).collect();
                    return Err(Cause::KeyExchangeGroup { ours, theirs: number });
                }
            }
        }
        Ok(())
    }

    /// Takes what the responder chose. Gives its nonce, or why not and whether the peer refused.
    fn init_agreed(
        &mut self,
        ctx: &mut Context<'_>,
        initiating: &Initiating,
        header: &Header,
        payloads: &[Payload<'_>],
    ) -> Result<Vec<u8>, (bool, Cause)> {
        let ours = |error: CryptoError| (false, Cause::Ours(error.to_string()));
        let theirs = |what: &str| (false, Cause::Protocol(what.to_owned()));
        let Some(exchange) = Exchange::read(payloads) else {
            let kind = error_notify(payloads).unwrap_or(NotifyType::INVALID_SYNTAX);
            return Err((true, refused(payloads, kind, &initiating.offer)));
        };
        if header.responder_spi == IkeSpi(0) {
            return Err(theirs("an answer without an SPI"));
        }
        let chosen = accept(&initiating.offer, exchange.proposals).map_err(|cause| (false, cause))?;
        let suite =
            ike_suite(&chosen).ok_or_else(|| theirs("it chose algorithms that do not go together"))?;
        if suite.group != initiating.pair.group() || exchange.group != suite.group.id() {
            return Err(theirs("its key is of another group than the one that it chose"));
        }
        let shared = ctx.agree(&initiating.pair, exchange.public);
        let shared = shared.map_err(|error| (false, Cause::Protocol(error.to_string())))?;
        self.responder_spi = header.responder_spi;
        let seed = Seed {
            initiator_nonce: &initiating.nonce,
            responder_nonce: exchange.nonce,
            initiator_spi: self.initiator_spi,
            responder_spi: self.responder_spi,
        };
        let skeyseed = first_seed(suite.prf, &shared, &seed).map_err(ours)?;
        let (keys, ciphers) = ike_keys(&suite, &skeyseed, &seed).map_err(ours)?;
        self.keys = Some(keys);
        self.protection = Some(Protection::new(suite, ciphers.from_initiator, ciphers.from_responder));
        self.abilities = Abilities::read(payloads);
        self.nat = nat::detect(payloads, self.initiator_spi, self.responder_spi, self.remote, self.local);
        self.float(ctx, self.nat);
        Ok(exchange.nonce.to_vec())
    }

    /// Goes over to the port that gets through a NAT (section 2.23).
    fn float(&mut self, ctx: &Context<'_>, nat: Nat) {
        if nat.any() && self.local.port() == ctx.settings.port {
            self.local.set_port(ctx.settings.nat_port);
            self.remote.set_port(ctx.settings.nat_port);
        }
    }
}
