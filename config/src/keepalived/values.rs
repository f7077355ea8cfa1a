//! Values of keywords: numbers, times, addresses, switches and command lines.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::tree::Statement;
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::Span;
use crate::suggest::did_you_mean;

/// Where complaints go, with the words to make them.
pub(super) struct Complaints<'a>(pub(super) &'a mut Diagnostics);

impl Complaints<'_> {
    pub(super) fn error(&mut self, kind: DiagnosticKind, span: Span, message: impl Into<String>) {
        self.0.push(Diagnostic::error(kind, span, message));
    }

    pub(super) fn warning(&mut self, kind: DiagnosticKind, span: Span, message: impl Into<String>) {
        self.0.push(Diagnostic::warning(kind, span, message));
    }

    pub(super) fn help(&mut self, diagnostic: Diagnostic, help: impl Into<String>) {
        self.0.push(diagnostic.with_help(help));
    }

    /// keepalived ignores what it does not know and runs on, and so do we.
    pub(super) fn unknown<'w>(
        &mut self,
        statement: &Statement,
        place: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) {
        let message = format!(
            "unknown keyword '{}' in {place} is ignored",
            statement.name()
        );
        let mut diagnostic =
            Diagnostic::warning(DiagnosticKind::UnknownWord, statement.span(), message);
        diagnostic.help = did_you_mean(statement.name(), known);
        self.0.push(diagnostic);
    }

    /// A keyword without its value, where keepalived says so and runs; elsewhere it ends, and `missing` is the word.
    pub(super) fn lacking(&mut self, statement: &Statement, what: &str) {
        self.left_out(
            statement.span(),
            format!("'{}' expects {what}", statement.name()),
        );
    }

    pub(super) fn missing(&mut self, statement: &Statement, what: &str) {
        self.error(
            DiagnosticKind::InvalidValue,
            statement.span(),
            format!("'{}' expects {what}", statement.name()),
        );
    }

    pub(super) fn wrong(&mut self, statement: &Statement, what: &str) {
        let (span, found) = match statement.words.get(1) {
            Some(word) => (word.span, word.text.as_str()),
            None => return self.missing(statement, what),
        };
        let message = format!("'{}' expects {what}, found '{found}'", statement.name());
        self.left_out(span, message);
    }

    /// A value that cannot be: keepalived says so, does as if the line were not there, and runs.
    pub(super) fn left_out(&mut self, span: Span, message: impl std::fmt::Display) {
        let message = format!("{message}: it is ignored, as keepalived ignores it");
        self.warning(DiagnosticKind::InvalidValue, span, message);
    }
}

/// The first word after the keyword.
pub(super) fn text(
    statement: &Statement,
    what: &str,
    complaints: &mut Complaints<'_>,
) -> Option<String> {
    match statement.words.get(1) {
        Some(word) => Some(word.text.clone()),
        None => {
            complaints.missing(statement, what);
            None
        }
    }
}

/// A whole number within a range.
pub(super) fn integer(
    statement: &Statement,
    range: std::ops::RangeInclusive<i64>,
    complaints: &mut Complaints<'_>,
) -> Option<i64> {
    let value = statement
        .text(1)
        .parse::<i64>()
        .ok()
        .filter(|value| range.contains(value));
    if value.is_none() {
        complaints.wrong(
            statement,
            &format!("a number from {} to {}", range.start(), range.end()),
        );
    }
    value
}

/// A count from 0 on.
pub(super) fn count(
    statement: &Statement,
    least: i64,
    complaints: &mut Complaints<'_>,
) -> Option<u32> {
    integer(statement, least..=i64::from(i32::MAX), complaints)
        .and_then(|value| u32::try_from(value).ok())
}

/// Seconds with a fraction, resolved to microseconds.
pub(super) fn parse_seconds(text: &str, most: u32) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|_| plain)
        .filter(|value| (0.0..=f64::from(most)).contains(value))?;
    Some(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// The first word as seconds.
pub(super) fn seconds(
    statement: &Statement,
    most: u32,
    complaints: &mut Complaints<'_>,
) -> Option<Duration> {
    let value = parse_seconds(statement.text(1), most);
    if value.is_none() {
        complaints.wrong(statement, &format!("seconds from 0 to {most}"));
    }
    value
}

/// `on`, `off` and so on; nothing means on.
pub(super) fn switch(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<bool> {
    match statement.text(1) {
        "" | "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => {
            complaints.wrong(statement, "on, off, true, false, yes or no");
            None
        }
    }
}

/// An address of either family.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An IPv4 address.
pub(super) fn ipv4(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<Ipv4Addr> {
    let value = statement.text(1).parse().ok();
    if value.is_none() {
        complaints.wrong(statement, "an IPv4 address");
    }
    value
}

/// A command line's words: blanks separate, single and double quotes protect.
pub(super) fn command_words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut open: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(mark), c) if c == mark => quote = None,
            (Some('"') | None, '\\') => open
                .get_or_insert_default()
                .push(characters.next().unwrap_or('\\')),
            (Some(_), c) => open.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(character);
                open.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(open.take()),
            (None, c) => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    words
}
