//! `crypto ipsec`, `crypto map` and `crypto dynamic-map`: the lines that open what [`super::entry`] reads, and transform sets.

use super::cursor::{Cursor, Found, parse_decimal, suggest};
use super::draft::{EntryDraft, Kind, SetDraft, Setting};
use super::entry::{in_entry, lifetime};
use super::interface::{interface_name, last};
use super::marks::code_point;
use super::transform::suite;
use super::{Mode, Reader, tfc};
use crate::source::Fault;
use crate::{Name, ReplayWindow};
use model::{DontFragment, Fragmentation, Mode as IpsecMode};

impl Reader<'_, '_> {
    pub(super) fn crypto_ipsec(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        cursor.accept("crypto");
        cursor.accept("ipsec");
        match cursor
            .one_of(&["transform-set", "security-association", "df-bit", "dscp", "fragmentation", "profile"])?
            .value
        {
            "transform-set" => self.transform_set(cursor),
            "df-bit" => {
                self.mode = Mode::Top;
                self.draft.df.fill(last(cursor, df_bit))
            }
            "dscp" => {
                self.mode = Mode::Top;
                self.dscp(cursor)
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
                match cursor.one_of(&["replay", "lifetime", "dummy", "tfc-padding"])?.value {
                    "replay" => self.draft.replay.fill(last(cursor, replay)),
                    "dummy" => self.draft.tfc.dummies.fill(last(cursor, tfc::dummies)),
                    "tfc-padding" => self.draft.tfc.padding.fill(last(cursor, tfc::padding)),
                    _ => lifetime(&mut self.draft.lifetime, cursor),
                }
            }
        }
    }

    /// `copy`, `set POINT` or `map INNER OUTER`.
    fn dscp(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let word = cursor.one_of(&["copy", "set", "map"])?;
        let usual = &mut self.draft.dscp.usual;
        match word.value {
            "copy" => usual.fill(cursor.end().map(|()| Found { value: None, at: word.at })),
            "set" => {
                let found = last(cursor, code_point);
                usual.fill(found.map(|found| Found { value: Some(found.value), at: word.at.to(found.at) }))
            }
            _ => {
                let inner = code_point(cursor)?;
                let outer = last(cursor, code_point);
                self.draft.dscp.others.entry(inner.value).or_default().fill(outer)
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
        let kind = match cursor.one_of(&["ipsec-isakmp", "ipsec-manual", "discard"])?.value {
            "ipsec-manual" => Kind::Manual,
            "discard" => Kind::Discard,
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
