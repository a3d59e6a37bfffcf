//! Entries whose keys IKE negotiates, of crypto maps, of dynamic ones, and IPsec profiles, which are alike.

use super::crypto::access_lists;
use super::ikev2::not_whole;
use crate::parse::{Draft, EntryDraft, Kind, LifetimeDraft, TfcDraft};
use crate::source::{At, Fault, Report};
use crate::{
    Config, DynamicMap, Entry, IpsecProfile, Keying, Name, Negotiation, Proof, SaLifetime, TfcSettings,
};
use model::{Mode, TfcPadding};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Takes the dynamic maps and IPsec profiles over into the configuration.
pub(super) fn check(draft: &Draft, config: &mut Config, report: &mut Report<'_, '_>) {
    config.lifetime = lifetime(&draft.lifetime);
    config.tfc = tfc(&draft.tfc);
    for (name, written) in &draft.dynamic_maps {
        let mut entries = BTreeMap::new();
        for (&sequence, entry) in written {
            let what = format!("crypto dynamic-map `{name}` {sequence}");
            if let Some(negotiation) = negotiation(draft, &what, entry, report) {
                let access_lists = access_lists(draft, entry, report);
                if access_lists.is_empty() && entry.lists.is_empty() {
                    let fault = Fault::new(
                        entry.at,
                        "a peer decides what goes to it: it may ask for everybody's traffic",
                    );
                    report.warn(
                        fault.help("write `match address ACCESS-LIST`, of what peers may have at most"),
                    );
                }
                let keying = Keying::Negotiated(negotiation);
                let description = entry.description.value().cloned();
                entries.insert(sequence, Entry { description, keying, access_lists });
            }
        }
        config.dynamic_maps.insert(name.clone(), DynamicMap { name: name.clone(), entries });
    }
    for (name, written) in &draft.ipsec_profiles {
        let what = format!("crypto ipsec profile `{name}`");
        if let Some(negotiation) = negotiation(draft, &what, written, report) {
            config.ipsec_profiles.insert(name.clone(), IpsecProfile { name: name.clone(), negotiation });
        }
        let fault =
            Fault::new(written.at, format!("{what} is for tunnel interfaces, which are not available yet"));
        report.warn(fault.help("write what it says under `crypto map NAME SEQUENCE ipsec-isakmp`"));
    }
}

fn lifetime(written: &LifetimeDraft) -> SaLifetime {
    SaLifetime { seconds: written.seconds.value().copied(), kilobytes: written.kilobytes.value().copied() }
}

/// How SAs hide the lengths of their packets, and when there are any, as far as it is said.
pub(super) fn tfc(written: &TfcDraft) -> TfcSettings {
    TfcSettings { padding: written.padding.value().copied(), dummies: written.dummies.value().copied() }
}

/// Warns of TFC padding that an entry asks for and does not get, or that hides nothing.
pub(super) fn padding(draft: &Draft, entry: &EntryDraft, report: &mut Report<'_, '_>) {
    let Some(padding) = entry.tfc.padding.found().filter(|found| found.value != TfcPadding::None) else {
        return;
    };
    let sets = entry.transform_sets.value().into_iter().flatten();
    for set in sets.filter_map(|name| draft.sets.get(&name.value)) {
        let clear = set.suite.value().is_some_and(|suite| !suite.encrypts());
        let fault = if clear {
            Fault::new(padding.at, "padding hides nothing where nothing is encrypted")
                .help("take a transform set that encrypts, such as `esp-gcm 256`, or remove the line")
        } else if set.mode.value() == Some(&Mode::Transport) {
            Fault::new(padding.at, "transport mode has no TFC padding (RFC 4303, section 2.7)")
                .help("write `mode tunnel` under the transform set, here and on the peer, or remove the line")
        } else {
            continue;
        };
        report.warn(fault.related(set.at, "this transform set"));
        return;
    }
}

/// What an entry says to IKE, if it is whole.
pub(super) fn negotiation(
    draft: &Draft,
    what: &str,
    entry: &EntryDraft,
    report: &mut Report<'_, '_>,
) -> Option<Negotiation> {
    let is_map = entry.kind == Kind::Negotiated;
    let missing = [
        (is_map && entry.peers.is_empty(), "`set peer ADDRESS`"),
        (entry.transform_sets.is_missing(), "`set transform-set NAME`"),
        (is_map && entry.lists.is_empty(), "`match address ACCESS-LIST`"),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, what)| *what).collect();
    not_whole(entry.at, what, entry.faulty, &missing, report);
    one_mode(draft, entry, report);
    padding(draft, entry, report);
    if let Some(name) = entry.profile.found()
        && !draft.profiles.contains_key(&name.value)
    {
        let mend = "write it by `crypto ikev2 profile NAME`";
        report.nowhere(name.at, "profile", &name.value, draft.profiles.keys(), mend);
    }
    if let Some(group) = entry.pfs.found().filter(|group| group.value.is_weak()) {
        let fault = Fault::new(
            group.at,
            format!("this is weak: group {} is too small (RFC 8247)", group.value.number()),
        );
        report.warn(fault.help("write `set pfs group19`, here and on the peer, if that has it"));
    }
    Some(Negotiation {
        peers: entry.peers.iter().map(|peer| peer.value).collect(),
        transform_sets: entry.transform_sets.value()?.iter().map(|name| name.value.clone()).collect(),
        pfs: entry.pfs.value().copied(),
        profile: entry.profile.value().cloned(),
        lifetime: lifetime(&entry.lifetime),
        tfc: tfc(&entry.tfc),
    })
}

/// The transform sets are there, and all of one mode: only one can be asked for.
fn one_mode(draft: &Draft, entry: &EntryDraft, report: &mut Report<'_, '_>) {
    let mut first: Option<(Mode, At)> = None;
    for name in entry.transform_sets.value().into_iter().flatten() {
        let Some(set) = draft.sets.get(&name.value) else {
            let mend = "write it by `crypto ipsec transform-set NAME esp-gcm 256`";
            report.nowhere(name.at, "transform set", &name.value, draft.sets.keys(), mend);
            continue;
        };
        let mode = set.mode.value().copied().unwrap_or(Mode::Tunnel);
        match first {
            Some((known, at)) if known != mode => {
                let fault = Fault::new(name.at, "this transform set has another mode than the one before it");
                report.error(
                    fault.related(at, "this one").help("give all transform sets of an entry the same `mode`"),
                );
            }
            _ => first = first.or(Some((mode, name.at))),
        }
    }
}

/// What of a negotiation can be asked only when keyrings and profiles have their final form.
pub(super) fn keys(draft: &Draft, config: &Config, report: &mut Report<'_, '_>) {
    let places = key_places(draft);
    for negotiated in config.negotiated() {
        let written = match &negotiated.dynamic {
            Some(key) => draft.dynamic_maps.get(&key.map).and_then(|map| map.get(&key.sequence)),
            None => {
                let map = draft.maps.get(&negotiated.entry.map);
                map.and_then(|map| map.entries.get(&negotiated.entry.sequence))
            }
        };
        let Some(written) = written else { continue };
        let profile = negotiated.negotiation.profile.as_ref().and_then(|name| config.ike_profiles.get(name));
        if let (None, true) = (profile, written.profile.is_missing()) {
            let message = "without a profile, each end is known by its address, and it is IKEv2 that is spoken; IOS would speak IKEv1";
            let fault = Fault::new(written.at, message);
            report.warn(fault.help("write `set ikev2-profile NAME`, here and on the peer"));
        }
        let shared = profile.is_none_or(|it| it.local == Proof::PreShare || it.remote == Proof::PreShare);
        if !shared {
            continue;
        }
        if negotiated.dynamic.is_some() {
            for key in config.shared_keys(negotiated.negotiation) {
                let Some(&at) = places.get(key.remote.expose()).filter(|_| key.is_wildcard()) else {
                    continue;
                };
                wildcard(at, written.at, report);
            }
            if config.shared_keys(negotiated.negotiation).is_empty() && !draft.key_faulty {
                no_key(written.at, "no key is there for the peers of this dynamic map", report);
            }
            continue;
        }
        for peer in &written.peers {
            if config.shared_key(negotiated.negotiation, peer.value).is_none() && !draft.key_faulty {
                no_key(peer.at, &format!("no key is there for the peer `{}`", peer.value), report);
            }
        }
    }
}

fn no_key(at: At, what: &str, report: &mut Report<'_, '_>) {
    let help =
        "write `peer NAME` with its `address` and `pre-shared-key` in the keyring of the entry's profile";
    report.error(Fault::new(at, what).help(help));
}

/// The hole that everybody digs: one key, and whoever has it is in.
fn wildcard(key: At, map: At, report: &mut Report<'_, '_>) {
    let message = "DANGER: whoever learns this one key, from whichever spoke, is let in from anywhere, and can pose as this \
                   gateway to every spoke";
    let help = "give each peer a key of its own, in a `crypto ikev2 keyring`: `peer NAME` with `identity fqdn NAME` and `pre-shared-key KEY`; or certificates: \
                `authentication remote rsa-sig`";
    report
        .warn(Fault::new(key, message).related(map, "this dynamic map takes it from any address").help(help));
}

/// Where each key stands.
fn key_places(draft: &Draft) -> HashMap<&[u8], At> {
    let keyrings = draft.keyrings.values().flat_map(|keyring| &keyring.peers);
    let all = draft.keys.iter().chain(keyrings);
    all.filter_map(|peer| peer.remote.found().map(|key| (key.value.expose(), key.at))).collect()
}

/// The peers of an entry are not this gateway.
pub(super) fn not_ourselves(own: &HashMap<IpAddr, At>, entry: &EntryDraft, report: &mut Report<'_, '_>) {
    for peer in &entry.peers {
        if let Some(&own) = own.get(&peer.value) {
            let fault = Fault::new(peer.at, "the peer is this gateway itself");
            report.error(
                fault.related(own, "this is its address").help("take an address of the other gateway"),
            );
        }
    }
}

/// The dynamic map that an entry leads to.
pub(super) fn leads_to(draft: &Draft, name: &crate::parse::Found<Name>, report: &mut Report<'_, '_>) {
    if !draft.dynamic_maps.contains_key(&name.value) {
        let mend = "write it by `crypto dynamic-map NAME SEQUENCE`";
        report.nowhere(name.at, "dynamic map", &name.value, draft.dynamic_maps.keys(), mend);
    }
}
