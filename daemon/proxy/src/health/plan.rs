//! Checks compiled: rules of `http-check` and `tcp-check` with their expressions, and the connectors that they need.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use config::haproxy::{
    CheckAction, CheckConnect, CheckData, CheckExpect, CheckKind, ExpectKind, HttpRequest,
    MatchMethod, Proto, ProxyConfig, ServerAddress, ServerConfig, ServerTls, TextMatch,
};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Word};
use regex::bytes::{Regex, RegexBuilder};
use rustls_pki_types::ServerName;

use super::outcome::{Outcome, Verdict, known_status};
use super::protocols;
use crate::log::{LogFormat, Purpose};
use crate::sample::{Expression, Scope};
use crate::state::ServerId;

/// What TLS checks need.
pub type CheckTls = (tokio_rustls::TlsConnector, ServerName<'static>);

/// How the servers of a backend are checked.
#[derive(Debug)]
pub struct Plan {
    pub(super) kind: Kind,
    pub(super) steps: Vec<Step>,
    pub(super) disable_on_404: bool,
    pub(super) send_state: bool,
}

/// What kind of check it is, as far as the steps do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection alone.
    Tcp,
    /// `tcp-check` rules: messages name the step.
    Script,
    Http,
    /// One of the protocols of [`protocols`].
    Protocol,
    External,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) comment: Option<String>,
    /// As HAProxy counts, from 1; 0 for the connection that no rule asks for.
    pub(super) number: usize,
}

#[derive(Debug)]
pub(super) enum Action {
    Nothing,
    Connect(Connect),
    Send(Data),
    HttpSend(Box<HttpRequestPlan>),
    Expect(Box<Expect>),
    /// An answer of one of the protocols that are known here.
    Protocol(protocols::Judge),
    Set(String, VariableSource),
    Unset(String),
}

#[derive(Debug)]
pub(super) enum VariableSource {
    Expression(Expression),
    Format(LogFormat),
}

#[derive(Debug, Default)]
pub(super) struct Connect {
    /// No rule asked for it, or one with `default`: what the server's line says is used.
    pub(super) by_server: bool,
    pub(super) port: Option<Port>,
    pub(super) address: Option<(IpAddr, u16)>,
    pub(super) send_proxy: bool,
    pub(super) tls: bool,
    pub(super) linger: bool,
    /// Through the server's SOCKS proxy.
    pub(super) via_socks4: bool,
    /// As the configuration says it, for the connectors.
    pub(super) options: CheckConnect,
}

#[derive(Debug)]
pub(super) enum Port {
    Number(u16),
    Expression(Expression),
}

#[derive(Debug)]
pub(super) enum Data {
    Bytes(Vec<u8>),
    Format(LogFormat),
    HexadecimalFormat(LogFormat),
}

#[derive(Debug)]
pub(super) struct HttpRequestPlan {
    pub(super) method: String,
    pub(super) uri: Data,
    pub(super) minor_version: u8,
    pub(super) headers: Vec<(String, LogFormat)>,
    pub(super) body: Option<Data>,
    pub(super) closes: bool,
}

#[derive(Debug)]
pub(super) struct Expect {
    pub(super) what: Matcher,
    pub(super) negated: bool,
    pub(super) min_recv: Option<usize>,
    pub(super) ok_status: &'static str,
    pub(super) error_status: &'static str,
    pub(super) timeout_status: &'static str,
    pub(super) on_success: Option<LogFormat>,
    pub(super) on_error: Option<LogFormat>,
    pub(super) status_code: Option<Expression>,
}

#[derive(Debug)]
pub(super) enum Matcher {
    Status(Vec<(u16, u16)>),
    StatusRegex(Regex),
    Header {
        full: bool,
        name: Text,
        value: Option<Text>,
    },
    /// The bytes, and how messages name them.
    Contains(Data, String),
    Regex(Regex),
    BinaryRegex(Regex),
}

#[derive(Debug)]
pub(super) struct Text {
    pub(super) method: MatchMethod,
    pub(super) text: Data,
    pub(super) regex: Option<Regex>,
}

impl Plan {
    /// Whether nothing is done but to connect.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Tcp | Kind::Script)
            && matches!(self.steps.as_slice(), [step] if step.number == 0)
    }

    /// A result of a plain check in the words of its kind.
    pub(super) fn told(&self, outcome: Outcome) -> Outcome {
        if self.kind != Kind::Script || outcome.verdict() != Verdict::Failed {
            return outcome;
        }
        let text = format!("{}{INITIAL_STEP}", outcome.detail);
        Outcome::new(outcome.status, text)
    }
}

/// What a failure says of the connection that no rule asks for.
pub(super) const INITIAL_STEP: &str = " at initial connection step of tcp-check";

/// A backend's checks, and what each of its servers needs besides.
pub struct Checks {
    /// How they are checked.
    pub plan: Arc<Plan>,
    /// Connectors by server and by step; empty for servers that need none.
    tls: RwLock<Vec<Vec<(usize, CheckTls)>>>,
}

impl Checks {
    /// The connector of a server's step.
    pub(super) fn tls(&self, server: usize, step: usize) -> Option<CheckTls> {
        let all = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(server)?.iter().find(|(at, _)| *at == step)?;
        Some(found.1.clone())
    }

    /// What a server that comes at run time needs of TLS, by step.
    pub fn connectors_of(
        &self,
        server: &ServerConfig,
        diagnostics: &mut Diagnostics,
    ) -> Vec<(usize, CheckTls)> {
        connectors_of(server, &self.plan, &mut Vec::new(), diagnostics)
    }

    /// Keeps that for the server, or forgets what an earlier one had.
    pub fn set_connectors(&self, server: ServerId, connectors: Vec<(usize, CheckTls)>) {
        let at = server.0 as usize;
        let mut all = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= at {
            all.resize_with(at + 1, Vec::new);
        }
        all[at] = connectors;
    }
}

/// Compiles the checks of a proxy, and loads what they need of TLS.
pub fn compile(proxy: &ProxyConfig, scope: &Scope<'_>, diagnostics: &mut Diagnostics) -> Checks {
    let mut compiler = Compiler { scope, diagnostics };
    let plan = compiler.plan(proxy);
    let tls = connectors(proxy, &plan, compiler.diagnostics);
    Checks {
        plan: Arc::new(plan),
        tls: RwLock::new(tls),
    }
}

type Made = (ServerTls, Vec<String>, tokio_rustls::TlsConnector);

/// One connector for all servers and steps with the same settings.
fn connectors(
    proxy: &ProxyConfig,
    plan: &Plan,
    diagnostics: &mut Diagnostics,
) -> Vec<Vec<(usize, CheckTls)>> {
    let mut made: Vec<Made> = Vec::new();
    let servers = proxy.servers.iter();
    servers
        .map(|server| connectors_of(server, plan, &mut made, diagnostics))
        .collect()
}

/// Those of one server; `made` are those that there are already.
fn connectors_of(
    server: &ServerConfig,
    plan: &Plan,
    made: &mut Vec<Made>,
    diagnostics: &mut Diagnostics,
) -> Vec<(usize, CheckTls)> {
    let mut own = Vec::new();
    let Some(check) = &server.check else {
        return own;
    };
    for (at, step) in plan.steps.iter().enumerate() {
        let Action::Connect(connect) = &step.action else {
            continue;
        };
        if !(connect.tls || connect.by_server && check.tls) {
            continue;
        }
        let mut options = check.tls_options.clone();
        let of_traffic = std::mem::take(&mut options.alpn);
        if !connect.by_server || connect.options.sni.is_some() {
            options.sni.clone_from(&connect.options.sni);
        }
        let alpn = [&connect.options.alpn, &check.alpn, &of_traffic]
            .into_iter()
            .find(|protocols| !protocols.is_empty())
            .unwrap_or(&of_traffic);
        // Only requests can go by HTTP/2. HAProxy offers it also where it then speaks HTTP/1, and such a check fails.
        let is_http2 = plan.kind == Kind::Http
            && !(check.proto == Proto::Http1 || connect.options.proto == Proto::Http1);
        let speaks = |protocol: &&String| is_http2 || *protocol != "h2";
        let alpn: Vec<String> = alpn.iter().filter(speaks).cloned().collect();
        let host = match &server.address {
            ServerAddress::Host { host, .. } => host.as_str(),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => "localhost",
        };
        let known = made
            .iter()
            .find(|(known, known_alpn, _)| *known == options && *known_alpn == alpn);
        let connector = match known {
            Some((.., connector)) => connector.clone(),
            None => {
                let found = crate::tls::connector(&options, host, server.span, diagnostics);
                let Some((connector, _)) = found else {
                    continue;
                };
                let connector = with_alpn(connector, &alpn);
                made.push((options.clone(), alpn, connector.clone()));
                connector
            }
        };
        let name = options
            .sni
            .as_deref()
            .or(options.verify_host.as_deref())
            .unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        own.push((at, (connector, name)));
    }
    own
}

fn with_alpn(
    connector: tokio_rustls::TlsConnector,
    protocols: &[String],
) -> tokio_rustls::TlsConnector {
    if protocols.is_empty() {
        return connector;
    }
    let mut config = rustls::ClientConfig::clone(connector.config());
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.clone().into_bytes())
        .collect();
    Arc::new(config).into()
}

struct Compiler<'a, 's> {
    scope: &'a Scope<'s>,
    diagnostics: &'a mut Diagnostics,
}

impl Compiler<'_, '_> {
    fn plan(&mut self, proxy: &ProxyConfig) -> Plan {
        let check = &proxy.check;
        let mut steps: Vec<Step> = Vec::new();
        let kind = match &check.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::External { .. } => Kind::External,
            CheckKind::TcpScript => Kind::Script,
            CheckKind::Http(_) => Kind::Http,
            _ => Kind::Protocol,
        };
        let default_request = HttpRequest::default();
        let mut request = match &check.kind {
            CheckKind::Http(request) => request,
            _ => &default_request,
        };
        let mut answered = true;
        for (at, written) in check.steps.iter().enumerate() {
            let Some(action) = self.action(&written.action, request) else {
                continue;
            };
            match &action {
                // `option httpchk` speaks of the first request alone.
                Action::HttpSend(_) => {
                    request = &default_request;
                    answered = false;
                }
                Action::Expect(_) => answered = true,
                _ => {}
            }
            steps.push(Step {
                action,
                comment: written.comment.clone(),
                number: at + 1,
            });
        }
        if kind == Kind::Http {
            self.complete_http(&mut steps, request, answered);
        }
        if kind == Kind::Protocol {
            steps = protocols::steps(&check.kind);
        }
        let connects = |step: &Step| matches!(step.action, Action::Connect(_));
        if !steps.iter().any(connects) {
            steps.insert(
                0,
                implicit(Action::Connect(Connect {
                    by_server: true,
                    ..Connect::default()
                })),
            );
        }
        Plan {
            kind,
            steps,
            disable_on_404: check.disable_on_404,
            send_state: check.send_state,
        }
    }

    /// The request and the judgement that no rule says.
    fn complete_http(&mut self, steps: &mut Vec<Step>, request: &HttpRequest, answered: bool) {
        let sends = |step: &Step| matches!(step.action, Action::HttpSend(_));
        let mut answered = answered;
        if !steps.iter().any(sends) {
            let send = self.http_send(&config::haproxy::HttpSend::default(), request);
            let expects = |step: &Step| matches!(step.action, Action::Expect(_));
            let at = steps.iter().position(expects);
            answered = at.is_some();
            steps.insert(at.unwrap_or(steps.len()), implicit(send));
        }
        if !answered {
            steps.push(implicit(Action::Expect(Box::new(Expect {
                what: Matcher::Status(vec![(200, 399)]),
                negated: false,
                min_recv: None,
                ok_status: "L7OK",
                error_status: "L7STS",
                timeout_status: "L7TOUT",
                on_success: None,
                on_error: None,
                status_code: None,
            }))));
        }
    }

    fn action(&mut self, written: &CheckAction, request: &HttpRequest) -> Option<Action> {
        Some(match written {
            CheckAction::Comment => Action::Nothing,
            CheckAction::Connect(connect) => Action::Connect(self.connect(connect)?),
            CheckAction::Send(data) => Action::Send(self.data(data)?),
            CheckAction::HttpSend(send) => self.http_send(send, request),
            CheckAction::Expect(expect) => Action::Expect(Box::new(self.expect(expect)?)),
            CheckAction::SetVar(name, word) => Action::Set(
                name.clone(),
                VariableSource::Expression(self.expression(word)?),
            ),
            CheckAction::SetVarFormat(name, word) => {
                Action::Set(name.clone(), VariableSource::Format(self.format(word)?))
            }
            CheckAction::UnsetVar(name) => Action::Unset(name.clone()),
        })
    }

    fn connect(&mut self, written: &CheckConnect) -> Option<Connect> {
        let port = match &written.port {
            None => None,
            Some(word) => Some(match word.text.parse() {
                Ok(number) => Port::Number(number),
                Err(_) => Port::Expression(self.expression(word)?),
            }),
        };
        Some(Connect {
            by_server: written.default,
            port,
            address: written.address,
            send_proxy: written.send_proxy,
            tls: written.tls,
            linger: written.linger,
            via_socks4: written.via_socks4,
            options: written.clone(),
        })
    }

    fn http_send(&mut self, send: &config::haproxy::HttpSend, request: &HttpRequest) -> Action {
        let uri = send.uri.as_ref().and_then(|uri| self.data(uri));
        let body = send.body.as_ref().and_then(|body| self.data(body));
        let version = send.version.as_ref().unwrap_or(&request.version);
        let mut headers: Vec<(String, LogFormat)> = request
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_ascii_lowercase(),
                    LogFormat::literal(value.as_bytes()),
                )
            })
            .collect();
        for (name, value) in &send.headers {
            if let Some(value) = self.format(value) {
                headers.push((name.to_ascii_lowercase(), value));
            }
        }
        Action::HttpSend(Box::new(HttpRequestPlan {
            method: send.method.as_ref().unwrap_or(&request.method).clone(),
            uri: uri.unwrap_or_else(|| Data::Bytes(request.uri.clone().into_bytes())),
            // Everything above 1.0 is 1.1 on the wire.
            minor_version: u8::from(version != "HTTP/1.0"),
            headers,
            body,
            closes: version != "HTTP/1.0" && !send.without_connection,
        }))
    }

    fn expect(&mut self, written: &CheckExpect) -> Option<Expect> {
        let status = |word: &Option<String>| word.as_deref().and_then(known_status);
        let (what, error_status) = match &written.what {
            ExpectKind::Status(ranges) => (Matcher::Status(ranges.clone()), "L7STS"),
            ExpectKind::StatusRegex(word) => (Matcher::StatusRegex(self.regex(word)?), "L7STS"),
            ExpectKind::Header { full, name, value } => {
                let matcher = Matcher::Header {
                    full: *full,
                    name: self.text(name)?,
                    value: match value {
                        Some(value) => Some(self.text(value)?),
                        None => None,
                    },
                };
                (matcher, "L7STS")
            }
            ExpectKind::Contains(data) => {
                let name = match data {
                    CheckData::Text(text) => format!("'{text}'"),
                    CheckData::Format(_) => "log-format string".to_owned(),
                    CheckData::Binary(_) => "binary".to_owned(),
                    CheckData::BinaryFormat(_) => "log-format binary".to_owned(),
                };
                (Matcher::Contains(self.data(data)?, name), "L7RSP")
            }
            ExpectKind::Regex(word) => (Matcher::Regex(self.regex(word)?), "L7RSP"),
            ExpectKind::BinaryRegex(word) => (Matcher::BinaryRegex(self.regex(word)?), "L7RSP"),
        };
        Some(Expect {
            what,
            negated: written.negated,
            min_recv: written.min_recv.map(|least| least as usize),
            ok_status: status(&written.ok_status).unwrap_or("L7OK"),
            error_status: status(&written.error_status).unwrap_or(error_status),
            timeout_status: status(&written.timeout_status).unwrap_or("L7TOUT"),
            on_success: self.optional_format(&written.on_success)?,
            on_error: self.optional_format(&written.on_error)?,
            status_code: match &written.status_code {
                Some(word) => Some(self.expression(word)?),
                None => None,
            },
        })
    }

    fn text(&mut self, written: &TextMatch) -> Option<Text> {
        let regex = match written.method {
            MatchMethod::Regex => Some(self.regex(&written.text)?),
            _ => None,
        };
        Some(Text {
            method: written.method,
            text: match written.format {
                true => Data::Format(self.format(&written.text)?),
                false => Data::Bytes(written.text.text.clone().into_bytes()),
            },
            regex,
        })
    }

    fn data(&mut self, written: &CheckData) -> Option<Data> {
        Some(match written {
            CheckData::Text(text) => Data::Bytes(text.clone().into_bytes()),
            CheckData::Binary(bytes) => Data::Bytes(bytes.clone()),
            CheckData::Format(word) => Data::Format(self.format(word)?),
            CheckData::BinaryFormat(word) => Data::HexadecimalFormat(self.format(word)?),
        })
    }

    fn optional_format(&mut self, word: &Option<Word>) -> Option<Option<LogFormat>> {
        match word {
            None => Some(None),
            Some(word) => self.format(word).map(Some),
        }
    }

    fn format(&mut self, word: &Word) -> Option<LogFormat> {
        LogFormat::compile(word, Purpose::Text, self.scope)
            .map_err(|diagnostic| self.diagnostics.push(diagnostic))
            .ok()
    }

    fn expression(&mut self, word: &Word) -> Option<Expression> {
        Expression::compile(word, self.scope)
            .map_err(|diagnostic| self.diagnostics.push(diagnostic))
            .ok()
    }

    fn regex(&mut self, word: &Word) -> Option<Regex> {
        let found = RegexBuilder::new(&word.text).unicode(false).build();
        found
            .map_err(|error| {
                self.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::InvalidValue,
                    word.span,
                    format!(
                        "invalid regular expression '{}' in a check: {error}",
                        word.text
                    ),
                ));
            })
            .ok()
    }
}

/// A step that no rule asks for.
pub(super) fn implicit(action: Action) -> Step {
    Step {
        action,
        comment: None,
        number: 0,
    }
}
