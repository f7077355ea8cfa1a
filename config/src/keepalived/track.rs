//! The `track_*` blocks of instances and sync groups: names with weights, and what they name.

use super::model::{KeepalivedConfig, Tracked, Tracks};
use super::parser::body;
use super::tree::Statement;
use super::values::Complaints;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Word;
use crate::suggest::did_you_mean;

/// Largest weight of scripts, interfaces, BFD sessions and backends.
pub(super) const MAX_WEIGHT: i32 = 253;
/// Largest weight of files and processes where an instance or a group tracks them.
const MAX_FILE_WEIGHT: i32 = 254;

/// A tracked name as it was written; what is not written comes from the definition.
pub(super) struct Named {
    name: Word,
    weight: Option<i32>,
    reverse: Option<bool>,
}

/// All `track_*` blocks of an instance or a sync group, before their names are looked up.
#[derive(Default)]
pub(super) struct PendingTracks {
    scripts: Vec<Named>,
    interfaces: Vec<Named>,
    files: Vec<Named>,
    processes: Vec<Named>,
    bfds: Vec<Named>,
    backends: Vec<Named>,
}

impl PendingTracks {
    pub(super) fn backend(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        let before = self.backends.len();
        // Ours: `track_backend NAME [weight N [reverse]]`, or a block of such lines.
        let line = Statement {
            words: statement.words.iter().skip(1).cloned().collect(),
            ..Statement::default()
        };
        names(&line, MAX_WEIGHT, complaints, &mut self.backends);
        block(statement, MAX_WEIGHT, complaints, &mut self.backends);
        if self.backends.len() == before {
            complaints.missing(statement, "the name of a backend");
        }
    }

    pub(super) fn bfd(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        block(statement, MAX_WEIGHT, complaints, &mut self.bfds);
    }

    pub(super) fn file(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        block(statement, MAX_FILE_WEIGHT, complaints, &mut self.files);
    }

    pub(super) fn interface(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        block(statement, MAX_WEIGHT, complaints, &mut self.interfaces);
    }

    pub(super) fn process(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        block(statement, MAX_FILE_WEIGHT, complaints, &mut self.processes);
    }

    pub(super) fn script(&mut self, statement: &Statement, complaints: &mut Complaints<'_>) {
        block(statement, MAX_WEIGHT, complaints, &mut self.scripts);
    }

    /// Looks the names up.
    pub(super) fn finish(
        self,
        config: &KeepalivedConfig,
        complaints: &mut Complaints<'_>,
    ) -> Tracks {
        let scripts = config.scripts.iter();
        let scripts = scripts.map(|one| (one.name.as_str(), one.weight, one.reverse));
        let files = config.track_files.iter();
        let files = files.map(|one| (one.name.as_str(), one.weight, one.reverse));
        let processes = config.track_processes.iter();
        let processes = processes.map(|one| (one.name.as_str(), one.weight, one.reverse));
        let own = without_checkers(self.bfds, config, complaints);
        let bfds = config.bfd_instances.iter();
        let bfds = bfds.map(|one| (one.name.as_str(), one.weight, one.reverse));
        Tracks {
            scripts: look_up("script", self.scripts, scripts.collect(), complaints),
            interfaces: by_name("interface", self.interfaces, complaints),
            files: look_up("file", self.files, files.collect(), complaints),
            processes: look_up("process", self.processes, processes.collect(), complaints),
            bfds: look_up("bfd", own, bfds.collect(), complaints),
            backends: by_name("backend", self.backends, complaints),
        }
    }
}

/// The names of a block, several on a line or one a line.
fn block(statement: &Statement, most: i32, complaints: &mut Complaints<'_>, into: &mut Vec<Named>) {
    for line in body(statement) {
        names(line, most, complaints, into);
    }
}

/// `NAME [weight N] [reverse|noreverse]`, again and again.
fn names(line: &Statement, most: i32, complaints: &mut Complaints<'_>, into: &mut Vec<Named>) {
    let mut at = 0;
    while let Some(name) = line.words.get(at) {
        at += 1;
        let mut named = Named {
            name: name.clone(),
            weight: None,
            reverse: None,
        };
        loop {
            match line.text(at) {
                "weight" => {
                    named.weight = weight(line, at + 1, most, complaints);
                    at += 2;
                }
                "reverse" => {
                    named.reverse = Some(true);
                    at += 1;
                }
                "noreverse" | "no_reverse" => {
                    named.reverse = Some(false);
                    at += 1;
                }
                _ => break,
            }
        }
        into.push(named);
    }
}

/// `weight N [reverse]` of a definition.
pub(super) fn own_weight(
    line: &Statement,
    most: i32,
    complaints: &mut Complaints<'_>,
) -> Option<(i32, bool)> {
    let found = weight(line, 1, most, complaints)?;
    Some((found, line.text(2) == "reverse"))
}

/// A weight at a position of a line; what lies beyond is an error as it would move addresses wrongly.
pub(super) fn weight(
    line: &Statement,
    at: usize,
    most: i32,
    complaints: &mut Complaints<'_>,
) -> Option<i32> {
    let Some(word) = line.words.get(at) else {
        complaints.missing(line, &format!("a weight from -{most} to {most}"));
        return None;
    };
    match word.text.parse::<i32>() {
        Ok(weight) if (-most..=most).contains(&weight) => Some(weight),
        Ok(weight @ (-255..=255)) => {
            // The range that old manuals give: keepalived takes the nearest that it allows.
            let clamped = weight.clamp(-most, most);
            let message = format!("weight {weight} is beyond -{most} to {most}: {clamped} is used");
            complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
            Some(clamped)
        }
        _ => {
            let message = format!(
                "a weight from -{most} to {most} was expected, found '{}'",
                word.text
            );
            complaints.left_out(word.span, message);
            None
        }
    }
}

fn twice(kind: &str, name: &Word, complaints: &mut Complaints<'_>) {
    let message = format!("{kind} '{}' is tracked twice", name.text);
    complaints.warning(DiagnosticKind::Duplicate, name.span, message);
}

/// Sessions that tell checkers alone are none that may be tracked: keepalived ignores such an entry, too.
fn without_checkers(
    named: Vec<Named>,
    config: &KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) -> Vec<Named> {
    let mut is_told = |one: &Named| {
        let mut bfds = config.bfd_instances.iter();
        let found = bfds.find(|bfd| bfd.name.text == one.name.text);
        let told = found.is_none_or(|bfd| bfd.tells_vrrp);
        if !told {
            let message = format!(
                "track_bfd '{}' is ignored: the session is for checkers alone ('checker')",
                one.name.text
            );
            complaints.warning(DiagnosticKind::Pointless, one.name.span, message);
        }
        told
    };
    named.into_iter().filter(|one| is_told(one)).collect()
}

fn look_up(
    kind: &str,
    named: Vec<Named>,
    known: Vec<(&str, i32, bool)>,
    complaints: &mut Complaints<'_>,
) -> Vec<Tracked<usize>> {
    let mut tracked: Vec<Tracked<usize>> = Vec::new();
    for one in named {
        let Some(item) = known.iter().position(|(name, ..)| *name == one.name.text) else {
            let definition = match kind {
                "script" => "vrrp_script",
                "process" => "vrrp_track_process",
                "bfd" => "bfd_instance",
                _ => "track_file",
            };
            // keepalived says so and runs without it.
            let message = format!(
                "track_{kind} '{}' is ignored: no '{definition}' has this name",
                one.name.text
            );
            let mut diagnostic =
                Diagnostic::warning(DiagnosticKind::UnknownName, one.name.span, message);
            diagnostic.help = did_you_mean(&one.name.text, known.iter().map(|(name, ..)| *name));
            complaints.0.push(diagnostic);
            continue;
        };
        if tracked.iter().any(|known| known.item == item) {
            twice(kind, &one.name, complaints);
            continue;
        }
        tracked.push(Tracked {
            item,
            weight: one.weight.unwrap_or(known[item].1),
            reverse: one.reverse.unwrap_or(known[item].2),
        });
    }
    tracked
}

fn by_name(kind: &str, named: Vec<Named>, complaints: &mut Complaints<'_>) -> Vec<Tracked<Word>> {
    let mut tracked: Vec<Tracked<Word>> = Vec::new();
    for one in named {
        if tracked.iter().any(|known| known.item.text == one.name.text) {
            twice(kind, &one.name, complaints);
            continue;
        }
        tracked.push(Tracked {
            item: one.name,
            weight: one.weight.unwrap_or(0),
            reverse: one.reverse.unwrap_or(false),
        });
    }
    tracked
}
