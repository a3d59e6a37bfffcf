//! One line of an access list: `[SEQUENCE] permit|deny PROTOCOL SOURCE [PORTS] DESTINATION [PORTS] [FLAGS] [CLASS]`.

use super::cursor::{Cursor, Found, parse_decimal, suggest, unexpected};
use super::marks;
use super::words::{PORT_MISNOMERS, PROTOCOLS, not_in_rules, port_by_name, port_names};
use crate::source::{At, Fault, Word};
use crate::{ClassMatch, Family, FlagMatch, PortMatch, Rule, Verb};
use model::{Ipv4Prefix, Ipv6Prefix, Prefix, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a line of an access list says.
pub(crate) enum ListLine {
    Remark(String),
    /// The rule and its sequence number, if it has one; the rule's own is 0 until the list gives one. Host bits that were
    /// written and mean nothing come along.
    Rule(Option<Found<u32>>, Box<Rule>, Vec<Found<Prefix>>),
}

/// Reads what follows `access-list NUMBER`, or a line inside a named list.
pub(crate) fn read(cursor: &mut Cursor<'_, '_>, family: Family) -> Result<ListLine, Fault> {
    let numbered =
        cursor.accept("sequence") || cursor.peek().is_some_and(|word| parse_decimal(word.text).is_some());
    let sequence = match numbered {
        true => Some(cursor.number("a sequence number", 1..=Rule::MAX_SEQUENCE)?),
        false => None,
    };
    if let Some(word) = cursor.peek().filter(|word| word.is("evaluate") || word.is("dynamic")) {
        let fault =
            format!("{} is not available in Espalier's access lists: they keep no state", word.quoted());
        return Err(Fault::new(word.at, fault).help("remove the line"));
    }
    let verb = match cursor.one_of(&["permit", "deny", "remark"])?.value {
        "remark" => return Ok(ListLine::Remark(cursor.rest("the remark", 200)?.value)),
        "permit" => Verb::Permit,
        _ => Verb::Deny,
    };
    let protocol = protocol(cursor, family)?;
    let mut loose = Vec::new();
    let source = prefix(cursor, family, "the source", &mut loose)?;
    let source_port = ports(cursor, protocol)?;
    let destination = prefix(cursor, family, "the destination", &mut loose)?;
    let destination_port = ports(cursor, protocol)?;
    let (flags, class) = marks::read(cursor, protocol, family)?;
    if let Some(word) = cursor.peek() {
        if let Some(what) = not_in_rules(word, protocol) {
            let fault = Fault::new(
                word.at,
                format!("{} is not available in Espalier's access lists: {what}", word.quoted()),
            );
            return Err(fault.help("leave it out, if the rule may match without it"));
        }
        if parse_decimal(word.text).is_some() && ends_in_port(source_port, destination_port) {
            return Err(Fault::new(word.at, "a rule has one port where IOS would take several")
                .help("write a line for each port"));
        }
        if protocol.has_ports()
            && destination_port == PortMatch::Any
            && (flags, class) == (FlagMatch::Any, ClassMatch::Any)
        {
            let fault =
                Fault::new(word.at, format!("{} stands where nothing or a port should be", word.quoted()));
            return Err(match port_number(word, protocol) {
                Some(_) => fault.help(format!("write `eq` before {}", word.quoted())),
                None => or_help(suggest(fault, word, OPERATORS), "write a port as `eq 80`"),
            });
        }
    }
    cursor.end()?;
    let rule = Rule {
        sequence: 0,
        remarks: Vec::new(),
        verb,
        protocol,
        source,
        source_port,
        destination,
        destination_port,
        flags,
        class,
    };
    Ok(ListLine::Rule(sequence, Box::new(rule), loose))
}

/// How ports are compared.
const OPERATORS: [&str; 5] = ["eq", "neq", "lt", "gt", "range"];

/// With this help, if there is none that is better.
fn or_help(fault: Fault, help: &str) -> Fault {
    if fault.help.is_some() { fault } else { fault.help(help) }
}

fn ends_in_port(source: PortMatch, destination: PortMatch) -> bool {
    [source, destination].iter().any(|ports| matches!(ports, PortMatch::Eq(_) | PortMatch::Neq(_)))
}

fn protocol(cursor: &mut Cursor<'_, '_>, family: Family) -> Result<Protocol, Fault> {
    let word = cursor.next("a protocol")?;
    let known = PROTOCOLS.iter().filter(|(_, _, of)| of.is_none_or(|of| of == family));
    if let Some((_, number, _)) = known.clone().find(|(name, ..)| word.is(name)) {
        return Ok(number.map_or(Protocol::Any, Protocol::Number));
    }
    if let Some(number) = parse_decimal(word.text) {
        return match u8::try_from(number) {
            Ok(number) => Ok(Protocol::Number(number)),
            Err(_) => {
                Err(Fault::new(word.at, format!("{} is no protocol number: those end at 255", word.quoted())))
            }
        };
    }
    let fault = unexpected(word, "a protocol", known.map(|(name, ..)| *name));
    match (word.is("ip") || word.is("ipv6"), fault.help.is_some()) {
        (true, _) => Err(fault.help(match family {
            Family::Ipv4 => "this is a list for IPv4: write `ip`, or begin an `ipv6 access-list`",
            Family::Ipv6 => "this is a list for IPv6: write `ipv6`",
        })),
        (false, true) => Err(fault),
        (false, false) => Err(fault.help("write a name such as `ip` or `tcp`, or a number from 0 to 255")),
    }
}

fn prefix(
    cursor: &mut Cursor<'_, '_>,
    family: Family,
    what: &str,
    loose: &mut Vec<Found<Prefix>>,
) -> Result<Prefix, Fault> {
    let addresses = format!("{what}'s addresses (`any`, `host ADDRESS` or a prefix)");
    if cursor.accept("any") {
        return Ok(match family {
            Family::Ipv4 => Prefix::V4(Ipv4Prefix::default()),
            Family::Ipv6 => Prefix::V6(Ipv6Prefix::default()),
        });
    }
    if cursor.accept("host") {
        let address: IpAddr = match family {
            Family::Ipv4 => cursor.ipv4("a host")?.value.into(),
            Family::Ipv6 => {
                let is_prefix = cursor.peek().is_some_and(|word| word.text.parse::<Ipv6Prefix>().is_ok());
                let help = |fault: Fault| if is_prefix { fault.help("leave out `host`") } else { fault };
                cursor.ipv6("a host").map_err(help)?.value.into()
            }
        };
        return Ok(Prefix::from(address));
    }
    let word = cursor.next(&addresses)?;
    let (prefix, at): (Prefix, At) = match family {
        Family::Ipv6 => (v6_prefix(word, &addresses)?.into(), word.at),
        Family::Ipv4 => {
            let address: Ipv4Addr = word.text.parse().map_err(|_| v4_fault(word, &addresses))?;
            let mask = cursor.mask("a wildcard mask", "0.0.0.255").map_err(|fault| {
                fault.help("an address has a wildcard mask behind it, or `host` before it")
            })?;
            let length = wildcard_length(mask)?;
            let prefix = Ipv4Prefix::new(address, length).map_err(|_| v4_fault(word, &addresses))?;
            (prefix.into(), word.at.to(mask.at))
        }
    };
    if prefix.trunc() != prefix {
        loose.push(Found { value: prefix, at });
    }
    Ok(prefix.trunc())
}

fn v4_fault(word: &Word<'_>, addresses: &str) -> Fault {
    if let Ok(prefix) = word.text.parse::<Ipv4Prefix>() {
        let fault = Fault::new(word.at, format!("{} stands where {addresses} should be", word.quoted()));
        return fault.help(format!("write `{} {}`", prefix.network(), prefix.hostmask()));
    }
    if word.text.contains(':') && word.text.parse::<Ipv6Prefix>().is_ok()
        || word.text.parse::<Ipv6Addr>().is_ok()
    {
        let fault = Fault::new(word.at, format!("{} stands in an access list for IPv4", word.quoted()));
        return fault.help("write the rule in an `ipv6 access-list`");
    }
    if word.is("object-group") {
        return Fault::new(word.at, "`object-group` is not available in Espalier")
            .help("write a line for each prefix");
    }
    unexpected(word, addresses, ["any", "host"])
}

/// `PREFIX/LENGTH`.
pub(crate) fn v6_prefix(word: &Word<'_>, what: &str) -> Result<Ipv6Prefix, Fault> {
    word.text.parse().map_err(|_| {
        if word.text.parse::<Ipv4Addr>().is_ok() || word.text.parse::<Ipv4Prefix>().is_ok() {
            let fault = Fault::new(word.at, format!("{} stands where IPv6 is meant", word.quoted()));
            return fault.help("write a prefix as `2001:db8::/32`; IPv4 has lists and routes of its own");
        }
        let fault = Fault::new(word.at, format!("{} stands where {what} should be", word.quoted()));
        let fault = suggest(fault, word, ["any", "host"]);
        match word.text.parse::<Ipv6Addr>() {
            Ok(_) => fault.help(format!(
                "write `{word}/128` for one address, or its prefix as `2001:db8::/32`",
                word = word.text
            )),
            Err(_) => or_help(fault, "write a prefix as `2001:db8::/32`"),
        }
    })
}

/// A wildcard mask has a one where any bit will do.
fn wildcard_length(mask: Found<Ipv4Addr>) -> Result<u8, Fault> {
    let bits = u32::from(mask.value);
    let length = bits.leading_zeros();
    if bits.count_ones() + length == 32 {
        return Ok(length as u8);
    }
    let fault = Fault::new(
        mask.at,
        format!("`{}` has its ones not all at the end, so it means no prefix", mask.value),
    );
    if bits.leading_ones() + bits.trailing_zeros() == 32 {
        return Err(
            fault.help(format!("a wildcard mask is a netmask inverted: write `{}`", Ipv4Addr::from(!bits)))
        );
    }
    Err(fault.help("write a line for each prefix that it stands for"))
}

fn ports(cursor: &mut Cursor<'_, '_>, protocol: Protocol) -> Result<PortMatch, Fault> {
    let Some(word) = cursor.peek().filter(|word| OPERATORS.iter().any(|operator| word.is(operator))) else {
        return Ok(PortMatch::Any);
    };
    let operator = cursor.one_of(&OPERATORS)?;
    if !protocol.has_ports() {
        let fault = Fault::new(word.at, "ports need a protocol that has them");
        return Err(fault.help("take `tcp`, `udp` or `sctp`, or leave the ports out"));
    }
    let first = port(cursor, protocol)?;
    let at = operator.at.to(first.at);
    match (operator.value, first.value) {
        ("eq", port) => Ok(PortMatch::Eq(port)),
        ("neq", port) => Ok(PortMatch::Neq(port)),
        ("lt", 0) => Err(Fault::new(at, "no port is below 0")),
        ("lt", port) => Ok(PortMatch::Lt(port)),
        ("gt", u16::MAX) => Err(Fault::new(at, "no port is above 65535")),
        ("gt", port) => Ok(PortMatch::Gt(port)),
        (_, from) => {
            let last = port(cursor, protocol)?;
            let to = last.value;
            if from > to {
                let fault =
                    Fault::new(at.to(last.at), format!("the range begins at {from}, above its end {to}"));
                return Err(fault.help(format!("write `range {to} {from}`")));
            }
            Ok(PortMatch::Range(from, to))
        }
    }
}

fn port(cursor: &mut Cursor<'_, '_>, protocol: Protocol) -> Result<Found<u16>, Fault> {
    let word = cursor.next("a port")?;
    match port_number(word, protocol) {
        Some(value) => Ok(Found { value, at: word.at }),
        None => Err(no_port(word, protocol)),
    }
}

fn port_number(word: &Word<'_>, protocol: Protocol) -> Option<u16> {
    let number = parse_decimal(word.text).and_then(|number| u16::try_from(number).ok());
    number.or_else(|| port_by_name(word.text, protocol))
}

fn no_port(word: &Word<'_>, protocol: Protocol) -> Fault {
    const MEND: &str = "write a number from 0 to 65535";
    if parse_decimal(word.text).is_some() {
        return Fault::new(word.at, format!("{} is no port", word.quoted())).help(MEND);
    }
    if let Some((from, to)) = word.text.split_once('-')
        && [from, to].iter().all(|end| parse_decimal(end).is_some())
    {
        let fault = Fault::new(word.at, format!("{} stands where a port should be", word.quoted()));
        return fault.help(format!("write `range {from} {to}`"));
    }
    let fault = format!("{} is no port that Espalier knows for this protocol", word.quoted());
    let fault = Fault::new(word.at, fault);
    let fits = |name: &str| parse_decimal(name).is_some() || port_by_name(name, protocol).is_some();
    if let Some((_, name)) = PORT_MISNOMERS.iter().find(|(known, name)| word.is(known) && fits(name)) {
        return fault.help(format!("write `{name}`"));
    }
    let other = if protocol == Protocol::TCP { Protocol::UDP } else { Protocol::TCP };
    if let Some(port) = port_by_name(word.text, other) {
        let other = if other == Protocol::TCP { "TCP" } else { "UDP" };
        return fault.help(format!("it is a port of {other}; write `{port}` if you mean the number"));
    }
    or_help(suggest(fault, word, port_names(protocol)), MEND)
}
