//! Counters by their place in a snapshot: what a new worker takes over, and what an old one adds when it has drained.

use std::collections::HashMap;

use protocol::snapshot::{
    BackendStats, FrontendStats, ProcessInfo, Responses, ServerStats, WorkerSnapshot,
};

use super::{ProcessCounters, Shared};
use crate::state::{
    BackendCounters, Counter, FrontendCounters, MaxGauge, ResponseCounters, ServerCounters,
};

/// The totals of a snapshot and the counters that hold them, in one order.
macro_rules! totals {
    ($stats:ident : $Stats:ty, $counters:ident : $Counters:ty, $of_stats:ident, $of_counters:ident,
     { $($field:ident = $counter:ident),* $(,)? }, [$($extra_stat:expr => $extra_counter:expr),*]) => {
        fn $of_stats($stats: &mut $Stats) -> Vec<&mut u64> {
            vec![$(&mut $stats.$field,)* $($extra_stat,)*]
        }
        fn $of_counters($counters: &$Counters) -> Vec<&Counter> {
            vec![$(&$counters.$counter,)* $($extra_counter,)*]
        }
    };
}

totals!(s: ServerStats, c: ServerCounters, server_totals, server_counters, {
    sessions_total = sessions_total, chosen_total = chosen_total, requests_total = requests_total,
    bytes_in = bytes_in, bytes_out = bytes_out, denied_responses = denied_responses,
    connection_errors = connection_errors, response_errors = response_errors, retries = retries,
    redispatches = redispatches, client_aborts = client_aborts, server_aborts = server_aborts,
    connects = connects, reuses = reuses, down_transitions = down_transitions,
}, []);

totals!(s: BackendStats, c: BackendCounters, backend_totals, backend_counters, {
    sessions_total = sessions_total, chosen_total = chosen_total, requests_total = requests_total,
    bytes_in = bytes_in, bytes_out = bytes_out, denied_requests = denied_requests,
    denied_responses = denied_responses, connection_errors = connection_errors,
    response_errors = response_errors, retries = retries, redispatches = redispatches,
    client_aborts = client_aborts, server_aborts = server_aborts, connects = connects,
    reuses = reuses, internal_errors = internal_errors, down_transitions = down_transitions,
}, []);

totals!(s: FrontendStats, c: FrontendCounters, frontend_totals, frontend_counters, {
    sessions_total = sessions_total, connections_total = connections_total,
    requests_total = requests_total, bytes_in = bytes_in, bytes_out = bytes_out,
    denied_requests = denied_requests, denied_responses = denied_responses,
    denied_connections = denied_connections, denied_sessions = denied_sessions,
    request_errors = request_errors, intercepted = intercepted, internal_errors = internal_errors,
    http2_sessions_total = http2_sessions_total, http2_requests_total = http2_requests_total,
}, []);

totals!(s: ProcessInfo, c: ProcessCounters, process_totals, process_counters, {
    total_connections = connections_total, total_requests = requests_total,
    total_tls_connections = tls_total, total_bytes_out = bytes_out, dropped_logs = dropped_logs,
    failed_accepts = failed_accepts,
}, []);

fn response_totals(responses: &mut Responses) -> [&mut u64; 6] {
    [
        &mut responses.class_1xx,
        &mut responses.class_2xx,
        &mut responses.class_3xx,
        &mut responses.class_4xx,
        &mut responses.class_5xx,
        &mut responses.other,
    ]
}

fn add(counters: Vec<&Counter>, totals: Vec<&mut u64>) {
    for (counter, total) in counters.into_iter().zip(totals) {
        counter.add(*total);
    }
}

fn add_responses(counters: &ResponseCounters, mut responses: Responses) {
    add(
        counters.classes().iter().collect(),
        response_totals(&mut responses).into_iter().collect(),
    );
}

fn subtract(now: Vec<&mut u64>, then: Vec<&mut u64>) {
    for (now, then) in now.into_iter().zip(then) {
        // `clear counters` in between leaves less than there was.
        *now = now.saturating_sub(*then);
    }
}

fn subtract_responses(now: &mut Responses, mut then: Responses) {
    subtract(
        response_totals(now).into_iter().collect(),
        response_totals(&mut then).into_iter().collect(),
    );
}

/// Adds the totals of another worker to ours, by names; with `maxima` also the most that it saw.
pub(super) fn inherit(shared: &Shared, mut told: WorkerSnapshot, maxima: bool) {
    let most = |gauge: &MaxGauge, told: protocol::snapshot::Gauge| {
        if maxima {
            gauge.raise_maximum(told.maximum);
        }
    };
    add(
        process_counters(&shared.process),
        process_totals(&mut told.process),
    );
    for proxy in &mut told.proxies {
        if let (Some(frontend), Some(stats)) =
            (shared.frontend(&proxy.name), proxy.frontend.as_mut())
        {
            let counters = &frontend.counters;
            most(&counters.sessions, stats.sessions);
            add_responses(&counters.responses, stats.responses);
            add(frontend_counters(counters), frontend_totals(stats));
            add(
                counters.protocols.totals().into(),
                stats.protocols.totals().into(),
            );
        }
        let Some(backend) = shared.backend(&proxy.name) else {
            continue;
        };
        if let Some(stats) = proxy.backend.as_mut() {
            let counters = &backend.counters;
            most(&counters.sessions, stats.sessions);
            most(&counters.queue, stats.queue);
            add_responses(&counters.responses, stats.responses);
            add(backend_counters(counters), backend_totals(stats));
            add(
                counters.protocols.totals().into(),
                stats.protocols.totals().into(),
            );
        }
        let table = backend.servers.now();
        let servers: HashMap<&str, &crate::state::Server> = table
            .iter()
            .map(|server| (server.name.as_str(), &**server))
            .collect();
        for stats in &mut proxy.servers {
            let Some(server) = servers.get(stats.name.as_str()) else {
                continue;
            };
            let counters = &server.counters;
            most(&counters.sessions, stats.sessions);
            most(&counters.queue, stats.queue);
            add_responses(&counters.responses, stats.responses);
            if let Some(check) = &stats.check {
                counters.failed_checks.add(check.failures);
            }
            add(server_counters(counters), server_totals(stats));
        }
    }
}

/// What was counted between two snapshots, of one worker or of one and a later one: `now` keeps the differences of totals.
pub(super) fn difference(mut now: WorkerSnapshot, mut then: WorkerSnapshot) -> WorkerSnapshot {
    subtract(
        process_totals(&mut now.process),
        process_totals(&mut then.process),
    );
    let mut before: HashMap<&str, _> = then
        .proxies
        .iter_mut()
        .map(|proxy| {
            let parts = (&mut proxy.frontend, &mut proxy.backend, &mut proxy.servers);
            (proxy.name.as_str(), parts)
        })
        .collect();
    for now in &mut now.proxies {
        let Some((then_frontend, then_backend, then_servers)) = before.remove(now.name.as_str())
        else {
            continue;
        };
        if let (Some(now), Some(then)) = (&mut now.frontend, then_frontend) {
            subtract_responses(&mut now.responses, then.responses);
            let (own, earlier) = (&mut now.protocols, &mut then.protocols);
            subtract(own.totals().into(), earlier.totals().into());
            subtract(frontend_totals(now), frontend_totals(then));
        }
        if let (Some(now), Some(then)) = (&mut now.backend, then_backend) {
            subtract_responses(&mut now.responses, then.responses);
            let (own, earlier) = (&mut now.protocols, &mut then.protocols);
            subtract(own.totals().into(), earlier.totals().into());
            subtract(backend_totals(now), backend_totals(then));
        }
        let mut before: HashMap<String, &mut ServerStats> = then_servers
            .iter_mut()
            .map(|server| (server.name.clone(), server))
            .collect();
        for now in &mut now.servers {
            let Some(then) = before.remove(now.name.as_str()) else {
                continue;
            };
            subtract_responses(&mut now.responses, then.responses);
            if let (Some(now), Some(then)) = (&mut now.check, &then.check) {
                now.failures = now.failures.saturating_sub(then.failures);
            }
            subtract(server_totals(now), server_totals(then));
        }
    }
    now
}
