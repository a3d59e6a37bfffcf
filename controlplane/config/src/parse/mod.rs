//! Reads the text line by line.

mod cursor;

use crate::source::{Fault, Report, Source};
use crate::{Config, Diagnostic};
use cursor::Cursor;

/// Reads a whole text; `file` is how diagnostics name it. Every error of the text is found in one pass.
///
/// The first list is what the operator should look at all the same; the second is the errors and warnings of a text that
/// makes no configuration, in the order of its lines.
pub fn parse(file: &str, text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = Source::new(file, text);
    let mut report = Report::new(&source);
    let mut config = Config::default();
    for (number, line) in source.lines.iter().enumerate() {
        let mut cursor = Cursor::new(number, line);
        let Some(word) = cursor.peek().filter(|word| !word.text.starts_with('!')) else { continue };
        if cursor.accept("hostname") {
            match cursor.name("the host's name").and_then(|name| cursor.end().map(|()| name)) {
                Ok(name) => config.hostname = Some(name.value),
                Err(fault) => report.error(fault),
            }
        } else {
            report.error(Fault::new(word.at, format!("{} is no command", word.quoted())));
        }
    }
    if report.has_errors() { Err(report.finish()) } else { Ok((config, report.finish())) }
}
