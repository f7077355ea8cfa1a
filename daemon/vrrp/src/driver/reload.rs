//! A new configuration: what did not change goes on untouched, what vanished resigns, what is new starts.

use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::difference::same_router;
use super::notify::Told;
use super::scripts::Script;
use super::unit::{Unit, plain_script};
use crate::Setup;

/// The cause of the first configuration.
pub(super) const FIRST: &str = "started";
/// Why an instance ends.
const DELETED: &str = "it is gone from the configuration";

impl Driver {
    /// Takes a configuration, the first one as well.
    pub(super) async fn apply(&mut self, mut setup: Setup, cause: &str) {
        let now = self.now();
        self.follow_life(&self.setup.config.global.life, &setup.config.global.life);
        // First what goes: an address that moves to another instance must be free.
        let mut at = 0;
        while at < self.units.len() {
            let unit = &self.units[at];
            let mut new = setup.config.instances.iter();
            let new = new.find(|new| new.name.as_str() == unit.name());
            let (told, reason) = match new {
                Some(new) if same_router(new, &unit.config) => {
                    at += 1;
                    continue;
                }
                Some(_) => (Told::Gone, "its configuration changed: it begins anew"),
                None if unit.config.notify.says_deleted => (Told::Deleted, DELETED),
                None => (Told::Gone, DELETED),
            };
            self.resign(at, told, reason).await;
            self.units.remove(at);
        }
        self.take_scripts(&setup);
        self.links.configure(&setup.config);
        self.note_numbers();
        // From here on each instance has its definition, and nobody else.
        let instances = std::mem::take(&mut setup.config.instances);
        let units = Vec::with_capacity(instances.len());
        let mut kept = std::mem::replace(&mut self.units, units);
        let (mut fresh, mut changed) = (Vec::new(), Vec::new());
        for (at, config) in instances.into_iter().enumerate() {
            let known = kept
                .iter()
                .position(|unit| unit.name() == config.name.as_str());
            self.units.push(match known {
                Some(found) => {
                    let mut unit = kept.swap_remove(found);
                    changed.push((at, unit.follow(now, config, &setup.config.global)));
                    unit
                }
                None => {
                    fresh.push(at);
                    let before = self.units.last();
                    let mut unit = Unit::new(config, &setup.config.global, before);
                    self.memory.recall(&mut unit);
                    unit
                }
            });
        }
        self.take_groups(&setup.config.sync_groups);
        self.watched.follow(&setup.config);
        self.follow_bfd(&setup.config.bfd_instances).await;
        self.setup = setup;
        self.announcer.configure(&self.setup.config);
        self.collect_virtual_addresses();
        if let Err(error) = self.network.refresh().await {
            tracing::error!("vrrp: {error}");
        }
        self.keep_vmacs().await;
        self.watch_routes();
        self.open_ports();
        let statics = self.setup.config.statics.clone();
        self.apply_statics(statics).await;
        for at in fresh {
            self.reclaim_routes(at).await;
            self.reclaim(at).await;
        }
        for (at, (old, entries)) in changed {
            self.follow_addresses(at, &entries).await;
            self.follow_routes(at, &old.addressing).await;
        }
        self.refresh(cause).await;
        if self.setup.config.global.notify.states_on_reload && cause != FIRST {
            self.write_states();
        }
    }

    /// Scripts that did not change keep their results.
    fn take_scripts(&mut self, setup: &Setup) {
        let now = self.now();
        let same_proxy = self.setup.proxy_configured == setup.proxy_configured;
        let mut old = std::mem::take(&mut self.scripts);
        for config in &setup.config.scripts {
            let same = |script: &Script| {
                same_proxy && plain_script(&script.config) == plain_script(config)
            };
            if let Some(found) = old.iter().position(same) {
                self.scripts.push(old.swap_remove(found));
                continue;
            }
            let script = Script::new(config.clone(), setup.proxy_configured, now);
            if script.native {
                let name = config.name.as_str();
                let change = "answered by the worker's heartbeat";
                let reason = format!(
                    "'{}' asks whether the proxy is alive; it is not run",
                    config.command
                );
                self.event(
                    EventSeverity::Info,
                    EventKind::VrrpScriptNative,
                    name,
                    change,
                    &reason,
                );
            }
            self.scripts.push(script);
        }
    }

    /// Removes addresses that a crash left behind, and tells the peers that nobody is behind them here.
    async fn reclaim(&mut self, at: usize) {
        let unit = &self.units[at];
        let mut found: Vec<_> = Vec::new();
        for (device, entry) in unit.addresses() {
            if self.network.has(device, entry.address) {
                found.push((device.to_owned(), entry.clone()));
            }
        }
        if found.is_empty() || self.take_kept(at) {
            return;
        }
        let unit = &self.units[at];
        // A virtual MAC's interface is ours with all that is on it.
        if unit.config.priority == 255 && unit.config.addressing.vmac.is_none() {
            // The owner's addresses are the interface's own: they were there before us and stay after us.
            self.units[at].owned = found.into_iter().map(|(_, entry)| entry.address).collect();
            return;
        }
        let name = unit.name().to_owned();
        for (device, entry) in &found {
            match self.network.remove(device, entry).await {
                Ok(()) => {
                    let change = format!(
                        "{}/{} removed from {device}",
                        entry.address, entry.prefix_length
                    );
                    let reason = "reclaimed: it was left there by a crash";
                    self.event(
                        EventSeverity::Warning,
                        EventKind::AddressReclaimed,
                        &name,
                        &change,
                        reason,
                    );
                }
                Err(error) => {
                    self.network_failed(&name, "a virtual address of a crash is still here", &error)
                }
            }
        }
        // We were master until the crash: with priority 0 the next one need not wait for our silence to be noticed.
        let virtual_addresses = &self.virtual_addresses;
        let known = self.units[at].find_source(&self.network.view, |address| {
            virtual_addresses.contains(&address)
        });
        if known.is_ok() {
            self.advertise(at, 0);
        }
    }
}
