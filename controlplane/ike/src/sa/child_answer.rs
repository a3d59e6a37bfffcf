//! The answer to an offer of a child SA (RFC 7296, sections 2.9 and 2.17).

use super::child::{Agreed, Parts};
use super::pieces::notify;
use super::{Context, IkeSa};
use crate::connection::ChildPolicy;
use crate::crypto::{DhError, EspSuite};
use crate::keys::child_keys;
use crate::message::{NotifyType, Payload, Proposal, write_proposals, write_selectors};
use crate::negotiate::{Cause, SelectorOffer, choose, esp_offer, esp_suite, without_groups};
use crate::selector::{TrafficSelector, narrow, within};
use model::{Mode, Spi};
use std::sync::Arc;

/// An offer that we do not take: what the peer hears, and what our people do.
pub(super) struct Refused {
    pub(super) kind: NotifyType,
    pub(super) data: Vec<u8>,
    /// To another Espalier also what would have done.
    pub(super) more: Option<(NotifyType, Vec<u8>)>,
    pub(super) policy: Option<Arc<ChildPolicy>>,
    pub(super) cause: Box<Cause>,
}

impl Refused {
    fn new(kind: NotifyType, cause: Cause) -> Refused {
        Refused { kind, data: Vec::new(), more: None, policy: None, cause: Box::new(cause) }
    }
}

/// The payloads of an offer or of its answer.
pub(super) struct Said<'p, 'a> {
    pub(super) proposals: &'p [Proposal],
    pub(super) initiator: &'p [TrafficSelector],
    pub(super) responder: &'p [TrafficSelector],
    pub(super) key: Option<(u16, &'a [u8])>,
    pub(super) transport: bool,
    /// Whether its sender takes TFC padding (RFC 7296, section 3.10.1).
    pub(super) tfc_padding: bool,
}

impl<'p, 'a> Said<'p, 'a> {
    pub(super) fn read(payloads: &'p [Payload<'a>]) -> Option<Said<'p, 'a>> {
        let (mut sa, mut initiator, mut responder, mut key) = (None, None, None, None);
        for payload in payloads {
            match payload {
                Payload::Sa(proposals) => sa = Some(proposals.as_slice()),
                Payload::TsI(selectors) => initiator = Some(selectors.as_slice()),
                Payload::TsR(selectors) => responder = Some(selectors.as_slice()),
                Payload::KeyExchange { group, data } => key = Some((*group, *data)),
                _ => {}
            }
        }
        Some(Said {
            proposals: sa?,
            initiator: initiator?,
            responder: responder?,
            key,
            transport: notify(payloads, NotifyType::USE_TRANSPORT_MODE).is_some(),
            tfc_padding: notify(payloads, NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED).is_none(),
        })
    }
}

/// A policy, and what of it the peer wants, too.
struct Narrowed {
    policy: Arc<ChildPolicy>,
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
}

/// The SPI of ESP that a chosen proposal bears.
pub(super) fn spi_of(proposal: &Proposal) -> Option<Spi> {
    let bytes = <[u8; 4]>::try_from(proposal.spi.as_slice()).ok()?;
    Spi::new(u32::from_be_bytes(bytes)).ok()
}

impl IkeSa {
    /// Answers an offer of a child SA, and installs it. `nonces` are the initiator's and the responder's of the exchange;
    /// `with_groups` says whether it may have a key exchange of its own, which in IKE_AUTH it may not.
    pub(super) fn answer_child(
        &mut self,
        ctx: &mut Context<'_>,
        payloads: &[Payload<'_>],
        replaces: Option<Spi>,
        nonces: (&[u8], &[u8]),
        with_groups: bool,
    ) -> Result<Parts, Refused> {
        let protocol =
            |what: &str| Refused::new(NotifyType::INVALID_SYNTAX, Cause::Protocol(what.to_owned()));
        let ours = |what: String| Refused::new(NotifyType::TEMPORARY_FAILURE, Cause::Ours(what));
        let said =
            Said::read(payloads).ok_or_else(|| protocol("a child SA without SA or traffic selectors"))?;
        if replaces.is_none() && self.children.len() >= ctx.settings.most_children {
            return Err(Refused::new(
                NotifyType::NO_ADDITIONAL_SAS,
                Cause::Ours("this IKE SA has as many child SAs as it may".to_owned()),
            ));
        }
        let Narrowed { policy, local, remote } = self.choose_policy(&said, replaces)?;
        let with_policy = |refused: Refused| Refused { policy: Some(policy.clone()), ..refused };
        let (chosen, suite) = self.choose_suite(&policy, &said, with_groups).map_err(with_policy)?;
        let wanted = if said.transport { Mode::Transport } else { Mode::Tunnel };
        if policy.mode == Mode::Transport && wanted == Mode::Tunnel {
            let cause = Cause::Mode { ours: policy.mode, theirs: wanted };
            return Err(with_policy(Refused::new(NotifyType::NO_PROPOSAL_CHOSEN, cause)));
        }
        let peer_spi = spi_of(&chosen).ok_or_else(|| protocol("an SPI of ESP that is none"))?;
        let (key, shared) = match (suite.group, said.key) {
            (None, _) => (None, None),
            (Some(group), Some((number, public))) if number == group.id() => {
                match ctx.answer(group, public) {
                    Ok((public, shared)) => (Some((group.id(), public)), Some(shared)),
                    Err(error @ DhError::PublicValue(_)) => return Err(protocol(&error.to_string())),
                    Err(error) => return Err(ours(error.to_string())),
                }
            }
            (Some(group), sent) => {
                let cause = Cause::KeyExchangeGroup {
                    ours: vec![group],
                    theirs: sent.map_or(0, |(number, _)| number),
                };
                let refused = Refused::new(NotifyType::INVALID_KE_PAYLOAD, cause);
                return Err(with_policy(Refused { data: group.id().to_be_bytes().to_vec(), ..refused }));
            }
        };
        let Some(keys) = &self.keys else { return Err(ours("no keys".to_owned())) };
        let derived = child_keys(keys, &suite, shared.as_ref(), nonces.0, nonces.1);
        let (from_initiator, from_responder) = match derived {
            Ok(Some(keys)) => keys,
            Ok(None) => return Err(ours("keys that are too long".to_owned())),
            Err(error) => return Err(ours(error.to_string())),
        };
        let spi = ctx.allocate(self.spi()).map_err(|error| ours(error.to_string()))?;
        let mode = policy.mode;
        let parts = Parts {
            rekeys: None,
            transport: mode == Mode::Transport,
            proposals: vec![Proposal { spi: spi.get().to_be_bytes().to_vec(), ..chosen }],
            nonce: if with_groups { nonces.1.to_vec() } else { Vec::new() },
            key,
            initiator: remote.clone(),
            responder: local.clone(),
        };
        self.install(
            ctx,
            Agreed {
                policy,
                suite,
                mode,
                local,
                remote,
                inbound: (spi, from_initiator),
                outbound: (peer_spi, from_responder),
                replaces,
                tfc_padding: said.tfc_padding,
                // The initiator does not have it before our answer comes; where there is an old one, that carries on.
                send: replaces.is_none(),
                by_peer: true,
            },
        );
        Ok(parts)
    }

    /// The policy that the selectors fit: the one of the pair that it replaces; else one that covers the first selectors,
    /// which may be those of the packet that made the peer ask (section 2.9); else the first with anything in common.
    fn choose_policy(&self, said: &Said<'_, '_>, replaces: Option<Spi>) -> Result<Narrowed, Refused> {
        let old = self.children.iter().find(|child| Some(child.inbound) == replaces);
        let policies: Vec<Arc<ChildPolicy>> = match old {
            Some(child) => vec![child.policy.clone()],
            None => self.connection().map(|connection| connection.children.clone()).unwrap_or_default(),
        };
        let mut best = None;
        let mut asked = Vec::new();
        for policy in policies {
            let (ours, behind_peer) = self.selectors(&policy);
            let (local, remote) = (narrow(&ours, said.responder), narrow(&behind_peer, said.initiator));
            if local.is_empty() || remote.is_empty() {
                asked.push(SelectorOffer { local: ours, remote: behind_peer });
                continue;
            }
            let first = |selectors: &[TrafficSelector], narrowed: &[TrafficSelector]| {
                selectors.first().is_some_and(|first| within(std::slice::from_ref(first), narrowed))
            };
            if first(said.responder, &local) && first(said.initiator, &remote) {
                return Ok(Narrowed { policy, local, remote });
            }
            best = best.or(Some(Narrowed { policy, local, remote }));
        }
        best.ok_or_else(|| {
            let mut refused = Refused::new(NotifyType::TS_UNACCEPTABLE, Cause::NoConnection);
            if let Some(offer) = asked.first().filter(|_| self.abilities.espalier) {
                let body = write_selectors(&offer.local, &offer.remote);
                refused.more = Some((NotifyType::ESPALIER_SELECTORS, body));
            }
            let theirs = SelectorOffer { local: said.responder.to_vec(), remote: said.initiator.to_vec() };
            *refused.cause = Cause::Selectors { ours: asked, theirs: Some(theirs) };
            refused
        })
    }

    fn choose_suite(
        &self,
        policy: &ChildPolicy,
        said: &Said<'_, '_>,
        with_groups: bool,
    ) -> Result<(Proposal, EspSuite), Refused> {
        let strip =
            |proposals: Vec<Proposal>| if with_groups { proposals } else { without_groups(proposals) };
        let ours = strip(esp_offer(&policy.proposals, &[]));
        let theirs = strip(said.proposals.to_vec());
        let refuse = |cause: Cause| {
            let mut refused = Refused::new(NotifyType::NO_PROPOSAL_CHOSEN, cause);
            refused.more =
                self.abilities.espalier.then(|| (NotifyType::ESPALIER_OFFER, write_proposals(&ours)));
            refused
        };
        let chosen = choose(&ours, &theirs).map_err(&refuse)?;
        let suite = esp_suite(&chosen).ok_or_else(|| {
            refuse(Cause::Protocol("it offers algorithms that do not go together".to_owned()))
        })?;
        Ok((chosen, suite))
    }
}
