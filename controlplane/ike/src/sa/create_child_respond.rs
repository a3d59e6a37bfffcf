//! CREATE_CHILD_SA, from the side that answers (RFC 7296, sections 1.3, 2.8.1 and 2.25).

use super::child_answer::Refused;
use super::{Context, IkeSa, Pending, Rival};
use crate::crypto::random;
use crate::message::{Header, NotifyType, Payload, ProtocolId};
use crate::negotiate::Stage;
use model::Spi;

/// Which SA a request is to replace.
fn rekeyed(payloads: &[Payload<'_>]) -> Option<Spi> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify)
            if notify.kind == NotifyType::REKEY_SA && notify.protocol == ProtocolId::ESP =>
        {
            let spi = <[u8; 4]>::try_from(notify.spi).ok()?;
            Spi::new(u32::from_be_bytes(spi)).ok()
        }
        _ => None,
    })
}

fn is_rekey(payloads: &[Payload<'_>]) -> bool {
    payloads
        .iter()
        .any(|payload| matches!(payload, Payload::Notify(notify) if notify.kind == NotifyType::REKEY_SA))
}

impl IkeSa {
    pub(super) fn create_child_came(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: &[Payload<'_>],
    ) {
        let for_ike = payloads.iter().any(|payload| {
            matches!(payload, Payload::Sa(proposals)
                if proposals.iter().all(|proposal| proposal.protocol == ProtocolId::IKE))
        });
        if for_ike {
            return self.rekey_came(ctx, header, payloads);
        }
        // While we replace the IKE SA, it gets no new children (section 2.25.2).
        if let Some(Pending::Rekey(_)) = self.window.outstanding.as_ref().map(|request| &request.pending) {
            return self.refuse(ctx, header, NotifyType::TEMPORARY_FAILURE, &[]);
        }
        let old = match self.find_rekeyed(payloads) {
            Ok(old) => old,
            Err(kind) => return self.refuse(ctx, header, kind, &[]),
        };
        let nonce = payloads.iter().find_map(|payload| match payload {
            Payload::Nonce(nonce) => Some(*nonce),
            _ => None,
        });
        let (Some(theirs), Ok(ours)) = (nonce, random::<{ super::pieces::NONCE }>()) else {
            return self.refuse(ctx, header, NotifyType::INVALID_SYNTAX, &[]);
        };
        match self.answer_child(ctx, payloads, old, (theirs, &ours), true) {
            Ok(parts) => {
                if let Some(old) = old {
                    let new = self.children.last().map(|child| child.inbound);
                    self.replaced(old, new, theirs.min(&ours));
                }
                self.respond(ctx, header, &parts.payloads());
            }
            Err(refused) => {
                let Refused { kind, data, more, policy, cause } = refused;
                let mut answers = vec![Payload::notify(kind, &data)];
                answers.extend(more.as_ref().map(|(kind, data)| Payload::notify(*kind, data)));
                self.respond(ctx, header, &answers);
                // That the peer guessed another group is nothing to report: it asks again.
                if kind != NotifyType::INVALID_KE_PAYLOAD {
                    self.report(ctx, policy.as_deref(), Stage::Child, false, *cause);
                }
            }
        }
    }

    /// The pair that is to be replaced, by our inbound SPI; its name in the request is the peer's inbound one.
    fn find_rekeyed(&self, payloads: &[Payload<'_>]) -> Result<Option<Spi>, NotifyType> {
        if !is_rekey(payloads) {
            return Ok(None);
        }
        let outbound = rekeyed(payloads);
        let child = self.children.iter().find(|child| Some(child.outbound) == outbound);
        let Some(child) = child else {
            // It may be the one that we have asked for, whose answer is still on its way.
            let asking = matches!(
                self.window.outstanding.as_ref().map(|request| &request.pending),
                Some(Pending::Child(_))
            );
            return Err(if asking { NotifyType::TEMPORARY_FAILURE } else { NotifyType::CHILD_SA_NOT_FOUND });
        };
        // Ours has its place already, or it is about to go (section 2.25.1).
        if child.leaving.is_some() || child.replaced_by.is_some() {
            return Err(NotifyType::TEMPORARY_FAILURE);
        }
        Ok(Some(child.inbound))
    }

    /// Notes which pair the peer put in the place of an old one, and whether we were about to do so, too.
    fn replaced(&mut self, old: Spi, new: Option<Spi>, lowest_nonce: &[u8]) {
        if let Some(child) = self.child_mut(old) {
            child.replaced_by = new;
            child.rekey_at = None;
        }
        let request = self.window.outstanding.as_mut().map(|request| &mut request.pending);
        if let (Some(Pending::Child(offering)), Some(spi)) = (request, new)
            && offering.replaces == Some(old)
        {
            offering.rival = Some(Rival { spi, lowest_nonce: lowest_nonce.to_vec() });
        }
    }
}
