//! Sealing messages of an IKE SA and opening them: the SK payload (RFC 7296, section 3.14), and fragments (RFC 7383).

use crate::crypto::{Cipher, CryptoError, IkeSuite, Secret};
use crate::message::{Header, Payload, PayloadType, Sealed, write_chain};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most fragments, and the most bytes inside them, that we gather for one message.
const MOST_FRAGMENTS: u16 = 128;
const MOST_BYTES: usize = 96 << 10;
/// How long we wait for the rest of a message.
const PATIENCE: Duration = Duration::from_secs(15);

/// What protects an IKE SA.
pub(crate) struct Protection {
    pub(crate) suite: IkeSuite,
    send: Cipher,
    receive: Cipher,
    partial: Option<Partial>,
}

/// A message of which some fragments have come.
struct Partial {
    response: bool,
    message_id: u32,
    total: u16,
    first_inside: PayloadType,
    parts: BTreeMap<u16, Secret>,
    bytes: usize,
    until: Instant,
}

/// What became of an encrypted payload.
pub(crate) enum Opened {
    /// The whole chain of payloads, and the type of the first.
    Whole(PayloadType, Secret),
    /// A fragment, and more are to come.
    Part,
    /// Not sealed by the peer.
    Forged,
}

impl Protection {
    pub(crate) fn new(suite: IkeSuite, send: Cipher, receive: Cipher) -> Protection {
        Protection { suite, send, receive, partial: None }
    }

    /// The datagrams of a message: one, or fragments where that would be longer than `limit` bytes.
    pub(crate) fn seal(
        &mut self,
        header: &Header,
        payloads: &[Payload<'_>],
        limit: Option<usize>,
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        let mut inside = Vec::new();
        let first = write_chain(payloads, &mut inside);
        self.seal_chain(header, first, &Secret::new(inside), limit)
    }

    /// The same of a chain that is written already, and of the type of its first payload.
    pub(super) fn seal_chain(
        &mut self,
        header: &Header,
        first: PayloadType,
        inside: &Secret,
        limit: Option<usize>,
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        let whole = Header::LEN + 4 + self.send.sealed_len(inside.expose().len());
        let Some(limit) = limit.filter(|limit| whole > *limit) else {
            return Ok(vec![self.seal_one(header, PayloadType::SK, first, &[], inside)?]);
        };
        let overhead = Header::LEN + 8 + self.send.sealed_len(0) + self.send.block_len();
        let room = limit.saturating_sub(overhead).max(64);
        let chunks: Vec<&[u8]> = inside.expose().chunks(room).collect();
        let total = chunks.len() as u16;
        let mut datagrams = Vec::with_capacity(chunks.len());
        for (number, chunk) in (1..=total).zip(chunks) {
            let first = if number == 1 { first } else { PayloadType::NONE };
            let numbers = [number.to_be_bytes(), total.to_be_bytes()].concat();
            let chunk = Secret::new(chunk.to_vec());
            datagrams.push(self.seal_one(header, PayloadType::SKF, first, &numbers, &chunk)?);
        }
        Ok(datagrams)
    }

    fn seal_one(
        &mut self,
        header: &Header,
        kind: PayloadType,
        first: PayloadType,
        numbers: &[u8],
        inside: &Secret,
    ) -> Result<Vec<u8>, CryptoError> {
        let payload = 4 + numbers.len() + self.send.sealed_len(inside.expose().len());
        let length = (Header::LEN + payload) as u32;
        let mut message = Header { next_payload: kind, length, ..*header }.to_bytes().to_vec();
        message.extend([first.0, 0]);
        message.extend((payload as u16).to_be_bytes());
        message.extend(numbers);
        self.send.seal(&mut message, inside)?;
        Ok(message)
    }

    /// Opens an encrypted payload. Only what is authentic is kept.
    pub(crate) fn open(&mut self, now: Instant, header: &Header, sealed: &Sealed<'_>) -> Opened {
        let Some(inside) = self.receive.open(sealed.associated, sealed.body) else { return Opened::Forged };
        match sealed.fragment {
            None => Opened::Whole(sealed.first_inside, inside),
            Some((number, total)) => self.gather(now, header, sealed.first_inside, number, total, inside),
        }
    }

    /// RFC 7383, section 2.6: the larger total wins, since a peer that had to cut smaller starts again.
    fn gather(
        &mut self,
        now: Instant,
        header: &Header,
        first_inside: PayloadType,
        number: u16,
        total: u16,
        inside: Secret,
    ) -> Opened {
        let same = |partial: &Partial| {
            (partial.response, partial.message_id) == (header.response, header.message_id)
        };
        if total > MOST_FRAGMENTS {
            return Opened::Part;
        }
        let fits = self.partial.as_ref().is_some_and(|partial| same(partial) && partial.total >= total);
        if !fits {
            self.partial = Some(Partial {
                response: header.response,
                message_id: header.message_id,
                total,
                first_inside: PayloadType::NONE,
                parts: BTreeMap::new(),
                bytes: 0,
                until: now + PATIENCE,
            });
        }
        let Some(partial) = &mut self.partial else { return Opened::Part };
        if partial.total != total || partial.bytes + inside.expose().len() > MOST_BYTES {
            return Opened::Part;
        }
        if number == 1 {
            partial.first_inside = first_inside;
        }
        let len = inside.expose().len();
        if partial.parts.insert(number, inside).is_none() {
            partial.bytes += len;
        }
        if partial.parts.len() < usize::from(total) {
            return Opened::Part;
        }
        let mut whole = Vec::with_capacity(partial.bytes);
        partial.parts.values().for_each(|part| whole.extend(part.expose()));
        let first_inside = partial.first_inside;
        self.partial = None;
        Opened::Whole(first_inside, Secret::new(whole))
    }

    /// When the rest of a message is no longer waited for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.partial.as_ref().map(|partial| partial.until)
    }

    /// Forgets a message that did not get whole in time.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.partial = None;
        }
    }
}
