//! From files to lines: `include`, `$VAR` definitions and uses, `@id` conditions, sequences
//! (keepalived.conf(5), ADVANCED CONFIGURATION).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::include::{Checks, Include, include};
use super::sequence::sequence;
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Severity};
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
    /// Of the file that is read now.
    directory: PathBuf,
    /// Files that include the file that is read now.
    depth: usize,
    /// `include_check`.
    checks: Checks,
    /// What `${_RANDOM}` gives next follows from this.
    random: u64,
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
            directory: PathBuf::new(),
            depth: 0,
            checks: Checks::default(),
            random: seed(),
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
        self.enter(directory, depth);
        let mut lines = text.lines().enumerate();
        while let Some((index, text)) = lines.next() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            // `$NAME= \` takes the lines that follow.
            if let Some((name, value)) = self.conditional(text).and_then(definition)
                && let Some(first) = value.strip_suffix('\\')
            {
                let mut value = first.to_owned();
                for (_, more) in lines.by_ref() {
                    if more.trim_start().starts_with(['#', '!']) {
                        continue;
                    }
                    value.push('\n');
                    let goes_on = more.trim_end().strip_suffix('\\');
                    value.push_str(goes_on.unwrap_or(more));
                    if goes_on.is_none() || value.len() > MAX_LINE_CHARS {
                        break;
                    }
                }
                self.variables.insert(name.to_owned(), value);
                continue;
            }
            self.line(characters(file, number, text), 0);
        }
    }

    /// Paths are relative to the file that is read.
    fn enter(&mut self, directory: PathBuf, depth: usize) {
        let name = directory.to_string_lossy().into_owned();
        self.variables.insert("_PWD".to_owned(), name);
        self.directory = directory;
        self.depth = depth;
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
        if kept.starts_with('~') && self.repeated(kept, &line, depth) {
            return;
        }
        match self.substituted(&line) {
            None => self.finished(line),
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

    /// Reads the rest of a line for each round of the sequence at its beginning; false if there is no sequence.
    fn repeated(&mut self, text: &str, line: &[Char], depth: usize) -> bool {
        // Its numbers may be variables; its own variable is none yet.
        let head = super::sequence::head_length(text).unwrap_or(line.len());
        let mut start = line[..head.min(line.len())].to_vec();
        for _ in 0..MAX_SUBSTITUTIONS {
            match self.substituted(&start) {
                Some(more) if more.len() <= MAX_LINE_CHARS => start = more,
                _ => break,
            }
        }
        let head_text: String = start.iter().map(|c| c.value).collect();
        let rounds = match sequence(&head_text) {
            None => return false,
            Some(Ok(found)) if depth < MAX_SUBSTITUTIONS => found.rounds,
            Some(Ok(_)) => {
                let message =
                    format!("sequences stand in sequences deeper than {MAX_SUBSTITUTIONS}");
                self.error(DiagnosticKind::Syntax, line, message);
                return true;
            }
            // keepalived says so, leaves the line out and runs.
            Some(Err(why)) => {
                let message = format!("this line is ignored: {why}");
                self.complain(Severity::Warning, DiagnosticKind::Syntax, line, message);
                return true;
            }
        };
        let rest = &line[head.min(line.len())..];
        for round in rounds {
            if self.overflow_said {
                break;
            }
            self.variables.extend(round);
            self.line(rest.to_vec(), depth + 1);
        }
        true
    }

    /// Takes a line after all substitution.
    fn finished(&mut self, line: Line) {
        let text: String = line.iter().map(|c| c.value).collect();
        let text = text.trim();
        if let Some(words) = text.strip_prefix("include_check")
            && !words.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        {
            self.checks = self
                .checks
                .changed(words.split(['#', '!']).next().unwrap_or(""));
        }
        if let Some(number) = text.strip_prefix("random_seed ") {
            self.random_seed(number, &line);
        }
        match include(text, self.checks) {
            Some(found) => self.include(&found, &line),
            None => self.lines.push(line),
        }
    }

    /// The line with its first variables replaced once; none if there was none to replace.
    fn substituted(&mut self, line: &[Char]) -> Option<Line> {
        let mut out = Line::new();
        let mut found = false;
        let mut at = 0;
        while at < line.len() {
            let here = line[at];
            // What is quoted in a comment is no use of a variable; `${_HASH}` stays until words are made.
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

    fn value(&mut self, name: &str) -> Option<String> {
        match name {
            // The next step makes words: there a character behind a backslash is itself.
            "_BANG" => Some("\\!".to_owned()),
            "_HASH" => Some("\\#".to_owned()),
            "_INSTANCE" => Some(self.config_id.to_owned()),
            name if name.split(' ').next() == Some("_RANDOM") => self.random(name),
            name => match name.strip_prefix("_ENV ") {
                Some(name) => (self.environment)(name.trim()),
                None => self.variables.get(name).cloned(),
            },
        }
    }

    /// `_RANDOM [MIN [MAX]]`, 0 to 32767 by default.
    fn random(&mut self, name: &str) -> Option<String> {
        let mut bounds = name.split_whitespace().skip(1).map(str::parse::<u64>);
        let least = bounds.next().unwrap_or(Ok(0)).ok()?;
        let most = bounds.next().unwrap_or(Ok(32_767)).ok()?;
        // Steele, Lea, Flood: SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let span = most.checked_sub(least)?.saturating_add(1);
        Some((least + (mixed ^ (mixed >> 31)) % span).to_string())
    }

    /// `random_seed NUMBER`: from here on random numbers are the same in each run.
    fn random_seed(&mut self, text: &str, line: &[Char]) {
        match text.split(['#', '!']).next().unwrap_or("").trim().parse() {
            Ok(seed) => self.random = seed,
            Err(_) => {
                let message =
                    "'random_seed' expects a number: it is ignored, as keepalived ignores it";
                let kind = DiagnosticKind::InvalidValue;
                self.complain(Severity::Warning, kind, line, message.to_owned());
            }
        }
    }

    fn include(&mut self, include: &Include, line: &[Char]) {
        if self.depth >= MAX_INCLUDE_DEPTH {
            let message = format!("files include files deeper than {MAX_INCLUDE_DEPTH}");
            return self.error(DiagnosticKind::File, line, message);
        }
        let (directory, depth, checks) = (self.directory.clone(), self.depth, self.checks);
        let severity = |error: bool| {
            if error {
                Severity::Error
            } else {
                Severity::Warning
            }
        };
        let found = include.files(&directory);
        for (path, error) in found.missing {
            // keepalived says so and runs, but what was to stand there is missing.
            let message = format!("'{}' finds no file", path.display());
            self.complain(severity(error), DiagnosticKind::File, line, message);
        }
        for path in found.files {
            if self.sources.files.len() >= MAX_FILES {
                let message = format!("more than {MAX_FILES} files");
                return self.error(DiagnosticKind::File, line, message);
            }
            match crate::load::read_text(&path) {
                Ok(text) => {
                    let file = self.sources.add(path.to_string_lossy(), text);
                    self.file(file, depth + 1);
                    // An included file cannot change the checks of the one that includes it.
                    self.checks = checks;
                    self.enter(directory.clone(), depth);
                }
                Err(why) => {
                    let message = format!("cannot read '{}': {why}", path.display());
                    let severity = severity(include.checks.readable());
                    self.complain(severity, DiagnosticKind::File, line, message);
                }
            }
        }
    }

    fn error(&mut self, kind: DiagnosticKind, line: &[Char], message: String) {
        self.complain(Severity::Error, kind, line, message);
    }

    fn complain(
        &mut self,
        severity: Severity,
        kind: DiagnosticKind,
        line: &[Char],
        message: String,
    ) {
        let first = line.iter().find(|c| !c.value.is_whitespace());
        let span = first.map(|c| c.span()).unwrap_or_default();
        let mut complaint = Diagnostic::error(kind, span, message);
        complaint.severity = severity;
        self.diagnostics.push(complaint);
    }
}

/// Another one each time, until `random_seed` says otherwise.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64)
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
