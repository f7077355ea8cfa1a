//! What can be said only when the whole text is read: references, numbers, and words that do not fit together.

use std::collections::HashSet;
use std::path::Path;

use super::args::Context;
use super::log::LogEntry;
use super::model::*;
use super::proxy::Draft;
use super::tls::{apply_bind_defaults, apply_server_defaults};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Word;
use crate::suggest::did_you_mean;

/// Turns the sections read into the model, and checks what they say of each other.
pub(super) fn finish(config: &mut HaproxyConfig, drafts: Vec<Draft>, cx: &mut Context<'_>) {
    let drafts = number_proxies(drafts);
    let http_backends: HashSet<String> = drafts
        .iter()
        .map(|draft| &draft.config)
        .filter(|config| config.kind.is_backend() && config.mode == Mode::Http)
        .map(|config| config.name.text.clone())
        .collect();
    for mut draft in drafts {
        super::dispatch::settle(&mut draft, cx);
        number_servers(&mut draft, cx);
        drop_what_needs_http(&mut draft, &http_backends, cx);
        check_checks(&draft, cx);
        check_timeouts(&draft, cx);
        let mut proxy = draft.config;
        check_log(&proxy, !draft.logs.is_empty(), cx);
        proxy.logs = logs(draft.logs, &config.global);
        if proxy.kind.is_backend() {
            proxy.check = draft.check.finished(&config.global, cx);
        }
        if proxy.kind == ProxyKind::Frontend && !draft.bind_seen && !proxy.disabled {
            let message = format!("frontend '{}' has no 'bind' line", proxy.name.text);
            cx.diagnostics.push(
                Diagnostic::warning(DiagnosticKind::Pointless, proxy.span, message)
                    .with_help("declare it as a backend if this was intended"),
            );
        }
        resolve_paths(&mut proxy, &config.global, &draft.file_name, cx);
        config.proxies.push(proxy);
    }
    check_references(config, cx);
    super::resolvers::check_references(config, cx);
    check_tracks(config, cx);
}

/// Numbers for things that may have one of their own: in order, around those that are taken.
struct Numbers {
    taken: HashSet<u32>,
    next: u32,
}

impl Numbers {
    fn new(first: u32, taken: impl Iterator<Item = u32>) -> Self {
        Self {
            taken: taken.collect(),
            next: first,
        }
    }

    /// Every thing moves the count on, whether it has its own number or not, as HAProxy counts.
    fn number(&mut self, own: Option<u32>) -> u32 {
        let id = own.unwrap_or_else(|| {
            while self.taken.contains(&self.next) {
                self.next += 1;
            }
            self.next
        });
        self.next += 1;
        id
    }
}

fn number_proxies(mut drafts: Vec<Draft>) -> Vec<Draft> {
    // HAProxy's number 1 is its own proxy behind the stats sockets.
    const FIRST_ID: u32 = 2;
    let mut numbers = Numbers::new(
        FIRST_ID,
        drafts.iter().filter_map(|draft| draft.explicit_id),
    );
    for draft in &mut drafts {
        draft.config.id = numbers.number(draft.explicit_id);
    }
    drafts
}

fn number_servers(draft: &mut Draft, cx: &mut Context<'_>) {
    let mut numbers = Numbers::new(1, draft.server_ids.iter().flatten().copied());
    for (server, id) in draft.config.servers.iter_mut().zip(&draft.server_ids) {
        server.id = numbers.number(*id);
    }
    let (mut names, mut ids) = (HashSet::new(), HashSet::new());
    for server in &draft.config.servers {
        if !names.insert(server.name.text.as_str()) {
            let message = format!(
                "another server of '{}' is named '{}'",
                draft.config.name.text, server.name.text
            );
            cx.error(DiagnosticKind::Duplicate, server.name.span, message);
        }
        if !ids.insert(server.id) {
            let message = format!(
                "another server of '{}' has the id {}",
                draft.config.name.text, server.id
            );
            cx.error(DiagnosticKind::Duplicate, server.span, message);
        }
    }
}

/// Words that need HTTP, in a TCP proxy: they are dropped, with the warnings that HAProxy gives.
fn drop_what_needs_http(draft: &mut Draft, http_backends: &HashSet<String>, cx: &mut Context<'_>) {
    let config = &mut draft.config;
    if config.mode == Mode::Http || config.disabled {
        return;
    }
    let who = format!("{} '{}'", draft.section.name(), config.name.text);
    let span = config.span;
    let mut warn = |dropped: bool, what: &str| {
        if dropped {
            let message = format!("{what} of {who} is ignored: it needs 'mode http'");
            cx.warning(DiagnosticKind::Pointless, span, message);
        }
    };
    let (accepts, forwards) = (config.kind.is_frontend(), config.kind.is_backend());
    let http_log = matches!(
        config.traffic_log,
        TrafficLog::Http | TrafficLog::HttpClf | TrafficLog::Https
    );
    if http_log {
        warn(accepts, "'option httplog'");
        config.traffic_log = TrafficLog::Tcp;
    }
    warn(config.cookie.take().is_some() && forwards, "'cookie'");
    if matches!(
        config.balance,
        Balance::Uri { .. } | Balance::UrlParam { .. } | Balance::Header { .. }
    ) {
        warn(
            forwards,
            "'balance' by a part of the request (round robin is used)",
        );
        config.balance = Balance::RoundRobin;
    }
    for server in &mut config.servers {
        if server.cookie.take().is_some() {
            let message = format!(
                "'cookie' of server '{}' is ignored: it needs 'mode http'",
                server.name.text
            );
            cx.warning(DiagnosticKind::Pointless, server.span, message);
        }
    }
    // `tcp-request content switch-mode http`: then the rest counts.
    let switches = config.tcp_request_content.iter().any(|line| {
        line.words
            .get(1)
            .is_some_and(|word| word.text == "switch-mode")
    });
    if !(switches && accepts) {
        drop_rules_of_http(config, &who, http_backends, cx);
    }
}

/// What is said of requests in a TCP proxy that never changes to HTTP by itself.
fn drop_rules_of_http(
    config: &mut ProxyConfig,
    who: &str,
    http_backends: &HashSet<String>,
    cx: &mut Context<'_>,
) {
    let accepts = config.kind.is_frontend();
    let targets = config.use_backends.iter().map(|line| &line.backend);
    let mut targets = targets.chain(&config.default_backend);
    // A stream that comes to an http backend is HTTP from there on: then the rules count. HAProxy says that it ignores them,
    // and applies them all the same.
    let leads_to_http = accepts
        && targets.any(|name| name.text.contains('%') || http_backends.contains(&name.text));
    let dropped = format!("of {who} is ignored: it needs 'mode http'");
    let conditional = format!("of {who} counts only where a backend with 'mode http' is chosen");
    let rules = if leads_to_http {
        &conditional
    } else {
        &dropped
    };
    let written = [
        ("'option forwardfor'", config.forwardfor.is_some(), &dropped),
        ("'stats'", config.stats.is_some(), &dropped),
        (
            "'monitor-uri'",
            accepts && config.monitor_uri.is_some(),
            rules,
        ),
        ("'http-request'", !config.http_request.is_empty(), rules),
        ("'http-response'", !config.http_response.is_empty(), rules),
        ("'redirect'", !config.redirects.is_empty(), rules),
    ];
    for (what, is_written, outcome) in written {
        if is_written {
            let message = format!("{what} {outcome}");
            cx.warning(DiagnosticKind::Pointless, config.span, message);
        }
    }
    config.forwardfor = None;
    config.stats = None;
    if !leads_to_http {
        config.monitor_uri = None;
        config.http_request.clear();
        config.http_response.clear();
        config.redirects.clear();
    }
}

/// A format without anywhere to write to.
fn check_log(proxy: &ProxyConfig, draft_logs: bool, cx: &mut Context<'_>) {
    if proxy.kind.is_frontend()
        && !proxy.disabled
        && proxy.traffic_log != TrafficLog::Plain
        && !draft_logs
    {
        let message = format!(
            "the log format of '{}' is ignored: no 'log' line says where to",
            proxy.name.text
        );
        cx.warning(DiagnosticKind::Pointless, proxy.span, message);
    }
}

/// Checks without a port to go to, and `http-check` lines that nothing asks for.
fn check_checks(draft: &Draft, cx: &mut Context<'_>) {
    let config = &draft.config;
    if config.disabled {
        return;
    }
    let is_http = draft.check.is_http();
    for server in &config.servers {
        let proto = server
            .check
            .as_ref()
            .map_or(Proto::Auto, |check| check.proto);
        if proto != Proto::Auto && (proto == Proto::None) == is_http {
            let message = format!(
                "'check-proto' of server '{}' does not fit its kind of checks",
                server.name.text
            );
            let diagnostic = Diagnostic::error(DiagnosticKind::InvalidValue, server.span, message);
            cx.diagnostics.push(
                diagnostic
                    .with_help("'h1' and 'h2' go with 'option httpchk', 'none' with all others"),
            );
        }
        // The records of a name of services say the port.
        let portless = matches!(&server.address, ServerAddress::Host { host, port, relative } if (*port == 0 || *relative) && !host.starts_with('_'));
        if portless
            && server
                .check
                .as_ref()
                .is_some_and(|check| check.port.is_none())
            && !draft.check.chooses_port()
        {
            let message = format!(
                "server '{}' has neither a port nor a check port, and is to be checked",
                server.name.text
            );
            let diagnostic =
                Diagnostic::error(DiagnosticKind::InvalidValue, server.address_span, message);
            cx.diagnostics
                .push(diagnostic.with_help("write 'port N' after 'check'"));
        }
    }
    if let Some((span, message)) = draft.check.pointless_rule() {
        cx.warning(DiagnosticKind::Pointless, span, message);
    }
}

/// Sides without a timeout, as HAProxy warns of them.
fn check_timeouts(draft: &Draft, cx: &mut Context<'_>) {
    let (config, timeouts) = (&draft.config, &draft.config.timeouts);
    if config.disabled {
        return;
    }
    let client = config.kind.is_frontend() && timeouts.client.is_none();
    let server = config.kind.is_backend()
        && !config.servers.is_empty()
        && (timeouts.connect.is_none() || timeouts.server.is_none());
    if client || server {
        let message = format!(
            "missing timeouts for {} '{}'",
            draft.section.name(),
            config.name.text
        );
        cx.diagnostics.push(
            Diagnostic::warning(DiagnosticKind::Pointless, config.span, message).with_help(
                "set 'timeout client', 'timeout connect' and 'timeout server' to more than zero",
            ),
        );
    }
}

/// `log global` gives way to the global targets.
fn logs(entries: Vec<LogEntry>, global: &Global) -> Vec<LogTarget> {
    entries
        .into_iter()
        .flat_map(|entry| match entry {
            LogEntry::Global => global.logs.clone(),
            LogEntry::Target(target) => vec![target],
        })
        .collect()
}

/// `crt-base`, `ca-base`, `default-path` and the TLS defaults.
fn resolve_paths(proxy: &mut ProxyConfig, global: &Global, file_name: &str, cx: &mut Context<'_>) {
    let default_path = cx.default_path.clone();
    let rebase = |word: &mut Word, base: Option<&String>| {
        // `@system-ca` is no path.
        if word.text.starts_with('@') {
            return;
        }
        let path = base.map_or_else(
            || Path::new(&word.text).to_path_buf(),
            |base| Path::new(base).join(&word.text),
        );
        word.text = default_path.apply(&path.to_string_lossy(), file_name);
    };
    for bind in &mut proxy.binds {
        let Some(tls) = &mut bind.tls else { continue };
        for certificate in &mut tls.certificates {
            rebase(certificate, global.crt_base.as_ref());
        }
        if let Some(ca_file) = &mut tls.ca_file {
            rebase(ca_file, global.ca_base.as_ref());
        }
        apply_bind_defaults(global, tls, cx);
    }
    for server in &mut proxy.servers {
        server_defaults(server, global, &rebase, cx);
    }
}

/// `ca-base` and the TLS defaults of one server.
pub(super) fn server_defaults(
    server: &mut ServerConfig,
    global: &Global,
    rebase: &dyn Fn(&mut Word, Option<&String>),
    cx: &mut Context<'_>,
) {
    let check = server.check.as_mut().map(|check| &mut check.tls_options);
    for tls in server.tls.iter_mut().chain(check) {
        if let Some(ca_file) = &mut tls.ca_file {
            rebase(ca_file, global.ca_base.as_ref());
        }
        apply_server_defaults(global, tls, cx);
    }
}

/// `track` of servers: each chain ends at a server with checks.
fn check_tracks(config: &HaproxyConfig, cx: &mut Context<'_>) {
    for proxy in config.proxies.iter().filter(|proxy| !proxy.disabled) {
        for server in &proxy.servers {
            let Some(track) = &server.track else { continue };
            let mut at = (proxy, server);
            let mut steps = 0;
            let outcome = loop {
                let Some(next) = &at.1.track else {
                    let checked = at.1.check.is_some() || at.1.agent.is_some();
                    break if checked {
                        Ok(())
                    } else {
                        Err("a server without checks")
                    };
                };
                match config.tracked(at.0, next) {
                    None => break Err("a server that is not there"),
                    Some(found) => at = found,
                }
                steps += 1;
                if std::ptr::eq(at.1, server) || steps > proxy.servers.len() + config.proxies.len()
                {
                    break Err("itself");
                }
            };
            if let Err(what) = outcome {
                let message = format!(
                    "server '{}' tracks {what}: '{}'",
                    server.name.text, track.text
                );
                cx.error(DiagnosticKind::UnknownName, track.span, message);
            }
        }
    }
}

/// Names of backends, ids of proxies.
fn check_references(config: &HaproxyConfig, cx: &mut Context<'_>) {
    let backends: Vec<&ProxyConfig> = config
        .proxies
        .iter()
        .filter(|proxy| proxy.kind.is_backend())
        .collect();
    let mut ids = HashSet::new();
    for proxy in &config.proxies {
        if !ids.insert(proxy.id) {
            let message = format!("another proxy has the id {}", proxy.id);
            cx.error(DiagnosticKind::Duplicate, proxy.span, message);
        }
        if !proxy.kind.is_frontend() || proxy.disabled {
            continue;
        }
        let uses = proxy
            .use_backends
            .iter()
            .map(|line| ("use_backend", &line.backend));
        for (keyword, name) in proxy
            .default_backend
            .iter()
            .map(|name| ("default_backend", name))
            .chain(uses)
        {
            // A name that a request makes is looked up then.
            if keyword == "use_backend" && name.text.contains('%') {
                continue;
            }
            let Some(backend) = backends
                .iter()
                .find(|backend| backend.name.text == name.text)
            else {
                let message = format!("unable to find required {keyword}: '{}'", name.text);
                let mut diagnostic =
                    Diagnostic::error(DiagnosticKind::UnknownName, name.span, message);
                diagnostic.help = did_you_mean(
                    &name.text,
                    backends.iter().map(|backend| backend.name.text.as_str()),
                );
                cx.diagnostics.push(diagnostic);
                continue;
            };
            if std::ptr::eq(*backend, proxy) {
                let message = format!("'{}' is its own {keyword}", name.text);
                cx.error(DiagnosticKind::InvalidValue, name.span, message);
                continue;
            }
            // A stream of a tcp frontend that comes to an http backend is served as HTTP from there on.
            if (proxy.mode, backend.mode) == (Mode::Http, Mode::Tcp) {
                let (ours, theirs) = (mode_name(proxy.mode), mode_name(backend.mode));
                let message = format!(
                    "{ours} frontend '{}' tries to use incompatible {theirs} backend '{}' as its {keyword}",
                    proxy.name.text, name.text
                );
                let diagnostic =
                    Diagnostic::error(DiagnosticKind::InvalidValue, name.span, message);
                cx.diagnostics
                    .push(diagnostic.with_help("both should have the same 'mode'"));
            }
        }
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    }
}
