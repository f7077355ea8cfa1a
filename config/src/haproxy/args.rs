//! Reading a line's words one after another, with the complaint when one is missing or wrong.
//!
//! Functions here return `None` after they have reported what is wrong, so that a keyword's function
//! reads as a list of what it wants.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::{Span, Word};
use crate::suggest::did_you_mean;

/// What all keyword functions need besides their words.
pub(super) struct Context<'a> {
    /// Where complaints go.
    pub(super) diagnostics: Diagnostics,
    /// The environment, with `setenv` and its like applied.
    pub(super) variables: super::parser::Variables<'a>,
    /// `default-path`.
    pub(super) default_path: super::parser::DefaultPath,
    /// `ssl-server-verify none`: servers are trusted unless they say otherwise.
    pub(super) servers_unverified: bool,
    /// The file being read, as it was named.
    pub(super) file_name: String,
}

impl Context<'_> {
    /// Reports an error.
    pub(super) fn error(&mut self, kind: DiagnosticKind, span: Span, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(kind, span, message));
    }

    /// Reports a warning.
    pub(super) fn warning(&mut self, kind: DiagnosticKind, span: Span, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::warning(kind, span, message));
    }

    /// Reports a notice: it changes nothing, and prints only when asked for.
    pub(super) fn notice(&mut self, kind: DiagnosticKind, span: Span, message: impl Into<String>) {
        let mut diagnostic = Diagnostic::warning(kind, span, message);
        diagnostic.severity = crate::Severity::Notice;
        self.diagnostics.push(diagnostic);
    }

    /// Reports a word of HAProxy that we know and do not do.
    pub(super) fn not_yet(&mut self, span: Span, what: &str) {
        self.error(
            DiagnosticKind::NotSupportedYet,
            span,
            format!("'{what}' is not supported yet"),
        );
    }

    /// Reports a word that nobody knows, with the nearest one that somebody does.
    pub(super) fn unknown<'w>(
        &mut self,
        word: &Word,
        place: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) {
        let message = format!("unknown word '{}' {place}", word.text);
        let mut diagnostic = Diagnostic::error(DiagnosticKind::UnknownWord, word.span, message);
        diagnostic.help = did_you_mean(&word.text, known);
        self.diagnostics.push(diagnostic);
    }

    /// A path as `default-path` makes it.
    pub(super) fn path(&self, text: &str) -> String {
        self.default_path.apply(text, &self.file_name)
    }
}

/// The words of a line after its keyword.
pub(super) struct Args<'l> {
    /// The keyword as it should be named in complaints (`timeout client`).
    name: String,
    keyword: &'l Word,
    words: &'l [Word],
    at: usize,
}

impl<'l> Args<'l> {
    /// All words after the first.
    pub(super) fn new(line: &'l [Word]) -> Option<Self> {
        let (keyword, words) = line.split_first()?;
        Some(Self {
            name: keyword.text.clone(),
            keyword,
            words,
            at: 0,
        })
    }

    /// The keyword's name in complaints.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The keyword's place.
    pub(super) fn span(&self) -> Span {
        self.keyword.span
    }

    /// From here on complaints name the keyword and this word.
    pub(super) fn enter(&mut self, sub: &Word) {
        self.name = format!("{} {}", self.keyword.text, sub.text);
    }

    /// The next word.
    pub(super) fn next(&mut self) -> Option<&'l Word> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// The next word that is not empty: an unset variable in quotes leaves an empty one.
    pub(super) fn next_option(&mut self) -> Option<&'l Word> {
        loop {
            let word = self.next()?;
            if !word.text.is_empty() {
                return Some(word);
            }
        }
    }

    /// The next word's text, not taken.
    pub(super) fn peek(&self) -> Option<&'l str> {
        self.words.get(self.at).map(|word| word.text.as_str())
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.peek() == Some(text);
        self.at += usize::from(found);
        found
    }

    /// All words that are left.
    pub(super) fn rest(&mut self) -> &'l [Word] {
        let rest = &self.words[self.at.min(self.words.len())..];
        self.at = self.words.len();
        rest
    }

    /// The next word, which must be there and not empty.
    pub(super) fn value(&mut self, cx: &mut Context<'_>, what: &str) -> Option<&'l Word> {
        match self.next() {
            Some(word) if !word.text.is_empty() => Some(word),
            found => {
                let span = found.map_or(self.keyword.span, |word| word.span);
                cx.error(
                    DiagnosticKind::InvalidValue,
                    span,
                    format!("'{}' expects {what}", self.name),
                );
                None
            }
        }
    }

    /// The next word as a whole number within a range.
    pub(super) fn integer<T>(
        &mut self,
        cx: &mut Context<'_>,
        what: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let word = self.value(cx, what)?;
        self.integer_in(cx, word, what, range)
    }

    /// A given word as a whole number within a range.
    pub(super) fn integer_in<T>(
        &self,
        cx: &mut Context<'_>,
        word: &Word,
        what: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let value = word
            .text
            .parse::<i64>()
            .ok()
            .filter(|value| range.contains(value));
        match value.and_then(|value| T::try_from(value).ok()) {
            Some(value) => Some(value),
            None => {
                let limits = match (*range.start(), *range.end()) {
                    (low, high) if high >= i64::from(i32::MAX) => format!("at least {low}"),
                    (low, high) => format!("from {low} to {high}"),
                };
                let message = format!(
                    "'{}' expects {what} {limits}, found '{}'",
                    self.name, word.text
                );
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                None
            }
        }
    }

    /// The next word as a duration.
    pub(super) fn time(&mut self, cx: &mut Context<'_>, default_unit: Unit) -> Option<Duration> {
        let word = self.value(cx, "a time")?;
        match parse_time(&word.text, default_unit) {
            Ok(time) => Some(time),
            Err(why) => {
                let message = format!("'{}' expects a time: {why}", self.name);
                let mut diagnostic =
                    Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message);
                diagnostic.help = Some("a whole number, then us, ms, s, m, h or d".to_owned());
                cx.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// What follows is ignored, as HAProxy does; a notice says so.
    pub(super) fn ignore_rest(&mut self, cx: &mut Context<'_>) -> Option<()> {
        if let Some(word) = self.next_option() {
            let message = format!("'{}' ignores '{}' and what follows", self.name, word.text);
            cx.notice(DiagnosticKind::Pointless, word.span, message);
            self.rest();
        }
        Some(())
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) -> Option<()> {
        match self.next_option() {
            None => Some(()),
            Some(word) => {
                let message = format!(
                    "'{}' cannot handle unexpected argument '{}'",
                    self.name, word.text
                );
                cx.error(DiagnosticKind::InvalidValue, word.span, message);
                None
            }
        }
    }
}

/// The unit of a time without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

/// A time as in the configuration manual, 2.5. HAProxy's longest is 2^31-1 milliseconds.
pub(super) fn parse_time(text: &str, default_unit: Unit) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("'{text}' does not begin with a number"));
    }
    let microseconds = match (unit, default_unit) {
        ("us", _) => 1,
        ("ms", _) | ("", Unit::Milliseconds) => 1_000,
        ("s", _) | ("", Unit::Seconds) => 1_000_000,
        ("m", _) => 60_000_000,
        ("h", _) => 3_600_000_000,
        ("d", _) => 86_400_000_000_u64,
        _ => return Err(format!("unexpected '{unit}' in '{text}'")),
    };
    let longest = Duration::from_millis(i32::MAX as u64);
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(microseconds))
        .map(Duration::from_micros)
        .filter(|time| *time <= longest)
        .ok_or_else(|| {
            format!("'{text}' is longer than the longest time, 2147483647 ms (about 24.8 days)")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_manual_says() {
        let read = |text| parse_time(text, Unit::Milliseconds);
        assert_eq!(read("5000"), Ok(Duration::from_secs(5)));
        assert_eq!(read("10us"), Ok(Duration::from_micros(10)));
        assert_eq!(read("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(read("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(read("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(read("24d"), Ok(Duration::from_secs(24 * 86_400)));
        assert_eq!(parse_time("60", Unit::Seconds), Ok(Duration::from_secs(60)));
        for bad in [
            "",
            "s",
            "1.5s",
            "3z",
            "1s5",
            "-1",
            "25d",
            "99999999999999999999",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
