//! `show crypto map`. All of it is the daemon's to know.

use super::{Page, View};
use crate::operator::facts::{EntryFacts, KeyingFacts, MapFacts};
use model::{Direction, Mode};
use serde::Serialize;
use std::fmt::Write as _;

/// All crypto maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CryptoMaps {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By name.
    pub crypto_maps: Vec<Map>,
}

/// One map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// `local-address`.
    pub local_address: Option<String>,
    /// Where it is.
    pub interfaces: Vec<String>,
    /// By sequence number.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What the configuration says.
    #[serde(flatten)]
    pub facts: EntryFacts,
    /// What its access lists say.
    pub rules: Vec<String>,
    /// Its inbound SA is in the data plane.
    pub inbound_up: bool,
    /// Its outbound SA is in the data plane.
    pub outbound_up: bool,
}

impl CryptoMaps {
    /// Out of a view; empty where no daemon could be asked.
    pub fn new(view: &View) -> CryptoMaps {
        let maps = view.facts.iter().flat_map(|facts| &facts.crypto_maps);
        CryptoMaps { hostname: view.hostname(), crypto_maps: maps.map(|each| map(view, each)).collect() }
    }
}

fn map(view: &View, facts: &MapFacts) -> Map {
    Map {
        name: facts.name.clone(),
        local_address: facts.local_address.clone(),
        interfaces: facts.interfaces.clone(),
        entries: facts.entries.iter().map(|each| entry(view, each)).collect(),
    }
}

fn entry(view: &View, facts: &EntryFacts) -> Entry {
    let lists = view.facts.iter().flat_map(|all| &all.access_lists);
    let of_entry = lists.filter(|list| facts.access_lists.contains(&list.name));
    let rules = of_entry.flat_map(|list| {
        let (kind, name) = (if list.ipv6 { "ipv6 access-list" } else { "access-list" }, &list.name);
        list.rules.iter().map(move |rule| format!("{kind} {name} {}", rule.text))
    });
    let up = |direction| {
        let serves = |sa: &&shm::SaStatus| {
            sa.descriptor.direction == direction
                && facts.number.is_some()
                && sa.descriptor.entry == facts.number
        };
        view.sas.iter().find(serves).is_some()
    };
    Entry {
        rules: rules.collect(),
        inbound_up: up(Direction::Inbound),
        outbound_up: up(Direction::Outbound),
        facts: facts.clone(),
    }
}

impl Page for CryptoMaps {
    fn text(&self) -> String {
        if self.crypto_maps.is_empty() {
            return "No crypto maps found.\n".to_owned();
        }
        let mut text = String::new();
        for map in &self.crypto_maps {
            // Writing to a `String` does not fail.
            let _ = write_map(&mut text, map);
        }
        text
    }
}

fn write_map(text: &mut String, map: &Map) -> std::fmt::Result {
    for entry in &map.entries {
        let facts = &entry.facts;
        let kind = match &facts.keying {
            KeyingFacts::Manual { .. } => "ipsec-manual".to_owned(),
            KeyingFacts::Ikev2 { .. } => "ipsec-isakmp".to_owned(),
            KeyingFacts::Dynamic { map } => format!("ipsec-isakmp dynamic {map}"),
            KeyingFacts::Discard => "discard".to_owned(),
        };
        writeln!(text, "Crypto Map \"{}\" {} {kind}", map.name, facts.sequence)?;
        if let Some(description) = &facts.description {
            writeln!(text, "        Description: {description}")?;
        }
        for peer in &facts.peers {
            match facts.udp_port {
                Some(port) => writeln!(text, "        Peer = {peer}, ESP in UDP to port {port}")?,
                None => writeln!(text, "        Peer = {peer}")?,
            }
        }
        for list in &facts.access_lists {
            writeln!(text, "        Extended IP access list {list}")?;
        }
        for rule in &entry.rules {
            writeln!(text, "            {rule}")?;
        }
        let esn = if facts.extended_sequence { ", esn" } else { "" };
        let mode = match facts.mode {
            Mode::Tunnel => "",
            Mode::Transport => ", mode transport",
        };
        for (set, transform) in facts.transform_sets.iter().zip(&facts.transforms) {
            writeln!(text, "        Transform set = {set}: {{ {transform}{esn}{mode} }}")?;
        }
        write_keying(text, entry)?;
        match facts.local {
            Some(local) => writeln!(text, "        Local address: {local}")?,
            None => writeln!(text, "        Local address: none")?,
        }
    }
    if let Some(interface) = &map.local_address {
        writeln!(text, "        Outer address of interface {interface}")?;
    }
    match map.interfaces.as_slice() {
        [] => writeln!(text, "        On no interface.\n"),
        interfaces => {
            writeln!(text, "        Interfaces using crypto map {}:", map.name)?;
            interfaces.iter().try_for_each(|interface| writeln!(text, "                {interface}"))?;
            writeln!(text)
        }
    }
}

fn write_keying(text: &mut String, entry: &Entry) -> std::fmt::Result {
    let state = |up: bool| if up { "up" } else { "not in the data plane" };
    match &entry.facts.keying {
        KeyingFacts::Manual { inbound_spi, outbound_spi } => {
            for (direction, spi, up) in
                [("inbound", inbound_spi, entry.inbound_up), ("outbound", outbound_spi, entry.outbound_up)]
            {
                writeln!(text, "        Session key {direction} esp: spi 0x{spi:X}({spi}), {}", state(up))?;
            }
            Ok(())
        }
        KeyingFacts::Ikev2 { profile, pfs_group, lifetime, lifetime_bytes } => {
            if let Some(profile) = profile {
                writeln!(text, "        IKEv2 profile: {profile}")?;
            }
            match pfs_group {
                Some(group) => writeln!(text, "        PFS (Y/N): Y, DH group: group{group}")?,
                None => writeln!(text, "        PFS (Y/N): N")?,
            }
            let kilobytes = lifetime_bytes.map_or("no".to_owned(), |bytes| (bytes / 1024).to_string());
            let seconds = lifetime.map_or("no".to_owned(), |seconds| seconds.to_string());
            writeln!(text, "        Security association lifetime: {kilobytes} kilobytes/{seconds} seconds")?;
            writeln!(
                text,
                "        Tunnel: {}",
                if entry.outbound_up { "up" } else { "down, until a packet wants it" }
            )
        }
        KeyingFacts::Dynamic { .. } | KeyingFacts::Discard => Ok(()),
    }
}
