//! Judging an answer by an `expect` rule.

use config::haproxy::MatchMethod;

pub(super) use super::plan::Matcher;
use super::plan::{Expect, Text};
use crate::http::Head;

/// What an answer that has come so far is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// More may change it.
    Wait,
    Passed,
    Failed,
}

/// Whether the rule looks at bytes, not at a head.
pub(super) fn is_of_body(expect: &Expect) -> bool {
    matches!(
        expect.what,
        Matcher::Contains(..) | Matcher::Regex(_) | Matcher::BinaryRegex(_)
    )
}

/// Judges bytes (manual, `min-recv`); `pattern` is what a `string` or `binary` looks for, `ended` that no more will come.
pub(super) fn judge(expect: &Expect, pattern: &[u8], bytes: &[u8], ended: bool) -> Judgement {
    let least = match (&expect.what, expect.min_recv) {
        // An exact text is there or not as soon as its length has come.
        (Matcher::Contains(..), Some(least)) => least.min(pattern.len()),
        (_, least) => least.unwrap_or(0),
    };
    if bytes.len() < least && !ended {
        return Judgement::Wait;
    }
    let matched = match &expect.what {
        Matcher::Contains(..) => memchr::memmem::find(bytes, pattern).is_some(),
        Matcher::Regex(regex) => regex.is_match(bytes),
        Matcher::BinaryRegex(regex) => regex.is_match(&to_hexadecimal(bytes)),
        Matcher::Status(_) | Matcher::StatusRegex(_) | Matcher::Header { .. } => false,
    };
    if !matched && !ended && expect.min_recv.is_none() {
        return Judgement::Wait;
    }
    if matched != expect.negated {
        Judgement::Passed
    } else {
        Judgement::Failed
    }
}

/// Whether a head is as expected, without regard to `!`. `name` and `value` are the texts of a header rule.
pub(super) fn head_matches(expect: &Expect, head: &Head, name: &[u8], value: &[u8]) -> bool {
    let status = head.status();
    match &expect.what {
        Matcher::Status(ranges) => ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status)),
        Matcher::StatusRegex(regex) => regex.is_match(status.to_string().as_bytes()),
        Matcher::Header {
            full,
            name: by_name,
            value: by_value,
        } => head
            .iter()
            .filter(|(found, _)| {
                by_name.matches(&found.to_ascii_lowercase(), &name.to_ascii_lowercase())
            })
            .any(|(_, found)| match by_value {
                None => true,
                Some(by_value) if *full => by_value.matches(found.trim_ascii(), value),
                Some(by_value) => found
                    .split(|byte| *byte == b',')
                    .any(|part| by_value.matches(part.trim_ascii(), value)),
            }),
        Matcher::Contains(..) | Matcher::Regex(_) | Matcher::BinaryRegex(_) => false,
    }
}

impl Text {
    fn matches(&self, found: &[u8], wanted: &[u8]) -> bool {
        match self.method {
            MatchMethod::Exact => found == wanted,
            MatchMethod::Prefix => found.starts_with(wanted),
            MatchMethod::Suffix => found.ends_with(wanted),
            MatchMethod::Substring => memchr::memmem::find(found, wanted).is_some(),
            MatchMethod::Regex => self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(found)),
        }
    }
}

/// How HAProxy names what a failed step looked for: `'text'`, `(regex)`.
pub(super) fn content_name(expect: &Expect) -> String {
    match &expect.what {
        Matcher::Contains(_, name) if name.starts_with('\'') => name.clone(),
        other => format!("({})", kind_name(other)),
    }
}

/// How HAProxy names a step that had no answer: `string 'text'`, `regex`.
pub(super) fn step_name(expect: &Expect) -> String {
    match &expect.what {
        Matcher::Contains(_, name) if name.starts_with('\'') => format!("string {name}"),
        other => kind_name(other).to_owned(),
    }
}

fn kind_name(matcher: &Matcher) -> &str {
    match matcher {
        Matcher::Contains(_, name) => name,
        Matcher::Regex(_) => "regex",
        Matcher::BinaryRegex(_) => "binary regex",
        Matcher::Status(_) => "HTTP status codes",
        Matcher::StatusRegex(_) => "HTTP status regex",
        Matcher::Header { .. } => "HTTP header pattern",
    }
}

fn to_hexadecimal(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .collect()
}

/// Bytes of hexadecimal digits; what is no digit ends it.
pub(super) fn from_hexadecimal(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    text.chunks_exact(2)
        .map_while(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}
