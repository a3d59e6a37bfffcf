//! Makes a configuration of what was read, if it fits together.

mod crypto;
mod ikev2;
mod interfaces;
mod keys;
mod negotiation;

use crate::parse::{Draft, Found, InterfaceDraft, ListDraft, SetDraft};
use crate::source::{At, Fault, Report};
use crate::{AccessList, Config, Family, Name, ReplayWindow, StaticRoute, Target, TransformSet};
use model::{Mode, SizeRules};
use std::collections::HashMap;
use std::net::IpAddr;

/// What comes back is a configuration only if the report has no errors then.
pub(crate) fn check(draft: Draft, report: &mut Report<'_, '_>) -> Config {
    let interfaces = interfaces::check(&draft, report);
    weaknesses(&draft, report);
    let routes = routes(&draft, report);
    let set = |(name, set): (&Name, &SetDraft)| {
        let esn = set.esn.value().is_some();
        let mode = set.mode.value().copied().unwrap_or(Mode::Tunnel);
        Some((name.clone(), TransformSet { name: name.clone(), suite: *set.suite.value()?, esn, mode }))
    };
    let mut config = Config {
        hostname: draft.hostname.value().cloned(),
        replay: draft.replay.value().copied().unwrap_or(ReplayWindow::default()),
        size: SizeRules {
            df: draft.df.value().copied().unwrap_or_default(),
            fragmentation: draft.fragmentation.value().copied().unwrap_or_default(),
        },
        dscp: draft.dscp.map(),
        transform_sets: draft.sets.iter().filter_map(set).collect(),
        routes,
        ..Config::default()
    };
    config.interfaces = interfaces;
    ikev2::check(&draft, &mut config, report);
    negotiation::check(&draft, &mut config, report);
    let crypto_maps = crypto::check(&draft, report);
    config.access_lists =
        draft.lists.iter().map(|(name, list)| (name.clone(), finish_list(name.clone(), list))).collect();
    config.crypto_maps = crypto::finish(crypto_maps, &config, &draft.maps, &draft.interfaces, report);
    crypto::modes(&config, &draft.maps, report);
    negotiation::keys(&draft, &config, report);
    config
}

/// What works and should not be chosen.
fn weaknesses(draft: &Draft, report: &mut Report<'_, '_>) {
    for suite in draft.sets.values().filter_map(|set| set.suite.found()) {
        for weakness in suite.value.weaknesses() {
            let fault = Fault::new(suite.at, format!("this is weak: {weakness}"));
            report.warn(fault.help("take `esp-gcm 256`, here and on the peer, if that has it"));
        }
    }
}

fn finish_list(name: Name, list: &ListDraft) -> AccessList {
    let rules = list.rules.values().map(|rule| rule.value.clone()).collect();
    AccessList { name, family: list.family, rules, remarks: list.remarks.clone() }
}

/// The interface of that name, whatever the case of its letters.
fn find<'d>(draft: &'d Draft, name: &Name) -> Option<&'d InterfaceDraft> {
    draft.interfaces.iter().find(|i| i.name.value.as_str().eq_ignore_ascii_case(name.as_str()))
}

fn no_interface(draft: &Draft, name: &Name, at: At, report: &mut Report<'_, '_>) {
    let known = draft.interfaces.iter().map(|interface| &interface.name.value);
    report.nowhere(at, "interface", name, known, "write it by `interface NAME`, with its `device`");
}

fn routes(draft: &Draft, report: &mut Report<'_, '_>) -> Vec<StaticRoute> {
    let mut seen = HashMap::new();
    let mut routes = Vec::new();
    let own = own_addresses(draft);
    for written in &draft.routes {
        let mut route = written.route.clone();
        if let (Target::Interface { name, .. }, Some(at)) = (&mut route.target, written.interface) {
            match find(draft, name) {
                Some(interface) => *name = interface.name.value.clone(),
                None => no_interface(draft, name, at, report),
            }
        }
        let gateway = match &route.target {
            Target::Gateway(gateway) | Target::Interface { gateway: Some(gateway), .. } => Some(*gateway),
            _ => None,
        };
        if let Some(&at) = gateway.and_then(|gateway| own.get(&gateway)) {
            let fault = Fault::new(written.at, "the next hop is an address of this gateway itself");
            report.error(fault.related(at, "it is written here").help("take the address of the next router"));
        }
        match seen.get(&(route.prefix, route.target.clone())) {
            Some(&first) => {
                let fault = Fault::new(written.at, "this route has been said before");
                report.error(fault.related(first, "first said here").help("keep one of the two lines"));
            }
            None => {
                seen.insert((route.prefix, route.target.clone()), written.at);
                routes.push(route);
            }
        }
    }
    routes
}

/// Addresses of our own interfaces, and where they are written.
fn own_addresses(draft: &Draft) -> HashMap<IpAddr, At> {
    let of = |interface: &InterfaceDraft| {
        let v4 = interface.primary.found().into_iter().chain(&interface.secondary);
        let v4 = v4.map(|Found { value, at }| (IpAddr::from(value.addr()), *at));
        let v6 = interface.addresses6.iter().map(|Found { value, at }| (IpAddr::from(value.addr()), *at));
        v4.chain(v6).collect::<Vec<_>>()
    };
    draft.interfaces.iter().flat_map(of).collect()
}

/// Whether it can be the address of one machine that is not this one.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let no_machine = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    let reserved = match address {
        // 0.0.0.0/8 and 240.0.0.0/4 (RFC 6890), the broadcast address among them.
        IpAddr::V4(address) => matches!(address.octets(), [0 | 240..=255, ..]),
        IpAddr::V6(_) => false,
    };
    !no_machine && !reserved
}

/// The word for a family in messages.
fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
