//! Patterns: what ACLs compare samples with and maps look samples up in. Knows no samples' sources and no conditions.
//!
//! HAProxy's configuration manual, "7.1. ACL basics", defines the methods and the forms of patterns. A [`List`] holds
//! entries as they were written, under a file's name or a number; a [`Matcher`] is a list seen by one match method,
//! indexed so that ten thousand entries cost little more than one; the [`Registry`] knows all lists, so that a file
//! named twice is one list, and operators can change it (`command::patterns`).

mod index;
mod list;
mod parse;
mod registry;
mod search;

pub use list::{Chosen, Entry, List, Matcher, Output, Source, Summary, Use, split_entry};
pub use registry::Registry;

use crate::sample::Value;
use index::Index;
use parse::Parsed;

/// How patterns are compared (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Found,
    Bool,
    Int,
    Ip,
    Bin,
    Len,
    Str,
    Sub,
    Reg,
    /// `map_regm`: as `reg`, and the entry's value takes groups of the match.
    Regm,
    Beg,
    End,
    Dir,
    Dom,
}

/// Words of `-m`, sorted.
const METHODS: &[(&str, Method)] = &[
    ("beg", Method::Beg),
    ("bin", Method::Bin),
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

    /// Its word.
    pub fn word(self) -> &'static str {
        METHODS
            .iter()
            .find(|row| row.1 == self)
            .map_or("regm", |row| row.0)
    }

    /// Whether patterns are texts (else integers, networks or nothing).
    pub fn is_text(self) -> bool {
        !matches!(
            self,
            Self::Found | Self::Bool | Self::Int | Self::Ip | Self::Bin | Self::Len
        )
    }

    /// Whether HAProxy keeps such patterns in a tree: there the finest match wins, in lists the first.
    pub fn is_tree(self, ignore_case: bool) -> bool {
        match self {
            Self::Str | Self::Beg => !ignore_case,
            Self::Ip => true,
            _ => false,
        }
    }
}

/// Longest pattern file in bytes.
pub const MAX_PATTERN_FILE_BYTES: u64 = 64 << 20;

/// Patterns of a rule's own, in no list.
pub struct Patterns {
    index: Index,
    next: u64,
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Patterns({})", self.index.method().word())
    }
}

impl Patterns {
    /// No patterns yet.
    pub fn new(method: Method, ignore_case: bool) -> Self {
        Self {
            index: Index::new(method, ignore_case),
            next: 0,
        }
    }

    /// Adds one pattern; the error says what was wanted.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        let parsed = Parsed::read(self.index.method(), word, self.index.ignores_case())?;
        self.index.insert(
            parsed,
            &std::sync::Arc::new(Entry::new(self.next, word, "")),
        );
        self.next += 1;
        Ok(())
    }

    /// Whether a sample meets one of the patterns. A sample that cannot be seen as the method needs does not match.
    pub fn matches(&self, value: &Value<'_>) -> bool {
        self.index.find(value).is_some()
    }
}

/// Integer words of an ACL line, where operators stand before numbers (`ge 5 7`): the range that each number means,
/// as it is stored. `None` of an operator.
pub fn with_operator(word: &str, operator: &mut Operator) -> Result<Option<String>, String> {
    *operator = match word {
        "eq" => Operator::Equal,
        "ge" => Operator::GreaterOrEqual,
        "gt" => Operator::Greater,
        "le" => Operator::LessOrEqual,
        "lt" => Operator::Less,
        _ => {
            if *operator == Operator::Equal {
                return Ok(Some(word.to_owned()));
            }
            let number: i64 = match word.parse() {
                Ok(number) => number,
                Err(_) if word.contains(':') => {
                    return Err(format!("range '{word}' cannot follow an operator"));
                }
                Err(_) => return Err(format!("'{word}' is not a number.")),
            };
            return Ok(Some(match operator {
                Operator::Equal => number.to_string(),
                Operator::GreaterOrEqual => format!("{number}:"),
                Operator::Greater => format!("{}:", number.saturating_add(1)),
                Operator::LessOrEqual => format!(":{number}"),
                Operator::Less => format!(":{}", number.saturating_sub(1)),
            }));
        }
    };
    Ok(None)
}

/// A word of versions with a dot (`3.1`, `3:3.1`) as the integers that their samples are: major times 65536 plus minor. Words
/// without digits stay as they are.
pub fn dotted(word: &str) -> Result<String, String> {
    if !word.starts_with(|first: char| first.is_ascii_digit() || first == ':') {
        return Ok(word.to_owned());
    }
    let wrong = || format!("'{word}' is not a version.");
    let number = |text: &str| -> Result<String, String> {
        if text.is_empty() {
            return Ok(String::new());
        }
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let major: u16 = major.parse().map_err(|_| wrong())?;
        let minor: u16 = minor.parse().map_err(|_| wrong())?;
        Ok((u32::from(major) << 16 | u32::from(minor)).to_string())
    };
    match word.split_once(':') {
        Some((low, high)) => Ok(format!("{}:{}", number(low)?, number(high)?)),
        None => number(word),
    }
}

/// How integer patterns compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    #[default]
    Equal,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
}

#[cfg(test)]
mod tests;
