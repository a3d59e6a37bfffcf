//! Traffic selectors, and what two peers have in common of them (RFC 7296, sections 2.9 and 3.13).

use ipnet::{Ipv4Subnets, Ipv6Subnets};
use model::{PortRange, Prefix, Protocol, Selector};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;

/// One side of the traffic of a child SA: a range of addresses, a protocol, a range of ports. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrafficSelector {
    protocol: u8,
    ports: PortRange,
    start: IpAddr,
    end: IpAddr,
}

impl TrafficSelector {
    /// Protocol 0 is any. `None` if a range is empty or the addresses are of different families.
    pub fn new(
        protocol: u8,
        start_port: u16,
        end_port: u16,
        start: IpAddr,
        end: IpAddr,
    ) -> Option<TrafficSelector> {
        let ports = PortRange::new(start_port, end_port)?;
        let fits = start.is_ipv4() == end.is_ipv4() && start <= end;
        fits.then_some(TrafficSelector { protocol, ports, start, end })
    }

    /// The addresses of a prefix.
    pub fn from_prefix(prefix: Prefix, protocol: Protocol, ports: PortRange) -> TrafficSelector {
        let protocol = match protocol {
            Protocol::Any => 0,
            Protocol::Number(number) => number,
        };
        TrafficSelector { protocol, ports, start: prefix.network(), end: prefix.broadcast() }
    }

    /// One address, every protocol.
    pub fn host(address: IpAddr) -> TrafficSelector {
        TrafficSelector { protocol: 0, ports: PortRange::ANY, start: address, end: address }
    }

    /// By its IANA number; 0 is any.
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The first port (for ICMP: type and code, section 3.13.1).
    pub const fn start_port(&self) -> u16 {
        self.ports.start()
    }

    /// The last port.
    pub const fn end_port(&self) -> u16 {
        self.ports.end()
    }

    /// The first address.
    pub const fn start(&self) -> IpAddr {
        self.start
    }

    /// The last address.
    pub const fn end(&self) -> IpAddr {
        self.end
    }

    /// What both mean; `None` if that is nothing.
    pub fn meet(&self, other: &TrafficSelector) -> Option<TrafficSelector> {
        let protocol = match (self.protocol, other.protocol) {
            (0, one) | (one, 0) => one,
            (one, other) if one == other => one,
            _ => return None,
        };
        if self.start.is_ipv4() != other.start.is_ipv4() {
            return None;
        }
        TrafficSelector::new(
            protocol,
            self.start_port().max(other.start_port()),
            self.end_port().min(other.end_port()),
            self.start.max(other.start),
            self.end.min(other.end),
        )
    }

    /// Whether all that `other` means is meant.
    pub fn covers(&self, other: &TrafficSelector) -> bool {
        self.meet(other) == Some(*other)
    }

    /// As few prefixes as have the same addresses. `None` if they were more than 64.
    fn prefixes(&self) -> Option<Vec<Prefix>> {
        const MOST: usize = 64;
        let prefixes: Vec<Prefix> = match (self.start, self.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                Ipv4Subnets::new(start, end, 0).take(MOST + 1).map(Prefix::V4).collect()
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                Ipv6Subnets::new(start, end, 0).take(MOST + 1).map(Prefix::V6).collect()
            }
            _ => return None,
        };
        (prefixes.len() <= MOST).then_some(prefixes)
    }
}

/// `10.1.0.0-10.1.255.255`, with protocol and ports where they are not any.
impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefixes().as_deref() {
            Some([prefix]) => write!(f, "{prefix}")?,
            _ => write!(f, "{}-{}", self.start, self.end)?,
        }
        if self.protocol != 0 {
            write!(f, " protocol {}", self.protocol)?;
        }
        if !self.ports.is_any() {
            write!(f, " port {}", self.ports)?;
        }
        Ok(())
    }
}

impl Serialize for TrafficSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most selectors that a narrowed side may have: what a TS payload can say.
const MOST: usize = 255;

/// What two lists have in common, in the order of the first; what another covers is left out.
pub(crate) fn narrow(ours: &[TrafficSelector], theirs: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut common: Vec<TrafficSelector> = Vec::new();
    for meet in ours.iter().flat_map(|our| theirs.iter().filter_map(|their| our.meet(their))) {
        if common.iter().any(|known| known.covers(&meet)) {
            continue;
        }
        common.retain(|known| !meet.covers(known));
        if common.len() == MOST {
            break;
        }
        common.push(meet);
    }
    common
}

/// Whether each of `inner` is covered by one of `outer`.
pub(crate) fn within(inner: &[TrafficSelector], outer: &[TrafficSelector]) -> bool {
    inner.iter().all(|one| outer.iter().any(|wide| wide.covers(one)))
}

/// The selectors of the outbound SA, as the data plane wants them: each pair of a local and a remote selector, with
/// ranges of addresses cut into prefixes. Pairs of different families, or of protocols that exclude each other, mean
/// nothing. `None` if they come to more than `most`, or if a selector asks for ports where [`Selector`] can have none.
pub fn outbound_selectors(
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
    most: usize,
) -> Option<Vec<Selector>> {
    let mut selectors = Vec::new();
    for (from, to) in local.iter().flat_map(|from| remote.iter().map(move |to| (from, to))) {
        let protocol = match (from.protocol, to.protocol) {
            (0, 0) => Protocol::Any,
            (0, one) | (one, 0) => Protocol::Number(one),
            (one, other) if one == other => Protocol::Number(one),
            _ => continue,
        };
        if from.start.is_ipv4() != to.start.is_ipv4() {
            continue;
        }
        let destinations = to.prefixes()?;
        for source in from.prefixes()? {
            for &destination in &destinations {
                selectors.push(Selector::new(source, destination, protocol, from.ports, to.ports).ok()?);
                if selectors.len() > most {
                    return None;
                }
            }
        }
    }
    Some(selectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> TrafficSelector {
        TrafficSelector::from_prefix(text.parse().unwrap(), Protocol::Any, PortRange::ANY)
    }

    #[test]
    fn narrowing_keeps_what_both_mean() {
        let ours = [selector("10.0.0.0/8"), selector("2001:db8::/32")];
        let theirs = [selector("10.1.0.0/16"), selector("10.1.2.0/24"), selector("192.168.0.0/16")];
        assert_eq!(narrow(&ours, &theirs), [selector("10.1.0.0/16")]);
        assert_eq!(narrow(&ours, &[selector("172.16.0.0/12")]), []);
        assert!(within(&narrow(&ours, &theirs), &ours));
        assert!(!within(&theirs, &ours));
    }

    #[test]
    fn ports_and_protocols_meet() {
        let tcp = TrafficSelector { protocol: 6, ports: PortRange::single(80), ..selector("10.0.0.0/8") };
        let any = selector("10.1.0.0/16");
        let both = tcp.meet(&any).unwrap();
        assert_eq!(both.to_string(), "10.1.0.0/16 protocol 6 port 80");
        assert_eq!(tcp.meet(&TrafficSelector { protocol: 17, ..any }), None);
    }

    #[test]
    fn ranges_become_prefixes() {
        let range =
            TrafficSelector::new(0, 0, 65535, "10.0.0.1".parse().unwrap(), "10.0.0.4".parse().unwrap());
        let pairs = outbound_selectors(&[range.unwrap()], &[selector("10.9.0.0/16")], 100).unwrap();
        let sources: Vec<String> = pairs.iter().map(|pair| pair.source().to_string()).collect();
        assert_eq!(sources, ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
    }
}
