//! The virtual addresses of instances: put on this node, taken off, and put back when somebody removes them.

use std::net::IpAddr;
use std::time::Duration;

use protocol::{EventKind, EventSeverity};

use super::Driver;
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
        failures.extend(self.add_routes(at).await);
        let now = self.now();
        let unit = &mut self.units[at];
        unit.added_at = now;
        let extra = unit.config.addressing.extra_interfaces;
        unit.extra_at = extra.map(|extra| now + extra.every);
        let name = unit.name().to_owned();
        for error in failures {
            self.network_failed(&name, "an address, route or rule is missing", &error);
        }
    }

    /// Takes an instance's addresses off this node.
    pub(super) async fn remove_addresses(&mut self, at: usize) {
        self.units[at].extra_at = None;
        self.announcer.forget(self.units[at].name());
        let mut failures = self.remove_routes(at).await;
        for (device, entry) in self.units[at].movable() {
            if let Err(error) = self.network.remove(device, entry).await {
                failures.push(error);
            }
        }
        let name = self.units[at].name().to_owned();
        for error in failures {
            self.network_failed(&name, "an address, route or rule is still here", &error);
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

    /// Puts addresses, routes and rules back that somebody else took off while we are master.
    pub(super) async fn restore_addresses(&mut self) {
        for at in 0..self.units.len() {
            let now = self.now();
            let unit = &self.units[at];
            // What was added after the tables were read is not in them.
            if !unit.core.is_active() || unit.added_at >= self.refreshed_at {
                continue;
            }
            let missing: Vec<_> = unit
                .movable()
                .filter(|(device, entry)| {
                    !entry.no_track && !self.network.has(device, entry.address)
                })
                .map(|(_, entry)| entry.address)
                .collect();
            let addressing = &unit.config.addressing;
            if missing.is_empty() && addressing.routes.is_empty() && addressing.rules.is_empty() {
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
            let mut restored: Vec<_> = missing.iter().map(ToString::to_string).collect();
            if missing.is_empty() {
                restored.extend(self.restore_routes(at).await);
            } else {
                self.put_addresses(at, &missing).await;
                restored.extend(self.restore_routes(at).await);
                self.announce(at, Burst::Full);
            }
            if restored.is_empty() {
                continue;
            }
            self.units[at].restored_at = Some(now);
            let change = format!("put back: {}", restored.join(", "));
            let reason = "somebody else removed it while this node is master";
            self.event(
                EventSeverity::Warning,
                EventKind::Other,
                &name,
                &change,
                reason,
            );
        }
    }

    /// Adds some of an instance's addresses.
    async fn put_addresses(&mut self, at: usize, wanted: &[IpAddr]) {
        let mut failures = Vec::new();
        for (device, entry) in self.units[at].movable() {
            if wanted.contains(&entry.address) {
                failures.extend(self.network.add(device, entry).await.err());
            }
        }
        let name = self.units[at].name().to_owned();
        for error in failures {
            self.network_failed(&name, "a virtual address is missing", &error);
        }
    }
}
