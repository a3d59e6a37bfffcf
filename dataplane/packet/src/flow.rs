//! The 5-tuple of an IP packet: what selectors look at (RFC 4301, section 4.4.1.1).
//!
//! IPv6 extension headers are walked up to the next-layer protocol ([`extensions`]). A fragment that is not the first has
//! no ports, and its protocol is what its fragment header says.

use crate::{Error, extensions, ipv4, ipv6, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The 5-tuple of a packet of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// Source and destination port; `None` where the packet has none that can be seen.
    pub ports: Option<(u16, u16)>,
}

impl FiveTuple {
    /// The same flow, the other way.
    #[must_use]
    pub fn reversed(self) -> FiveTuple {
        FiveTuple {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            ports: self.ports.map(|(source, destination)| (destination, source)),
        }
    }
}

impl From<FlowV4> for FiveTuple {
    fn from(flow: FlowV4) -> FiveTuple {
        FiveTuple {
            source: Ipv4Addr::from_bits(flow.source).into(),
            destination: Ipv4Addr::from_bits(flow.destination).into(),
            protocol: flow.protocol,
            ports: flow.ports.map(Ports::pair),
        }
    }
}

impl From<FlowV6> for FiveTuple {
    fn from(flow: FlowV6) -> FiveTuple {
        FiveTuple {
            source: Ipv6Addr::from_bits(flow.source).into(),
            destination: Ipv6Addr::from_bits(flow.destination).into(),
            protocol: flow.protocol,
            ports: flow.ports.map(Ports::pair),
        }
    }
}

impl FlowV4 {
    /// The same flow, the other way.
    #[must_use]
    pub fn reversed(self) -> FlowV4 {
        let FlowV4 { source, destination, protocol, ports } = self;
        FlowV4 { source: destination, destination: source, protocol, ports: ports.map(Ports::reversed) }
    }
}

impl FlowV6 {
    /// The same flow, the other way.
    #[must_use]
    pub fn reversed(self) -> FlowV6 {
        let FlowV6 { source, destination, protocol, ports } = self;
        FlowV6 { source: destination, destination: source, protocol, ports: ports.map(Ports::reversed) }
    }
}

/// Source and destination port of a packet. They stay in one word, as they came: taken apart and put together again on the
/// way to a key they would go through memory, and wait there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports(u32);

impl Ports {
    /// Of these two.
    #[inline]
    pub const fn new(source: u16, destination: u16) -> Ports {
        Ports((source as u32) << 16 | destination as u32)
    }

    /// Source port.
    #[inline]
    pub const fn source(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Destination port.
    #[inline]
    pub const fn destination(self) -> u16 {
        self.0 as u16
    }

    /// The other way around.
    #[must_use]
    pub const fn reversed(self) -> Ports {
        Ports(self.0.rotate_left(16))
    }

    /// Source port, then destination port.
    #[inline]
    pub const fn pair(self) -> (u16, u16) {
        (self.source(), self.destination())
    }
}

/// The 5-tuple of an IPv4 packet, addresses in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowV4 {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// Source and destination port; `None` where the packet has none that can be seen.
    pub ports: Option<Ports>,
}

/// The 5-tuple of an IPv6 packet, addresses in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowV6 {
    /// Source address.
    pub source: u128,
    /// Destination address.
    pub destination: u128,
    /// Number of the next-layer protocol.
    pub protocol: u8,
    /// Source and destination port; `None` where the packet has none that can be seen.
    pub ports: Option<Ports>,
}

/// The 5-tuple of a packet that begins at its IP header; the version nibble says which family.
///
/// # Errors
/// Those of [`v4`] and [`v6`]; [`Error::BadVersion`] for any other version.
#[inline]
pub fn five_tuple(l3: &[u8]) -> Result<FiveTuple, Error> {
    match l3.first().map(|first| first >> 4) {
        Some(4) => v4(l3).map(FiveTuple::from),
        Some(6) => v6(l3).map(FiveTuple::from),
        Some(_) => Err(Error::BadVersion),
        None => Err(Error::Truncated),
    }
}

/// The 5-tuple of an IPv4 packet.
///
/// # Errors
/// Those of [`ipv4::Packet::new_checked`]; [`Error::Truncated`] also where a protocol with ports (TCP, UDP, SCTP, DCCP,
/// UDP-Lite) has no room for them: such a packet must not pass a policy about ports (RFC 1858).
#[inline(always)]
pub fn v4(l3: &[u8]) -> Result<FlowV4, Error> {
    let packet = ipv4::Packet::new_checked(l3)?;
    let protocol = packet.protocol();
    let ports = match packet.is_first_fragment() && protocol::has_ports(protocol) {
        true => Some(ports(packet.payload())?),
        false => None,
    };
    Ok(FlowV4 {
        source: packet.source().to_bits(),
        destination: packet.destination().to_bits(),
        protocol,
        ports,
    })
}

/// The 5-tuple of an IPv6 packet.
///
/// # Errors
/// Those of [`ipv6::Packet::new_checked`], [`Error::Truncated`] as in [`v4`] and where an extension header does not end
/// inside the packet, [`Error::BadExtension`], [`Error::TooManyExtensions`].
#[inline]
pub fn v6(l3: &[u8]) -> Result<FlowV6, Error> {
    let packet = ipv6::Packet::new_checked(l3)?;
    let (protocol, ports) = match packet.next_header() {
        // Nearly every packet has no extension header.
        next @ (protocol::TCP | protocol::UDP) => (next, Some(ports(packet.payload())?)),
        protocol::ICMPV6 => (protocol::ICMPV6, None),
        _ => behind_extensions(l3)?,
    };
    Ok(FlowV6 {
        source: packet.source().to_bits(),
        destination: packet.destination().to_bits(),
        protocol,
        ports,
    })
}

/// What a packet says beside its 5-tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The flags of its TCP header (RFC 9293, section 3.1); `None` if it has none that can be seen.
    pub tcp_flags: Option<u8>,
    /// The traffic class, which IPv4 calls type of service.
    pub traffic_class: u8,
}

/// Where the flags are in a TCP header.
const TCP_FLAGS: usize = 13;

/// What an IPv4 packet says beside its 5-tuple.
///
/// # Errors
/// Those of [`ipv4::Packet::new_checked`].
pub fn extras_v4(l3: &[u8]) -> Result<Extras, Error> {
    let packet = ipv4::Packet::new_checked(l3)?;
    let is_tcp = packet.is_first_fragment() && packet.protocol() == protocol::TCP;
    let tcp_flags = packet.payload().get(TCP_FLAGS).filter(|_| is_tcp).copied();
    Ok(Extras { tcp_flags, traffic_class: packet.tos() })
}

/// The same of an IPv6 packet.
///
/// # Errors
/// Those of [`v6`].
pub fn extras_v6(l3: &[u8]) -> Result<Extras, Error> {
    let packet = ipv6::Packet::new_checked(l3)?;
    let upper = extensions::upper_layer(l3)?;
    let is_tcp = !upper.is_later_fragment && upper.number == protocol::TCP;
    let tcp_flags = upper.bytes.get(TCP_FLAGS).filter(|_| is_tcp).copied();
    Ok(Extras { tcp_flags, traffic_class: packet.traffic_class() })
}

/// The next-layer protocol behind extension headers, and its ports.
fn behind_extensions(l3: &[u8]) -> Result<(u8, Option<Ports>), Error> {
    let upper = extensions::upper_layer(l3)?;
    let ports = match !upper.is_later_fragment && protocol::has_ports(upper.number) {
        true => Some(ports(upper.bytes)?),
        false => None,
    };
    Ok((upper.number, ports))
}

#[inline(always)]
fn ports(payload: &[u8]) -> Result<Ports, Error> {
    payload.first_chunk().map(|word| Ports(u32::from_be_bytes(*word))).ok_or(Error::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet4(protocol: u8, flags_and_offset: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        ipv4::Repr {
            source: Ipv4Addr::new(10, 1, 2, 3),
            destination: Ipv4Addr::new(10, 4, 5, 6),
            protocol,
            tos: 0,
            ttl: 64,
            df: false,
            identification: 1,
            payload_len: payload.len(),
        }
        .emit(&mut bytes)
        .unwrap();
        bytes[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn packet6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        ipv6::Repr {
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            next_header,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            payload_len: payload.len(),
        }
        .emit(&mut bytes)
        .unwrap();
        bytes.extend(payload);
        bytes
    }

    const PORTS: [u8; 4] = [0x12, 0x34, 0x00, 0x35];

    #[test]
    fn ports_are_seen_where_they_are() {
        let whole = five_tuple(&packet4(protocol::UDP, 0x4000, &PORTS)).unwrap();
        assert_eq!(whole.ports, Some((0x1234, 53)));
        assert_eq!(whole.source, IpAddr::from([10, 1, 2, 3]));
        assert_eq!(whole.reversed().ports, Some((53, 0x1234)));
        assert_eq!(whole.reversed().source, whole.destination);
        // First fragment, later fragment, protocol without ports, options before the payload.
        assert_eq!(v4(&packet4(protocol::TCP, 0x2000, &PORTS)).unwrap().ports, Some(Ports::new(0x1234, 53)));
        assert_eq!(v4(&packet4(protocol::TCP, 0x2001, &PORTS)).unwrap().ports, None);
        assert_eq!(v4(&packet4(protocol::ICMP, 0, &PORTS)).unwrap().ports, None);
        let mut options = packet4(protocol::TCP, 0, &[&[1; 8][..], &PORTS].concat());
        options[0] = 0x47;
        assert_eq!(v4(&options).unwrap().ports, Some(Ports::new(0x1234, 53)));
    }

    #[test]
    fn flags_and_classes_are_seen_where_they_are() {
        let header = |flags: u8| [&PORTS[..], &[0; 9], &[flags], &[0; 6]].concat();
        let mut whole = packet4(protocol::TCP, 0x4000, &header(0x12));
        whole[1] = 0xB8;
        let seen = |tcp_flags, traffic_class| Ok(Extras { tcp_flags, traffic_class });
        assert_eq!(extras_v4(&whole), seen(Some(0x12), 0xB8));
        // A later fragment, one that ends before the flags, and another protocol.
        assert_eq!(extras_v4(&packet4(protocol::TCP, 0x2001, &header(2))), seen(None, 0));
        assert_eq!(extras_v4(&packet4(protocol::TCP, 0x2000, &header(2)[..13])), seen(None, 0));
        assert_eq!(extras_v4(&packet4(protocol::UDP, 0, &header(2))), seen(None, 0));
        let mut whole = packet6(protocol::TCP, &header(0x04));
        (whole[0], whole[1]) = (0x6B, 0x80);
        assert_eq!(extras_v6(&whole), seen(Some(0x04), 0xB8));
        assert_eq!(extras_v6(&packet6(protocol::ICMPV6, &header(2))), seen(None, 0));
    }

    #[test]
    fn ports_that_are_cut_off_are_an_error() {
        assert_eq!(v4(&packet4(protocol::TCP, 0, &PORTS[..3])), Err(Error::Truncated));
        assert_eq!(v6(&packet6(protocol::TCP, &PORTS[..3])), Err(Error::Truncated));
        // Link-layer padding is not the packet's.
        let mut padded = packet4(protocol::TCP, 0, &[]);
        padded.resize(46, 0);
        assert_eq!(five_tuple(&padded), Err(Error::Truncated));
        assert_eq!(five_tuple(&[]), Err(Error::Truncated));
        assert_eq!(five_tuple(&[0x50; 40]), Err(Error::BadVersion));
    }

    #[test]
    fn extension_headers_are_walked() {
        let hop = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        let fragment = |next: u8, offset: u16| {
            let [high, low] = (offset << 3 | 1).to_be_bytes();
            [next, 0, high, low, 0, 0, 0, 1]
        };
        let long = [&[protocol::UDP, 1][..], &[0; 14]].concat();
        let payload =
            [&hop(protocol::FRAGMENT)[..], &fragment(protocol::DESTINATION_OPTIONS, 0), &long, &PORTS]
                .concat();
        let flow = v6(&packet6(protocol::HOP_BY_HOP, &payload)).unwrap();
        assert_eq!((flow.protocol, flow.ports), (protocol::UDP, Some(Ports::new(0x1234, 53))));

        let later = [&fragment(protocol::TCP, 5)[..], &PORTS].concat();
        let flow = v6(&packet6(protocol::FRAGMENT, &later)).unwrap();
        assert_eq!((flow.protocol, flow.ports), (protocol::TCP, None));

        assert_eq!(v6(&packet6(protocol::ESP, &PORTS)).unwrap().protocol, protocol::ESP);
        assert_eq!(v6(&packet6(protocol::NO_NEXT_HEADER, &[])).unwrap().ports, None);
        let misplaced = [hop(protocol::HOP_BY_HOP), hop(protocol::TCP)].concat();
        assert_eq!(v6(&packet6(protocol::DESTINATION_OPTIONS, &misplaced)), Err(Error::BadExtension));
        assert_eq!(v6(&packet6(protocol::ROUTING, &[protocol::TCP, 1])), Err(Error::Truncated));
        assert_eq!(v6(&packet6(protocol::ROUTING, &[protocol::TCP])), Err(Error::Truncated));
    }

    #[test]
    fn the_walk_is_bounded() {
        let options = |count: usize| {
            let mut payload = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(count - 1);
            payload.extend([protocol::TCP, 0, 1, 4, 0, 0, 0, 0]);
            payload.extend(PORTS);
            packet6(protocol::DESTINATION_OPTIONS, &payload)
        };
        assert_eq!(v6(&options(extensions::MAX)).unwrap().protocol, protocol::TCP);
        assert_eq!(v6(&options(extensions::MAX + 1)), Err(Error::TooManyExtensions));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), version: bool) {
            if let Some(first) = bytes.first_mut() {
                *first = if version { 0x45 } else { 0x60 };
            }
            if bytes.len() > 7 {
                // Lengths that are near the truth, so that the walk is reached.
                let length = if version { bytes.len() } else { bytes.len().saturating_sub(40) };
                let at = if version { 2 } else { 4 };
                bytes[at..at + 2].copy_from_slice(&(length as u16).to_be_bytes());
                if !version {
                    bytes[6] = [0, 43, 44, 60, 6, 50][usize::from(bytes[6] % 6)];
                }
            }
            let _ = five_tuple(&bytes);
        }
    }
}
