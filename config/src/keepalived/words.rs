//! A line of words that is read from left to right, as those of routes and rules.

use std::net::IpAddr;

use super::names::number;
use super::tree::Statement;
use super::values::{Complaints, address};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Word;
use crate::suggest::did_you_mean;

/// The words of a line, and where its reader is. Bad words are complained about where they are met.
pub(super) struct Words<'a, 'c, 'd> {
    words: &'a [Word],
    at: usize,
    /// What the line is, for messages: `route`, `rule`.
    what: &'static str,
    complaints: &'c mut Complaints<'d>,
    failed: bool,
}

impl<'a, 'c, 'd> Words<'a, 'c, 'd> {
    pub(super) fn new(
        line: &'a Statement,
        what: &'static str,
        complaints: &'c mut Complaints<'d>,
    ) -> Self {
        Self {
            words: &line.words,
            at: 0,
            what,
            complaints,
            failed: false,
        }
    }

    /// Whether something on the line was complained about as an error.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// The next word.
    pub(super) fn next(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.at);
        self.at += 1;
        word
    }

    /// The next word, if it is this one.
    pub(super) fn take(&mut self, text: &str) -> Option<&'a Word> {
        let word = self.words.get(self.at).filter(|word| word.text == text)?;
        self.at += 1;
        Some(word)
    }

    /// Whether the next word was this one; it is gone then.
    pub(super) fn accept(&mut self, text: &str) -> bool {
        self.take(text).is_some()
    }

    /// The value after a keyword, read by `read`.
    pub(super) fn value<T>(
        &mut self,
        keyword: &Word,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(word) = self.next() else {
            self.error(keyword, format!("'{}' expects {wanted}", keyword.text));
            return None;
        };
        let value = read(&word.text);
        if value.is_none() {
            self.error(
                word,
                format!("'{}' expects {wanted}, found '{}'", keyword.text, word.text),
            );
        }
        value
    }

    /// A number after a keyword.
    pub(super) fn number(&mut self, keyword: &Word) -> Option<u32> {
        self.value(keyword, "a number", number)
    }

    /// A number that fits into an octet.
    pub(super) fn octet(&mut self, keyword: &Word) -> Option<u8> {
        self.value(keyword, "a number from 0 to 255", |text| {
            number(text).and_then(|value| u8::try_from(value).ok())
        })
    }

    /// An address after a keyword.
    pub(super) fn address(&mut self, keyword: &Word) -> Option<IpAddr> {
        self.value(keyword, "an IP address", address)
    }

    /// The name of an interface after a keyword.
    pub(super) fn device(&mut self, keyword: &Word) -> Option<String> {
        self.value(keyword, "an interface's name", |text| {
            (text.len() < MAX_INTERFACE_NAME_BYTES).then(|| text.to_owned())
        })
    }

    /// The name after `track_group`.
    pub(super) fn group(&mut self, keyword: &Word) -> Option<Word> {
        let word = self.next();
        if word.is_none() {
            self.error(keyword, format!("'{}' expects a name", keyword.text));
        }
        word.cloned()
    }

    /// A known word with a value that cannot be: keepalived says so, leaves the line out and runs.
    pub(super) fn error(&mut self, word: &Word, message: impl AsRef<str>) {
        self.failed = true;
        let message = format!(
            "{}: the {} is ignored, as keepalived ignores it",
            message.as_ref(),
            self.what
        );
        self.complaints
            .warning(DiagnosticKind::InvalidValue, word.span, message);
    }

    /// Something that is done in another way than written.
    pub(super) fn warn(&mut self, word: &Word, message: impl Into<String>) {
        self.complaints
            .warning(DiagnosticKind::Pointless, word.span, message);
    }

    /// A word that nobody knows: keepalived drops the line, so an address might stay unreachable.
    pub(super) fn unknown(&mut self, word: &Word, known: impl IntoIterator<Item = &'static str>) {
        self.failed = true;
        let message = format!(
            "unknown word '{}': the {} is ignored, as keepalived ignores it",
            word.text, self.what
        );
        let mut diagnostic = Diagnostic::warning(DiagnosticKind::UnknownWord, word.span, message);
        diagnostic.help = did_you_mean(&word.text, known);
        self.complaints.0.push(diagnostic);
    }
}

/// IFNAMSIZ of the kernel, its closing zero included.
pub(super) const MAX_INTERFACE_NAME_BYTES: usize = 16;

/// `ADDRESS[/LENGTH]`, or nothing for `default`, `any` and `all`.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let host = address(host)?;
    let longest = if host.is_ipv6() { 128 } else { 32 };
    match length {
        None => Some((host, longest)),
        Some(length) => {
            let length = length.parse().ok().filter(|length| *length <= longest)?;
            Some((host, length))
        }
    }
}
