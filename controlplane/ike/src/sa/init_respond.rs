//! IKE_SA_INIT, from the side that answers. What the endpoint has let through (cookies, half-open SAs) comes here.

use super::auth::{Proofs, certificate_request};
use super::pieces::{Exchange, Extras, NONCE};
use super::{Abilities, Context, IkeSa, Phase, nat};
use crate::connection::Connection;
use crate::crypto::{DhError, IkeSuite, Shared, random};
use crate::endpoint::Work;
use crate::keys::{Seed, first_seed, ike_keys};
use crate::message::{
    ExchangeType, Header, IkeSpi, NotifyType, Payload, PayloadType, Proposal, write_message, write_proposals,
};
use crate::negotiate::{Cause, Offer, choose, ike_offer, ike_suite};
use crate::sa::protect::Protection;
use std::net::SocketAddr;
use std::sync::Arc;

/// What becomes of a first request.
pub(crate) enum Answer {
    /// An IKE SA, half open, and the answer in its window.
    Open(Box<IkeSa>),
    /// An answer that leaves nothing behind, and why, if it is for people to know.
    Refuse(Vec<u8>, Option<Cause>),
    /// No answer.
    Ignore(Cause),
}

/// What of a first request we would take.
pub(crate) struct Offered<'p, 'a> {
    /// For whom it may be.
    connections: Vec<Arc<Connection>>,
    abilities: Abilities,
    chosen: Proposal,
    suite: IkeSuite,
    exchange: Exchange<'p, 'a>,
    payloads: &'p [Payload<'a>],
}

impl Offered<'_, '_> {
    /// The arithmetic that it takes to answer it.
    pub(crate) fn work(&self) -> Work {
        Work::Answer(self.suite.group, self.exchange.public.to_vec())
    }
}

/// The longest offer that a refusal names to another Espalier: no request makes us send much more than it was itself.
const MOST_SAID: usize = 600;

/// A message in clear that answers a first request.
pub(crate) fn answer(header: &Header, spi: IkeSpi, payloads: &[Payload<'_>]) -> Vec<u8> {
    let header = Header {
        initiator_spi: header.initiator_spi,
        responder_spi: spi,
        next_payload: PayloadType::NONE,
        major_version: 2,
        minor_version: 0,
        exchange: ExchangeType::IKE_SA_INIT,
        from_initiator: false,
        response: true,
        higher_version: false,
        message_id: 0,
        length: 0,
    };
    write_message(&header, payloads)
}

fn refuse(header: &Header, kind: NotifyType, data: &[u8], cause: Option<Cause>) -> Answer {
    Answer::Refuse(answer(header, IkeSpi(0), &[Payload::notify(kind, data)]), cause)
}

/// The connections whose proposals the peer's offer fits, the best first, and what is chosen for that one.
fn fitting(
    connections: &[Arc<Connection>],
    offer: &[Proposal],
) -> Result<(Vec<Arc<Connection>>, Proposal), Cause> {
    let mut first: Option<Proposal> = None;
    let mut fitting = Vec::new();
    let mut why = Cause::NoConnection;
    for connection in connections {
        match choose(&ike_offer(&connection.proposals, &[]), offer) {
            Ok(chosen) => {
                // Those that would have chosen otherwise can be meant all the same, as long as this would do for them.
                let chosen = first.get_or_insert(chosen);
                if choose(&ike_offer(&connection.proposals, &[]), std::slice::from_ref(chosen)).is_ok() {
                    fitting.push(connection.clone());
                }
            }
            Err(cause) if matches!(why, Cause::NoConnection) => why = cause,
            Err(_) => {}
        }
    }
    first.map(|chosen| (fitting, chosen)).ok_or(why)
}

/// What of a first request between the addresses of these connections we would take; or how it is refused.
pub(crate) fn offered<'p, 'a>(
    connections: &[Arc<Connection>],
    header: &Header,
    payloads: &'p [Payload<'a>],
) -> Result<Offered<'p, 'a>, Box<Answer>> {
    let Some(exchange) = Exchange::read(payloads) else {
        let cause = Cause::Protocol("a first request without SA, KE or nonce".to_owned());
        return Err(refuse(header, NotifyType::INVALID_SYNTAX, &[], Some(cause)).into());
    };
    let abilities = Abilities::read(payloads);
    let (connections, chosen) = fitting(connections, exchange.proposals).map_err(|cause| {
        let ours: Vec<Proposal> =
            connections.iter().flat_map(|connection| ike_offer(&connection.proposals, &[])).collect();
        Box::new(no_proposal(header, abilities, &ours, cause))
    })?;
    let Some(suite) = ike_suite(&chosen) else {
        let (ours, theirs) = (Offer::default(), Some(Offer::new(std::slice::from_ref(&chosen))));
        let cause = Cause::Proposals { ours, theirs, difference: None };
        return Err(refuse(header, NotifyType::NO_PROPOSAL_CHOSEN, &[], Some(cause)).into());
    };
    if exchange.group != suite.group.id() {
        let group = suite.group.id().to_be_bytes();
        return Err(refuse(header, NotifyType::INVALID_KE_PAYLOAD, &group, None).into());
    }
    Ok(Offered { connections, abilities, chosen, suite, exchange, payloads })
}

/// Answers it.
pub(crate) fn respond(
    ctx: &mut Context<'_>,
    offered: Offered<'_, '_>,
    spi: IkeSpi,
    path: (SocketAddr, SocketAddr),
    header: &Header,
    datagram: &[u8],
) -> Answer {
    let share = ctx.answer(offered.suite.group, offered.exchange.public);
    match share.and_then(|share| open(ctx, offered, share, spi, path, header, datagram)) {
        Ok(sa) => Answer::Open(sa),
        Err(DhError::PublicValue(group)) => {
            let cause = Cause::Protocol(format!("its public value is not one of {group}"));
            refuse(header, NotifyType::INVALID_SYNTAX, &[], Some(cause))
        }
        Err(DhError::Crypto(error)) => Answer::Ignore(Cause::Ours(error.to_string())),
    }
}

/// To another Espalier also what would have done; to others nothing that RFC 7296 has not.
fn no_proposal(header: &Header, abilities: Abilities, ours: &[Proposal], cause: Cause) -> Answer {
    let body = write_proposals(ours);
    let mut payloads = vec![Payload::notify(NotifyType::NO_PROPOSAL_CHOSEN, &[])];
    if abilities.espalier && !ours.is_empty() && body.len() <= MOST_SAID {
        payloads.push(Payload::notify(NotifyType::ESPALIER_OFFER, &body));
    }
    Answer::Refuse(answer(header, IkeSpi(0), &payloads), Some(cause))
}

fn open(
    ctx: &mut Context<'_>,
    offered: Offered<'_, '_>,
    (public, shared): (Vec<u8>, Shared),
    spi: IkeSpi,
    path: (SocketAddr, SocketAddr),
    header: &Header,
    datagram: &[u8],
) -> Result<Box<IkeSa>, DhError> {
    let Offered { connections, abilities, chosen, suite, exchange, payloads } = offered;
    let nonce = random::<NONCE>()?;
    let seed = Seed {
        initiator_nonce: exchange.nonce,
        responder_nonce: &nonce,
        initiator_spi: header.initiator_spi,
        responder_spi: spi,
    };
    let skeyseed = first_seed(suite.prf, &shared, &seed)?;
    let (keys, ciphers) = ike_keys(&suite, &skeyseed, &seed)?;
    let (local, remote) = path;
    let extras = Extras::new(header.initiator_spi, spi, local, remote);
    let mut answers = vec![
        Payload::Sa(vec![chosen]),
        Payload::KeyExchange { group: suite.group.id(), data: &public },
        Payload::Nonce(&nonce),
    ];
    answers.extend(extras.payloads());
    answers.push(Payload::notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED, &[]));
    let trust = connections.iter().find_map(|connection| connection.remote_proof.trust());
    answers.extend(trust.map(|trust| certificate_request(trust)));
    let message = answer(header, spi, &answers);
    let proofs = Proofs {
        our_message: message.clone(),
        their_message: datagram.to_vec(),
        our_nonce: nonce.to_vec(),
        their_nonce: exchange.nonce.to_vec(),
    };
    let phase = Phase::HalfOpen(Box::new(proofs));
    let mut sa = IkeSa::new(ctx.now, false, (header.initiator_spi, spi), path, phase);
    sa.connections = connections;
    sa.abilities = abilities;
    sa.nat = nat::detect(payloads, header.initiator_spi, IkeSpi(0), remote, local);
    sa.keys = Some(keys);
    sa.protection = Some(Protection::new(suite, ciphers.from_responder, ciphers.from_initiator));
    sa.expires = Some(ctx.now + ctx.settings.half_open_for);
    sa.transmit(ctx, std::slice::from_ref(&message), true);
    sa.window.answer(vec![message]);
    Ok(Box::new(sa))
}

impl IkeSa {
    /// Answers the same first request again, if it is the same.
    pub(crate) fn answer_init_again(&mut self, ctx: &mut Context<'_>, datagram: &[u8]) {
        match &self.phase {
            Phase::HalfOpen(proofs) if proofs.their_message == datagram => {
                let message = proofs.our_message.clone();
                ctx.counters.retransmitted += 1;
                self.transmit(ctx, &[message], true);
            }
            _ => ctx.counters.unexpected += 1,
        }
    }
}
