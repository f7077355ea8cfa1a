//! The statistics page's service: who may see it, what a request asks for, and the changes that its forms make.
//!
//! HAProxy's manual, `stats enable` and its neighbours; addresses and answers are those that its tools expect.

use bytes::Bytes;
use config::haproxy::{HaproxyConfig, RuleLine, StatsPage};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Word};
use protocol::operation::{ForcedHealth, Operation, ServerAdmin, ServerName};
use protocol::render::{StatFilter, stat_csv, stat_json};
use protocol::snapshot::Snapshot;

use super::page::{self, View as PageView};
use crate::acl::{self, Acls, Condition};
use crate::app::Shared;
use crate::http::Head;
use crate::rules::{Answer, AnswerKind, Context, challenge, local, reason, refused};
use crate::sample::{Names, Scope, fetches};
use crate::txn::{Stage, Transaction};

/// Largest form that is read, in bytes.
pub const MAX_FORM_BYTES: usize = 16 << 10;
/// HAProxy's realm when none is set.
const DEFAULT_REALM: &str = "HAProxy Statistics";

/// `stats http-request allow|deny|auth`.
enum Access {
    Allow,
    Deny,
    Auth(String),
}

/// The compiled `stats …` of a proxy.
pub struct StatsService {
    page: StatsPage,
    proxy: String,
    admin: Vec<Option<Condition>>,
    access: Vec<(Option<Condition>, Access)>,
}

/// The statistics service of the proxy at `index`, if it has one.
pub fn service(
    config: &HaproxyConfig,
    index: usize,
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> Option<StatsService> {
    let proxy = config.proxies.get(index)?;
    let page = proxy.stats.clone()?;
    let scope = Scope {
        config,
        proxy,
        names,
    };
    // What is wrong with the proxy's ACLs is told where its rules are compiled.
    let acls = Acls::compile(&proxy.acls, &scope, &mut Diagnostics::default());
    let mut condition = |words: &[Word]| match Condition::compile(words, &acls, &scope) {
        Ok(condition) => Some(condition),
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            None
        }
    };
    let admin = page
        .admin
        .iter()
        .filter_map(|words| condition(words))
        .collect();
    let mut access = Vec::new();
    let mut problems = Vec::new();
    for line in &page.http_request {
        match access_rule(line, page.realm.as_deref()) {
            Ok((action, rest)) => {
                if let Some(condition) = condition(rest) {
                    access.push((condition, action));
                }
            }
            Err(diagnostic) => problems.push(diagnostic),
        }
    }
    diagnostics.0.extend(problems);
    Some(StatsService {
        proxy: proxy.name.text.clone(),
        page,
        admin,
        access,
    })
}

fn access_rule<'l>(
    line: &'l RuleLine,
    realm: Option<&str>,
) -> Result<(Access, &'l [Word]), Diagnostic> {
    let Some((word, rest)) = line.words.split_first() else {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            line.span,
            "expected 'allow', 'deny' or 'auth'",
        ));
    };
    match word.text.as_str() {
        "allow" => Ok((Access::Allow, rest)),
        "deny" => Ok((Access::Deny, rest)),
        "auth" => match rest {
            [keyword, realm, rest @ ..] if keyword.text == "realm" => {
                Ok((Access::Auth(realm.text.clone()), rest))
            }
            _ => Ok((
                Access::Auth(realm.unwrap_or(DEFAULT_REALM).to_owned()),
                rest,
            )),
        },
        other => Err(Diagnostic::error(
            DiagnosticKind::UnknownWord,
            word.span,
            format!("expected 'allow', 'deny' or 'auth', found '{other}'"),
        )),
    }
}

/// What the address asks for behind the page's own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    csv: bool,
    json: bool,
    no_refresh: bool,
    up: bool,
    done: Option<String>,
}

impl Wanted {
    fn parse(rest: &[u8]) -> Self {
        let mut wanted = Self::default();
        for part in rest.split(|byte| *byte == b';' || *byte == b'?' || *byte == b'&') {
            match part {
                b"csv" => wanted.csv = true,
                b"json" => wanted.json = true,
                b"norefresh" => wanted.no_refresh = true,
                b"up" => wanted.up = true,
                _ => {
                    if let Some(code) = part.strip_prefix(b"st=") {
                        wanted.done = std::str::from_utf8(code).ok().map(str::to_owned);
                    }
                }
            }
        }
        wanted
    }
}

impl StatsService {
    /// Whether the request is for it: its target begins with `stats uri`.
    pub fn matches(&self, txn: &Transaction) -> bool {
        matches!(txn.request.method(), b"GET" | b"HEAD" | b"POST")
            && txn
                .request
                .wire_target()
                .starts_with(self.page.uri.as_bytes())
    }

    /// Whether the request's body is needed (at most [`MAX_FORM_BYTES`] of it).
    pub fn needs_body(&self, txn: &Transaction) -> bool {
        txn.request.method() == b"POST"
    }

    /// The answer.
    pub fn answer(
        &self,
        shared: &Shared,
        context: &mut Context<'_>,
        body: &[u8],
    ) -> Option<Answer> {
        if let Some(answer) = self.refuse(context) {
            return Some(answer);
        }
        context.txn.is_statistics = true;
        let is_admin = {
            let view = context.view();
            self.admin
                .iter()
                .any(|condition| acl::holds(condition.as_ref(), &view))
        };
        if context.txn.request.method() == b"POST" {
            let code = if !is_admin || is_cross_site(&context.txn.request) {
                "DENY"
            } else {
                self.perform(shared, body)
            };
            return Some(see_other(&format!("{};st={code}", self.page.uri)));
        }
        let rest = context.txn.request.wire_target()[self.page.uri.len()..].to_vec();
        let wanted = Wanted::parse(&rest);
        let mut worker = super::snapshot(shared);
        if !self.page.scope.is_empty() {
            worker.proxies.retain(|proxy| {
                self.page
                    .scope
                    .iter()
                    .any(|name| *name == proxy.name || (name == "." && proxy.name == self.proxy))
            });
        }
        let filter = StatFilter {
            up: wanted.up,
            ..StatFilter::default()
        };
        let snapshot = Snapshot {
            at_ms: protocol::event::now_ms(),
            node: shared.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            worker: Some(worker),
            proxy_configured: true,
            ..Snapshot::default()
        };
        Some(if wanted.csv {
            self.document("text/plain", stat_csv(&snapshot, filter), None)
        } else if wanted.json {
            self.document("application/json", stat_json(&snapshot, filter), None)
        } else {
            let view = PageView {
                page: &self.page,
                snapshot: &snapshot,
                is_admin,
                only_up: wanted.up,
                no_refresh: wanted.no_refresh,
                done: wanted.done.as_deref(),
                description: shared.config.global.description.as_deref(),
            };
            let refresh = self
                .page
                .refresh
                .filter(|_| !wanted.no_refresh)
                .map(|refresh| refresh.as_secs());
            self.document("text/html; charset=utf-8", page::render(&view), refresh)
        })
    }

    /// 401 or 403 for those who may not see it.
    fn refuse(&self, context: &Context<'_>) -> Option<Answer> {
        let view = context.view();
        for (condition, access) in &self.access {
            if !acl::holds(condition.as_ref(), &view) {
                continue;
            }
            match access {
                Access::Allow => return None,
                Access::Deny => return Some(plain(403, AnswerKind::Denied)),
                Access::Auth(realm) => return Some(self.challenge(realm)),
            }
        }
        if self.page.auth.is_empty() || self.knows(&context.txn.request) {
            return None;
        }
        Some(self.challenge(self.page.realm.as_deref().unwrap_or(DEFAULT_REALM)))
    }

    fn challenge(&self, realm: &str) -> Answer {
        let mut answer = plain(401, AnswerKind::Local);
        answer
            .head
            .add(b"www-authenticate", challenge(realm).as_bytes());
        answer
    }

    /// `stats auth`: every account is looked at, so that time tells nothing.
    fn knows(&self, request: &Head) -> bool {
        let Some((user, password)) = fetches::credentials(request) else {
            return false;
        };
        let mut known = false;
        for (name, secret) in &self.page.auth {
            known |= fetches::same_secret(&user, name.as_bytes())
                & fetches::same_secret(&password, secret.as_bytes());
        }
        known
    }

    /// Makes the changes of a form and says how it went, in HAProxy's four letters.
    fn perform(&self, shared: &Shared, body: &[u8]) -> &'static str {
        if body.len() > MAX_FORM_BYTES {
            return "EXCD";
        }
        let (mut backend, mut action, mut servers) = (None, None, Vec::new());
        for pair in body.split(|byte| *byte == b'&') {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let value =
                crate::sample::converters::url_decode(pair.get(at + 1..).unwrap_or(b""), true);
            let Ok(value) = String::from_utf8(value) else {
                return "ERRP";
            };
            match &pair[..at] {
                b"b" => backend = Some(value),
                b"action" => action = Some(value),
                b"s" => servers.push(value),
                _ => {}
            }
        }
        let (Some(backend), Some(action)) = (backend, action) else {
            return "ERRP";
        };
        if servers.is_empty() {
            return "NONE";
        }
        let (mut done, mut failed) = (0, 0);
        for server in servers {
            let name = ServerName {
                backend: backend.clone(),
                server,
            };
            let Some(operation) = operation_of(&action, name) else {
                return "UNKN";
            };
            match crate::command::apply(shared, &operation) {
                Ok(_) => {
                    done += 1;
                    shared.operated.push(operation);
                }
                Err(_) => failed += 1,
            }
        }
        match (done, failed) {
            (0, _) => "NONE",
            (_, 0) => "DONE",
            _ => "PART",
        }
    }

    fn document(&self, kind: &str, text: String, refresh_s: Option<u64>) -> Answer {
        let mut head = Head::default();
        head.start_response(200, b"OK", 1);
        head.add(b"cache-control", b"no-cache");
        head.add(b"content-type", kind.as_bytes());
        if let Some(seconds) = refresh_s {
            head.add(b"refresh", seconds.to_string().as_bytes());
        }
        if kind.starts_with("text/html") {
            head.add(
                b"content-security-policy",
                b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            );
            head.add(b"referrer-policy", b"same-origin");
        }
        head.add(b"x-content-type-options", b"nosniff");
        head.add(b"content-length", text.len().to_string().as_bytes());
        Answer {
            head,
            body: Bytes::from(text),
            termination: local(Stage::Request),
            kind: AnswerKind::Stats,
            close: false,
        }
    }
}

/// The words of the form's selection, as HAProxy's page sends them.
fn operation_of(action: &str, server: ServerName) -> Option<Operation> {
    let state = |server, state| Some(Operation::ServerState { server, state });
    let health = |server, health| Some(Operation::ServerHealth { server, health });
    match action {
        "ready" | "enable" => state(server, ServerAdmin::Ready),
        "drain" => state(server, ServerAdmin::Drain),
        "maint" | "disable" => state(server, ServerAdmin::Maint),
        "ehlth" => Some(Operation::ServerChecks {
            server,
            enabled: true,
        }),
        "dhlth" => Some(Operation::ServerChecks {
            server,
            enabled: false,
        }),
        "hrunn" => health(server, ForcedHealth::Up),
        "hnolb" => health(server, ForcedHealth::Stopping),
        "hdown" => health(server, ForcedHealth::Down),
        "shutdown" => Some(Operation::ShutdownServerSessions { server }),
        _ => None,
    }
}

/// A browser tells when another site's page sent the form (Fetch Metadata): such a form changes nothing.
fn is_cross_site(request: &Head) -> bool {
    request
        .header(b"sec-fetch-site")
        .is_some_and(|site| site == b"cross-site" || site == b"same-site")
}

fn plain(status: u16, kind: AnswerKind) -> Answer {
    let text = match status {
        401 => "You need a valid user and password to access this content.",
        _ => "Request forbidden by administrative rules.",
    };
    let words = reason(status);
    let body = format!("<html><body><h1>{status} {words}</h1>\n{text}\n</body></html>\n");
    let mut head = Head::default();
    head.start_response(status, words.as_bytes(), 1);
    head.add(b"content-length", body.len().to_string().as_bytes());
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/html");
    Answer {
        head,
        body: Bytes::from(body),
        termination: match kind {
            AnswerKind::Denied => refused(Stage::Request),
            _ => local(Stage::Request),
        },
        kind,
        close: false,
    }
}

fn see_other(location: &str) -> Answer {
    let mut head = Head::default();
    head.start_response(303, b"See Other", 1);
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/plain");
    head.add(b"location", location.as_bytes());
    head.add(b"content-length", b"0");
    Answer {
        head,
        body: Bytes::new(),
        termination: local(Stage::Request),
        kind: AnswerKind::Stats,
        close: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_what_is_wanted() {
        assert!(Wanted::parse(b";csv").csv);
        assert!(Wanted::parse(b";up;norefresh").no_refresh);
        assert_eq!(Wanted::parse(b";st=DONE").done.as_deref(), Some("DONE"));
        assert_eq!(Wanted::parse(b""), Wanted::default());
    }
}
