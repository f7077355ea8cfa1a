//! What is wrong with a configuration, where, and what would be right.

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

    /// All complaints as text for a terminal: `file:line:column`, the line, a caret, the suggestion.
    pub fn render(&self, sources: &SourceMap) -> String {
        let mut text = String::new();
        for diagnostic in &self.0 {
            let level = match diagnostic.severity {
                Severity::Notice => "notice",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            match diagnostic.span {
                Some(span) => {
                    text.push_str(&format!(
                        "{level}: {}:{}:{}: {}\n",
                        sources.name(span.file),
                        span.line,
                        span.column,
                        diagnostic.message
                    ));
                    text.push_str(&format!("  | {}\n", sources.line(span.file, span.line)));
                }
                None => text.push_str(&format!("{level}: {}\n", diagnostic.message)),
            }
            if let Some(help) = &diagnostic.help {
                text.push_str(&format!("  = help: {help}\n"));
            }
        }
        text
    }
}
