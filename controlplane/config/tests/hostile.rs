//! Texts that are no configurations: whatever comes, `parse` answers, its places lie in the text, and no key is shown.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::GOOD;
use config::{Diagnostic, Place, Secrets, Severity, parse, render};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What must be true of every answer.
fn answer(text: &str) -> String {
    match parse("hostile.conf", text) {
        Ok((config, warnings)) => {
            assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
            let written = config.to_text(Secrets::Shown);
            assert_eq!(parse("written.conf", &written).unwrap().0, config, "{}", &*written);
            said(text, &warnings)
        }
        Err(errors) => {
            assert!(errors.iter().any(|error| error.severity == Severity::Error));
            said(text, &errors)
        }
    }
}

/// Everything that can be shown of it.
fn said(text: &str, diagnostics: &[Diagnostic]) -> String {
    assert!(diagnostics.is_sorted_by_key(|diagnostic| (diagnostic.place.line, diagnostic.place.column)));
    let related = |diagnostic: &Diagnostic| diagnostic.related.as_ref().map(|(place, _)| place.clone());
    for place in diagnostics.iter().flat_map(|d| [Some(d.place.clone()), related(d)]).flatten() {
        lies_in(text, &place);
    }
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    render(diagnostics, false) + &lines.join("\n") + &serde_json::to_string(diagnostics).unwrap()
}

fn lies_in(text: &str, place: &Place) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = text.lines().nth(place.line - 1).unwrap();
    assert!((1..=line.chars().count() + 1).contains(&place.column), "{place:?}");
    assert!(place.span.start <= place.span.end && place.span.end <= place.source.len(), "{place:?}");
    assert!(place.source.len() < 300 && !place.source.contains(char::is_control), "{place:?}");
}

/// Every run of so many digits of every key of a text.
fn secrets(text: &str) -> Vec<&str> {
    const RUN: usize = 16;
    let keys = text.lines().filter_map(|line| line.split(" cipher ").nth(1));
    keys.flat_map(|key| (0..=key.len() - RUN).map(move |from| &key[from..from + RUN])).collect()
}

/// The words of the language, and some that are not.
fn words() -> impl Strategy<Value = String> {
    let mut known: Vec<&str> = GOOD.iter().flat_map(|text| text.split_whitespace()).collect();
    known.extend(
        "! end exit no isakmp keyring profile esp-aes ah authenticator 0 -1 256 65536 4294967296 : / \u{a0}"
            .split(' '),
    );
    known.sort();
    known.dedup();
    prop_oneof![9 => select(known).prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

#[derive(Clone, Debug)]
enum Slip {
    DropLine(Index),
    TwiceLine(Index),
    SwapLines(Index, Index),
    DropWord(Index),
    Word(Index, String),
    Letter(Index, char),
    DropLetter(Index),
    Cut(Index),
}

fn slips() -> impl Strategy<Value = Slip> {
    prop_oneof![
        any::<Index>().prop_map(Slip::DropLine),
        any::<Index>().prop_map(Slip::TwiceLine),
        any::<(Index, Index)>().prop_map(|(a, b)| Slip::SwapLines(a, b)),
        any::<Index>().prop_map(Slip::DropWord),
        (any::<Index>(), words()).prop_map(|(at, word)| Slip::Word(at, word)),
        (any::<Index>(), any::<char>()).prop_map(|(at, letter)| Slip::Letter(at, letter)),
        any::<Index>().prop_map(Slip::DropLetter),
        any::<Index>().prop_map(Slip::Cut),
    ]
}

fn slip(text: &str, slip: &Slip) -> String {
    if text.trim().is_empty() {
        return text.to_owned();
    }
    let mut lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |at: &Index| {
        let word = at.get(&words);
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        (text.split_at(start).0, text.split_at(start + word.len()).1)
    };
    match slip {
        Slip::DropLine(at) => drop(lines.remove(at.index(lines.len()))),
        Slip::TwiceLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
        }
        Slip::SwapLines(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Slip::DropWord(at) => return word(at).0.to_owned() + word(at).1,
        Slip::Word(at, other) => return format!("{}{other}{}", word(at).0, word(at).1),
        Slip::Letter(at, letter) => {
            let (before, after) = text.split_at(*at.get(&starts));
            return format!("{before}{letter}{after}");
        }
        Slip::DropLetter(at) => {
            let (before, after) = text.split_at(*at.get(&starts));
            return before.to_owned()
                + after.chars().as_str().split_at(after.chars().next().map_or(0, char::len_utf8)).1;
        }
        Slip::Cut(at) => return text.split_at(*at.get(&starts)).0.to_owned(),
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..2000)) {
        answer(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_words_are_answered(lines in vec(vec(words(), 0..8), 0..40)) {
        let lines: Vec<String> = lines.iter().map(|line| line.join(" ")).collect();
        answer(&lines.join("\n"));
    }

    #[test]
    fn slips_are_answered_and_show_no_key(text in select(GOOD.to_vec()), slips in vec(slips(), 1..8)) {
        let broken = slips.iter().fold(text.to_owned(), |text, each| slip(&text, each));
        let said = answer(&broken);
        let shown = secrets(text).into_iter().find(|secret| said.contains(secret));
        prop_assert_eq!(shown, None, "{}", said);
    }
}
