//! What is wrong with a configuration, where, and what would be right.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

use crate::source::{SourceMap, Span};

/// How bad it is. An error refuses the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// For information.
    Notice,
    /// The configuration runs, but probably not as meant.
    Warning,
    /// The configuration is refused.
    Error,
}

/// What sort of complaint it is; tests and tools tell them apart by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiagnosticKind {
    /// The text does not follow the grammar: quotes, braces, `.if`.
    Syntax,
    /// A word that neither HAProxy/keepalived nor we know; may carry a suggestion.
    UnknownWord,
    /// A word of HAProxy or keepalived that we know and do not do yet.
    NotSupportedYet,
    /// A known word with a value that cannot be.
    InvalidValue,
    /// A reference to a name that is not defined (backend, ACL, script).
    UnknownName,
    /// The same name defined twice.
    Duplicate,
    /// A file that cannot be read (certificate, include, error file).
    File,
    /// Legal, but it cannot do what its author meant.
    Pointless,
}

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort it is.
    pub kind: DiagnosticKind,
    /// One sentence without a full stop: what was wanted, what was found.
    pub message: String,
    /// Where, if it has a place.
    pub span: Option<Span>,
    /// A suggestion: `did you mean 'balance'?`, or what to do instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(kind: DiagnosticKind, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            kind,
            message: message.into(),
            span: Some(span),
            help: None,
        }
    }

    /// A warning at a place.
    pub fn warning(kind: DiagnosticKind, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            kind,
            message: message.into(),
            span: Some(span),
            help: None,
        }
    }

    /// The same with a suggestion.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All complaints about a configuration, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a complaint.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Puts complaints in the order of the text, and says only once what grammar and vocabulary both found
    /// wrong with the same name.
    pub fn tidy(&mut self) {
        self.0
            .sort_by_key(|one| one.span.map(|span| (span.file.0, span.line, span.column)));
        self.0.dedup_by(|later, earlier| {
            later.kind == DiagnosticKind::UnknownName
                && (later.kind, later.severity, later.span)
                    == (earlier.kind, earlier.severity, earlier.span)
        });
    }

    /// Whether one of them refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is at least one warning.
    pub fn has_warnings(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Warning)
    }

    /// Warnings and errors as text for a terminal: `file:line:column`, the line, a mark, the suggestion.
    /// Notices about words without effect are left out: they change nothing, and say so only when asked for.
    pub fn render(&self, sources: &SourceMap) -> String {
        self.render_if(sources, |one| {
            one.severity > Severity::Notice || one.kind != DiagnosticKind::Pointless
        })
    }

    /// Everything from a severity on.
    pub fn render_from(&self, sources: &SourceMap, least: Severity) -> String {
        self.render_if(sources, |one| one.severity >= least)
    }

    fn render_if(&self, sources: &SourceMap, wanted: impl Fn(&Diagnostic) -> bool) -> String {
        let renderer = Renderer::plain();
        let wanted = self.0.iter().filter(|diagnostic| wanted(diagnostic));
        wanted
            .map(|diagnostic| renderer.render(&[diagnostic.group(sources)]) + "\n")
            .collect()
    }
}

impl Diagnostic {
    fn group<'a>(&'a self, sources: &'a SourceMap) -> Group<'a> {
        let level = match self.severity {
            Severity::Notice => Level::NOTE.with_name("notice"),
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let title = level.primary_title(visible(&self.message));
        let mut group = match self.span {
            Some(span) => {
                let line = sources.line(span.file, span.line);
                let snippet = Snippet::source(line)
                    .line_start(span.line as usize)
                    .path(sources.name(span.file))
                    .annotation(AnnotationKind::Primary.span(byte_range(line, span)));
                title.element(snippet)
            }
            None => Group::with_title(title),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(visible(help)));
        }
        group
    }
}

/// Characters that would move the cursor or end the line are shown as their escapes.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// The bytes of a line that a span covers; at least one place in it, whatever the span says.
fn byte_range(line: &str, span: Span) -> std::ops::Range<usize> {
    let offset = |characters: u32| {
        line.char_indices()
            .nth(characters as usize)
            .map_or(line.len(), |(offset, _)| offset)
    };
    let first = span.column.saturating_sub(1);
    offset(first)..offset(first.saturating_add(span.length)).max(offset(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_stand_in_the_order_of_the_text_and_a_missing_name_once() {
        let at = |line| Span {
            line,
            column: 3,
            ..Span::default()
        };
        let missing = |words: &str| Diagnostic::error(DiagnosticKind::UnknownName, at(2), words);
        let syntax = Diagnostic::error(DiagnosticKind::Syntax, at(1), "a brace is missing");
        let mut found = Diagnostics(vec![missing("no backend x"), syntax.clone(), missing("x?")]);
        found.tidy();
        assert_eq!(found.0, [syntax, missing("no backend x")]);
    }

    #[test]
    fn a_complaint_shows_its_place_its_line_and_what_to_do() {
        let mut sources = SourceMap::default();
        let file = sources.add("haproxy.cfg", "global\n  é maxcon 5\n");
        let span = Span {
            file,
            line: 2,
            column: 5,
            length: 6,
        };
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(
            Diagnostic::error(DiagnosticKind::UnknownWord, span, "unknown word")
                .with_help("did you mean 'maxconn'?"),
        );
        let mut notice = Diagnostic::warning(DiagnosticKind::Pointless, span, "no effect");
        notice.severity = Severity::Notice;
        diagnostics.push(notice);
        let text = diagnostics.render(&sources);
        assert!(text.starts_with("error: unknown word\n"), "{text}");
        assert!(text.contains("haproxy.cfg:2:5"), "{text}");
        assert!(text.contains("2 |   é maxcon 5"), "{text}");
        assert!(text.contains("    ^^^^^^\n"), "{text}");
        assert!(text.contains("help: did you mean 'maxconn'?"), "{text}");
        assert!(!text.contains("no effect"), "{text}");
        assert!(
            diagnostics
                .render_from(&sources, Severity::Notice)
                .contains("no effect")
        );
    }

    #[test]
    fn a_place_beyond_its_line_is_shown_at_the_end() {
        let mut sources = SourceMap::default();
        let file = sources.add("x", "ab");
        for (line, column, length) in [(1, 9, 9), (7, 1, 1), (0, 0, 0), (1, 2, u32::MAX)] {
            let span = Span {
                file,
                line,
                column,
                length,
            };
            let diagnostics = Diagnostics(vec![Diagnostic::error(
                DiagnosticKind::Syntax,
                span,
                "bad\nline",
            )]);
            assert!(diagnostics.render(&sources).contains("bad\\nline"));
        }
    }
}
