//! Messages: from bytes to payloads and back (RFC 7296, section 3). Nothing here decrypts or decides.
//!
//! What is read is bounded: a message by its datagram, a chain by [`MAX_PAYLOADS`], proposals and transforms by counts of
//! their own; nothing recurses, and nothing is allocated beyond a small multiple of the bytes that are there.

mod header;
mod number;
mod payload;
mod reader;
mod sa;
mod selector;

pub use header::{Header, IkeSpi};
pub use number::{AuthMethod, ExchangeType, NotifyType, PayloadType, ProtocolId, TransformType};
pub use payload::{IdBody, Notify, Payload};
pub use sa::{Proposal, Transform};

use crate::selector::TrafficSelector;
use reader::Reader;

/// The most payloads that one message may have.
pub const MAX_PAYLOADS: usize = 128;

/// A message is not one, or not one that we may go on with. The peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It ends before this does.
    #[error("the message ends within: {0}")]
    Truncated(&'static str),
    /// A length or a count does not fit what is there.
    #[error("a wrong length or count: {0}")]
    Length(&'static str),
    /// More than we are willing to read.
    #[error("too many: {0}")]
    TooMany(&'static str),
    /// A payload that we must understand and do not (RFC 7296, section 2.5).
    #[error("a critical payload of a type that we do not know: {}", .0.0)]
    Critical(PayloadType),
}

/// An encrypted payload, still closed (RFC 7296, section 3.14; RFC 7383, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Of the first payload inside; of a later fragment it says 0.
    pub first_inside: PayloadType,
    /// What is authenticated with it: the message up to here.
    pub associated: &'a [u8],
    /// IV, ciphertext and ICV.
    pub body: &'a [u8],
    /// Which fragment of how many, from 1; `None` for a whole payload.
    pub fragment: Option<(u16, u16)>,
}

/// The payloads of a message in clear, or the encrypted one at the end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// In clear.
    Clear(Vec<Payload<'a>>),
    /// Encrypted. Payloads before it in the chain would be in clear; they mean nothing and are skipped.
    Sealed(Sealed<'a>),
}

impl<'a> Body<'a> {
    /// Reads what follows the header of a datagram.
    ///
    /// # Errors
    /// [`ParseError`], also for a critical payload that we do not know.
    pub fn parse(header: &Header, datagram: &'a [u8]) -> Result<Body<'a>, ParseError> {
        let bytes = datagram.get(Header::LEN..).ok_or(ParseError::Truncated("header"))?;
        let mut chain = Chain::new(header.next_payload, bytes);
        let mut payloads = Vec::new();
        while let Some(raw) = chain.next()? {
            match raw.kind {
                PayloadType::SK | PayloadType::SKF => {
                    if !chain.reader.is_empty() {
                        return Err(ParseError::Length("encrypted payload"));
                    }
                    return sealed(&raw, datagram).map(Body::Sealed);
                }
                _ => payloads.extend(raw.parse()?),
            }
        }
        Ok(Body::Clear(payloads))
    }
}

/// Reads a chain of payloads, such as was decrypted.
///
/// # Errors
/// [`ParseError`], also for a critical payload that we do not know, and for an encrypted payload within.
pub fn parse_chain(first: PayloadType, bytes: &[u8]) -> Result<Vec<Payload<'_>>, ParseError> {
    let mut chain = Chain::new(first, bytes);
    let mut payloads = Vec::new();
    while let Some(raw) = chain.next()? {
        payloads.extend(raw.parse()?);
    }
    Ok(payloads)
}

/// Writes a chain of payloads; returns the type of the first. The caller keeps each below 65,532 bytes.
pub fn write_chain(payloads: &[Payload<'_>], out: &mut Vec<u8>) -> PayloadType {
    for (place, payload) in payloads.iter().enumerate() {
        let next = payloads.get(place + 1).map_or(PayloadType::NONE, Payload::kind);
        let start = out.len();
        out.extend([next.0, 0, 0, 0]);
        payload.write(out);
        set_length(out, start + 2, start);
    }
    payloads.first().map_or(PayloadType::NONE, Payload::kind)
}

/// Writes a message in clear. The header's first payload and length are set here.
pub fn write_message(header: &Header, payloads: &[Payload<'_>]) -> Vec<u8> {
    let mut message = vec![0; Header::LEN];
    let next_payload = write_chain(payloads, &mut message);
    let header = Header { next_payload, length: message.len() as u32, ..*header };
    message[..Header::LEN].copy_from_slice(&header.to_bytes());
    message
}

/// Reads the body of an SA payload by itself; `None` if it is none.
pub(crate) fn parse_proposals(body: &[u8]) -> Option<Vec<Proposal>> {
    sa::parse(body).ok()
}

/// The body of an SA payload by itself.
pub(crate) fn write_proposals(proposals: &[Proposal]) -> Vec<u8> {
    let mut body = Vec::new();
    sa::write(proposals, &mut body);
    body
}

/// Two bodies of TS payloads, one behind the other.
pub(crate) fn parse_selectors(bodies: &[u8]) -> Option<(Vec<TrafficSelector>, Vec<TrafficSelector>)> {
    let (length, rest) = bodies.split_first_chunk::<2>()?;
    let (first, second) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    selector::parse(first).ok().zip(selector::parse(second).ok())
}

/// What [`parse_selectors`] reads: the length of the first body, and both.
pub(crate) fn write_selectors(first: &[TrafficSelector], second: &[TrafficSelector]) -> Vec<u8> {
    let mut bodies = vec![0; 2];
    selector::write(first, &mut bodies);
    let length = (bodies.len() - 2) as u16;
    bodies[..2].copy_from_slice(&length.to_be_bytes());
    selector::write(second, &mut bodies);
    bodies
}

/// Writes at `place` how many bytes there are from `start` on.
fn set_length(out: &mut [u8], place: usize, start: usize) {
    let length = (out.len() - start) as u16;
    if let Some(field) = out.get_mut(place..place + 2) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Walks along generic payload headers (section 3.2).
struct Chain<'a> {
    next: PayloadType,
    reader: Reader<'a>,
    count: usize,
}

/// A payload whose body nobody has looked into.
struct Raw<'a> {
    kind: PayloadType,
    critical: bool,
    /// The "next payload" of its own header.
    next: PayloadType,
    body: &'a [u8],
}

impl<'a> Chain<'a> {
    fn new(first: PayloadType, bytes: &'a [u8]) -> Chain<'a> {
        Chain { next: first, reader: Reader::new(bytes), count: 0 }
    }

    fn next(&mut self) -> Result<Option<Raw<'a>>, ParseError> {
        let kind = self.next;
        if kind == PayloadType::NONE {
            return if self.reader.is_empty() {
                Ok(None)
            } else {
                Err(ParseError::Length("chain of payloads"))
            };
        }
        self.count += 1;
        if self.count > MAX_PAYLOADS {
            return Err(ParseError::TooMany("payloads"));
        }
        let next = PayloadType(self.reader.u8("payload header")?);
        let critical = self.reader.u8("payload header")? & 0x80 != 0;
        let length = self.reader.u16("payload length")?;
        let rest = usize::from(length).checked_sub(4).ok_or(ParseError::Length("payload"))?;
        let body = self.reader.take(rest, "payload")?;
        // What an encrypted payload names as next is its first inside; it is the last of its own chain.
        let closed = matches!(kind, PayloadType::SK | PayloadType::SKF);
        self.next = if closed { PayloadType::NONE } else { next };
        Ok(Some(Raw { kind, critical, next, body }))
    }
}

impl<'a> Raw<'a> {
    /// `None` if it is of no known type and may be skipped.
    fn parse(&self) -> Result<Option<Payload<'a>>, ParseError> {
        if matches!(self.kind, PayloadType::SK | PayloadType::SKF) {
            return Err(ParseError::Length("encrypted payload"));
        }
        match Payload::parse(self.kind, self.body)? {
            None if self.critical => Err(ParseError::Critical(self.kind)),
            payload => Ok(payload),
        }
    }
}

fn sealed<'a>(raw: &Raw<'a>, datagram: &'a [u8]) -> Result<Sealed<'a>, ParseError> {
    let mut reader = Reader::new(raw.body);
    let fragment = if raw.kind == PayloadType::SKF {
        let (number, total) = (reader.u16("fragment number")?, reader.u16("total fragments")?);
        if number == 0 || number > total {
            return Err(ParseError::Length("fragment number"));
        }
        Some((number, total))
    } else {
        None
    };
    let body = reader.rest();
    let associated = datagram.get(..datagram.len() - body.len()).unwrap_or_default();
    Ok(Sealed { first_inside: raw.next, associated, body, fragment })
}
