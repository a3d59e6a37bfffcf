//! IKE_AUTH, from the side that answers.

use super::auth::{Proofs, certificate_payloads, expecting, is_initial_contact};
use super::child_answer::Refused;
use super::{Context, Effect, IkeSa, Phase};
use crate::connection::Connection;
use crate::endpoint::Down;
use crate::identity::Identity;
use crate::message::{Header, IdBody, NotifyType, Payload};
use crate::negotiate::{Cause, Stage};
use std::sync::Arc;

impl IkeSa {
    pub(super) fn auth_came(&mut self, ctx: &mut Context<'_>, header: &Header, payloads: &[Payload<'_>]) {
        let Phase::HalfOpen(proofs) = std::mem::replace(&mut self.phase, Phase::Initiating) else { return };
        let (identity, connection) = match self.check_initiator(ctx, &proofs, payloads) {
            Ok(found) => found,
            Err(cause) => {
                // The peer hears that it failed, and nothing of why.
                self.refuse(ctx, header, NotifyType::AUTHENTICATION_FAILED, &[]);
                self.report(ctx, None, Stage::Auth, false, cause);
                return self.close(ctx, Down::Failed);
            }
        };
        self.connections = vec![connection.clone()];
        self.peer_identity = Some(Arc::new(identity));
        let body = connection.local_identity.to_body();
        let (method, data) = match self.prove(ctx, &connection, &proofs, &body) {
            Ok(proof) => proof,
            Err(cause) => {
                self.refuse(ctx, header, NotifyType::AUTHENTICATION_FAILED, &[]);
                self.report(ctx, None, Stage::Auth, false, cause);
                return self.close(ctx, Down::Failed);
            }
        };
        self.up(ctx);
        if is_initial_contact(payloads) {
            ctx.effects.push(Effect::InitialContact);
        }
        let mut answers = vec![Payload::IdR(IdBody(&body))];
        answers.extend(certificate_payloads(&connection));
        answers.push(Payload::Auth { method, data: &data });
        // In seconds, by when the peer is to prove itself anew (RFC 4478).
        let lifetime = connection.reauth.map(|time| time.as_secs().min(u32::MAX.into()) as u32);
        let lifetime = lifetime.map(u32::to_be_bytes);
        answers.extend(lifetime.as_ref().map(|data| Payload::notify(NotifyType::AUTH_LIFETIME, data)));
        // Without an SA payload it is an IKE SA without a child (RFC 6023).
        let wants_child = payloads.iter().any(|payload| matches!(payload, Payload::Sa(_)));
        if !wants_child {
            return self.respond(ctx, header, &answers);
        }
        let nonces = (proofs.their_nonce.as_slice(), proofs.our_nonce.as_slice());
        match self.answer_child(ctx, payloads, None, nonces, false) {
            Ok(answer) => {
                answers.extend(answer.payloads());
                self.respond(ctx, header, &answers);
            }
            Err(refused) => {
                let Refused { kind, data, more, .. } = &refused;
                answers.push(Payload::notify(*kind, data));
                answers.extend(more.as_ref().map(|(kind, data)| Payload::notify(*kind, data)));
                self.respond(ctx, header, &answers);
                let (policy, cause) = (refused.policy.clone(), refused.cause.as_ref().clone());
                self.report(ctx, policy.as_deref(), Stage::Child, false, cause);
            }
        }
    }

    /// Who the peer is, and which connection it is for.
    fn check_initiator(
        &self,
        ctx: &mut Context<'_>,
        proofs: &Proofs,
        payloads: &[Payload<'_>],
    ) -> Result<(Identity, Arc<Connection>), Cause> {
        let (peer, identity, connection) = self.presented(payloads)?;
        self.verify(ctx, &connection, proofs, peer, payloads)?;
        Ok((identity, connection))
    }

    /// Who the peer says it is, and which connection that is for.
    pub(super) fn presented<'a>(
        &self,
        payloads: &[Payload<'a>],
    ) -> Result<(IdBody<'a>, Identity, Arc<Connection>), Cause> {
        let (mut peer, mut us) = (None, None);
        for payload in payloads {
            match payload {
                Payload::IdI(id) => peer = Some(*id),
                Payload::IdR(id) => us = Some(Identity::parse(*id)),
                _ => {}
            }
        }
        let peer = peer.ok_or_else(|| Cause::Protocol("a request without an identity".to_owned()))?;
        let identity = Identity::parse(peer);
        let connection = expecting(&self.connections, &identity, us.as_ref())?;
        Ok((peer, identity, connection))
    }
}
