//! The words of a rule, read from left to right, with the complaint when one is missing or wrong.

use config::{Diagnostic, DiagnosticKind, Span, Word};
use regex::bytes::Regex;

use super::super::actions::NamedList;
use super::Compiler;
use crate::log::{LogFormat, Purpose};
use crate::sample::{self, Expression};

/// The words of a rule, read from left to right.
pub(super) struct Words<'w> {
    pub(super) words: &'w [Word],
    /// The last word read, for complaints about what is missing after it.
    pub(super) last: Span,
    /// What stood in the action's parentheses.
    pub(super) argument: Option<String>,
}

impl<'w> Words<'w> {
    fn peek(&self) -> Option<&'w Word> {
        self.words.first()
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek()
            .is_none_or(|word| matches!(word.text.as_str(), "if" | "unless"))
    }

    pub(super) fn next(&mut self, wanted: &str) -> Result<&'w Word, Diagnostic> {
        match self.words.split_first() {
            Some((word, rest)) if !self.at_end() => {
                self.words = rest;
                self.last = word.span;
                Ok(word)
            }
            _ => Err(Diagnostic::error(
                DiagnosticKind::Syntax,
                self.last,
                format!("expected {wanted} after this"),
            )),
        }
    }

    pub(super) fn take(&mut self, keyword: &str) -> bool {
        match self.words.split_first() {
            Some((word, rest)) if word.text == keyword => {
                self.words = rest;
                self.last = word.span;
                true
            }
            _ => false,
        }
    }

    /// A header's name.
    pub(super) fn name(&mut self) -> Result<Vec<u8>, Diagnostic> {
        let word = self.next("a header's name")?;
        let good = !word.text.is_empty() && word.text.bytes().all(crate::http::is_token);
        if good {
            Ok(word.text.clone().into_bytes())
        } else {
            Err(invalid(
                word,
                format!("'{}' is not a header's name", word.text),
            ))
        }
    }

    pub(super) fn format(&mut self, compiler: &Compiler<'_>) -> Result<LogFormat, Diagnostic> {
        let word = self.next("a format")?;
        LogFormat::compile(word, Purpose::Text, &compiler.scope)
    }

    pub(super) fn regex(&mut self) -> Result<Regex, Diagnostic> {
        let word = self.next("a regular expression")?;
        regex::bytes::RegexBuilder::new(&word.text)
            .unicode(false)
            .build()
            .map_err(|error| invalid(word, format!("invalid regular expression: {error}")))
    }

    pub(super) fn expression(&mut self, compiler: &Compiler<'_>) -> Result<Expression, Diagnostic> {
        let word = self.next("a sample expression")?;
        Expression::compile(word, &compiler.scope)
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, wanted: &str) -> Result<N, Diagnostic> {
        let word = self.next(wanted)?;
        word.text
            .parse()
            .map_err(|_| invalid(word, format!("expected {wanted}, found '{}'", word.text)))
    }

    /// The file of a list, in the action's parentheses. It need not be in use: then nothing is changed.
    pub(super) fn list(&mut self, compiler: &Compiler<'_>) -> Result<NamedList, Diagnostic> {
        match self.argument.as_deref() {
            Some(path) if !path.is_empty() => Ok(NamedList {
                registry: std::sync::Arc::clone(compiler.scope.names.patterns()),
                path: path.to_owned(),
            }),
            _ => Err(Diagnostic::error(
                DiagnosticKind::Syntax,
                self.last,
                "the file of the list is expected in parentheses",
            )),
        }
    }

    pub(super) fn variable(&mut self) -> Result<String, Diagnostic> {
        let span = self.last;
        let text = self.argument.clone().unwrap_or_default();
        let name = text.split(',').next().unwrap_or_default().trim().to_owned();
        sample::variable_name(&name, span)
    }
}

pub(super) fn invalid(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
}

pub(super) fn not_yet(word: &Word, what: &str) -> Diagnostic {
    Diagnostic::error(
        DiagnosticKind::NotSupportedYet,
        word.span,
        format!("{what} '{}' is not supported yet", word.text),
    )
}
