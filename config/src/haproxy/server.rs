//! `server`, `server-template` and `default-server`: one row for each option.

use std::net::SocketAddr;
use std::time::Duration;

use super::address::{plain_address, server_address};
use super::args::{Args, Context, Unit};
use super::bind::{NPN, TLS12, TLS13, force, max_version, min_version};
use super::model::{
    AgentConfig, CheckConfig, InitAddr, InitState, Observe, OnError, PoolConfig, Proto,
    ProxyV2Options, ResolveConfig, SendProxy, ServerAddress, ServerConfig, ServerTls, SourceConfig,
};
use super::proxy::Draft;
use super::{resolvers, source};
use crate::diagnostic::DiagnosticKind;
use crate::source::{Span, Word};

/// All options of a server, as a `default-server` line or the server's own leave them.
#[derive(Clone, Debug)]
pub(super) struct ServerOptions {
    weight: u16,
    maxconn: Option<u32>,
    maxqueue: Option<u32>,
    minconn: Option<u32>,
    check: bool,
    check_config: CheckConfig,
    check_sni: Option<String>,
    agent: bool,
    agent_port: Option<u16>,
    agent_config: AgentConfig,
    shutdown_backups_on_up: bool,
    track: Option<Word>,
    cookie: Option<String>,
    backup: bool,
    disabled: bool,
    slowstart: Option<Duration>,
    ssl: bool,
    tls: ServerTls,
    proto: Proto,
    pool: PoolConfig,
    /// `verify` was written.
    verify_written: bool,
    proxy_header: ProxyHeader,
    init_addr: Vec<InitAddr>,
    shutdown_sessions_on_down: bool,
    pub(super) source: Option<SourceConfig>,
    pub(super) resolve: ResolveConfig,
    tcp_user_timeout: Option<Duration>,
    socks4: Option<SocketAddr>,
    pub(super) id: Option<u32>,
}

/// `send-proxy` and all its forms: each sets its own, and the second version wins.
#[derive(Clone, Copy, Debug, Default)]
struct ProxyHeader {
    v1: bool,
    v2: bool,
    /// `check-send-proxy`.
    checks: bool,
    options: ProxyV2Options,
}

impl ProxyHeader {
    /// HAProxy takes options alone for `send-proxy`.
    fn finished(self) -> Option<SendProxy> {
        if self.v2 {
            return Some(SendProxy::V2(self.options));
        }
        (self.v1 || self.options != ProxyV2Options::default()).then_some(SendProxy::V1)
    }
}

impl ServerOptions {
    /// `track` beside checks of its own, which cannot be.
    pub(super) fn tracks_and_checks(&self) -> bool {
        self.track.is_some() && (self.check || self.agent)
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            weight: 1,
            maxconn: None,
            maxqueue: None,
            minconn: None,
            check: false,
            check_config: CheckConfig::default(),
            check_sni: None,
            agent: false,
            agent_port: None,
            agent_config: AgentConfig {
                port: 0,
                address: None,
                send: String::new(),
                inter: Duration::from_secs(2),
            },
            shutdown_backups_on_up: false,
            track: None,
            cookie: None,
            backup: false,
            disabled: false,
            slowstart: None,
            ssl: false,
            tls: ServerTls::default(),
            verify_written: false,
            proxy_header: ProxyHeader::default(),
            init_addr: vec![InitAddr::Last, InitAddr::Libc],
            shutdown_sessions_on_down: false,
            source: None,
            resolve: ResolveConfig::default(),
            tcp_user_timeout: None,
            socks4: None,
            proto: Proto::Auto,
            pool: PoolConfig::default(),
            id: None,
        }
    }
}

type Read = fn(&mut ServerOptions, &mut Args<'_>, &mut Context<'_>) -> Option<()>;

enum Action {
    Do(Read),
    /// Accepted without effect, with so many arguments; the text says why.
    Accepted(u8, &'static str),
    NotYet,
}

use Action::{Accepted, Do, NotYet};

const COUNT: i64 = i32::MAX as i64;

/// Options, sorted.
#[rustfmt::skip]
const OPTIONS: &[(&str, Action)] = &[
    ("addr", Do(check_address)),
    ("agent-addr", Do(|o, args, cx| { o.agent_config.address = Some(args.value(cx, "an address")?.text.clone()); Some(()) })),
    ("agent-check", Do(|o, _, _| { o.agent = true; Some(()) })),
    ("agent-inter", Do(|o, args, cx| { o.agent_config.inter = interval(args, cx)?; Some(()) })),
    ("agent-port", Do(|o, args, cx| { o.agent_port = Some(args.integer(cx, "a port", 1..=65_535)?); Some(()) })),
    ("agent-send", Do(|o, args, cx| { o.agent_config.send.clone_from(&args.value(cx, "a text")?.text); Some(()) })),
    ("allow-0rtt", NotYet),
    ("alpn", Do(|o, args, cx| { o.tls.alpn = protocols(args, cx)?; Some(()) })),
    ("backup", Do(|o, _, _| { o.backup = true; Some(()) })),
    ("ca-file", Do(|o, args, cx| { o.tls.ca_file = Some(args.value(cx, "a path")?.clone()); Some(()) })),
    ("check", Do(|o, _, _| { o.check = true; Some(()) })),
    ("check-alpn", Do(|o, args, cx| { o.check_config.alpn = args.value(cx, "protocols")?.text.split(',').map(str::to_owned).collect(); Some(()) })),
    ("check-proto", Do(|o, args, cx| { o.check_config.proto = super::bind::proto(args, cx)?; Some(()) })),
    ("check-send-proxy", Do(|o, _, _| { o.proxy_header.checks = true; Some(()) })),
    ("check-sni", Do(|o, args, cx| { o.check_sni = Some(args.value(cx, "a name")?.text.clone()); Some(()) })),
    ("check-ssl", Do(|o, _, _| { o.check_config.tls = true; Some(()) })),
    ("check-via-socks4", Do(|o, _, _| { o.check_config.via_socks4 = true; Some(()) })),
    ("ciphers", Do(|o, args, cx| { o.tls.choice.ciphers = Some(args.value(cx, "a cipher list")?.clone()); Some(()) })),
    ("ciphersuites", Do(|o, args, cx| { o.tls.choice.ciphersuites = Some(args.value(cx, "cipher suites")?.clone()); Some(()) })),
    ("client-sigalgs", NotYet),
    ("cookie", Do(|o, args, cx| { o.cookie = Some(args.value(cx, "a value")?.text.clone()); Some(()) })),
    ("crl-file", NotYet),
    ("crt", NotYet),
    ("curves", Do(|o, args, cx| { o.tls.choice.curves = Some(args.value(cx, "curves")?.clone()); Some(()) })),
    ("disabled", Do(|o, _, _| { o.disabled = true; Some(()) })),
    ("downinter", Do(|o, args, cx| { o.check_config.downinter = Some(interval(args, cx)?); Some(()) })),
    ("enabled", Do(|o, _, _| { o.disabled = false; Some(()) })),
    ("error-limit", Do(|o, args, cx| { o.check_config.error_limit = args.integer(cx, "a number of errors", 1..=COUNT)?; Some(()) })),
    ("fall", Do(|o, args, cx| { o.check_config.fall = args.integer(cx, "a number of checks", 1..=COUNT)?; Some(()) })),
    ("fastinter", Do(|o, args, cx| { o.check_config.fastinter = Some(interval(args, cx)?); Some(()) })),
    ("force-sslv3", NotYet),
    ("force-tlsv10", NotYet),
    ("force-tlsv11", NotYet),
    ("force-tlsv12", Do(|o, _, _| { force(&mut o.tls.choice, TLS12); Some(()) })),
    ("force-tlsv13", Do(|o, _, _| { force(&mut o.tls.choice, TLS13); Some(()) })),
    ("guid", NotYet),
    ("hash-key", NotYet),
    ("id", Do(|o, args, cx| { o.id = Some(args.integer(cx, "a number", 1..=COUNT)?); Some(()) })),
    ("idle-ping", NotYet),
    ("init-addr", Do(init_addr)),
    ("init-state", Do(init_state)),
    ("inter", Do(|o, args, cx| { o.check_config.inter = interval(args, cx)?; Some(()) })),
    ("log-bufsize", NotYet),
    ("log-proto", NotYet),
    ("max-reuse", Do(|o, args, cx| { o.pool.max_reuse = or_unlimited(args, cx, "a number of requests")?; Some(()) })),
    ("maxconn", Do(|o, args, cx| { o.maxconn = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("maxqueue", Do(|o, args, cx| { o.maxqueue = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("minconn", Do(|o, args, cx| { o.minconn = Some(args.integer(cx, "a number of connections", 0..=COUNT)?).filter(|n| *n > 0); Some(()) })),
    ("namespace", NotYet),
    ("no-agent-check", Do(|o, _, _| { o.agent = false; Some(()) })),
    ("no-backup", Do(|o, _, _| { o.backup = false; Some(()) })),
    ("no-check", Do(|o, _, _| { o.check = false; Some(()) })),
    ("no-check-send-proxy", Do(|o, _, _| { o.proxy_header.checks = false; Some(()) })),
    ("no-check-ssl", Do(|o, _, _| { o.check_config.tls = false; Some(()) })),
    ("no-send-proxy", Do(|o, _, _| { o.proxy_header.v1 = false; Some(()) })),
    ("no-send-proxy-v2", Do(|o, _, _| { o.proxy_header.v2 = false; Some(()) })),
    ("no-send-proxy-v2-ssl", Do(|o, _, _| { o.proxy_header.v2 = false; o.proxy_header.options.ssl = false; Some(()) })),
    ("no-send-proxy-v2-ssl-cn", Do(|o, _, _| { o.proxy_header.v2 = false; o.proxy_header.options.ssl = false; o.proxy_header.options.cert_cn = false; Some(()) })),
    ("no-ssl", Do(|o, _, _| { o.ssl = false; Some(()) })),
    ("no-ssl-reuse", Do(|o, _, _| { o.tls.no_reuse = true; Some(()) })),
    ("no-sslv3", Do(|_, _, _| Some(()))),
    ("no-tfo", Do(|_, _, _| Some(()))),
    ("no-tls-tickets", Do(|o, _, _| { o.tls.no_tickets = true; Some(()) })),
    ("no-tlsv10", Do(|_, _, _| Some(()))),
    ("no-tlsv11", Do(|_, _, _| Some(()))),
    ("no-tlsv12", Do(|o, _, _| { o.tls.choice.min_version = Some(TLS13.to_owned()); Some(()) })),
    ("no-tlsv13", Do(|o, _, _| { o.tls.choice.max_version = Some(TLS12.to_owned()); Some(()) })),
    ("no-verifyhost", Do(|o, _, _| { o.tls.verify_host = None; Some(()) })),
    ("non-stick", Accepted(0, "there are no 'stick' rules")),
    ("npn", Accepted(1, NPN)),
    ("observe", Do(observe)),
    ("on-error", Do(on_error)),
    ("on-marked-down", Do(on_marked_down)),
    ("on-marked-up", Do(on_marked_up)),
    ("pool-low-conn", Accepted(1, "no thread takes another one's connections")),
    ("pool-max-conn", Do(|o, args, cx| { o.pool.max_idle = or_unlimited(args, cx, "a number of connections")?; Some(()) })),
    ("pool-purge-delay", Do(|o, args, cx| { o.pool.purge_delay = args.time(cx, Unit::Milliseconds)?; Some(()) })),
    ("port", Do(|o, args, cx| { o.check_config.port = Some(args.integer(cx, "a port", 1..=65_535)?); Some(()) })),
    ("proto", Do(|o, args, cx| { o.proto = super::bind::proto(args, cx)?; Some(()) })),
    ("proxy-v2-options", Do(proxy_v2_options)),
    ("redir", NotYet),
    ("resolve-net", Do(|o, args, cx| resolvers::networks(&mut o.resolve, args, cx))),
    ("resolve-opts", Do(|o, args, cx| resolvers::options(&mut o.resolve, args, cx))),
    ("resolve-prefer", Do(|o, args, cx| resolvers::prefer(&mut o.resolve, args, cx))),
    ("resolvers", Do(|o, args, cx| { o.resolve.resolvers = Some(args.value(cx, "the name of a 'resolvers' section")?.clone()); Some(()) })),
    ("rise", Do(|o, args, cx| { o.check_config.rise = args.integer(cx, "a number of checks", 1..=COUNT)?; Some(()) })),
    ("send-proxy", Do(|o, _, _| { o.proxy_header.v1 = true; Some(()) })),
    ("send-proxy-v2", Do(|o, _, _| { o.proxy_header.v2 = true; Some(()) })),
    ("send-proxy-v2-ssl", Do(|o, _, _| { o.proxy_header.v2 = true; o.proxy_header.options.ssl = true; Some(()) })),
    ("send-proxy-v2-ssl-cn", Do(|o, _, _| { o.proxy_header.v2 = true; o.proxy_header.options.ssl = true; o.proxy_header.options.cert_cn = true; Some(()) })),
    ("shard", NotYet),
    ("sigalgs", NotYet),
    ("slowstart", Do(|o, args, cx| { o.slowstart = Some(args.time(cx, Unit::Milliseconds)?).filter(|time| !time.is_zero()); Some(()) })),
    ("sni", Do(sni)),
    ("socks4", Do(socks4)),
    ("source", Do(|o, args, cx| { o.source = Some(source::source(args, cx)?); Some(()) })),
    ("ssl", Do(|o, _, _| { o.ssl = true; Some(()) })),
    ("ssl-max-ver", Do(|o, args, cx| { o.tls.choice.max_version = max_version(args, cx)?; Some(()) })),
    ("ssl-min-ver", Do(|o, args, cx| { o.tls.choice.min_version = Some(min_version(args, cx)?); Some(()) })),
    ("ssl-reuse", Do(|o, _, _| { o.tls.no_reuse = false; Some(()) })),
    ("stick", Accepted(0, "there are no 'stick' rules")),
    ("strict-maxconn", NotYet),
    ("tcp-ut", Do(|o, args, cx| { o.tcp_user_timeout = Some(args.time(cx, Unit::Milliseconds)?).filter(|time| !time.is_zero()); Some(()) })),
    ("tfo", Accepted(0, "connections to servers begin in the ordinary way")),
    ("tls-tickets", Do(|o, _, _| { o.tls.no_tickets = false; Some(()) })),
    ("track", Do(|o, args, cx| { o.track = Some(args.value(cx, "a server")?.clone()); Some(()) })),
    ("verify", Do(verify)),
    ("verifyhost", Do(|o, args, cx| { o.tls.verify_host = Some(args.value(cx, "a host name")?.text.clone()); Some(()) })),
    ("weight", Do(|o, args, cx| { o.weight = args.integer(cx, "a weight", 0..=256)?; Some(()) })),
    ("ws", NotYet),
];

/// `server NAME ADDRESS [OPTIONS]`.
pub(super) fn server(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let name = args.value(cx, "a name and an address")?.clone();
    if let Some(bad) = bad_character(&name.text) {
        let message = format!(
            "character '{bad}' is not permitted in server name '{}'",
            name.text
        );
        cx.error(DiagnosticKind::InvalidValue, name.span, message);
    }
    let server = one_server(draft, name, args, cx)?;
    draft.config.servers.push(server);
    Some(())
}

/// `server-template PREFIX N|A-B FQDN[:PORT] [OPTIONS]`: servers of one name.
pub(super) fn server_template(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let prefix = args.value(cx, "a prefix, a number or range, and an address")?;
    if let Some(bad) = bad_character(&prefix.text) {
        let message = format!(
            "character '{bad}' is not permitted in server prefix '{}'",
            prefix.text
        );
        cx.error(DiagnosticKind::InvalidValue, prefix.span, message);
    }
    let range = args.value(cx, "a number of servers or a range of numbers")?;
    let ends = match range.text.split_once('-') {
        Some((first, last)) => (first.parse().ok(), last.parse().ok()),
        None => (Some(1), range.text.parse().ok()),
    };
    let (Some(first), Some(last)) = ends else {
        let message = format!(
            "invalid number or range '{}' of 'server-template'",
            range.text
        );
        cx.error(DiagnosticKind::InvalidValue, range.span, message);
        return None;
    };
    let (first, last): (u32, u32) = (first, last);
    if first == 0 || first > last || last - first >= MAX_TEMPLATE_SERVERS {
        let message = format!(
            "'server-template' expects from 1 to {MAX_TEMPLATE_SERVERS} servers, found '{}'",
            range.text
        );
        cx.error(DiagnosticKind::InvalidValue, range.span, message);
        return None;
    }
    let template = one_server(draft, prefix.clone(), args, cx)?;
    // An `id` in the options can be that of the first server only.
    let id = draft.server_ids.pop().flatten();
    for number in first..=last {
        let mut server = template.clone();
        server.name.text = format!("{}{number}", prefix.text);
        draft.server_ids.push(id.filter(|_| number == first));
        draft.config.servers.push(server);
    }
    Some(())
}

/// Most servers that one `server-template` line may make.
const MAX_TEMPLATE_SERVERS: u32 = 10_000;

pub(super) fn bad_character(name: &str) -> Option<char> {
    name.chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-_.:".contains(*c)))
}

/// Address and options, after the name; its `id` is put into the draft.
fn one_server(
    draft: &mut Draft,
    name: Word,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<ServerConfig> {
    let span = args.span();
    let address_word = args.value(cx, "an address after the name")?;
    let address = server_address(address_word, "server", cx);
    let mut options = draft.server_options.clone();
    read_options(&mut options, args, cx)?;
    assemble(draft, name, span, (address_word, address), options, cx)
}

/// The server that `dispatch` or `option transparent` means: it has no line, no options and no name of its own.
pub(super) fn nameless(draft: &mut Draft, address: &Word, cx: &mut Context<'_>) -> Option<()> {
    let name = Word::new("<NOSRV>", address.span);
    let found = server_address(address, "dispatch", cx);
    let options = ServerOptions::default();
    let server = assemble(draft, name, address.span, (address, found), options, cx)?;
    draft.config.servers.push(ServerConfig {
        nameless: true,
        ..server
    });
    Some(())
}

/// A server of what is known of it.
pub(super) fn assemble(
    draft: &mut Draft,
    name: Word,
    span: Span,
    (address_word, address): (&Word, Option<ServerAddress>),
    mut options: ServerOptions,
    cx: &mut Context<'_>,
) -> Option<ServerConfig> {
    // `ssl-server-verify none` in `global` makes it the default.
    options.tls.verify_none |= cx.servers_unverified && !options.verify_written;
    if (options.ssl || options.check && options.check_config.tls)
        && !options.tls.verify_none
        && options.tls.ca_file.is_none()
    {
        let message = format!(
            "'server {}': 'verify' is enabled, but no 'ca-file' says whom to trust",
            name.text
        );
        let diagnostic = crate::Diagnostic::error(DiagnosticKind::InvalidValue, span, message)
            .with_help(
                "give 'ca-file PATH' (or '@system-ca'), or 'verify none' to trust any server",
            );
        cx.diagnostics.push(diagnostic);
    }
    if options.minconn.is_some() && options.maxconn.is_none() {
        options.maxconn = options.minconn;
    }
    let send_proxy = options.proxy_header.finished();
    let check_elsewhere =
        options.check_config.port.is_some() || options.check_config.address.is_some();
    options.check_config.send_proxy =
        options.proxy_header.checks || (send_proxy.is_some() && !check_elsewhere);
    let check = check_of(&options);
    let agent = agent_of(&options, &name, cx)?;
    if let Some(track) = options
        .track
        .as_ref()
        .filter(|_| options.tracks_and_checks())
    {
        let message = "'track' cannot go with 'check' or 'agent-check' on one server";
        cx.error(DiagnosticKind::InvalidValue, track.span, message);
    }
    let address = address?;
    // A name of services has its ports in its records (manual, 5.3.1).
    if let ServerAddress::Host { host, .. } = &address
        && host.starts_with('_')
        && options.resolve.resolvers.is_none()
    {
        let message = format!("'{host}' is a name of services (SRV), which needs 'resolvers'");
        cx.error(DiagnosticKind::InvalidValue, address_word.span, message);
    }
    draft.server_ids.push(options.id);
    Some(ServerConfig {
        name,
        id: 0,
        address,
        address_span: address_word.span,
        weight: options.weight,
        maxconn: options.maxconn,
        maxqueue: options.maxqueue,
        minconn: options.minconn,
        check,
        cookie: options.cookie,
        backup: options.backup,
        disabled: options.disabled,
        slowstart: options.slowstart,
        tls: options.ssl.then_some(options.tls),
        send_proxy,
        init_addr: options.init_addr,
        shutdown_sessions_on_down: options.shutdown_sessions_on_down,
        shutdown_backups_on_up: options.shutdown_backups_on_up,
        agent,
        track: options.track,
        source: options.source,
        resolve: options.resolve,
        tcp_user_timeout: options.tcp_user_timeout,
        socks4: options.socks4,
        proto: options.proto,
        pool: options.pool,
        nameless: false,
        span,
    })
}

/// The settings of `check`: what the server's own connections use is used here too, unless the check goes elsewhere.
fn check_of(options: &ServerOptions) -> Option<CheckConfig> {
    let written = options.check.then_some(&options.check_config)?;
    let elsewhere = written.port.is_some() || written.address.is_some();
    Some(CheckConfig {
        tls: written.tls || (options.ssl && !elsewhere),
        tls_options: ServerTls {
            sni: options.check_sni.clone(),
            ..options.tls.clone()
        },
        ..written.clone()
    })
}

fn agent_of(
    options: &ServerOptions,
    name: &Word,
    cx: &mut Context<'_>,
) -> Option<Option<AgentConfig>> {
    if !options.agent {
        return Some(None);
    }
    let Some(port) = options.agent_port else {
        let message = format!(
            "server '{}' has 'agent-check' without 'agent-port'",
            name.text
        );
        cx.error(DiagnosticKind::InvalidValue, name.span, message);
        return None;
    };
    Some(Some(AgentConfig {
        port,
        ..options.agent_config.clone()
    }))
}

/// `default-server OPTIONS`.
pub(super) fn default_server(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let mut options = draft.server_options.clone();
    read_options(&mut options, args, cx)?;
    options.id = None;
    draft.server_options = options;
    Some(())
}

fn read_options(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    while let Some(word) = args.next_option() {
        read_option(options, word, args, cx)?;
    }
    Some(())
}

/// Whether a word is an option of a server, done here or not.
pub(super) fn is_option(word: &str) -> bool {
    OPTIONS.iter().any(|(name, _)| *name == word)
}

/// One option with its arguments.
pub(super) fn read_option(
    options: &mut ServerOptions,
    word: &Word,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    args.enter(word);
    match OPTIONS.iter().find(|(name, _)| *name == word.text) {
        Some((_, Do(read))) => read(options, args, cx)?,
        Some((name, Accepted(arguments, why))) => {
            for _ in 0..*arguments {
                args.value(cx, "an argument")?;
            }
            cx.notice(
                DiagnosticKind::Pointless,
                word.span,
                format!("'{name}' of 'server' has no effect: {why}"),
            );
        }
        Some((name, NotYet)) => {
            cx.not_yet(word.span, &format!("server … {name}"));
            return None;
        }
        None if word.text.starts_with("set-proxy-v2-tlv-fmt(") => {
            cx.not_yet(word.span, "server … set-proxy-v2-tlv-fmt");
            return None;
        }
        None => {
            cx.unknown(
                word,
                "as an option of 'server'",
                OPTIONS.iter().map(|(name, _)| *name),
            );
            return None;
        }
    }
    Some(())
}

fn socks4(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "an address and a port")?;
    let (address, port) = plain_address(word, "socks4", cx)?;
    if port == 0 {
        let message = format!("'socks4' expects a port behind the address '{}'", word.text);
        cx.error(DiagnosticKind::InvalidValue, word.span, message);
        return None;
    }
    options.socks4 = Some(SocketAddr::new(address, port));
    Some(())
}

/// `alpn`: names with commas between.
fn protocols(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Vec<String>> {
    let word = args.value(cx, "protocols")?;
    let names = word.text.split(',').map(str::trim);
    Some(
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn interval(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<Duration> {
    let span = args.span();
    let time = args.time(cx, Unit::Milliseconds)?;
    if time < Duration::from_millis(1) {
        let message = format!(
            "'{}': an interval of at least 1 ms was expected",
            args.name()
        );
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    Some(time)
}

/// A number, or -1 for no limit.
fn or_unlimited(args: &mut Args<'_>, cx: &mut Context<'_>, what: &str) -> Option<Option<u32>> {
    let number: i32 = args.integer(cx, what, -1..=COUNT)?;
    Some(u32::try_from(number).ok())
}

/// `addr ADDRESS[:PORT]`: a port that `port` does not say is taken from here.
fn check_address(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "an address")?;
    let (address, port) = plain_address(word, "addr", cx)?;
    options.check_config.address = Some(address);
    options.check_config.port = options
        .check_config
        .port
        .or(Some(port).filter(|port| *port != 0));
    Some(())
}

/// `proxy-v2-options OPTION[,OPTION]…`.
fn proxy_v2_options(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    const NAMES: [&str; 8] = [
        "authority",
        "cert-cn",
        "cert-key",
        "cert-sig",
        "crc32c",
        "ssl",
        "ssl-cipher",
        "unique-id",
    ];
    let word = args.value(cx, "options")?;
    let wanted = &mut options.proxy_header.options;
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        match part {
            "authority" => wanted.authority = true,
            "cert-cn" => wanted.cert_cn = true,
            "cert-key" => wanted.cert_key = true,
            "cert-sig" => wanted.cert_sig = true,
            "crc32c" => wanted.crc32c = true,
            "ssl" => wanted.ssl = true,
            "ssl-cipher" => wanted.ssl_cipher = true,
            "unique-id" => wanted.unique_id = true,
            _ => {
                let part = Word::new(part, word.span);
                cx.unknown(&part, "in 'proxy-v2-options'", NAMES);
                return None;
            }
        }
    }
    Some(())
}

fn verify(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "'none' or 'required'")?;
    options.verify_written = true;
    options.tls.verify_none = match word.text.as_str() {
        "none" => true,
        "required" => false,
        _ => {
            cx.unknown(word, "after 'verify'", ["none", "required"]);
            return None;
        }
    };
    Some(())
}

fn sni(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "an expression")?;
    match word
        .text
        .strip_prefix("str(")
        .and_then(|text| text.strip_suffix(')'))
    {
        Some(name) => {
            options.tls.sni = Some(name.to_owned());
            Some(())
        }
        None => {
            cx.not_yet(word.span, &format!("sni {}", word.text));
            None
        }
    }
}

fn on_marked_down(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'shutdown-sessions'")?;
    if word.text != "shutdown-sessions" {
        cx.unknown(word, "after 'on-marked-down'", ["shutdown-sessions"]);
        return None;
    }
    options.shutdown_sessions_on_down = true;
    Some(())
}

fn on_marked_up(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let word = args.value(cx, "'shutdown-backup-sessions'")?;
    if word.text != "shutdown-backup-sessions" {
        cx.unknown(word, "after 'on-marked-up'", ["shutdown-backup-sessions"]);
        return None;
    }
    options.shutdown_backups_on_up = true;
    Some(())
}

/// One of several words.
fn one_of<T: Copy>(
    choices: &[(&'static str, T)],
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<T> {
    let name = args.name().to_owned();
    let word = args.value(cx, "a word")?;
    let found = choices.iter().find(|(choice, _)| *choice == word.text);
    if found.is_none() {
        let words = choices.iter().map(|(choice, _)| *choice);
        cx.unknown(word, &format!("after '{name}'"), words);
    }
    found.map(|(_, value)| *value)
}

fn observe(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let choices = [
        ("none", None),
        ("layer4", Some(Observe::Layer4)),
        ("layer7", Some(Observe::Layer7)),
    ];
    options.check_config.observe = one_of(&choices, args, cx)?;
    Some(())
}

fn on_error(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let choices = [
        ("fastinter", OnError::FastInter),
        ("fail-check", OnError::FailCheck),
        ("sudden-death", OnError::SuddenDeath),
        ("mark-down", OnError::MarkDown),
    ];
    options.check_config.on_error = one_of(&choices, args, cx)?;
    Some(())
}

fn init_state(
    options: &mut ServerOptions,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let choices = [
        ("fully-up", InitState::FullyUp),
        ("up", InitState::Up),
        ("down", InitState::Down),
        ("fully-down", InitState::FullyDown),
        ("none", InitState::Up),
    ];
    options.check_config.init_state = one_of(&choices, args, cx)?;
    Some(())
}

fn init_addr(options: &mut ServerOptions, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    let word = args.value(cx, "methods")?;
    let mut methods = Vec::new();
    for part in word.text.split(',').filter(|part| !part.is_empty()) {
        methods.push(match part {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            address => match address.parse() {
                Ok(address) => InitAddr::Ip(address),
                Err(_) => {
                    cx.unknown(word, "as a method of 'init-addr'", ["last", "libc", "none"]);
                    return None;
                }
            },
        });
    }
    options.init_addr = methods;
    Some(())
}

/// The options by what becomes of them, for the documentation.
pub(super) fn keyword_lists() -> super::KeywordLists {
    let names = |wanted: fn(&Action) -> bool| {
        OPTIONS
            .iter()
            .filter(|(_, action)| wanted(action))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    };
    super::KeywordLists {
        title: "server, default-server".to_owned(),
        read: names(|action| matches!(action, Do(_))),
        accepted: names(|action| matches!(action, Accepted(..))),
        not_yet: names(|action| matches!(action, NotYet)),
    }
}
