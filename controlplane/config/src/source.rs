//! The text as lines and words, with its secrets found before anybody can print them.
//!
//! A secret is masked from where it begins to the end of its line, so that the columns of what is shown stay right.

use crate::Name;
use crate::diagnostic::{Diagnostic, Place, Severity, Span};
use crate::nearest::nearest;
use crate::secret::first_secret;
use std::sync::Arc;

/// What stands for a secret.
pub(crate) const MASK: &str = "****";
/// No more of a line is shown, in bytes.
const MAX_SHOWN: usize = 240;

/// One word of a line.
#[derive(Clone, Copy)]
pub(crate) struct Word<'t> {
    /// The word itself; print [`Word::quoted`] instead.
    pub(crate) text: &'t str,
    pub(crate) at: At,
    secret: bool,
}

impl<'t> Word<'t> {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }

    /// As a message may show it: in backquotes, short, without control characters, and not if it is secret.
    pub(crate) fn quoted(&self) -> String {
        if self.secret {
            return format!("`{MASK}`");
        }
        let mut shown: String =
            self.text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).take(64).collect();
        if shown.len() < self.text.len() && self.text.chars().nth(64).is_some() {
            shown.push_str("...");
        }
        format!("`{shown}`")
    }
}

/// A part of a line: the line's number from 0, and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl At {
    /// From the beginning of one to the end of the other, on one line.
    pub(crate) fn to(self, other: At) -> At {
        At { end: other.end.max(self.end), ..self }
    }
}

/// One line.
pub(crate) struct Line<'t> {
    pub(crate) text: &'t str,
    pub(crate) words: Vec<Word<'t>>,
    secret_from: Option<usize>,
}

impl<'t> Line<'t> {
    fn new(number: usize, text: &'t str) -> Line<'t> {
        let mut words: Vec<Word<'t>> = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let Some((word, after)) = rest.split_at_checked(len) else { break };
            if word.is_empty() {
                break;
            }
            let start = text.len() - rest.len();
            let at = At { line: number, start, end: start + len };
            words.push(Word { text: word, at, secret: false });
            rest = after;
        }
        let secret = first_secret(&words);
        let hidden = secret.map(|first| first..words.len()).unwrap_or(0..0);
        // Between two keys of a line stands a word that is none, and that messages use.
        for word in words.get_mut(hidden).unwrap_or_default() {
            word.secret = !word.is("authenticator");
        }
        let secret_from = secret.and_then(|first| words.get(first)).map(|word| word.at.start);
        Line { text, words, secret_from }
    }

    /// The line as it may be shown.
    fn shown(&self) -> String {
        let end = self.secret_from.unwrap_or(self.text.len());
        let mut shown: String = self.text.get(..end).unwrap_or_default().trim_end_matches('\r').to_owned();
        if self.secret_from.is_some() {
            shown.push_str(MASK);
        }
        if shown.len() > MAX_SHOWN {
            let cut = (0..=MAX_SHOWN).rev().find(|&i| shown.is_char_boundary(i)).unwrap_or(0);
            shown.truncate(cut);
            shown.push_str("...");
        }
        // With as many bytes, so that spans stay right.
        let seen = |c: char| match c.len_utf8() {
            _ if !is_unseen(c) => c,
            1 => ' ',
            2 => '\u{b7}',
            3 => '\u{fffd}',
            _ => '\u{1f7a8}',
        };
        shown.chars().map(seen).collect()
    }
}

/// What would not be seen, or would make its line look like another: controls, and characters of no width or of another
/// direction.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text of one configuration.
pub(crate) struct Source<'t> {
    file: Arc<str>,
    pub(crate) lines: Vec<Line<'t>>,
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Source<'t> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(number, text)| Line::new(number, text)).collect();
        Source { file: file.into(), lines }
    }

    /// A message without what these lines hide: a key that stands where a name should be has become a name.
    fn masked(&self, message: String, lines: [Option<usize>; 2]) -> String {
        let lines = lines.into_iter().flatten().filter_map(|line| self.lines.get(line));
        let secrets = lines.flat_map(|line| &line.words).filter(|word| word.secret && word.text.len() >= 8);
        secrets.fold(message, |message, secret| message.replace(secret.text, MASK))
    }

    /// Where that is, as people say it.
    pub(crate) fn place(&self, at: At) -> Place {
        let Some(line) = self.lines.get(at.line) else {
            return Place { line: 1, column: 1, span: Span { start: 0, end: 0 }, source: String::new() };
        };
        let source = line.shown();
        let before = line.text.get(..at.start).unwrap_or(line.text);
        // A secret is shown shorter or longer than it is: mark the whole mask.
        let span = match line.secret_from {
            Some(from) if at.end > from => at.start.min(from)..source.len(),
            _ => at.start..at.end,
        };
        let start = span.start.min(source.len());
        let span = Span { start, end: span.end.min(source.len()).max(start) };
        Place { line: at.line + 1, column: before.chars().count() + 1, span, source }
    }
}

/// Something to say about a part of the text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) related: Option<(At, &'static str)>,
}

impl Fault {
    pub(crate) fn new(at: At, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), help: None, related: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }

    pub(crate) fn related(self, at: At, what: &'static str) -> Fault {
        Fault { related: Some((at, what)), ..self }
    }
}

/// What was found so far.
pub(crate) struct Report<'s, 't> {
    pub(crate) source: &'s Source<'t>,
    diagnostics: Vec<Diagnostic>,
    /// How many names may still be compared: a large text with many wrong names is not to cost their product.
    comparisons: usize,
}

impl<'s, 't> Report<'s, 't> {
    pub(crate) fn new(source: &'s Source<'t>) -> Report<'s, 't> {
        Report { source, diagnostics: Vec::new(), comparisons: 1 << 20 }
    }

    pub(crate) fn error(&mut self, fault: Fault) {
        self.push(Severity::Error, fault);
    }

    /// The error of a name that leads nowhere.
    pub(crate) fn nowhere<'n>(
        &mut self,
        at: At,
        what: &str,
        name: &Name,
        known: impl ExactSizeIterator<Item = &'n Name>,
        mend: &str,
    ) {
        let fault = Fault::new(at, format!("there is no {what} `{name}`"));
        let left = self.comparisons.checked_sub(known.len());
        self.comparisons = left.unwrap_or(self.comparisons);
        let meant = left.and_then(|_| nearest(name.as_str(), known.map(Name::as_str)));
        self.error(match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault.help(mend),
        });
    }

    pub(crate) fn warn(&mut self, fault: Fault) {
        self.push(Severity::Warning, fault);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// In the order of the text.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|d| (d.place.line, d.place.column, d.severity));
        self.diagnostics
    }

    fn push(&mut self, severity: Severity, fault: Fault) {
        let Fault { at, message, help, related } = fault;
        let lines = [Some(at.line), related.map(|(at, _)| at.line)];
        let message = self.source.masked(message, lines);
        let help = help.map(|help| self.source.masked(help, lines));
        let related = related.map(|(at, what)| (self.source.place(at), what.to_owned()));
        let place = self.source.place(at);
        self.diagnostics.push(Diagnostic {
            severity,
            file: self.source.file.clone(),
            place,
            message,
            help,
            related,
        });
    }
}
