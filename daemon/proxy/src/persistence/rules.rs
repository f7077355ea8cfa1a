//! `use-server`, `force-persist` and `ignore-persist`: what conditions say of a request's server.

use config::haproxy::PersistKind;
use config::{Diagnostic, DiagnosticKind, Diagnostics};

use crate::acl::{self, Acls, Condition};
use crate::log::{LogFormat, Purpose};
use crate::sample::{self, Scope, View};
use crate::state::{Backend, ServerId};

/// Where a `use-server` leads.
enum Target {
    Fixed(ServerId),
    Named(LogFormat),
}

/// What persistence rules say of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persist {
    /// Nothing: cookies count while their server is usable.
    #[default]
    Usual,
    /// `force-persist`: cookies count also if their server is down.
    Force,
    /// `ignore-persist`: cookies do not count.
    Ignore,
}

/// A backend's rules about servers, compiled.
#[derive(Default)]
pub struct ServerRules {
    use_servers: Vec<(Option<Condition>, Target)>,
    persist: Vec<(Persist, Option<Condition>)>,
}

/// Compiles the rules of the scope's proxy, a backend.
pub fn server_rules(scope: &Scope<'_>, diagnostics: &mut Diagnostics) -> ServerRules {
    let proxy = scope.proxy;
    let mut rules = ServerRules::default();
    if proxy.use_servers.is_empty() && proxy.persist_rules.is_empty() {
        return rules;
    }
    // Complaints about the ACLs themselves are made where the other rules are compiled.
    let acls = Acls::compile(&proxy.acls, scope, &mut Diagnostics::default());
    for line in &proxy.use_servers {
        let target = if line.server.text.contains('%') {
            LogFormat::compile(&line.server, Purpose::Text, scope).map(Target::Named)
        } else {
            let names = proxy.servers.iter().map(|server| &server.name.text);
            match names.clone().position(|name| *name == line.server.text) {
                Some(at) => Ok(Target::Fixed(ServerId(at as u32))),
                None => Err(sample::suggest(
                    Diagnostic::error(
                        DiagnosticKind::UnknownName,
                        line.server.span,
                        format!(
                            "unable to find server '{}' in backend '{}' referenced in a 'use-server' rule",
                            line.server.text, proxy.name.text
                        ),
                    ),
                    &line.server.text,
                    names.map(String::as_str),
                )),
            }
        };
        let condition = Condition::compile(&line.condition, &acls, scope);
        match (target, condition) {
            (Ok(target), Ok(condition)) => rules.use_servers.push((condition, target)),
            (target, condition) => {
                for diagnostic in [target.err(), condition.err()].into_iter().flatten() {
                    diagnostics.push(diagnostic);
                }
            }
        }
    }
    for line in &proxy.persist_rules {
        let what = match line.kind {
            PersistKind::Force => Persist::Force,
            PersistKind::Ignore => Persist::Ignore,
        };
        match Condition::compile(&line.condition, &acls, scope) {
            Ok(condition) => rules.persist.push((what, condition)),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    rules
}

impl ServerRules {
    /// Servers that rules name.
    pub fn named_servers(&self) -> impl Iterator<Item = ServerId> {
        self.use_servers
            .iter()
            .filter_map(|(_, target)| match target {
                Target::Fixed(id) => Some(*id),
                Target::Named(_) => None,
            })
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.use_servers.is_empty() && self.persist.is_empty()
    }

    /// The first of `force-persist` and `ignore-persist` that holds.
    pub fn persist(&self, view: &View<'_>) -> Persist {
        let found = self
            .persist
            .iter()
            .find(|(_, condition)| acl::holds(condition.as_ref(), view));
        found.map_or(Persist::Usual, |(what, _)| *what)
    }

    /// The server of the first `use-server` that holds. A rule whose server may not be used is passed over; one whose
    /// format names no server ends the search (manual, `use-server`).
    pub fn server(
        &self,
        view: &View<'_>,
        backend: &Backend,
        may_use: impl Fn(ServerId) -> bool,
    ) -> Option<ServerId> {
        for (condition, target) in &self.use_servers {
            if !acl::holds(condition.as_ref(), view) {
                continue;
            }
            let id = match target {
                Target::Fixed(id) => *id,
                Target::Named(format) => {
                    let mut name = Vec::new();
                    format.render_text(view, &mut name);
                    let servers = backend.servers.now();
                    let mut servers = servers.iter();
                    servers.find(|server| server.name.as_bytes() == name)?.id
                }
            };
            if may_use(id) {
                return Some(id);
            }
        }
        None
    }
}
