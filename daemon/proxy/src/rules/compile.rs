//! Words of rules to [`CompiledRules`]; every complaint carries the word's place.

use std::sync::Arc;

use config::haproxy::{HaproxyConfig, LogLevel, ProxyConfig, RuleLine};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Span, Word};
use regex::bytes::Regex;

use super::actions::{Action, ListChange, NamedList, Told};
use super::redirect::{Base, Redirect};
use super::reply::{Content, Reply};
use super::{
    CompiledRules, CookieCapture, HeaderCapture, Rule, Target, error_pages, is_built_in, parse_page,
};
use crate::acl::{Acls, Condition};
use crate::log::{LogFormat, Purpose};
use crate::pattern::{Method, Patterns};
use crate::sample::{self, Expression, Names, Scope};

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

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u8);

const REQUEST: Place = Place(1);
const RESPONSE: Place = Place(2);
const CONNECTION: Place = Place(4);
const CONTENT: Place = Place(8);
const SESSION: Place = Place(16);

/// An action's word, where it may stand, and how its arguments are read.
struct ActionRow {
    name: &'static str,
    places: u8,
    compile: fn(&mut Words<'_>, &mut Compiler<'_>, Place) -> Result<Action, Diagnostic>,
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
static ACTIONS: &[ActionRow] = &[
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
pub(super) fn action_names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|row| row.name)
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

/// `expect-proxy layer4`.
fn expect_proxy(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let word = words.next("'layer4'")?;
    if word.text != "layer4" {
        return Err(invalid(
            word,
            format!("expected 'layer4', found '{}'", word.text),
        ));
    }
    Ok(Action::ExpectProxy)
}

/// The words of a rule, read from left to right.
struct Words<'w> {
    words: &'w [Word],
    /// The last word read, for complaints about what is missing after it.
    last: Span,
    /// What stood in the action's parentheses.
    argument: Option<String>,
}

impl<'w> Words<'w> {
    fn peek(&self) -> Option<&'w Word> {
        self.words.first()
    }

    fn at_end(&self) -> bool {
        self.peek()
            .is_none_or(|word| matches!(word.text.as_str(), "if" | "unless"))
    }

    fn next(&mut self, wanted: &str) -> Result<&'w Word, Diagnostic> {
        match self.words.split_first() {
            Some((word, rest)) if !self.at_end() => {
                self.words = rest;
                self.last = word.span;
                Ok(word)
            }
            _ => Err(Diagnostic::error(
                DiagnosticKind::Syntax,
                self.last,
                format!("expected {wanted} after this"),
            )),
        }
    }

    fn take(&mut self, keyword: &str) -> bool {
        match self.words.split_first() {
            Some((word, rest)) if word.text == keyword => {
                self.words = rest;
                self.last = word.span;
                true
            }
            _ => false,
        }
    }

    /// A header's name.
    fn name(&mut self) -> Result<Vec<u8>, Diagnostic> {
        let word = self.next("a header's name")?;
        let good = !word.text.is_empty() && word.text.bytes().all(crate::http::is_token);
        if good {
            Ok(word.text.clone().into_bytes())
        } else {
            Err(invalid(
                word,
                format!("'{}' is not a header's name", word.text),
            ))
        }
    }

    fn format(&mut self, compiler: &Compiler<'_>) -> Result<LogFormat, Diagnostic> {
        let word = self.next("a format")?;
        LogFormat::compile(word, Purpose::Text, &compiler.scope)
    }

    fn regex(&mut self) -> Result<Regex, Diagnostic> {
        let word = self.next("a regular expression")?;
        regex::bytes::RegexBuilder::new(&word.text)
            .unicode(false)
            .build()
            .map_err(|error| invalid(word, format!("invalid regular expression: {error}")))
    }

    fn expression(&mut self, compiler: &Compiler<'_>) -> Result<Expression, Diagnostic> {
        let word = self.next("a sample expression")?;
        Expression::compile(word, &compiler.scope)
    }

    fn number<N: std::str::FromStr>(&mut self, wanted: &str) -> Result<N, Diagnostic> {
        let word = self.next(wanted)?;
        word.text
            .parse()
            .map_err(|_| invalid(word, format!("expected {wanted}, found '{}'", word.text)))
    }

    /// The file of a list, in the action's parentheses. It need not be in use: then nothing is changed.
    fn list(&mut self, compiler: &Compiler<'_>) -> Result<NamedList, Diagnostic> {
        match self.argument.as_deref() {
            Some(path) if !path.is_empty() => Ok(NamedList {
                registry: std::sync::Arc::clone(compiler.scope.names.patterns()),
                path: path.to_owned(),
            }),
            _ => Err(Diagnostic::error(
                DiagnosticKind::Syntax,
                self.last,
                "the file of the list is expected in parentheses",
            )),
        }
    }

    fn variable(&mut self) -> Result<String, Diagnostic> {
        let span = self.last;
        let text = self.argument.clone().unwrap_or_default();
        let name = text.split(',').next().unwrap_or_default().trim().to_owned();
        sample::variable_name(&name, span)
    }
}

fn invalid(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
}

fn not_yet(word: &Word, what: &str) -> Diagnostic {
    Diagnostic::error(
        DiagnosticKind::NotSupportedYet,
        word.span,
        format!("{what} '{}' is not supported yet", word.text),
    )
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

    fn captures(&mut self, proxy: &ProxyConfig) {
        for line in &proxy.captures {
            if let Err(diagnostic) = self.capture_line(line) {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// `capture request|response header NAME len N`, `capture cookie NAME len N`.
    fn capture_line(&mut self, line: &RuleLine) -> Result<(), Diagnostic> {
        let mut words = Words {
            words: &line.words,
            last: line.span,
            argument: None,
        };
        let kind = words.next("'request', 'response' or 'cookie'")?;
        if kind.text == "cookie" {
            let name = words.next("a cookie's name")?.text.clone();
            let length = length(&mut words)?;
            let exact = name.ends_with('=');
            self.rules.cookie_capture = Some(CookieCapture {
                name: name.trim_end_matches('=').as_bytes().to_vec(),
                exact,
                length,
            });
            return Ok(());
        }
        if kind.text == "capture" {
            // `declare capture`: a slot that no header fills.
            let side = words.next("'request' or 'response'")?;
            let slot = HeaderCapture {
                name: Vec::new(),
                length: length(&mut words)?,
            };
            if side.text == "response" {
                self.rules.response_captures.push(slot);
            } else {
                self.rules.request_captures.push(slot);
            }
            return Ok(());
        }
        let header = words.next("'header'")?;
        if header.text != "header" {
            return Err(invalid(
                header,
                format!("expected 'header', found '{}'", header.text),
            ));
        }
        let capture = HeaderCapture {
            name: words.name()?,
            length: length(&mut words)?,
        };
        match kind.text.as_str() {
            "request" => self.rules.request_captures.push(capture),
            "response" => self.rules.response_captures.push(capture),
            other => {
                return Err(invalid(
                    kind,
                    format!("expected 'request', 'response' or 'cookie', found '{other}'"),
                ));
            }
        }
        Ok(())
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

fn unknown_action(word: &Word, name: &str, place: Place) -> Diagnostic {
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

fn length(words: &mut Words<'_>) -> Result<usize, Diagnostic> {
    let keyword = words.next("'len'")?;
    if keyword.text != "len" {
        return Err(invalid(
            keyword,
            format!("expected 'len', found '{}'", keyword.text),
        ));
    }
    words.number("a length")
}

/// `auth [realm R]`: 401, or 407, with a challenge (RFC 9110 11.6.1).
fn auth(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let realm = if words.take("realm") {
        words.next("a realm")?.text.clone()
    } else {
        compiler.scope.proxy.name.text.clone()
    };
    let reply = |status, header: &[u8]| {
        let mut reply = Reply::page(status);
        let challenge = LogFormat::literal(challenge(&realm).as_bytes());
        reply.headers.push((header.to_vec(), challenge));
        reply
    };
    Ok(Action::Auth(Box::new([
        reply(401, b"www-authenticate"),
        reply(407, b"proxy-authenticate"),
    ])))
}

/// `switch-mode http [proto h1|h2]`; which version the client speaks shows in its first bytes.
fn switch_mode(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let refuse = |word: &Word, message: String| {
        Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
    };
    let mode = words.next("'http'")?;
    if mode.text != "http" {
        let message = format!("'switch-mode' expects 'http', not '{}'", mode.text);
        return Err(refuse(mode, message));
    }
    if !compiler.scope.proxy.kind.is_frontend() {
        let message = "'switch-mode' needs a proxy with frontend capability".to_owned();
        return Err(refuse(mode, message));
    }
    if words.take("proto") {
        let proto = words.next("'h1' or 'h2'")?;
        if !matches!(proto.text.as_str(), "h1" | "h2") {
            let message = format!("'proto' expects 'h1' or 'h2', not '{}'", proto.text);
            return Err(refuse(proto, message));
        }
    }
    Ok(Action::SwitchToHttp)
}

/// The value of `WWW-Authenticate`.
pub(crate) fn challenge(realm: &str) -> String {
    format!(
        "Basic realm=\"{}\"",
        realm.replace('\\', "\\\\").replace('"', "\\\"")
    )
}

fn capture(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    place: Place,
) -> Result<Action, Diagnostic> {
    let expression = words.expression(compiler)?;
    let keyword = words.next("'len' or 'id'")?;
    match keyword.text.as_str() {
        "len" => {
            let length = words.number("a length")?;
            let slot = if place == RESPONSE {
                compiler.rules.extra_response_slots += 1;
                compiler.rules.response_captures.len() + compiler.rules.extra_response_slots - 1
            } else {
                compiler.rules.extra_request_slots += 1;
                compiler.rules.request_captures.len() + compiler.rules.extra_request_slots - 1
            };
            Ok(Action::Capture {
                expression,
                slot,
                length,
            })
        }
        "id" => {
            let slot: usize = words.number("the number of a capture slot")?;
            let side = if place == RESPONSE {
                "response"
            } else {
                "request"
            };
            let length = slot_length(compiler, side, slot).ok_or_else(|| {
                invalid(
                    keyword,
                    format!("no frontend has a {side} capture slot {slot} ('declare capture {side} len N' makes one)"),
                )
            })?;
            Ok(Action::Capture {
                expression,
                slot,
                length,
            })
        }
        other => Err(invalid(
            keyword,
            format!("expected 'len' or 'id', found '{other}'"),
        )),
    }
}

/// How long a capture slot is: of this proxy if it accepts connections, else of the first frontend that has the slot.
fn slot_length(compiler: &Compiler<'_>, side: &str, slot: usize) -> Option<usize> {
    let of = |proxy: &ProxyConfig| -> Option<usize> {
        let mut lines = proxy.captures.iter().filter(|line| {
            let text = |at: usize| line.words.get(at).map_or("", |word| word.text.as_str());
            text(0) == side || (text(0) == "capture" && text(1) == side)
        });
        lines.nth(slot)?.words.last()?.text.parse().ok()
    };
    let own = compiler.scope.proxy;
    if own.kind.is_frontend() {
        let extra = if side == "response" {
            compiler.rules.extra_response_slots
        } else {
            compiler.rules.extra_request_slots
        };
        // A slot of an earlier `capture … len` takes what any slot may take.
        return of(own).or((extra > 0).then_some(usize::from(u16::MAX)));
    }
    compiler.scope.config.proxies.iter().find_map(of)
}

/// `wait-for-body time TIME [at-least BYTES]`.
fn wait_for_body(
    words: &mut Words<'_>,
    _: &mut Compiler<'_>,
    _: Place,
) -> Result<Action, Diagnostic> {
    let keyword = words.next("'time'")?;
    if keyword.text != "time" {
        return Err(invalid(
            keyword,
            format!("expected 'time', found '{}'", keyword.text),
        ));
    }
    let word = words.next("a time")?;
    let within = config::haproxy::time(&word.text).map_err(|why| invalid(word, why))?;
    let at_least = if words.take("at-least") {
        let word = words.next("a number of bytes")?;
        size(&word.text).ok_or_else(|| invalid(word, format!("'{}' is not a size", word.text)))?
    } else {
        0
    };
    Ok(Action::WaitForBody(within, at_least))
}

/// A size as the manual's 2.5 has it: bytes, or with `k`, `m`, `g`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    Some(u64::from(digits.parse::<u32>().ok()?) << shift)
}

/// `del-header NAME [-m METHOD]`.
fn del_header(words: &mut Words<'_>, _: &mut Compiler<'_>, _: Place) -> Result<Action, Diagnostic> {
    let name = words.next("a header's name")?;
    let mut method = Method::Str;
    if words.take("-m") {
        let word = words.next("a match method")?;
        method = Method::parse(&word.text)
            .filter(|method| {
                matches!(
                    method,
                    Method::Str | Method::Beg | Method::End | Method::Sub | Method::Reg
                )
            })
            .ok_or_else(|| invalid(word, format!("'{}' does not fit header names", word.text)))?;
    }
    let mut patterns = Patterns::new(method, true);
    patterns
        .add(&name.text)
        .map_err(|message| invalid(name, message))?;
    Ok(Action::DelHeader(patterns))
}

fn log_level(words: &mut Words<'_>, _: &mut Compiler<'_>, _: Place) -> Result<Action, Diagnostic> {
    let word = words.next("a level")?;
    let level = match word.text.as_str() {
        "silent" => None,
        "emerg" => Some(LogLevel::Emerg),
        "alert" => Some(LogLevel::Alert),
        "crit" => Some(LogLevel::Crit),
        "err" => Some(LogLevel::Err),
        "warning" => Some(LogLevel::Warning),
        "notice" => Some(LogLevel::Notice),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        other => return Err(invalid(word, format!("unknown log level '{other}'"))),
    };
    Ok(Action::SetLogLevel(level))
}

fn set_status(words: &mut Words<'_>, _: &mut Compiler<'_>, _: Place) -> Result<Action, Diagnostic> {
    let status = words.number("a status")?;
    let reason = if words.take("reason") {
        words.next("a reason phrase")?.text.clone()
    } else {
        super::reply::reason(status).to_owned()
    };
    Ok(Action::SetStatus(status, reason.into_bytes()))
}

/// The arguments of `deny`, `tarpit` and `return` (manual, `http-request return`).
fn reply(
    words: &mut Words<'_>,
    compiler: &mut Compiler<'_>,
    default_status: u16,
) -> Result<Reply, Diagnostic> {
    let mut reply = Reply::page(default_status);
    let is_return = default_status == 200;
    if is_return {
        reply.content = Content::Empty;
    }
    let mut page_wanted = None;
    while !words.at_end() {
        let word = words.next("an argument")?;
        match word.text.as_str() {
            "status" | "deny_status" => {
                reply.status = words.number("a status")?;
                if !(200..=599).contains(&reply.status) {
                    return Err(invalid(
                        word,
                        "a status lies between 200 and 599".to_owned(),
                    ));
                }
                page_wanted.get_or_insert(word);
            }
            "content-type" => {
                reply.content_type = Some(words.next("a content type")?.text.clone());
            }
            "default-errorfiles" => reply.content = Content::ErrorPage,
            "errorfile" => {
                let file = words.next("a file")?;
                let page = read_file(file).and_then(|content| {
                    parse_page(&content)
                        .ok_or_else(|| invalid(file, "the file is not an HTTP answer".to_owned()))
                })?;
                reply.content = Content::Page(Box::new(page));
            }
            "file" => {
                let file = words.next("a file")?;
                reply.content = Content::Fixed(read_file(file)?.into());
            }
            "lf-file" => {
                let file = words.next("a file")?;
                let text = String::from_utf8(read_file(file)?)
                    .map_err(|_| invalid(file, "the file is not text".to_owned()))?;
                reply.content = Content::Format(LogFormat::compile(
                    &Word::new(text, file.span),
                    Purpose::Text,
                    &compiler.scope,
                )?);
            }
            "string" => {
                let text = words.next("a text")?;
                reply.content = Content::Fixed(text.text.clone().into_bytes().into());
            }
            "lf-string" => reply.content = Content::Format(words.format(compiler)?),
            "hdr" => {
                let name = words.name()?;
                let value = words.format(compiler)?;
                reply.headers.push((name, value));
            }
            "errorfiles" => return Err(not_yet(word, "argument")),
            other => {
                return Err(Diagnostic::error(
                    DiagnosticKind::UnknownWord,
                    word.span,
                    format!("unexpected argument '{other}'"),
                ));
            }
        }
    }
    let has_body = match &reply.content {
        Content::Fixed(body) => !body.is_empty(),
        Content::Format(_) => true,
        _ => false,
    };
    if has_body && reply.content_type.is_none() {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            words.last,
            "an answer with a body needs 'content-type'",
        ));
    }
    if matches!(reply.content, Content::ErrorPage)
        && !is_built_in(reply.status)
        && let Some(word) = page_wanted
    {
        return Err(invalid(
            word,
            format!("there is no error page for status {}", reply.status),
        ));
    }
    Ok(reply)
}

/// Longest file of a reply in bytes.
const MAX_REPLY_FILE_BYTES: u64 = 1 << 20;

fn read_file(word: &Word) -> Result<Vec<u8>, Diagnostic> {
    let wrong = |message: String| Diagnostic::error(DiagnosticKind::File, word.span, message);
    let metadata = std::fs::metadata(&word.text)
        .map_err(|error| wrong(format!("cannot read '{}': {error}", word.text)))?;
    if metadata.len() > MAX_REPLY_FILE_BYTES {
        return Err(wrong(format!(
            "'{}' is larger than {MAX_REPLY_FILE_BYTES} bytes",
            word.text
        )));
    }
    std::fs::read(&word.text)
        .map_err(|error| wrong(format!("cannot read '{}': {error}", word.text)))
}

/// `location|prefix|scheme FORMAT [code N] [options]`.
fn redirect(words: &mut Words<'_>, compiler: &mut Compiler<'_>) -> Result<Redirect, Diagnostic> {
    let mut redirect: Option<(Base, LogFormat)> = None;
    let (mut code, mut drop_query, mut append_slash, mut ignore_empty) = (302, false, false, false);
    let mut cookie = None;
    while !words.at_end() {
        let word = words.next("'location', 'prefix' or 'scheme'")?;
        let base = match word.text.as_str() {
            "location" => Some(Base::Location),
            "prefix" => Some(Base::Prefix),
            "scheme" => Some(Base::Scheme),
            _ => None,
        };
        if let Some(base) = base {
            redirect = Some((base, words.format(compiler)?));
            continue;
        }
        match word.text.as_str() {
            "code" => {
                code = words.number("a status")?;
                if !matches!(code, 301 | 302 | 303 | 307 | 308) {
                    return Err(Diagnostic::error(
                        DiagnosticKind::InvalidValue,
                        words.last,
                        format!("redirect code {code} is none of 301, 302, 303, 307, 308"),
                    ));
                }
            }
            "drop-query" => drop_query = true,
            "append-slash" => append_slash = true,
            "ignore-empty" => ignore_empty = true,
            "set-cookie" => {
                cookie = Some(format!("{}; path=/;", words.next("a cookie")?.text));
            }
            "clear-cookie" => {
                cookie = Some(format!(
                    "{}; path=/; Max-Age=0;",
                    words.next("a cookie")?.text
                ));
            }
            "keep-query" => return Err(not_yet(word, "redirect option")),
            other => {
                return Err(sample::suggest(
                    Diagnostic::error(
                        DiagnosticKind::UnknownWord,
                        word.span,
                        format!("unknown redirect option '{other}'"),
                    ),
                    other,
                    [
                        "location",
                        "prefix",
                        "scheme",
                        "code",
                        "drop-query",
                        "append-slash",
                        "set-cookie",
                        "clear-cookie",
                    ]
                    .into_iter(),
                ));
            }
        }
    }
    let Some((base, text)) = redirect else {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            words.last,
            "a redirect needs 'location', 'prefix' or 'scheme'",
        ));
    };
    Ok(Redirect {
        base,
        text,
        code,
        drop_query,
        append_slash,
        ignore_empty,
        cookie,
    })
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
