//! CREATE_CHILD_SA for a child SA, from the side that asks (RFC 7296, sections 1.3.1 and 1.3.3).

use super::child_conclude::refused_child;
use super::pieces::{error_notify, notify, offered_group, wanted_group};
use super::{Context, IkeSa, Offering, Pending, Task};
use crate::connection::ChildPolicy;
use crate::endpoint::Down;
use crate::message::{ExchangeType, NotifyType, Payload};
use crate::negotiate::{Cause, Stage};
use model::Spi;
use std::sync::Arc;

/// How often an offer is made in another form, or again after the peer had no time for it.
const RESTARTS: u32 = 5;

impl IkeSa {
    /// Offers a child SA, or another in the place of one.
    pub(super) fn ask_child(
        &mut self,
        ctx: &mut Context<'_>,
        policy: Arc<ChildPolicy>,
        replaces: Option<Spi>,
    ) {
        match self.offering(ctx, policy.clone(), replaces, true) {
            Ok(offering) => self.send_offering(ctx, offering),
            Err(cause) => self.report(ctx, Some(&policy), Stage::Child, false, cause),
        }
    }

    pub(super) fn ask_rekey_child(&mut self, ctx: &mut Context<'_>, inbound: Spi) {
        let Some(child) = self.child_mut(inbound) else { return };
        if child.leaving.is_some() || child.replaced_by.is_some() {
            return;
        }
        child.rekey_at = None;
        let policy = child.policy.clone();
        self.ask_child(ctx, policy, Some(inbound));
    }

    fn send_offering(&mut self, ctx: &mut Context<'_>, offering: Offering) {
        let parts = offering.parts();
        let pending = Pending::Child(Box::new(offering));
        self.request(ctx, ExchangeType::CREATE_CHILD_SA, &parts.payloads(), pending);
    }

    pub(super) fn create_child_answered(
        &mut self,
        ctx: &mut Context<'_>,
        offering: Offering,
        payloads: &[Payload<'_>],
    ) {
        if let Some(kind) = error_notify(payloads) {
            return self.child_refused(ctx, offering, payloads, kind);
        }
        let nonce = payloads.iter().find_map(|payload| match payload {
            Payload::Nonce(nonce) => Some(*nonce),
            _ => None,
        });
        let ours = offering.nonce.clone();
        // Without one, the keys of the two ends differ: the answer is checked, and refused for what it lacks.
        self.conclude_child(ctx, offering, payloads, (&ours, nonce.unwrap_or_default()));
    }

    fn child_refused(
        &mut self,
        ctx: &mut Context<'_>,
        mut offering: Offering,
        payloads: &[Payload<'_>],
        kind: NotifyType,
    ) {
        offering.restarts += 1;
        if offering.restarts <= RESTARTS {
            match kind {
                // The peer wants a key of another group that we offer, too (section 1.3).
                NotifyType::INVALID_KE_PAYLOAD => {
                    let number = notify(payloads, kind).map_or(0, wanted_group);
                    let current = offering.pair.as_ref().map(|pair| pair.group());
                    let wanted = offered_group(&offering.proposals, number);
                    if let Some(group) = wanted.filter(|group| Some(*group) != current)
                        && let Ok(pair) = ctx.generate(group)
                    {
                        offering.pair = Some(pair);
                        return self.send_offering(ctx, offering);
                    }
                }
                // It is busy with something that excludes this one (section 2.25).
                NotifyType::TEMPORARY_FAILURE => {
                    offering.abandon(ctx);
                    self.retry_at = Some(ctx.retry_at());
                    self.tasks.push_front(match offering.replaces {
                        Some(old) => Task::RekeyChild(old),
                        None => Task::Child(offering.policy.clone()),
                    });
                    return;
                }
                _ => {}
            }
        }
        offering.abandon(ctx);
        if let Some(old) = offering.replaces {
            return self.rekey_refused(ctx, &offering, old, payloads, kind);
        }
        let cause = refused_child(self, &offering, payloads, kind);
        self.report(ctx, Some(&offering.policy), Stage::Child, true, cause);
    }

    /// The old pair goes on until its end, unless the peer does not have it at all.
    fn rekey_refused(
        &mut self,
        ctx: &mut Context<'_>,
        offering: &Offering,
        old: Spi,
        payloads: &[Payload<'_>],
        kind: NotifyType,
    ) {
        if offering.rival.is_some() {
            // The peer has rekeyed it already.
            return;
        }
        let cause = refused_child(self, offering, payloads, kind);
        let cause = if kind == NotifyType::CHILD_SA_NOT_FOUND {
            self.lose_child(ctx, old, Down::Peer);
            Cause::Protocol("the peer does not have the child SA that was to be rekeyed".to_owned())
        } else {
            cause
        };
        self.report(ctx, Some(&offering.policy), Stage::Child, true, cause);
    }
}
