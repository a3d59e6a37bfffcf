//! Child SAs: pairs of SAs of ESP, offered, installed, lost.

use super::foresee::first_group;
use super::{Context, IkeSa, Pending, Rival};
use crate::connection::ChildPolicy;
use crate::crypto::{CryptoError, EspSuite, KeyPair, random};
use crate::endpoint::{ChildUp, Down, Output};
use crate::message::{IkeSpi, Notify, NotifyType, Payload, Proposal, ProtocolId};
use crate::negotiate::{Cause, esp_offer, without_groups};
use crate::selector::TrafficSelector;
use model::{KeyMaterial, Mode, Spi};
use std::sync::Arc;
use std::time::Instant;

/// A pair that is installed.
pub(crate) struct Child {
    pub(crate) inbound: Spi,
    pub(crate) outbound: Spi,
    pub(crate) policy: Arc<ChildPolicy>,
    pub(crate) suite: EspSuite,
    pub(crate) mode: Mode,
    pub(crate) local_selectors: Vec<TrafficSelector>,
    pub(crate) remote_selectors: Vec<TrafficSelector>,
    /// When we rekey it; `None` if never, or once that has begun.
    pub(crate) rekey_at: Option<Instant>,
    /// When its lifetime is over, if it could not be rekeyed.
    pub(super) ends_at: Option<Instant>,
    /// Inbound SPI of the pair that the peer put in its place.
    pub(super) replaced_by: Option<Spi>,
    /// Another took its place, or we have asked for its deletion: nobody rekeys it any more.
    pub(super) leaving: Option<Down>,
    pub(crate) since: Instant,
}

impl Child {
    /// When it must go, if nobody has begun to take it down.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.ends_at.filter(|_| self.leaving.is_none())
    }

    /// Says that it is down. If another was put in its place, that one carries the traffic now.
    pub(crate) fn lost(self, ctx: &mut Context<'_>, reason: Down) {
        ctx.child_spis.remove(&self.inbound);
        if let Some(inbound) = self.replaced_by {
            ctx.outputs.push_back(Output::ChildSend { inbound });
        }
        ctx.outputs.push_back(Output::ChildDown {
            inbound: self.inbound,
            outbound: self.outbound,
            policy: self.policy.name.clone(),
            reason: self.leaving.unwrap_or(reason),
        });
    }
}

/// A pair that we have offered.
pub(crate) struct Offering {
    pub(super) policy: Arc<ChildPolicy>,
    pub(super) spi: Spi,
    pub(super) proposals: Vec<Proposal>,
    pub(super) pair: Option<Arc<KeyPair>>,
    pub(super) nonce: Vec<u8>,
    pub(super) local: Vec<TrafficSelector>,
    pub(super) remote: Vec<TrafficSelector>,
    /// Inbound SPI of the pair whose place it is to take.
    pub(super) replaces: Option<Spi>,
    pub(super) rival: Option<Rival<Spi>>,
    /// Outbound SPIs that the peer has deleted meanwhile.
    pub(super) gone: Vec<u32>,
    pub(super) restarts: u32,
}

impl Offering {
    /// Gives its SPI back.
    pub(super) fn abandon(&self, ctx: &mut Context<'_>) {
        ctx.child_spis.remove(&self.spi);
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            rekeys: self.replaces.map(|spi| spi.get().to_be_bytes()),
            transport: self.policy.mode == Mode::Transport,
            proposals: self.proposals.clone(),
            nonce: self.nonce.clone(),
            key: self.pair.as_ref().map(|pair| (pair.group().id(), pair.public().to_vec())),
            initiator: self.local.clone(),
            responder: self.remote.clone(),
        }
    }
}

impl Pending {
    /// It will have no answer any more: what was set aside for it is free again.
    pub(super) fn abandon(self, ctx: &mut Context<'_>) {
        match self {
            Pending::Auth(authenticating) => authenticating.abandon(ctx),
            Pending::Child(offering) => offering.abandon(ctx),
            Pending::DeleteChild(spis) => spis.iter().for_each(|spi| {
                ctx.child_spis.remove(spi);
            }),
            Pending::Init(_) | Pending::Rekey(_) | Pending::DeleteIke | Pending::Liveness => {}
        }
    }
}

/// What messages that offer or accept a child SA consist of.
pub(super) struct Parts {
    pub(super) rekeys: Option<[u8; 4]>,
    pub(super) transport: bool,
    pub(super) proposals: Vec<Proposal>,
    pub(super) nonce: Vec<u8>,
    pub(super) key: Option<(u16, Vec<u8>)>,
    pub(super) initiator: Vec<TrafficSelector>,
    pub(super) responder: Vec<TrafficSelector>,
}

impl Parts {
    /// In the order of RFC 7296, section 1.3.
    pub(super) fn payloads(&self) -> Vec<Payload<'_>> {
        let rekeys = self.rekeys.as_ref().map(|spi| {
            Payload::Notify(Notify { protocol: ProtocolId::ESP, spi, kind: NotifyType::REKEY_SA, data: &[] })
        });
        let transport = self.transport.then(|| Payload::notify(NotifyType::USE_TRANSPORT_MODE, &[]));
        let nonce = (!self.nonce.is_empty()).then_some(Payload::Nonce(&self.nonce));
        let key = self.key.as_ref().map(|(group, data)| Payload::KeyExchange { group: *group, data });
        // Out of transport mode, TFC padding cannot be told from the rest (RFC 4303, section 2.7).
        let padding = self.transport.then(|| Payload::notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED, &[]));
        let sa = Payload::Sa(self.proposals.clone());
        let selectors = [Payload::TsI(self.initiator.clone()), Payload::TsR(self.responder.clone())];
        let front = rekeys.into_iter().chain(transport).chain(padding).chain([sa]);
        front.chain(nonce).chain(key).chain(selectors).collect()
    }
}

/// What was agreed on, seen from here.
pub(super) struct Agreed {
    pub(super) policy: Arc<ChildPolicy>,
    pub(super) suite: EspSuite,
    pub(super) mode: Mode,
    pub(super) local: Vec<TrafficSelector>,
    pub(super) remote: Vec<TrafficSelector>,
    pub(super) inbound: (Spi, KeyMaterial),
    pub(super) outbound: (Spi, KeyMaterial),
    pub(super) replaces: Option<Spi>,
    pub(super) tfc_padding: bool,
    pub(super) send: bool,
    pub(super) by_peer: bool,
}

impl Context<'_> {
    /// When to ask again for what the peer had no time for.
    pub(super) fn retry_at(&mut self) -> Instant {
        self.now + self.chance.pause(self.settings.retry_after)
    }

    /// An SPI of ESP that none of our pairs has.
    pub(super) fn allocate(&mut self, ike: IkeSpi) -> Result<Spi, CryptoError> {
        loop {
            let Ok(spi) = Spi::new(u32::from_be_bytes(random()?)) else { continue };
            if let std::collections::hash_map::Entry::Vacant(vacant) = self.child_spis.entry(spi) {
                vacant.insert(ike);
                return Ok(spi);
            }
        }
    }
}

impl IkeSa {
    /// A policy's selectors; where it has none, the outer addresses themselves.
    pub(super) fn selectors(&self, policy: &ChildPolicy) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
        let or_host = |selectors: &[TrafficSelector], host: std::net::IpAddr| match selectors {
            [] => vec![TrafficSelector::host(host)],
            some => some.to_vec(),
        };
        (or_host(&policy.local, self.local.ip()), or_host(&policy.remote, self.remote.ip()))
    }

    /// Sets aside what an offer needs. Without groups in IKE_AUTH, where the nonces are those of the IKE SA.
    pub(super) fn offering(
        &self,
        ctx: &mut Context<'_>,
        policy: Arc<ChildPolicy>,
        replaces: Option<Spi>,
        with_groups: bool,
    ) -> Result<Offering, Cause> {
        let ours = |error: CryptoError| Cause::Ours(error.to_string());
        let (local, remote) = self.selectors(&policy);
        let spi = ctx.allocate(self.spi()).map_err(ours)?;
        let proposals = esp_offer(&policy.proposals, &spi.get().to_be_bytes());
        let mut offering = Offering {
            policy,
            spi,
            proposals,
            pair: None,
            nonce: Vec::new(),
            local,
            remote,
            replaces,
            rival: None,
            gone: Vec::new(),
            restarts: 0,
        };
        if !with_groups {
            offering.proposals = without_groups(offering.proposals);
            return Ok(offering);
        }
        let group = first_group(&offering.policy);
        let pair = group.map(|group| ctx.generate(group)).transpose();
        match (pair, random::<{ super::pieces::NONCE }>()) {
            (Ok(pair), Ok(nonce)) => {
                offering.pair = pair;
                offering.nonce = nonce.to_vec();
                Ok(offering)
            }
            (Err(error), _) | (_, Err(error)) => {
                offering.abandon(ctx);
                Err(ours(error))
            }
        }
    }

    /// Has a pair installed.
    pub(super) fn install(&mut self, ctx: &mut Context<'_>, agreed: Agreed) {
        let Some(connection) = self.connection() else { return };
        let Agreed {
            policy,
            suite,
            mode,
            local,
            remote,
            inbound,
            outbound,
            replaces,
            tfc_padding,
            send,
            by_peer,
        } = agreed;
        let rekey_after = ctx.chance.before_end(&policy.lifetime, &suite);
        let child = Child {
            inbound: inbound.0,
            outbound: outbound.0,
            policy: policy.clone(),
            suite,
            mode,
            local_selectors: local.clone(),
            remote_selectors: remote.clone(),
            rekey_at: rekey_after.time.and_then(|time| ctx.now.checked_add(time)),
            ends_at: policy.lifetime.time.and_then(|time| ctx.now.checked_add(time)),
            replaced_by: None,
            leaving: None,
            since: ctx.now,
        };
        ctx.child_spis.insert(child.inbound, self.spi());
        ctx.outputs.push_back(Output::ChildUp(Box::new(ChildUp {
            ike: self.spi(),
            connection: connection.name.clone(),
            remote_identity: self.known_identity(),
            policy: policy.name.clone(),
            suite,
            mode,
            inbound,
            outbound,
            local: self.local,
            remote: self.remote,
            udp: self.nat.any(),
            local_selectors: local,
            remote_selectors: remote,
            lifetime: policy.lifetime,
            rekey_after,
            tfc_padding,
            replaces,
            send,
            by_peer,
        })));
        self.children.push(child);
    }

    pub(super) fn child_mut(&mut self, inbound: Spi) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.inbound == inbound)
    }

    /// Takes a child out of the list and says that it is down.
    pub(super) fn lose_child(&mut self, ctx: &mut Context<'_>, inbound: Spi, reason: Down) {
        if let Some(place) = self.children.iter().position(|child| child.inbound == inbound) {
            self.children.remove(place).lost(ctx, reason);
        }
        for child in self.children.iter_mut().filter(|child| child.replaced_by == Some(inbound)) {
            child.replaced_by = None;
        }
    }
}
