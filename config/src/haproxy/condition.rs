//! The language of `.if`, `.elif` and `tandemd -cc` (configuration manual, 2.4).

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Span;

/// The version of HAProxy whose configuration language this is; `version_atleast` compares with it.
pub const COMPATIBLE_VERSION: &str = "2.6.12";

/// What `feature()` answers true to, as `haproxy -vv` names it.
pub const FEATURES: &[&str] = &[
    "ACCEPT4",
    "EPOLL",
    "GETADDRINFO",
    "OPENSSL",
    "POLL",
    "PRCTL",
    "RT",
    "SYSTEMD",
    "THREAD",
];

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 64;

/// Evaluates a condition with the process's own environment, as `-cc` does.
///
/// The error says what is wrong with the text; it has no place.
///
/// ```
/// # use tandem_config::haproxy::evaluate_condition;
/// assert_eq!(evaluate_condition("version_atleast(2.4) && !streq(a,b)"), Ok(true));
/// assert!(evaluate_condition("version_atleast(").is_err());
/// ```
pub fn evaluate_condition(text: &str) -> Result<bool, Diagnostic> {
    evaluate_condition_with(text, &|name| std::env::var_os(name).is_some())
}

/// The same where `defined` says whether an environment variable exists.
pub fn evaluate_condition_with(
    text: &str,
    defined: &dyn Fn(&str) -> bool,
) -> Result<bool, Diagnostic> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let mut parser = Parser {
        rest: text,
        defined,
    };
    let value =
        parser
            .alternatives(0)
            .and_then(|value| match parser.skip_blanks().chars().next() {
                None => Ok(value),
                Some(_) => Err(format!(
                    "nothing was expected after the condition, found '{}'",
                    parser.rest
                )),
            });
    value.map_err(|message| {
        let mut diagnostic = Diagnostic::error(DiagnosticKind::Syntax, Span::default(), message);
        diagnostic.span = None;
        diagnostic
    })
}

struct Parser<'a> {
    rest: &'a str,
    defined: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) -> &str {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        self.rest
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `A || B`. Both sides are always parsed, so that errors show whatever the value.
    fn alternatives(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.conjunction(depth)?;
        while self.take("||") {
            value |= self.conjunction(depth)?;
        }
        Ok(value)
    }

    /// `A && B`, which binds closer.
    fn conjunction(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.term(depth)?;
        while self.take("&&") {
            value &= self.term(depth)?;
        }
        Ok(value)
    }

    fn term(&mut self, depth: usize) -> Result<bool, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the condition nests deeper than {MAX_DEPTH}"));
        }
        let mut negated = false;
        while self.take("!") {
            negated = !negated;
        }
        let value = if self.take("(") {
            let value = self.alternatives(depth + 1)?;
            if !self.take(")") {
                return Err(format!("')' was expected, found '{}'", self.rest));
            }
            value
        } else {
            self.predicate()?
        };
        Ok(value != negated)
    }

    fn predicate(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        let sign = usize::from(self.rest.starts_with(['-', '+']));
        let after = &self.rest[sign..];
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(after.len());
        let end = sign + end;
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(format!(
                "a predicate or a number was expected, found '{rest}'"
            ));
        }
        self.rest = rest;
        let digits = &name[sign..];
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(digits.bytes().any(|b| b != b'0'));
        }
        let name = name.to_owned();
        if !PREDICATES.iter().any(|(known, _)| *known == name) {
            let suggestion =
                crate::suggest::did_you_mean(&name, PREDICATES.iter().map(|(known, _)| *known));
            let suggestion = suggestion
                .map(|text| format!("; {text}"))
                .unwrap_or_default();
            return Err(format!("'{name}' is no predicate{suggestion}"));
        }
        let arguments = if self.rest.starts_with('(') {
            self.arguments()?
        } else {
            Vec::new()
        };
        self.evaluate(&name, &arguments)
    }

    /// `(a,"b",c)`; quotes and backslashes protect commas and parentheses.
    fn arguments(&mut self) -> Result<Vec<String>, String> {
        let mut arguments = vec![String::new()];
        let mut quote = None;
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            let current = arguments
                .last_mut()
                .expect("there is always a current argument");
            match (quote, character) {
                (Some(open), c) if c == open => quote = None,
                (Some('\''), c) => current.push(c),
                (_, '\\') => current.push(characters.next().map_or('\\', |(_, c)| c)),
                (Some(_), c) => current.push(c),
                (None, '"' | '\'') => quote = Some(character),
                (None, ',') => arguments.push(String::new()),
                (None, ')') => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(arguments);
                }
                (None, c) => current.push(c),
            }
        }
        Err("the predicate's parenthesis is never closed".to_owned())
    }

    fn evaluate(&self, name: &str, arguments: &[String]) -> Result<bool, String> {
        let wanted = PREDICATES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count);
        if arguments.len() != wanted {
            return Err(format!(
                "'{name}' wants {wanted} argument(s), found {}",
                arguments.len()
            ));
        }
        let first = arguments[0].trim();
        let second = || arguments[1].as_str();
        Ok(match name {
            "defined" => (self.defined)(first.trim_start_matches('$')),
            "feature" | "enabled" => FEATURES.contains(&first),
            "streq" => arguments[0] == second(),
            "strneq" => arguments[0] != second(),
            "strstr" => arguments[0].contains(second()),
            "version_atleast" => version(COMPATIBLE_VERSION)? >= version(first)?,
            "version_before" => version(COMPATIBLE_VERSION)? < version(first)?,
            // We are not built on OpenSSL: no version of it is there, and none is before.
            "openssl_version_atleast" | "openssl_version_before" => {
                version(first)?;
                false
            }
            "ssllib_name_startswith" => "AWS-LC".starts_with(first),
            "awslc_api_atleast" => {
                first
                    .parse::<u32>()
                    .map_err(|_| format!("'{first}' is no API number"))?;
                true
            }
            other => return Err(format!("'{other}' is no predicate")),
        })
    }
}

/// Predicates with the number of their arguments, sorted.
const PREDICATES: &[(&str, usize)] = &[
    ("awslc_api_atleast", 1),
    ("defined", 1),
    ("enabled", 1),
    ("feature", 1),
    ("openssl_version_atleast", 1),
    ("openssl_version_before", 1),
    ("ssllib_name_startswith", 1),
    ("streq", 2),
    ("strneq", 2),
    ("strstr", 2),
    ("version_atleast", 1),
    ("version_before", 1),
];

/// A version to compare: up to four numbers, then a rank that puts `-dev` below the release, then its number.
fn version(text: &str) -> Result<([u32; 4], i32, u32), String> {
    let bad = || format!("'{text}' is no version");
    let (numbers, suffix) = match text.split_once('-') {
        Some((numbers, suffix)) => (numbers, suffix),
        None => (text, ""),
    };
    let mut parts = [0; 4];
    for (index, part) in numbers.split('.').enumerate() {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let slot = parts.get_mut(index).ok_or_else(bad)?;
        *slot = digits.parse().map_err(|_| bad())?;
    }
    match suffix.strip_prefix("dev") {
        Some(number) => {
            let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
            Ok((parts, -1, digits.parse().unwrap_or(0)))
        }
        None => Ok((parts, 0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(
            evaluate_condition_with(text, &|name| name == "HOME"),
            Ok(expected),
            "{text}"
        );
    }

    #[test]
    fn conditions_have_the_value_that_the_manual_gives() {
        check("", false);
        check("0", false);
        check("17", true);
        check("!0", true);
        check("defined(HOME)", true);
        check("defined($HOME) && !defined(NOPE)", true);
        check("feature(OPENSSL)", true);
        check("feature(LUA)", false);
        check("version_atleast(2.6)", true);
        check("version_atleast(2.4-dev19)", true);
        check("version_atleast(2.6.12-dev3)", true);
        check("version_atleast(2.7)", false);
        check("version_before(2.7-dev1)", true);
        check("version_before(2.6.12)", false);
        check("streq(a,a) && strneq(a,b) && strstr(haproxy,prox)", true);
        check("streq(\"a,b\",'a,b')", true);
        check("1 && 0 || 1 && 1", true);
        check("1&&(0||0)", false);
        check(" ( 1 ) ", true);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in [
            "foo",
            "streq(a)",
            "1 &&",
            "(1",
            "1 1",
            "feature",
            "version_atleast(x)",
            "streq(a,b",
            ")",
            "&&",
        ] {
            assert!(evaluate_condition(text).is_err(), "{text}");
        }
        let deep = "(".repeat(10_000);
        assert!(evaluate_condition(&deep).is_err());
    }
}
