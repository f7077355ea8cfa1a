//! The virtual addresses of instances: put on this node, taken off, and put back when somebody removes them.

use std::time::Duration;

use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::unit::Unit;
use crate::core::Burst;

/// Least time between two repairs of an instance's addresses: no endless quarrel with who removes them.
const RESTORE_SPACING: Duration = Duration::from_secs(1);

impl Driver {
    /// Puts an instance's addresses on this node.
    pub(super) async fn add_addresses(&mut self, at: usize) {
        let mut failures = Vec::new();
        for (device, entry) in self.units[at].movable() {
            if let Err(error) = self.network.add(device, entry).await {
                failures.push(error);
            }
        }
        let now = self.now();
        let unit = &mut self.units[at];
        let extra = unit.config.addressing.extra_interfaces;
        unit.extra_at = extra.map(|extra| now + extra.every);
        let name = unit.name().to_owned();
        for error in failures {
            self.network_failed(&name, "a virtual address is missing", &error);
        }
    }

    /// Takes an instance's addresses off this node.
    pub(super) async fn remove_addresses(&mut self, at: usize) {
        self.units[at].extra_at = None;
        self.announcer.forget(self.units[at].name());
        let mut failures = Vec::new();
        for (device, entry) in self.units[at].movable() {
            if let Err(error) = self.network.remove(device, entry).await {
                failures.push(error);
            }
        }
        let name = self.units[at].name().to_owned();
        for error in failures {
            self.network_failed(&name, "a virtual address is still here", &error);
        }
    }

    /// Removes whatever of our addresses is still there.
    pub(super) async fn sweep_addresses(&mut self) {
        if let Err(error) = self.network.refresh().await {
            tracing::error!("vrrp: {error}");
        }
        for at in 0..self.units.len() {
            let unit = &self.units[at];
            if unit
                .movable()
                .any(|(device, entry)| self.network.has(device, entry.address))
            {
                self.remove_addresses(at).await;
            }
        }
    }

    /// Puts addresses back that somebody else took off while we are master.
    pub(super) async fn restore_addresses(&mut self) {
        for at in 0..self.units.len() {
            let now = self.now();
            let unit = &self.units[at];
            let is_missing = |unit: &Unit| {
                unit.movable()
                    .any(|(device, entry)| !self.network.has(device, entry.address))
            };
            if !unit.core.is_active() || !is_missing(unit) {
                continue;
            }
            if let Some(last) = unit
                .restored_at
                .filter(|last| now < *last + RESTORE_SPACING)
            {
                self.refresh_at = Some(last + RESTORE_SPACING);
                continue;
            }
            let name = unit.name().to_owned();
            self.units[at].restored_at = Some(now);
            self.add_addresses(at).await;
            self.announce(at, Burst::Full);
            let reason = "somebody else removed one while this node is master";
            self.event(
                EventSeverity::Warning,
                EventKind::Other,
                &name,
                "addresses put back",
                reason,
            );
        }
    }
}
