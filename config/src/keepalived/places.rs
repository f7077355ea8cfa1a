//! Where the lines of a block stand, for complaints that are made after it was read.

use std::collections::BTreeMap;

use super::tree::Statement;
use crate::source::Span;

/// The place of each keyword of a block, and of each entry of the lists in it.
///
/// Places are no part of what a configuration means: two of them are always equal, and they are not sent along.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Span>);

impl Places {
    /// Of the lines of a block. Of a keyword written twice the last counts, as it does for its value.
    pub(super) fn of(lines: &[Statement]) -> Self {
        let mut places = Self::default();
        places.add(lines);
        places
    }

    /// The lines of a block that is written in several pieces.
    pub(super) fn add(&mut self, lines: &[Statement]) {
        let places = &mut self.0;
        for line in lines {
            places.insert(line.name().to_owned(), whole(line));
            // Keys and passwords stay where they are used.
            let is_secret = matches!(line.name(), "auth_hmac" | "authentication");
            for entry in line.block.iter().flatten().filter(|_| !is_secret) {
                for word in &entry.words {
                    let key = format!("{} {}", line.name(), word.text);
                    places.entry(key).or_insert(word.span);
                }
            }
        }
    }

    /// The place of `priority`, or of an entry: `track_script chk`.
    pub fn find(&self, key: &str) -> Option<Span> {
        self.0.get(key).copied()
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A keyword with its first value, if they stand on one line of the file.
fn whole(line: &Statement) -> Span {
    let mut span = line.span();
    if let Some(value) = line.words.get(1)
        && (value.span.file, value.span.line) == (span.file, span.line)
        && value.span.column > span.column
    {
        span.length = value.span.column + value.span.length - span.column;
    }
    span
}
