//! `crypto ipsec` and `crypto map`, and the lines under them.

use super::cursor::{Cursor, Found, parse_decimal, suggest, unexpected};
use super::draft::{EntryDraft, SetDraft, Setting};
use super::interface::{interface_name, last};
use super::key::session_key;
use super::refusals::{ENTRY, refusal};
use super::transform::suite;
use super::{Mode, Reader, refuse};
use crate::source::{At, Fault, Word};
use crate::{Name, ReplayWindow};
use model::{DontFragment, Fragmentation, Mode as IpsecMode};
use std::net::IpAddr;

const MANUAL: &str = "give the keys by `set session-key` under `crypto map NAME SEQUENCE ipsec-manual`";

impl Reader<'_, '_> {
    pub(super) fn crypto_ipsec(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        cursor.accept("crypto");
        cursor.accept("ipsec");
        match cursor.one_of(&["transform-set", "security-association", "df-bit", "fragmentation"])?.value {
            "transform-set" => self.transform_set(cursor),
            "df-bit" => {
                self.mode = Mode::Top;
                self.draft.df.fill(last(cursor, df_bit))
            }
            "fragmentation" => {
                self.mode = Mode::Top;
                self.draft.fragmentation.fill(last(cursor, fragmentation))
            }
            _ => {
                self.mode = Mode::Top;
                cursor.one_of(&["replay"])?;
                self.draft.replay.fill(last(cursor, replay))
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
                let fault = Fault::new(
                    word.at,
                    format!("{} is not available in Espalier: it has no IKE yet", word.quoted()),
                );
                return Err(fault.help(MANUAL));
            }
        }
        let sequence = cursor.number("a sequence number", 1..=65535)?;
        let kind = cursor.next("`ipsec-manual`")?;
        if kind.is("ipsec-isakmp") || kind.is("gdoi") {
            let fault = Fault::new(
                kind.at,
                format!("{} is not available in Espalier: it has no IKE yet", kind.quoted()),
            );
            return Err(fault.help(MANUAL));
        }
        if !kind.is("ipsec-manual") {
            return Err(unexpected(kind, "`ipsec-manual`", ["ipsec-manual"]));
        }
        cursor.end()?;
        map.faulty = false;
        let sequence = sequence.value as u16;
        map.entries.entry(sequence).or_insert_with(|| EntryDraft::new(whole));
        self.mode = Mode::Entry(name.value, sequence);
        Ok(())
    }

    pub(super) fn in_entry(
        &mut self,
        map: &Name,
        sequence: u16,
        cursor: &mut Cursor<'_, '_>,
    ) -> Result<(), Fault> {
        let Some(entry) = self.draft.maps.get_mut(map).and_then(|map| map.entries.get_mut(&sequence)) else {
            return Ok(());
        };
        if let Some((refused, at)) = refusal(&ENTRY, cursor.words()) {
            return Err(refuse(refused, at));
        }
        let done = entry_line(entry, cursor);
        entry.faulty |= done.is_err();
        done
    }
}

fn entry_line(entry: &mut EntryDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let whole = cursor.whole();
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "description" => entry.description.fill(cursor.rest("the description", 200)),
        "match" => {
            let read = match_address(cursor).and_then(|name| match entry.lists.len() {
                0 | 1 => Ok(name),
                _ => Err(Fault::new(name.at, "an entry has at most one access list of each address family")
                    .help("merge the lists, or write another entry")),
            });
            entry.lists.push(read?);
            Ok(())
        }
        "set" => match cursor.one_of(&["peer", "transform-set", "session-key", "udp-encapsulation"])?.value {
            "peer" => entry.peer.fill(last(cursor, peer)),
            "udp-encapsulation" => entry.udp_port.fill(last(cursor, |cursor| udp_port(whole, cursor))),
            "transform-set" => entry.transform_set.fill(transform_set_name(cursor)),
            _ => match cursor.one_of(&["inbound", "outbound"])?.value {
                "inbound" => entry.inbound.fill(last(cursor, session_key)),
                _ => entry.outbound.fill(last(cursor, session_key)),
            },
        },
        _ => Err(unknown(keyword)),
    }
}

fn unknown(word: &Word<'_>) -> Fault {
    let fault = Fault::new(
        word.at,
        format!("{} is no command that Espalier knows under `crypto map`", word.quoted()),
    );
    if ["peer", "transform-set", "session-key", "udp-encapsulation"].iter().any(|of_set| word.is(of_set)) {
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

fn transform_set_name(cursor: &mut Cursor<'_, '_>) -> Result<Found<Name>, Fault> {
    let name = cursor.name("a transform set's name")?;
    if let Some(word) = cursor.peek() {
        let fault = Fault::new(
            word.at,
            "an entry with manual keys has one transform set: there is nobody to choose with",
        );
        return Err(fault.help("keep the one that the peer has"));
    }
    Ok(name)
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
