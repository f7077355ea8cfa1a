//! The columns of `show stat`, by position: the one table that CSV, typed, JSON and the statistics page read.
//!
//! Names and positions are HAProxy's (the management manual, "CSV format"). A column that is not counted yet is empty.

use crate::snapshot::{
    AdminCause, BackendStats, CheckStats, FrontendStats, ProxySnapshot, ServerStats,
};

/// A value in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A number below zero.
    Signed(i64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Signed(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// How the typed form names a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    U32,
    S32,
    U64,
    Str,
}

impl Kind {
    /// The word in the typed form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::S32 => "s32",
            Self::U64 => "u64",
            Self::Str => "str",
        }
    }
}

/// A line of `show stat`.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    /// A proxy's frontend side.
    Frontend(&'a ProxySnapshot, &'a FrontendStats),
    /// A server.
    Server(&'a ProxySnapshot, &'a ServerStats),
    /// A proxy's backend side.
    Backend(&'a ProxySnapshot, &'a BackendStats),
}

impl<'a> Row<'a> {
    /// The lines of a proxy in HAProxy's order.
    pub fn of(proxy: &'a ProxySnapshot) -> impl Iterator<Item = Row<'a>> {
        let frontend = proxy
            .frontend
            .iter()
            .map(move |frontend| Row::Frontend(proxy, frontend));
        let servers = proxy
            .servers
            .iter()
            .map(move |server| Row::Server(proxy, server));
        let backend = proxy
            .backend
            .iter()
            .map(move |backend| Row::Backend(proxy, backend));
        frontend.chain(servers).chain(backend)
    }

    /// The letter of the typed form.
    pub fn letter(&self) -> char {
        match self {
            Row::Frontend(..) => 'F',
            Row::Server(..) => 'S',
            Row::Backend(..) => 'B',
        }
    }

    /// The word of the JSON form.
    pub fn word(&self) -> &'static str {
        match self {
            Row::Frontend(..) => "Frontend",
            Row::Server(..) => "Server",
            Row::Backend(..) => "Backend",
        }
    }

    /// The bit by which `show stat IID TYPE SID` chooses.
    pub fn type_bit(&self) -> u32 {
        match self {
            Row::Frontend(..) => 1,
            Row::Backend(..) => 2,
            Row::Server(..) => 4,
        }
    }

    /// The proxy.
    pub fn proxy(&self) -> &'a ProxySnapshot {
        match self {
            Row::Frontend(proxy, _) | Row::Server(proxy, _) | Row::Backend(proxy, _) => proxy,
        }
    }

    /// HAProxy's `sid`: 0 for a proxy's own lines.
    pub fn server_id(&self) -> u32 {
        match self {
            Row::Server(_, server) => server.id,
            _ => 0,
        }
    }
}

/// A column.
pub struct Field {
    /// Its name in the header.
    pub name: &'static str,
    /// Origin, nature and scope as the typed form abbreviates them.
    pub tags: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it tells.
    pub description: &'static str,
    frontend: fn(&ProxySnapshot, &FrontendStats) -> Option<Value>,
    server: fn(&ProxySnapshot, &ServerStats) -> Option<Value>,
    backend: fn(&ProxySnapshot, &BackendStats) -> Option<Value>,
}

impl Field {
    /// The column's value in a line; `None` prints as nothing.
    pub fn value(&self, row: &Row<'_>) -> Option<Value> {
        match row {
            Row::Frontend(proxy, frontend) => (self.frontend)(proxy, frontend),
            Row::Server(proxy, server) => (self.server)(proxy, server),
            Row::Backend(proxy, backend) => (self.backend)(proxy, backend),
        }
    }
}

/// All columns, those of modules last.
pub fn all_fields() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().chain(MODULE_FIELDS)
}

/// The column of a name.
pub fn field(name: &str) -> Option<&'static Field> {
    all_fields().find(|field| field.name == name)
}

fn num(number: impl Into<u64>) -> Option<Value> {
    Some(Value::Number(number.into()))
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::Text(text.to_owned()))
}

/// Limits print as nothing where there is none.
fn limit(number: u64) -> Option<Value> {
    (number > 0).then_some(Value::Number(number))
}

/// What only an HTTP proxy has.
fn http(proxy: &ProxySnapshot, number: u64) -> Option<Value> {
    proxy.http.then_some(Value::Number(number))
}

/// What of an HTTP proxy's all is not HTTP/2.
fn http1(proxy: &ProxySnapshot, all: u64, http2: u64) -> Option<Value> {
    num(if proxy.http {
        all.saturating_sub(http2)
    } else {
        0
    })
}

fn seconds(milliseconds: u64) -> Option<Value> {
    num(milliseconds / 1_000)
}

fn age(milliseconds: Option<u64>) -> Option<Value> {
    Some(milliseconds.map_or(Value::Signed(-1), |age| Value::Number(age / 1_000)))
}

fn mode(proxy: &ProxySnapshot) -> Option<Value> {
    text(if proxy.http { "http" } else { "tcp" })
}

fn agent(server: &ServerStats, tell: fn(&CheckStats) -> Option<Value>) -> Option<Value> {
    server
        .agent
        .as_ref()
        .filter(|agent| agent.enabled)
        .and_then(tell)
}

fn check(server: &ServerStats, tell: fn(&CheckStats) -> Option<Value>) -> Option<Value> {
    let check = server.check.as_ref().filter(|check| check.enabled);
    check.and_then(tell)
}

/// The last check; silent while an operator keeps the server in maintenance, as HAProxy is.
fn last_check(server: &ServerStats, tell: fn(&CheckStats) -> Option<Value>) -> Option<Value> {
    let in_maintenance =
        server.status.starts_with("MAINT") || server.admin_cause == AdminCause::Resolution;
    if in_maintenance {
        None
    } else {
        check(server, tell)
    }
}

fn none<T>(_: &ProxySnapshot, _: &T) -> Option<Value> {
    None
}

fn zero<T>(_: &ProxySnapshot, _: &T) -> Option<Value> {
    num(0_u64)
}

fn one<T>(_: &ProxySnapshot, _: &T) -> Option<Value> {
    num(1_u64)
}

fn iid<T>(proxy: &ProxySnapshot, _: &T) -> Option<Value> {
    num(proxy.id)
}

fn name<T>(proxy: &ProxySnapshot, _: &T) -> Option<Value> {
    text(&proxy.name)
}

fn mode_of<T>(proxy: &ProxySnapshot, _: &T) -> Option<Value> {
    mode(proxy)
}

macro_rules! fields {
    ($(#[$about:meta])* $table:ident: $( $name:literal $tags:literal $kind:ident $description:literal: $frontend:expr, $server:expr, $backend:expr; )*) => {
        $(#[$about])*
        pub static $table: &[Field] = &[$(Field {
            name: $name, tags: $tags, kind: Kind::$kind, description: $description,
            frontend: $frontend, server: $server, backend: $backend,
        },)*];
    };
}

#[rustfmt::skip]
fields! {
    /// All columns by position, up to the mark after which HAProxy's modules append theirs.
    FIELDS:
    "pxname" "KNS" Str "name of the proxy": name, name, name;
    "svname" "KNS" Str "FRONTEND, BACKEND or the server's name": |_, _| text("FRONTEND"), |_, s| text(&s.name), |_, _| text("BACKEND");
    "qcur" "MGP" U32 "requests in the queue": none, |_, s| num(s.queue.current), |_, b| num(b.queue.current);
    "qmax" "MMP" U32 "longest queue": none, |_, s| num(s.queue.maximum), |_, b| num(b.queue.maximum);
    "scur" "MGP" U32 "sessions": |_, f| num(f.sessions.current), |_, s| num(s.sessions.current), |_, b| num(b.sessions.current);
    "smax" "MMP" U32 "most sessions at a time": |_, f| num(f.sessions.maximum), |_, s| num(s.sessions.maximum), |_, b| num(b.sessions.maximum);
    "slim" "CLP" U32 "limit of sessions": |_, f| num(f.session_limit), |_, s| limit(s.session_limit), |_, b| num(b.session_limit);
    "stot" "MCP" U64 "sessions since the start": |_, f| num(f.sessions_total), |_, s| num(s.sessions_total), |_, b| num(b.sessions_total);
    "bin" "MCP" U64 "bytes of requests": |_, f| num(f.bytes_in), |_, s| num(s.bytes_in), |_, b| num(b.bytes_in);
    "bout" "MCP" U64 "bytes of answers": |_, f| num(f.bytes_out), |_, s| num(s.bytes_out), |_, b| num(b.bytes_out);
    "dreq" "MCP" U64 "requests denied by rules": |_, f| num(f.denied_requests), none, |_, b| num(b.denied_requests);
    "dresp" "MCP" U64 "answers denied by rules": |_, f| num(f.denied_responses), |_, s| num(s.denied_responses), |_, b| num(b.denied_responses);
    "ereq" "MCP" U64 "bad requests": |_, f| num(f.request_errors), none, none;
    "econ" "MCP" U64 "failed connects": none, |_, s| num(s.connection_errors), |_, b| num(b.connection_errors);
    "eresp" "MCP" U64 "bad or missing answers": none, |_, s| num(s.response_errors), |_, b| num(b.response_errors);
    "wretr" "MCP" U64 "retries of connects": none, |_, s| num(s.retries), |_, b| num(b.retries);
    "wredis" "MCP" U64 "requests sent to another server": none, |_, s| num(s.redispatches), |_, b| num(b.redispatches);
    "status" "SGP" Str "state in words": |_, f| text(&f.status), |_, s| text(&s.status), |_, b| text(&b.status);
    "weight" "MaP" U32 "effective weight": none, |_, s| num(s.weight), |_, b| num(b.weight);
    "act" "SGP" U32 "usable servers that are not backups": none, |_, s| num(u32::from(!s.backup)), |_, b| num(b.active_servers);
    "bck" "SGP" U32 "usable backups": none, |_, s| num(u32::from(s.backup)), |_, b| num(b.backup_servers);
    "chkfail" "MCP" U64 "failed checks": none, |_, s| check(s, |c| num(c.failures)), none;
    "chkdown" "MCP" U64 "times that it went down": none, |_, s| check(s, |_| num(0_u64)).and_then(|_| num(s.down_transitions)), |_, b| num(b.down_transitions);
    "lastchg" "MAP" U32 "seconds since the last change of state": none, |_, s| seconds(s.last_change_ms), |_, b| seconds(b.last_change_ms);
    "downtime" "MCP" U32 "seconds down since the start": none, |_, s| check(s, |_| num(0_u64)).and_then(|_| seconds(s.downtime_ms)), |_, b| seconds(b.downtime_ms);
    "qlimit" "CGS" U32 "limit of the queue": none, |_, s| limit(s.queue_limit), none;
    "pid" "KGP" U32 "number of the process, always 1": one, one, one;
    "iid" "KGS" U32 "number of the proxy": iid, iid, iid;
    "sid" "KGS" U32 "number of the server": zero, |_, s| num(s.id), zero;
    "throttle" "CAP" U32 "share of the weight during slowstart, in per cent": none, |_, s| s.throttle.and_then(num), none;
    "lbtot" "MCP" U64 "times that balancing chose it": none, |_, s| num(s.chosen_total), |_, b| num(b.chosen_total);
    "tracked" "CNS" Str "server whose checks it follows": none, |_, s| text(&s.tracked), none;
    "type" "CGS" U32 "0 frontend, 1 backend, 2 server": zero, |_, _| num(2_u64), one;
    "rate" "MRP" U32 "sessions in the last second": |_, f| num(f.session_rate.current), |_, s| num(s.rate.current), |_, b| num(b.rate.current);
    "rate_lim" "CLP" U32 "limit of sessions a second": |_, f| num(f.session_rate.limit), none, none;
    "rate_max" "MMP" U32 "most sessions a second": |_, f| num(f.session_rate.maximum), |_, s| num(s.rate.maximum), |_, b| num(b.rate.maximum);
    "check_status" "MOP" Str "last check in short": none, |_, s| last_check(s, |c| text(&c.status)), none;
    "check_code" "MOP" U32 "status code of the last check": none, |_, s| last_check(s, |c| c.code.and_then(num)), none;
    "check_duration" "MDP" U64 "milliseconds of the last check": none, |_, s| last_check(s, |c| (c.status != "INI").then_some(Value::Number(c.duration_ms))), none;
    "hrsp_1xx" "MCP" U64 "answers 1xx": |p, f| http(p, f.responses.class_1xx), |p, s| http(p, s.responses.class_1xx), |p, b| http(p, b.responses.class_1xx);
    "hrsp_2xx" "MCP" U64 "answers 2xx": |p, f| http(p, f.responses.class_2xx), |p, s| http(p, s.responses.class_2xx), |p, b| http(p, b.responses.class_2xx);
    "hrsp_3xx" "MCP" U64 "answers 3xx": |p, f| http(p, f.responses.class_3xx), |p, s| http(p, s.responses.class_3xx), |p, b| http(p, b.responses.class_3xx);
    "hrsp_4xx" "MCP" U64 "answers 4xx": |p, f| http(p, f.responses.class_4xx), |p, s| http(p, s.responses.class_4xx), |p, b| http(p, b.responses.class_4xx);
    "hrsp_5xx" "MCP" U64 "answers 5xx": |p, f| http(p, f.responses.class_5xx), |p, s| http(p, s.responses.class_5xx), |p, b| http(p, b.responses.class_5xx);
    "hrsp_other" "MCP" U64 "answers of other classes": |p, f| http(p, f.responses.other), |p, s| http(p, s.responses.other), |p, b| http(p, b.responses.other);
    "hanafail" "MCP" U64 "failures seen in traffic": none, |_, s| s.failed_by_traffic.and_then(num), none;
    "req_rate" "MRP" U32 "requests in the last second": |p, f| http(p, f.request_rate.current), none, none;
    "req_rate_max" "MMP" U32 "most requests a second": |p, f| http(p, f.request_rate.maximum), none, none;
    "req_tot" "MCP" U64 "requests since the start": |p, f| http(p, f.requests_total), |p, s| http(p, s.requests_total), |p, b| http(p, b.requests_total);
    "cli_abrt" "MCP" U64 "transfers that clients aborted": none, |_, s| num(s.client_aborts), |_, b| num(b.client_aborts);
    "srv_abrt" "MCP" U64 "transfers that servers aborted": none, |_, s| num(s.server_aborts), |_, b| num(b.server_aborts);
    "comp_in" "MCP" U64 "bytes given to compression": zero, none, zero;
    "comp_out" "MCP" U64 "bytes that compression gave": zero, none, zero;
    "comp_byp" "MCP" U64 "bytes that went past compression": zero, none, zero;
    "comp_rsp" "MCP" U64 "compressed answers": zero, none, zero;
    "lastsess" "MAP" S32 "seconds since the last session, -1 without one": none, |_, s| age(s.last_session_ms), |_, b| age(b.last_session_ms);
    "last_chk" "MOP" Str "what the last check found": none, |_, s| last_check(s, |c| text(&c.detail)), none;
    "last_agt" "MOP" Str "what the last agent check found": none, |_, s| agent(s, |c| text(&c.detail)), none;
    "qtime" "MaP" U32 "average milliseconds in the queue": none, |_, s| num(s.times.queue_ms), |_, b| num(b.times.queue_ms);
    "ctime" "MaP" U32 "average milliseconds to connect": none, |_, s| num(s.times.connect_ms), |_, b| num(b.times.connect_ms);
    "rtime" "MaP" U32 "average milliseconds to the answer": none, |_, s| num(s.times.response_ms), |_, b| num(b.times.response_ms);
    "ttime" "MaP" U32 "average milliseconds in all": none, |_, s| num(s.times.total_ms), |_, b| num(b.times.total_ms);
    "agent_status" "MOP" Str "last agent check in short": none, |_, s| agent(s, |c| text(&c.status)), none;
    "agent_code" "MOP" U32 "code of the last agent check": none, |_, s| agent(s, |c| c.code.and_then(num)), none;
    "agent_duration" "MDP" U64 "milliseconds of the last agent check": none, |_, s| agent(s, |c| (c.status != "INI").then_some(Value::Number(c.duration_ms))), none;
    "check_desc" "MOP" Str "last check in words": none, |_, s| last_check(s, |c| text(&c.description)), none;
    "agent_desc" "MOP" Str "last agent check in words": none, |_, s| agent(s, |c| text(&c.description)), none;
    "check_rise" "CGS" U32 "good checks until it is up": none, |_, s| last_check(s, |c| num(c.rise)), none;
    "check_fall" "CGS" U32 "failed checks until it is down": none, |_, s| last_check(s, |c| num(c.fall)), none;
    "check_health" "CGS" U32 "health between 0 and rise + fall - 1": none, |_, s| last_check(s, |c| num(c.health)), none;
    "agent_rise" "CGS" U32 "rise of the agent check": none, |_, s| agent(s, |c| num(c.rise)), none;
    "agent_fall" "CGS" U32 "fall of the agent check": none, |_, s| agent(s, |c| num(c.fall)), none;
    "agent_health" "CGS" U32 "health of the agent check": none, |_, s| agent(s, |c| num(c.health)), none;
    "addr" "CGS" Str "address and port": none, |_, s| text(&s.address), none;
    "cookie" "CNS" Str "cookie's name or value": none, |_, s| text(&s.cookie), |_, b| text(&b.cookie);
    "mode" "CGS" Str "tcp or http": mode_of, mode_of, mode_of;
    "algo" "CGS" Str "balancing": none, none, |_, b| text(&b.algorithm);
    "conn_rate" "MRP" U32 "connections in the last second": |_, f| num(f.connection_rate.current), none, none;
    "conn_rate_max" "MMP" U32 "most connections a second": |_, f| num(f.connection_rate.maximum), none, none;
    "conn_tot" "MCP" U64 "connections since the start": |_, f| num(f.connections_total), none, none;
    "intercepted" "MCP" U64 "requests answered here": |p, f| http(p, f.intercepted), none, none;
    "dcon" "MCP" U64 "connections denied by rules": |_, f| num(f.denied_connections), none, none;
    "dses" "MCP" U64 "sessions denied by rules": |_, f| num(f.denied_sessions), none, none;
    "wrew" "MCP" U64 "headers that could not be rewritten": zero, zero, zero;
    "connect" "MCP" U64 "connects made": none, |_, s| num(s.connects), |_, b| num(b.connects);
    "reuse" "MCP" U64 "requests on a reused connection": none, |_, s| num(s.reuses), |_, b| num(b.reuses);
    "cache_lookups" "MCP" U64 "lookups in the cache": |p, _| http(p, 0), none, |p, _| http(p, 0);
    "cache_hits" "MCP" U64 "hits in the cache": |p, _| http(p, 0), none, |p, _| http(p, 0);
    "srv_icur" "MGP" U32 "idle connections": none, |_, s| num(s.idle_connections), none;
    "src_ilim" "CLP" U32 "limit of idle connections": none, |_, s| s.idle_limit.and_then(num), none;
    "qtime_max" "MMP" U32 "most milliseconds in the queue": none, |_, s| num(s.times.queue_max_ms), |_, b| num(b.times.queue_max_ms);
    "ctime_max" "MMP" U32 "most milliseconds to connect": none, |_, s| num(s.times.connect_max_ms), |_, b| num(b.times.connect_max_ms);
    "rtime_max" "MMP" U32 "most milliseconds to the answer": none, |_, s| num(s.times.response_max_ms), |_, b| num(b.times.response_max_ms);
    "ttime_max" "MMP" U32 "most milliseconds in all": none, |_, s| num(s.times.total_max_ms), |_, b| num(b.times.total_max_ms);
    "eint" "MCP" U64 "errors of our own": |_, f| num(f.internal_errors), zero, |_, b| num(b.internal_errors);
    "idle_conn_cur" "MGP" U32 "idle connections not safe to share": none, zero, none;
    "safe_conn_cur" "MGP" U32 "idle connections safe to share": none, |_, s| num(s.idle_connections), none;
    "used_conn_cur" "MGP" U32 "connections in use": none, |_, s| num(s.sessions.current), none;
    "need_conn_est" "MGP" U32 "connections expected to be needed": none, none, none;
    "uweight" "MaP" U32 "weight that the operator set": none, |_, s| num(s.user_weight), |_, b| num(b.weight);
    "agg_server_status" "MGP" U32 "servers by state": none, none, none;
    "agg_server_check_status" "MGP" U32 "servers by check, old name": none, none, none;
    "agg_check_status" "MGP" U32 "servers by check": none, none, none;
    "srid" "KGS" U32 "revision of the server": none, none, none;
    "sess_other" "MCP" U64 "sessions of other protocols": none, none, none;
    "h1sess" "MCP" U64 "sessions of HTTP/1": |p, f| http(p, f.sessions_total.saturating_sub(f.http2_sessions_total)), none, none;
    "h2sess" "MCP" U64 "sessions of HTTP/2": |p, f| http(p, f.http2_sessions_total), none, none;
    "h3sess" "MCP" U64 "sessions of HTTP/3": none, none, none;
    "req_other" "MCP" U64 "requests of other protocols": none, none, none;
    "h1req" "MCP" U64 "requests of HTTP/1": |p, f| http(p, f.requests_total.saturating_sub(f.http2_requests_total)), none, none;
    "h2req" "MCP" U64 "requests of HTTP/2": |p, f| http(p, f.http2_requests_total), none, none;
    "h3req" "MCP" U64 "requests of HTTP/3": none, none, none;
    "proto" "COS" Str "protocol": none, none, none;
    "priv_idle_cur" "MGP" U32 "private idle connections": none, none, none;
    "reqbin" "MCP" U64 "request bytes received": none, none, none;
    "reqbout" "MCP" U64 "request bytes sent": none, none, none;
    "resbin" "MCP" U64 "answer bytes received": none, none, none;
    "resbout" "MCP" U64 "answer bytes sent": none, none, none;
}

#[rustfmt::skip]
fields! {
    /// The columns of modules, behind the mark. What is counted for each piece of data is not counted: open streams, and bytes of
    /// HTTP/1 alone.
    MODULE_FIELDS:
    "ssl_sess" "MCP" U64 "TLS handshakes that began a session": |_, f| num(f.protocols.tls_sessions), none, |_, b| num(b.protocols.tls_sessions);
    "ssl_reused_sess" "MCP" U64 "TLS handshakes that resumed a session": |_, f| num(f.protocols.tls_resumed), none, |_, b| num(b.protocols.tls_resumed);
    "ssl_failed_handshake" "MCP" U64 "TLS handshakes that failed": |_, f| num(f.protocols.tls_failed), none, |_, b| num(b.protocols.tls_failed);
    "h2_headers_rcvd" "MCP" U64 "HEADERS frames received": |_, f| num(f.protocols.http2_headers_received), none, |_, b| num(b.protocols.http2_headers_received);
    "h2_data_rcvd" "MCP" U64 "DATA frames received": |_, f| num(f.protocols.http2_data_received), none, |_, b| num(b.protocols.http2_data_received);
    "h2_settings_rcvd" "MCP" U64 "SETTINGS frames received": |_, f| num(f.protocols.http2_settings_received), none, |_, b| num(b.protocols.http2_settings_received);
    "h2_rst_stream_rcvd" "MCP" U64 "RST_STREAM frames received": |_, f| num(f.protocols.http2_resets_received), none, |_, b| num(b.protocols.http2_resets_received);
    "h2_goaway_rcvd" "MCP" U64 "GOAWAY frames received": |_, f| num(f.protocols.http2_goaways_received), none, |_, b| num(b.protocols.http2_goaways_received);
    "h2_detected_conn_protocol_errors" "MCP" U64 "HTTP/2 connections that broke the rules": |_, f| num(f.protocols.http2_connection_errors), none, |_, b| num(b.protocols.http2_connection_errors);
    "h2_detected_strm_protocol_errors" "MCP" U64 "HTTP/2 streams that broke the rules": |_, f| num(f.protocols.http2_stream_errors), none, |_, b| num(b.protocols.http2_stream_errors);
    "h2_rst_stream_resp" "MCP" U64 "RST_STREAM frames sent": |_, f| num(f.protocols.http2_resets_sent), none, |_, b| num(b.protocols.http2_resets_sent);
    "h2_goaway_resp" "MCP" U64 "GOAWAY frames sent": |_, f| num(f.protocols.http2_goaways_sent), none, |_, b| num(b.protocols.http2_goaways_sent);
    "h2_open_connections" "MGP" U64 "HTTP/2 connections": |_, f| num(f.protocols.http2_connections), none, |_, b| num(b.protocols.http2_connections);
    "h2_backend_open_streams" "MGP" U64 "HTTP/2 streams": none, none, none;
    "h2_total_connections" "MCP" U64 "HTTP/2 connections since the start": |_, f| num(f.protocols.http2_connections_total), none, |_, b| num(b.protocols.http2_connections_total);
    "h2_backend_total_streams" "MCP" U64 "HTTP/2 streams since the start": |_, f| num(f.protocols.http2_streams_total), none, |_, b| num(b.protocols.http2_streams_total);
    "h1_open_connections" "MGP" U64 "HTTP/1 connections": |p, f| http1(p, f.sessions.current, f.protocols.http2_connections), none, none;
    "h1_open_streams" "MGP" U64 "HTTP/1 streams": none, none, none;
    "h1_total_connections" "MCP" U64 "HTTP/1 connections since the start": |p, f| http1(p, f.sessions_total, f.protocols.http2_connections_total + f.protocols.tls_failed), none, |p, b| http1(p, b.connects, b.protocols.http2_connections_total);
    "h1_total_streams" "MCP" U64 "HTTP/1 requests since the start": |p, f| http1(p, f.requests_total, f.protocols.http2_streams_total), none, |p, b| http1(p, b.requests_total, b.protocols.http2_streams_total);
    "h1_bytes_in" "MCP" U64 "bytes received by HTTP/1": none, none, none;
    "h1_bytes_out" "MCP" U64 "bytes sent by HTTP/1": none, none, none;
    "h1_spliced_bytes_in" "MCP" U64 "spliced bytes received by HTTP/1": none, none, none;
    "h1_spliced_bytes_out" "MCP" U64 "spliced bytes sent by HTTP/1": none, none, none;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_118_columns_and_those_that_tools_index_are_where_they_expect_them() {
        assert_eq!(FIELDS.len(), 118);
        for (position, name) in [
            (0, "pxname"),
            (17, "status"),
            (32, "type"),
            (73, "addr"),
            (102, "agg_check_status"),
            (117, "resbout"),
        ] {
            assert_eq!(FIELDS[position].name, name);
        }
    }

    #[test]
    fn a_server_without_a_check_has_no_figures_of_one() {
        let proxy = ProxySnapshot {
            name: "b".to_owned(),
            ..ProxySnapshot::default()
        };
        let server = crate::snapshot::tests_support::server("s");
        let row = Row::Server(&proxy, &server);
        let value = |name| field(name).expect("a column").value(&row);
        assert_eq!(value("chkfail"), None);
        assert_eq!(value("lastsess"), Some(Value::Signed(-1)));
        assert_eq!(value("hrsp_2xx"), None, "a TCP proxy has no answers");
    }
}
