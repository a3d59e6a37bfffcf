//! For the fuzzer alone: a peer that has proved itself, and then sends whatever it likes.

use super::{Context, IkeSa, Pending};
use crate::crypto::Secret;
use crate::message::{ExchangeType, PayloadType};

impl IkeSa {
    /// Seals a chain of payloads that nobody has looked at, and sends it as a request.
    pub(crate) fn request_raw(
        &mut self,
        ctx: &mut Context<'_>,
        exchange: ExchangeType,
        first: PayloadType,
        chain: &[u8],
    ) {
        let header = self.header(exchange, false, self.window.next_id());
        let (None, Some(protection)) = (&self.window.outstanding, &mut self.protection) else { return };
        let Ok(datagrams) = protection.seal_chain(&header, first, &Secret::new(chain.to_vec()), None) else {
            return;
        };
        self.transmit(ctx, &datagrams, true);
        self.window.sent(datagrams, Pending::Liveness, ctx.now + ctx.settings.retransmit_after);
    }
}
