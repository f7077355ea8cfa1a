//! From files to lines: `include`, `$VAR` definitions and uses, `@id` conditions
//! (keepalived.conf(5), ADVANCED CONFIGURATION).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::{FileId, SourceMap, Span};

/// A character and the place from which it came; what a variable stood for has the variable's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Char {
    pub(super) value: char,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) file: FileId,
}

impl Char {
    pub(super) fn span(self) -> Span {
        Span {
            file: self.file,
            line: self.line,
            column: self.column,
            length: 1,
        }
    }
}

/// One line after all substitution.
pub(super) type Line = Vec<Char>;

/// Files may include files so deep.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Most files in all, so that a wildcard that finds itself ends.
const MAX_FILES: usize = 1024;
/// Variables may stand in variables so deep.
const MAX_SUBSTITUTIONS: usize = 32;
/// Most characters of one line after substitution.
const MAX_LINE_CHARS: usize = 1 << 16;
/// Most lines in all after substitution.
const MAX_LINES: usize = 1 << 17;

pub(super) struct Reader<'a> {
    pub(super) sources: &'a mut SourceMap,
    pub(super) diagnostics: Diagnostics,
    pub(super) lines: Vec<Line>,
    variables: BTreeMap<String, String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    config_id: &'a str,
    overflow_said: bool,
    /// Lines read so far, those made by variables too.
    steps: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        sources: &'a mut SourceMap,
        environment: &'a dyn Fn(&str) -> Option<String>,
        config_id: &'a str,
    ) -> Self {
        // The id is the first part of the node's name.
        let config_id = config_id.split('.').next().unwrap_or("");
        Self {
            sources,
            diagnostics: Diagnostics::default(),
            lines: Vec::new(),
            variables: BTreeMap::new(),
            environment,
            config_id,
            overflow_said: false,
            steps: 0,
        }
    }

    /// Reads a file with all that it includes.
    pub(super) fn file(&mut self, file: FileId, depth: usize) {
        let Some(source) = self.sources.files.get(usize::from(file.0)) else {
            return;
        };
        let text = source.text.clone();
        let directory = Path::new(&source.name)
            .parent()
            .unwrap_or(Path::new(""))
            .to_path_buf();
        self.variables
            .insert("_PWD".to_owned(), directory.to_string_lossy().into_owned());
        let mut lines = text.lines().enumerate();
        while let Some((index, text)) = lines.next() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let line = characters(file, number, text);
            if let Some(pattern) = include(text) {
                self.include(&directory, pattern, &line, depth);
                self.variables
                    .insert("_PWD".to_owned(), directory.to_string_lossy().into_owned());
                continue;
            }
            // `$NAME= \` takes the lines that follow.
            let mut line = line;
            if let Some((_, value)) = self.conditional(text).and_then(definition)
                && value.trim() == "\\"
            {
                let mut value = String::new();
                for (_, more) in lines.by_ref() {
                    let (more, goes_on) = match more.trim_end().strip_suffix('\\') {
                        Some(more) => (more, true),
                        None => (more, false),
                    };
                    value.push_str(more);
                    value.push('\n');
                    if !goes_on || value.len() > MAX_LINE_CHARS {
                        break;
                    }
                }
                if let Some((name, _)) = self.conditional(text).and_then(definition) {
                    self.variables.insert(name.to_owned(), value);
                }
                line.clear();
            }
            self.line(line, 0);
        }
    }

    /// A line's text without its `@id`; none if it is for another node.
    fn conditional<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = text.trim_start();
        let Some(rest) = text.strip_prefix('@') else {
            return Some(text);
        };
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (id, rest) = rest.split_at(end);
        let matches = match id.strip_prefix('^') {
            Some(other) => other != self.config_id,
            None => id == self.config_id,
        };
        matches.then(|| rest.trim_start())
    }

    fn line(&mut self, line: Line, depth: usize) {
        // Variables that double themselves would go on for ever.
        self.steps += 1 + line.len() / 16;
        if self.steps > MAX_LINES {
            if !self.overflow_said {
                self.overflow_said = true;
                self.error(
                    DiagnosticKind::Syntax,
                    &line,
                    format!("more than {MAX_LINES} lines"),
                );
            }
            return;
        }
        let text: String = line.iter().map(|c| c.value).collect();
        let trimmed = text.trim_start();
        if trimmed.is_empty() || trimmed.starts_with(['#', '!']) {
            return;
        }
        if trimmed.starts_with("~SEQ") || trimmed.starts_with("~LST") {
            let message = format!("'{}' is not supported yet", &trimmed[..4]);
            return self.error(DiagnosticKind::NotSupportedYet, &line, message);
        }
        let Some(kept) = self.conditional(&text) else {
            return;
        };
        if let Some((name, value)) = definition(kept) {
            let value = value.split(['#', '!']).next().unwrap_or("").trim_end();
            self.variables.insert(name.to_owned(), value.to_owned());
            return;
        }
        let skip = line.len() - kept.chars().count();
        let line = line[skip..].to_vec();
        match self.substituted(&line) {
            None => {
                self.lines.push(line);
            }
            Some(_) if depth >= MAX_SUBSTITUTIONS => {
                let message =
                    format!("variables stand in variables deeper than {MAX_SUBSTITUTIONS}");
                self.error(DiagnosticKind::Syntax, &line, message);
            }
            Some(more) if more.len() > MAX_LINE_CHARS => {
                self.error(
                    DiagnosticKind::Syntax,
                    &line,
                    "this line grows too long by its variables".to_owned(),
                );
            }
            Some(more) => {
                for part in more.split(|c| c.value == '\n') {
                    self.line(part.to_vec(), depth + 1);
                }
            }
        }
    }

    /// The line with its first variables replaced once; none if there was none to replace.
    fn substituted(&self, line: &[Char]) -> Option<Line> {
        let mut out = Line::new();
        let mut found = false;
        let mut at = 0;
        while at < line.len() {
            let here = line[at];
            if here.value == '$'
                && let Some((name, length)) = variable_name(&line[at..])
                && let Some(value) = self.value(&name)
            {
                found = true;
                out.extend(value.chars().map(|value| Char { value, ..here }));
                at += length;
                continue;
            }
            out.push(here);
            at += 1;
        }
        found.then_some(out)
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "_INSTANCE" => Some(self.config_id.to_owned()),
            name => match name.strip_prefix("_ENV ") {
                Some(name) => (self.environment)(name.trim()),
                None => self.variables.get(name).cloned(),
            },
        }
    }

    fn include(&mut self, directory: &Path, pattern: Include<'_>, line: &[Char], depth: usize) {
        let span = line
            .iter()
            .find(|c| !c.value.is_whitespace())
            .map(|c| c.span())
            .unwrap_or_default();
        if depth >= MAX_INCLUDE_DEPTH {
            let message = format!("files include files deeper than {MAX_INCLUDE_DEPTH}");
            return self
                .diagnostics
                .push(Diagnostic::error(DiagnosticKind::File, span, message));
        }
        let path = directory.join(pattern.path);
        let wild = pattern.path.contains(['*', '?', '[']);
        let files = if wild {
            glob(&path)
        } else {
            vec![path.clone()]
        };
        if files.is_empty() && pattern.strict {
            let message = format!("'{}' finds no file", path.display());
            return self
                .diagnostics
                .push(Diagnostic::error(DiagnosticKind::File, span, message));
        }
        for path in files {
            if self.sources.files.len() >= MAX_FILES {
                let message = format!("more than {MAX_FILES} files");
                return self.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::File,
                    span,
                    message,
                ));
            }
            match crate::load::read_text(&path) {
                Ok(text) => {
                    let file = self.sources.add(path.to_string_lossy(), text);
                    self.file(file, depth + 1);
                }
                // keepalived itself says nothing of it, and the addresses in that file are missing.
                Err(why) => {
                    let message = format!("cannot read '{}': {why}", path.display());
                    self.diagnostics
                        .push(Diagnostic::error(DiagnosticKind::File, span, message));
                }
            }
        }
    }

    fn error(&mut self, kind: DiagnosticKind, line: &[Char], message: String) {
        let span = line
            .iter()
            .find(|c| !c.value.is_whitespace())
            .map(|c| c.span())
            .unwrap_or_default();
        self.diagnostics
            .push(Diagnostic::error(kind, span, message));
    }
}

fn characters(file: FileId, line: u32, text: &str) -> Line {
    (1_u32..)
        .zip(text.chars())
        .map(|(column, value)| Char {
            value,
            line,
            column,
            file,
        })
        .collect()
}

struct Include<'t> {
    path: &'t str,
    /// `includer`, `includea` and so on: finding nothing is an error.
    strict: bool,
}

fn include(text: &str) -> Option<Include<'_>> {
    let text = text.trim();
    let (word, rest) = text.split_once([' ', '\t'])?;
    if !matches!(
        word,
        "include" | "includer" | "includem" | "includew" | "includeb" | "includea"
    ) {
        return None;
    }
    let path = rest
        .split(['#', '!'])
        .next()
        .unwrap_or("")
        .trim()
        .trim_matches('"');
    (!path.is_empty()).then_some(Include {
        path,
        strict: word != "include",
    })
}

/// `$NAME=VALUE`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.trim_start().strip_prefix('$')?.split_once('=')?;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let good = starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then_some((name, value.trim()))
}

/// The name after a `$`, and how many characters the whole takes.
fn variable_name(line: &[Char]) -> Option<(String, usize)> {
    let braced = line.get(1).is_some_and(|c| c.value == '{');
    let start = if braced { 2 } else { 1 };
    let accepted = |c: char| c.is_ascii_alphanumeric() || c == '_' || (braced && c == ' ');
    let name: String = line[start.min(line.len())..]
        .iter()
        .map(|c| c.value)
        .take_while(|c| accepted(*c))
        .collect();
    let length = start + name.chars().count();
    let after = line.get(length).map(|c| c.value);
    match (braced, after) {
        (true, Some('}')) if !name.is_empty() => Some((name, length + 1)),
        (true, _) => None,
        // Without braces a blank, the end or a brace of a block follows.
        (false, None | Some(' ' | '\t' | '\n' | '\r' | '{' | '}' | '"')) if !name.is_empty() => {
            Some((name, length))
        }
        (false, _) => None,
    }
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
            for entry in entries.flatten().take(MAX_FILES) {
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
}
