//! `server`, `server-template` and `default-server`: one row for each option.

mod options;

use std::net::SocketAddr;
use std::time::Duration;

use super::address::server_address;
use super::args::{Args, Context};
use super::model::{
    AgentConfig, CheckConfig, InitAddr, PoolConfig, Proto, ProxyV2Options, ResolveConfig,
    SendProxy, ServerAddress, ServerConfig, ServerTls, SourceConfig,
};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;
use crate::source::{Span, Word};
use options::read_options;
pub(super) use options::{is_option, keyword_lists, read_option};

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
