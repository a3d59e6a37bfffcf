//! One payload, as a view of the message that it came in (RFC 7296, sections 3.3 to 3.13).

use super::reader::Reader;
use super::sa::{self, Proposal};
use super::{AuthMethod, NotifyType, ParseError, PayloadType, ProtocolId, selector};
use crate::selector::TrafficSelector;

/// A payload. Bytes that we do not look into are borrowed from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Proposals, or the one that was chosen.
    Sa(Vec<Proposal>),
    /// A public value of Diffie-Hellman.
    KeyExchange {
        /// Number of the group.
        group: u16,
        /// The public value.
        data: &'a [u8],
    },
    /// Of the initiator: the payload's body, which is also what AUTH covers.
    IdI(IdBody<'a>),
    /// Of the responder.
    IdR(IdBody<'a>),
    /// A certificate.
    Cert {
        /// 4: X.509, for signatures.
        encoding: u8,
        /// DER.
        data: &'a [u8],
    },
    /// Which authorities are trusted.
    CertReq {
        /// As in [`Payload::Cert`].
        encoding: u8,
        /// SHA-1 hashes of their public keys.
        data: &'a [u8],
    },
    /// The proof of an identity.
    Auth {
        /// How.
        method: AuthMethod,
        /// The proof.
        data: &'a [u8],
    },
    /// 16 to 256 bytes of chance.
    Nonce(&'a [u8]),
    /// An error or a status.
    Notify(Notify<'a>),
    /// SAs that are gone.
    Delete {
        /// Of which kind.
        protocol: ProtocolId,
        /// The sender's inbound SPIs of ESP; empty for IKE.
        spis: Vec<u32>,
    },
    /// Who made this.
    VendorId(&'a [u8]),
    /// The initiator's side of the traffic.
    TsI(Vec<TrafficSelector>),
    /// The responder's side.
    TsR(Vec<TrafficSelector>),
    /// What we do not know, or do not look into; not critical, or known to be harmless.
    Other {
        /// Its type.
        kind: PayloadType,
        /// Its body.
        data: &'a [u8],
    },
}

/// The body of an identification payload: type, three reserved bytes, and the identity (section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBody<'a>(pub &'a [u8]);

/// A Notify payload (section 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify<'a> {
    /// What the SPI is of.
    pub protocol: ProtocolId,
    /// Empty where it is about nothing or about the IKE SA itself.
    pub spi: &'a [u8],
    /// What it says.
    pub kind: NotifyType,
    /// More about it.
    pub data: &'a [u8],
}

impl<'a> Notify<'a> {
    /// About the IKE SA, or about nothing in particular.
    pub const fn new(kind: NotifyType, data: &'a [u8]) -> Notify<'a> {
        Notify { protocol: ProtocolId::NONE, spi: &[], kind, data }
    }
}

impl<'a> Payload<'a> {
    /// A Notify payload about nothing in particular.
    pub const fn notify(kind: NotifyType, data: &'a [u8]) -> Payload<'a> {
        Payload::Notify(Notify::new(kind, data))
    }

    /// Reads the body of a payload of that type. `None`: it is of a type that we do not know.
    pub(super) fn parse(kind: PayloadType, body: &'a [u8]) -> Result<Option<Payload<'a>>, ParseError> {
        let mut reader = Reader::new(body);
        Ok(Some(match kind {
            PayloadType::SA => Payload::Sa(sa::parse(body)?),
            PayloadType::KE => {
                let group = reader.u16("DH group")?;
                reader.u16("KE payload")?;
                Payload::KeyExchange { group, data: reader.rest() }
            }
            PayloadType::IDI | PayloadType::IDR => {
                reader.take(4, "identification")?;
                let id = IdBody(body);
                if kind == PayloadType::IDI { Payload::IdI(id) } else { Payload::IdR(id) }
            }
            PayloadType::CERT => {
                Payload::Cert { encoding: reader.u8("certificate encoding")?, data: reader.rest() }
            }
            PayloadType::CERTREQ => {
                Payload::CertReq { encoding: reader.u8("certificate encoding")?, data: reader.rest() }
            }
            PayloadType::AUTH => {
                let method = AuthMethod(reader.u8("authentication method")?);
                reader.take(3, "AUTH payload")?;
                Payload::Auth { method, data: reader.rest() }
            }
            PayloadType::NONCE if (16..=256).contains(&body.len()) => Payload::Nonce(body),
            PayloadType::NONCE => return Err(ParseError::Length("nonce")),
            PayloadType::NOTIFY => {
                let protocol = ProtocolId(reader.u8("protocol ID")?);
                let spi_len = reader.u8("SPI size")?;
                let kind = NotifyType(reader.u16("notify type")?);
                let spi = reader.take(spi_len.into(), "SPI")?;
                Payload::Notify(Notify { protocol, spi, kind, data: reader.rest() })
            }
            PayloadType::DELETE => parse_delete(reader)?,
            PayloadType::VENDOR_ID => Payload::VendorId(body),
            PayloadType::TSI => Payload::TsI(selector::parse(body)?),
            PayloadType::TSR => Payload::TsR(selector::parse(body)?),
            PayloadType::CP | PayloadType::EAP => Payload::Other { kind, data: body },
            _ => return Ok(None),
        }))
    }

    /// Its type.
    pub const fn kind(&self) -> PayloadType {
        match self {
            Payload::Sa(_) => PayloadType::SA,
            Payload::KeyExchange { .. } => PayloadType::KE,
            Payload::IdI(_) => PayloadType::IDI,
            Payload::IdR(_) => PayloadType::IDR,
            Payload::Cert { .. } => PayloadType::CERT,
            Payload::CertReq { .. } => PayloadType::CERTREQ,
            Payload::Auth { .. } => PayloadType::AUTH,
            Payload::Nonce(_) => PayloadType::NONCE,
            Payload::Notify(_) => PayloadType::NOTIFY,
            Payload::Delete { .. } => PayloadType::DELETE,
            Payload::VendorId(_) => PayloadType::VENDOR_ID,
            Payload::TsI(_) => PayloadType::TSI,
            Payload::TsR(_) => PayloadType::TSR,
            Payload::Other { kind, .. } => *kind,
        }
    }

    /// Writes the body, without the generic header.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Payload::Sa(proposals) => sa::write(proposals, out),
            Payload::KeyExchange { group, data } => {
                out.extend(group.to_be_bytes());
                out.extend([0, 0]);
                out.extend(*data);
            }
            Payload::Cert { encoding, data } | Payload::CertReq { encoding, data } => {
                out.push(*encoding);
                out.extend(*data);
            }
            Payload::Auth { method, data } => {
                out.extend([method.0, 0, 0, 0]);
                out.extend(*data);
            }
            Payload::Notify(notify) => {
                out.extend([notify.protocol.0, notify.spi.len() as u8]);
                out.extend(notify.kind.0.to_be_bytes());
                out.extend(notify.spi);
                out.extend(notify.data);
            }
            Payload::Delete { protocol, spis } => {
                out.extend([protocol.0, if spis.is_empty() { 0 } else { 4 }]);
                out.extend((spis.len() as u16).to_be_bytes());
                spis.iter().for_each(|spi| out.extend(spi.to_be_bytes()));
            }
            Payload::TsI(selectors) | Payload::TsR(selectors) => selector::write(selectors, out),
            Payload::IdI(IdBody(data))
            | Payload::IdR(IdBody(data))
            | Payload::Nonce(data)
            | Payload::VendorId(data)
            | Payload::Other { data, .. } => out.extend(*data),
        }
    }
}

/// For IKE without SPIs; for ESP with 4 bytes each. What is of AH, or of a protocol that we do not know, is read as empty.
fn parse_delete<'a>(mut reader: Reader<'a>) -> Result<Payload<'a>, ParseError> {
    let protocol = ProtocolId(reader.u8("protocol ID")?);
    let spi_len = reader.u8("SPI size")?;
    let count = reader.u16("number of SPIs")?;
    let mut bytes = Reader::new(reader.take(usize::from(spi_len) * usize::from(count), "SPIs")?);
    if !reader.is_empty() {
        return Err(ParseError::Length("Delete payload"));
    }
    let mut spis = Vec::new();
    match (protocol, spi_len) {
        (ProtocolId::ESP, 4) => {
            while !bytes.is_empty() {
                spis.push(bytes.u32("SPI")?);
            }
        }
        (ProtocolId::ESP | ProtocolId::IKE, _) if !bytes.is_empty() => {
            return Err(ParseError::Length("SPI of a Delete payload"));
        }
        _ => {}
    }
    Ok(Payload::Delete { protocol, spis })
}
