//! Words of the commands on lists of patterns and maps to a [`PatternAsk`]; the worker does them.

use protocol::patterns::{PatternAsk, PatternCommand};

use super::{Answer, error};

type Parsed = Result<PatternAsk, Answer>;

/// Words behind an optional `@VERSION`.
struct Words<'w> {
    version: Option<u32>,
    list: Option<&'w str>,
    rest: &'w [&'w str],
    by_acl: bool,
}

impl<'w> Words<'w> {
    fn read(words: &'w [&'w str], by_acl: bool) -> Self {
        let (version, words) = match words.split_first() {
            Some((first, rest)) if first.starts_with('@') => {
                (Some(first[1..].parse().unwrap_or_default()), rest)
            }
            _ => (None, words),
        };
        Self {
            version,
            list: words.first().copied(),
            rest: words.get(1..).unwrap_or_default(),
            by_acl,
        }
    }

    fn ask(&self, command: PatternCommand) -> Parsed {
        Ok(PatternAsk {
            by_acl: self.by_acl,
            list: self.list.unwrap_or_default().to_owned(),
            version: self.version,
            command,
        })
    }

    /// What an unknown list is answered with, said before anything is asked of the worker.
    fn missing(&self) -> Answer {
        let kind = if self.by_acl { "ACL" } else { "map" };
        error(format!("Missing {kind} identifier."))
    }
}

pub(super) fn show(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    let words = Words::read(words, by_acl);
    match (words.list, words.version) {
        (None, None) => words.ask(PatternCommand::List),
        _ => words.ask(PatternCommand::Show),
    }
}

pub(super) fn get(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    let [list, sample, ..] = words else {
        let kind = if by_acl { "ACL" } else { "map" };
        return Err(error(format!("Missing {kind} identifier and/or key.")));
    };
    Ok(PatternAsk {
        by_acl,
        list: (*list).to_owned(),
        version: None,
        command: PatternCommand::Get {
            sample: (*sample).to_owned(),
        },
    })
}

pub(super) fn add(words: &[&str], payload: Option<&str>, by_acl: bool) -> Parsed {
    let words = Words::read(words, by_acl);
    let entry = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let entries = match (by_acl, words.list, words.rest, payload) {
        (true, Some(_), [key, ..], None) => vec![entry(key, "")],
        (true, ..) => {
            return Err(error(
                "'add acl' expects two parameters: ACL identifier and pattern.",
            ));
        }
        (false, Some(_), _, Some(payload)) => payload.lines().map(line).collect(),
        (false, Some(_), [key, value, ..], None) => vec![entry(key, value)],
        (false, ..) => {
            return Err(error(
                "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a payload",
            ));
        }
    };
    words.ask(PatternCommand::Add { entries })
}

/// A line of a payload: the pattern ends at the first blank, whatever comes before it.
fn line(line: &str) -> (String, Option<String>) {
    match line.split_once([' ', '\t']) {
        None => (line.to_owned(), None),
        Some((key, rest)) => {
            let value = rest.trim_start_matches([' ', '\t']);
            let value = (!value.is_empty()).then(|| value.to_owned());
            (key.to_owned(), value)
        }
    }
}

pub(super) fn del(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    let [list, key, ..] = words else {
        return Err(error(
            "This command expects two parameters: map identifier and key.",
        ));
    };
    Ok(PatternAsk {
        by_acl,
        list: (*list).to_owned(),
        version: None,
        command: PatternCommand::Delete {
            key: (*key).to_owned(),
        },
    })
}

pub(super) fn set(words: &[&str], payload: Option<&str>, by_acl: bool) -> Parsed {
    let ([list, key, value, ..], None) = (words, payload) else {
        return Err(error(
            "'set map' expects three parameters: map identifier, key and value.",
        ));
    };
    Ok(PatternAsk {
        by_acl,
        list: (*list).to_owned(),
        version: None,
        command: PatternCommand::Set {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        },
    })
}

pub(super) fn clear(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    let words = Words::read(words, by_acl);
    match words.list {
        None => Err(words.missing()),
        Some(_) => words.ask(PatternCommand::Clear),
    }
}

pub(super) fn prepare(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    Words::read(words, by_acl).ask(PatternCommand::Prepare)
}

pub(super) fn commit(words: &[&str], _: Option<&str>, by_acl: bool) -> Parsed {
    let words = Words::read(words, by_acl);
    match (words.version, words.list) {
        (None, _) => Err(error("Missing version number.")),
        (_, None) => Err(words.missing()),
        _ => words.ask(PatternCommand::Commit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payloads_line_is_a_pattern_and_the_rest() {
        let check = |text: &str, key: &str, value: Option<&str>| {
            assert_eq!(
                line(text),
                (key.to_owned(), value.map(String::from)),
                "{text}"
            );
        };
        check("/a one two ", "/a", Some("one two "));
        check("  /b   two  ", "", Some("/b   two  "));
        check("/c", "/c", None);
        check("/c ", "/c", None);
    }

    #[test]
    fn versions_stand_before_lists() {
        let ask = show(&["@3", "#1"], None, false).expect("it is whole");
        assert_eq!((ask.version, ask.list.as_str()), (Some(3), "#1"));
        assert!(commit(&["/file"], None, false).is_err());
        assert!(add(&["#1", "key"], None, false).is_err());
    }
}
