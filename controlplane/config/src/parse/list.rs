//! `access-list NUMBER`, `ip access-list extended` and `ipv6 access-list`.

use super::cursor::{Cursor, Found, parse_decimal};
use super::draft::ListDraft;
use super::rule::{self, ListLine};
use super::{Mode, Reader};
use crate::source::{At, Fault};
use crate::{Family, Name, Rule};

/// Sequence numbers that are not written go up by this.
const STEP: u32 = 10;

impl Reader<'_, '_> {
    /// `access-list NUMBER ...`: the whole rule on one line.
    pub(super) fn numbered_list(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::Top;
        cursor.accept("access-list");
        let word = cursor.next("an access list's number")?;
        extended_number(word.text).map_err(|(message, help)| Fault::new(word.at, message).help(help))?;
        let name = Found { value: name(word.text, word.at)?, at: word.at };
        self.open_list(&name, Family::Ipv4)?;
        self.in_list(&name.value, cursor)
    }

    /// `ip access-list extended NAME` or `ipv6 access-list NAME`.
    pub(super) fn named_list(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let family = if cursor.accept("ip") { Family::Ipv4 } else { Family::Ipv6 };
        cursor.next("`ip`")?;
        if family == Family::Ipv6 {
            cursor.accept("access-list");
        } else {
            let kind = cursor.peek().map(|word| (word.at, word.is("resequence")));
            if let Some((at, true)) = kind {
                return Err(Fault::new(at, "`resequence` is for a router that runs")
                    .help("write the sequence numbers"));
            }
            cursor.one_of(&["extended"])?;
        }
        let name = cursor.name("an access list's name")?;
        cursor.end()?;
        if family == Family::Ipv4 && parse_decimal(name.value.as_str()).is_some() {
            extended_number(name.value.as_str())
                .map_err(|(message, help)| Fault::new(name.at, message).help(help))?;
        }
        self.open_list(&name, family)?;
        self.mode = Mode::List(name.value);
        Ok(())
    }

    fn open_list(&mut self, name: &Found<Name>, family: Family) -> Result<(), Fault> {
        let list = self.draft.lists.entry(name.value.clone()).or_insert_with(|| ListDraft {
            at: name.at,
            family,
            rules: Default::default(),
            remarks: Vec::new(),
            faulty: false,
        });
        if list.family == family {
            return Ok(());
        }
        let fault =
            Fault::new(name.at, format!("access list `{}` is of the other address family", name.value));
        Err(fault.related(list.at, "first written here").help("give it a name of its own"))
    }

    pub(super) fn in_list(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(list) = self.draft.lists.get_mut(name) else { return Ok(()) };
        let line = cursor.whole();
        let read = rule::read(cursor, list.family);
        let added = read.and_then(|said| match said {
            ListLine::Remark(remark) => {
                list.remarks.push(remark);
                Ok(Vec::new())
            }
            ListLine::Rule(sequence, rule, loose) => list.add(sequence, *rule, line).map(|()| loose),
        });
        let loose = added.inspect_err(|_| list.faulty = true)?;
        for Found { value, at } in loose {
            let fault =
                Fault::new(at, format!("the bits of `{}` behind its mask mean nothing", value.addr()));
            self.report.warn(fault.help(format!("`{}` says the same, and says it plainly", value.network())));
        }
        Ok(())
    }
}

impl ListDraft {
    fn add(&mut self, sequence: Option<Found<u32>>, mut rule: Rule, line: At) -> Result<(), Fault> {
        let at = sequence.map_or(line, |sequence| sequence.at);
        let next = || match self.rules.last_key_value() {
            Some((last, _)) => last.checked_add(STEP).filter(|&next| next <= Rule::MAX_SEQUENCE),
            None => Some(STEP),
        };
        let Some(sequence) = sequence.map(|sequence| sequence.value).or_else(next) else {
            return Err(Fault::new(at, "the sequence numbers are used up").help("write smaller ones"));
        };
        if let Some(first) = self.rules.get(&sequence) {
            let fault = Fault::new(at, format!("sequence number {sequence} is taken"));
            return Err(fault
                .related(first.at, "by this rule")
                .help("give each rule a sequence number of its own"));
        }
        rule.sequence = sequence;
        rule.remarks = std::mem::take(&mut self.remarks);
        self.rules.insert(sequence, Found { value: rule, at: line });
        Ok(())
    }
}

fn name(text: &str, at: At) -> Result<Name, Fault> {
    Name::new(text).map_err(|error| Fault::new(at, error.to_string()))
}

/// Numbers of extended lists: 100 to 199 and 2000 to 2699.
fn extended_number(text: &str) -> Result<(), (&'static str, &'static str)> {
    const MEND: &str = "number it 100 to 199 or 2000 to 2699, or name it by `ip access-list extended NAME`";
    match parse_decimal(text) {
        Some(100..=199 | 2000..=2699) => Ok(()),
        Some(1..=99 | 1300..=1999) => {
            Err(("standard access lists are not available in Espalier: they say no destination", MEND))
        }
        Some(_) => Err(("this is no number of an extended access list", MEND)),
        None => Err(("an access list's number should stand here", MEND)),
    }
}
