//! Messages in and out: sealing, opening, sending again, and the way of each to the exchange that it belongs to.

use super::informational::deletes_children;
use super::window::{Place, back_off};
use super::{Context, IkeSa, Pending, Phase, Task};
use crate::endpoint::{Down, Output};
use crate::message::{
    Body, ExchangeType, Header, NotifyType, ParseError, Payload, PayloadType, Sealed, write_message,
};
use crate::negotiate::{Cause, Stage};
use crate::sa::protect::Opened;
use std::net::SocketAddr;

/// Four zeros tell IKE from ESP on the port that both use (RFC 3948, section 2.2).
pub(crate) const NON_ESP_MARKER: [u8; 4] = [0; 4];

impl IkeSa {
    pub(super) fn header(&self, exchange: ExchangeType, response: bool, message_id: u32) -> Header {
        Header {
            initiator_spi: self.initiator_spi,
            responder_spi: self.responder_spi,
            next_payload: PayloadType::NONE,
            major_version: 2,
            minor_version: 0,
            exchange,
            from_initiator: self.is_initiator,
            response,
            higher_version: false,
            message_id,
            length: 0,
        }
    }

    /// Sends datagrams as they are; with the marker where the port wants it.
    pub(super) fn transmit(&mut self, ctx: &mut Context<'_>, datagrams: &[Vec<u8>], is_ike: bool) {
        let marker =
            if is_ike && self.local.port() == ctx.settings.nat_port { &NON_ESP_MARKER[..] } else { &[] };
        for datagram in datagrams {
            let bytes = [marker, datagram].concat();
            ctx.outputs.push_back(Output::Transmit { from: self.local, to: self.remote, bytes });
        }
        ctx.counters.sent += datagrams.len() as u64;
        self.last_sent = ctx.now;
    }

    fn seal(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: &[Payload<'_>],
    ) -> Option<Vec<Vec<u8>>> {
        let limit = self.abilities.fragmentation.then_some(ctx.settings.fragment_above);
        let datagrams = match &mut self.protection {
            Some(protection) => protection.seal(header, payloads, limit),
            None => Ok(vec![write_message(header, payloads)]),
        };
        match datagrams {
            Ok(datagrams) => Some(datagrams),
            Err(error) => {
                self.report(ctx, None, Stage::Informational, false, Cause::Ours(error.to_string()));
                self.close(ctx, Down::Failed);
                None
            }
        }
    }

    /// Sends a request. Nothing else may be outstanding. Gives its first datagram back, which AUTH covers where it is the
    /// first of all.
    pub(super) fn request(
        &mut self,
        ctx: &mut Context<'_>,
        exchange: ExchangeType,
        payloads: &[Payload<'_>],
        pending: Pending,
    ) {
        let header = self.header(exchange, false, self.window.next_id());
        let Some(datagrams) = self.seal(ctx, &header, payloads) else { return pending.abandon(ctx) };
        self.transmit(ctx, &datagrams, true);
        let again_at = ctx.now + ctx.settings.retransmit_after;
        self.window.sent(datagrams, pending, again_at);
    }

    /// Answers the request that was next.
    pub(super) fn respond(&mut self, ctx: &mut Context<'_>, request: &Header, payloads: &[Payload<'_>]) {
        let header = self.header(request.exchange, true, request.message_id);
        let Some(datagrams) = self.seal(ctx, &header, payloads) else { return };
        self.transmit(ctx, &datagrams, true);
        self.window.answer(datagrams);
    }

    /// Answers with a single notify.
    pub(super) fn refuse(&mut self, ctx: &mut Context<'_>, request: &Header, kind: NotifyType, data: &[u8]) {
        self.respond(ctx, request, &[Payload::notify(kind, data)]);
    }

    /// Sends the outstanding request again if it is time, or gives the peer up.
    pub(super) fn retransmit(&mut self, ctx: &mut Context<'_>) {
        // What is answered already, and only waits for its arithmetic, is not asked again.
        let has_answer = self.has_waiting(true);
        let Some(outstanding) = &mut self.window.outstanding else { return };
        if has_answer || outstanding.again_at > ctx.now {
            return;
        }
        if outstanding.tries >= ctx.settings.tries {
            let tries = outstanding.tries;
            return self.give_up(ctx, tries);
        }
        outstanding.tries += 1;
        outstanding.again_at = ctx.now + back_off(ctx.settings.retransmit_after, outstanding.tries);
        let datagrams = std::mem::take(&mut outstanding.datagrams);
        ctx.counters.retransmitted += datagrams.len() as u64;
        self.transmit(ctx, &datagrams, true);
        if let Some(outstanding) = &mut self.window.outstanding {
            outstanding.datagrams = datagrams;
        }
    }

    fn give_up(&mut self, ctx: &mut Context<'_>, tries: u32) {
        let Some(outstanding) = self.window.outstanding.take() else { return };
        let stage = match &outstanding.pending {
            Pending::Init(_) => Stage::Init,
            Pending::Auth(_) => Stage::Auth,
            Pending::Child(_) => Stage::Child,
            Pending::Rekey(_) => Stage::Rekey,
            Pending::DeleteChild(_) | Pending::DeleteIke | Pending::Liveness => Stage::Informational,
        };
        outstanding.pending.abandon(ctx);
        if !matches!(self.phase, Phase::Closing | Phase::Dead) {
            self.report(ctx, None, stage, false, Cause::Timeout { tries });
            self.close(ctx, Down::Timeout);
        }
        self.phase = Phase::Dead;
    }

    /// Takes a message that names this IKE SA.
    pub(crate) fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        datagram: &[u8],
    ) {
        if self.has_waiting(header.response) {
            ctx.counters.busy += 1;
            return;
        }
        match Body::parse(header, datagram) {
            Ok(Body::Sealed(sealed)) if header.exchange != ExchangeType::IKE_SA_INIT => {
                self.handle_sealed(ctx, path, header, &sealed);
            }
            Ok(Body::Clear(_)) if header.exchange == ExchangeType::IKE_SA_INIT && header.response => {
                self.clear_came(ctx, header, datagram);
            }
            // Whatever else comes in clear could be anybody's.
            Ok(_) => ctx.counters.unexpected += 1,
            Err(_) => ctx.counters.malformed += 1,
        }
        self.pump(ctx);
    }

    fn handle_sealed(
        &mut self,
        ctx: &mut Context<'_>,
        path: (SocketAddr, SocketAddr),
        header: &Header,
        sealed: &Sealed<'_>,
    ) {
        let place = match &self.window.outstanding {
            Some(request) if header.response && request.message_id == header.message_id => Place::Next,
            _ if header.response => Place::Outside,
            _ => self.window.place(header.message_id),
        };
        if place == Place::Outside {
            ctx.counters.out_of_window += 1;
            return;
        }
        let Some(protection) = &mut self.protection else {
            ctx.counters.unexpected += 1;
            return;
        };
        let opened = protection.open(ctx.now, header, sealed);
        if let Opened::Forged = opened {
            ctx.counters.unauthentic += 1;
            return;
        }
        if place == Place::Last {
            // Of fragments, only the first makes us answer again (RFC 7383, section 2.6.1).
            if sealed.fragment.is_none_or(|(number, _)| number == 1) {
                let response = std::mem::take(&mut self.window.response);
                ctx.counters.retransmitted += response.len() as u64;
                self.transmit(ctx, &response, true);
                self.window.response = response;
            }
            return;
        }
        self.heard(ctx, path);
        if let Opened::Whole(first, inside) = opened {
            self.message_came(ctx, header, first, inside);
        }
    }

    /// Handles a message whose arithmetic is done, or which takes none.
    pub(super) fn message_ready(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: Result<Vec<Payload<'_>>, ParseError>,
    ) {
        if header.response {
            self.answer_came(ctx, header, payloads);
        } else {
            self.request_came(ctx, header, payloads);
        }
    }

    /// The peer is alive, and where it is may have changed: with its first proof it may come over the other port, and
    /// later a NAT before it may have given it another (RFC 7296, section 2.23).
    fn heard(&mut self, ctx: &mut Context<'_>, path: (SocketAddr, SocketAddr)) {
        self.last_heard = ctx.now;
        if (self.local, self.remote) == path {
            return;
        }
        if self.is_half_open() {
            (self.local, self.remote) = path;
        } else if self.nat.theirs && !self.nat.ours && self.is_established() {
            (self.local, self.remote) = path;
            let children = self.children.iter().map(|child| child.inbound).collect();
            ctx.outputs.push_back(Output::PeerMoved { ike: self.spi(), remote: self.remote, children });
        }
    }

    fn request_came(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: Result<Vec<Payload<'_>>, ParseError>,
    ) {
        let children = payloads.as_ref().is_ok_and(|payloads| deletes_children(payloads));
        let early = self.is_established() && !self.is_settled() && children;
        if early || matches!(self.phase, Phase::Initiating) {
            // For the peer, this IKE SA stands already, with all children; what makes it stand for us is still on its way.
            // What it asks will come again.
            ctx.counters.unexpected += 1;
            return;
        }
        let payloads = match payloads {
            Ok(payloads) => payloads,
            Err(error) => {
                match error {
                    ParseError::Critical(kind) => {
                        self.refuse(ctx, header, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[kind.0]);
                    }
                    _ => self.refuse(ctx, header, NotifyType::INVALID_SYNTAX, &[]),
                }
                if self.is_half_open() {
                    self.report(ctx, None, Stage::Auth, false, Cause::Protocol(error.to_string()));
                    self.close(ctx, Down::Failed);
                }
                return;
            }
        };
        match (&self.phase, header.exchange) {
            (Phase::HalfOpen(_), ExchangeType::IKE_AUTH) => self.auth_came(ctx, header, &payloads),
            (Phase::Established, ExchangeType::CREATE_CHILD_SA) if self.is_settled() => {
                self.create_child_came(ctx, header, &payloads)
            }
            (Phase::Established | Phase::Replaced | Phase::Closing, ExchangeType::CREATE_CHILD_SA) => {
                self.refuse(ctx, header, NotifyType::TEMPORARY_FAILURE, &[]);
            }
            (Phase::Established | Phase::Replaced | Phase::Closing, ExchangeType::INFORMATIONAL) => {
                self.informational_came(ctx, header, &payloads);
            }
            _ => {
                ctx.counters.unexpected += 1;
                self.refuse(ctx, header, NotifyType::INVALID_SYNTAX, &[]);
            }
        }
    }

    fn answer_came(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header,
        payloads: Result<Vec<Payload<'_>>, ParseError>,
    ) {
        let Some(pending) = self.window.answered(header.message_id) else { return };
        let payloads = match payloads {
            Ok(payloads) => payloads,
            Err(error) => {
                // What it said is lost, and with it whether the two ends still hold the same SAs (section 2.21).
                pending.abandon(ctx);
                self.report(ctx, None, Stage::Informational, false, Cause::Protocol(error.to_string()));
                return self.abort(ctx, Down::Failed);
            }
        };
        match pending {
            Pending::Auth(authenticating) => self.auth_answered(ctx, *authenticating, &payloads),
            Pending::Child(offering) => self.create_child_answered(ctx, *offering, &payloads),
            Pending::Rekey(rekeying) => self.rekey_answered(ctx, *rekeying, &payloads),
            Pending::DeleteChild(spis) => self.children_deleted(ctx, &spis, &payloads),
            Pending::DeleteIke => self.phase = Phase::Dead,
            Pending::Liveness | Pending::Init(_) => {}
        }
    }

    /// Asks the peer for something.
    pub(super) fn start(&mut self, ctx: &mut Context<'_>, task: Task) {
        let begins = matches!(self.phase, Phase::Initiating) && matches!(task, Task::Init | Task::Auth(_));
        if !self.is_established() && !begins && !matches!(task, Task::DeleteIke(_)) {
            return;
        }
        match task {
            Task::Init => self.ask_init(ctx),
            Task::Auth(proofs) => self.send_auth(ctx, *proofs),
            Task::Child(policy) => self.ask_child(ctx, policy, None),
            Task::RekeyChild(inbound) => self.ask_rekey_child(ctx, inbound),
            Task::DeleteChild(inbound, reason) => self.ask_delete_child(ctx, inbound, reason),
            Task::RekeyIke => self.ask_rekey(ctx, None),
            Task::DeleteIke(reason) => self.ask_delete(ctx, reason),
            Task::Liveness => self.request(ctx, ExchangeType::INFORMATIONAL, &[], Pending::Liveness),
        }
    }
}
