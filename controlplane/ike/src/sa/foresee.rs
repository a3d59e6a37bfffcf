//! What arithmetic a message or a task is going to take, so that it can be given away before ([`crate::endpoint::Job`]).
//!
//! It may be wrong: then something is computed that nobody asks for, or asked for that is computed at once. What is agreed
//! on is the same.

use super::auth::id_payload;
use super::pieces::{notify, offered_group, wanted_group};
use super::{Context, IkeSa, Pending, Phase, Task};
use crate::connection::ChildPolicy;
use crate::crypto::{Group, KeyPair};
use crate::endpoint::Work;
use crate::message::{ExchangeType, Header, NotifyType, Payload, Proposal};
use std::sync::Arc;

/// Of what group a child SA of that policy is asked for.
pub(super) fn first_group(policy: &ChildPolicy) -> Option<Group> {
    policy.proposals.iter().find_map(|proposal| proposal.groups.first().copied())
}

fn key_exchange<'a>(payloads: &[Payload<'a>]) -> Option<(u16, &'a [u8])> {
    payloads.iter().find_map(|payload| match payload {
        Payload::KeyExchange { group, data } => Some((*group, *data)),
        _ => None,
    })
}

/// What an answer to an exchange of keys takes: the other half, or another pair where the peer wants another group.
fn second_half(pair: Option<&Arc<KeyPair>>, offer: &[Proposal], payloads: &[Payload<'_>]) -> Option<Work> {
    if let Some(data) = notify(payloads, NotifyType::INVALID_KE_PAYLOAD) {
        return offered_group(offer, wanted_group(data)).map(Work::Generate);
    }
    let (group, public) = key_exchange(payloads)?;
    let pair = pair.filter(|pair| pair.group().id() == group)?;
    Some(Work::Agree(pair.clone(), public.to_vec()))
}

impl IkeSa {
    /// Of a sealed message.
    pub(super) fn foresee(&self, ctx: &Context<'_>, header: &Header, payloads: &[Payload<'_>]) -> Vec<Work> {
        if header.response {
            return self.foresee_answer(ctx, payloads).into_iter().collect();
        }
        match (&self.phase, header.exchange) {
            (Phase::HalfOpen(proofs), ExchangeType::IKE_AUTH) => {
                let Ok((id, _, connection)) = self.presented(payloads) else { return Vec::new() };
                let verifying = self.verifying(ctx, &connection, proofs, id, payloads);
                let signing = self.signing(&connection, proofs, &connection.local_identity.to_body());
                let verify = verifying.ok().flatten().map(Work::Verify);
                verify.into_iter().chain(signing.ok().flatten().map(Work::Sign)).collect()
            }
            (Phase::Established, ExchangeType::CREATE_CHILD_SA) if self.is_settled() => {
                self.share(payloads).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Our share of an exchange that the peer asks for, where its group is one that we are willing to.
    fn share(&self, payloads: &[Payload<'_>]) -> Option<Work> {
        let (number, public) = key_exchange(payloads)?;
        let connection = self.connection()?;
        let of_ike = connection.proposals.iter().map(|proposal| &proposal.groups);
        let children = connection.children.iter().flat_map(|policy| &policy.proposals);
        let mut groups = of_ike.chain(children.map(|proposal| &proposal.groups)).flatten();
        let group = groups.find(|group| group.id() == number)?;
        Some(Work::Answer(*group, public.to_vec()))
    }

    /// Of the answer to what is outstanding.
    pub(super) fn foresee_answer(&self, ctx: &Context<'_>, payloads: &[Payload<'_>]) -> Option<Work> {
        match &self.window.outstanding.as_ref()?.pending {
            Pending::Init(initiating) => second_half(Some(&initiating.pair), &initiating.offer, payloads),
            Pending::Auth(authenticating) => {
                let id = id_payload(payloads)?;
                let verifying = self.verifying(ctx, self.connection()?, &authenticating.proofs, id, payloads);
                verifying.ok().flatten().map(Work::Verify)
            }
            Pending::Child(offering) => second_half(offering.pair.as_ref(), &offering.proposals, payloads),
            Pending::Rekey(rekeying) => second_half(Some(&rekeying.pair), &rekeying.offer, payloads),
            Pending::DeleteChild(_) | Pending::DeleteIke | Pending::Liveness => None,
        }
    }

    /// Of a task.
    pub(super) fn foresee_task(&self, task: &Task) -> Option<Work> {
        let group = match task {
            Task::Init => {
                let groups = self.connection()?.proposals.iter().flat_map(|proposal| &proposal.groups);
                groups.copied().next()
            }
            Task::Auth(proofs) => {
                let connection = self.connection()?;
                let signing = self.signing(connection, proofs, &connection.local_identity.to_body());
                return signing.ok().flatten().map(Work::Sign);
            }
            Task::Child(policy) => first_group(policy),
            Task::RekeyChild(inbound) => self
                .children
                .iter()
                .find(|child| child.inbound == *inbound)
                .and_then(|child| first_group(&child.policy)),
            Task::RekeyIke => self.protection.as_ref().map(|protection| protection.suite.group),
            Task::DeleteChild(..) | Task::DeleteIke(_) | Task::Liveness => None,
        };
        group.map(Work::Generate)
    }
}
