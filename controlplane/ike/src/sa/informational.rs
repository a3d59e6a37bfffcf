//! INFORMATIONAL: deletion and liveness, on both sides (RFC 7296, sections 1.4 and 2.25).

use super::pieces::error_notify;
use super::reauth::auth_lifetime;
use super::{Context, Effect, IkeSa, Pending, Phase};
use crate::endpoint::Down;
use crate::message::{ExchangeType, Header, NotifyType, Payload, ProtocolId};
use crate::negotiate::{Cause, Refusal, Stage};
use model::Spi;

/// How many SPIs we remember that the peer deleted before we knew of them.
const MOST_GONE: usize = 8;

/// The SPIs of ESP that a message says are gone.
fn deleted<'p>(payloads: &'p [Payload<'_>]) -> impl Iterator<Item = u32> + 'p {
    payloads
        .iter()
        .filter_map(|payload| match payload {
            Payload::Delete { protocol: ProtocolId::ESP, spis } => Some(spis),
            _ => None,
        })
        .flatten()
        .copied()
}

/// Whether a message says that any are.
pub(super) fn deletes_children(payloads: &[Payload<'_>]) -> bool {
    deleted(payloads).next().is_some()
}

impl IkeSa {
    /// Says that this IKE SA is over, and is done with it: children first.
    pub(super) fn abort(&mut self, ctx: &mut Context<'_>, reason: Down) {
        self.close(ctx, reason);
        self.ask_delete(ctx, reason);
    }

    /// Asks the peer to forget this IKE SA.
    pub(super) fn ask_delete(&mut self, ctx: &mut Context<'_>, reason: Down) {
        if self.protection.is_none() {
            self.phase = Phase::Dead;
            return;
        }
        if !matches!(self.phase, Phase::Replaced) {
            self.close(ctx, reason);
        }
        self.phase = Phase::Closing;
        // Its end is that of the request: an answer, or none after the last try.
        self.expires = None;
        let payload = Payload::Delete { protocol: ProtocolId::IKE, spis: Vec::new() };
        self.request(ctx, ExchangeType::INFORMATIONAL, &[payload], Pending::DeleteIke);
    }

    /// Asks the peer to forget a pair. Until it has answered, what it still sends is received.
    pub(super) fn ask_delete_child(&mut self, ctx: &mut Context<'_>, inbound: Spi, reason: Down) {
        match self.child_mut(inbound) {
            Some(child) => child.leaving = Some(reason),
            // An answer that we would not take: the peer has it, and we do not.
            None if ctx.child_spis.contains_key(&inbound) => {}
            None => return,
        }
        let payload = Payload::Delete { protocol: ProtocolId::ESP, spis: vec![inbound.get()] };
        self.request(ctx, ExchangeType::INFORMATIONAL, &[payload], Pending::DeleteChild(vec![inbound]));
    }

    pub(super) fn children_deleted(&mut self, ctx: &mut Context<'_>, spis: &[Spi], payloads: &[Payload<'_>]) {
        if let Some(kind) = error_notify(payloads) {
            self.report(ctx, None, Stage::Informational, true, Cause::Refused(Refusal(kind)));
        }
        for &inbound in spis {
            self.lose_child(ctx, inbound, Down::Asked);
            ctx.child_spis.remove(&inbound);
        }
    }

    pub(super) fn informational_came(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: &[Payload<'_>],
    ) {
        let over = payloads
            .iter()
            .any(|payload| matches!(payload, Payload::Delete { protocol: ProtocolId::IKE, .. }));
        if over {
            self.respond(ctx, header, &[]);
            return self.peer_deleted(ctx);
        }
        if let Some(time) = auth_lifetime(payloads).filter(|_| self.is_established()) {
            self.authenticate_within(ctx, time);
        }
        let spis = self.peer_deletes_children(ctx, payloads);
        let answer = (!spis.is_empty()).then_some(Payload::Delete { protocol: ProtocolId::ESP, spis });
        self.respond(ctx, header, answer.as_slice());
        if error_notify(payloads) == Some(NotifyType::AUTHENTICATION_FAILED) {
            self.report(
                ctx,
                None,
                Stage::Auth,
                true,
                Cause::Refused(Refusal(NotifyType::AUTHENTICATION_FAILED)),
            );
            self.close(ctx, Down::Failed);
        }
    }

    fn peer_deleted(&mut self, ctx: &mut Context<'_>) {
        let rekeying =
            self.window.outstanding.take_if(|request| matches!(request.pending, Pending::Rekey(_)));
        if let Some(Pending::Rekey(rekeying)) = rekeying.map(|request| request.pending)
            && let Some(rival) = rekeying.rival
        {
            // The peer replaced it while we were about to, and has heard nothing of that: its own stands.
            if self.is_established() {
                self.inherit(ctx, rival.spi);
            } else {
                ctx.effects.push(Effect::Delete(rival.spi));
            }
        }
        if matches!(self.phase, Phase::Replaced) {
            self.phase = Phase::Closing;
        }
        self.close(ctx, Down::Peer);
        // Our own request to delete it, if there is one, has no answer to wait for.
        self.expires = Some(ctx.now + ctx.settings.linger);
        if let Some(outstanding) = self.window.outstanding.take() {
            outstanding.pending.abandon(ctx);
        }
    }

    /// Forgets the pairs that the peer names by its inbound SPIs. Gives ours of those, but for what we have asked to be
    /// deleted ourselves (section 2.25.1).
    fn peer_deletes_children(&mut self, ctx: &mut Context<'_>, payloads: &[Payload<'_>]) -> Vec<u32> {
        let mut ours = Vec::new();
        for outbound in deleted(payloads) {
            let Some(child) = self.children.iter().find(|child| child.outbound.get() == outbound) else {
                // It may be the one that we have asked for, whose answer is still on its way.
                if let Some(Pending::Child(offering)) =
                    self.window.outstanding.as_mut().map(|request| &mut request.pending)
                {
                    offering.gone.truncate(MOST_GONE - 1);
                    offering.gone.insert(0, outbound);
                }
                continue;
            };
            let inbound = child.inbound;
            let asked = self.window.outstanding.as_ref().is_some_and(
                |request| matches!(&request.pending, Pending::DeleteChild(spis) if spis.contains(&inbound)),
            );
            if !asked {
                ours.push(inbound.get());
            }
            self.lose_child(ctx, inbound, Down::Peer);
        }
        ours
    }
}
