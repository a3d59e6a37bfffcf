//! IKE_AUTH, from the side that begins, and the proofs of both (RFC 7296, sections 1.2 and 2.15).

use super::child_conclude::refused_child;
use super::pieces::{error_notify, notify};
use super::reauth::auth_lifetime;
use super::{Context, IkeSa, Offering, Pending, Task};
use crate::auth::{SignedOctets, Trust, Verifying, shared_key_auth};
use crate::connection::{Connection, LocalProof, RemoteProof};
use crate::crypto::{CryptoError, Prf, Secret};
use crate::endpoint::{Down, IkeUp, Output, Signing};
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
    pub(super) proofs: Proofs,
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

    /// What there is for us to sign, if that is how we prove ourselves.
    pub(super) fn signing(
        &self,
        connection: &Connection,
        proofs: &Proofs,
        identity: &[u8],
    ) -> Result<Option<Signing>, Cause> {
        let LocalProof::Certificate(credential) = &connection.local_proof else { return Ok(None) };
        let (prf, octets) = self.our_octets(proofs, identity)?;
        let octets = octets.to_bytes(prf).map_err(ours)?;
        Ok(Some(Signing { credential: credential.clone(), hashes: self.abilities.hashes, octets }))
    }

    fn our_octets<'a>(
        &'a self,
        proofs: &'a Proofs,
        identity: &'a [u8],
    ) -> Result<(Prf, SignedOctets<'a>), Cause> {
        let (Some(keys), Some(key)) = (&self.keys, self.prove_key(self.is_initiator)) else {
            return Err(Cause::Ours("no keys".to_owned()));
        };
        let (message, nonce) = (&proofs.our_message, &proofs.their_nonce);
        Ok((keys.prf, SignedOctets { message, nonce, key, identity }))
    }

    fn their_octets<'a>(
        &'a self,
        proofs: &'a Proofs,
        IdBody(identity): IdBody<'a>,
    ) -> Result<(Prf, SignedOctets<'a>), Cause> {
        let (Some(keys), Some(key)) = (&self.keys, self.prove_key(!self.is_initiator)) else {
            return Err(Cause::Ours("no keys".to_owned()));
        };
        let (message, nonce) = (&proofs.their_message, &proofs.our_nonce);
        Ok((keys.prf, SignedOctets { message, nonce, key, identity }))
    }

    /// Our proof: its method and its data.
    pub(super) fn prove(
        &self,
        ctx: &mut Context<'_>,
        connection: &Connection,
        proofs: &Proofs,
        identity: &[u8],
    ) -> Result<(AuthMethod, Vec<u8>), Cause> {
        if let Some(signing) = self.signing(connection, proofs, identity)? {
            return ctx.sign(&signing).map_err(ours);
        }
        let LocalProof::SharedKey(secret) = &connection.local_proof else {
            return Err(Cause::Ours("nothing to prove ourselves by".to_owned()));
        };
        let (prf, octets) = self.our_octets(proofs, identity)?;
        let auth = shared_key_auth(prf, secret, &octets).map_err(ours)?;
        Ok((AuthMethod::SHARED_KEY, auth.expose().to_vec()))
    }

    /// What there is to verify of the peer's proof, if it is to be a signature.
    pub(super) fn verifying(
        &self,
        ctx: &Context<'_>,
        connection: &Connection,
        proofs: &Proofs,
        id: IdBody<'_>,
        payloads: &[Payload<'_>],
    ) -> Result<Option<Verifying>, Cause> {
        let RemoteProof::Certificate(trust) = &connection.remote_proof else { return Ok(None) };
        let (method, data) = proof_of(connection, payloads)?;
        let (prf, octets) = self.their_octets(proofs, id)?;
        Ok(Some(Verifying {
            trust: trust.clone(),
            certificates: certificates(payloads),
            identity: Identity::parse(id),
            now: ctx.since_1970,
            method,
            octets: octets.to_bytes(prf).map_err(ours)?,
            data: data.to_vec(),
        }))
    }

    /// Whether the peer's proof is right.
    pub(super) fn verify(
        &self,
        ctx: &mut Context<'_>,
        connection: &Connection,
        proofs: &Proofs,
        id: IdBody<'_>,
        payloads: &[Payload<'_>],
    ) -> Result<(), Cause> {
        let identity = Identity::parse(id);
        if let Some(verifying) = self.verifying(ctx, connection, proofs, id, payloads)? {
            return ctx.verify(&verifying).map_err(|reason| Cause::Certificate { identity, reason });
        }
        let RemoteProof::SharedKey(secret) = &connection.remote_proof else {
            return Err(Cause::Ours("nothing to verify the peer by".to_owned()));
        };
        let (_, data) = proof_of(connection, payloads)?;
        let (prf, octets) = self.their_octets(proofs, id)?;
        let right = shared_key_auth(prf, secret, &octets).map_err(ours)?;
        let is_right = right == Secret::new(data.to_vec());
        if is_right { Ok(()) } else { Err(Cause::SharedKey { identity }) }
    }

    pub(super) fn send_auth(&mut self, ctx: &mut Context<'_>, proofs: Proofs) {
        let Some(connection) = self.connection().cloned() else { return };
        let identity = connection.local_identity.to_body();
        let proof = match self.prove(ctx, &connection, &proofs, &identity) {
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
        self.peer_identity = Some(Arc::new(identity));
        self.up(ctx);
        if let Some(time) = auth_lifetime(payloads) {
            self.authenticate_within(ctx, time);
        }
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
        ctx: &mut Context<'_>,
        proofs: &Proofs,
        payloads: &[Payload<'_>],
    ) -> Result<Identity, (bool, Cause)> {
        let (Some(id), Some(_)) = (id_payload(payloads), auth_payload(payloads)) else {
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
        self.authenticated(ctx);
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
            remote_identity: self.known_identity(),
            suite: protection.suite,
        };
        ctx.outputs.push_back(Output::IkeUp(Box::new(up)));
    }
}

impl IkeSa {
    /// Who the peer has proved to be.
    pub(super) fn known_identity(&self) -> Arc<Identity> {
        self.peer_identity.clone().unwrap_or_else(|| Arc::new(Identity::Unknown(0, Vec::new())))
    }
}

fn ours(error: CryptoError) -> Cause {
    Cause::Ours(error.to_string())
}

/// Who the responder says it is.
pub(super) fn id_payload<'a>(payloads: &[Payload<'a>]) -> Option<IdBody<'a>> {
    payloads.iter().find_map(|payload| match payload {
        Payload::IdR(id) => Some(*id),
        _ => None,
    })
}

/// The peer's proof, if it is of the kind that is wanted of it.
fn proof_of<'a>(connection: &Connection, payloads: &[Payload<'a>]) -> Result<(AuthMethod, &'a [u8]), Cause> {
    let wanted = connection.remote_proof.name();
    let Some((method, data)) = auth_payload(payloads) else {
        return Err(Cause::Method { wanted, presented: "EAP".to_owned() });
    };
    let by_key = matches!(connection.remote_proof, RemoteProof::SharedKey(_));
    if by_key != (method == AuthMethod::SHARED_KEY) {
        return Err(Cause::Method { wanted, presented: method.to_string() });
    }
    Ok((method, data))
}

fn auth_payload<'a>(payloads: &[Payload<'a>]) -> Option<(AuthMethod, &'a [u8])> {
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

/// What the peer proves itself by, in DER, its own certificate first.
fn certificates(payloads: &[Payload<'_>]) -> Vec<Vec<u8>> {
    let certificate = |payload: &Payload<'_>| match payload {
        Payload::Cert { encoding: X509_SIGNATURE, data } => Some(data.to_vec()),
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
