//! `crypto ipsec` and `crypto map`, and the lines under them.

use super::cursor::{Cursor, Found, parse_decimal, suggest};
use super::draft::{EntryDraft, Kind, LifetimeDraft, SetDraft, Setting};
use super::ikev2::group;
use super::interface::{interface_name, last};
use super::key::session_key;
use super::refusals::{ENTRY, refusal};
use super::transform::suite;
use super::{Mode, Reader, refuse};
use crate::source::{At, Fault, Word};
use crate::{DhGroup, Name, ReplayWindow};
use model::{DontFragment, Fragmentation, Mode as IpsecMode};
use std::net::IpAddr;

impl Reader<'_, '_> {
    pub(super) fn crypto_ipsec(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        cursor.accept("crypto");
        cursor.accept("ipsec");
        match cursor
            .one_of(&["transform-set", "security-association", "df-bit", "fragmentation", "profile"])?
            .value
        {
            "transform-set" => self.transform_set(cursor),
            "df-bit" => {
                self.mode = Mode::Top;
                self.draft.df.fill(last(cursor, df_bit))
            }
            "fragmentation" => {
                self.mode = Mode::Top;
                self.draft.fragmentation.fill(last(cursor, fragmentation))
            }
            "profile" => {
                let whole = cursor.whole();
                let name = last(cursor, |cursor| cursor.name("a profile's name"))?.value;
                self.mode = Mode::IpsecProfile(name.clone());
                let fresh = || EntryDraft::new(whole, Kind::Profile);
                self.draft.ipsec_profiles.entry(name).or_insert_with(fresh);
                Ok(())
            }
            _ => {
                self.mode = Mode::Top;
                match cursor.one_of(&["replay", "lifetime"])?.value {
                    "replay" => self.draft.replay.fill(last(cursor, replay)),
                    _ => lifetime(&mut self.draft.lifetime, cursor),
                }
            }
        }
    }

    fn transform_set(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let name = cursor.name("a transform set's name")?;
        self.mode = Mode::Set(name.value.clone());
        let fresh =
            SetDraft { at: name.at, suite: Setting::Missing, mode: Setting::Missing, esn: Setting::Missing };
        let set = self.draft.sets.entry(name.value).or_insert(fresh);
        set.suite.fill(last(cursor, suite))
    }

    pub(super) fn in_set(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(set) = self.draft.sets.get_mut(name) else { return Ok(()) };
        let whole = cursor.whole();
        let keyword = cursor.next("a command")?;
        match keyword.text.to_ascii_lowercase().as_str() {
            "esn" => set.esn.fill(cursor.end().map(|()| Found { value: (), at: whole })),
            "mode" => {
                let read = last(cursor, |cursor| cursor.one_of(&["tunnel", "transport"]));
                set.mode.fill(read.map(|word| Found {
                    value: if word.value == "transport" { IpsecMode::Transport } else { IpsecMode::Tunnel },
                    at: whole,
                }))
            }
            _ => {
                let message =
                    format!("{} is no command that Espalier knows under `transform-set`", keyword.quoted());
                let known = ["mode", "esn"].into_iter().chain(super::COMMANDS);
                Err(suggest(Fault::new(keyword.at, message), keyword, known))
            }
        }
    }

    pub(super) fn crypto_map(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let whole = cursor.whole();
        cursor.accept("crypto");
        cursor.accept("map");
        let name = cursor.name("a crypto map's name")?;
        let map = self.draft.maps.entry(name.value.clone()).or_default();
        if cursor.accept("local-address") {
            self.mode = Mode::Top;
            return map
                .local_address
                .fill(last(cursor, |cursor| interface_name(cursor, "an interface's name")));
        }
        map.faulty = true;
        if cursor.left() == 0 {
            let fault = Fault::new(whole, "the line ends where the entry's sequence number should be");
            return Err(fault.help("to put the map on an interface, write this line under `interface`"));
        }
        if let Some(word) = cursor.peek().filter(|word| parse_decimal(word.text).is_none()) {
            const LATER: [&str; 5] = ["client", "isakmp", "isakmp-profile", "redundancy", "gdoi"];
            if LATER.iter().any(|later| word.is(later)) {
                let fault = Fault::new(word.at, format!("{} is not available in Espalier", word.quoted()));
                return Err(
                    fault.help("what an entry needs stands under `crypto map NAME SEQUENCE ipsec-isakmp`")
                );
            }
        }
        let sequence = cursor.number("a sequence number", 1..=65535)?;
        let kind = match cursor.one_of(&["ipsec-isakmp", "ipsec-manual"])?.value {
            "ipsec-manual" => Kind::Manual,
            _ if cursor.accept("dynamic") => Kind::Dynamic(cursor.name("a dynamic map's name")?),
            _ => Kind::Negotiated,
        };
        cursor.end()?;
        map.faulty = false;
        let sequence = sequence.value as u16;
        let entry = map.entries.entry(sequence).or_insert_with(|| EntryDraft::new(whole, kind.clone()));
        if entry.kind != kind {
            let fault = Fault::new(whole, "this entry is of another kind already");
            return Err(fault.related(entry.at, "here").help("give one of them another sequence number"));
        }
        self.mode = Mode::Entry(name.value, sequence);
        Ok(())
    }

    /// `crypto dynamic-map NAME SEQUENCE`.
    pub(super) fn dynamic_map(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let whole = cursor.whole();
        cursor.accept("crypto");
        cursor.accept("dynamic-map");
        let name = cursor.name("a dynamic map's name")?.value;
        let sequence = last(cursor, |cursor| cursor.number("a sequence number", 1..=65535))?.value as u16;
        let map = self.draft.dynamic_maps.entry(name.clone()).or_default();
        map.entry(sequence).or_insert_with(|| EntryDraft::new(whole, Kind::Template));
        self.mode = Mode::Template(name, sequence);
        Ok(())
    }

    pub(super) fn in_template(
        &mut self,
        map: &Name,
        sequence: u16,
        cursor: &mut Cursor<'_, '_>,
    ) -> Result<(), Fault> {
        let entry = self.draft.dynamic_maps.get_mut(map).and_then(|map| map.get_mut(&sequence));
        entry.map_or(Ok(()), |entry| in_entry(entry, cursor))
    }

    pub(super) fn in_ipsec_profile(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.draft.ipsec_profiles.get_mut(name).map_or(Ok(()), |entry| in_entry(entry, cursor))
    }

    pub(super) fn in_entry(
        &mut self,
        map: &Name,
        sequence: u16,
        cursor: &mut Cursor<'_, '_>,
    ) -> Result<(), Fault> {
        let entry = self.draft.maps.get_mut(map).and_then(|map| map.entries.get_mut(&sequence));
        entry.map_or(Ok(()), |entry| in_entry(entry, cursor))
    }
}

fn in_entry(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
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
        Kind::Manual => &["peer", "transform-set", "session-key", "udp-encapsulation"],
        Kind::Negotiated => &["peer", "transform-set", "ikev2-profile", "pfs", "security-association"],
        Kind::Template | Kind::Profile => &["transform-set", "ikev2-profile", "pfs", "security-association"],
        Kind::Dynamic(_) => &[],
    }
}

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
                "security-association" => {
                    cursor.one_of(&["lifetime"])?;
                    lifetime(&mut entry.lifetime, cursor)
                }
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

/// `lifetime seconds SECONDS` or `lifetime kilobytes KILOBYTES|disable`.
fn lifetime(draft: &mut LifetimeDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
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

fn df_bit(cursor: &mut Cursor<'_, '_>) -> Result<Found<DontFragment>, Fault> {
    let word = cursor.one_of(&["copy", "set", "clear"])?;
    let value = match word.value {
        "set" => DontFragment::Set,
        "clear" => DontFragment::Clear,
        _ => DontFragment::Copy,
    };
    Ok(Found { value, at: word.at })
}

fn fragmentation(cursor: &mut Cursor<'_, '_>) -> Result<Found<Fragmentation>, Fault> {
    let word = cursor.one_of(&["before-encryption", "after-encryption"])?;
    let value = match word.value {
        "after-encryption" => Fragmentation::AfterEncryption,
        _ => Fragmentation::BeforeEncryption,
    };
    Ok(Found { value, at: word.at })
}

fn replay(cursor: &mut Cursor<'_, '_>) -> Result<Found<ReplayWindow>, Fault> {
    let word = cursor.one_of(&["window-size", "disable"])?;
    if word.value == "disable" {
        return Ok(Found { value: ReplayWindow::Disabled, at: word.at });
    }
    let size = cursor.number("a window size in packets", ReplayWindow::MIN..=ReplayWindow::MAX)?;
    Ok(Found { value: ReplayWindow::Packets(size.value), at: word.at.to(size.at) })
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
