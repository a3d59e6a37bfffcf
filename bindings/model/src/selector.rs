//! Traffic selectors: which packets a policy or an SA is for (RFC 4301, section 4.4.1.1).

use crate::Prefix;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// The next-layer protocol that a selector asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// One, by its IANA number.
    Number(u8),
}

impl Protocol {
    /// TCP.
    pub const TCP: Protocol = Protocol::Number(6);
    /// UDP.
    pub const UDP: Protocol = Protocol::Number(17);

    /// Whether a packet of this protocol number is meant.
    pub const fn contains(self, number: u8) -> bool {
        match self {
            Protocol::Any => true,
            Protocol::Number(mine) => mine == number,
        }
    }

    /// Whether the protocol has ports at a place that a selector can see: TCP, UDP, SCTP, DCCP, UDP-Lite.
    pub const fn has_ports(self) -> bool {
        matches!(self, Protocol::Number(6 | 17 | 33 | 132 | 136))
    }
}

/// An inclusive, never empty range of ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// Every port, and also "the packet has no port" (RFC 4301, section 4.4.1.1: ANY includes OPAQUE).
    pub const ANY: PortRange = PortRange { start: 0, end: u16::MAX };

    /// `None` if `start` is above `end`.
    pub const fn new(start: u16, end: u16) -> Option<PortRange> {
        if start <= end { Some(PortRange { start, end }) } else { None }
    }

    /// One port.
    pub const fn single(port: u16) -> PortRange {
        PortRange { start: port, end: port }
    }

    /// The first port.
    pub const fn start(self) -> u16 {
        self.start
    }

    /// The last port.
    pub const fn end(self) -> u16 {
        self.end
    }

    /// Whether this is [`PortRange::ANY`].
    pub const fn is_any(self) -> bool {
        self.start == 0 && self.end == u16::MAX
    }

    /// Whether the port is inside.
    pub const fn contains(self, port: u16) -> bool {
        self.start <= port && port <= self.end
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_any(), self.start == self.end) {
            (true, _) => f.write_str("any"),
            (false, true) => write!(f, "{}", self.start),
            (false, false) => write!(f, "{}-{}", self.start, self.end),
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortRange({self})")
    }
}

/// Which packets: source and destination of one address family, protocol, ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Selector {
    source: Prefix,
    destination: Prefix,
    protocol: Protocol,
    source_port: PortRange,
    destination_port: PortRange,
}

/// Why fields do not make a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// One prefix is IPv4 and the other is IPv6.
    #[error("source and destination are of different address families")]
    MixedFamilies,
    /// Ports were asked for, but the protocol has none that can be seen.
    #[error("ports need a protocol that has them (tcp, udp, sctp, dccp, udp-lite)")]
    PortsWithoutProtocol,
}

impl Selector {
    /// Host bits of the prefixes are cleared. Ports other than [`PortRange::ANY`] need a protocol with ports.
    pub fn new(
        source: Prefix,
        destination: Prefix,
        protocol: Protocol,
        source_port: PortRange,
        destination_port: PortRange,
    ) -> Result<Selector, SelectorError> {
        if source.addr().is_ipv4() != destination.addr().is_ipv4() {
            return Err(SelectorError::MixedFamilies);
        }
        if !(protocol.has_ports() || source_port.is_any() && destination_port.is_any()) {
            return Err(SelectorError::PortsWithoutProtocol);
        }
        Ok(Selector {
            source: source.trunc(),
            destination: destination.trunc(),
            protocol,
            source_port,
            destination_port,
        })
    }

    /// Every protocol between two prefixes of one family.
    pub fn between(source: Prefix, destination: Prefix) -> Result<Selector, SelectorError> {
        Selector::new(source, destination, Protocol::Any, PortRange::ANY, PortRange::ANY)
    }

    /// Source addresses.
    pub const fn source(&self) -> Prefix {
        self.source
    }

    /// Destination addresses.
    pub const fn destination(&self) -> Prefix {
        self.destination
    }

    /// Next-layer protocol.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Source ports.
    pub const fn source_port(&self) -> PortRange {
        self.source_port
    }

    /// Destination ports.
    pub const fn destination_port(&self) -> PortRange {
        self.destination_port
    }

    /// Whether it is about IPv4 (else IPv6).
    pub const fn is_ipv4(&self) -> bool {
        matches!(self.source, Prefix::V4(_))
    }

    /// The same traffic in the other direction.
    #[must_use]
    pub const fn reversed(&self) -> Selector {
        Selector {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// Whether a packet with these fields is meant. `ports` is `None` where a packet has none that can be seen
    /// (a protocol without ports, or a fragment that is not the first): then only a selector of every port fits.
    pub fn contains(
        &self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        ports: Option<(u16, u16)>,
    ) -> bool {
        self.protocol.contains(protocol)
            && self.source.contains(&source)
            && self.destination.contains(&destination)
            && match ports {
                Some((from, to)) => self.source_port.contains(from) && self.destination_port.contains(to),
                None => self.source_port.is_any() && self.destination_port.is_any(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(
            Selector::between(prefix("10.0.0.0/8"), prefix("2001:db8::/32")),
            Err(SelectorError::MixedFamilies)
        );
        assert_eq!(
            Selector::new(
                prefix("10.0.0.0/8"),
                prefix("10.0.0.0/8"),
                Protocol::Any,
                PortRange::single(1),
                PortRange::ANY
            ),
            Err(SelectorError::PortsWithoutProtocol)
        );
        assert_eq!(PortRange::new(2, 1), None);
    }

    #[test]
    fn a_packet_without_ports_fits_only_any_port() {
        let all = Selector::new(
            prefix("10.1.0.0/16"),
            prefix("10.2.0.0/16"),
            Protocol::UDP,
            PortRange::ANY,
            PortRange::ANY,
        )
        .unwrap();
        let dns = Selector { destination_port: PortRange::single(53), ..all };
        let (a, b) = ("10.1.2.3".parse().unwrap(), "10.2.3.4".parse().unwrap());
        assert!(all.contains(a, b, 17, None));
        assert!(!dns.contains(a, b, 17, None));
        assert!(dns.contains(a, b, 17, Some((4000, 53))));
        assert!(!dns.contains(b, a, 17, Some((4000, 53))));
        assert!(dns.reversed().contains(b, a, 17, Some((53, 4000))));
    }
}
