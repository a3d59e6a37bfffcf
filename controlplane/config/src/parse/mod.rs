//! Reads the text line by line into a [`Draft`], and lets [`crate::check`] make a configuration of it.
//!
//! As in IOS, indentation says nothing: a line is for the mode that is open, unless it is a command of the top.

mod block;
mod crypto;
mod cursor;
mod draft;
mod entry;
mod ikev2;
mod interface;
mod key;
mod keyring;
mod list;
mod marks;
mod refusals;
mod route;
mod rule;
mod secret;
mod tfc;
mod transform;
mod words;

pub(crate) use cursor::Found;
pub(crate) use draft::{
    Draft, EntryDraft, InterfaceDraft, KeyDraft, Kind, LifetimeDraft, ListDraft, MapDraft, PeerDraft,
    ProfileDraft, ProposalDraft, SetDraft, Setting, TfcDraft,
};
pub(crate) use ikev2::hash_word;

use crate::nearest::nearest;
use crate::source::{At, Fault, Report, Source, Word};
use crate::{Config, Diagnostic, Name};
use block::{Block, home, is_nearly_a_block, misplaced};
use cursor::{Cursor, suggest};
use refusals::{Refusal, mend, refusal};

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
    /// Of a dynamic map.
    Template(Name, u16),
    /// `crypto ipsec profile`.
    IpsecProfile(Name),
    Proposal(Name),
    Policy(Name),
    Keyring(Name),
    OldKeyring(Name),
    Profile(Name),
    Trustpoint(Name),
    /// The lines of a block that was refused say nothing without it; one error for the block is enough. `loose`: even those
    /// that are not indented more than its first.
    Refused {
        loose: bool,
        indent: usize,
    },
}

impl Mode {
    /// For the lines behind this one.
    fn refused(cursor: &Cursor<'_, '_>, loose: bool) -> Mode {
        Mode::Refused { loose, indent: cursor.indent() }
    }
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
        if matches!(self.mode, Mode::Refused { indent, .. } if cursor.indent() > indent) {
            return Ok(());
        }
        if let Some(done) = self.top(cursor) {
            return done;
        }
        self.misplaced(cursor)?;
        match self.mode.clone() {
            Mode::Interface(place) => self.in_interface(place, cursor),
            Mode::List(name) => self.in_list(&name, cursor),
            Mode::Set(name) => self.in_set(&name, cursor),
            Mode::Entry(map, sequence) => self.in_entry(&map, sequence, cursor),
            Mode::Template(map, sequence) => self.in_template(&map, sequence, cursor),
            Mode::IpsecProfile(name) => self.in_ipsec_profile(&name, cursor),
            Mode::Proposal(name) => self.in_proposal(&name, cursor),
            Mode::Policy(name) => self.in_policy(&name, cursor),
            Mode::Keyring(name) => {
                let done = self.in_keyring(&name, cursor);
                self.key_line(done)
            }
            Mode::OldKeyring(name) => {
                let done = self.in_old_keyring(&name, cursor);
                self.key_line(done)
            }
            Mode::Profile(name) => self.in_profile(&name, cursor),
            Mode::Trustpoint(name) => self.in_trustpoint(&name, cursor),
            Mode::Refused { loose: true, .. } if !is_nearly_a_command(cursor) => Ok(()),
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
        // On IOS a peer of a keyring has one of its own, and only there does it stand further in.
        let of_peer = matches!(self.mode, Mode::Keyring(_)) && cursor.indent() > 0;
        if first.is("hostname") && !of_peer {
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
        if first.is("crypto")
            && let Some(done) = self.negotiation(cursor)
        {
            return Some(done);
        }
        let of_interface = in_interface && refusal(&refusals::INTERFACE, cursor.words()).is_some();
        if !of_interface && let Some((refused, at)) = refusal(&refusals::TOP, cursor.words()) {
            self.mode = Mode::refused(cursor, refused.block);
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

    /// What IKE is told: `None` if the line is none of that.
    fn negotiation(&mut self, cursor: &mut Cursor<'_, '_>) -> Option<Result<(), Fault>> {
        let words = cursor.words();
        let is =
            |place: usize, keyword: &str| words.get(place).is_some_and(|word: &Word<'_>| word.is(keyword));
        if is(1, "ikev2") && refusal(&refusals::TOP, words).is_none() {
            return Some(self.crypto_ikev2(cursor));
        }
        if is(1, "keyring") {
            return Some(self.crypto_keyring(cursor));
        }
        if is(1, "isakmp") && is(2, "key") {
            let done = self.isakmp_key(cursor);
            return Some(self.key_line(done));
        }
        if is(1, "dynamic-map") {
            return Some(self.dynamic_map(cursor));
        }
        (is(1, "pki") && is(2, "trustpoint")).then(|| self.trustpoint(cursor))
    }

    /// Remembers that a key may be missing.
    fn key_line(&mut self, done: Result<(), Fault>) -> Result<(), Fault> {
        self.draft.key_faulty |= done.is_err();
        done
    }

    fn hostname(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        cursor.accept("hostname");
        let name = cursor.name("the host's name").and_then(|name| cursor.end().map(|()| name));
        self.draft.hostname.fill(name)
    }

    /// The fault of a line that begins with no command of the top.
    fn unknown(&mut self, cursor: &Cursor<'_, '_>) -> Fault {
        self.mode = Mode::refused(cursor, false);
        let Some(word) = cursor.peek() else { return Fault::new(cursor.whole(), "this is no command") };
        if word.is("no") {
            return nothing_to_take_back(cursor.whole());
        }
        let second = cursor.peek_second();
        if second.is_none() && ["ip", "ipv6", "crypto"].iter().any(|family| word.is(family)) {
            let fault = Fault::new(word.at, format!("{} alone is no command", word.quoted()));
            return fault.help(match word.is("crypto") {
                true => "write `crypto ikev2`, `crypto ipsec` or `crypto map`, and what is to follow",
                false => "write an access list or a route; addresses belong under `interface NAME`",
            });
        }
        let (at, words) = match second {
            Some(second) if word.is("ip") || word.is("ipv6") || word.is("crypto") => {
                (word.at.to(second.at), format!("{} {}", word.quoted(), second.quoted()).replace("` `", " "))
            }
            _ => (word.at, word.quoted()),
        };
        if let Some(block) = home(cursor) {
            let fault = Fault::new(at, format!("{words} is no command outside its block"));
            return fault.help(format!("it belongs under `{}`", block.opener()));
        }
        let fault = Fault::new(at, format!("{words} is no command that Espalier knows"));
        match second {
            Some(second) if word.is("ip") || word.is("ipv6") => {
                suggest(fault, second, ["access-list", "route"])
            }
            Some(second) if word.is("crypto") => {
                suggest(fault, second, ["ikev2", "ipsec", "map", "dynamic-map", "keyring", "pki"])
            }
            _ => suggest(fault, word, COMMANDS),
        }
    }

    /// What is no line of the block that is open, whatever else is wrong with it.
    fn misplaced(&mut self, cursor: &Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(word) = cursor.peek() else { return Ok(()) };
        if word.text.starts_with('#') || word.text.starts_with("//") {
            return Err(Fault::new(word.at, "this is no comment").help("begin a comment with `!`"));
        }
        let Some(open) = Block::of(&self.mode) else { return Ok(()) };
        if is_nearly_a_block(cursor) {
            return Err(self.unknown(cursor));
        }
        if open == Block::Interface {
            return match home(cursor) {
                Some(block) if block != open => Err(misplaced(word, open, block)),
                _ => Ok(()),
            };
        }
        match home(cursor) {
            _ if word.is("no") => Err(nothing_to_take_back(cursor.whole())),
            Some(block) if block != open => Err(misplaced(word, open, block)),
            _ if ["ip", "ipv6", "crypto"].iter().any(|family| word.is(family)) => Err(self.unknown(cursor)),
            _ => Ok(()),
        }
    }
}

/// The fault of a `no` that nothing comes of.
fn nothing_to_take_back(at: At) -> Fault {
    Fault::new(at, "there is nothing to take back: a configuration is read from nothing")
        .help("remove the line")
}

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
