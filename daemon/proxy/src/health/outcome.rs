//! What a check found: HAProxy's short words, their descriptions, and whether they are good.

/// Longest detail in bytes, as HAProxy cuts it.
pub(super) const MAX_DETAIL_BYTES: usize = 127;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// HAProxy's short word: `L4OK`, `L7STS`.
    pub status: &'static str,
    /// HTTP status or a protocol's own code; only for words that carry one.
    pub code: Option<u16>,
    /// What it found in words.
    pub detail: String,
    /// The detail is told once and not shown as the last result (greetings of MySQL and LDAP).
    pub fleeting: bool,
}

/// Whether a result is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Passed,
    /// It is, and the server wants no new clients.
    Conditional,
    /// It is not.
    Failed,
    /// It says nothing about that (an agent that only sets a weight).
    Neutral,
}

/// Words, descriptions, whether they carry a code, and verdicts.
#[rustfmt::skip]
const WORDS: &[(&str, &str, bool, Verdict)] = &[
    ("CHECKED", "No status change", false, Verdict::Neutral),
    ("HANA", "Health analyze", false, Verdict::Failed),
    ("INI", "Initializing", false, Verdict::Neutral),
    ("L4CON", "Layer4 connection problem", false, Verdict::Failed),
    ("L4OK", "Layer4 check passed", false, Verdict::Passed),
    ("L4TOUT", "Layer4 timeout", false, Verdict::Failed),
    ("L6OK", "Layer6 check passed", false, Verdict::Passed),
    ("L6RSP", "Layer6 invalid response", false, Verdict::Failed),
    ("L6TOUT", "Layer6 timeout", false, Verdict::Failed),
    ("L7OK", "Layer7 check passed", true, Verdict::Passed),
    ("L7OKC", "Layer7 check conditionally passed", true, Verdict::Conditional),
    ("L7RSP", "Layer7 invalid response", false, Verdict::Failed),
    ("L7STS", "Layer7 wrong status", true, Verdict::Failed),
    ("L7TOUT", "Layer7 timeout", false, Verdict::Failed),
    ("PROCERR", "External check error", true, Verdict::Failed),
    ("PROCOK", "External check passed", true, Verdict::Passed),
    ("PROCTOUT", "External check timeout", true, Verdict::Failed),
    ("SOCKERR", "Socket error", false, Verdict::Failed),
];

fn row(status: &str) -> Option<&'static (&'static str, &'static str, bool, Verdict)> {
    WORDS
        .binary_search_by_key(&status, |(word, ..)| word)
        .ok()
        .map(|at| &WORDS[at])
}

impl Outcome {
    /// A result without a code of its own; the detail is cut as HAProxy cuts it.
    pub fn new(status: &'static str, detail: impl Into<String>) -> Self {
        Self::coded(status, None, detail)
    }

    /// A result with a code, which is kept where the word carries one.
    pub fn coded(status: &'static str, code: Option<u16>, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > MAX_DETAIL_BYTES {
            detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        }
        Self {
            status,
            code: Self::carries_code(status).then_some(code.unwrap_or(0)),
            detail,
            fleeting: false,
        }
    }

    /// HAProxy's description of the short word.
    pub fn description(status: &str) -> &'static str {
        row(status).map_or("", |row| row.1)
    }

    /// Whether the word comes with a code.
    pub fn carries_code(status: &str) -> bool {
        row(status).is_some_and(|row| row.2)
    }

    /// Whether it is good.
    pub fn verdict(&self) -> Verdict {
        row(self.status).map_or(Verdict::Failed, |row| row.3)
    }

    /// `Layer7 wrong status, code: 503, info: "Service Unavailable", check duration: 0ms`.
    pub(super) fn reason(&self, duration: Option<std::time::Duration>) -> String {
        let mut text = Self::description(self.status).to_owned();
        if let Some(code) = self.code {
            text.push_str(&format!(", code: {code}"));
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(", info: \"{}\"", encoded(&self.detail)));
        }
        if let Some(duration) = duration {
            text.push_str(&format!(", check duration: {}ms", duration.as_millis()));
        }
        text
    }

    /// The same in an event's words.
    pub(super) fn event_reason(&self) -> String {
        let mut text = Self::description(self.status).to_owned();
        if let Some(code) = self.code.filter(|code| *code != 0) {
            text.push_str(&format!(" {code}"));
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(", {}", self.detail.trim_start()));
        }
        text
    }
}

/// What a server or an agent said, for a log line: quotes and all that is not printable as `<22>`.
fn encoded(text: &str) -> std::borrow::Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"';
    if text.bytes().all(is_plain) {
        return text.into();
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("<{byte:02X}>")),
        }
    }
    encoded.into()
}

/// The static word of a status that the configuration names.
pub(super) fn known_status(text: &str) -> Option<&'static str> {
    row(text).map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_codes_stay_where_they_belong() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Outcome::coded("L7RSP", Some(200), "").code, None);
        assert_eq!(Outcome::coded("L7STS", Some(503), "").code, Some(503));
        assert_eq!(Outcome::new("L7OK", "").code, Some(0));
        assert_eq!(Outcome::new("L7OKC", "").verdict(), Verdict::Conditional);
        assert_eq!(Outcome::new("L7RSP", "x".repeat(300)).detail.len(), 127);
        assert_eq!(encoded("a \"b\"\n\u{fc}"), "a <22>b<22><0A><C3><BC>");
    }
}
