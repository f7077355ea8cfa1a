//! `option httpchk`, `tcp-check` and the other kinds of checks, and the rules `http-check` and `tcp-check`.

mod rules;

use super::args::{Args, Context};
use super::model::{CheckAction, CheckKind, CheckStep, Global, HealthCheck, HttpRequest};
use super::proxy::{Draft, Section};
use crate::diagnostic::DiagnosticKind;
use crate::source::Span;

/// Which language of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Http,
    Tcp,
}

impl Language {
    fn keyword(self) -> &'static str {
        match self {
            Self::Http => "http-check",
            Self::Tcp => "tcp-check",
        }
    }
}

/// The rules of one language so far.
#[derive(Clone, Debug, Default)]
struct Rules {
    steps: Vec<CheckStep>,
    /// They were said in `defaults`; the first of the section's own replaces them.
    inherited: bool,
    /// The section's own first line.
    own: Option<Span>,
}

impl Rules {
    fn begin_own(&mut self, span: Span) {
        if std::mem::take(&mut self.inherited) {
            self.steps.clear();
        }
        self.own.get_or_insert(span);
    }
}

/// What the lines said so far; rules may stand before the option that asks for them.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckState {
    kind: Option<CheckKind>,
    http: Rules,
    tcp: Rules,
    disable_on_404: bool,
    send_state: bool,
    command: Option<String>,
    path: String,
    option: Option<Span>,
}

impl CheckState {
    /// The check as all lines together say it.
    pub(super) fn finished(self, global: &Global, cx: &mut Context<'_>) -> HealthCheck {
        let mut kind = self.kind.unwrap_or_default();
        let steps = match &mut kind {
            CheckKind::Http(_) => self.http.steps,
            CheckKind::TcpScript => self.tcp.steps,
            CheckKind::External { command, path } => {
                let span = self.option.unwrap_or_default();
                match self.command {
                    Some(written) => *command = written,
                    None => cx.error(
                        DiagnosticKind::InvalidValue,
                        span,
                        "'option external-check' needs 'external-check command'",
                    ),
                }
                *path = self.path;
                if global.external_check.is_none() {
                    let diagnostic = crate::Diagnostic::error(
                        DiagnosticKind::InvalidValue,
                        span,
                        "'option external-check' needs 'external-check' in the 'global' section",
                    );
                    cx.diagnostics.push(diagnostic);
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        HealthCheck {
            kind,
            steps,
            disable_on_404: self.disable_on_404,
            send_state: self.send_state,
        }
    }

    /// What was said so far was said in `defaults`.
    pub(super) fn inherited(&mut self) {
        for rules in [&mut self.http, &mut self.tcp] {
            rules.own = None;
            rules.inherited = true;
        }
    }

    /// The place of rules that nothing asks for, and what to say of them.
    pub(super) fn pointless_rule(&self) -> Option<(Span, &'static str)> {
        let http = self
            .http
            .own
            .filter(|_| !matches!(self.kind, Some(CheckKind::Http(_))));
        let tcp = self
            .tcp
            .own
            .filter(|_| self.kind != Some(CheckKind::TcpScript));
        http.map(|span| (span, "'http-check' is ignored without 'option httpchk'"))
            .or(tcp.map(|span| (span, "'tcp-check' is ignored without 'option tcp-check'")))
    }

    /// Whether the first connection says its port itself.
    pub(super) fn chooses_port(&self) -> bool {
        let steps = match self.kind {
            Some(CheckKind::Http(_)) => &self.http.steps,
            Some(CheckKind::TcpScript) => &self.tcp.steps,
            // A command may do without.
            Some(CheckKind::External { .. }) => return true,
            _ => return false,
        };
        let first = steps.iter().find_map(|step| match &step.action {
            CheckAction::Connect(connect) => Some(connect.port.is_some()),
            _ => None,
        });
        first == Some(true)
    }

    /// Whether it is `option httpchk`.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.kind, Some(CheckKind::Http(_)))
    }

    fn rules(&mut self, language: Language) -> &mut Rules {
        match language {
            Language::Http => &mut self.http,
            Language::Tcp => &mut self.tcp,
        }
    }
}

/// `http-check …`.
pub(super) fn http_check(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    rules::rule(&mut draft.check, Language::Http, args, cx)
}

/// `tcp-check …`.
pub(super) fn tcp_check(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    rules::rule(&mut draft.check, Language::Tcp, args, cx)
}

/// `option httpchk [URI | METHOD URI [VERSION [HOST]]]`.
pub(super) fn httpchk(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let mut request = HttpRequest::default();
    if let Some(first) = args.next_option() {
        match args.next_option() {
            None => request.uri.clone_from(&first.text),
            Some(uri) => {
                request.method.clone_from(&first.text);
                request.uri.clone_from(&uri.text);
            }
        }
        if let Some(version) = args.next_option() {
            read_version(&mut request, &version.text);
        }
        if let Some(host) = args.next_option() {
            request.headers.push(("Host".to_owned(), host.text.clone()));
        }
    }
    // HAProxy takes nothing over from `defaults` then.
    if draft.section != Section::Defaults && draft.check.http.inherited {
        draft.check.http.inherited = false;
        draft.check.http.steps.clear();
    }
    // Its words win over those of a `send` that stands before it.
    for step in &mut draft.check.http.steps {
        if let CheckAction::HttpSend(send) = &mut step.action {
            (send.method, send.uri, send.version) = (None, None, None);
            break;
        }
    }
    set(draft, args, CheckKind::Http(request), cx)
}

/// A version with headers after it, the old way to write them: `HTTP/1.1\r\nHost:\ www`.
fn read_version(request: &mut HttpRequest, text: &str) {
    let mut lines = text.split("\r\n");
    request.version = lines.next().unwrap_or("HTTP/1.0").trim().to_owned();
    for line in lines {
        if let Some((name, value)) = line.split_once(':') {
            request
                .headers
                .push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

fn set(
    draft: &mut Draft,
    args: &mut Args<'_>,
    kind: CheckKind,
    cx: &mut Context<'_>,
) -> Option<()> {
    draft.check.kind = Some(kind);
    draft.check.option = Some(args.span());
    args.end(cx)
}

/// `option tcp-check`.
pub(super) fn tcp_option(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    set(d, args, CheckKind::TcpScript, cx)
}

/// `option ssl-hello-chk`.
pub(super) fn ssl_hello(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    set(d, args, CheckKind::SslHello, cx)
}

/// `option redis-check`.
pub(super) fn redis(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    set(d, args, CheckKind::Redis, cx)
}

/// `option ldap-check`.
pub(super) fn ldap(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    set(d, args, CheckKind::Ldap, cx)
}

/// `option smtpchk [HELLO DOMAIN]`.
pub(super) fn smtp(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let hello = match (args.next_option(), args.next_option()) {
        (Some(hello), Some(domain)) if hello.text == "EHLO" => format!("EHLO {}", domain.text),
        (Some(_), Some(domain)) => format!("HELO {}", domain.text),
        _ => "HELO localhost".to_owned(),
    };
    set(d, args, CheckKind::Smtp(hello), cx)
}

/// `option mysql-check [user NAME [post-41|pre-41]]`.
pub(super) fn mysql(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let (mut user, mut pre_41) = (None, false);
    if let Some(word) = args.next_option() {
        if word.text != "user" {
            cx.unknown(word, "after 'option mysql-check'", ["user"]);
            return None;
        }
        user = Some(args.value(cx, "a user's name")?.text.clone());
        if let Some(word) = args.next_option() {
            pre_41 = match word.text.as_str() {
                "pre-41" => true,
                "post-41" => false,
                _ => {
                    cx.unknown(
                        word,
                        "after the user of 'option mysql-check'",
                        ["post-41", "pre-41"],
                    );
                    return None;
                }
            };
        }
    }
    set(d, args, CheckKind::Mysql { user, pre_41 }, cx)
}

/// `option pgsql-check user NAME`.
pub(super) fn pgsql(d: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'user' and a name")?;
    if word.text != "user" {
        cx.unknown(word, "after 'option pgsql-check'", ["user"]);
        return None;
    }
    let user = args.value(cx, "a user's name")?.text.clone();
    set(d, args, CheckKind::Pgsql(user), cx)
}

/// `option external-check`.
pub(super) fn external_option(
    d: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let kind = CheckKind::External {
        command: String::new(),
        path: String::new(),
    };
    set(d, args, kind, cx)
}

/// `external-check command COMMAND`, `external-check path PATH`.
pub(super) fn external_check(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'command' or 'path'")?;
    match word.text.as_str() {
        "command" => draft.check.command = Some(args.value(cx, "a command")?.text.clone()),
        "path" => draft.check.path = args.value(cx, "a path")?.text.clone(),
        _ => {
            cx.unknown(word, "after 'external-check'", ["command", "path"]);
            return None;
        }
    }
    args.end(cx)
}
