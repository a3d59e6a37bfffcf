//! What becomes of our offer of a child SA, once it is answered (RFC 7296, sections 2.8.1, 2.9 and 2.17).

use super::child::Agreed;
use super::child_answer::{Said, spi_of};
use super::pieces::{notify, offered_group, refused};
use super::{Context, IkeSa, Offering, Task};
use crate::crypto::Secret;
use crate::endpoint::Down;
use crate::keys::child_keys;
use crate::message::{NotifyType, Payload, parse_selectors};
use crate::negotiate::{Cause, Refusal, SelectorOffer, Stage, accept, esp_suite};
use crate::selector::within;
use model::Mode;

impl IkeSa {
    /// Takes the answer to an offer, and installs the pair. `nonces` as in [`IkeSa::answer_child`]. Says whether it did.
    pub(super) fn conclude_child(
        &mut self,
        ctx: &mut Context<'_>,
        offering: Offering,
        payloads: &[Payload<'_>],
        nonces: (&[u8], &[u8]),
    ) -> bool {
        let lost = offering
            .rival
            .as_ref()
            .is_some_and(|rival| nonces.0.min(nonces.1) < rival.lowest_nonce.as_slice());
        match self.check_child(ctx, &offering, payloads, nonces) {
            Ok(agreed) if offering.gone.contains(&agreed.outbound.0.get()) => {
                // The peer has deleted it already; the old pair goes as if the new one had stood for a while.
                offering.abandon(ctx);
                self.tasks.extend(offering.replaces.map(|old| Task::DeleteChild(old, Down::Replaced)));
                false
            }
            Ok(agreed) => {
                let inbound = agreed.inbound.0;
                // Of two that a collision made, the one with the lowest nonce goes, by whoever made it (section 2.8.1).
                self.install(ctx, Agreed { send: !lost, ..agreed });
                if lost {
                    self.tasks.push_front(Task::DeleteChild(inbound, Down::Replaced));
                } else if let Some(old) = offering.replaces {
                    if let Some(child) = self.child_mut(old) {
                        child.replaced_by = None;
                        child.leaving = Some(Down::Replaced);
                    }
                    self.tasks.push_front(Task::DeleteChild(old, Down::Replaced));
                }
                true
            }
            Err(cause) => {
                // The peer has it, and must be told that we do not (section 2.21.3).
                self.report(ctx, Some(&offering.policy), Stage::Child, false, cause);
                self.tasks.push_front(Task::DeleteChild(offering.spi, Down::Failed));
                false
            }
        }
    }

    fn check_child(
        &self,
        ctx: &mut Context<'_>,
        offering: &Offering,
        payloads: &[Payload<'_>],
        nonces: (&[u8], &[u8]),
    ) -> Result<Agreed, Cause> {
        let protocol = |what: &str| Cause::Protocol(what.to_owned());
        let said =
            Said::read(payloads).ok_or_else(|| protocol("a child SA without SA or traffic selectors"))?;
        let chosen = accept(&offering.proposals, said.proposals)?;
        let suite =
            esp_suite(&chosen).ok_or_else(|| protocol("it chose algorithms that do not go together"))?;
        let peer_spi = spi_of(&chosen).ok_or_else(|| protocol("an SPI of ESP that is none"))?;
        let theirs = if said.transport { Mode::Transport } else { Mode::Tunnel };
        if offering.policy.mode != theirs {
            return Err(Cause::Mode { ours: offering.policy.mode, theirs });
        }
        let inside = within(said.initiator, &offering.local) && within(said.responder, &offering.remote);
        if !inside || said.initiator.is_empty() || said.responder.is_empty() {
            return Err(Cause::Selectors {
                ours: vec![SelectorOffer { local: offering.local.clone(), remote: offering.remote.clone() }],
                theirs: Some(SelectorOffer {
                    local: said.initiator.to_vec(),
                    remote: said.responder.to_vec(),
                }),
            });
        }
        let shared: Option<Secret> = match (suite.group, &offering.pair, said.key) {
            (None, ..) => None,
            (Some(group), Some(pair), Some((number, public)))
                if group == pair.group() && number == group.id() =>
            {
                Some(ctx.agree(pair, public).map_err(|error| Cause::Protocol(error.to_string()))?)
            }
            _ => return Err(protocol("its key is of another group than the one that it chose")),
        };
        let Some(keys) = &self.keys else { return Err(Cause::Ours("no keys".to_owned())) };
        let derived = child_keys(keys, &suite, shared.as_ref(), nonces.0, nonces.1);
        let (from_initiator, from_responder) = derived
            .map_err(|error| Cause::Ours(error.to_string()))?
            .ok_or_else(|| Cause::Ours("keys that are too long".to_owned()))?;
        Ok(Agreed {
            policy: offering.policy.clone(),
            suite,
            mode: theirs,
            local: said.initiator.to_vec(),
            remote: said.responder.to_vec(),
            inbound: (offering.spi, from_responder),
            outbound: (peer_spi, from_initiator),
            replaces: offering.replaces,
            tfc_padding: said.tfc_padding,
            send: true,
            by_peer: false,
        })
    }
}

/// What a refusal of our offer means: with Espalier at the other end, also what it would have taken.
pub(super) fn refused_child(
    sa: &IkeSa,
    offering: &Offering,
    payloads: &[Payload<'_>],
    kind: NotifyType,
) -> Cause {
    match kind {
        NotifyType::NO_PROPOSAL_CHOSEN => refused(payloads, kind, &offering.proposals),
        NotifyType::TS_UNACCEPTABLE => {
            let (local, remote) = sa.selectors(&offering.policy);
            let said = notify(payloads, NotifyType::ESPALIER_SELECTORS).and_then(parse_selectors);
            // What is local to the peer is remote to us.
            let theirs = said.map(|(local, remote)| SelectorOffer { local: remote, remote: local });
            Cause::Selectors { ours: vec![SelectorOffer { local, remote }], theirs }
        }
        NotifyType::INVALID_KE_PAYLOAD => {
            let data = notify(payloads, kind).unwrap_or_default();
            let theirs = super::pieces::wanted_group(data);
            let known = offered_group(&offering.proposals, theirs);
            let ours = offering.policy.proposals.iter().flat_map(|proposal| proposal.groups.clone());
            Cause::KeyExchangeGroup { ours: ours.filter(|group| Some(*group) != known).collect(), theirs }
        }
        _ => Cause::Refused(Refusal(kind)),
    }
}
