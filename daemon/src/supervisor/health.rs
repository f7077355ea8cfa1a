//! Whether all is well, and who is told: vrrp, systemd, and the process that waits in the foreground.

use std::time::Duration;

use protocol::process::{HEARTBEAT_LIMIT_MS, ProxyHealth, Role, ToChild};

use super::Supervisor;
use crate::{handover, version};

impl Supervisor {
    pub(super) fn all_ready(&self) -> bool {
        [Role::Control, Role::Vrrp, Role::Worker]
            .into_iter()
            .all(|role| {
                !self.configured(role) || self.current(role).is_some_and(|child| child.ready)
            })
    }

    /// Looks at the worker and tells vrrp and systemd if something changed.
    pub(super) fn update_health(&mut self) {
        let health = match self.current(Role::Worker) {
            None => ProxyHealth {
                alive: false,
                detail: "the worker died and is started again".to_owned(),
            },
            Some(worker) if !worker.ready => ProxyHealth {
                alive: false,
                detail: format!("worker {} is not ready yet", worker.pid),
            },
            Some(worker)
                if worker.heartbeat.elapsed() >= Duration::from_millis(HEARTBEAT_LIMIT_MS) =>
            {
                ProxyHealth {
                    alive: false,
                    detail: format!(
                        "worker {} gives no sign of life for {HEARTBEAT_LIMIT_MS} ms",
                        worker.pid
                    ),
                }
            }
            Some(worker) => ProxyHealth {
                alive: true,
                detail: format!("worker {} answers", worker.pid),
            },
        };
        let stopping = self.stop.is_some();
        if health != self.health && !stopping && self.configured(Role::Worker) {
            if health.alive != self.health.alive {
                tracing::info!(
                    "proxy is {}: {}",
                    if health.alive { "alive" } else { "not alive" },
                    health.detail
                );
            }
            self.health = health;
            if let Some(vrrp) = self.current(Role::Vrrp) {
                vrrp.tell(&ToChild::ProxyHealth(self.health.clone()));
            }
        }
        let word = |role: Role| match self.current(role) {
            _ if !self.configured(role) => "not configured",
            Some(child) if child.ready => "running",
            Some(_) => "starting",
            None => "down",
        };
        let status = format!(
            "worker {}, vrrp {}, control {}",
            word(Role::Worker),
            word(Role::Vrrp),
            word(Role::Control)
        );
        self.systemd.status(if stopping {
            "stopping".to_owned()
        } else {
            status
        });
    }

    /// Tells systemd and the parent once, when all that is configured is ready.
    pub(super) fn announce(&mut self) {
        if self.announced || self.stop.is_some() || !self.all_ready() {
            return;
        }
        self.announced = true;
        self.systemd.ready();
        handover::dismiss(&self.arguments);
        if let Some(parent) = self.parent.take() {
            parent.release();
        }
        tracing::info!(
            "Tandem {} serves on {} (process {})",
            version::VERSION,
            self.node,
            std::process::id()
        );
    }
}
