//! IKE_AUTH, from the side that begins, and the proofs of both (RFC 7296, sections 1.2 and 2.15).

use super::child_conclude::refused_child;
use super::pieces::{error_notify, notify};
use super::{Context, IkeSa, Offering, Pending, Task};
use crate::auth::{SignedOctets, Trust, shared_key_auth, sign, verify};
use crate::connection::{Connection, LocalProof, RemoteProof};
use crate::crypto::{CryptoError, Secret};
use crate::endpoint::{Down, IkeUp, Output};
use crate::identity::{Identity, IdentityMatch};
use crate::message::{AuthMethod, ExchangeType, IdBody, NotifyType, Payload};
use crate::negotiate::{Cause, Refusal, Stage};
use std::sync::Arc;

/// What the two proofs cover.
pub(crate) struct Proofs {
    pub(super) our_message: Vec<u8>,
    pub(super) their_message: Vec<u8>,
    pub(super) our_nonce: Vec<u8>,
    pub(super) their_nonce: Vec<u8>,
}

/// What we remember until the answer comes.
pub(crate) struct Authenticating {
    proofs: Proofs,
    offering: Option<Box<Offering>>,
}

impl Authenticating {
    pub(super) fn abandon(self, ctx: &mut Context<'_>) {
        if let Some(offering) = self.offering {
            offering.abandon(ctx);
        }
    }
}

impl IkeSa {
    fn prove_key(&self, initiator: bool) -> Option<&Secret> {
        let keys = self.keys.as_ref()?;
        Some(if initiator { &keys.prove_initiator } else { &keys.prove_responder })
    }

    /// Our proof: its method and its data.
    pub(super) fn prove(
        &self,
        connection: &Connection,
        proofs: &Proofs,
        identity: &[u8],
    ) -> Result<(AuthMethod, Vec<u8>), Cause> {
        let (Some(keys), Some(key)) = (&self.keys, self.prove_key(self.is_initiator)) else {
            return Err(Cause::Ours("no keys".to_owned()));
        };
        let octets = SignedOctets { message: &proofs.our_message, nonce: &proofs.their_nonce, key, identity };
        let ours = |error: CryptoError| Cause::Ours(error.to_string());
        match &connection.local_proof {
            LocalProof::SharedKey(secret) => shared_key_auth(keys.prf, secret, &octets)
                .map(|auth| (AuthMethod::SHARED_KEY, auth.expose().to_vec()))
                .map_err(ours),
            LocalProof::Certificate(credential) => octets
                .to_bytes(keys.prf)
                .and_then(|octets| sign(credential, self.abilities.hashes, &octets))
                .map_err(ours),
        }
    }

    /// Whether the peer's proof is right.
    pub(super) fn verify(
        &self,
        ctx: &Context<'_>,
        connection: &Connection,
        proofs: &Proofs,
        IdBody(identity): IdBody<'_>,
        payloads: &[Payload<'_>],
    ) -> Result<(), Cause> {
        let (Some(keys), Some(key)) = (&self.keys, self.prove_key(!self.is_initiator)) else {
            return Err(Cause::Ours("no keys".to_owned()));
        };
        let ours = |error: CryptoError| Cause::Ours(error.to_string());
        let wanted = connection.remote_proof.name();
        let Some((method, data)) = auth_payload(payloads) else {
            return Err(Cause::Method { wanted, presented: "EAP".to_owned() });
        };
        let octets = SignedOctets { message: &proofs.their_message, nonce: &proofs.our_nonce, key, identity };
        let identity = Identity::parse(IdBody(identity));
        match (&connection.remote_proof, method) {
            (RemoteProof::SharedKey(secret), AuthMethod::SHARED_KEY) => {
                let right = shared_key_auth(keys.prf, secret, &octets).map_err(ours)?;
                let is_right = right == Secret::new(data.to_vec());
                if is_right { Ok(()) } else { Err(Cause::SharedKey { identity }) }
            }
            (RemoteProof::Certificate(trust), method) if method != AuthMethod::SHARED_KEY => {
                let octets = octets.to_bytes(keys.prf).map_err(ours)?;
                let key = trust.check(&certificates(payloads), &identity, ctx.since_1970);
                let checked = key.and_then(|key| verify(&key, method, data, &octets).map_err(str::to_owned));
                checked.map_err(|reason| Cause::Certificate { identity, reason })
            }
            _ => Err(Cause::Method { wanted, presented: method.to_string() }),
        }
    }

    pub(super) fn send_auth(&mut self, ctx: &mut Context<'_>, proofs: Proofs) {
        let Some(connection) = self.connection().cloned() else { return };
        let identity = connection.local_identity.to_body();
        let proof = match self.prove(&connection, &proofs, &identity) {
            Ok(proof) => proof,
            Err(cause) => return self.auth_failed(ctx, false, cause),
        };
        let offering = self.first_offering(ctx);
        if offering.is_none() && !self.abilities.childless {
            let cause =
                Cause::Ours("the peer wants a child SA with the IKE SA, and none was asked for".to_owned());
            return self.auth_failed(ctx, false, cause);
        }
        let wanted = match &connection.remote_identity {
            IdentityMatch::Exactly(identity) => Some(identity.to_body()),
            _ => None,
        };
        let parts = offering.as_deref().map(Offering::parts);
        let mut payloads = vec![Payload::IdI(IdBody(&identity))];
        payloads.extend(certificate_payloads(&connection));
        payloads.extend(connection.remote_proof.trust().map(certificate_request));
        if !ctx.known_peer {
            payloads.push(Payload::notify(NotifyType::INITIAL_CONTACT, &[]));
        }
        payloads.extend(wanted.as_deref().map(|wanted| Payload::IdR(IdBody(wanted))));
        payloads.push(Payload::Auth { method: proof.0, data: &proof.1 });
        payloads.extend(parts.iter().flat_map(|parts| parts.payloads()));
        let pending = Pending::Auth(Box::new(Authenticating { proofs, offering }));
        self.request(ctx, ExchangeType::IKE_AUTH, &payloads, pending);
    }

    /// The first child that was asked for.
    fn first_offering(&mut self, ctx: &mut Context<'_>) -> Option<Box<Offering>> {
        let place = self.tasks.iter().position(|task| matches!(task, Task::Child(_)))?;
        match self.tasks.remove(place) {
            Some(Task::Child(policy)) => self.offering(ctx, policy, None, false).ok().map(Box::new),
            _ => None,
        }
    }

    pub(super) fn auth_answered(
        &mut self,
        ctx: &mut Context<'_>,
        authenticating: Authenticating,
        payloads: &[Payload<'_>],
    ) {
        let Authenticating { proofs, offering } = authenticating;
        let identity = match self.check_responder(ctx, &proofs, payloads) {
            Ok(identity) => identity,
            Err((by_peer, cause)) => {
                offering.into_iter().for_each(|offering| offering.abandon(ctx));
                return self.auth_failed(ctx, by_peer, cause);
            }
        };
        self.peer_identity = Some(identity);
        self.up(ctx);
        let Some(offering) = offering else { return };
        match error_notify(payloads) {
            Some(kind) => {
                let cause = refused_child(self, &offering, payloads, kind);
                self.report(ctx, Some(&offering.policy), Stage::Child, true, cause);
                offering.abandon(ctx);
            }
            None => {
                let nonces = (proofs.our_nonce.as_slice(), proofs.their_nonce.as_slice());
                self.conclude_child(ctx, *offering, payloads, nonces);
            }
        }
    }

    fn check_responder(
        &self,
        ctx: &Context<'_>,
        proofs: &Proofs,
        payloads: &[Payload<'_>],
    ) -> Result<Identity, (bool, Cause)> {
        let id = payloads.iter().find_map(|payload| match payload {
            Payload::IdR(id) => Some(*id),
            _ => None,
        });
        let (Some(id), Some(_)) = (id, auth_payload(payloads)) else {
            let kind = error_notify(payloads);
            return Err(match kind {
                Some(kind) => (true, Cause::Refused(Refusal(kind))),
                None => (false, Cause::Protocol("an answer without an identity and its proof".to_owned())),
            });
        };
        let Some(connection) = self.connection() else { return Err((false, Cause::NoConnection)) };
        let identity = Identity::parse(id);
        if !connection.remote_identity.accepts(&identity) {
            let wanted = connection.remote_identity.to_string();
            return Err((false, Cause::Identity { wanted, presented: identity }));
        }
        self.verify(ctx, connection, proofs, id, payloads).map_err(|cause| (false, cause))?;
        Ok(identity)
    }

    fn auth_failed(&mut self, ctx: &mut Context<'_>, by_peer: bool, cause: Cause) {
        self.report(ctx, None, Stage::Auth, by_peer, cause);
        if by_peer {
            self.close(ctx, Down::Failed);
        } else {
            // The peer holds it for good, and must be told (section 2.21.2).
            self.abort(ctx, Down::Failed);
        }
    }

    /// Proved, on both sides.
    pub(super) fn up(&mut self, ctx: &mut Context<'_>) {
        self.establish(ctx);
        self.announced = true;
        ctx.counters.ike_up += 1;
        let (Some(connection), Some(protection)) = (self.connection().cloned(), &self.protection) else {
            return;
        };
        let up = IkeUp {
            ike: self.spi(),
            peer_spi: self.peer_spi(),
            connection: connection.name.clone(),
            initiator: self.is_initiator,
            local: self.local,
            remote: self.remote,
            local_identity: connection.local_identity.clone(),
            remote_identity: self.peer_identity.clone().unwrap_or(Identity::Unknown(0, Vec::new())),
            suite: protection.suite,
        };
        ctx.outputs.push_back(Output::IkeUp(Box::new(up)));
    }
}

pub(super) fn auth_payload<'a>(payloads: &[Payload<'a>]) -> Option<(AuthMethod, &'a [u8])> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Auth { method, data } => Some((*method, *data)),
        _ => None,
    })
}

/// X.509, for signatures (section 3.6).
const X509_SIGNATURE: u8 = 4;

/// Our certificates, our own first.
pub(super) fn certificate_payloads(connection: &Connection) -> impl Iterator<Item = Payload<'_>> {
    let chain = match &connection.local_proof {
        LocalProof::SharedKey(_) => &[][..],
        LocalProof::Certificate(credential) => credential.chain(),
    };
    chain.iter().map(|der| Payload::Cert { encoding: X509_SIGNATURE, data: der })
}

/// Whom we trust: peers send certificates where they are asked for.
pub(super) fn certificate_request(trust: &Trust) -> Payload<'_> {
    Payload::CertReq { encoding: X509_SIGNATURE, data: trust.hashes() }
}

fn certificates<'a>(payloads: &[Payload<'a>]) -> Vec<&'a [u8]> {
    let certificate = |payload: &Payload<'a>| match payload {
        Payload::Cert { encoding: X509_SIGNATURE, data } => Some(*data),
        _ => None,
    };
    payloads.iter().filter_map(certificate).collect()
}

/// Whether a peer says that it knows of no other IKE SA with us.
pub(super) fn is_initial_contact(payloads: &[Payload<'_>]) -> bool {
    notify(payloads, NotifyType::INITIAL_CONTACT).is_some()
}

/// The first of several connections that expects this peer.
pub(super) fn expecting(
    connections: &[Arc<Connection>],
    peer: &Identity,
    us: Option<&Identity>,
) -> Result<Arc<Connection>, Cause> {
    let mut why = Cause::NoConnection;
    for connection in connections {
        let ours = &connection.local_identity;
        if !connection.remote_identity.accepts(peer) {
            if matches!(why, Cause::NoConnection) {
                let wanted = connection.remote_identity.to_string();
                why = Cause::Identity { wanted, presented: peer.clone() };
            }
        } else if let Some(us) = us.filter(|us| *us != ours) {
            why = Cause::OurIdentity { ours: ours.clone(), wanted: us.clone() };
        } else {
            return Ok(connection.clone());
        }
    }
    Err(why)
}
