//! Words of rules to [`CompiledRules`]; every complaint carries the word's place.

mod answers;
mod arguments;
mod captures;
mod table;
mod words;

use std::sync::Arc;

use config::haproxy::{HaproxyConfig, ProxyConfig, RuleLine};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Word};

use super::actions::Action;
use super::{CompiledRules, Rule, Target, error_pages};
use crate::acl::{Acls, Condition};
use crate::log::{LogFormat, Purpose};
use crate::sample::{self, Names, Scope};
use answers::redirect;
use table::{ACTIONS, CONNECTION, CONTENT, Place, REQUEST, RESPONSE, SESSION, unknown_action};
use words::Words;

pub(crate) use answers::challenge;
pub(super) use table::action_names;

/// Compiles the rules of the proxy at `index` of the configuration.
pub fn compile(
    config: &HaproxyConfig,
    index: usize,
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> CompiledRules {
    let Some(proxy) = config.proxies.get(index) else {
        return CompiledRules::default();
    };
    let scope = Scope {
        config,
        proxy,
        names,
    };
    let acls = Acls::compile(&proxy.acls, &scope, diagnostics);
    let mut compiler = Compiler {
        scope,
        acls,
        diagnostics,
        rules: CompiledRules {
            pages: Some(error_pages(proxy)),
            ..CompiledRules::default()
        },
    };
    compiler.captures(proxy);
    compiler.run(proxy);
    compiler.rules
}

struct Compiler<'a> {
    scope: Scope<'a>,
    acls: Acls,
    diagnostics: &'a mut Diagnostics,
    rules: CompiledRules,
}

impl Compiler<'_> {
    /// An action that is accepted without effect; the notice says why.
    fn pointless(&mut self, word: &Word, action: &str, why: &str) -> Action {
        let message = format!("'{action}' has no effect: {why}");
        let mut notice = Diagnostic::warning(DiagnosticKind::Pointless, word.span, message);
        notice.severity = config::Severity::Notice;
        self.diagnostics.push(notice);
        Action::Nothing
    }
}

impl Compiler<'_> {
    fn run(&mut self, proxy: &ProxyConfig) {
        for line in &proxy.tcp_request_connection {
            if let Some(rule) = self.rule(&skip_word(line, &["connection"]), CONNECTION) {
                self.rules.tcp_connection.push(rule);
            }
        }
        self.rules.inspect_delay = proxy.inspect_delay;
        for line in &proxy.tcp_request_content {
            if line
                .words
                .first()
                .is_some_and(|word| word.text == "session")
            {
                if let Some(rule) = self.rule(&skip_word(line, &["session"]), SESSION) {
                    self.rules.tcp_session.push(rule);
                }
                continue;
            }
            let line = skip_word(line, &["content"]);
            if line
                .words
                .first()
                .is_some_and(|word| word.text == "inspect-delay")
            {
                continue;
            }
            if let Some(rule) = self.rule(&line, CONTENT) {
                self.rules.reads_content |= reads_content(&rule);
                self.rules.tcp_content.push(rule);
            }
        }
        for line in &proxy.http_request {
            if let Some(rule) = self.rule(line, REQUEST) {
                self.rules.request.push(rule);
            }
        }
        for line in &proxy.redirects {
            let mut words = Words {
                words: &line.words,
                last: line.span,
                argument: None,
            };
            let action = redirect(&mut words, self).map(Action::Redirect);
            if let Some(rule) = self.finish(action, &words) {
                self.rules.request.push(rule);
            }
        }
        for line in &proxy.http_response {
            if let Some(rule) = self.rule(line, RESPONSE) {
                self.rules.response.push(rule);
            }
        }
        self.backends(proxy);
        if let Some((format, header)) = &proxy.unique_id {
            match LogFormat::compile(format, Purpose::Text, &self.scope) {
                Ok(format) => {
                    self.rules.unique_id = Some((
                        format,
                        header.as_ref().map(|name| name.clone().into_bytes()),
                    ));
                }
                Err(diagnostic) => self.diagnostics.push(diagnostic),
            }
        }
    }

    fn rule(&mut self, line: &RuleLine, place: Place) -> Option<Rule> {
        let Some((word, rest)) = line.words.split_first() else {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::Syntax,
                line.span,
                "expected an action",
            ));
            return None;
        };
        let (name, argument) = match word.text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')').to_owned())),
            None => (word.text.as_str(), None),
        };
        let row = ACTIONS
            .binary_search_by_key(&name, |row| row.name)
            .ok()
            .map(|at| &ACTIONS[at])
            .filter(|row| row.places & place.0 != 0);
        let Some(row) = row else {
            self.diagnostics.push(unknown_action(word, name, place));
            return None;
        };
        let mut words = Words {
            words: rest,
            last: word.span,
            argument,
        };
        let action = (row.compile)(&mut words, self, place);
        self.finish(action, &words)
    }

    fn finish(&mut self, action: Result<Action, Diagnostic>, words: &Words<'_>) -> Option<Rule> {
        let action = match action {
            Ok(action) => action,
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        match Condition::compile(words.words, &self.acls, &self.scope) {
            Ok(condition) => Some(Rule { condition, action }),
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn backends(&mut self, proxy: &ProxyConfig) {
        let mut shared = None;
        for line in &proxy.use_backends {
            let target = if line.backend.text.contains('%') {
                let names = shared.get_or_insert_with(|| Arc::new(self.scope.names.clone()));
                LogFormat::compile(&line.backend, Purpose::Text, &self.scope)
                    .map(|format| Target::Named(format, Arc::clone(names)))
            } else {
                self.backend(&line.backend).map(Target::Fixed)
            };
            match (
                target,
                Condition::compile(&line.condition, &self.acls, &self.scope),
            ) {
                (Ok(target), Ok(condition)) => {
                    let reads = condition.as_ref().is_some_and(Condition::reads_content)
                        || matches!(target, Target::Named(..));
                    self.rules.routes_by_content |= reads;
                    self.rules.backends.push((condition, target));
                }
                (target, condition) => {
                    for diagnostic in [target.err(), condition.err()].into_iter().flatten() {
                        self.diagnostics.push(diagnostic);
                    }
                }
            }
        }
        match &proxy.default_backend {
            Some(word) => match self.backend(word) {
                Ok(id) => self.rules.default_backend = Some(id),
                Err(diagnostic) => self.diagnostics.push(diagnostic),
            },
            None if proxy.kind.is_backend() => {
                self.rules.default_backend = self.scope.names.backend(&proxy.name.text);
            }
            None => {}
        }
    }

    fn backend(&self, word: &Word) -> Result<crate::state::BackendId, Diagnostic> {
        self.scope.names.backend(&word.text).ok_or_else(|| {
            sample::suggest(
                Diagnostic::error(
                    DiagnosticKind::UnknownName,
                    word.span,
                    format!("no such backend: '{}'", word.text),
                ),
                &word.text,
                self.scope.names.backend_names(),
            )
        })
    }
}

/// Whether a rule looks at a stream's first bytes; of actions that take samples it is assumed.
fn reads_content(rule: &Rule) -> bool {
    let condition = rule.condition.as_ref();
    condition.is_some_and(Condition::reads_content)
        || !matches!(
            rule.action,
            Action::Allow
                | Action::Reject
                | Action::SilentDrop
                | Action::SwitchToHttp
                | Action::SetLogLevel(_)
                | Action::UnsetVariable(_)
                | Action::Nothing
        )
}

fn skip_word(line: &RuleLine, names: &[&str]) -> RuleLine {
    let mut line = line.clone();
    if line
        .words
        .first()
        .is_some_and(|word| names.contains(&word.text.as_str()))
    {
        line.words.remove(0);
    }
    line
}
