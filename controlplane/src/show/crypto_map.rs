//! `show crypto map`. All of it is the daemon's to know.

use super::{Page, View};
use crate::operator::facts::{EntryFacts, MapFacts};
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
    let up = |direction, spi| {
        let serves = |sa: &&shm::SaStatus| {
            let d = &sa.descriptor;
            d.direction == direction
                && d.spi.get() == spi
                && facts.number.is_some()
                && d.entry == facts.number
        };
        view.sas.iter().find(serves).is_some()
    };
    Entry {
        rules: rules.collect(),
        inbound_up: up(Direction::Inbound, facts.inbound_spi),
        outbound_up: up(Direction::Outbound, facts.outbound_spi),
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
        writeln!(text, "Crypto Map \"{}\" {} ipsec-manual", map.name, facts.sequence)?;
        if let Some(description) = &facts.description {
            writeln!(text, "        Description: {description}")?;
        }
        match facts.udp_port {
            Some(port) => writeln!(text, "        Peer = {}, ESP in UDP to port {port}", facts.peer)?,
            None => writeln!(text, "        Peer = {}", facts.peer)?,
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
        writeln!(
            text,
            "        Transform set = {}: {{ {}{esn}{mode} }}",
            facts.transform_set, facts.transform
        )?;
        for (direction, spi, up) in [
            ("inbound", facts.inbound_spi, entry.inbound_up),
            ("outbound", facts.outbound_spi, entry.outbound_up),
        ] {
            let state = if up { "up" } else { "not in the data plane" };
            writeln!(text, "        Session key {direction} esp: spi 0x{spi:X}({spi}), {state}")?;
        }
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
