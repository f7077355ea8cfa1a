//! What a new worker takes over from the one before it: what operators and checks said of servers of the same name.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use config::haproxy::{InitAddr, ServerAddress};
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational, ServerStats, WorkerSnapshot};
use protocol::wire;

use super::Shared;
use crate::state::Server;

/// Applies an encoded `WorkerSnapshot`; what does not fit is left as configured.
pub(super) fn apply(shared: &Shared, state: &[u8]) {
    if state.is_empty() {
        return;
    }
    let snapshot: WorkerSnapshot = match wire::decode(state) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            tracing::warn!(
                "worker: the state of the one before is not understood and left aside: {error}"
            );
            return;
        }
    };
    for backend in &shared.backends {
        let Some(old) = snapshot
            .proxies
            .iter()
            .find(|proxy| proxy.name == backend.name && proxy.backend.is_some())
        else {
            continue;
        };
        for server in &backend.servers {
            let Some(before) = old.servers.iter().find(|before| before.name == server.name) else {
                continue;
            };
            // A weight that the operator changed stays; one that the file changed wins.
            if before.initial_weight == u32::from(server.config.weight) {
                server.user_weight.store(before.user_weight, Relaxed);
            }
            take_name(server, before);
            let mut health = server.health.lock().unwrap_or_else(PoisonError::into_inner);
            // Whether a name resolves is known anew: from the address above, or from the start.
            if before.admin_cause != AdminCause::Resolution {
                health.admin = before.admin;
                health.admin_cause = before.admin_cause;
            }
            if let (Some(check), Some(checked)) = (&server.config.check, &before.check)
                && before.operational != Operational::NoCheck
            {
                let is_up = matches!(before.operational, Operational::Up | Operational::GoingDown);
                health.operational = before.operational;
                let most = check.rise + check.fall - 1;
                let count = if is_up {
                    checked.health.clamp(check.rise, most)
                } else {
                    checked.health.min(check.rise.saturating_sub(1))
                };
                health.health = count;
                health.stopping = before.stopping;
            }
            if let (Some(agent), Some(told)) = (&mut health.agent, &before.agent) {
                agent.enabled = told.enabled;
                agent.health = told.health.min(1);
            }
            drop(health);
            server.publish();
        }
        backend.servers_changed();
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
