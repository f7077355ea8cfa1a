//! What a new worker takes over from the one before it: what operators and checks said of servers of the same name.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use protocol::snapshot::{Operational, WorkerSnapshot};
use protocol::wire;

use super::Shared;

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
            let mut health = server.health.lock().unwrap_or_else(PoisonError::into_inner);
            health.admin = before.admin;
            health.admin_cause = before.admin_cause;
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
            }
            drop(health);
            server.publish();
        }
        backend.servers_changed();
    }
}
