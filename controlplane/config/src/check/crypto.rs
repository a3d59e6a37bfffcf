//! Crypto maps: every name leads somewhere, every entry is whole, and no key and no SPI serves twice.

use super::{family_name, find, keys, no_interface};
use crate::parse::{Draft, EntryDraft, Found, InterfaceDraft, KeyDraft, MapDraft};
use crate::source::{At, Fault, Report};
use crate::{Config, CryptoMap, Entry, Family, Name, SessionKey, Verb};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

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
    let without = |interface: &InterfaceDraft| interface.primary.is_missing() && !interface.faulty;
    match (map.local_address.found(), on.as_slice()) {
        (Some(local), _) => match find(draft, &local.value) {
            None => no_interface(draft, &local.value, local.at, report),
            Some(interface) if without(interface) => {
                let fault =
                    Fault::new(local.at, format!("interface `{}` has no IPv4 address", interface.name.value));
                report
                    .error(fault.related(interface.name.at, "this one").help("write `ip address` under it"));
            }
            Some(interface) => return Some(interface.name.value.clone()),
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
        (None, [(interface, at), ..]) if without(interface) => {
            let fault = Fault::new(*at, "the interface has no IPv4 address for the tunnels to begin at");
            report.error(fault.help("write `ip address` under it"));
        }
        _ => {}
    }
    None
}

fn check_entry(
    draft: &Draft,
    own: &HashMap<IpAddr, At>,
    map: &Name,
    sequence: u16,
    entry: &EntryDraft,
    report: &mut Report<'_, '_>,
) -> Option<Entry> {
    let missing = [
        (entry.peer.is_missing(), "`set peer ADDRESS`"),
        (entry.transform_set.is_missing(), "`set transform-set NAME`"),
        (entry.inbound.is_missing(), "`set session-key inbound esp SPI cipher KEY`"),
        (entry.outbound.is_missing(), "`set session-key outbound esp SPI cipher KEY`"),
        (entry.lists.is_empty(), "`match address ACCESS-LIST`"),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, what)| *what).collect();
    if !missing.is_empty() && !entry.faulty {
        let fault = Fault::new(entry.at, format!("crypto map `{map}` {sequence} is not whole"));
        report.error(fault.help(format!("write {} under it", missing.join(", "))));
    }
    if let Some(peer) = entry.peer.found()
        && let Some(&own) = own.get(&peer.value.into())
    {
        let fault = Fault::new(peer.at, "the peer is this gateway itself");
        report.error(fault.related(own, "this is its address").help("take an address of the other gateway"));
    }
    if let Some(name) = entry.transform_set.found() {
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
                    for key in [entry.inbound.value(), entry.outbound.value()].into_iter().flatten() {
                        keys::fit(key, suite, set.at, report);
                    }
                }
            }
        }
    }
    let access_lists = access_lists(draft, entry, report);
    let session = |key: &KeyDraft| Some(SessionKey { spi: key.spi.value, key: keys::material(key)? });
    Some(Entry {
        description: entry.description.value().cloned(),
        peer: *entry.peer.value()?,
        transform_set: entry.transform_set.value()?.clone(),
        inbound: session(entry.inbound.value()?)?,
        outbound: session(entry.outbound.value()?)?,
        access_lists,
    })
}

/// The entry's lists, that for IPv4 first.
fn access_lists(draft: &Draft, entry: &EntryDraft, report: &mut Report<'_, '_>) -> Vec<Name> {
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
    let mut outbound: HashMap<(Ipv4Addr, _), At> = HashMap::new();
    for (entry, key) in session_keys(draft, false) {
        let Some(&peer) = entry.peer.value() else { continue };
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
            let mend = "write it by `crypto map NAME SEQUENCE ipsec-manual`";
            report.nowhere(name.at, "crypto map", &name.value, maps.keys(), mend);
        }
    }
    for (name, map) in &maps {
        let Some(written) = draft.get(name) else { continue };
        let first = written.entries.values().map(|entry| entry.at).min();
        let Some(at) = first.or(written.local_address.found().map(|found| found.at)) else { continue };
        if first.is_none() && !written.faulty {
            let fault = Fault::new(at, format!("crypto map `{name}` has no entry"));
            report.error(fault.help(format!("write `crypto map {name} 10 ipsec-manual`")));
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
