//! Reads one line word by word. What it expects and does not find becomes a [`Fault`] with its place.

use crate::nearest::nearest;
use crate::source::{At, Fault, Line, Word};
use crate::{Name, NameError};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

/// What a line has left.
#[derive(Clone)]
pub(crate) struct Cursor<'l, 't> {
    line: &'l Line<'t>,
    words: &'l [Word<'t>],
    number: usize,
}

impl<'l, 't> Cursor<'l, 't> {
    pub(crate) fn new(number: usize, line: &'l Line<'t>) -> Cursor<'l, 't> {
        Cursor { line, words: &line.words, number }
    }

    /// The next word, not taken.
    pub(crate) fn peek(&self) -> Option<&'l Word<'t>> {
        self.words.first()
    }

    /// The word after that.
    pub(crate) fn peek_second(&self) -> Option<&'l Word<'t>> {
        self.words.get(1)
    }

    /// The words that are left.
    pub(crate) fn words(&self) -> &'l [Word<'t>] {
        self.words
    }

    /// How many they are.
    pub(crate) fn left(&self) -> usize {
        self.words.len()
    }

    /// The whole line without the spaces around it.
    pub(crate) fn whole(&self) -> At {
        let first = self.line.words.first().map(|word| word.at).unwrap_or(self.end_of_line());
        let last = self.line.words.last().map(|word| word.at).unwrap_or(first);
        first.to(last)
    }

    /// The white space that the line begins with, in bytes.
    pub(crate) fn indent(&self) -> usize {
        self.line.text.len() - self.line.text.trim_start().len()
    }

    fn end_of_line(&self) -> At {
        let end = self.line.words.last().map_or(0, |word| word.at.end);
        At { line: self.number, start: end, end }
    }

    /// Takes any word.
    pub(crate) fn next(&mut self, what: &str) -> Result<&'l Word<'t>, Fault> {
        match self.words.split_first() {
            Some((word, rest)) => {
                self.words = rest;
                Ok(word)
            }
            None => Err(Fault::new(self.end_of_line(), format!("the line ends where {what} should be"))),
        }
    }

    /// Takes the next word if it is this one.
    pub(crate) fn accept(&mut self, keyword: &str) -> bool {
        match self.words.split_first() {
            Some((word, rest)) if word.is(keyword) => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes one of these words.
    pub(crate) fn one_of(&mut self, keywords: &[&'static str]) -> Result<Found<&'static str>, Fault> {
        let what = choice(keywords);
        let word = self.next(&what)?;
        match keywords.iter().find(|keyword| word.is(keyword)) {
            Some(keyword) => Ok(Found { value: keyword, at: word.at }),
            None => Err(unexpected(word, &what, keywords.iter().copied())),
        }
    }

    /// Takes a name.
    pub(crate) fn name(&mut self, what: &str) -> Result<Found<Name>, Fault> {
        let word = self.next(what)?;
        let wrong =
            |error: NameError| Fault::new(word.at, format!("{} cannot be {what}: {error}", word.quoted()));
        Ok(Found { value: Name::new(word.text).map_err(wrong)?, at: word.at })
    }

    /// Takes a decimal number.
    pub(crate) fn number(&mut self, what: &str, range: RangeInclusive<u32>) -> Result<Found<u32>, Fault> {
        let word = self.next(what)?;
        let number = parse_decimal(word.text).filter(|number| range.contains(number));
        let (first, last) = (range.start(), range.end());
        let wrong = || {
            Fault::new(word.at, format!("{} is not {what}, a number from {first} to {last}", word.quoted()))
        };
        Ok(Found { value: number.ok_or_else(wrong)?, at: word.at })
    }

    /// Takes an IPv4 address.
    pub(crate) fn ipv4(&mut self, what: &str) -> Result<Found<Ipv4Addr>, Fault> {
        let word = self.next(what)?;
        match word.text.parse() {
            Ok(value) => Ok(Found { value, at: word.at }),
            Err(_) => Err(Fault::new(
                word.at,
                format!("{} is not {what}, an IPv4 address such as 192.0.2.1", word.quoted()),
            )),
        }
    }

    /// Takes a mask.
    pub(crate) fn mask(&mut self, what: &str, example: &str) -> Result<Found<Ipv4Addr>, Fault> {
        let word = self.next(what)?;
        let wrong = || Fault::new(word.at, format!("{} is not {what} such as `{example}`", word.quoted()));
        Ok(Found { value: word.text.parse().map_err(|_| wrong())?, at: word.at })
    }

    /// Takes an IPv6 address.
    pub(crate) fn ipv6(&mut self, what: &str) -> Result<Found<Ipv6Addr>, Fault> {
        let word = self.next(what)?;
        match word.text.parse() {
            Ok(value) => Ok(Found { value, at: word.at }),
            Err(_) => Err(Fault::new(
                word.at,
                format!("{} is not {what}, an IPv6 address such as 2001:db8::1", word.quoted()),
            )),
        }
    }

    /// Takes all that is left, as it stands.
    pub(crate) fn rest(&mut self, what: &str, max: usize) -> Result<Found<String>, Fault> {
        let first = self.next(what)?.at;
        let last = self.line.words.last().map_or(first, |word| word.at);
        self.words = &[];
        let at = first.to(last);
        let text = self.line.text.get(at.start..at.end).unwrap_or_default();
        if text.len() > max {
            return Err(Fault::new(at, format!("{what} is longer than {max} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(
                Fault::new(at, format!("{what} has control characters in it")).help("take spaces, not tabs")
            );
        }
        Ok(Found { value: text.to_owned(), at })
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match self.words.first() {
            None => Ok(()),
            Some(word) if word.text.starts_with('!') => {
                Err(Fault::new(word.at, "a comment cannot follow a command")
                    .help("give the comment a line of its own"))
            }
            Some(word) => {
                Err(Fault::new(word.at, format!("nothing more belongs here, but there is {}", word.quoted())))
            }
        }
    }
}

/// The fault of a word that is none of those that could stand here.
pub(crate) fn unexpected<'c>(
    word: &Word<'_>,
    what: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Fault {
    let fault = Fault::new(word.at, format!("{} stands where {what} should be", word.quoted()));
    suggest(fault, word, candidates)
}

/// Adds what the word was probably meant to be.
pub(crate) fn suggest<'c>(
    fault: Fault,
    word: &Word<'_>,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Fault {
    let candidates: Vec<&str> = candidates.into_iter().filter(|candidate| !word.is(candidate)).collect();
    let lower = word.text.to_ascii_lowercase();
    let mut longer = candidates.iter().filter(|candidate| lower.len() > 1 && candidate.starts_with(&lower));
    match (longer.next(), longer.next()) {
        (Some(whole), None) => fault.help(format!("write the whole word: `{whole}`")),
        _ => match nearest(word.text, candidates) {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault,
        },
    }
}

/// `a`, `b` or `c`.
fn choice(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// Digits only: no sign.
pub(crate) fn parse_decimal(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
