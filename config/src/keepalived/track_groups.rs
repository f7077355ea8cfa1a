//! `track_group` at the top level: instances that are in FAULT while something static of the group cannot be there.

use serde::{Deserialize, Serialize};

use super::addressing::Statics;
use super::model::VrrpInstance;
use super::parser::{body, entries};
use super::tree::Statement;
use super::values::Complaints;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{Span, Word};
use crate::suggest::did_you_mean;

/// `track_group NAME { group { … } }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaticTrackGroup {
    /// Its name.
    pub name: Word,
    /// Its instances, by their positions.
    pub members: Vec<usize>,
}

/// Reads the groups when all instances are known, and looks whether static entries name groups that there are.
pub(super) fn finish(
    statements: &[Statement],
    statics: &mut Statics,
    instances: &[VrrpInstance],
    complaints: &mut Complaints<'_>,
) {
    for statement in statements {
        let Some(name) = statement.words.get(1).cloned() else {
            complaints.missing(statement, "a name");
            continue;
        };
        let mut members = Vec::new();
        for line in body(statement) {
            if line.name() != "group" {
                complaints.unknown(line, "'track_group'", ["group"]);
                continue;
            }
            for word in entries(line) {
                match instances.iter().position(|one| one.name.text == word.text) {
                    Some(at) => members.push(at),
                    None => {
                        let message = format!("no vrrp_instance '{}': it is left out", word.text);
                        complaints.warning(DiagnosticKind::UnknownName, word.span, message);
                    }
                }
            }
        }
        statics
            .track_groups
            .push(StaticTrackGroup { name, members });
    }
    let known: Vec<_> = statics
        .track_groups
        .iter()
        .map(|group| group.name.text.clone())
        .collect();
    let addresses = statics.addresses.iter_mut().map(|one| &mut one.track_group);
    let routes = statics.routes.iter_mut().map(|one| &mut one.track_group);
    let rules = statics.rules.iter_mut().map(|one| &mut one.track_group);
    for named in addresses.chain(routes).chain(rules) {
        let Some(word) = named else { continue };
        if known.contains(&word.text) {
            // An entry that only moves in the text is the same entry.
            word.span = Span::default();
            continue;
        }
        let message = format!("no track_group '{}': nothing tracks it", word.text);
        let help = did_you_mean(&word.text, known.iter().map(String::as_str));
        let mut diagnostic = Diagnostic::warning(DiagnosticKind::UnknownName, word.span, message);
        diagnostic.help = help;
        complaints.0.push(diagnostic);
        *named = None;
    }
}

/// What is virtual moves with its instance anyway.
pub(super) fn only_static(named: &mut Option<Word>, complaints: &mut Complaints<'_>) {
    if let Some(word) = named.take() {
        let message = "'track_group' does nothing here: it is for static entries";
        complaints.warning(DiagnosticKind::Pointless, word.span, message);
    }
}
