//! IKE_SA_INIT, from the side that begins (RFC 7296, sections 1.2, 2.6 and 2.7).

use super::auth::Proofs;
use super::nat::{self, Nat};
use super::pieces::{Exchange, Extras, NONCE, error_notify, notify, offered_group, refused, wanted_group};
use super::{Abilities, Context, IkeSa, Pending, Phase};
use crate::connection::Connection;
use crate::crypto::{CryptoError, DhError, KeyPair, Shared, random};
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
    pair: Arc<KeyPair>,
    nonce: Vec<u8>,
    offer: Vec<Proposal>,
    cookie: Option<Vec<u8>>,
    restarts: u32,
}

impl IkeSa {
    /// Begins.
    pub(crate) fn initiate(
        ctx: &mut Context<'_>,
        connection: Arc<Connection>,
        spi: IkeSpi,
        path: (SocketAddr, SocketAddr),
    ) -> Result<IkeSa, Cause> {
        let offer = ike_offer(&connection.proposals, &[]);
        let group = connection.proposals.iter().find_map(|proposal| proposal.groups.first());
        let Some(&group) = group else { return Err(Cause::Ours("no DH group is configured".to_owned())) };
        let ours = |error: CryptoError| Cause::Ours(error.to_string());
        let initiating = Initiating {
            pair: Arc::new(group.generate().map_err(ours)?),
            nonce: random::<NONCE>().map_err(ours)?.to_vec(),
            offer,
            cookie: None,
            restarts: 0,
        };
        let mut sa = IkeSa::new(ctx.now, true, (spi, IkeSpi(0)), path, Phase::Initiating);
        sa.connections = vec![connection];
        sa.announced = true;
        sa.send_init(ctx, initiating);
        Ok(sa)
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
        if std::mem::take(&mut self.waits) && ctx.ready.is_none() {
            // An answer is here already, and its arithmetic is being done.
            self.waits = true;
            return;
        }
        let restart = notify(payloads, NotifyType::COOKIE).map(|cookie| (Some(cookie), None)).or_else(|| {
            notify(payloads, NotifyType::INVALID_KE_PAYLOAD).map(|data| (None, Some(wanted_group(data))))
        });
        if restart.is_none() && error_notify(payloads).is_none() && Exchange::read(payloads).is_none() {
            // Not an answer at all; the true one may still come.
            ctx.counters.unexpected += 1;
            return;
        }
        let shared = match self.init_shared(ctx, payloads) {
            Some(shared) => shared,
            None => {
                self.waits = true;
                return;
            }
        };
        let Some(Pending::Init(mut initiating)) = self.window.restart() else { return };
        if let Some((cookie, group)) = restart {
            match self.change(&mut initiating, cookie, group) {
                Ok(()) => self.send_init(ctx, *initiating),
                Err(cause) => self.init_failed(ctx, true, cause),
            }
            return;
        }
        match self.init_agreed(ctx, &initiating, header, payloads, shared) {
            Ok(nonce) => {
                self.window.skip_first();
                let proofs = Proofs {
                    our_message: message,
                    their_message: datagram.to_vec(),
                    our_nonce: initiating.nonce,
                    their_nonce: nonce,
                };
                self.send_auth(ctx, proofs);
            }
            Err((by_peer, cause)) => self.init_failed(ctx, by_peer, cause),
        }
    }

    /// What the two share, if the answer is of the group that was asked in. The outer `None`: it is still being computed.
    fn init_shared(
        &self,
        ctx: &mut Context<'_>,
        payloads: &[Payload<'_>],
    ) -> Option<Option<Result<Shared, DhError>>> {
        let pair = match self.window.outstanding.as_ref().map(|request| &request.pending) {
            Some(Pending::Init(initiating)) => &initiating.pair,
            _ => return Some(None),
        };
        match Exchange::read(payloads) {
            Some(exchange) if exchange.group == pair.group().id() => {
                ctx.agree(pair, exchange.public).map(Some)
            }
            _ => Some(None),
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
                    let pair = group.generate().map_err(|error| Cause::Ours(error.to_string()))?;
                    initiating.pair = Arc::new(pair);
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
        ctx: &Context<'_>,
        initiating: &Initiating,
        header: &Header,
        payloads: &[Payload<'_>],
        shared: Option<Result<Shared, DhError>>,
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
        let shared = shared.filter(|_| suite.group == initiating.pair.group());
        let shared =
            shared.ok_or_else(|| theirs("its key is of another group than the one that it chose"))?;
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
