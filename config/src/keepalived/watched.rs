//! `track_file` and `vrrp_track_process`: what is watched beside scripts and interfaces.

use std::time::Duration;

use super::model::{InitFile, ParameterMatch, ProcessMatch, TrackFile, TrackProcess};
use super::parser::Action::Do;
use super::parser::{Table, Text, block, body};
use super::track::own_weight;
use super::tree::Statement;
use super::values::{Complaints, count, seconds, text};
use crate::diagnostic::DiagnosticKind;
use crate::source::Word;

/// Largest weight in a `track_file` block: small numbers in the file are made large.
const MAX_FILE_WEIGHT: i32 = 2_147_483_647;
/// Largest weight in a `vrrp_track_process` block.
const MAX_PROCESS_WEIGHT: i32 = 254;
/// Longest delay in seconds.
const MAX_DELAY_SECONDS: u32 = 3_600;

/// Keywords of `track_file`, sorted.
#[rustfmt::skip]
pub(super) const FILE_KEYWORDS: Table<TrackFile> = &[
    ("file", Do(|f, statement, complaints| f.file = text(statement, "a path", complaints).unwrap_or_default())),
    ("init_file", Do(init_file)),
    ("weight", Do(|f, statement, complaints| { if let Some(found) = own_weight(statement, MAX_FILE_WEIGHT, complaints) { (f.weight, f.reverse) = found; } })),
];

/// Keywords of `vrrp_track_process`, sorted.
#[rustfmt::skip]
pub(super) const PROCESS_KEYWORDS: Table<TrackProcess> = &[
    ("delay", Do(|p, statement, complaints| { if let Some(delay) = seconds(statement, MAX_DELAY_SECONDS, complaints) { (p.fork_delay, p.terminate_delay) = (delay, delay); } })),
    ("fork_delay", Do(|p, statement, complaints| p.fork_delay = seconds(statement, MAX_DELAY_SECONDS, complaints).unwrap_or(p.fork_delay))),
    ("full_command", Do(|p, _, _| p.process.full_command = true)),
    ("param_match", Do(parameter_match)),
    ("process", Do(process)),
    ("quorum", Do(|p, statement, complaints| p.quorum = count(statement, 1, complaints).unwrap_or(p.quorum))),
    ("quorum_max", Do(|p, statement, complaints| p.quorum_max = count(statement, 0, complaints).or(p.quorum_max))),
    ("terminate_delay", Do(|p, statement, complaints| p.terminate_delay = seconds(statement, MAX_DELAY_SECONDS, complaints).unwrap_or(p.terminate_delay))),
    ("weight", Do(|p, statement, complaints| { if let Some(found) = own_weight(statement, MAX_PROCESS_WEIGHT, complaints) { (p.weight, p.reverse) = found; } })),
];

/// Reads a `track_file NAME { … }`.
pub(super) fn read_file(text: &mut Text, statement: &Statement, complaints: &mut Complaints<'_>) {
    let Some(name) = new_name(
        statement,
        text.config.track_files.iter().map(|one| &one.name),
        complaints,
    ) else {
        return;
    };
    let mut file = TrackFile {
        name,
        file: String::new(),
        weight: 1,
        reverse: false,
        init: None,
    };
    block(
        &mut file,
        body(statement),
        FILE_KEYWORDS,
        "'track_file'",
        complaints,
    );
    if file.file.is_empty() {
        return lacks("track_file", &file.name, "file", complaints);
    }
    text.config.track_files.push(file);
}

/// Reads a `vrrp_track_process NAME { … }`.
pub(super) fn read_process(
    text: &mut Text,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    let Some(name) = new_name(
        statement,
        text.config.track_processes.iter().map(|one| &one.name),
        complaints,
    ) else {
        return;
    };
    let mut process = TrackProcess {
        name,
        process: ProcessMatch {
            command: String::new(),
            parameters: Vec::new(),
            full_command: false,
            parameter_match: ParameterMatch::Exact,
        },
        // The manual says 1; keepalived 2.2.7 goes to FAULT without a word about it.
        weight: 0,
        reverse: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    let lines = body(statement);
    block(
        &mut process,
        lines,
        PROCESS_KEYWORDS,
        "'vrrp_track_process'",
        complaints,
    );
    if process.process.command.is_empty() {
        return lacks("vrrp_track_process", &process.name, "process", complaints);
    }
    // `quorum_max 0`: none may run, and none need.
    if process.quorum_max == Some(0) && !lines.iter().any(|line| line.name() == "quorum") {
        process.quorum = 0;
    }
    if process.quorum_max.is_some_and(|most| most < process.quorum) {
        let message = format!(
            "vrrp_track_process '{}': quorum_max is below quorum {}: it can never be well",
            process.name.text, process.quorum
        );
        complaints.warning(DiagnosticKind::Pointless, process.name.span, message);
    }
    text.config.track_processes.push(process);
}

/// The block's name, unless there is none or it is taken.
fn new_name<'a>(
    statement: &Statement,
    mut known: impl Iterator<Item = &'a Word>,
    complaints: &mut Complaints<'_>,
) -> Option<Word> {
    let Some(name) = statement.words.get(1) else {
        complaints.missing(statement, "a name");
        return None;
    };
    if known.any(|known| known.text == name.text) {
        let message = format!(
            "{} '{}' is already defined; this one is ignored",
            statement.name(),
            name.text
        );
        complaints.warning(DiagnosticKind::Duplicate, name.span, message);
        return None;
    }
    Some(name.clone())
}

fn lacks(what: &str, name: &Word, keyword: &str, complaints: &mut Complaints<'_>) {
    let message = format!("{what} '{}' has no '{keyword}' line", name.text);
    complaints.left_out(name.span, message);
}

fn init_file(file: &mut TrackFile, statement: &Statement, complaints: &mut Complaints<'_>) {
    let mut init = InitFile {
        value: 0,
        overwrite: false,
    };
    for word in statement.words.iter().skip(1) {
        match (word.text.as_str(), word.text.parse()) {
            ("overwrite", _) => init.overwrite = true,
            (_, Ok(value)) => init.value = value,
            (other, Err(_)) => {
                let message =
                    format!("'init_file' expects a number and 'overwrite', found '{other}'");
                complaints.left_out(word.span, message);
            }
        }
    }
    file.init = Some(init);
}

fn process(process: &mut TrackProcess, statement: &Statement, complaints: &mut Complaints<'_>) {
    let mut words = statement.words.iter().skip(1).map(|word| word.text.clone());
    let Some(command) = words.next() else {
        return complaints.missing(statement, "a process and perhaps its parameters");
    };
    process.process.command = command;
    process.process.parameters = words.collect();
    process.process.full_command |= !process.process.parameters.is_empty();
}

fn parameter_match(
    process: &mut TrackProcess,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    process.process.parameter_match = match statement.text(1) {
        "initial" => ParameterMatch::Initial,
        "partial" => ParameterMatch::Partial,
        // Alone it says that the command has just these parameters, or none.
        "" | "exact" => ParameterMatch::Exact,
        _ => return complaints.wrong(statement, "initial or partial"),
    };
    process.process.full_command = true;
}
