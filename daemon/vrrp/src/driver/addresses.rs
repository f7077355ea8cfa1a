//! The virtual addresses of instances: put on this node, taken off, and put back when somebody removes them.

use std::net::IpAddr;
use std::time::Duration;

use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::messages::Message;
use super::routes::Troubles;
use crate::core::Burst;
use crate::network::{Culprit, NetworkError, suspects};

/// Least time between two repairs of an instance's addresses: no endless quarrel with who removes them.
const RESTORE_SPACING: Duration = Duration::from_secs(1);

impl Driver {
    /// Puts an instance's addresses on this node.
    pub(super) async fn add_addresses(&mut self, at: usize) {
        self.filter();
        let mut failures = Vec::new();
        let mut troubles = Vec::new();
        for (device, entry) in self.units[at].movable() {
            if let Err(error) = self.network.add(device, entry).await {
                troubles.push((format!("{} on {device}", entry.address), error.to_string()));
                failures.push(error);
            }
        }
        failures.extend(self.add_routes(at).await);
        self.units[at].troubles.extend(troubles);
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
        self.filter();
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
            if unit.kept {
                continue;
            }
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
            let mut restored = Vec::new();
            let mut culprit = None;
            if !missing.is_empty() {
                restored = self.put_addresses(at, &missing).await;
                let first = missing.first().copied();
                culprit = Some(self.network.removals.who(first));
            }
            let routes = self.restore_routes(at).await;
            if restored.is_empty() && routes.is_empty() {
                continue;
            }
            if !restored.is_empty() {
                self.announce(at, Burst::Full);
            }
            self.units[at].restored_at = Some(now);
            let culprit = culprit.unwrap_or_else(|| self.network.removals.who(None));
            restored.extend(routes);
            let change = format!("put back: {}", restored.join(", "));
            self.tell_restored(name, change, culprit);
        }
    }

    /// Tells what was put back and who removed it; who may have done it is looked up beside the timers.
    pub(super) fn tell_restored(&self, subject: String, change: String, culprit: Culprit) {
        let messages = self.messages.clone();
        tokio::task::spawn_blocking(move || {
            let hint = match culprit {
                Culprit::Ended(_) | Culprit::Unknown => suspects(),
                Culprit::Known(_) | Culprit::Kernel => String::new(),
            };
            let reason = culprit.text(&hint);
            // A full queue loses an event, not an address.
            let _ = messages.try_send(Message::Found {
                subject,
                change,
                reason,
            });
        });
    }

    /// Adds some of an instance's addresses; which it could.
    async fn put_addresses(&mut self, at: usize, wanted: &[IpAddr]) -> Vec<String> {
        let mut put = Put::default();
        let unit = &mut self.units[at];
        let entries: Vec<_> = unit
            .movable()
            .filter(|(_, entry)| wanted.contains(&entry.address))
            .map(|(device, entry)| (device.to_owned(), entry.clone()))
            .collect();
        for (device, entry) in entries {
            let title = format!("{} on {device}", entry.address);
            let outcome = self.network.add(&device, &entry).await;
            put.note(&mut unit.troubles, title, outcome.map(|()| true));
        }
        let name = unit.name().to_owned();
        for _ in 0..put.late.len() {
            self.announce(at, Burst::Full);
        }
        self.tell_put(&name, "a virtual address is missing", put)
    }

    /// Tells of what could not be put on, and of what could at last; gives what was put on besides.
    pub(super) fn tell_put(&mut self, name: &str, missing: &str, put: Put) -> Vec<String> {
        for error in put.failures {
            self.network_failed(name, missing, &error);
        }
        for (title, why) in put.late {
            let change = format!("{title} added");
            let reason = format!("it could not be before: {why}");
            self.event(
                EventSeverity::Notice,
                EventKind::Other,
                name,
                &change,
                &reason,
            );
        }
        put.added
    }
}

/// What came of putting entries on: addresses, routes or rules.
#[derive(Default)]
pub(super) struct Put {
    /// They were not there.
    added: Vec<String>,
    /// They could not be put on before; why not.
    late: Vec<(String, String)>,
    /// What has not been told yet.
    failures: Vec<NetworkError>,
}

impl Put {
    /// Notes an entry's outcome: whether it was not there yet. `troubles` are those entries that could not be put on.
    pub(super) fn note(
        &mut self,
        troubles: &mut Troubles,
        title: String,
        outcome: Result<bool, NetworkError>,
    ) {
        match outcome {
            Ok(false) => {}
            Ok(true) => match troubles.remove(&title) {
                Some(why) => self.late.push((title, why)),
                None => self.added.push(title),
            },
            Err(error) => {
                let why = error.to_string();
                if troubles.insert(title, why.clone()) != Some(why) {
                    self.failures.push(error);
                }
            }
        }
    }
}
