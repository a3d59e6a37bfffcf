//! The SA payload: proposals, transforms, attributes (RFC 7296, section 3.3).

use super::reader::Reader;
use super::{ParseError, ProtocolId, TransformType};

/// The most proposals that we read of one payload, and the most transforms of all of them together.
const MAX_PROPOSALS: usize = 64;
const MAX_TRANSFORMS: usize = 512;
/// The attribute that says how long a key is (section 3.3.5), in its short format.
const KEY_LENGTH: u16 = 0x8000 | 14;

/// One proposal: of each transform type that it names, one is to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// From 1, in the order of preference.
    pub number: u8,
    /// IKE or ESP.
    pub protocol: ProtocolId,
    /// The sender's SPI: none, 4 bytes for ESP, 8 for IKE.
    pub spi: Vec<u8>,
    /// In the order of preference within each type.
    pub transforms: Vec<Transform>,
}

/// One algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transform {
    /// What it chooses.
    pub kind: TransformType,
    /// Its number in the registry of that type.
    pub id: u16,
    /// In bits, where the algorithm has several.
    pub key_length: Option<u16>,
    /// It bears an attribute that we do not understand, so that it must not be chosen (section 3.3.6). We write none.
    pub foreign_attribute: bool,
}

impl Transform {
    /// An algorithm without attributes.
    pub const fn new(kind: TransformType, id: u16) -> Transform {
        Transform { kind, id, key_length: None, foreign_attribute: false }
    }
}

pub(super) fn parse(body: &[u8]) -> Result<Vec<Proposal>, ParseError> {
    let mut reader = Reader::new(body);
    let mut proposals = Vec::new();
    let mut transforms = 0;
    loop {
        let more = reader.u8("proposal")?;
        reader.u8("proposal")?;
        let length = reader.u16("proposal length")?;
        let rest = usize::from(length).checked_sub(4).ok_or(ParseError::Length("proposal"))?;
        let proposal = parse_proposal(reader.take(rest, "proposal")?)?;
        transforms += proposal.transforms.len();
        proposals.push(proposal);
        if proposals.len() > MAX_PROPOSALS || transforms > MAX_TRANSFORMS {
            return Err(ParseError::TooMany("proposals"));
        }
        match (more, reader.is_empty()) {
            (0, true) => return Ok(proposals),
            (2, false) => {}
            _ => return Err(ParseError::Length("SA payload")),
        }
    }
}

fn parse_proposal(body: &[u8]) -> Result<Proposal, ParseError> {
    let mut reader = Reader::new(body);
    let number = reader.u8("proposal number")?;
    let protocol = ProtocolId(reader.u8("protocol ID")?);
    let spi_len = reader.u8("SPI size")?;
    let count = usize::from(reader.u8("number of transforms")?);
    let spi = reader.take(spi_len.into(), "SPI")?.to_vec();
    let mut transforms = Vec::new();
    while !reader.is_empty() {
        let more = reader.u8("transform")?;
        reader.u8("transform")?;
        let length = reader.u16("transform length")?;
        let rest = usize::from(length).checked_sub(4).ok_or(ParseError::Length("transform"))?;
        transforms.push(parse_transform(reader.take(rest, "transform")?)?);
        if (more == 3) == reader.is_empty() || !matches!(more, 0 | 3) {
            return Err(ParseError::Length("proposal"));
        }
    }
    if transforms.len() != count {
        return Err(ParseError::Length("number of transforms"));
    }
    Ok(Proposal { number, protocol, spi, transforms })
}

fn parse_transform(body: &[u8]) -> Result<Transform, ParseError> {
    let mut reader = Reader::new(body);
    let kind = TransformType(reader.u8("transform type")?);
    reader.u8("transform")?;
    let id = reader.u16("transform ID")?;
    let mut transform = Transform::new(kind, id);
    while !reader.is_empty() {
        let attribute = reader.u16("attribute")?;
        let value = reader.u16("attribute value")?;
        if attribute == KEY_LENGTH && transform.key_length.is_none() {
            transform.key_length = Some(value);
        } else {
            transform.foreign_attribute = true;
        }
        // In the long format, the value says how many bytes follow.
        if attribute & 0x8000 == 0 {
            reader.take(value.into(), "attribute value")?;
        }
    }
    Ok(transform)
}

pub(super) fn write(proposals: &[Proposal], out: &mut Vec<u8>) {
    for (place, proposal) in proposals.iter().enumerate() {
        let start = out.len();
        let last = place + 1 == proposals.len();
        out.extend([if last { 0 } else { 2 }, 0, 0, 0, proposal.number, proposal.protocol.0]);
        out.extend([proposal.spi.len() as u8, proposal.transforms.len() as u8]);
        out.extend(&proposal.spi);
        for (place, transform) in proposal.transforms.iter().enumerate() {
            let last = place + 1 == proposal.transforms.len();
            let length = if transform.key_length.is_some() { 12 } else { 8 };
            out.extend([if last { 0 } else { 3 }, 0, 0, length, transform.kind.0, 0]);
            out.extend(transform.id.to_be_bytes());
            if let Some(bits) = transform.key_length {
                out.extend(KEY_LENGTH.to_be_bytes());
                out.extend(bits.to_be_bytes());
            }
        }
        super::set_length(out, start + 2, start);
    }
}
