//! What `parse` has to say about a text, for people and for programs. Secrets never get here: see [`crate::source`].

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::sync::Arc;

/// Whether a configuration can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but should the operator want that?
    Warning,
}

/// A part of a line, in bytes of [`Place::source`]; `start <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Of the first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// Where something stands in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What in the line it is about.
    pub span: Span,
    /// The line, with secrets replaced by `****`.
    pub source: String,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Name of the file, as it was given to `parse`.
    pub file: Arc<str>,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would mend it.
    pub help: Option<String>,
    /// Another place that it has to do with, and what that is.
    pub related: Option<(Place, String)>,
}

/// As one line: `FILE:LINE:COLUMN: error: MESSAGE; HELP`.
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.place.line, self.place.column, self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// Prints diagnostics for people, each with its line and a mark under what is meant; with ANSI colours if `color`.
pub fn render(diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet = |place: &Place, kind: AnnotationKind, label: Option<&str>| {
            let (source, span) = shown(place);
            let annotation = kind.span(span);
            let annotation = match label {
                Some(label) => annotation.label(label.to_owned()),
                None => annotation,
            };
            Snippet::source(source)
                .path(diagnostic.file.to_string())
                .line_start(place.line)
                .annotation(annotation)
        };
        let mut group: Group<'_> = level.primary_title(diagnostic.message.as_str()).element(snippet(
            &diagnostic.place,
            AnnotationKind::Primary,
            None,
        ));
        if let Some((place, what)) = &diagnostic.related {
            group = group.element(snippet(place, AnnotationKind::Context, Some(what)));
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}

/// The line and the span as the renderer can take them: on character boundaries, inside the line.
fn shown(place: &Place) -> (String, std::ops::Range<usize>) {
    let source = place.source.clone();
    let floor =
        |at: usize| (0..=at.min(source.len())).rev().find(|&i| source.is_char_boundary(i)).unwrap_or(0);
    let start = floor(place.span.start);
    let end = floor(place.span.end).max(start);
    (source, start..end)
}
