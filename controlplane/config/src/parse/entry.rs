//! The lines under `crypto map`, `crypto dynamic-map` and `crypto ipsec profile`: what an entry says of its SAs.

use super::cursor::{Cursor, Found, suggest};
use super::draft::{EntryDraft, Kind, LifetimeDraft};
use super::ikev2::group;
use super::interface::last;
use super::key::session_key;
use super::refusals::{ENTRY, refusal};
use super::{refuse, tfc};
use crate::source::{At, Fault, Word};
use crate::{DhGroup, Name};
use std::net::IpAddr;

/// A line of an entry.
pub(super) fn in_entry(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let done = match refusal(&ENTRY, cursor.words()) {
        Some((refused, at)) => return Err(refuse(refused, at)),
        None => entry_line(entry, cursor),
    };
    entry.faulty |= done.is_err();
    done
}

/// What `set` can set, by the kind of entry.
const fn settings(kind: &Kind) -> &'static [&'static str] {
    match kind {
        Kind::Manual => {
            &["peer", "transform-set", "session-key", "udp-encapsulation", "security-association"]
        }
        Kind::Negotiated => &["peer", "transform-set", "ikev2-profile", "pfs", "security-association"],
        Kind::Template | Kind::Profile => &["transform-set", "ikev2-profile", "pfs", "security-association"],
        Kind::Dynamic(_) | Kind::Discard => &[],
    }
}

/// What an entry that discards is called as it is refused something, and what helps.
const DISCARDS: (&str, &str) =
    ("an entry that discards", "remove the line, or write `ipsec-isakmp` in the place of `discard`");

/// What a kind of entry cannot set, and why.
fn cannot_set(kind: &Kind, word: &Word<'_>) -> Option<Fault> {
    let all =
        [Kind::Manual, Kind::Negotiated].iter().flat_map(|kind| settings(kind)).any(|known| word.is(known));
    if !all || settings(kind).iter().any(|known| word.is(known)) {
        return None;
    }
    let (what, help) = match kind {
        Kind::Manual => (
            "an entry with manual keys",
            "write `ipsec-isakmp` in the place of `ipsec-manual`, or remove the line",
        ),
        Kind::Negotiated => (
            "an entry whose keys IKE negotiates",
            "write `ipsec-manual` in the place of `ipsec-isakmp`, or remove the line",
        ),
        Kind::Template => (
            "a dynamic map, which is for peers of unknown address,",
            "remove the line, or write an entry of the crypto map for this peer",
        ),
        Kind::Profile => ("an IPsec profile", "remove the line"),
        Kind::Dynamic(_) => ("an entry that leads to a dynamic map", "write it under `crypto dynamic-map`"),
        Kind::Discard => DISCARDS,
    };
    Some(Fault::new(word.at, format!("{what} has no {}", word.quoted())).help(help))
}

fn entry_line(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let whole = cursor.whole();
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "description" => entry.description.fill(cursor.rest("the description", 200)),
        "match" => {
            let read = match_address(cursor).and_then(|name| match entry.lists.len() {
                _ if matches!(entry.kind, Kind::Dynamic(_) | Kind::Profile) => {
                    Err(Fault::new(whole, "the access list of such an entry stands elsewhere")
                        .help("write it under `crypto dynamic-map`"))
                }
                0 | 1 => Ok(name),
                _ => Err(Fault::new(name.at, "an entry has at most one access list of each address family")
                    .help("merge the lists, or write another entry")),
            });
            entry.lists.push(read?);
            Ok(())
        }
        "set" => {
            if let Some(fault) = cursor.peek().and_then(|word| cannot_set(&entry.kind, word)) {
                return Err(fault);
            }
            let known = match settings(&entry.kind) {
                [] if entry.kind == Kind::Discard => {
                    let (what, help) = DISCARDS;
                    return Err(Fault::new(whole, format!("{what} sets nothing")).help(help));
                }
                [] => {
                    return Err(Fault::new(whole, "an entry that leads to a dynamic map sets nothing")
                        .help("write it under `crypto dynamic-map`"));
                }
                known => known,
            };
            match cursor.one_of(known)?.value {
                "peer" => set_peer(entry, cursor),
                "udp-encapsulation" => entry.udp_port.fill(last(cursor, |cursor| udp_port(whole, cursor))),
                "transform-set" => {
                    let most = if entry.kind == Kind::Manual { 1 } else { MOST_SETS };
                    entry.transform_sets.fill(transform_set_names(cursor, most))
                }
                "ikev2-profile" => entry.profile.fill(last(cursor, |cursor| cursor.name("a profile's name"))),
                "pfs" => entry.pfs.fill(last(cursor, |cursor| pfs(whole, cursor))),
                "security-association" => security_association(entry, cursor),
                _ => match cursor.one_of(&["inbound", "outbound"])?.value {
                    "inbound" => entry.inbound.fill(last(cursor, session_key)),
                    _ => entry.outbound.fill(last(cursor, session_key)),
                },
            }
        }
        _ => Err(unknown(keyword)),
    }
}

/// One peer of an entry with manual keys, several of another.
fn set_peer(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    const MOST: usize = 16;
    let found = last(cursor, peer)?;
    let first = match entry.kind {
        Kind::Manual => entry.peers.first(),
        _ => entry.peers.iter().find(|known| known.value == found.value),
    };
    if let Some(first) = first {
        let fault = Fault::new(found.at, "this has been said before").related(first.at, "first said here");
        return Err(fault.help("keep one of the two lines"));
    }
    if entry.peers.len() == MOST {
        let fault = Fault::new(found.at, format!("an entry has at most {MOST} peers"));
        return Err(fault.help("they are tried one after the other; remove some"));
    }
    entry.peers.push(found);
    Ok(())
}

/// What follows `set security-association`.
fn security_association(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    if let (Kind::Manual, Some(word)) = (&entry.kind, cursor.peek())
        && word.is("lifetime")
    {
        let fault = Fault::new(word.at, "an entry with manual keys has no `lifetime`");
        return Err(fault.help("write `ipsec-isakmp` in the place of `ipsec-manual`, or remove the line"));
    }
    match cursor.one_of(&["lifetime", "dummy", "tfc-padding"])?.value {
        "dummy" => entry.tfc.dummies.fill(last(cursor, tfc::dummies)),
        "tfc-padding" => entry.tfc.padding.fill(last(cursor, tfc::padding)),
        _ => lifetime(&mut entry.lifetime, cursor),
    }
}

/// `lifetime seconds SECONDS` or `lifetime kilobytes KILOBYTES|disable`.
pub(super) fn lifetime(draft: &mut LifetimeDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    match cursor.one_of(&["seconds", "kilobytes"])?.value {
        "seconds" => draft.seconds.fill(last(cursor, |cursor| cursor.number("seconds", 120..=2_592_000))),
        _ => draft.kilobytes.fill(last(cursor, |cursor| {
            if let Some(word) = cursor.peek().filter(|word| word.is("disable")) {
                cursor.accept("disable");
                return Ok(Found { value: None, at: word.at });
            }
            let found = cursor.number("kilobytes", 2560..=u32::MAX)?;
            Ok(Found { value: Some(found.value), at: found.at })
        })),
    }
}

/// `set pfs groupNUMBER`.
fn pfs(whole: At, cursor: &mut Cursor<'_, '_>) -> Result<Found<DhGroup>, Fault> {
    let Some(word) = cursor.peek() else {
        let fault = Fault::new(whole, "without a group, IOS would take group 1, which is broken");
        return Err(fault.help("write `set pfs group19`, here and on the peer"));
    };
    cursor.next("a group")?;
    match word.text.get(..5).filter(|start| start.eq_ignore_ascii_case("group")) {
        Some(_) => Ok(Found { value: group(word, word.text.get(5..).unwrap_or_default())?, at: word.at }),
        None => {
            let fault = Fault::new(word.at, format!("{} is no group such as `group19`", word.quoted()));
            Err(match group(word, word.text) {
                Ok(group) => fault.help(format!("write `set pfs group{}`", group.number())),
                Err(_) => fault.help("write `set pfs group19`, here and on the peer"),
            })
        }
    }
}

fn unknown(word: &Word<'_>) -> Fault {
    let fault = Fault::new(
        word.at,
        format!("{} is no command that Espalier knows under `crypto map`", word.quoted()),
    );
    if [Kind::Manual, Kind::Negotiated].iter().flat_map(settings).any(|of_set| word.is(of_set)) {
        return fault.help(format!("write `set` before {}", word.quoted()));
    }
    suggest(fault, word, ["description", "match", "set"].into_iter().chain(super::COMMANDS))
}

fn match_address(cursor: &mut Cursor<'_, '_>) -> Result<Found<Name>, Fault> {
    cursor.one_of(&["address"])?;
    last(cursor, |cursor| cursor.name("an access list's number or name"))
}

/// Transform sets of one entry, as on IOS.
const MOST_SETS: usize = 11;

fn transform_set_names(cursor: &mut Cursor<'_, '_>, most: usize) -> Result<Found<Vec<Found<Name>>>, Fault> {
    let first = cursor.name("a transform set's name")?;
    let mut at = first.at;
    let mut names = vec![first];
    while let Some(word) = cursor.peek() {
        if names.len() == most {
            return Err(match most {
                1 => Fault::new(
                    word.at,
                    "an entry with manual keys has one transform set: there is nobody to choose with",
                )
                .help("keep the one that the peer has"),
                _ => Fault::new(word.at, format!("an entry has at most {most} transform sets"))
                    .help("remove some"),
            });
        }
        let name = cursor.name("a transform set's name")?;
        if names.iter().any(|known| known.value == name.value) {
            let fault = Fault::new(name.at, format!("`{}` has been said before", name.value));
            return Err(fault.help("keep one of the two"));
        }
        at = at.to(name.at);
        names.push(name);
    }
    Ok(Found { value: names, at })
}

/// The port of ESP in UDP (RFC 3948).
const UDP_PORT: u16 = 4500;

/// What follows `set udp-encapsulation`: `port PORT`, of the peer, or nothing.
fn udp_port(whole: At, cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    if !cursor.accept("port") && cursor.left() == 0 {
        return Ok(Found { value: UDP_PORT, at: whole });
    }
    let found = cursor.number("the peer's port", 1..=65535).map_err(|fault| match fault.help {
        None => fault.help("write `port 4500` or the port that a translator gave the peer, or nothing"),
        Some(_) => fault,
    })?;
    Ok(Found { value: found.value as u16, at: whole })
}

fn peer(cursor: &mut Cursor<'_, '_>) -> Result<Found<IpAddr>, Fault> {
    let word = cursor.next("the peer")?;
    let Ok(address) = word.text.parse::<IpAddr>() else {
        let what = "an IPv4 or IPv6 address such as 192.0.2.1 or 2001:db8::1";
        return Err(Fault::new(word.at, format!("{} is not the peer, {what}", word.quoted())));
    };
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    if !crate::check::is_unicast(address) || link_local || mapped {
        let fault = Fault::new(word.at, format!("`{address}` is no address of one peer"));
        return Err(fault.help("take the peer's own address"));
    }
    Ok(Found { value: address, at: word.at })
}
