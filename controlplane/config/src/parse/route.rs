//! `ip route` and `ipv6 route`.

use super::Reader;
use super::cursor::{Cursor, Found, parse_decimal};
use super::draft::RouteDraft;
use super::interface::{address_and_mask, interface_name};
use super::rule::v6_prefix;
use crate::source::Fault;
use crate::{StaticRoute, Target};
use model::Prefix;
use std::net::IpAddr;

impl Reader<'_, '_> {
    pub(super) fn route(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let whole = cursor.whole();
        let is_v4 = cursor.accept("ip");
        cursor.next("`ip` or `ipv6`")?;
        if !is_v4 {
            cursor.accept("route");
        }
        if let Some(word) = cursor.peek().filter(|word| word.is("vrf")) {
            return Err(Fault::new(
                word.at,
                "`vrf` is not available in Espalier: VRFs are not available yet",
            )
            .help("remove the line"));
        }
        let prefix: Found<Prefix> = if is_v4 {
            let found = address_and_mask(cursor, "the destination")?;
            Found { value: found.value.into(), at: found.at }
        } else {
            let word = cursor.next("a prefix such as `2001:db8::/32`")?;
            Found { value: v6_prefix(word, "a prefix")?.into(), at: word.at }
        };
        if prefix.value.trunc() != prefix.value {
            let fault = Fault::new(prefix.at, "the destination has bits behind its mask");
            let right = match prefix.value.trunc() {
                Prefix::V4(prefix) => format!("{} {}", prefix.addr(), prefix.netmask()),
                Prefix::V6(prefix) => prefix.to_string(),
            };
            return Err(fault.help(format!("write `{right}`")));
        }
        let (target, interface) = target(cursor, is_v4)?;
        let distance = match cursor.peek() {
            Some(word) if parse_decimal(word.text).is_some() => {
                cursor.number("a distance", 1..=254)?.value as u8
            }
            _ => StaticRoute::DEFAULT_DISTANCE,
        };
        const LATER: [&str; 5] = ["name", "tag", "track", "permanent", "multicast"];
        if let Some(word) = cursor.peek().filter(|word| LATER.iter().any(|later| word.is(later))) {
            let fault =
                Fault::new(word.at, format!("{} is not available in Espalier's routes", word.quoted()));
            return Err(fault.help("end the line before it"));
        }
        cursor.end()?;
        let route = StaticRoute { prefix: prefix.value, target, distance };
        self.draft.routes.push(RouteDraft { at: whole, interface, route });
        Ok(())
    }
}

/// Where to, and where an interface's name stands.
fn target(cursor: &mut Cursor<'_, '_>, is_v4: bool) -> Result<(Target, Option<crate::source::At>), Fault> {
    let gateway = |cursor: &mut Cursor<'_, '_>| -> Option<Found<IpAddr>> {
        let word = cursor.peek()?;
        let value: IpAddr = word.text.parse().ok()?;
        cursor.next("").ok()?;
        Some(Found { value, at: word.at })
    };
    let check = |gateway: Found<IpAddr>| {
        if gateway.value.is_ipv4() != is_v4 {
            let fault = Fault::new(gateway.at, "the next hop is of the other address family");
            return Err(fault.help("take an address of the destination's family"));
        }
        if !crate::check::is_unicast(gateway.value) {
            let fault = Fault::new(gateway.at, format!("`{}` is no address of one router", gateway.value));
            return Err(fault.help("take the address of the next hop"));
        }
        Ok(gateway.value)
    };
    if let Some(gateway) = gateway(cursor) {
        let value = check(gateway)?;
        if matches!(value, IpAddr::V6(address) if address.is_unicast_link_local()) {
            let fault = Fault::new(gateway.at, "a link-local next hop says not on which link");
            return Err(fault.help("write the interface's name before it"));
        }
        return Ok((Target::Gateway(value), None));
    }
    if cursor.accept("null0") {
        return Ok((Target::Null, None));
    }
    let name = interface_name(cursor, "a next hop (an address, an interface or `Null0`)")?;
    // What looks like an address is not the name of an interface.
    if name.value.as_str().bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || name.value.as_str().contains(':')
    {
        let fault = Fault::new(name.at, format!("`{}` is no next hop", name.value));
        return Err(fault.help("write an address, an interface or `Null0`"));
    }
    let gateway = gateway(cursor).map(check).transpose()?;
    Ok((Target::Interface { name: name.value, gateway }, Some(name.at)))
}
