//! The selectors of an inbound SA, laid out for the check of every packet that comes out of it (RFC 4301, section 5.2,
//! step 4). [`Selector::contains`] says the same, slowly.

use model::{Ipv4Prefix, Ipv6Prefix, PortRange, Prefix, Protocol, Selector};
use packet::flow::{FlowV4, FlowV6, Ports};
use std::ops::{BitAnd, BitXor};

/// What may come out of an SA, by family.
#[derive(Debug)]
pub(crate) struct Selectors {
    v4: Box<[Row<u32>]>,
    v6: Box<[Row<u128>]>,
}

/// One selector; addresses in host order.
#[derive(Clone, Copy, Debug)]
struct Row<A> {
    source: Network<A>,
    destination: Network<A>,
    protocol: Protocol,
    source_port: PortRange,
    destination_port: PortRange,
}

#[derive(Clone, Copy, Debug)]
struct Network<A> {
    bits: A,
    mask: A,
}

impl<A: Copy + PartialEq + BitAnd<Output = A> + BitXor<Output = A>> Network<A> {
    #[inline(always)]
    fn contains(self, address: A) -> bool {
        address & self.mask == self.bits
    }
}

impl<A: Copy + PartialEq + BitAnd<Output = A> + BitXor<Output = A>> Row<A> {
    #[inline(always)]
    fn contains(&self, source: A, destination: A, protocol: u8, ports: Option<Ports>) -> bool {
        self.source.contains(source)
            && self.destination.contains(destination)
            && self.protocol.contains(protocol)
            && match ports {
                Some(ports) => {
                    self.source_port.contains(ports.source())
                        && self.destination_port.contains(ports.destination())
                }
                None => self.source_port.is_any() && self.destination_port.is_any(),
            }
    }
}

impl Selectors {
    pub(crate) fn new(selectors: &[Selector]) -> Selectors {
        let v4 = selectors.iter().filter_map(|selector| match (selector.source(), selector.destination()) {
            (Prefix::V4(source), Prefix::V4(destination)) => {
                let network = |prefix: Ipv4Prefix| Network {
                    bits: prefix.network().to_bits(),
                    mask: prefix.netmask().to_bits(),
                };
                Some(row(selector, network(source), network(destination)))
            }
            _ => None,
        });
        let v6 = selectors.iter().filter_map(|selector| match (selector.source(), selector.destination()) {
            (Prefix::V6(source), Prefix::V6(destination)) => {
                let network = |prefix: Ipv6Prefix| Network {
                    bits: prefix.network().to_bits(),
                    mask: prefix.netmask().to_bits(),
                };
                Some(row(selector, network(source), network(destination)))
            }
            _ => None,
        });
        Selectors { v4: v4.collect(), v6: v6.collect() }
    }

    /// Whether a packet is meant.
    #[inline(always)]
    pub(crate) fn contain_v4(&self, flow: &FlowV4) -> bool {
        self.v4.iter().any(|row| row.contains(flow.source, flow.destination, flow.protocol, flow.ports))
    }

    /// Whether a packet is meant.
    #[inline(always)]
    pub(crate) fn contain_v6(&self, flow: &FlowV6) -> bool {
        self.v6.iter().any(|row| row.contains(flow.source, flow.destination, flow.protocol, flow.ports))
    }
}

fn row<A>(selector: &Selector, source: Network<A>, destination: Network<A>) -> Row<A> {
    Row {
        source,
        destination,
        protocol: selector.protocol(),
        source_port: selector.source_port(),
        destination_port: selector.destination_port(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use packet::flow::FiveTuple;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// Few addresses, so that prefixes are often met.
    fn address(v6: bool) -> impl Strategy<Value = IpAddr> {
        (0..4_u8, 0..4_u8).prop_map(move |(high, low)| match v6 {
            false => Ipv4Addr::new(high << 6, 0, 0, low).into(),
            true => Ipv6Addr::new(u16::from(high) << 14, 0, 0, 0, 0, 0, 0, low.into()).into(),
        })
    }

    fn prefix(v6: bool) -> impl Strategy<Value = Prefix> {
        let lens = if v6 { [0, 1, 2, 127, 128] } else { [0, 1, 2, 31, 32] };
        (address(v6), prop::sample::select(lens.to_vec()))
            .prop_map(|(address, len)| Prefix::new(address, len).unwrap().trunc())
    }

    fn ports() -> impl Strategy<Value = PortRange> {
        prop_oneof![
            Just(PortRange::ANY),
            (0..3_u16, 0..3_u16).prop_map(|(start, more)| PortRange::new(start, start + more).unwrap()),
            Just(PortRange::new(1, u16::MAX).unwrap()),
        ]
    }

    fn selector() -> impl Strategy<Value = Selector> {
        any::<bool>().prop_flat_map(|v6| {
            let protocol = prop::sample::select(vec![Protocol::Any, Protocol::UDP, Protocol::Number(1)]);
            (prefix(v6), prefix(v6), protocol, ports(), ports()).prop_map(|(from, to, protocol, a, b)| {
                let (a, b) = if protocol.has_ports() { (a, b) } else { (PortRange::ANY, PortRange::ANY) };
                Selector::new(from, to, protocol, a, b).unwrap()
            })
        })
    }

    proptest! {
        #[test]
        fn agree_with_the_model(
            selectors in prop::collection::vec(selector(), 0..4),
            flows in any::<bool>().prop_flat_map(|v6| prop::collection::vec(
                (address(v6), address(v6), prop::sample::select(vec![1_u8, 6, 17]), prop::option::of((0..5_u16, 0..5_u16))),
                1..40,
            )),
        ) {
            let laid_out = Selectors::new(&selectors);
            for (source, destination, protocol, ports) in flows {
                let tuple = FiveTuple { source, destination, protocol, ports };
                let seen = ports.map(|(from, to)| Ports::new(from, to));
                let found = match (source, destination) {
                    (IpAddr::V4(source), IpAddr::V4(destination)) => laid_out.contain_v4(&FlowV4 {
                        source: source.to_bits(), destination: destination.to_bits(), protocol, ports: seen,
                    }),
                    (IpAddr::V6(source), IpAddr::V6(destination)) => laid_out.contain_v6(&FlowV6 {
                        source: source.to_bits(), destination: destination.to_bits(), protocol, ports: seen,
                    }),
                    _ => unreachable!(),
                };
                let meant = selectors.iter().any(|one| one.contains(source, destination, protocol, ports));
                prop_assert_eq!(found, meant, "{:?}", tuple);
            }
        }
    }
}
