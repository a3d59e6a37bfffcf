//! Reads the text line by line into a [`Draft`], and lets [`crate::check`] make a configuration of it.
//!
//! As in IOS, indentation says nothing: a line is for the mode that is open, unless it is a command of the top.

mod crypto;
mod cursor;
mod draft;
mod interface;
mod list;
mod route;
mod rule;
mod words;

pub(crate) use cursor::Found;
pub(crate) use draft::{Draft, EntryDraft, InterfaceDraft, KeyDraft, ListDraft, MapDraft, SetDraft};

use crate::nearest::nearest;
use crate::source::{At, Fault, Report, Source, Word};
use crate::{Config, Diagnostic, Name};
use cursor::{Cursor, suggest};
use words::{Refusal, mend, refusal};

/// Reads a whole text; `file` is how diagnostics name it. Every error of the text is found in one pass.
///
/// With a configuration come warnings: what the operator should look at all the same. Without one come the errors and
/// the warnings, in the order of the text's lines; at least one of them is an error.
pub fn parse(file: &str, text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = Source::new(file, text);
    let mut reader = Reader { draft: Draft::default(), report: Report::new(&source), mode: Mode::Top };
    let mut ended = false;
    for (number, line) in source.lines.iter().enumerate() {
        let mut cursor = Cursor::new(number, line);
        if cursor.peek().is_none_or(|word| word.text.starts_with('!')) {
            continue;
        }
        if ended {
            reader.report.error(
                Fault::new(cursor.whole(), "this stands after `end`, where nothing is read")
                    .help("move `end` to the end, or remove what follows it"),
            );
            break;
        }
        ended = cursor.left() == 1 && cursor.peek().is_some_and(|word| word.is("end"));
        if !ended && let Err(fault) = reader.line(&mut cursor) {
            reader.report.error(fault);
        }
    }
    let Reader { draft, mut report, .. } = reader;
    let config = crate::check::check(draft, &mut report);
    if report.has_errors() { Err(report.finish()) } else { Ok((config, report.finish())) }
}

/// For what a line is that is no command of the top.
#[derive(Clone)]
enum Mode {
    Top,
    /// By its place in the draft.
    Interface(usize),
    List(Name),
    Set(Name),
    Entry(Name, u16),
    /// The lines of a block that was refused say nothing without it; one error for the block is enough. `loose`: even those
    /// that are not indented.
    Refused {
        loose: bool,
    },
}

/// The commands of the top.
const COMMANDS: [&str; 8] = ["hostname", "interface", "access-list", "ip", "ipv6", "crypto", "exit", "end"];

struct Reader<'s, 't> {
    draft: Draft,
    report: Report<'s, 't>,
    mode: Mode,
}

impl Reader<'_, '_> {
    fn line(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        if let Some(done) = self.top(cursor) {
            return done;
        }
        match self.mode.clone() {
            Mode::Interface(place) => self.in_interface(place, cursor),
            Mode::List(name) => self.in_list(&name, cursor),
            Mode::Set(name) => self.in_set(&name, cursor),
            Mode::Entry(map, sequence) => self.in_entry(&map, sequence, cursor),
            Mode::Refused { .. } if cursor.is_indented() => Ok(()),
            Mode::Refused { loose: true } if !is_nearly_a_command(cursor) => Ok(()),
            Mode::Top | Mode::Refused { .. } => Err(self.unknown(cursor)),
        }
    }

    /// Does a command of the top; `None` if the line is none.
    fn top(&mut self, cursor: &mut Cursor<'_, '_>) -> Option<Result<(), Fault>> {
        let (first, second) = (cursor.peek()?, cursor.peek_second());
        let second_is = |keyword: &str| second.is_some_and(|word| word.is(keyword));
        if first.is("exit") && cursor.left() == 1 {
            self.mode = Mode::Top;
            return Some(Ok(()));
        }
        let in_interface = matches!(self.mode, Mode::Interface(_));
        if first.is("hostname") {
            self.mode = Mode::Top;
            return Some(self.hostname(cursor));
        }
        if first.is("interface") {
            return Some(self.interface(cursor));
        }
        if first.is("access-list") {
            return Some(self.numbered_list(cursor));
        }
        // `crypto map NAME` puts a map on an interface; with more behind it, it is a command of the top.
        if first.is("crypto") && second_is("map") && !(in_interface && cursor.left() <= 3) {
            return Some(self.crypto_map(cursor));
        }
        let of_interface = in_interface && refusal(&words::INTERFACE, cursor.words()).is_some();
        if !of_interface && let Some((refused, at)) = refusal(&words::TOP, cursor.words()) {
            self.mode = Mode::Refused { loose: refused.block };
            return Some(Err(refuse(refused, at)));
        }
        if first.is("crypto") && second_is("ipsec") {
            return Some(self.crypto_ipsec(cursor));
        }
        let family = ["ip", "ipv6"].iter().any(|family| first.is(family));
        if family && second_is("access-list") {
            return Some(self.named_list(cursor));
        }
        if family && second_is("route") {
            self.mode = Mode::Top;
            return Some(self.route(cursor));
        }
        None
    }

    fn hostname(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        cursor.accept("hostname");
        let name = cursor.name("the host's name").and_then(|name| cursor.end().map(|()| name));
        self.draft.hostname.fill(name)
    }

    /// The fault of a line that begins with no command of the top.
    fn unknown(&mut self, cursor: &Cursor<'_, '_>) -> Fault {
        self.mode = Mode::Refused { loose: false };
        let Some(word) = cursor.peek() else { return Fault::new(cursor.whole(), "this is no command") };
        if word.is("no") {
            return Fault::new(
                word.at,
                "there is nothing to take back: a configuration is read from nothing",
            )
            .help("remove the line");
        }
        let second = cursor.peek_second();
        let (at, words) = match second {
            Some(second) if word.is("ip") || word.is("ipv6") || word.is("crypto") => {
                (word.at.to(second.at), format!("{} {}", word.quoted(), second.quoted()).replace("` `", " "))
            }
            _ => (word.at, word.quoted()),
        };
        let fault = Fault::new(at, format!("{words} is no command that Espalier knows"));
        let fault = match second {
            Some(second) if word.is("ip") || word.is("ipv6") => {
                suggest(fault, second, ["access-list", "route"])
            }
            Some(second) if word.is("crypto") => suggest(fault, second, ["ipsec", "map"]),
            _ => suggest(fault, word, COMMANDS),
        };
        match OF_BLOCKS.iter().find(|(keyword, _)| word.is(keyword)) {
            Some((_, block)) if fault.help.is_none() => fault.help(format!("it belongs under `{block}`")),
            _ => fault,
        }
    }
}

/// Commands that say nothing at the top, and where they belong.
const OF_BLOCKS: [(&str, &str); 10] = [
    ("ip", "interface NAME"),
    ("ipv6", "interface NAME"),
    ("device", "interface NAME"),
    ("shutdown", "interface NAME"),
    ("mtu", "interface NAME"),
    ("permit", "ip access-list extended NAME"),
    ("deny", "ip access-list extended NAME"),
    ("set", "crypto map NAME SEQUENCE ipsec-manual"),
    ("match", "crypto map NAME SEQUENCE ipsec-manual"),
    ("mode", "crypto ipsec transform-set NAME esp-gcm 128"),
];

/// Whether a line that is no command of the top was probably meant to be one.
fn is_nearly_a_command(cursor: &Cursor<'_, '_>) -> bool {
    let is_command = |word: &Word<'_>| COMMANDS.iter().any(|command| word.is(command));
    cursor.peek().is_some_and(|word| !is_command(word) && nearest(word.text, COMMANDS).is_some())
}

/// The fault of something that IOS has and Espalier does not.
fn refuse(refused: &Refusal, at: At) -> Fault {
    let words = refused.words.join(" ");
    let fault = Fault::new(at, format!("`{words}` is not available in Espalier: {}", refused.why));
    match mend(refused) {
        Some(help) => fault.help(help),
        None => fault.help("remove the line"),
    }
}
