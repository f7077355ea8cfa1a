//! `frontend`, `backend` and `listen` sections, with what `defaults` said applied.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::balance::{Balance, CookieConfig, HashFunction, HashMethod};
use super::bind::Bind;
use super::check::HealthCheck;
use super::log::{LogTarget, TrafficLog};
use super::rules::{AclLine, PersistRule, RuleLine, UseBackend, UseServer};
use super::server::ServerConfig;
use crate::source::{Span, Word};

/// `load-server-state-from-file`: which file tells the states of a backend's servers at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadState {
    /// None.
    #[default]
    None,
    /// The one of `server-state-file`.
    Global,
    /// The backend's own.
    Local,
}

/// What a proxy section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ProxyKind {
    Frontend,
    Backend,
    Listen,
}

impl ProxyKind {
    /// Whether it accepts connections.
    pub fn is_frontend(self) -> bool {
        matches!(self, Self::Frontend | Self::Listen)
    }

    /// Whether it has servers.
    pub fn is_backend(self) -> bool {
        matches!(self, Self::Backend | Self::Listen)
    }
}

/// `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Mode {
    #[default]
    Tcp,
    Http,
}

/// Timeouts of a proxy; `None` is unlimited (or falls back as the manual says).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Timeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    pub connect: Option<Duration>,
    pub queue: Option<Duration>,
    pub check: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub client_fin: Option<Duration>,
    pub server_fin: Option<Duration>,
    pub tarpit: Option<Duration>,
}

/// `option http-restrict-req-hdr-names`: what becomes of a request's headers whose names hold anything but letters, digits
/// and hyphens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderNames {
    /// They stay, the default.
    #[default]
    Preserve,
    /// They are taken out.
    Delete,
    /// The request is answered with 403.
    Reject,
}

/// `option http-keep-alive`, `http-server-close`, `httpclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// Both sides are kept, the default.
    #[default]
    KeepAlive,
    /// The server's side is closed after each answer, the client's kept.
    ServerClose,
    /// Both are closed.
    Close,
}

/// `http-reuse`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HttpReuse {
    Never,
    #[default]
    Safe,
    Aggressive,
    Always,
}

/// `option forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardFor {
    /// `except NET`.
    pub except: Option<IpNet>,
    /// `header NAME`, `X-Forwarded-For` by default.
    pub header: String,
    /// `if-none`.
    pub if_none: bool,
}

/// Probes of TCP keep-alive; what is `None` is the system's choice (tcp(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepaliveProbes {
    /// Probes without answer until the connection is given up.
    pub count: Option<u32>,
    /// Time without traffic until the first, in whole seconds.
    pub idle: Option<Duration>,
    /// Time between two, in whole seconds.
    pub interval: Option<Duration>,
}

/// `stats …` lines of a proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsPage {
    /// `stats uri`, `/haproxy?stats` by default.
    pub uri: String,
    /// `stats auth USER:PASSWORD`, repeated.
    pub auth: Vec<(String, String)>,
    /// `stats realm`.
    pub realm: Option<String>,
    /// `stats refresh`.
    pub refresh: Option<Duration>,
    /// `stats admin if|unless CONDITION`, each the words from `if` on.
    pub admin: Vec<Vec<Word>>,
    /// `stats http-request …` rules.
    pub http_request: Vec<RuleLine>,
    /// `stats hide-version`.
    pub hide_version: bool,
    /// `stats show-legends`.
    pub show_legends: bool,
    /// `stats show-node [NAME]`; `Some("")` stands for the node's name.
    pub show_node: Option<String>,
    /// `stats show-desc [TEXT]`.
    pub show_desc: Option<String>,
    /// `stats scope`.
    pub scope: Vec<String>,
}

/// `errorfile CODE FILE`, read at load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFile {
    /// Status.
    pub status: u16,
    /// The raw HTTP answer as the file holds it.
    pub content: Vec<u8>,
}

/// A `frontend`, `backend` or `listen` section with its defaults applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyConfig {
    /// What it is.
    pub kind: ProxyKind,
    /// Its name.
    pub name: Word,
    /// `id`, or a number of its own, from 2 on in order of appearance (as HAProxy counts).
    pub id: u32,
    /// `mode`.
    pub mode: Mode,
    /// `disabled`.
    pub disabled: bool,
    /// `description`.
    pub description: Option<String>,
    /// `bind` lines.
    pub binds: Vec<Bind>,
    /// `maxconn` of the frontend.
    pub maxconn: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `fullconn` of the backend.
    pub fullconn: Option<u32>,
    /// `timeout …`.
    pub timeouts: Timeouts,
    /// `log …` lines; `log global` puts the global targets here.
    pub logs: Vec<LogTarget>,
    /// `option httplog`, `tcplog`, `log-format`.
    pub traffic_log: TrafficLog,
    /// `log-tag`.
    pub log_tag: Option<String>,
    /// `option idle-close-on-response`.
    pub idle_close_on_response: bool,
    /// `rate-limit sessions`: new sessions a second, 0 for no limit.
    pub session_rate_limit: u32,
    /// `load-server-state-from-file`.
    pub load_state: LoadState,
    /// `server-state-file-name`; the proxy's name if absent.
    pub state_file: Option<String>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option dontlog-normal`.
    pub dontlog_normal: bool,
    /// `option log-separate-errors`.
    pub log_separate_errors: bool,
    /// `option logasap`.
    pub logasap: bool,
    /// `option log-health-checks`.
    pub log_health_checks: bool,
    /// `option http-keep-alive`, …
    pub connection_mode: ConnectionMode,
    /// `http-reuse`.
    pub http_reuse: HttpReuse,
    /// `option forwardfor`.
    pub forwardfor: Option<ForwardFor>,
    /// `option redispatch [N]`: `Some(-1)` is the default of the last retry.
    pub redispatch: Option<i32>,
    /// `option abortonclose`.
    pub abortonclose: bool,
    /// `option persist`.
    pub persist: bool,
    /// `option allbackups`.
    pub allbackups: bool,
    /// `option tcpka`, `clitcpka`.
    pub client_tcp_keepalive: bool,
    /// `option tcpka`, `srvtcpka`.
    pub server_tcp_keepalive: bool,
    /// `option http-no-delay`, `http-pretend-keepalive` and other switches accepted without effect here, by name.
    pub accepted_options: Vec<String>,
    /// `retries`, 3 by default.
    pub retries: u32,
    /// `option http-buffer-request`.
    pub http_buffer_request: bool,
    /// `option http-ignore-probes`.
    pub http_ignore_probes: bool,
    /// `option disable-h2-upgrade`: HTTP/2 is spoken only where it was agreed on.
    pub disable_h2_upgrade: bool,
    /// `clitcpka-cnt`, `-idle`, `-intvl`: probes of TCP keep-alive towards clients.
    pub client_probes: KeepaliveProbes,
    /// The same with `srvtcpka-…` towards servers.
    pub server_probes: KeepaliveProbes,
    /// `option accept-invalid-http-request`.
    pub accept_invalid_request: bool,
    /// `option accept-invalid-http-response`.
    pub accept_invalid_response: bool,
    /// `option http-use-proxy-header`.
    pub use_proxy_header: bool,
    /// `option http-drop-request-trailers`.
    pub drop_request_trailers: bool,
    /// `option http-drop-response-trailers`.
    pub drop_response_trailers: bool,
    /// `dynamic-cookie-key`.
    pub dynamic_cookie_key: Option<String>,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `http-send-name-header`.
    pub send_name_header: Option<String>,
    /// `retry-on` words, `conn-failure` by default.
    pub retry_on: Vec<Word>,
    /// `acl` lines in order.
    pub acls: Vec<AclLine>,
    /// `tcp-request connection` rules.
    pub tcp_request_connection: Vec<RuleLine>,
    /// `tcp-request inspect-delay`.
    pub inspect_delay: Option<Duration>,
    /// `tcp-request content` and `session` rules, and `inspect-delay`; words from the second on.
    pub tcp_request_content: Vec<RuleLine>,
    /// `http-request` rules in order, `http-request redirect` among them.
    pub http_request: Vec<RuleLine>,
    /// `http-response` rules in order.
    pub http_response: Vec<RuleLine>,
    /// `redirect` rules: evaluated after `http-request`.
    pub redirects: Vec<RuleLine>,
    /// `use_backend` in order.
    pub use_backends: Vec<UseBackend>,
    /// `default_backend`.
    pub default_backend: Option<Word>,
    /// `option transparent`: the server is the client's own destination.
    pub transparent: bool,
    /// `balance`; round robin by default.
    pub balance: Balance,
    /// `hash-type`'s method.
    pub hash_method: HashMethod,
    /// `hash-type`'s function.
    pub hash_function: HashFunction,
    /// `hash-type … avalanche`; also the default of `consistent` without a function.
    pub hash_avalanche: bool,
    /// `hash-balance-factor` in per cent of the average load; 0 is off.
    pub hash_balance_factor: u32,
    /// `use-server` in order.
    pub use_servers: Vec<UseServer>,
    /// `force-persist` and `ignore-persist` in order.
    pub persist_rules: Vec<PersistRule>,
    /// `persist rdp-cookie [(NAME)]`: the cookie's name.
    pub persist_rdp_cookie: Option<String>,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `cookie`.
    pub cookie: Option<CookieConfig>,
    /// How its servers are checked.
    pub check: HealthCheck,
    /// `server` lines.
    pub servers: Vec<ServerConfig>,
    /// `stats …`.
    pub stats: Option<StatsPage>,
    /// `errorfile`.
    pub error_files: Vec<ErrorFile>,
    /// `monitor-uri`.
    pub monitor_uri: Option<String>,
    /// `capture request|response header NAME len N`, as words, in order.
    pub captures: Vec<RuleLine>,
    /// `unique-id-format`, `unique-id-header`.
    pub unique_id: Option<(Word, Option<String>)>,
    /// The section's first line.
    pub span: Span,
}
