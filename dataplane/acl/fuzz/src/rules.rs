//! Rules, out of bytes that may be any; and keys that meet them.

use acl::{Action, KeyV4, Rule};
use model::{Marks, PortRange, Prefix, Protocol, Selector, TcpFlags};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a rule.
pub const BYTES: usize = 12;

/// An IPv6 address with the same bits in front and at the end.
pub fn wide(bits: u32) -> u128 {
    u128::from(bits) << 96 | u128::from(bits)
}

fn address(byte: u8) -> u32 {
    u32::from(byte) << 24 | u32::from(byte & 15) << 12 | u32::from(byte & 3)
}

/// A rule, whatever the bytes are. Few values of each field, so that rules overlap and keys hit.
pub fn rule(bytes: [u8; BYTES]) -> Rule {
    let [kind, from, from_len, to, to_len, protocol, port, more, source_port, class, flags, action] = bytes;
    let prefix = |byte: u8, len: u8| {
        let bits = address(byte);
        let (address, len) = match kind & 1 {
            0 => (IpAddr::from(Ipv4Addr::from_bits(bits)), len % 33),
            _ => (IpAddr::from(Ipv6Addr::from_bits(wide(bits))), len % 129),
        };
        Prefix::new(address, len).expect("a length that there is")
    };
    let range = |first: u8, more: u8| {
        let last = u16::from(first).saturating_add(u16::from(more) * 257);
        PortRange::new(first.into(), last).expect("in order")
    };
    let (protocol, source_ports, ports) = match kind >> 1 & 3 {
        0 => (Protocol::Any, PortRange::ANY, PortRange::ANY),
        1 => (Protocol::Number(protocol), PortRange::ANY, PortRange::ANY),
        2 => (Protocol::TCP, PortRange::ANY, range(port, more)),
        _ => (Protocol::UDP, range(source_port, more), range(port, more >> 4)),
    };
    let selector = Selector::new(prefix(from, from_len), prefix(to, to_len), protocol, source_ports, ports);
    let of_class = Marks::class(class, 0xFC);
    let of_flags = Marks::flags(flags & 0x15, !flags & 0x2A).expect("no flag is both");
    let marks = match kind >> 3 & 7 {
        0 => of_class,
        1 => of_flags,
        2 => of_class.and(of_flags).unwrap_or(Marks::ANY),
        _ => Marks::ANY,
    };
    let action = match action % 3 {
        0 => Action::Bypass,
        1 => Action::Discard,
        _ => Action::Protect(action.into()),
    };
    Rule { selector: selector.expect("one family, and ports where there are some"), marks, action }
}

/// Keys that the bytes of a rule are about, and beside them.
pub fn keys(bytes: [u8; BYTES]) -> [KeyV4; 2] {
    let [kind, from, _, to, _, protocol, port, more, source_port, class, flags, _] = bytes;
    let protocol = match kind >> 1 & 3 {
        0 => 47,
        1 => protocol,
        2 => 6,
        _ => 17,
    };
    let key = KeyV4 {
        source: address(from),
        destination: address(to),
        source_port: source_port.into(),
        destination_port: port.into(),
        protocol,
        has_ports: true,
        tcp_flags: TcpFlags::seen(flags & 0x15),
        traffic_class: class,
    };
    let beside = KeyV4 {
        source: key.source ^ 1,
        source_port: u16::from(source_port).wrapping_add(u16::from(more) * 257),
        destination_port: u16::from(port).wrapping_sub(1),
        has_ports: more % 2 == 0,
        tcp_flags: TcpFlags::UNSEEN,
        ..key
    };
    [key, beside]
}
