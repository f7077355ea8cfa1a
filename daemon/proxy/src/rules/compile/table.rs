//! The table of actions: where each may stand, and how its arguments are read.

use config::{Diagnostic, DiagnosticKind, Word};

use super::super::actions::{Action, ListChange, Told};
use super::Compiler;
use super::answers::{auth, redirect, reply};
use super::arguments::{
    del_header, expect_proxy, log_level, set_status, switch_mode, wait_for_body,
};
use super::captures::capture;
use super::words::{Words, not_yet};
use crate::sample;

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(pub(super) u8);

pub(super) const REQUEST: Place = Place(1);
pub(super) const RESPONSE: Place = Place(2);
pub(super) const CONNECTION: Place = Place(4);
pub(super) const CONTENT: Place = Place(8);
pub(super) const SESSION: Place = Place(16);

/// An action's word, where it may stand, and how its arguments are read.
pub(super) struct ActionRow {
    pub(super) name: &'static str,
    pub(super) places: u8,
    pub(super) compile: fn(&mut Words<'_>, &mut Compiler<'_>, Place) -> Result<Action, Diagnostic>,
}

macro_rules! row {
    ($name:literal, $places:expr, $compile:expr) => {
        ActionRow {
            name: $name,
            places: $places,
            compile: $compile,
        }
    };
}

/// Request and response rules.
const BOTH: u8 = 1 | 2;
const ALL: u8 = 1 | 2 | 8;

#[rustfmt::skip]
pub(super) static ACTIONS: &[ActionRow] = &[
    row!("accept", 4 | 8 | 16, |_, _, _| Ok(Action::Allow)),
    row!("add-acl", BOTH, |w, c, _| Ok(Action::ChangeList(w.list(c)?, ListChange::AddPattern(w.format(c)?)))),
    row!("add-header", BOTH, |w, c, _| Ok(Action::AddHeader(w.name()?, w.format(c)?))),
    row!("allow", BOTH, |_, _, _| Ok(Action::Allow)),
    row!("auth", 1, auth),
    row!("capture", ALL, capture),
    row!("del-acl", BOTH, |w, c, _| Ok(Action::ChangeList(w.list(c)?, ListChange::Remove(w.format(c)?)))),
    row!("del-header", BOTH, del_header),
    row!("del-map", BOTH, |w, c, _| Ok(Action::ChangeList(w.list(c)?, ListChange::Remove(w.format(c)?)))),
    row!("deny", BOTH, |w, c, place| Ok(Action::Deny(reply(w, c, if place == RESPONSE { 502 } else { 403 })?))),
    row!("disable-l7-retry", 1, |_, _, _| Ok(Action::DisableReplay)),
    row!("expect-proxy", 4, expect_proxy),
    row!("redirect", BOTH, |w, c, _| redirect(w, c).map(Action::Redirect)),
    row!("reject", 1 | 4 | 8 | 16, |_, _, _| Ok(Action::Reject)),
    row!("replace-header", BOTH, |w, c, _| Ok(Action::ReplaceHeader(w.name()?, w.regex()?, w.format(c)?))),
    row!("replace-path", 1, |w, c, _| Ok(Action::ReplacePath(w.regex()?, w.format(c)?))),
    row!("replace-pathq", 1, |w, c, _| Ok(Action::ReplacePathQuery(w.regex()?, w.format(c)?))),
    row!("replace-uri", 1, |w, c, _| Ok(Action::ReplaceUri(w.regex()?, w.format(c)?))),
    row!("replace-value", BOTH, |w, c, _| Ok(Action::ReplaceValue(w.name()?, w.regex()?, w.format(c)?))),
    row!("return", BOTH, |w, c, _| Ok(Action::Return(reply(w, c, 200)?))),
    row!("set-dst", 1 | 8, |w, c, _| Ok(Action::SetAddress(Told::Destination, w.expression(c)?))),
    row!("set-dst-port", 1 | 8, |w, c, _| Ok(Action::SetAddress(Told::DestinationPort, w.expression(c)?))),
    row!("set-header", BOTH, |w, c, _| Ok(Action::SetHeader(w.name()?, w.format(c)?))),
    row!("set-log-level", ALL, log_level),
    row!("set-map", BOTH, |w, c, _| Ok(Action::ChangeList(w.list(c)?, ListChange::Set(w.format(c)?, w.format(c)?)))),
    row!("set-method", 1, |w, c, _| Ok(Action::SetMethod(w.format(c)?))),
    row!("set-nice", ALL, |w, c, _| w.next("a number").map(|word| c.pointless(word, "set-nice", "all connections have their turn"))),
    row!("set-path", 1, |w, c, _| Ok(Action::SetPath(w.format(c)?))),
    row!("set-pathq", 1, |w, c, _| Ok(Action::SetPathQuery(w.format(c)?))),
    row!("set-priority-class", 1 | 8, |w, c, _| Ok(Action::SetPriorityClass(w.expression(c)?))),
    row!("set-priority-offset", 1 | 8, |w, c, _| Ok(Action::SetPriorityOffset(w.expression(c)?))),
    row!("set-query", 1, |w, c, _| Ok(Action::SetQuery(w.format(c)?))),
    row!("set-src", 1 | 8, |w, c, _| Ok(Action::SetAddress(Told::Source, w.expression(c)?))),
    row!("set-src-port", 1 | 8, |w, c, _| Ok(Action::SetAddress(Told::SourcePort, w.expression(c)?))),
    row!("set-status", 2, set_status),
    row!("set-uri", 1, |w, c, _| Ok(Action::SetUri(w.format(c)?))),
    row!("set-var", ALL | 16, |w, c, _| Ok(Action::SetVariable(w.variable()?, w.expression(c)?))),
    row!("set-var-fmt", ALL | 16, |w, c, _| Ok(Action::SetVariableFormat(w.variable()?, w.format(c)?))),
    row!("silent-drop", ALL | 4 | 16, |_, _, _| Ok(Action::SilentDrop)),
    row!("strict-mode", BOTH, |w, c, _| w.next("'on' or 'off'").map(|word| c.pointless(word, "strict-mode", "no rewriting fails for want of room"))),
    row!("switch-mode", 8, switch_mode),
    row!("tarpit", 1, |w, c, _| Ok(Action::Tarpit(reply(w, c, 500)?))),
    row!("unset-var", ALL | 16, |w, _, _| Ok(Action::UnsetVariable(w.variable()?))),
    row!("wait-for-body", 1, wait_for_body),
    row!("wait-for-handshake", 1, |_, _, _| Ok(Action::Nothing)),
];

/// Actions of HAProxy that are not done, sorted.
#[rustfmt::skip]
const NOT_YET: &[&str] = &[
    "attach-srv", "cache-store", "cache-use", "close", "do-log", "do-resolve",
    "early-hint", "expect-netscaler-cip", "normalize-uri", "pause", "sc-add-gpc", "sc-inc-gpc", "sc-inc-gpc0",
    "sc-inc-gpc1", "sc-set-gpt", "sc-set-gpt0", "send-spoe-group", "set-bandwidth-limit", "set-bc-mark", "set-bc-tos",
    "set-fc-mark", "set-fc-tos", "set-mark", "set-retries", "set-timeout", "set-tos", "track-sc0", "track-sc1", "track-sc2", "use-service",
];

/// All words of the table.
pub(in crate::rules) fn action_names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|row| row.name)
}

pub(super) fn unknown_action(word: &Word, name: &str, place: Place) -> Diagnostic {
    if NOT_YET.binary_search(&name).is_ok() || name.starts_with("lua.") {
        return not_yet(word, "action");
    }
    sample::suggest(
        Diagnostic::error(
            DiagnosticKind::UnknownWord,
            word.span,
            format!("unknown action '{name}' here"),
        ),
        name,
        ACTIONS
            .iter()
            .filter(|row| row.places & place.0 != 0)
            .map(|row| row.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(ACTIONS.is_sorted_by_key(|row| row.name));
        assert!(NOT_YET.is_sorted());
    }
}
