//! What a new worker takes over from the one before it: what operators and checks said of servers of the same name, and the
//! counters. When the old worker has drained, what it counted meanwhile is added.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use config::haproxy::{InitAddr, ServerAddress};
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational, ServerStats, WorkerSnapshot};
use protocol::wire;

use super::{Shared, figures};
use crate::state::{Server, check_word};

/// Applies an encoded `WorkerSnapshot`; what does not fit is left as configured.
pub(super) fn apply(shared: &Shared, state: &[u8]) {
    let Some(snapshot) = decode(state) else {
        return;
    };
    for backend in &shared.backends {
        let Some(old) = snapshot
            .proxies
            .iter()
            .find(|proxy| proxy.name == backend.name && proxy.backend.is_some())
        else {
            continue;
        };
        let by_name: std::collections::HashMap<&str, &ServerStats> = old
            .servers
            .iter()
            .map(|server| (server.name.as_str(), server))
            .collect();
        for server in backend.servers.now().iter() {
            if let Some(before) = by_name.get(server.name.as_str()) {
                take_over(server, before);
            }
        }
        backend.servers_changed();
    }
    crate::command::take_over_settings(shared, &snapshot.settings);
    figures::inherit(shared, snapshot, true);
}

fn decode(state: &[u8]) -> Option<WorkerSnapshot> {
    if state.is_empty() {
        return None;
    }
    wire::decode(state)
        .inspect_err(|error| {
            tracing::warn!(
                "worker: the state of the one before is not understood and left aside: {error}"
            );
        })
        .ok()
}

fn take_over(server: &Server, before: &ServerStats) {
    // A value that the operator changed stays; one that the file changed wins.
    if before.initial_weight == u32::from(server.config.weight) {
        server.user_weight.store(before.user_weight, Relaxed);
    }
    if before.initial_session_limit == u64::from(server.config.maxconn.unwrap_or(0)) {
        let limit = u32::try_from(before.session_limit).unwrap_or(u32::MAX);
        server.maxconn.store(limit, Relaxed);
    }
    take_address(server, before);
    take_name(server, before);
    let mut health = server.health.lock().unwrap_or_else(PoisonError::into_inner);
    // Whether a name resolves is known anew: from the address above, or from the start.
    if before.admin_cause != AdminCause::Resolution {
        health.admin = before.admin;
        health.admin_cause = before.admin_cause;
    }
    health.downtime_ms = before.downtime_ms;
    if let (Some(check), Some(checked)) = (&server.config.check, &before.check) {
        health.checks_enabled = checked.enabled;
        health.check_status = check_word(&checked.status);
        health.check_code = checked.code;
        health.check_duration_ms = checked.duration_ms;
        health.check_detail.clone_from(&checked.detail);
        health.check_history = checked.history.iter().copied().collect();
        if before.operational != Operational::NoCheck {
            let is_up = matches!(before.operational, Operational::Up | Operational::GoingDown);
            health.operational = before.operational;
            let most = check.rise + check.fall - 1;
            health.health = if is_up {
                checked.health.clamp(check.rise, most)
            } else {
                checked.health.min(check.rise.saturating_sub(1))
            };
            health.stopping = before.stopping;
        }
    } else if server.config.check.is_none() && before.operational == Operational::Down {
        // `set server … health down` of a server without checks.
        (health.operational, health.health) = (Operational::Down, 0);
    }
    if let (Some(agent), Some(told)) = (&mut health.agent, &before.agent) {
        agent.enabled = told.enabled;
        agent.health = told.health.min(1);
        agent.status = check_word(&told.status);
        agent.code = told.code;
        agent.duration_ms = told.duration_ms;
        agent.detail.clone_from(&told.detail);
        agent.history = told.history.iter().copied().collect();
    }
    drop(health);
    server.publish();
}

/// `set server … addr`: an address that was changed at run time stays while the file says what it said.
fn take_address(server: &Server, before: &ServerStats) {
    if server.config.resolve.resolvers.is_some() {
        return;
    }
    let configured = server
        .initial_address
        .map_or_else(String::new, |address| address.to_string());
    let same_line = match before.fqdn.is_empty() {
        true => before.initial_address == configured,
        false => server.host_name() == Some(before.fqdn.as_str()),
    };
    if same_line
        && before.address != before.initial_address
        && let Ok(address) = before.address.parse::<SocketAddr>()
    {
        server.address.store(Some(Arc::new(address)));
        server.is_pinned.store(true, Relaxed);
    }
}

/// A worker that ends tells what it counted beyond what the next one has started with.
///
/// Totals only grow from worker to worker, so any older figures may stand for `handed_over`, also those of a worker before.
pub(super) fn last_figures(shared: &Shared, handed_over: &[u8]) -> Option<Vec<u8>> {
    let then = decode(handed_over).unwrap_or_default();
    let last = figures::difference(crate::stats::snapshot(shared), then);
    wire::encode(&last).ok()
}

/// What a worker that has drained counted after we had taken over.
pub(super) fn add(shared: &Shared, figures: &[u8]) {
    if let Some(snapshot) = decode(figures) {
        figures::inherit(shared, snapshot, false);
    }
}

/// A server whose name is resolved while the worker runs goes on with the address (and for SRV records the name) that the
/// worker before had found, unless `init-addr` wants another way than `last` first: a reload waits for no name server.
fn take_name(server: &Server, before: &ServerStats) {
    let config = &server.config;
    let written = match &config.address {
        ServerAddress::Host { host, .. } => host.as_str(),
        _ => return,
    };
    let same_name = match written.starts_with('_') {
        true => before.srv_record == written,
        false => before.fqdn == written,
    };
    let Ok(address) = before.address.parse() else {
        return;
    };
    // HAProxy reads its state file first where `init-addr` says so; a server of SRV records has no other way.
    let wanted = config.init_addr.first() == Some(&InitAddr::Last) || written.starts_with('_');
    if config.resolve.resolvers.is_none() || !same_name || !wanted {
        return;
    }
    server.address.store(Some(Arc::new(address)));
    if !before.fqdn.is_empty() {
        server.fqdn.store(Some(Arc::new(before.fqdn.clone())));
    }
    let mut health = server.health.lock().unwrap_or_else(PoisonError::into_inner);
    if health.admin_cause == AdminCause::Resolution {
        (health.admin, health.admin_cause) = if config.disabled {
            (ServerAdmin::Maint, AdminCause::Configuration)
        } else {
            (ServerAdmin::Ready, AdminCause::None)
        };
    }
}
