//! One picture of a node: every renderer (CSV, JSON, HTML, dashboard) reads this and nothing else.

pub use crate::protocol_stats::ProtocolStats;
use serde::{Deserialize, Serialize};

use crate::operation::{Operation, ServerAdmin};
use crate::vrrp::{BfdSnapshot, InstanceSnapshot};

/// A node's whole state at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node's name.
    pub node: String,
    /// Version of `tandemd`.
    pub version: String,
    /// The supervisor's process id.
    pub supervisor_pid: u32,
    /// Seconds since the supervisor started.
    pub uptime_seconds: u64,
    /// The proxy, if a worker runs.
    pub worker: Option<WorkerSnapshot>,
    /// Whether a proxy is configured at all.
    pub proxy_configured: bool,
    /// Why there is no worker although one is configured.
    pub worker_detail: String,
    /// VRRP instances; empty without VRRP.
    pub vrrp: Vec<InstanceSnapshot>,
    /// BFD sessions, whether somebody tracks them or not.
    pub bfd: Vec<BfdSnapshot>,
    /// Whether VRRP is configured at all.
    pub vrrp_configured: bool,
    /// Whether the vrrp process answers.
    pub vrrp_running: bool,
    /// Workers of earlier configurations that still drain: process ids.
    pub draining_workers: Vec<u32>,
}

/// A worker's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// The process.
    pub process: ProcessInfo,
    /// Proxies in order of configuration.
    pub proxies: Vec<ProxySnapshot>,
    /// `resolvers` sections.
    pub resolvers: Vec<ResolversStats>,
    /// What operators have set, beyond what the figures of servers say.
    pub settings: Vec<Setting>,
}

/// A setting that an operator changed at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The change.
    pub operation: Operation,
    /// What the configuration said then: the change outlives a reload as long as the configuration says the same.
    pub configured: String,
}

/// A `resolvers` section's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResolversStats {
    /// Its name.
    pub name: String,
    /// Its name servers.
    pub nameservers: Vec<NameServerStats>,
}

/// A name server's figures; see the management manual, `show resolvers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NameServerStats {
    /// Its name.
    pub name: String,
    /// Questions sent.
    pub sent: u64,
    /// Questions that could not be sent, or that it refused to take.
    pub send_errors: u64,
    /// Good answers.
    pub valid: u64,
    /// Answers that gave a server another address.
    pub updates: u64,
    /// Answers without records.
    pub empty: u64,
    /// Names that do not exist.
    pub nx: u64,
    /// Questions without an answer in time.
    pub timeouts: u64,
    /// Refused questions.
    pub refused: u64,
    /// Other errors.
    pub other: u64,
    /// What is no answer to the question.
    pub invalid: u64,
    /// Answers larger than announced.
    pub too_big: u64,
    /// Answers that did not fit and were asked for over TCP.
    pub truncated: u64,
}

/// What `show info` tells of a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Runtimes.
    pub threads: u32,
    /// Limit of connections.
    pub maxconn: u64,
    /// Hard limit of connections from descriptors.
    pub hard_maxconn: u64,
    /// Descriptor limit.
    pub ulimit_n: u64,
    /// Connections now.
    pub current_connections: u64,
    /// Connections accepted since the start.
    pub total_connections: u64,
    /// Requests since the start.
    pub total_requests: u64,
    /// Connections accepted in the last second, and the most.
    pub connection_rate: Rate,
    /// Sessions in the last second, and the most.
    pub session_rate: Rate,
    /// TLS handshakes in the last second, and the most.
    pub tls_rate: Rate,
    /// TLS connections now.
    pub current_tls_connections: u64,
    /// TLS connections since the start.
    pub total_tls_connections: u64,
    /// Bytes sent to clients since the start.
    pub total_bytes_out: u64,
    /// Log lines that could not be sent.
    pub dropped_logs: u64,
    /// Accepts that failed, for lack of descriptors for instance.
    pub failed_accepts: u64,
    /// Tasks alive.
    pub tasks: u64,
    /// Share of the last second in which the runtimes were idle, in per cent.
    pub idle_percent: u32,
    /// Whether it drains.
    pub stopping: bool,
    /// Process-wide resident memory in bytes.
    pub memory_bytes: u64,
    /// HTTP/2 connections of clients that were closed because of floods, in order of [`HTTP2_FLOODS`].
    pub http2_floods: [u64; HTTP2_FLOODS.len()],
}

/// Kinds of floods of HTTP/2 frames.
pub const HTTP2_FLOODS: [&str; 8] = [
    "rapid resets",
    "endless heads",
    "empty data frames",
    "refused heads",
    "settings",
    "pings",
    "window updates",
    "priorities or unknown frames",
];

/// A rate of events a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In the last second.
    pub current: u64,
    /// The most seen.
    pub maximum: u64,
    /// Limit, 0 for none.
    pub limit: u64,
}

/// A gauge with its maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// Now.
    pub current: u64,
    /// The most seen.
    pub maximum: u64,
}

/// A proxy's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxySnapshot {
    /// HAProxy's `iid`.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether it speaks HTTP (else TCP).
    pub http: bool,
    /// Its frontend side.
    pub frontend: Option<FrontendStats>,
    /// Its servers.
    pub servers: Vec<ServerStats>,
    /// Its backend side.
    pub backend: Option<BackendStats>,
}

/// Answers by class of status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Responses {
    pub class_1xx: u64,
    pub class_2xx: u64,
    pub class_3xx: u64,
    pub class_4xx: u64,
    pub class_5xx: u64,
    pub other: u64,
}

/// `FRONTEND` of `show stat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrontendStats {
    /// `OPEN`, `STOP` (draining), `MAINT` (disabled by an operator).
    pub status: String,
    /// Addresses that it listens on.
    pub listeners: Vec<String>,
    /// Sessions.
    pub sessions: Gauge,
    /// `maxconn`.
    pub session_limit: u64,
    /// Sessions since the start.
    pub sessions_total: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests denied by rules.
    pub denied_requests: u64,
    /// Answers denied by rules.
    pub denied_responses: u64,
    /// Bad requests.
    pub request_errors: u64,
    /// Sessions a second.
    pub session_rate: Rate,
    /// Connections a second.
    pub connection_rate: Rate,
    /// Connections since the start.
    pub connections_total: u64,
    /// Requests a second.
    pub request_rate: Rate,
    /// Requests since the start.
    pub requests_total: u64,
    /// Answers by class.
    pub responses: Responses,
    /// Those of the sessions that spoke HTTP/2.
    pub http2_sessions_total: u64,
    /// Those of the requests that came by HTTP/2.
    pub http2_requests_total: u64,
    /// Requests answered by us (redirects, statistics page, `return`).
    pub intercepted: u64,
    /// Connections denied by `tcp-request connection`.
    pub denied_connections: u64,
    /// Sessions denied by `tcp-request session`.
    pub denied_sessions: u64,
    /// Internal errors.
    pub internal_errors: u64,
    /// Of TLS and HTTP/2.
    pub protocols: ProtocolStats,
}

/// A server's operational state, before the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Operational {
    #[default]
    Up,
    /// Up, and failing checks.
    GoingDown,
    Down,
    /// Down, and passing checks.
    GoingUp,
    /// No check is configured.
    NoCheck,
}

/// A server's last check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStats {
    /// HAProxy's short word: `L4OK`, `L4CON`, `L4TOUT`, `L7OK`, `L7STS`, `L7TOUT`, `L7RSP`, `L6RSP`, `SOCKERR`, `INI`.
    pub status: String,
    /// HTTP status, if there was one.
    pub code: Option<u16>,
    /// Milliseconds that it took.
    pub duration_ms: u64,
    /// What it found in words: `Connection refused`.
    pub detail: String,
    /// `Layer4 check passed` and so on.
    pub description: String,
    /// `rise`.
    pub rise: u32,
    /// `fall`.
    pub fall: u32,
    /// 0 to rise + fall - 1, as HAProxy counts.
    pub health: u32,
    /// Failed checks.
    pub failures: u64,
    /// Latest results, oldest first, `true` is good; at most 20.
    pub history: Vec<bool>,
    /// Whether it runs (`disable health`, `disable agent`).
    pub enabled: bool,
    /// Where it goes, if that is not where the server serves; 0 for none.
    pub port: u16,
    /// The same; empty for none.
    pub address: String,
}

/// Why a server is in maintenance or drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminCause {
    /// It is ready.
    #[default]
    None,
    /// An operator, on the socket, page or dashboard.
    Operator,
    /// `disabled` in the configuration.
    Configuration,
    /// Its name could not be resolved.
    Resolution,
}

/// A server line of `show stat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStats {
    /// HAProxy's `sid`.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Address and port; empty if unresolved.
    pub address: String,
    /// The same as it was at the worker's start, before operators changed it.
    pub initial_address: String,
    /// The host name it was resolved from, or empty.
    pub fqdn: String,
    /// The name of services whose records say host and port, or empty.
    pub srv_record: String,
    /// Whether its name is resolved while the worker runs.
    pub has_resolvers: bool,
    /// Whether its line says `disabled`, whatever became of it since.
    pub configured_disabled: bool,
    /// Cookie value.
    pub cookie: String,
    /// What the operator wants.
    pub admin: ServerAdmin,
    /// Who set that.
    pub admin_cause: AdminCause,
    /// What the checks say.
    pub operational: Operational,
    /// HAProxy's word: `UP`, `UP 1/3`, `DOWN`, `DOWN 1/2`, `NOLB`, `DRAIN`, `MAINT`, `MAINT (resolution)`, `no check`.
    pub status: String,
    /// How far `slowstart` is, in per cent; `None` when it is not under way.
    pub throttle: Option<u32>,
    /// Effective weight as HAProxy prints it.
    pub weight: u32,
    /// Configured weight before changes.
    pub initial_weight: u32,
    /// Weight set by the operator.
    pub user_weight: u32,
    /// `backup`.
    pub backup: bool,
    /// Queue of this server.
    pub queue: Gauge,
    /// `maxqueue`, 0 for none.
    pub queue_limit: u64,
    /// Sessions (requests in HTTP).
    pub sessions: Gauge,
    /// `maxconn`, 0 for none.
    pub session_limit: u64,
    /// `maxconn` of the configuration.
    pub initial_session_limit: u64,
    /// Sessions since the start.
    pub sessions_total: u64,
    /// Times that it was chosen by balancing.
    pub chosen_total: u64,
    /// Sessions a second.
    pub rate: Rate,
    /// Bytes to the server.
    pub bytes_in: u64,
    /// Bytes from the server.
    pub bytes_out: u64,
    /// Answers denied by rules.
    pub denied_responses: u64,
    /// Failed connects.
    pub connection_errors: u64,
    /// Bad or missing answers.
    pub response_errors: u64,
    /// Retries.
    pub retries: u64,
    /// Redispatches away from it.
    pub redispatches: u64,
    /// Transfers that the client aborted.
    pub client_aborts: u64,
    /// Transfers that the server aborted.
    pub server_aborts: u64,
    /// Answers by class.
    pub responses: Responses,
    /// Requests.
    pub requests_total: u64,
    /// Connects made.
    pub connects: u64,
    /// Requests on a reused connection.
    pub reuses: u64,
    /// Idle connections kept.
    pub idle_connections: u64,
    /// Most idle connections that are kept (`pool-max-conn`); `None` for no limit.
    pub idle_limit: Option<u64>,
    /// Transitions to DOWN.
    pub down_transitions: u64,
    /// Milliseconds since the last change of state.
    pub last_change_ms: u64,
    /// Milliseconds spent down.
    pub downtime_ms: u64,
    /// Milliseconds since the last session, if there was one.
    pub last_session_ms: Option<u64>,
    /// Averages of the last 1,024 in milliseconds: queue, connect, response, total.
    pub times: Times,
    /// The check, if there is one.
    pub check: Option<CheckStats>,
    /// The agent's check, if there is one.
    pub agent: Option<CheckStats>,
    /// The server that it tracks, `BACKEND/SERVER`; empty for none.
    pub tracked: String,
    /// The administrative state of that server.
    pub inherited: ServerAdmin,
    /// It answers, and wants no new clients.
    pub stopping: bool,
    /// Times that errors of the traffic reached `error-limit`; none without `observe`.
    pub failed_by_traffic: Option<u64>,
}

impl ServerStats {
    /// A ready server without name, address or figures: what others are built from.
    pub fn empty() -> Self {
        Self {
            id: Default::default(),
            name: Default::default(),
            address: Default::default(),
            initial_address: Default::default(),
            fqdn: Default::default(),
            srv_record: Default::default(),
            has_resolvers: Default::default(),
            configured_disabled: Default::default(),
            cookie: Default::default(),
            admin: ServerAdmin::Ready,
            admin_cause: Default::default(),
            operational: Default::default(),
            status: Default::default(),
            throttle: None,
            weight: Default::default(),
            initial_weight: Default::default(),
            user_weight: Default::default(),
            backup: Default::default(),
            queue: Default::default(),
            queue_limit: Default::default(),
            sessions: Default::default(),
            session_limit: Default::default(),
            initial_session_limit: Default::default(),
            sessions_total: Default::default(),
            chosen_total: Default::default(),
            rate: Default::default(),
            bytes_in: Default::default(),
            bytes_out: Default::default(),
            denied_responses: Default::default(),
            connection_errors: Default::default(),
            response_errors: Default::default(),
            retries: Default::default(),
            redispatches: Default::default(),
            client_aborts: Default::default(),
            server_aborts: Default::default(),
            responses: Default::default(),
            requests_total: Default::default(),
            connects: Default::default(),
            reuses: Default::default(),
            idle_connections: Default::default(),
            idle_limit: None,
            down_transitions: Default::default(),
            last_change_ms: Default::default(),
            downtime_ms: Default::default(),
            last_session_ms: Default::default(),
            times: Default::default(),
            check: Default::default(),
            agent: Default::default(),
            tracked: Default::default(),
            inherited: ServerAdmin::Ready,
            stopping: Default::default(),
            failed_by_traffic: Default::default(),
        }
    }
}

/// Averages and maxima of times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Times {
    pub queue_ms: u64,
    pub connect_ms: u64,
    pub response_ms: u64,
    pub total_ms: u64,
    pub queue_max_ms: u64,
    pub connect_max_ms: u64,
    pub response_max_ms: u64,
    pub total_max_ms: u64,
}

/// `BACKEND` of `show stat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendStats {
    /// `UP` or `DOWN`.
    pub status: String,
    /// `roundrobin`, …
    pub algorithm: String,
    /// Cookie name, or empty.
    pub cookie: String,
    /// Queue of the backend itself and of its servers.
    pub queue: Gauge,
    /// Sessions.
    pub sessions: Gauge,
    /// `fullconn`.
    pub session_limit: u64,
    /// Sessions since the start.
    pub sessions_total: u64,
    /// Times that a server was chosen.
    pub chosen_total: u64,
    /// Sessions a second.
    pub rate: Rate,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests denied by rules.
    pub denied_requests: u64,
    /// Answers denied by rules.
    pub denied_responses: u64,
    /// Failed connects.
    pub connection_errors: u64,
    /// Bad or missing answers.
    pub response_errors: u64,
    /// Retries.
    pub retries: u64,
    /// Redispatches.
    pub redispatches: u64,
    /// Transfers that clients aborted.
    pub client_aborts: u64,
    /// Transfers that servers aborted.
    pub server_aborts: u64,
    /// Sum of the usable servers' weights.
    pub weight: u32,
    /// Usable servers that are not backups.
    pub active_servers: u32,
    /// Usable backups.
    pub backup_servers: u32,
    /// Transitions to DOWN.
    pub down_transitions: u64,
    /// Milliseconds since the last change of state.
    pub last_change_ms: u64,
    /// Milliseconds spent down.
    pub downtime_ms: u64,
    /// Milliseconds since the last session, if there was one.
    pub last_session_ms: Option<u64>,
    /// Answers by class.
    pub responses: Responses,
    /// Requests.
    pub requests_total: u64,
    /// Connects made.
    pub connects: u64,
    /// Requests on a reused connection.
    pub reuses: u64,
    /// Averages of the last 1,024.
    pub times: Times,
    /// Internal errors.
    pub internal_errors: u64,
    /// Of TLS and HTTP/2, on connections to its servers.
    pub protocols: ProtocolStats,
}

#[cfg(test)]
pub(crate) mod tests_support {
    //! Figures that tests of several files start from.

    use super::*;

    pub(crate) fn server(name: &str) -> ServerStats {
        ServerStats {
            name: name.to_owned(),
            status: "UP".to_owned(),
            initial_weight: 1,
            user_weight: 1,
            weight: 1,
            ..ServerStats::empty()
        }
    }

    pub(crate) fn snapshot() -> Snapshot {
        let web1 = ServerStats {
            id: 1,
            check: Some(CheckStats::default()),
            ..server("web1")
        };
        let web2 = ServerStats {
            id: 2,
            status: "MAINT".to_owned(),
            admin: ServerAdmin::Maint,
            ..server("web2")
        };
        let proxy = ProxySnapshot {
            id: 3,
            name: "web".to_owned(),
            http: true,
            frontend: Some(FrontendStats {
                status: "OPEN".to_owned(),
                ..FrontendStats::default()
            }),
            servers: vec![web1, web2],
            backend: Some(BackendStats {
                status: "UP".to_owned(),
                ..BackendStats::default()
            }),
        };
        let process = ProcessInfo {
            pid: 7,
            uptime_ms: 65_000,
            ..ProcessInfo::default()
        };
        Snapshot {
            at_ms: 1_000_000_000,
            node: "n1".to_owned(),
            worker: Some(WorkerSnapshot {
                process,
                proxies: vec![proxy],
                resolvers: Vec::new(),
                settings: Vec::new(),
            }),
            ..Snapshot::default()
        }
    }
}
