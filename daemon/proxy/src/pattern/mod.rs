//! Matchers: what an ACL compares a sample with. Knows no samples' sources and no conditions.
//!
//! HAProxy's configuration manual, "7.1. ACL basics", defines the methods and the forms of patterns.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::bytes::{Regex, RegexBuilder};

use crate::sample::Value;

/// How patterns are compared (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Found,
    Bool,
    Int,
    Ip,
    Len,
    Str,
    Sub,
    Reg,
    Beg,
    End,
    Dir,
    Dom,
}

/// Words of `-m`, sorted.
const METHODS: &[(&str, Method)] = &[
    ("beg", Method::Beg),
    ("bool", Method::Bool),
    ("dir", Method::Dir),
    ("dom", Method::Dom),
    ("end", Method::End),
    ("found", Method::Found),
    ("int", Method::Int),
    ("ip", Method::Ip),
    ("len", Method::Len),
    ("reg", Method::Reg),
    ("str", Method::Str),
    ("sub", Method::Sub),
];

impl Method {
    /// The method of a `-m` word or of a criterion's suffix.
    pub fn parse(word: &str) -> Option<Self> {
        METHODS
            .binary_search_by_key(&word, |row| row.0)
            .ok()
            .map(|at| METHODS[at].1)
    }

    /// Whether patterns are texts (else integers, networks or nothing).
    pub fn is_text(self) -> bool {
        !matches!(
            self,
            Self::Found | Self::Bool | Self::Int | Self::Ip | Self::Len
        )
    }
}

/// Longest pattern file in bytes.
pub const MAX_PATTERN_FILE_BYTES: u64 = 64 << 20;

/// The patterns of one test.
#[derive(Debug)]
pub struct Patterns {
    method: Method,
    ignore_case: bool,
    /// Texts of `sub`, `beg`, `end`, `dir`, `dom`; lower case if case is ignored.
    texts: Vec<Vec<u8>>,
    exact: HashSet<Vec<u8>>,
    ranges: Vec<(i64, i64)>,
    networks: Vec<IpNet>,
    regexes: Vec<Regex>,
    empty: bool,
    /// The operator that integer patterns after it inherit (`ge 5 7`).
    operator: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
}

impl Patterns {
    /// No patterns yet.
    pub fn new(method: Method, ignore_case: bool) -> Self {
        Self {
            method,
            ignore_case,
            texts: Vec::new(),
            exact: HashSet::new(),
            ranges: Vec::new(),
            networks: Vec::new(),
            regexes: Vec::new(),
            empty: true,
            operator: Operator::Equal,
        }
    }

    /// Adds one pattern word; the error says what was wanted.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        match self.method {
            Method::Found => return Err("'-m found' takes no pattern".to_owned()),
            Method::Bool => {
                let value = match word {
                    "true" | "1" | "yes" | "on" => 1,
                    "false" | "0" | "no" | "off" => 0,
                    _ => return Err(format!("'{word}' is not a boolean")),
                };
                self.ranges.push((value, value));
            }
            Method::Int | Method::Len => self.add_integer(word)?,
            Method::Ip => self.networks.push(parse_network(word)?),
            Method::Str => {
                self.exact.insert(self.fold(word.as_bytes()));
            }
            Method::Reg => self.regexes.push(
                RegexBuilder::new(word)
                    .case_insensitive(self.ignore_case)
                    .unicode(false)
                    .build()
                    .map_err(|error| format!("invalid regular expression '{word}': {error}"))?,
            ),
            Method::Sub | Method::Beg | Method::End => {
                self.texts.push(self.fold(word.as_bytes()));
            }
            Method::Dir | Method::Dom => {
                let trimmed = word.trim_matches(|at| is_delimiter(self.method, at as u8));
                self.texts.push(self.fold(trimmed.as_bytes()));
            }
        }
        self.empty = false;
        Ok(())
    }

    fn add_integer(&mut self, word: &str) -> Result<(), String> {
        let operator = match word {
            "eq" => Some(Operator::Equal),
            "ge" => Some(Operator::GreaterOrEqual),
            "gt" => Some(Operator::Greater),
            "le" => Some(Operator::LessOrEqual),
            "lt" => Some(Operator::Less),
            _ => None,
        };
        if let Some(operator) = operator {
            self.operator = operator;
            return Ok(());
        }
        let wrong = || format!("'{word}' is neither an integer nor a range 'low:high'");
        let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
        let range = match word.split_once(':') {
            Some((low, high)) if self.operator == Operator::Equal => (
                if low.is_empty() {
                    i64::MIN
                } else {
                    number(low)?
                },
                if high.is_empty() {
                    i64::MAX
                } else {
                    number(high)?
                },
            ),
            Some(_) => return Err(format!("range '{word}' cannot follow an operator")),
            None => {
                let value = number(word)?;
                match self.operator {
                    Operator::Equal => (value, value),
                    Operator::GreaterOrEqual => (value, i64::MAX),
                    Operator::Greater => (value.saturating_add(1), i64::MAX),
                    Operator::LessOrEqual => (i64::MIN, value),
                    Operator::Less => (i64::MIN, value.saturating_sub(1)),
                }
            }
        };
        self.ranges.push(range);
        Ok(())
    }

    /// Adds the lines of a file (`-f`): blank lines and lines that begin with `#` are skipped.
    pub fn add_file(&mut self, path: &str) -> Result<(), String> {
        let size = std::fs::metadata(path)
            .map_err(|error| format!("cannot read pattern file '{path}': {error}"))?
            .len();
        if size > MAX_PATTERN_FILE_BYTES {
            return Err(format!(
                "pattern file '{path}' is larger than {MAX_PATTERN_FILE_BYTES} bytes"
            ));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read pattern file '{path}': {error}"))?;
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.add(line)?;
        }
        Ok(())
    }

    fn fold(&self, text: &[u8]) -> Vec<u8> {
        if self.ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_vec()
        }
    }

    /// Whether a sample meets one of the patterns. A sample that cannot be seen as the method needs does not match.
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match self.method {
            Method::Found => true,
            Method::Bool => value.as_bool().is_some_and(|found| {
                if self.empty {
                    found
                } else {
                    self.in_ranges(i64::from(found))
                }
            }),
            Method::Int => value.as_int().is_some_and(|found| self.in_ranges(found)),
            Method::Len => {
                i64::try_from(value.as_bytes().len()).is_ok_and(|length| self.in_ranges(length))
            }
            Method::Ip => value
                .as_address()
                .is_some_and(|found| self.in_networks(found)),
            Method::Reg => {
                let text = value.as_bytes();
                self.regexes.iter().any(|regex| regex.is_match(&text))
            }
            Method::Str | Method::Sub | Method::Beg | Method::End | Method::Dir | Method::Dom => {
                let text = value.as_bytes();
                if self.ignore_case && text.iter().any(u8::is_ascii_uppercase) {
                    self.matches_text(&text.to_ascii_lowercase())
                } else {
                    self.matches_text(&text)
                }
            }
        }
    }

    fn in_ranges(&self, value: i64) -> bool {
        self.ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&value))
    }

    fn in_networks(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    fn matches_text(&self, text: &[u8]) -> bool {
        match self.method {
            Method::Str => self.exact.contains(text),
            Method::Beg => self.texts.iter().any(|pattern| text.starts_with(pattern)),
            Method::End => self.texts.iter().any(|pattern| text.ends_with(pattern)),
            Method::Sub => self
                .texts
                .iter()
                .any(|pattern| memchr::memmem::find(text, pattern).is_some()),
            _ => self
                .texts
                .iter()
                .any(|pattern| matches_between_delimiters(self.method, text, pattern)),
        }
    }
}

/// `dir`: between slashes; `dom`: between dots too. The manual's words are "delimited with slashes ("/"),
/// the beginning or the end", and question marks and colons end a part as well.
fn is_delimiter(method: Method, byte: u8) -> bool {
    match byte {
        b'/' | b'?' => true,
        b'.' | b':' => method == Method::Dom,
        _ => false,
    }
}

fn matches_between_delimiters(method: Method, text: &[u8], pattern: &[u8]) -> bool {
    if pattern.is_empty() {
        return false;
    }
    memchr::memmem::find_iter(text, pattern).any(|at| {
        let end = at + pattern.len();
        (at == 0 || is_delimiter(method, text[at - 1]))
            && (end == text.len() || is_delimiter(method, text[end]))
    })
}

fn parse_network(word: &str) -> Result<IpNet, String> {
    let wrong = || format!("'{word}' is not an address or a network");
    if let Some((address, mask)) = word.split_once('/') {
        if let (Ok(address), Ok(mask)) = (
            address.parse::<std::net::Ipv4Addr>(),
            mask.parse::<std::net::Ipv4Addr>(),
        ) {
            return IpNet::with_netmask(address.into(), mask.into()).map_err(|_| wrong());
        }
        return word.parse().map_err(|_| wrong());
    }
    word.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, ignore_case: bool, words: &[&str], sample: &str, expected: bool) {
        let mut patterns = Patterns::new(method, ignore_case);
        for word in words {
            patterns.add(word).expect("a good pattern");
        }
        assert_eq!(
            patterns.matches(&Value::text(sample.as_bytes())),
            expected,
            "{method:?} {words:?} on {sample}"
        );
    }

    #[test]
    fn texts_match_as_the_manual_says() {
        check(Method::Beg, false, &["/a", "/b"], "/bcd", true);
        check(Method::Beg, false, &["/A"], "/a", false);
        check(Method::Beg, true, &["/A"], "/a", true);
        check(Method::End, false, &[".png"], "/x.png", true);
        check(Method::Dir, false, &["img"], "/a/img/b", true);
        check(Method::Dir, false, &["/img/"], "/a/img?x", true);
        check(Method::Dir, false, &["img"], "/a/img.b/", false);
        check(Method::Dom, false, &["example"], "www.example.com:80", true);
        check(Method::Dom, false, &["xample"], "www.example.com", false);
        check(Method::Reg, true, &["^/A+$"], "/aaa", true);
        check(Method::Str, false, &["a", "b"], "b", true);
        check(Method::Len, false, &["3:5"], "abcd", true);
    }

    #[test]
    fn integers_and_networks_match_as_the_manual_says() {
        check(Method::Int, false, &["ge", "5"], "7", true);
        check(Method::Int, false, &["lt", "5"], "5", false);
        check(Method::Int, false, &["1:3", "9"], "9", true);
        check(Method::Int, false, &[":3"], "-1", true);
        check(Method::Ip, false, &["10.0.0.0/8"], "10.1.2.3", true);
        check(
            Method::Ip,
            false,
            &["10.0.0.0/255.0.0.0"],
            "::ffff:10.1.2.3",
            true,
        );
        check(Method::Ip, false, &["::1"], "127.0.0.1", false);
    }

    #[test]
    fn bad_patterns_are_refused() {
        for (method, word) in [
            (Method::Int, "x"),
            (Method::Ip, "10.0.0.0/33"),
            (Method::Reg, "("),
            (Method::Bool, "maybe"),
        ] {
            assert!(Patterns::new(method, false).add(word).is_err(), "{word}");
        }
    }
}
