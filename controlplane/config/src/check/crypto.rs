//! Crypto maps: every name leads somewhere, every entry is whole, and no key and no SPI serves twice.

use super::negotiation::{leads_to, negotiation, not_ourselves, padding, tfc};
use super::{family_name, find, keys, no_interface};
use crate::parse::{Draft, EntryDraft, Found, InterfaceDraft, KeyDraft, Kind, MapDraft};
use crate::source::{At, Fault, Report};
use crate::{Config, CryptoMap, Entry, Family, Keying, ManualKeys, Name, SessionKey, Verb};
use model::{IvRule, Mode};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub(super) fn check(draft: &Draft, report: &mut Report<'_, '_>) -> BTreeMap<Name, CryptoMap> {
    let own = super::own_addresses(draft);
    let mut maps = BTreeMap::new();
    for (name, map) in &draft.maps {
        let mut entries = BTreeMap::new();
        for (&sequence, entry) in &map.entries {
            if let Some(entry) = check_entry(draft, &own, name, sequence, entry, report) {
                entries.insert(sequence, entry);
            }
        }
        let local_address = local_address(draft, name, map, report);
        maps.insert(name.clone(), CryptoMap { name: name.clone(), local_address, entries });
    }
    for (list, draft) in &draft.lists {
        let permits = draft.rules.values().any(|rule| rule.value.verb == Verb::Permit);
        let at = draft.at;
        if !permits && !draft.faulty {
            let fault = Fault::new(
                at,
                format!("access list `{list}` permits nothing, so that it would protect nothing"),
            );
            report.warn(fault.help("write a `permit` for the packets that are meant, or remove the list"));
        }
    }
    spis(draft, report);
    keys::once(draft, report);
    maps
}

/// The interface that gives the outer address, by the name that it has itself.
fn local_address(draft: &Draft, name: &Name, map: &MapDraft, report: &mut Report<'_, '_>) -> Option<Name> {
    let on: Vec<(&InterfaceDraft, At)> = draft
        .interfaces
        .iter()
        .filter_map(|interface| {
            Some((interface, interface.crypto_map.found().filter(|map| map.value == *name)?.at))
        })
        .collect();
    let lacks = |interface: &InterfaceDraft| {
        let mut families = [Family::Ipv4, Family::Ipv6].into_iter();
        families.find(|&family| wants(map, family) && !has(interface, family))
    };
    match (map.local_address.found(), on.as_slice()) {
        (Some(local), _) => match find(draft, &local.value).map(|interface| (interface, lacks(interface))) {
            None => no_interface(draft, &local.value, local.at, report),
            Some((interface, Some(family))) => {
                let fault = Fault::new(
                    local.at,
                    format!("interface `{}` has no {} address", interface.name.value, family_name(family)),
                );
                report.error(fault.related(interface.name.at, "this one").help(write_address(family)));
            }
            Some((interface, None)) => return Some(interface.name.value.clone()),
        },
        (None, [_, (_, second), ..]) if map.local_address.is_missing() => {
            let first = on.first().map(|(_, at)| *at).unwrap_or(*second);
            let fault = Fault::new(
                *second,
                "the map is on another interface, too, and it is not said whose address is the tunnels'",
            );
            report.error(
                fault
                    .related(first, "here")
                    .help(format!("write `crypto map {name} local-address INTERFACE`")),
            );
        }
        (None, [(interface, at), ..]) => {
            if let Some(family) = lacks(interface) {
                let message = format!(
                    "the interface has no {} address for the tunnels to begin at",
                    family_name(family)
                );
                report.error(Fault::new(*at, message).help(write_address(family)));
            }
        }
        _ => {}
    }
    None
}

/// Whether an entry of the map has a peer of this family, or one that could not be read.
fn wants(map: &MapDraft, family: Family) -> bool {
    let has_peers = |entry: &EntryDraft| !matches!(entry.kind, Kind::Dynamic(_) | Kind::Discard);
    let mut fixed = map.entries.values().filter(|entry| has_peers(entry));
    let is_of = |entry: &EntryDraft, is: fn(&IpAddr) -> bool| entry.peers.iter().any(|peer| is(&peer.value));
    match family {
        // Peers of any address may be of this family.
        Family::Ipv4 if map.entries.is_empty() => true,
        Family::Ipv4 => fixed.any(|entry| entry.peers.is_empty() || is_of(entry, IpAddr::is_ipv4)),
        Family::Ipv6 => fixed.any(|entry| is_of(entry, IpAddr::is_ipv6)),
    }
}

/// Whether the interface has an address of this family for tunnels to begin at, or a line that may have been one.
fn has(interface: &InterfaceDraft, family: Family) -> bool {
    let global = |address: &Found<model::Ipv6Prefix>| !address.value.addr().is_unicast_link_local();
    interface.faulty
        || match family {
            Family::Ipv4 => !interface.primary.is_missing(),
            Family::Ipv6 => interface.addresses6.iter().any(global),
        }
}

fn write_address(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "write `ip address` under it",
        Family::Ipv6 => "write `ipv6 address` under it, one that is not link-local",
    }
}

fn check_entry(
    draft: &Draft,
    own: &HashMap<IpAddr, At>,
    map: &Name,
    sequence: u16,
    entry: &EntryDraft,
    report: &mut Report<'_, '_>,
) -> Option<Entry> {
    let what = format!("crypto map `{map}` {sequence}");
    not_ourselves(own, entry, report);
    let access_lists = access_lists(draft, entry, report);
    let keying = match &entry.kind {
        Kind::Dynamic(name) => {
            leads_to(draft, name, report);
            Keying::Dynamic(name.value.clone())
        }
        Kind::Negotiated => Keying::Negotiated(negotiation(draft, &what, entry, report)?),
        Kind::Discard => {
            let missing = ["`match address ACCESS-LIST`"];
            let missing = if entry.lists.is_empty() { missing.as_slice() } else { &[] };
            super::ikev2::not_whole(entry.at, &what, entry.faulty, missing, report);
            Keying::Discard
        }
        Kind::Manual | Kind::Template | Kind::Profile => {
            Keying::Manual(Box::new(manual(draft, &what, entry, report)?))
        }
    };
    Some(Entry { description: entry.description.value().cloned(), keying, access_lists })
}

/// What an entry with manual keys says of its SAs, if it is whole.
fn manual(draft: &Draft, what: &str, entry: &EntryDraft, report: &mut Report<'_, '_>) -> Option<ManualKeys> {
    let missing = [
        (entry.peers.is_empty(), "`set peer ADDRESS`"),
        (entry.transform_sets.is_missing(), "`set transform-set NAME`"),
        (entry.inbound.is_missing(), "`set session-key inbound esp SPI cipher KEY`"),
        (entry.outbound.is_missing(), "`set session-key outbound esp SPI cipher KEY`"),
        (entry.lists.is_empty(), "`match address ACCESS-LIST`"),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, what)| *what).collect();
    super::ikev2::not_whole(entry.at, what, entry.faulty, &missing, report);
    if let Some(name) = entry.transform_set() {
        match draft.sets.get(&name.value) {
            None => report.nowhere(
                name.at,
                "transform set",
                &name.value,
                draft.sets.keys(),
                "write it by `crypto ipsec transform-set NAME esp-gcm 256`",
            ),
            Some(set) => {
                if let Some(&suite) = set.suite.value() {
                    if suite.iv_rule() == IvRule::Sequence {
                        let message = "keys that are written down cannot have an implicit IV: when their sequence \
                                       numbers begin anew, so do the IVs (RFC 8750, section 4)";
                        let fault = Fault::new(name.at, message).related(set.at, "this transform set");
                        report.error(fault.help(
                            "write `ipsec-isakmp` in the place of `ipsec-manual`, or take `implicit-iv` out of the set",
                        ));
                    }
                    for key in [entry.inbound.value(), entry.outbound.value()].into_iter().flatten() {
                        keys::fit(key, suite, set.at, report);
                    }
                }
            }
        }
    }
    padding(draft, entry, report);
    let session = |key: &KeyDraft| Some(SessionKey { spi: key.spi.value, key: keys::material(key)? });
    Some(ManualKeys {
        peer: entry.peer()?.value,
        udp_port: entry.udp_port.value().copied(),
        transform_set: entry.transform_set()?.value.clone(),
        inbound: session(entry.inbound.value()?)?,
        outbound: session(entry.outbound.value()?)?,
        tfc: tfc(&entry.tfc),
    })
}

/// The entry's lists, that for IPv4 first.
pub(super) fn access_lists(draft: &Draft, entry: &EntryDraft, report: &mut Report<'_, '_>) -> Vec<Name> {
    let mut known: Vec<(Family, &Found<Name>)> = Vec::new();
    let mut selectors = 0;
    for name in &entry.lists {
        let Some(list) = draft.lists.get(&name.value) else {
            let mend = "write it by `access-list` or `ip access-list extended`";
            report.nowhere(name.at, "access list", &name.value, draft.lists.keys(), mend);
            continue;
        };
        let family = list.family;
        if let Some((_, first)) = known.iter().find(|(other, _)| *other == family) {
            let message = format!("the entry has an access list for {} already", family_name(family));
            let fault = Fault::new(name.at, message).related(first.at, "this one");
            report.error(fault.help("merge the lists, or write another entry"));
        }
        known.push((family, name));
        let permits = list.rules.values().filter(|rule| rule.value.verb == Verb::Permit);
        selectors += permits.map(|rule| rule.value.selectors().len()).sum::<usize>();
        if selectors > Config::MAX_SELECTORS {
            let message = format!(
                "the entry comes to {selectors} selectors, and an SA has room for {}",
                Config::MAX_SELECTORS
            );
            let fault = Fault::new(name.at, message).related(list.at, "this access list");
            report.error(fault.help("permit larger prefixes, or divide the list among several entries"));
        }
    }
    known.sort_by_key(|(family, _)| *family);
    known.into_iter().map(|(_, name)| name.value.clone()).collect()
}

/// Every session key with the entry it is in.
pub(super) fn session_keys(draft: &Draft, inbound: bool) -> impl Iterator<Item = (&EntryDraft, &KeyDraft)> {
    let entries = draft.maps.values().flat_map(|map| map.entries.values());
    entries.filter_map(move |entry| {
        let key = if inbound { &entry.inbound } else { &entry.outbound };
        Some((entry, key.value()?))
    })
}

fn spis(draft: &Draft, report: &mut Report<'_, '_>) {
    let mut inbound = HashMap::new();
    for (_, key) in session_keys(draft, true) {
        if let Some(first) = inbound.insert(key.spi.value, key.spi.at) {
            let (first, at) = (first.min(key.spi.at), first.max(key.spi.at));
            let fault = Fault::new(at, format!("another inbound SA has the SPI {}", key.spi.value.get()));
            report.error(
                fault
                    .related(first, "this one")
                    .help("give every inbound SA an SPI of its own, here and on the peer"),
            );
        }
    }
    let mut outbound: HashMap<(IpAddr, _), At> = HashMap::new();
    for (entry, key) in session_keys(draft, false) {
        let Some(peer) = entry.peer().map(|peer| peer.value) else { continue };
        if let Some(first) = outbound.insert((peer, key.spi.value), key.spi.at) {
            let (first, at) = (first.min(key.spi.at), first.max(key.spi.at));
            let fault =
                Fault::new(at, format!("another outbound SA to {peer} has the SPI {}", key.spi.value.get()));
            report.error(
                fault
                    .related(first, "this one")
                    .help("the peer tells its SAs apart by their SPIs: give each its own"),
            );
        }
    }
}

/// What can be asked only when everything has its final form: where maps are, and what they come to.
pub(super) fn finish(
    maps: BTreeMap<Name, CryptoMap>,
    config: &Config,
    draft: &BTreeMap<Name, MapDraft>,
    interfaces: &[InterfaceDraft],
    report: &mut Report<'_, '_>,
) -> BTreeMap<Name, CryptoMap> {
    for interface in interfaces {
        let Some(name) = interface.crypto_map.found() else { continue };
        if !maps.contains_key(&name.value) {
            let mend = "write it by `crypto map NAME SEQUENCE ipsec-isakmp`";
            report.nowhere(name.at, "crypto map", &name.value, maps.keys(), mend);
        }
    }
    for (name, map) in &maps {
        let Some(written) = draft.get(name) else { continue };
        let first = written.entries.values().map(|entry| entry.at).min();
        let Some(at) = first.or(written.local_address.found().map(|found| found.at)) else { continue };
        if first.is_none() && !written.faulty {
            let fault = Fault::new(at, format!("crypto map `{name}` has no entry"));
            report.error(fault.help(format!("write `crypto map {name} 10 ipsec-isakmp`")));
        }
        if !interfaces.iter().any(|interface| interface.crypto_map.value() == Some(name)) && !written.faulty {
            let fault = Fault::new(
                at,
                format!("crypto map `{name}` is on no interface, so that it protects nothing"),
            );
            report.warn(fault.help(format!("write `crypto map {name}` under an interface")));
        }
        if let Err(error) = crate::policy(config, map) {
            let fault = Fault::new(at, error.to_string());
            report.error(fault.help("write fewer `deny`s, or put the entries that have them last"));
        }
    }
    maps
}

/// Warns of entries whose transport mode comes to nothing.
pub(super) fn modes(config: &Config, draft: &BTreeMap<Name, MapDraft>, report: &mut Report<'_, '_>) {
    for tunnel in config.tunnels() {
        let asked = config.transform_sets.get(&tunnel.keys.transform_set).map(|set| set.mode);
        let Some(entry) =
            draft.get(&tunnel.entry.map).and_then(|map| map.entries.get(&tunnel.entry.sequence))
        else {
            continue;
        };
        if asked == Some(Mode::Transport) && tunnel.mode == Mode::Tunnel {
            let message = format!(
                "crypto map `{}` {} permits more than what goes from {} to {}, so that it has tunnel mode in spite of \
                 `mode transport`",
                tunnel.entry.map, tunnel.entry.sequence, tunnel.local, tunnel.peer
            );
            let help = "write `mode tunnel`, or an access list of these two hosts only";
            report.warn(Fault::new(entry.at, message).help(help));
        }
    }
}
