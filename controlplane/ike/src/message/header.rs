//! The IKE header (RFC 7296, section 3.1).

use super::reader::Reader;
use super::{ExchangeType, ParseError, PayloadType};
use serde::{Serialize, Serializer};
use std::fmt;

/// SPI of one end of an IKE SA: 64 bits, never 0 but where it is not known yet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeSpi(pub u64);

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IkeSpi({self})")
    }
}

/// As text: JSON's numbers are not long enough.
impl Serialize for IkeSpi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The first 28 bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by who initiated the IKE SA.
    pub initiator_spi: IkeSpi,
    /// Chosen by the other; 0 in the first request.
    pub responder_spi: IkeSpi,
    /// Type of the first payload.
    pub next_payload: PayloadType,
    /// 2.
    pub major_version: u8,
    /// 0; others are ignored.
    pub minor_version: u8,
    /// Which exchange.
    pub exchange: ExchangeType,
    /// I: the sender initiated the IKE SA (not the exchange).
    pub from_initiator: bool,
    /// R: this answers a request.
    pub response: bool,
    /// V: the sender could speak a higher major version.
    pub higher_version: bool,
    /// Number of the exchange, counted in each direction of requests on its own.
    pub message_id: u32,
    /// Of the whole message, header included, in bytes.
    pub length: u32,
}

const INITIATOR: u8 = 0x08;
const VERSION: u8 = 0x10;
const RESPONSE: u8 = 0x20;

impl Header {
    /// In bytes.
    pub const LEN: usize = 28;

    /// Reads the header of a datagram, and holds its length against the datagram's.
    ///
    /// # Errors
    /// [`ParseError`] if bytes are missing or left over. The version is not judged here.
    pub fn parse(datagram: &[u8]) -> Result<Header, ParseError> {
        let mut reader = Reader::new(datagram);
        let initiator_spi = IkeSpi(reader.u64("initiator SPI")?);
        let responder_spi = IkeSpi(reader.u64("responder SPI")?);
        let next_payload = PayloadType(reader.u8("next payload")?);
        let version = reader.u8("version")?;
        let exchange = ExchangeType(reader.u8("exchange type")?);
        let flags = reader.u8("flags")?;
        let message_id = reader.u32("message ID")?;
        let length = reader.u32("length")?;
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(ParseError::Length("message"));
        }
        Ok(Header {
            initiator_spi,
            responder_spi,
            next_payload,
            major_version: version >> 4,
            minor_version: version & 15,
            exchange,
            from_initiator: flags & INITIATOR != 0,
            response: flags & RESPONSE != 0,
            higher_version: flags & VERSION != 0,
            message_id,
            length,
        })
    }

    /// Its bytes, with the length that it says.
    pub fn to_bytes(&self) -> [u8; Header::LEN] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; Header::LEN];
        bytes[..8].copy_from_slice(&self.initiator_spi.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.responder_spi.0.to_be_bytes());
        bytes[16] = self.next_payload.0;
        bytes[17] = self.major_version << 4 | self.minor_version & 15;
        bytes[18] = self.exchange.0;
        bytes[19] = flag(self.from_initiator, INITIATOR)
            | flag(self.response, RESPONSE)
            | flag(self.higher_version, VERSION);
        bytes[20..24].copy_from_slice(&self.message_id.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }
}
