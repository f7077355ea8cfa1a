//! From a configuration to what runs: frontends, backends, servers, rules, certificates. All complaints at once.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use config::haproxy::{
    BindAddress, ConnectionMode, ForwardFor, HaproxyConfig, HeaderNames, HttpReuse, InitAddr,
    KeepaliveProbes, Mode, Proto, ProxyConfig, SendProxy, ServerAddress, ServerConfig, Timeouts,
};
use config::{Diagnostic, DiagnosticKind, Diagnostics, SourceMap};
use serde::{Deserialize, Serialize};
use socket2::TcpKeepalive;

use super::Shared;
use crate::balance::Balancer;
use crate::http1::Limits;
use crate::log::LogPlan;
use crate::persistence::{CookiePersistence, ServerRules};
use crate::rules::{CompiledRules, ErrorPages};
use crate::sample::{Environment, Names, Scope};
use crate::server::{Admission, Connector, RetryOn};
use crate::state::{
    Backend, BackendId, Frontend, FrontendCounters, FrontendId, MaxGauge, Places, Server, ServerId,
};
use crate::stats::StatsService;

/// Default of `tune.http.maxhdr`.
const DEFAULT_MAX_HEADERS: u16 = 101;
/// Default of `tune.http.logurilen` in bytes: one less than HAProxy says, as it does.
const DEFAULT_LOGGED_LINE_BYTES: u32 = 1_023;
/// Default of `tune.maxrewrite` in bytes.
const DEFAULT_MAXREWRITE: u32 = 1_024;

/// Everything that runs.
pub struct App {
    /// What other rooms see too.
    pub shared: Arc<Shared>,
    /// Frontends by [`FrontendId`].
    pub frontends: Vec<Arc<FrontendRuntime>>,
    /// Backends by [`BackendId`].
    pub backends: Vec<Arc<BackendRuntime>>,
    /// Listeners in order of [`listener_keys`].
    pub listeners: Vec<Arc<ListenerRuntime>>,
    /// All servers of all backends, by [`ServerRuntime::index`].
    pub servers: Places<Server>,
    /// What expressions see.
    pub environment: Environment,
    /// Bounds of heads.
    pub limits: Limits,
    /// Most bytes of a request line in logs (`tune.http.logurilen`).
    pub logged_line_bytes: usize,
    /// Bounds of HTTP/2 towards clients.
    pub http2: crate::http2::Settings,
    /// Bounds of HTTP/2 towards servers.
    pub http2_servers: crate::http2::Settings,
    /// Wakes accept loops when a place is free again.
    pub room: tokio::sync::Notify,
}

/// A frontend with all that it does.
pub struct FrontendRuntime {
    /// Its state.
    pub frontend: Arc<Frontend>,
    /// Its rules.
    pub rules: CompiledRules,
    /// Its log.
    pub log: LogPlan,
    /// Its error pages.
    pub pages: ErrorPages,
    /// Its statistics page.
    pub stats: Option<StatsService>,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// `option http-server-close` and so on.
    pub connection_mode: ConnectionMode,
    /// `option forwardfor`.
    pub forwardfor: Option<ForwardFor>,
    /// `monitor-uri`.
    pub monitor_uri: Option<String>,
    /// The back half of a `listen`.
    pub own_backend: Option<BackendId>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option http-ignore-probes`.
    pub ignores_probes: bool,
    /// `option accept-invalid-http-request`.
    pub accepts_invalid: bool,
    /// Without `option disable-h2-upgrade`: a client that begins to speak HTTP/2 unasked is served.
    pub upgrades_to_http2: bool,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `option http-use-proxy-header`.
    pub uses_proxy_header: bool,
    /// `option http-drop-response-trailers`.
    pub drops_trailers: bool,
    /// `option http-buffer-request`.
    pub buffers_request: bool,
    /// `option idle-close-on-response`.
    pub idle_close_on_response: bool,
}

/// A backend with all that it does.
pub struct BackendRuntime {
    /// Its state.
    pub backend: Arc<Backend>,
    /// Its rules. Those of a `listen` have run already where its own front half accepted the request, and are `None` where no
    /// other frontend leads here.
    pub rules: Option<CompiledRules>,
    /// Whether requests may come here: not to a backend of TCP, nor to one that is disabled.
    pub takes_requests: bool,
    /// Its statistics page; as above.
    pub stats: Option<StatsService>,
    /// Its error pages.
    pub pages: ErrorPages,
    /// Its algorithm.
    pub balancer: Arc<Balancer>,
    /// Its checks.
    pub checks: Arc<crate::health::Checks>,
    /// Its servers' places.
    pub admission: Arc<Admission>,
    /// Its cookie.
    pub persistence: Option<CookiePersistence>,
    /// `use-server`, `force-persist`, `ignore-persist`.
    pub server_rules: ServerRules,
    /// `persist rdp-cookie`: the cookie's name.
    pub rdp_cookie: Option<Vec<u8>>,
    /// Its servers by [`ServerId`].
    pub servers: Places<ServerRuntime>,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// See [`FrontendRuntime::connection_mode`].
    pub connection_mode: ConnectionMode,
    /// `http-reuse`.
    pub reuse: HttpReuse,
    /// `option forwardfor`.
    pub forwardfor: Option<ForwardFor>,
    /// `retries`.
    pub retries: u32,
    /// `option redispatch`.
    pub redispatch: Option<i32>,
    /// `retry-on`.
    pub retry_on: RetryOn,
    /// `option http-buffer-request`.
    pub buffers_request: bool,
    /// `http-send-name-header`: the name in lower case.
    pub name_header: Option<Vec<u8>>,
    /// `option accept-invalid-http-response`.
    pub accepts_invalid: bool,
    /// `option http-drop-request-trailers`.
    pub drops_trailers: bool,
    /// `option http-restrict-req-hdr-names`; in a `listen` the front half has done it already.
    pub header_names: HeaderNames,
    /// `option persist`: a server that is down is tried if the client's cookie names it.
    pub persist_on_down: bool,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `option abortonclose`.
    pub abortonclose: bool,
}

/// A server's data path.
pub struct ServerRuntime {
    /// Its state.
    pub server: Arc<Server>,
    /// Its number over all backends, for pools.
    pub index: usize,
    /// How to connect.
    pub connector: Connector,
}

/// A listening socket's part of the configuration.
pub struct ListenerRuntime {
    /// Its frontend.
    pub frontend: FrontendId,
    /// `name` of the bind line, or its number from 1.
    pub name: Arc<String>,
    /// Its TLS.
    pub tls: Option<tokio_rustls::TlsAcceptor>,
    /// Whether every connection speaks HTTP/2 (`proto h2`).
    pub http2: bool,
    /// `maxconn` of the socket, 0 for none, and connections now.
    pub maxconn: u64,
    /// Connections now.
    pub connections: MaxGauge,
    /// `option clitcpka`.
    pub keepalive: Option<TcpKeepalive>,
    /// `accept-proxy`.
    pub accept_proxy: bool,
}

/// A listening socket that the worker needs, in the order in which [`run`](super::run) gets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerKey {
    /// Index into `HaproxyConfig::proxies`.
    pub proxy: usize,
    /// Index into its `binds`.
    pub bind: usize,
    /// Where it listens.
    pub address: BindAddress,
}

/// The listening sockets of a configuration. Disabled proxies have none.
pub fn listener_keys(config: &HaproxyConfig) -> Vec<ListenerKey> {
    let proxies = config.proxies.iter().enumerate();
    proxies
        .filter(|(_, proxy)| proxy.kind.is_frontend() && !proxy.disabled)
        .flat_map(|(index, proxy)| {
            let binds = proxy.binds.iter().enumerate();
            binds.map(move |(bind, found)| ListenerKey {
                proxy: index,
                bind,
                address: found.address.clone(),
            })
        })
        .collect()
}

/// Checks what only the daemon can check: rules, certificates, names of servers.
pub fn check(config: &HaproxyConfig, _sources: &SourceMap) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    let _ = build(config.clone(), String::new(), 0, &mut diagnostics);
    diagnostics
}

/// Builds all that runs. With errors among the complaints the result must not be used.
pub fn build(config: HaproxyConfig, node: String, pid: u32, diagnostics: &mut Diagnostics) -> App {
    let names = Names::of(&config);
    let mut state = States::default();
    for (index, proxy) in config.proxies.iter().enumerate() {
        state.add(index, proxy, &config, diagnostics);
    }
    let environment = Environment {
        node: node.clone(),
        pid,
        frontends: state.frontends.clone(),
        backends: state.backends.clone(),
    };
    let shared = Arc::new(Shared::new(
        config,
        state.frontends.clone(),
        state.backends.clone(),
        Arc::clone(names.patterns()),
        node,
        pid,
    ));
    crate::health::link_trackers(&shared);
    let config = &shared.config;
    let own_backend = |index: usize| {
        state
            .backends
            .iter()
            .find(|backend| backend.config_index == index)
            .map(|backend| backend.id)
    };
    let frontends = state
        .frontends
        .iter()
        .map(|frontend| {
            let proxy = &config.proxies[frontend.config_index];
            Arc::new(FrontendRuntime {
                frontend: Arc::clone(frontend),
                rules: crate::rules::compile(config, frontend.config_index, &names, diagnostics),
                log: crate::log::plan(config, frontend.config_index, &names, pid, diagnostics),
                pages: crate::rules::error_pages(proxy),
                stats: crate::stats::service(config, frontend.config_index, &names, diagnostics),
                timeouts: proxy.timeouts.clone(),
                connection_mode: proxy.connection_mode,
                forwardfor: proxy.forwardfor.clone(),
                monitor_uri: proxy.monitor_uri.clone(),
                own_backend: own_backend(frontend.config_index),
                dontlognull: proxy.dontlognull,
                ignores_probes: proxy.http_ignore_probes,
                accepts_invalid: proxy.accept_invalid_request,
                upgrades_to_http2: !proxy.disable_h2_upgrade,
                header_names: proxy.header_names,
                uses_proxy_header: proxy.use_proxy_header,
                drops_trailers: proxy.drop_response_trailers,
                buffers_request: proxy.http_buffer_request,
                idle_close_on_response: proxy.idle_close_on_response,
            })
        })
        .collect();
    let mut servers = Vec::new();
    let backends: Vec<_> = state
        .backends
        .iter()
        .map(|backend| {
            Arc::new(backend_runtime(
                config,
                backend,
                &names,
                &mut servers,
                diagnostics,
            ))
        })
        .collect();
    mark_referenced(&backends, &names);
    let mut listeners = Vec::new();
    for key in listener_keys(config) {
        let proxy = &config.proxies[key.proxy];
        let bind = &proxy.binds[key.bind];
        if bind.tls.is_some()
            && matches!(
                bind.address,
                BindAddress::Unix(_) | BindAddress::Abstract(_)
            )
        {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::NotSupportedYet,
                bind.span,
                "'ssl' on a unix socket is not supported yet",
            ));
        }
        let tls = bind
            .tls
            .as_ref()
            .and_then(|tls| crate::tls::acceptor(tls, bind.span, diagnostics));
        let Some(frontend) = state
            .frontends
            .iter()
            .find(|frontend| frontend.config_index == key.proxy)
        else {
            continue;
        };
        listeners.push(Arc::new(ListenerRuntime {
            frontend: frontend.id,
            name: bind
                .name
                .clone()
                .unwrap_or_else(|| (key.bind + 1).to_string())
                .into(),
            tls,
            http2: bind.proto == Proto::Http2,
            maxconn: u64::from(bind.maxconn.unwrap_or(0)),
            connections: MaxGauge::default(),
            keepalive: keepalive(proxy.client_tcp_keepalive, proxy.client_probes),
            accept_proxy: bind.accept_proxy,
        }));
    }
    let limits = Limits {
        head_bytes: config
            .global
            .bufsize
            .unwrap_or(crate::net::BUFFER_BYTES as u32)
            .saturating_sub(config.global.maxrewrite.unwrap_or(DEFAULT_MAXREWRITE))
            .max(1_024) as usize,
        fields: usize::from(config.global.max_headers.unwrap_or(DEFAULT_MAX_HEADERS)),
    };
    App {
        shared: Arc::clone(&shared),
        frontends,
        backends,
        listeners,
        servers: Places::from(servers),
        environment,
        limits,
        logged_line_bytes: config
            .global
            .logged_line_bytes
            .unwrap_or(DEFAULT_LOGGED_LINE_BYTES) as usize,
        http2: crate::http2::Settings::towards_clients(&config.global.http2, limits),
        http2_servers: crate::http2::Settings::towards_servers(&config.global.http2, limits),
        room: tokio::sync::Notify::new(),
    }
}

/// Servers that rules and expressions name stay: what they mean must not change.
fn mark_referenced(backends: &[Arc<BackendRuntime>], names: &Names) {
    let by_rules = backends.iter().flat_map(|back| {
        let named = back.server_rules.named_servers();
        named.map(|id| (back.backend.id, id))
    });
    for (backend, id) in by_rules.chain(names.asked_servers()) {
        let found = backends.get(backend.0 as usize);
        if let Some(server) = found.and_then(|back| back.backend.server(id)) {
            server
                .is_referenced
                .store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct States {
    frontends: Vec<Arc<Frontend>>,
    backends: Vec<Arc<Backend>>,
}

impl States {
    fn add(
        &mut self,
        index: usize,
        proxy: &ProxyConfig,
        config: &HaproxyConfig,
        diagnostics: &mut Diagnostics,
    ) {
        if proxy.kind.is_frontend() {
            // HAProxy's default for a frontend is the process's limit.
            let maxconn = proxy.maxconn.or(config.global.maxconn).unwrap_or(0);
            self.frontends.push(Arc::new(Frontend {
                id: FrontendId(self.frontends.len() as u32),
                config_index: index,
                iid: proxy.id,
                name: proxy.name.text.clone(),
                http: proxy.mode == Mode::Http,
                maxconn: AtomicU32::new(maxconn),
                session_rate_limit: proxy.session_rate_limit,
                enabled: AtomicBool::new(!proxy.disabled),
                counters: FrontendCounters::default(),
            }));
        }
        if proxy.kind.is_backend() {
            let name = proxy.name.text.clone();
            let servers = proxy
                .servers
                .iter()
                .enumerate()
                .map(|(at, server)| {
                    let address = resolve(server, diagnostics);
                    Arc::new(Server::new(
                        ServerId(at as u32),
                        name.clone(),
                        server.clone(),
                        address,
                        0,
                    ))
                })
                .collect();
            let id = BackendId(self.backends.len() as u32);
            self.backends.push(Arc::new(Backend::new(
                id,
                index,
                proxy.id,
                name,
                proxy.mode == Mode::Http,
                servers,
            )));
        }
    }
}

/// A server's address as `init-addr` says. Without one it is an error, or with `none` a server in maintenance.
fn resolve(server: &ServerConfig, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let ServerAddress::Host {
        host,
        port,
        relative,
    } = &server.address
    else {
        return None;
    };
    // The records of a name of services say hosts and ports.
    if host.starts_with('_') {
        return None;
    }
    let port = if *relative { 0 } else { *port };
    // An address needs no method to find it.
    if let Ok(address) = host.parse() {
        return Some(SocketAddr::new(address, port));
    }
    let default = [InitAddr::Last, InitAddr::Libc];
    let methods = if server.init_addr.is_empty() {
        &default[..]
    } else {
        &server.init_addr
    };
    for method in methods {
        match method {
            InitAddr::Last => {}
            InitAddr::Ip(address) => return Some(SocketAddr::new(*address, port)),
            InitAddr::None => return None,
            InitAddr::Libc => {
                let found = (host.as_str(), port)
                    .to_socket_addrs()
                    .ok()
                    .and_then(|found| {
                        // IPv4 before IPv6, or what the server prefers of what its resolvers will say.
                        let prefers_ipv4 =
                            server.resolve.resolvers.is_none() || server.resolve.prefer_ipv4;
                        let all: Vec<SocketAddr> = found.collect();
                        all.iter()
                            .find(|address| address.is_ipv4() == prefers_ipv4)
                            .or(all.first())
                            .copied()
                    });
                if found.is_some() {
                    return found;
                }
            }
        }
    }
    diagnostics.push(
        Diagnostic::error(
            DiagnosticKind::UnknownName,
            server.address_span,
            format!(
                "the address of server '{}' cannot be resolved: '{host}'",
                server.name.text
            ),
        )
        .with_help("'init-addr last,libc,none' lets it start without an address"),
    );
    None
}

fn backend_runtime(
    config: &HaproxyConfig,
    backend: &Arc<Backend>,
    names: &Names,
    all_servers: &mut Vec<Arc<Server>>,
    diagnostics: &mut Diagnostics,
) -> BackendRuntime {
    let index = backend.config_index;
    let proxy = &config.proxies[index];
    // What is wrong with the rules of a `listen` is told of its front half.
    let is_listen = proxy.kind.is_frontend();
    let has_rules = !is_listen || leads_to(config, proxy);
    let mut told_already = Diagnostics::default();
    let servers = backend
        .servers
        .now()
        .iter()
        .map(|server| {
            all_servers.push(Arc::clone(server));
            Arc::new(ServerRuntime {
                server: Arc::clone(server),
                index: all_servers.len() - 1,
                connector: connector(config, proxy, &server.config, diagnostics),
            })
        })
        .collect::<Vec<_>>()
        .into();
    let scope = Scope {
        config,
        proxy,
        names,
    };
    let balancer = Arc::new(Balancer::new(&scope, diagnostics));
    backend.fullconn.store(
        fullconn(config, proxy),
        std::sync::atomic::Ordering::Relaxed,
    );
    let retry_on = match backend.http {
        true => RetryOn::of(proxy.retry_on.iter().map(|word| word.text.as_str())),
        // Manual: the setting is silently ignored where the mode is not http.
        false => RetryOn::of(["conn-failure"].into_iter()),
    };
    BackendRuntime {
        backend: Arc::clone(backend),
        rules: has_rules.then(|| {
            let diagnostics = match is_listen {
                true => &mut told_already,
                false => &mut *diagnostics,
            };
            crate::rules::compile(config, index, names, diagnostics).of_backend()
        }),
        takes_requests: backend.http && !proxy.disabled,
        stats: match (has_rules, is_listen) {
            (false, _) => None,
            (true, true) => crate::stats::service(config, index, names, &mut told_already),
            (true, false) => crate::stats::service(config, index, names, diagnostics),
        },
        pages: crate::rules::error_pages(proxy),
        admission: Admission::new(Arc::clone(backend), Arc::clone(&balancer)),
        balancer,
        server_rules: crate::persistence::server_rules(&scope, diagnostics),
        rdp_cookie: proxy.persist_rdp_cookie.clone().map(String::into_bytes),
        checks: Arc::new(crate::health::compile(proxy, &scope, diagnostics)),
        persistence: crate::persistence::persistence(proxy, backend),
        servers,
        timeouts: proxy.timeouts.clone(),
        connection_mode: proxy.connection_mode,
        reuse: proxy.http_reuse,
        forwardfor: proxy.forwardfor.clone(),
        retries: proxy.retries,
        redispatch: proxy.redispatch,
        retry_on,
        buffers_request: proxy.http_buffer_request,
        name_header: proxy
            .send_name_header
            .as_ref()
            .map(|name| name.to_ascii_lowercase().into_bytes()),
        persist_on_down: proxy.persist,
        prefer_last_server: proxy.prefer_last_server,
        abortonclose: proxy.abortonclose,
        accepts_invalid: proxy.accept_invalid_response,
        drops_trailers: proxy.drop_request_trailers,
        header_names: proxy.header_names,
    }
}

/// How to connect to a server.
pub(super) fn connector(
    config: &HaproxyConfig,
    proxy: &ProxyConfig,
    server: &ServerConfig,
    diagnostics: &mut Diagnostics,
) -> Connector {
    let host = match &server.address {
        ServerAddress::Host { host, .. } => host.as_str(),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => "localhost",
    };
    let tls = server
        .tls
        .as_ref()
        .and_then(|tls| crate::tls::connector(tls, host, server.span, diagnostics));
    if server.tls.is_some() && !matches!(server.address, ServerAddress::Host { .. }) {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            server.span,
            "'ssl' towards a unix socket is not supported yet",
        ));
    }
    if let Some(SendProxy::V2(options)) = &server.send_proxy
        && (options.cert_key || options.cert_sig)
    {
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::NotSupportedYet,
            server.span,
            "'cert-key' and 'cert-sig' of 'proxy-v2-options' are not supported yet",
        ));
    }
    Connector {
        tls,
        proto: server.proto,
        keepalive: keepalive(proxy.server_tcp_keepalive, proxy.server_probes),
        next_port: Arc::default(),
        buffers: [
            config.global.tuning.server_receive_bytes,
            config.global.tuning.server_send_bytes,
        ],
    }
}

/// Whether another frontend may lead to a `listen`.
fn leads_to(config: &HaproxyConfig, listen: &ProxyConfig) -> bool {
    let others = config.proxies.iter();
    others
        .filter(|proxy| proxy.kind.is_frontend() && proxy.name.text != listen.name.text)
        .any(|proxy| {
            let used = proxy.use_backends.iter().map(|line| &line.backend);
            used.chain(&proxy.default_backend)
                .any(|name| name.text == listen.name.text || name.text.contains('%'))
        })
}

/// `option tcpka` with its probes, if it is on.
fn keepalive(is_on: bool, probes: KeepaliveProbes) -> Option<TcpKeepalive> {
    is_on.then(|| {
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = probes.idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = probes.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = probes.count {
            keepalive = keepalive.with_retries(count);
        }
        keepalive
    })
}

/// `fullconn`: a tenth of what all frontends that lead here may have, where it is not written (manual).
fn fullconn(config: &HaproxyConfig, backend: &ProxyConfig) -> u32 {
    const PART: u64 = 10;
    if let Some(written) = backend.fullconn {
        return written;
    }
    let leads_here = |proxy: &&ProxyConfig| {
        let mut targets = proxy
            .default_backend
            .iter()
            .chain(proxy.use_backends.iter().map(|line| &line.backend));
        proxy.kind.is_frontend()
            && (proxy.name.text == backend.name.text && proxy.kind.is_backend()
                || targets.any(|target| target.text == backend.name.text))
    };
    let sum: u64 = config
        .proxies
        .iter()
        .filter(leads_here)
        .map(|proxy| u64::from(proxy.maxconn.or(config.global.maxconn).unwrap_or(0)))
        .sum();
    u32::try_from(sum.div_ceil(PART)).unwrap_or(u32::MAX)
}
