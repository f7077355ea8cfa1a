//! `defaults`, `frontend`, `backend` and `listen`: one row for each keyword, with the sections that take it.

use std::time::Duration;

use super::args::{Args, Context, Unit};
use super::log::{LogEntry, log_entry};
use super::model::*;
use super::server::ServerOptions;
use super::{
    Fate, KeywordLists, balance, bind, checks, cookie, dispatch, errors, life, options, rules,
    server, source, stats,
};
use crate::diagnostic::DiagnosticKind;
use crate::source::{Span, Word};

/// The section's keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

impl Section {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Listen => "listen",
        }
    }
}

/// A proxy section being read, or a finished `defaults` section.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) section: Section,
    pub(super) config: ProxyConfig,
    /// `log` lines, `log global` not yet replaced.
    pub(super) logs: Vec<LogEntry>,
    /// `default-server`.
    pub(super) server_options: ServerOptions,
    /// `option httpchk` and `http-check`.
    pub(super) check: checks::CheckState,
    /// `id` as written.
    pub(super) explicit_id: Option<u32>,
    /// `server … id` as written, by position in `config.servers`.
    pub(super) server_ids: Vec<Option<u32>>,
    /// The statistics page is still the one of the `defaults` section.
    pub(super) stats_inherited: bool,
    /// The file in which the section begins: `default-path` may be relative to it.
    pub(super) file_name: String,
    /// There is a `bind` line, be it a wrong one.
    pub(super) bind_seen: bool,
    /// `balance` was written, here or in the `defaults` section.
    pub(super) balance_seen: bool,
    /// `dispatch`: its address.
    pub(super) dispatch: Option<Word>,
}

impl Draft {
    /// A section with HAProxy's own defaults.
    pub(super) fn new(section: Section, kind: ProxyKind, name: Word, span: Span) -> Self {
        Self {
            section,
            config: empty_proxy(kind, name, span),
            logs: Vec::new(),
            server_options: ServerOptions::default(),
            check: checks::CheckState::default(),
            explicit_id: None,
            server_ids: Vec::new(),
            stats_inherited: false,
            file_name: String::new(),
            bind_seen: false,
            balance_seen: false,
            dispatch: None,
        }
    }

    /// Takes what a `defaults` section says, as far as this section may say it.
    pub(super) fn inherit(&mut self, defaults: &Self) {
        let config = ProxyConfig {
            kind: self.config.kind,
            name: self.config.name.clone(),
            span: self.config.span,
            ..defaults.config.clone()
        };
        self.config = config;
        self.logs.clone_from(&defaults.logs);
        self.server_options = defaults.server_options.clone();
        self.check = defaults.check.clone();
        self.check.inherited();
        self.stats_inherited = true;
        self.balance_seen = defaults.balance_seen;
        if self.section == Section::Defaults {
            return;
        }
        let bare = empty_proxy(self.config.kind, Word::default(), Span::default());
        let config = &mut self.config;
        if !config.kind.is_frontend() {
            config.maxconn = None;
            config.backlog = None;
            config.default_backend = None;
            config.timeouts.client = None;
            config.timeouts.client_fin = None;
            config.monitor_uri = None;
            config.unique_id = None;
            config.tcp_request_connection.clear();
            config.idle_close_on_response = false;
            config.session_rate_limit = 0;
            config.dontlognull = false;
            config.http_ignore_probes = false;
            config.accept_invalid_request = false;
            config.use_proxy_header = false;
            config.drop_response_trailers = false;
            config.dontlog_normal = false;
            config.log_separate_errors = false;
            config.logasap = false;
            config.client_tcp_keepalive = false;
            config.client_probes = KeepaliveProbes::default();
            config.disable_h2_upgrade = false;
        }
        if !config.kind.is_backend() {
            config.load_state = LoadState::None;
            config.state_file = None;
            config.transparent = false;
            config.balance = bare.balance;
            config.accept_invalid_response = false;
            config.drop_request_trailers = false;
            config.dynamic_cookie_key = None;
            config.cookie = None;
            config.fullconn = None;
            config.timeouts.server = None;
            config.timeouts.server_fin = None;
            config.timeouts.connect = None;
            config.timeouts.queue = None;
            config.timeouts.check = None;
            config.timeouts.tunnel = None;
            config.redispatch = None;
            config.retries = bare.retries;
            config.retry_on = bare.retry_on;
            config.send_name_header = None;
            config.abortonclose = false;
            config.persist = false;
            config.allbackups = false;
            config.server_tcp_keepalive = false;
            config.server_probes = KeepaliveProbes::default();
            config.log_health_checks = false;
            config.http_reuse = HttpReuse::default();
            config.hash_method = HashMethod::default();
            config.hash_function = HashFunction::default();
            config.hash_avalanche = false;
            config.hash_balance_factor = 0;
            config.persist_rdp_cookie = None;
            config.prefer_last_server = false;
            self.check = checks::CheckState::default();
        }
    }
}

/// A proxy about which nothing is said.
fn empty_proxy(kind: ProxyKind, name: Word, span: Span) -> ProxyConfig {
    const DEFAULT_RETRIES: u32 = 3;
    ProxyConfig {
        kind,
        name,
        id: 0,
        mode: Mode::Tcp,
        disabled: false,
        description: None,
        binds: Vec::new(),
        maxconn: None,
        backlog: None,
        fullconn: None,
        timeouts: Timeouts::default(),
        logs: Vec::new(),
        traffic_log: TrafficLog::Plain,
        log_tag: None,
        idle_close_on_response: false,
        session_rate_limit: 0,
        load_state: LoadState::None,
        state_file: None,
        dontlognull: false,
        dontlog_normal: false,
        log_separate_errors: false,
        logasap: false,
        log_health_checks: false,
        connection_mode: ConnectionMode::KeepAlive,
        http_reuse: HttpReuse::Safe,
        forwardfor: None,
        redispatch: None,
        abortonclose: false,
        persist: false,
        allbackups: false,
        client_tcp_keepalive: false,
        server_tcp_keepalive: false,
        accepted_options: Vec::new(),
        http_buffer_request: false,
        http_ignore_probes: false,
        disable_h2_upgrade: false,
        client_probes: KeepaliveProbes::default(),
        server_probes: KeepaliveProbes::default(),
        accept_invalid_request: false,
        accept_invalid_response: false,
        header_names: HeaderNames::Preserve,
        use_proxy_header: false,
        drop_request_trailers: false,
        drop_response_trailers: false,
        dynamic_cookie_key: None,
        inspect_delay: None,
        send_name_header: None,
        retries: DEFAULT_RETRIES,
        retry_on: vec![Word::new("conn-failure", Span::default())],
        acls: Vec::new(),
        tcp_request_connection: Vec::new(),
        tcp_request_content: Vec::new(),
        http_request: Vec::new(),
        http_response: Vec::new(),
        redirects: Vec::new(),
        use_backends: Vec::new(),
        default_backend: None,
        transparent: false,
        balance: Balance::RoundRobin,
        hash_method: HashMethod::MapBased,
        hash_function: HashFunction::Sdbm,
        hash_avalanche: false,
        hash_balance_factor: 0,
        use_servers: Vec::new(),
        persist_rules: Vec::new(),
        persist_rdp_cookie: None,
        prefer_last_server: false,
        cookie: None,
        check: HealthCheck::default(),
        servers: Vec::new(),
        stats: None,
        error_files: Vec::new(),
        monitor_uri: None,
        captures: Vec::new(),
        unique_id: None,
        span,
    }
}

/// Which sections take a word: the columns of the manual's keyword matrix, as a set of bits.
pub(super) type Where = u8;
/// `defaults`.
pub(super) const D: Where = 1;
/// Proxies that accept connections.
pub(super) const F: Where = 2;
/// Proxies that have servers.
pub(super) const B: Where = 4;
/// `defaults NAME` alone.
pub(super) const N: Where = 8;
/// In a wrong section it is an error, not a warning.
pub(super) const STRICT: Where = 16;

/// What a keyword does.
pub(super) enum Action {
    /// It is read.
    Do(fn(&mut Draft, &mut Args<'_>, &mut Context<'_>) -> Option<()>),
    /// It is accepted and changes nothing here; the text says why.
    Accepted(&'static str),
    /// It is known and not done.
    NotYet,
    /// HAProxy refuses it; the text says what to write instead.
    Removed(&'static str),
}

use Action::{Accepted, Do, NotYet, Removed};

/// Most probes of TCP keep-alive, and most seconds between them (tcp(7)).
const MAX_PROBES: i64 = 127;
const MAX_PROBE_SECONDS: u64 = 32_767;

/// A time of TCP keep-alive, which the system counts in seconds.
fn probe_time(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Duration> {
    let span = args.span();
    let time = args.time(cx, Unit::Seconds)?;
    if (1..=MAX_PROBE_SECONDS).contains(&time.as_secs()) {
        return Some(Duration::from_secs(time.as_secs()));
    }
    let message = format!(
        "'{}' expects a time from 1 s to {MAX_PROBE_SECONDS} s",
        args.name()
    );
    cx.error(DiagnosticKind::InvalidValue, span, message);
    None
}

/// Keywords, sorted.
#[rustfmt::skip]
const KEYWORDS: &[(&str, Where, Action)] = &[
    ("acl", N | F | B, Do(rules::acl)),
    ("appsession", D | B, Removed("use 'cookie' or 'stick'")),
    ("backlog", D | F, Do(|d, args, cx| { d.config.backlog = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?); args.end(cx) })),
    ("balance", D | B, Do(balance::balance)),
    ("bind", F, Do(bind::bind)),
    ("bind-process", D | F | B, Accepted("there is one worker process")),
    ("block", F | B, Removed("use 'http-request deny'")),
    ("capture", F, Do(rules::capture)),
    ("clitcpka-cnt", D | F, Do(|d, args, cx| { d.config.client_probes.count = Some(args.integer(cx, "a number of probes", 1..=MAX_PROBES)?); args.end(cx) })),
    ("clitcpka-idle", D | F, Do(|d, args, cx| { d.config.client_probes.idle = Some(probe_time(args, cx)?); args.end(cx) })),
    ("clitcpka-intvl", D | F, Do(|d, args, cx| { d.config.client_probes.interval = Some(probe_time(args, cx)?); args.end(cx) })),
    ("clitimeout", D | F, Removed("use 'timeout client'")),
    ("compression", D | F | B, NotYet),
    ("contimeout", D | B, Removed("use 'timeout connect'")),
    ("cookie", D | B, Do(cookie::cookie)),
    ("declare", F, Do(rules::declare)),
    ("default-server", D | B, Do(server::default_server)),
    ("default_backend", D | F, Do(|d, args, cx| { d.config.default_backend = Some(args.value(cx, "the name of a backend")?.clone()); args.end(cx) })),
    ("description", F | B, Do(description)),
    ("disabled", D | F | B, Do(|d, args, cx| { d.config.disabled = true; args.end(cx) })),
    ("dispatch", B, Do(dispatch::dispatch)),
    ("dynamic-cookie-key", D | B, Do(|d, args, cx| { d.config.dynamic_cookie_key = Some(args.value(cx, "a key")?.text.clone()); args.end(cx) })),
    ("email-alert", D | F | B, NotYet),
    ("enabled", D | F | B, Do(|d, args, cx| { d.config.disabled = false; args.end(cx) })),
    ("error-log-format", D | F, NotYet),
    ("errorfile", D | F | B, Do(errors::errorfile)),
    ("errorfiles", D | F | B, NotYet),
    ("errorloc", D | F | B, NotYet),
    ("errorloc302", D | F | B, NotYet),
    ("errorloc303", D | F | B, NotYet),
    ("external-check", D | B, Do(checks::external_check)),
    ("filter", F | B, NotYet),
    ("force-persist", B, Do(balance::force_persist)),
    ("fullconn", D | B, Do(|d, args, cx| { d.config.fullconn = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?); args.end(cx) })),
    ("grace", D | F | B, Accepted("a reload hands its sockets over without a pause")),
    ("guid", F | B, NotYet),
    ("hash-balance-factor", D | B, Do(balance::hash_balance_factor)),
    ("hash-type", D | B, Do(balance::hash_type)),
    ("http-after-response", N | F | B, NotYet),
    ("http-check", D | B, Do(checks::http_check)),
    ("http-error", D | F | B, NotYet),
    ("http-request", N | F | B, Do(|d, args, cx| { let rule = rules::rule(args, cx)?; d.config.http_request.push(rule); Some(()) })),
    ("http-response", N | F | B, Do(|d, args, cx| { let rule = rules::rule(args, cx)?; d.config.http_response.push(rule); Some(()) })),
    ("http-reuse", D | B, Do(http_reuse)),
    ("http-send-name-header", D | B, Do(|d, args, cx| { d.config.send_name_header = Some(args.value(cx, "a header's name")?.text.clone()); args.end(cx) })),
    ("id", F | B, Do(|d, args, cx| { d.explicit_id = Some(args.integer(cx, "a number", 1..=i64::from(i32::MAX))?); args.end(cx) })),
    ("ignore-persist", B, Do(balance::ignore_persist)),
    ("load-server-state-from-file", D | B, Do(life::load_state)),
    ("log", D | F | B, Do(log)),
    ("log-format", D | F, Do(rules::log_format)),
    ("log-format-sd", D | F, NotYet),
    ("log-steps", D | F, NotYet),
    ("log-tag", D | F | B, Do(|d, args, cx| { d.config.log_tag = Some(args.value(cx, "a tag")?.text.clone()); args.end(cx) })),
    ("max-keep-alive-queue", D | B, Accepted("a queued request goes to the first server that is free")),
    ("max-session-srv-conns", D | F, Accepted("idle connections belong to the worker's pool")),
    ("maxconn", D | F, Do(|d, args, cx| { d.config.maxconn = Some(args.integer(cx, "a number of connections", 0..=i64::from(i32::MAX))?).filter(|n| *n > 0); args.end(cx) })),
    ("mode", D | F | B, Do(mode)),
    ("monitor", F, NotYet),
    ("monitor-net", D | F, Removed("use 'http-request return' with a condition on 'src'")),
    ("monitor-uri", D | F, Do(|d, args, cx| { d.config.monitor_uri = Some(args.value(cx, "a URI")?.text.clone()); args.end(cx) })),
    ("option", D | F | B, Do(options::option)),
    ("persist", D | B, Do(balance::persist)),
    ("rate-limit", D | F, Do(life::rate_limit)),
    ("redirect", F | B, Do(|d, args, cx| { let rule = rules::rule(args, cx)?; d.config.redirects.push(rule); Some(()) })),
    ("redisp", D | B, Removed("use 'option redispatch'")),
    ("redispatch", D | B, Removed("use 'option redispatch'")),
    ("reqadd", F | B, Removed("use 'http-request add-header'")),
    ("reqallow", F | B, Removed("use 'http-request allow'")),
    ("reqdel", F | B, Removed("use 'http-request del-header'")),
    ("reqdeny", F | B, Removed("use 'http-request deny'")),
    ("reqiallow", F | B, Removed("use 'http-request allow'")),
    ("reqidel", F | B, Removed("use 'http-request del-header'")),
    ("reqideny", F | B, Removed("use 'http-request deny'")),
    ("reqipass", F | B, Removed("use 'http-request allow'")),
    ("reqirep", F | B, Removed("use 'http-request replace-header' or 'replace-uri'")),
    ("reqitarpit", F | B, Removed("use 'http-request tarpit'")),
    ("reqpass", F | B, Removed("use 'http-request allow'")),
    ("reqrep", F | B, Removed("use 'http-request replace-header' or 'replace-uri'")),
    ("reqtarpit", F | B, Removed("use 'http-request tarpit'")),
    ("retries", D | B, Do(|d, args, cx| { d.config.retries = args.integer(cx, "a number of retries", 0..=i64::from(i32::MAX))?; args.end(cx) })),
    ("retry-on", D | B, Do(retry_on)),
    ("rspadd", F | B, Removed("use 'http-response add-header'")),
    ("rspdel", F | B, Removed("use 'http-response del-header'")),
    ("rspdeny", F | B, Removed("use 'http-response deny'")),
    ("rspidel", F | B, Removed("use 'http-response del-header'")),
    ("rspideny", F | B, Removed("use 'http-response deny'")),
    ("rspirep", F | B, Removed("use 'http-response replace-header'")),
    ("rsprep", F | B, Removed("use 'http-response replace-header'")),
    ("server", B | STRICT, Do(server::server)),
    ("server-state-file-name", D | B, Do(life::state_file_name)),
    ("server-template", B | STRICT, Do(server::server_template)),
    ("source", D | B, Do(source::of_backend)),
    ("srvtcpka-cnt", D | B, Do(|d, args, cx| { d.config.server_probes.count = Some(args.integer(cx, "a number of probes", 1..=MAX_PROBES)?); args.end(cx) })),
    ("srvtcpka-idle", D | B, Do(|d, args, cx| { d.config.server_probes.idle = Some(probe_time(args, cx)?); args.end(cx) })),
    ("srvtcpka-intvl", D | B, Do(|d, args, cx| { d.config.server_probes.interval = Some(probe_time(args, cx)?); args.end(cx) })),
    ("srvtimeout", D | B, Removed("use 'timeout server'")),
    ("stats", D | F | B, Do(stats::stats)),
    ("stick", B, NotYet),
    ("stick-table", F | B, NotYet),
    ("tcp-check", D | B, Do(checks::tcp_check)),
    ("tcp-request", N | F | B, Do(rules::tcp_request)),
    ("tcp-response", N | B, NotYet),
    ("timeout", D | F | B, Do(timeout)),
    ("transparent", D | B, Do(dispatch::transparent)),
    ("unique-id-format", D | F, Do(rules::unique_id_format)),
    ("unique-id-header", D | F, Do(rules::unique_id_header)),
    ("use-fcgi-app", B, NotYet),
    ("use-server", B, Do(balance::use_server)),
    ("use_backend", F, Do(rules::use_backend)),
];

/// Reads one line of a proxy section.
pub(super) fn line(draft: &mut Draft, words: &[Word], cx: &mut Context<'_>) {
    // `no option …`, `default option …`, `no log`.
    let (modifier, words) = match words[0].text.as_str() {
        "no" | "default" if words.len() > 1 => (Some(&words[0]), &words[1..]),
        _ => (None, words),
    };
    let Some(mut args) = Args::new(words) else {
        return;
    };
    let keyword = &words[0];
    if let Some(modifier) = modifier {
        return match keyword.text.as_str() {
            "option" => options::modified_option(draft, modifier, &mut args, cx),
            "log" if modifier.text == "no" => {
                draft.logs.clear();
                let _ = args.end(cx);
            }
            _ => {
                let message = format!(
                    "'{}' can stand before 'option' and 'log' only",
                    modifier.text
                );
                cx.error(DiagnosticKind::InvalidValue, modifier.span, message);
            }
        };
    }
    let Some((name, place, action)) = KEYWORDS.iter().find(|(name, ..)| *name == keyword.text)
    else {
        let known = KEYWORDS
            .iter()
            .map(|(name, ..)| *name)
            .chain(super::parser::section_names());
        return cx.unknown(
            keyword,
            &format!("in section '{}'", draft.section.name()),
            known,
        );
    };
    match action {
        Removed(instead) => {
            let message = format!("'{name}' is not supported by HAProxy any more");
            cx.diagnostics.push(
                crate::Diagnostic::error(DiagnosticKind::UnknownWord, keyword.span, message)
                    .with_help(*instead),
            );
        }
        NotYet => cx.not_yet(keyword.span, name),
        _ if !allowed(draft, *place, name, keyword.span, cx) => {}
        Do(read) => {
            let _ = read(draft, &mut args, cx);
        }
        Accepted(why) => {
            cx.notice(
                DiagnosticKind::Pointless,
                keyword.span,
                format!("'{name}' has no effect: {why}"),
            );
        }
    }
}

/// Whether this section takes a word; complains as HAProxy does if not.
pub(super) fn allowed(
    draft: &Draft,
    place: Where,
    name: &str,
    span: Span,
    cx: &mut Context<'_>,
) -> bool {
    let section = draft.section.name();
    let own_name = &draft.config.name.text;
    if draft.section == Section::Defaults {
        let named = !own_name.is_empty();
        if place & D != 0 || (named && place & N != 0) {
            return true;
        }
        let mut diagnostic = crate::Diagnostic::error(
            DiagnosticKind::InvalidValue,
            span,
            format!("'{name}' is not allowed in section 'defaults'"),
        );
        if place & N != 0 {
            diagnostic.help = Some("a 'defaults' section with a name may hold it".to_owned());
        }
        cx.diagnostics.push(diagnostic);
        return false;
    }
    let kind = draft.config.kind;
    if (kind.is_frontend() && place & F != 0) || (kind.is_backend() && place & B != 0) {
        return true;
    }
    let capability = if place & F != 0 {
        "frontend"
    } else {
        "backend"
    };
    if place & STRICT != 0 {
        let message = format!(
            "'{name}' is not allowed because {section} '{own_name}' has no {capability} capability"
        );
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return false;
    }
    let message = format!(
        "'{name}' is ignored because {section} '{own_name}' has no {capability} capability"
    );
    let mut diagnostic = crate::Diagnostic::warning(DiagnosticKind::Pointless, span, message);
    diagnostic.help = match name {
        "maxconn" => Some("did you mean 'fullconn'?".to_owned()),
        "fullconn" => Some("did you mean 'maxconn'?".to_owned()),
        _ => None,
    };
    cx.diagnostics.push(diagnostic);
    false
}

/// The keywords by what becomes of them, for the documentation.
pub(super) fn keyword_lists() -> KeywordLists {
    let fate = |action: &Action| match action {
        Do(_) => Fate::Read,
        Accepted(_) => Fate::Accepted,
        NotYet => Fate::NotYet,
        Removed(_) => Fate::Removed,
    };
    let rows = KEYWORDS
        .iter()
        .map(|(name, _, action)| (*name, fate(action)));
    KeywordLists::sorted_out("defaults, frontend, backend, listen", rows)
}

fn mode(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'tcp' or 'http'")?;
    draft.config.mode = match word.text.as_str() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "health" => {
            cx.error(
                DiagnosticKind::UnknownWord,
                word.span,
                "'mode health' is not supported by HAProxy any more",
            );
            return None;
        }
        "log" | "spop" | "haterm" => {
            cx.not_yet(word.span, &format!("mode {}", word.text));
            return None;
        }
        _ => {
            cx.unknown(word, "as a mode", ["tcp", "http"]);
            return None;
        }
    };
    args.end(cx)
}

fn description(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let mut text = args.value(cx, "a text")?.text.clone();
    for word in args.rest() {
        text.push(' ');
        text.push_str(&word.text);
    }
    draft.config.description = Some(text);
    Some(())
}

fn log(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let entry = log_entry(args, cx)?;
    if entry != LogEntry::Global || !draft.logs.contains(&LogEntry::Global) {
        draft.logs.push(entry);
    }
    Some(())
}

fn http_reuse(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'never', 'safe', 'aggressive' or 'always'")?;
    draft.config.http_reuse = match word.text.as_str() {
        "never" => HttpReuse::Never,
        "safe" => HttpReuse::Safe,
        "aggressive" => HttpReuse::Aggressive,
        "always" => HttpReuse::Always,
        _ => {
            cx.unknown(
                word,
                "as a mode of 'http-reuse'",
                ["never", "safe", "aggressive", "always"],
            );
            return None;
        }
    };
    args.end(cx)
}

fn retry_on(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const EVENTS: [&str; 18] = [
        "0rtt-rejected",
        "401",
        "403",
        "404",
        "408",
        "425",
        "429",
        "500",
        "501",
        "502",
        "503",
        "504",
        "all-retryable-errors",
        "conn-failure",
        "empty-response",
        "junk-response",
        "none",
        "response-timeout",
    ];
    let first = args.value(cx, "events")?.clone();
    let mut words = vec![first];
    words.extend(
        args.rest()
            .iter()
            .filter(|word| !word.text.is_empty())
            .cloned(),
    );
    for word in &words {
        if !EVENTS.contains(&word.text.as_str()) {
            cx.unknown(word, "as an event of 'retry-on'", EVENTS);
        }
    }
    draft.config.retry_on = words;
    Some(())
}

/// Timeouts, sorted, with the sections that take them and the slot that holds them.
type TimeoutRow = (
    &'static str,
    Where,
    fn(&mut Timeouts) -> &mut Option<std::time::Duration>,
);
#[rustfmt::skip]
const TIMEOUTS: &[TimeoutRow] = &[
    ("check", D | B, |t| &mut t.check),
    ("client", D | F, |t| &mut t.client),
    ("client-fin", D | F, |t| &mut t.client_fin),
    ("connect", D | B, |t| &mut t.connect),
    ("http-keep-alive", D | F | B, |t| &mut t.http_keep_alive),
    ("http-request", D | F | B, |t| &mut t.http_request),
    ("queue", D | B, |t| &mut t.queue),
    ("server", D | B, |t| &mut t.server),
    ("server-fin", D | B, |t| &mut t.server_fin),
    ("tarpit", D | F | B, |t| &mut t.tarpit),
    ("tunnel", D | B, |t| &mut t.tunnel),
];

fn timeout(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "the name of a timeout")?;
    args.enter(word);
    let Some((name, place, slot)) = TIMEOUTS.iter().find(|(name, ..)| *name == word.text) else {
        match word.text.as_str() {
            "clitimeout" | "srvtimeout" | "contimeout" => {
                let message = format!(
                    "'timeout {}' is not supported by HAProxy any more",
                    word.text
                );
                cx.error(DiagnosticKind::UnknownWord, word.span, message);
            }
            "client-hs" => cx.not_yet(word.span, "timeout client-hs"),
            _ => cx.unknown(
                word,
                "as a timeout",
                TIMEOUTS.iter().map(|(name, ..)| *name),
            ),
        }
        return None;
    };
    let time = args.time(cx, Unit::Milliseconds)?;
    args.end(cx)?;
    if draft.section == Section::Defaults
        || allowed(draft, *place, &format!("timeout {name}"), word.span, cx)
    {
        *slot(&mut draft.config.timeouts) = Some(time).filter(|time| !time.is_zero());
    }
    Some(())
}
