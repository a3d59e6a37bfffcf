//! The TS payloads: lists of traffic selectors (RFC 7296, section 3.13).

use super::ParseError;
use super::reader::Reader;
use crate::selector::TrafficSelector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4_RANGE: u8 = 7;
const IPV6_RANGE: u8 = 8;

/// Reads the list. A selector of a type that we do not know is left out, as section 3.13.1 has it of those that cannot be
/// agreed on; one whose range is empty or of the form "OPAQUE" (ports 65535 to 0) matches nothing of ours and goes too.
pub(super) fn parse(body: &[u8]) -> Result<Vec<TrafficSelector>, ParseError> {
    let mut reader = Reader::new(body);
    let count = usize::from(reader.u8("number of traffic selectors")?);
    reader.take(3, "traffic selectors")?;
    let mut selectors = Vec::new();
    for _ in 0..count {
        let kind = reader.u8("traffic selector type")?;
        let protocol = reader.u8("traffic selector protocol")?;
        let length = reader.u16("traffic selector length")?;
        let rest = usize::from(length).checked_sub(4).ok_or(ParseError::Length("traffic selector"))?;
        let mut body = Reader::new(reader.take(rest, "traffic selector")?);
        let range: (u16, u16, IpAddr, IpAddr) = match kind {
            IPV4_RANGE => {
                let ports = (body.u16("port")?, body.u16("port")?);
                let start = Ipv4Addr::from(body.array::<4>("address")?);
                (ports.0, ports.1, start.into(), Ipv4Addr::from(body.array::<4>("address")?).into())
            }
            IPV6_RANGE => {
                let ports = (body.u16("port")?, body.u16("port")?);
                let start = Ipv6Addr::from(body.array::<16>("address")?);
                (ports.0, ports.1, start.into(), Ipv6Addr::from(body.array::<16>("address")?).into())
            }
            _ => continue,
        };
        if !body.is_empty() {
            return Err(ParseError::Length("traffic selector"));
        }
        selectors.extend(TrafficSelector::new(protocol, range.0, range.1, range.2, range.3));
    }
    if reader.is_empty() { Ok(selectors) } else { Err(ParseError::Length("traffic selectors")) }
}

/// Writes at most 255 of them: as many as the count can say.
pub(super) fn write(selectors: &[TrafficSelector], out: &mut Vec<u8>) {
    let selectors = selectors.get(..255).unwrap_or(selectors);
    out.extend([selectors.len() as u8, 0, 0, 0]);
    for selector in selectors {
        let (kind, length) = if selector.start().is_ipv4() { (IPV4_RANGE, 16u16) } else { (IPV6_RANGE, 40) };
        out.extend([kind, selector.protocol()]);
        out.extend(length.to_be_bytes());
        out.extend(selector.start_port().to_be_bytes());
        out.extend(selector.end_port().to_be_bytes());
        for address in [selector.start(), selector.end()] {
            match address {
                IpAddr::V4(address) => out.extend(address.octets()),
                IpAddr::V6(address) => out.extend(address.octets()),
            }
        }
    }
}
