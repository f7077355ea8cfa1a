//! `include` and its variants: which files, in which order, and what is an error (keepalived.conf(5), `include_check`).

use std::path::{Path, PathBuf};

/// Most names that braces stand for.
const MAX_NAMES: usize = 1024;
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 1024;

/// What has to be found (`include_check`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    /// Every file can be read.
    readable: bool,
    /// A plain name exists.
    plain: bool,
    /// A pattern finds something.
    wildcard: bool,
    /// Each name of a brace expression finds something.
    brace: bool,
}

impl Checks {
    const ALL: Self = Self {
        readable: true,
        plain: true,
        wildcard: true,
        brace: true,
    };

    /// `include_check [[+|-]readable|match|wildcard_match|brace_match]…`; without a word all of them.
    pub(super) fn changed(self, words: &str) -> Self {
        let mut checks = if words.split_whitespace().next().is_none() {
            Self::ALL
        } else if words.trim_start().starts_with(['+', '-']) {
            self
        } else {
            Self::default()
        };
        for word in words.split_whitespace() {
            let (name, wanted) = match word.strip_prefix('-') {
                Some(name) => (name, false),
                None => (word.strip_prefix('+').unwrap_or(word), true),
            };
            match name {
                "readable" => checks.readable = wanted,
                "match" => checks.plain = wanted,
                "wildcard_match" => checks.wildcard = wanted,
                "brace_match" => checks.brace = wanted,
                _ => {}
            }
        }
        // The others include the first.
        checks.readable |= checks.plain || checks.wildcard || checks.brace;
        checks
    }

    fn with(self, other: Self) -> Self {
        Self {
            readable: self.readable || other.readable,
            plain: self.plain || other.plain,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// Whether a file that is there and cannot be read is an error.
    pub(super) fn readable(self) -> bool {
        self.readable
    }
}

/// A line that includes files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Include {
    /// The pattern.
    pub(super) path: String,
    /// What is an error.
    pub(super) checks: Checks,
}

/// Reads an `include` line; `checks` are those of `include_check`.
pub(super) fn include(text: &str, checks: Checks) -> Option<Include> {
    let text = text.trim();
    let (word, rest) = text.split_once([' ', '\t'])?;
    let none = Checks::default();
    let own = match word {
        "include" => none,
        "includea" => Checks::ALL,
        "includeb" => Checks {
            readable: true,
            brace: true,
            ..none
        },
        "includem" => Checks {
            readable: true,
            plain: true,
            ..none
        },
        "includer" => Checks {
            readable: true,
            ..none
        },
        "includew" => Checks {
            readable: true,
            wildcard: true,
            ..none
        },
        _ => return None,
    };
    let path = rest
        .split(['#', '!'])
        .next()
        .unwrap_or("")
        .trim()
        .trim_matches('"');
    (!path.is_empty()).then(|| Include {
        path: path.to_owned(),
        checks: checks.with(own),
    })
}

/// The files of an include, and what it does not find.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// What found nothing, and whether that is an error; else it is worth a warning.
    pub(super) missing: Vec<(PathBuf, bool)>,
}

impl Include {
    /// Looks for the files, in the order of the braces and within a pattern in lexical order.
    pub(super) fn files(&self, directory: &Path) -> Found {
        let mut found = Found::default();
        let names = braces(&self.path);
        let several = names.len() > 1;
        for name in names {
            let path = directory.join(&name);
            let wild = name.contains(['*', '?', '[']);
            let files = if wild {
                glob(&path)
            } else if path.exists() {
                vec![path.clone()]
            } else {
                Vec::new()
            };
            if files.is_empty() {
                let error = match (several, wild) {
                    (true, _) => self.checks.brace,
                    (false, true) => self.checks.wildcard,
                    (false, false) => self.checks.plain,
                };
                // A folder without files is the usual case of a pattern.
                if error || !wild {
                    found.missing.push((path, error));
                }
            }
            found.files.extend(files);
        }
        found
    }
}

/// `{a,b{c,}}` as the C shell reads it: all names, in order.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        if done.len() + open.len() >= MAX_NAMES {
            break;
        }
        let Some((start, end, commas)) = first_braces(&text) else {
            done.push(text);
            continue;
        };
        let mut edges = vec![start];
        edges.extend(commas);
        edges.push(end);
        // The last one first: they are taken from the end.
        for pair in edges.windows(2).rev() {
            let middle = &text[pair[0] + 1..pair[1]];
            open.push(format!("{}{middle}{}", &text[..start], &text[end + 1..]));
        }
    }
    done
}

/// The places of the first braces that belong together, and of the commas right in them.
fn first_braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let mut start = None;
    let mut depth = 0_usize;
    let mut commas = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '{' => {
                depth += 1;
                if depth == 1 {
                    start = Some(at);
                }
            }
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Some((start?, at, commas));
                }
            }
            ',' if depth == 1 => commas.push(at),
            _ => {}
        }
    }
    None
}

/// Files that match a pattern with `*`, `?` and `[…]`, sorted.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy().into_owned();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(&text));
            continue;
        }
        let wanted: Vec<char> = text.chars().collect();
        let mut next = Vec::new();
        for directory in found {
            let place = if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                directory.as_path()
            };
            let Ok(entries) = std::fs::read_dir(place) else {
                continue;
            };
            for entry in entries.flatten().take(MAX_ENTRIES) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let hidden = name.starts_with('.') && !text.starts_with('.');
                if !hidden && matches(&wanted, &name.chars().collect::<Vec<_>>()) {
                    next.push(directory.join(name));
                }
            }
        }
        next.sort();
        found = next;
    }
    found.retain(|path| path.is_file());
    found
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    // Positions to return to when a `*` has to take one character more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            Some('[') => {
                if let Some((length, inside)) = class(&pattern[p..], name[n])
                    && inside
                {
                    (p, n) = (p + length, n + 1);
                    continue;
                }
            }
            Some(c) if *c == name[n] => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            _ => {}
        }
        match star {
            Some((at, taken)) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// `[a-z]` or `[!a-z]`: its length in the pattern, and whether the character is in it.
fn class(pattern: &[char], wanted: char) -> Option<(usize, bool)> {
    let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
    let (negated, inner) = match pattern[1] {
        '!' | '^' => (true, &pattern[2..end]),
        _ => (false, &pattern[1..end]),
    };
    let mut inside = false;
    let mut at = 0;
    while at < inner.len() {
        if at + 2 < inner.len() && inner[at + 1] == '-' {
            inside |= (inner[at]..=inner[at + 2]).contains(&wanted);
            at += 3;
        } else {
            inside |= inner[at] == wanted;
            at += 1;
        }
    }
    Some((end + 1, inside != negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_shell_does() {
        let check = |pattern: &str, name: &str| {
            matches(
                &pattern.chars().collect::<Vec<_>>(),
                &name.chars().collect::<Vec<_>>(),
            )
        };
        assert!(check("*.conf", "a.conf"));
        assert!(check("a*b*c", "a-bb-c"));
        assert!(check("[a-c]?.conf", "b1.conf"));
        assert!(!check("*.conf", "a.cfg"));
        assert!(!check("[!a]x", "ax"));
        assert!(!check("a", ""));
    }

    #[test]
    fn braces_stand_for_names_in_their_order() {
        assert_eq!(braces("{b,a}.conf"), ["b.conf", "a.conf"]);
        assert_eq!(
            braces("{foo/{,cat,dog},bar}"),
            ["foo/", "foo/cat", "foo/dog", "bar"]
        );
        assert_eq!(braces("a{b"), ["a{b"]);
        assert_eq!(braces("x{,d/}[ad]"), ["x[ad]", "xd/[ad]"]);
        assert!(braces(&"{a,b}".repeat(64)).len() <= MAX_NAMES);
    }

    #[test]
    fn checks_add_up() {
        let none = Checks::default();
        assert_eq!(none.changed(""), Checks::ALL);
        let some = none.changed("match wildcard_match");
        assert!(some.readable && some.plain && some.wildcard && !some.brace);
        assert!(!some.changed("-match").plain);
        assert_eq!(
            include("includem a.conf # b", none).map(|one| (one.path, one.checks.plain)),
            Some(("a.conf".to_owned(), true))
        );
        assert_eq!(include("includes a.conf", none), None);
        assert_eq!(include("include", none), None);
    }
}
