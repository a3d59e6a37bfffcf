//! A new IKE SA in the place of an old one, on both sides (RFC 7296, sections 1.3.2, 2.8.2, 2.18 and 2.25.2).

use super::pieces::{Exchange, NONCE, error_notify, notify, offered_group, refused, wanted_group};
use super::{Context, Effect, IkeSa, Pending, Phase, Rival, Task};
use crate::crypto::{DhError, IkeSuite, KeyPair, Shared, random};
use crate::endpoint::{Down, Output};
use crate::keys::{Seed, ike_keys, next_seed};
use crate::message::{ExchangeType, Header, IkeSpi, NotifyType, Payload, Proposal};
use crate::negotiate::{Cause, Offer, Stage, accept, choose, ike_offer, ike_suite};
use crate::sa::protect::Protection;
use std::sync::Arc;

/// What we remember until the answer comes.
pub(crate) struct Rekeying {
    spi: IkeSpi,
    pub(super) pair: Arc<KeyPair>,
    nonce: Vec<u8>,
    pub(super) offer: Vec<Proposal>,
    restarted: bool,
    pub(super) rival: Option<Rival<IkeSpi>>,
}

fn spi_of(proposal: &Proposal) -> Option<IkeSpi> {
    let bytes = <[u8; 8]>::try_from(proposal.spi.as_slice()).ok()?;
    Some(IkeSpi(u64::from_be_bytes(bytes))).filter(|spi| *spi != IkeSpi(0))
}

/// Why an offer of a new IKE SA is not taken: what the peer hears, and what our people do.
type Refused = (NotifyType, Vec<u8>, Option<Box<Cause>>);

impl IkeSa {
    pub(super) fn ask_rekey(&mut self, ctx: &mut Context<'_>, again: Option<Rekeying>) {
        let rekeying = match again.map_or_else(|| self.rekeying(ctx), Ok) {
            Ok(rekeying) => rekeying,
            Err(cause) => return self.report(ctx, None, Stage::Rekey, false, cause),
        };
        self.rekey_at = None;
        let (offer, nonce) = (rekeying.offer.clone(), rekeying.nonce.clone());
        let (group, public) = (rekeying.pair.group().id(), rekeying.pair.public().to_vec());
        let payloads =
            [Payload::Sa(offer), Payload::Nonce(&nonce), Payload::KeyExchange { group, data: &public }];
        let pending = Pending::Rekey(Box::new(rekeying));
        self.request(ctx, ExchangeType::CREATE_CHILD_SA, &payloads, pending);
    }

    fn rekeying(&self, ctx: &mut Context<'_>) -> Result<Rekeying, Cause> {
        let ours = |error: crate::crypto::CryptoError| Cause::Ours(error.to_string());
        let Some(connection) = self.connection() else { return Err(Cause::NoConnection) };
        let spi = IkeSpi(u64::from_be_bytes(random().map_err(ours)?));
        let offer = ike_offer(&connection.proposals, &spi.0.to_be_bytes());
        // The group that was agreed on before will do again.
        let group = self.protection.as_ref().map(|protection| protection.suite.group);
        let group = group.ok_or_else(|| Cause::Ours("no group".to_owned()))?;
        let pair = ctx.generate(group).map_err(ours)?;
        let nonce = random::<NONCE>().map_err(ours)?.to_vec();
        Ok(Rekeying { spi, pair, nonce, offer, restarted: false, rival: None })
    }

    pub(super) fn rekey_answered(
        &mut self,
        ctx: &mut Context<'_>,
        mut rekeying: Rekeying,
        payloads: &[Payload<'_>],
    ) {
        match error_notify(payloads) {
            Some(NotifyType::INVALID_KE_PAYLOAD) if !rekeying.restarted && self.is_established() => {
                let number = notify(payloads, NotifyType::INVALID_KE_PAYLOAD).map_or(0, wanted_group);
                if let Some(group) = offered_group(&rekeying.offer, number)
                    && let Ok(pair) = ctx.generate(group)
                {
                    (rekeying.pair, rekeying.restarted) = (pair, true);
                    return self.ask_rekey(ctx, Some(rekeying));
                }
            }
            Some(_) if rekeying.rival.is_some() && self.is_established() => {
                // The peer's own stands.
                let rival = rekeying.rival.map(|rival| rival.spi);
                return rival.into_iter().for_each(|spi| self.inherit(ctx, spi));
            }
            Some(_) if !self.is_established() => return,
            Some(NotifyType::TEMPORARY_FAILURE) => {
                self.retry_at = Some(ctx.retry_at());
                self.tasks.push_back(Task::RekeyIke);
                return;
            }
            Some(kind) => {
                let cause = refused(payloads, kind, &rekeying.offer);
                return self.report(ctx, None, Stage::Rekey, true, cause);
            }
            None => {}
        }
        let new = match self.check_rekey(ctx, &rekeying, payloads) {
            Ok(new) => new,
            Err(cause) => return self.report(ctx, None, Stage::Rekey, false, cause),
        };
        let (new, lowest) = new;
        let spi = new.spi();
        ctx.effects.push(Effect::Add(new));
        if !self.is_established() {
            // We were told to delete it meanwhile: its successor goes along.
            return ctx.effects.push(Effect::Delete(spi));
        }
        match rekeying.rival {
            // Of two that a collision made, the one with the lowest nonce goes, by whoever made it (section 2.8.2).
            Some(rival) if lowest < rival.lowest_nonce => {
                self.inherit(ctx, rival.spi);
                ctx.effects.push(Effect::Delete(spi));
            }
            _ => {
                self.inherit(ctx, spi);
                self.tasks.push_back(Task::DeleteIke(Down::Replaced));
            }
        }
    }

    /// What the peer chose: the new IKE SA, and the lower of its nonces.
    fn check_rekey(
        &self,
        ctx: &mut Context<'_>,
        rekeying: &Rekeying,
        payloads: &[Payload<'_>],
    ) -> Result<(Box<IkeSa>, Vec<u8>), Cause> {
        let protocol = |what: &str| Cause::Protocol(what.to_owned());
        let exchange =
            Exchange::read(payloads).ok_or_else(|| protocol("an answer without SA, KE or nonce"))?;
        let chosen = accept(&rekeying.offer, exchange.proposals)?;
        let suite =
            ike_suite(&chosen).ok_or_else(|| protocol("it chose algorithms that do not go together"))?;
        let peer_spi = spi_of(&chosen).ok_or_else(|| protocol("an SPI of IKE that is none"))?;
        if suite.group != rekeying.pair.group() || exchange.group != suite.group.id() {
            return Err(protocol("its key is of another group than the one that it chose"));
        }
        let shared =
            ctx.agree(&rekeying.pair, exchange.public).map_err(|error| Cause::Protocol(error.to_string()))?;
        let seed = Seed {
            initiator_nonce: &rekeying.nonce,
            responder_nonce: exchange.nonce,
            initiator_spi: rekeying.spi,
            responder_spi: peer_spi,
        };
        let new = self.successor(ctx, true, suite, &shared, &seed);
        let new = new.map_err(|error| Cause::Ours(error.to_string()))?;
        Ok((new, rekeying.nonce.as_slice().min(exchange.nonce).to_vec()))
    }

    /// An IKE SA that goes on where this one ends.
    fn successor(
        &self,
        ctx: &mut Context<'_>,
        is_initiator: bool,
        suite: IkeSuite,
        shared: &Shared,
        seed: &Seed<'_>,
    ) -> Result<Box<IkeSa>, DhError> {
        let spis = (seed.initiator_spi, seed.responder_spi);
        let path = (self.local, self.remote);
        let mut new = IkeSa::new(ctx.now, is_initiator, spis, path, Phase::Established);
        if let Some(old) = &self.keys {
            let skeyseed = next_seed(old, shared, seed)?;
            let (keys, ciphers) = ike_keys(&suite, &skeyseed, seed)?;
            let (i, r) = (ciphers.from_initiator, ciphers.from_responder);
            let (send, receive) = if is_initiator { (i, r) } else { (r, i) };
            new.keys = Some(keys);
            new.protection = Some(Protection::new(suite, send, receive));
        }
        new.nat = self.nat;
        new.connections = self.connections.clone();
        new.peer_identity = self.peer_identity.clone();
        new.authentication = self.authentication;
        new.takes_over = self.takes_over;
        new.abilities = self.abilities;
        new.establish(ctx);
        // Until it has taken over, it may be one of two that a collision made: whoever made the lesser deletes it.
        new.expires = Some(ctx.now + ctx.patience());
        Ok(Box::new(new))
    }

    /// Gives its place to another, with its children and what waits to be asked.
    pub(super) fn inherit(&mut self, ctx: &mut Context<'_>, to: IkeSpi) {
        let children = std::mem::take(&mut self.children);
        let mut tasks = std::mem::take(&mut self.tasks);
        self.take_prepared().into_iter().for_each(|task| tasks.push_front(task));
        tasks.retain(|task| !matches!(task, Task::RekeyIke));
        ctx.outputs.push_back(Output::IkeRekeyed { old: self.spi(), new: to });
        ctx.effects.push(Effect::Inherit { to, children, tasks });
        self.phase = Phase::Replaced;
        self.announced = false;
        // The peer deletes it at once; if it is gone, this one goes by itself.
        self.expires = Some(ctx.now + ctx.patience());
    }

    pub(super) fn rekey_came(&mut self, ctx: &mut Context<'_>, header: &Header, payloads: &[Payload<'_>]) {
        let busy = match self.window.outstanding.as_ref().map(|request| &request.pending) {
            Some(Pending::Child(_) | Pending::DeleteChild(_) | Pending::DeleteIke) => true,
            Some(Pending::Rekey(rekeying)) => rekeying.rival.is_some(),
            _ => false,
        };
        if busy {
            return self.refuse(ctx, header, NotifyType::TEMPORARY_FAILURE, &[]);
        }
        match self.answer_rekey(ctx, payloads) {
            Ok((new, chosen, public, nonces)) => {
                let spi = new.spi();
                let group = new.protection.as_ref().map_or(0, |protection| protection.suite.group.id());
                let answers = [
                    Payload::Sa(vec![chosen]),
                    Payload::Nonce(&nonces.1),
                    Payload::KeyExchange { group, data: &public },
                ];
                self.respond(ctx, header, &answers);
                ctx.effects.push(Effect::Add(new));
                let lowest_nonce = nonces.0.min(nonces.1);
                match self.window.outstanding.as_mut().map(|request| &mut request.pending) {
                    Some(Pending::Rekey(rekeying)) => rekeying.rival = Some(Rival { spi, lowest_nonce }),
                    _ => self.inherit(ctx, spi),
                }
            }
            Err((kind, data, cause)) => {
                self.refuse(ctx, header, kind, &data);
                if let Some(cause) = cause {
                    self.report(ctx, None, Stage::Rekey, false, *cause);
                }
            }
        }
    }

    /// The new IKE SA, the proposal and the public value to answer with, and the nonces of both.
    #[expect(clippy::type_complexity, reason = "the parts of one answer")]
    fn answer_rekey(
        &self,
        ctx: &mut Context<'_>,
        payloads: &[Payload<'_>],
    ) -> Result<(Box<IkeSa>, Proposal, Vec<u8>, (Vec<u8>, Vec<u8>)), Refused> {
        let syntax = |what: &str| {
            (NotifyType::INVALID_SYNTAX, Vec::new(), Some(Box::new(Cause::Protocol(what.to_owned()))))
        };
        let ours =
            |what: String| (NotifyType::TEMPORARY_FAILURE, Vec::new(), Some(Box::new(Cause::Ours(what))));
        let none = |cause: Cause| (NotifyType::NO_PROPOSAL_CHOSEN, Vec::new(), Some(Box::new(cause)));
        let exchange = Exchange::read(payloads).ok_or_else(|| syntax("a request without SA, KE or nonce"))?;
        let Some(connection) = self.connection() else { return Err(none(Cause::NoConnection)) };
        let offer = ike_offer(&connection.proposals, &[]);
        let chosen = choose(&offer, exchange.proposals).map_err(none)?;
        let suite = ike_suite(&chosen).ok_or_else(|| {
            let theirs = Some(Offer::new(std::slice::from_ref(&chosen)));
            none(Cause::Proposals { ours: Offer::new(&offer), theirs, difference: None })
        })?;
        let peer_spi = spi_of(&chosen).ok_or_else(|| syntax("an SPI of IKE that is none"))?;
        if exchange.group != suite.group.id() {
            return Err((NotifyType::INVALID_KE_PAYLOAD, suite.group.id().to_be_bytes().to_vec(), None));
        }
        let (public, shared) = match ctx.answer(suite.group, exchange.public) {
            Ok(answer) => answer,
            Err(error @ DhError::PublicValue(_)) => return Err(syntax(&error.to_string())),
            Err(error) => return Err(ours(error.to_string())),
        };
        let nonce = random::<NONCE>().map_err(|error| ours(error.to_string()))?;
        let spi = IkeSpi(u64::from_be_bytes(random().map_err(|error| ours(error.to_string()))?));
        let seed = Seed {
            initiator_nonce: exchange.nonce,
            responder_nonce: &nonce,
            initiator_spi: peer_spi,
            responder_spi: spi,
        };
        let new = self.successor(ctx, false, suite, &shared, &seed);
        let new = new.map_err(|error| ours(error.to_string()))?;
        let chosen = Proposal { spi: spi.0.to_be_bytes().to_vec(), ..chosen };
        Ok((new, chosen, public, (exchange.nonce.to_vec(), nonce.to_vec())))
    }
}
