//! One picture of the worker, and `clear counters`.

use std::sync::atomic::Ordering::Relaxed;

use config::haproxy::{Balance, Bind, BindAddress, ProxyConfig, ServerAddress};
use protocol::snapshot::{
    BackendStats, CheckStats, FrontendStats, ProcessInfo, ProxySnapshot, Rate, ServerStats, Times,
    WorkerSnapshot,
};

use crate::app::Shared;
use crate::health::{Outcome, lock_health, status_word};
use crate::state::{Average, Backend, Frontend, MaxGauge, RateMeter, Server, Usability};

/// All figures of the worker.
pub fn snapshot(shared: &Shared) -> WorkerSnapshot {
    let now_ms = shared.clock.now_ms();
    let proxies = shared
        .config
        .proxies
        .iter()
        .enumerate()
        .map(|(index, proxy)| {
            let frontend = shared
                .frontends
                .iter()
                .find(|frontend| frontend.config_index == index);
            let backend = shared
                .backends
                .iter()
                .find(|backend| backend.config_index == index);
            ProxySnapshot {
                id: proxy.id,
                name: proxy.name.text.clone(),
                http: proxy.mode == config::haproxy::Mode::Http,
                frontend: frontend.map(|frontend| frontend_stats(shared, proxy, frontend, now_ms)),
                servers: backend.map_or_else(Vec::new, |backend| {
                    backend
                        .servers
                        .now()
                        .iter()
                        .filter(|server| !server.config.nameless)
                        .map(|server| server_stats(shared, server, now_ms))
                        .collect()
                }),
                backend: backend.map(|backend| backend_stats(proxy, backend, now_ms)),
            }
        })
        .collect();
    WorkerSnapshot {
        process: process(shared, now_ms),
        proxies,
        resolvers: shared.resolvers.stats(),
        settings: shared.settings.list(),
    }
}

fn process(shared: &Shared, now_ms: u64) -> ProcessInfo {
    let process = &shared.process;
    let maxconn = process.maxconn.load(Relaxed);
    let ulimit_n = sys::privileges::descriptor_limit();
    ProcessInfo {
        pid: shared.pid,
        uptime_ms: now_ms,
        threads: process.threads.load(Relaxed),
        maxconn,
        hard_maxconn: maxconn.max(crate::app::shared::connections_by_descriptors()),
        ulimit_n,
        current_connections: process.connections.current(),
        total_connections: process.connections_total.value(),
        total_requests: process.requests_total.value(),
        connection_rate: with_limit(
            &process.connection_rate,
            now_ms,
            process.connection_rate_limit.load(Relaxed),
        ),
        session_rate: with_limit(
            &process.session_rate,
            now_ms,
            process.session_rate_limit.load(Relaxed),
        ),
        tls_rate: with_limit(
            &process.tls_rate,
            now_ms,
            process.tls_rate_limit.load(Relaxed),
        ),
        current_tls_connections: process.tls_connections.current(),
        total_tls_connections: process.tls_total.value(),
        total_bytes_out: process.bytes_out.value(),
        dropped_logs: process.dropped_logs.value() + shared.reports.sockets.dropped(),
        failed_accepts: process.failed_accepts.value(),
        tasks: process.tasks.current(),
        idle_percent: process.idle_percent.load(Relaxed),
        stopping: shared.draining.load(Relaxed),
        memory_bytes: resident_bytes(shared),
        http2_floods: crate::http2::Flood::ALL.map(|flood| shared.floods.value(flood)),
    }
}

/// Resident pages of statm (proc(5)); 0 where it could not be opened.
fn resident_bytes(shared: &Shared) -> u64 {
    use std::os::unix::fs::FileExt;
    const PAGE_BYTES: u64 = 4_096;
    /// Seven numbers of at most 20 digits.
    const STATM_BYTES: usize = 160;
    let mut text = [0; STATM_BYTES];
    let read = shared
        .memory_file
        .as_ref()
        .map(|file| file.read_at(&mut text, 0));
    let Some(Ok(length)) = read else { return 0 };
    std::str::from_utf8(&text[..length])
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .map_or(0, |pages| pages * PAGE_BYTES)
}

fn with_limit(meter: &RateMeter, now_ms: u64, limit: u32) -> Rate {
    Rate {
        limit: u64::from(limit),
        ..meter.snapshot(now_ms)
    }
}

fn limited(meter: &RateMeter, now_ms: u64) -> Rate {
    meter.snapshot(now_ms)
}

fn frontend_stats(
    shared: &Shared,
    proxy: &ProxyConfig,
    frontend: &Frontend,
    now_ms: u64,
) -> FrontendStats {
    let counters = &frontend.counters;
    let status = if shared.draining.load(Relaxed) {
        "STOP"
    } else if frontend.enabled.load(Relaxed) {
        "OPEN"
    } else {
        "MAINT"
    };
    FrontendStats {
        status: status.to_owned(),
        listeners: proxy.binds.iter().map(bind_text).collect(),
        sessions: counters.sessions.snapshot(),
        session_limit: u64::from(frontend.maxconn.load(Relaxed)),
        sessions_total: counters.sessions_total.value(),
        bytes_in: counters.bytes_in.value(),
        bytes_out: counters.bytes_out.value(),
        denied_requests: counters.denied_requests.value(),
        denied_responses: counters.denied_responses.value(),
        request_errors: counters.request_errors.value(),
        session_rate: with_limit(&counters.session_rate, now_ms, frontend.session_rate_limit),
        connection_rate: limited(&counters.connection_rate, now_ms),
        connections_total: counters.connections_total.value(),
        request_rate: limited(&counters.request_rate, now_ms),
        requests_total: counters.requests_total.value(),
        responses: counters.responses.snapshot(),
        http2_sessions_total: counters.http2_sessions_total.value(),
        http2_requests_total: counters.http2_requests_total.value(),
        intercepted: counters.intercepted.value(),
        denied_connections: counters.denied_connections.value(),
        denied_sessions: counters.denied_sessions.value(),
        internal_errors: counters.internal_errors.value(),
        protocols: counters.protocols.snapshot(),
    }
}

fn bind_text(bind: &Bind) -> String {
    match &bind.address {
        BindAddress::Tcp {
            address: Some(address),
            port,
        } => std::net::SocketAddr::new(*address, *port).to_string(),
        BindAddress::Tcp {
            address: None,
            port,
        } => format!("0.0.0.0:{port}"),
        BindAddress::Unix(path) => format!("unix@{path}"),
        BindAddress::Abstract(name) => format!("abns@{name}"),
        BindAddress::Fd(number) => format!("fd@{number}"),
    }
}

fn times(queue: &Average, connect: &Average, response: &Average, total: &Average) -> Times {
    Times {
        queue_ms: queue.average_ms(),
        connect_ms: connect.average_ms(),
        response_ms: response.average_ms(),
        total_ms: total.average_ms(),
        queue_max_ms: queue.maximum_ms(),
        connect_max_ms: connect.maximum_ms(),
        response_max_ms: response.maximum_ms(),
        total_max_ms: total.maximum_ms(),
    }
}

/// Milliseconds since the last session; `None` if there was none yet.
fn since(last_ms: u64, now_ms: u64, sessions: u64) -> Option<u64> {
    (sessions > 0 && last_ms > 0).then(|| now_ms.saturating_sub(last_ms))
}

fn server_stats(shared: &Shared, server: &Server, now_ms: u64) -> ServerStats {
    let counters = &server.counters;
    let health = lock_health(server).clone();
    let address = server.address.load();
    let user_weight = server.user_weight.load(Relaxed);
    let is_down = crate::health::is_stopped(&health);
    let fqdn = server.fqdn.load();
    let srv_record = match &server.config.address {
        ServerAddress::Host { host, .. } if host.starts_with('_') => host.clone(),
        _ => String::new(),
    };
    let check = server.config.check.as_ref().map(|check| CheckStats {
        status: health.check_status.to_owned(),
        code: health.check_code,
        duration_ms: health.check_duration_ms,
        detail: health.check_detail.clone(),
        description: Outcome::description(health.check_status).to_owned(),
        rise: check.rise,
        fall: check.fall,
        health: health.health,
        failures: counters.failed_checks.value(),
        history: health.check_history.iter().copied().collect(),
        enabled: health.checks_enabled,
        port: health.check_port.or(check.port).unwrap_or(0),
        address: health
            .check_address
            .or(check.address)
            .map_or(String::new(), |address| address.to_string()),
    });
    let agent = health.agent.as_ref().map(|agent| CheckStats {
        status: agent.status.to_owned(),
        code: agent.code,
        duration_ms: agent.duration_ms,
        detail: agent.detail.clone(),
        description: Outcome::description(agent.status).to_owned(),
        rise: 1,
        fall: 1,
        health: agent.health,
        failures: 0,
        history: agent.history.iter().copied().collect(),
        enabled: agent.enabled,
        port: agent.port,
        address: agent
            .address
            .map_or(String::new(), |address| address.to_string()),
    });
    let tracked = server.tracked.get().and_then(|(backend, tracked)| {
        let backend = shared.backends.get(backend.0 as usize)?;
        let tracked = backend.server(*tracked)?;
        Some(format!("{}/{}", backend.name, tracked.name))
    });
    let observes = server
        .config
        .check
        .as_ref()
        .is_some_and(|check| check.observe.is_some());
    ServerStats {
        id: server.sid,
        name: server.name.clone(),
        address: match (&address.as_deref(), &server.config.address) {
            (Some(address), _) => address.to_string(),
            (None, ServerAddress::Unix(path)) => format!("unix@{path}"),
            (None, ServerAddress::Abstract(name)) => format!("abns@{name}"),
            (None, ServerAddress::Host { .. }) => String::new(),
        },
        fqdn: fqdn.as_deref().cloned().unwrap_or_default(),
        srv_record,
        has_resolvers: server.config.resolve.resolvers.is_some(),
        initial_address: server
            .initial_address
            .map_or_else(String::new, |address| address.to_string()),
        cookie: server.config.cookie.clone().unwrap_or_default(),
        admin: health.admin,
        admin_cause: health.admin_cause,
        configured_disabled: server.config.disabled,
        operational: health.operational,
        status: status_word(shared, server, &health),
        // A drained server keeps its weight here, as HAProxy shows it.
        throttle: server
            .throttle()
            .filter(|_| !is_down && health.admin == protocol::operation::ServerAdmin::Ready),
        weight: server.shown_weight(),
        initial_weight: u32::from(server.config.weight),
        user_weight,
        backup: server.config.backup,
        queue: counters.queue.snapshot(),
        queue_limit: u64::from(server.config.maxqueue.unwrap_or(0)),
        sessions: counters.sessions.snapshot(),
        session_limit: u64::from(server.maxconn.load(Relaxed)),
        initial_session_limit: u64::from(server.config.maxconn.unwrap_or(0)),
        sessions_total: counters.sessions_total.value(),
        chosen_total: counters.chosen_total.value(),
        rate: limited(&counters.rate, now_ms),
        bytes_in: counters.bytes_in.value(),
        bytes_out: counters.bytes_out.value(),
        denied_responses: counters.denied_responses.value(),
        connection_errors: counters.connection_errors.value(),
        response_errors: counters.response_errors.value(),
        retries: counters.retries.value(),
        redispatches: counters.redispatches.value(),
        client_aborts: counters.client_aborts.value(),
        server_aborts: counters.server_aborts.value(),
        responses: counters.responses.snapshot(),
        requests_total: counters.requests_total.value(),
        connects: counters.connects.value(),
        reuses: counters.reuses.value(),
        idle_connections: counters.idle_connections.current(),
        idle_limit: server.config.pool.max_idle.map(u64::from),
        down_transitions: counters.down_transitions.value(),
        last_change_ms: now_ms.saturating_sub(health.changed_at_ms),
        downtime_ms: health.downtime_ms
            + if is_down {
                now_ms.saturating_sub(health.changed_at_ms)
            } else {
                0
            },
        last_session_ms: since(
            counters.last_session_ms.load(Relaxed),
            now_ms,
            counters.sessions_total.value(),
        ),
        times: times(
            &counters.queue_time,
            &counters.connect_time,
            &counters.response_time,
            &counters.total_time,
        ),
        check,
        agent,
        tracked: tracked.unwrap_or_default(),
        inherited: health.inherited,
        stopping: health.stopping,
        failed_by_traffic: observes.then(|| counters.failed_by_traffic.value()),
    }
}

fn backend_stats(proxy: &ProxyConfig, backend: &Backend, now_ms: u64) -> BackendStats {
    let counters = &backend.counters;
    // A nameless server is the only one, and none that is shown.
    let is_nameless = backend
        .servers
        .now()
        .iter()
        .any(|server| server.config.nameless);
    let (active, backup) = match is_nameless {
        true => (0, 0),
        false => backend.usable_by_kind(),
    };
    let availability = backend.availability();
    let is_up = backend.is_available() || backend.servers.now().is_empty();
    // Backups count only when no other server is usable.
    let weight = backend
        .servers
        .now()
        .iter()
        .filter(|server| server.usability() == Usability::Up && !server.config.nameless)
        .filter(|server| server.config.backup == (active == 0))
        .map(|server| server.shown_weight())
        .sum();
    BackendStats {
        status: if is_up { "UP" } else { "DOWN" }.to_owned(),
        algorithm: match is_nameless {
            true => "none",
            false => algorithm(&proxy.balance),
        }
        .to_owned(),
        cookie: proxy
            .cookie
            .as_ref()
            .map(|cookie| cookie.name.clone())
            .unwrap_or_default(),
        queue: counters.queue.snapshot(),
        sessions: counters.sessions.snapshot(),
        session_limit: u64::from(proxy.fullconn.unwrap_or(0)),
        sessions_total: counters.sessions_total.value(),
        chosen_total: match is_nameless {
            true => 0,
            false => counters.chosen_total.value(),
        },
        rate: limited(&counters.rate, now_ms),
        bytes_in: counters.bytes_in.value(),
        bytes_out: counters.bytes_out.value(),
        denied_requests: counters.denied_requests.value(),
        denied_responses: counters.denied_responses.value(),
        connection_errors: counters.connection_errors.value(),
        response_errors: counters.response_errors.value(),
        retries: counters.retries.value(),
        redispatches: counters.redispatches.value(),
        client_aborts: counters.client_aborts.value(),
        server_aborts: counters.server_aborts.value(),
        weight,
        active_servers: active as u32,
        backup_servers: backup as u32,
        down_transitions: counters.down_transitions.value(),
        last_change_ms: now_ms.saturating_sub(availability.changed_at_ms),
        downtime_ms: availability.downtime_ms
            + if is_up {
                0
            } else {
                now_ms.saturating_sub(availability.changed_at_ms)
            },
        last_session_ms: since(
            counters.last_session_ms.load(Relaxed),
            now_ms,
            counters.sessions_total.value(),
        ),
        responses: counters.responses.snapshot(),
        requests_total: counters.requests_total.value(),
        connects: counters.connects.value(),
        reuses: counters.reuses.value(),
        times: times(
            &counters.queue_time,
            &counters.connect_time,
            &counters.response_time,
            &counters.total_time,
        ),
        internal_errors: counters.internal_errors.value(),
        protocols: counters.protocols.snapshot(),
    }
}

/// HAProxy's word for an algorithm.
fn algorithm(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRr => "static-rr",
        Balance::LeastConn => "leastconn",
        Balance::First => "first",
        Balance::Source => "source",
        Balance::Uri { .. } => "uri",
        Balance::UrlParam { .. } => "url_param",
        Balance::Header { .. } => "hdr",
        Balance::Hash { .. } => "hash",
        Balance::RdpCookie { .. } => "rdp-cookie",
        Balance::Random { .. } => "random",
    }
}

/// `clear counters`: the maxima; with `all` every total too. Gauges, states and times of change stay.
pub fn clear(shared: &Shared, all: bool) {
    shared.process.connections.clear_maximum();
    for meter in [
        &shared.process.connection_rate,
        &shared.process.session_rate,
        &shared.process.tls_rate,
    ] {
        meter.clear_maximum();
    }
    for frontend in &shared.frontends {
        let counters = &frontend.counters;
        counters.sessions.clear_maximum();
        for meter in [
            &counters.session_rate,
            &counters.connection_rate,
            &counters.request_rate,
        ] {
            meter.clear_maximum();
        }
        if all {
            clear_frontend(frontend);
        }
    }
    for backend in &shared.backends {
        clear_backend(backend, all);
        for server in backend.servers.now().iter() {
            clear_server(server, all);
        }
    }
}

fn clear_frontend(frontend: &Frontend) {
    let counters = &frontend.counters;
    for counter in [
        &counters.sessions_total,
        &counters.connections_total,
        &counters.requests_total,
        &counters.bytes_in,
        &counters.bytes_out,
        &counters.denied_requests,
        &counters.denied_responses,
        &counters.denied_connections,
        &counters.denied_sessions,
        &counters.request_errors,
        &counters.http2_sessions_total,
        &counters.http2_requests_total,
        &counters.intercepted,
        &counters.internal_errors,
    ] {
        counter.clear();
    }
    counters.protocols.clear();
    counters.responses.clear();
}

fn clear_backend(backend: &Backend, all: bool) {
    let counters = &backend.counters;
    clear_maxima(
        [&counters.sessions, &counters.queue],
        &counters.rate,
        [
            &counters.queue_time,
            &counters.connect_time,
            &counters.response_time,
            &counters.total_time,
        ],
    );
    if !all {
        return;
    }
    for counter in [
        &counters.sessions_total,
        &counters.chosen_total,
        &counters.requests_total,
        &counters.bytes_in,
        &counters.bytes_out,
        &counters.denied_requests,
        &counters.denied_responses,
        &counters.connection_errors,
        &counters.response_errors,
        &counters.retries,
        &counters.redispatches,
        &counters.client_aborts,
        &counters.server_aborts,
        &counters.connects,
        &counters.reuses,
        &counters.internal_errors,
        &counters.down_transitions,
    ] {
        counter.clear();
    }
    counters.protocols.clear();
    counters.responses.clear();
}

fn clear_server(server: &Server, all: bool) {
    let counters = &server.counters;
    clear_maxima(
        [&counters.sessions, &counters.queue],
        &counters.rate,
        [
            &counters.queue_time,
            &counters.connect_time,
            &counters.response_time,
            &counters.total_time,
        ],
    );
    if !all {
        return;
    }
    for counter in [
        &counters.sessions_total,
        &counters.chosen_total,
        &counters.requests_total,
        &counters.bytes_in,
        &counters.bytes_out,
        &counters.denied_responses,
        &counters.connection_errors,
        &counters.response_errors,
        &counters.retries,
        &counters.redispatches,
        &counters.client_aborts,
        &counters.server_aborts,
        &counters.connects,
        &counters.reuses,
        &counters.failed_checks,
        &counters.failed_by_traffic,
        &counters.down_transitions,
    ] {
        counter.clear();
    }
    counters.responses.clear();
}

fn clear_maxima(gauges: [&MaxGauge; 2], rate: &RateMeter, averages: [&Average; 4]) {
    for gauge in gauges {
        gauge.clear_maximum();
    }
    rate.clear_maximum();
    for average in averages {
        average.clear_maximum();
    }
}
