//! What a new definition changes of an instance that goes on: its addresses, one by one.

use std::time::Duration;

use config::keepalived::{InitialState, VrrpInstance};

use super::Driver;
use super::unit::Entry;
use crate::core::{Burst, OWNER};

/// Whether two definitions are one virtual router, on the wire and on this node. All that [`essence`] leaves out may change
/// while it keeps its state: a reload that changes a password or an interval must not cost the address.
pub(super) fn same_router(one: &VrrpInstance, other: &VrrpInstance) -> bool {
    one.is_ipv6() == other.is_ipv6() && essence(one) == essence(other)
}

fn essence(instance: &VrrpInstance) -> VrrpInstance {
    let mut plain = instance.clone();
    plain.name.span = config::Span::default();
    plain.span = config::Span::default();
    // Who owns the addresses does not elect.
    if plain.priority != OWNER {
        plain.priority = 0;
    }
    plain.state = InitialState::Backup;
    plain.advert_int = Duration::ZERO;
    plain.authentication = None;
    plain.auth_hmac = None;
    plain.virtual_addresses.clear();
    plain.excluded_addresses.clear();
    plain.group = None;
    plain.unicast_peers.clear();
    plain.peer_ttls.clear();
    plain.unicast_ttl = 0;
    plain.unicast_fault_no_peer = false;
    plain.skip_check_adv_addr = false;
    plain.checksum = Default::default();
    plain.nopreempt = false;
    plain.preempt_delay = Duration::ZERO;
    plain.timer_expired_backup = None;
    plain.tracks = Default::default();
    plain.track_src_ip = false;
    plain.down_timer_adverts = 0;
    plain.higher_prio_send_advert = false;
    plain.lower_prio_no_advert = false;
    plain.dont_track_primary = false;
    plain.garp_master_delay = Duration::ZERO;
    plain.garp_master_repeat = 0;
    plain.garp_master_refresh = Duration::ZERO;
    plain.garp_master_refresh_repeat = 0;
    plain.addressing = config::keepalived::Addressing {
        vmac: plain.addressing.vmac,
        ..Default::default()
    };
    plain.notify = Default::default();
    plain.smtp_alert = false;
    plain.places = Default::default();
    plain
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    one.0 == other.0
        && one.1.address == other.1.address
        && one.1.prefix_length == other.1.prefix_length
}

/// What `ip addr` shows of an address beyond its network: the kernel changes none of it while the address is there.
fn looks(entry: &Entry) -> config::keepalived::VirtualAddress {
    config::keepalived::VirtualAddress {
        device: None,
        no_track: false,
        span: config::Span::default(),
        ..entry.1.clone()
    }
}

/// Those that stay, and look otherwise: before and now.
fn changed(all: &[Entry], before: &[Entry]) -> Vec<(Entry, Entry)> {
    let old = |entry: &Entry| before.iter().find(|old| is_same(entry, old)).cloned();
    let pairs = all
        .iter()
        .filter_map(|entry| Some((old(entry)?, entry.clone())));
    pairs
        .filter(|(old, new)| looks(old) != looks(new))
        .collect()
}

/// Those of one that are not among the others.
fn without(all: &[Entry], others: &[Entry]) -> Vec<Entry> {
    let is_other = |entry: &&Entry| !others.iter().any(|other| is_same(entry, other));
    all.iter().filter(is_other).cloned().collect()
}

/// While this lives, the addresses of a subnet outlive the first one of it (`promote_secondaries` of an interface).
struct Promoting {
    /// What is switched off again at the end.
    file: Option<String>,
}

impl Promoting {
    /// None if it cannot be switched on here.
    fn begin(device: &str) -> Option<Self> {
        let file = format!("/proc/sys/net/ipv4/conf/{device}/promote_secondaries");
        if std::fs::read_to_string(&file).ok()?.trim() != "0" {
            return Some(Self { file: None });
        }
        std::fs::write(&file, "1").ok()?;
        Some(Self { file: Some(file) })
    }
}

impl Drop for Promoting {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // It could be written a moment ago.
            let _ = std::fs::write(file, "0");
        }
    }
}

impl Driver {
    /// Adds what is new among an instance's addresses, then removes what is gone; all others are not touched.
    pub(super) async fn follow_addresses(&mut self, at: usize, before: &[Entry]) {
        let entries = self.units[at].entries();
        let (added, removed) = (without(&entries, before), without(before, &entries));
        if self.units[at].config.priority == OWNER {
            for (device, entry) in &added {
                if self.network.has(device, entry.address) {
                    self.units[at].owned.push(entry.address);
                }
            }
        }
        if !self.units[at].core.is_active() {
            return;
        }
        self.filter();
        let mut has_changed = false;
        let mut failures = Vec::new();
        let owned = self.units[at].owned.clone();
        let is_owned = |entry: &&Entry| owned.contains(&entry.1.address);
        for (device, entry) in added.iter().filter(|entry| !is_owned(entry)) {
            let outcome = self.network.add(device, entry).await;
            failures.extend(
                outcome
                    .err()
                    .map(|error| ("a virtual address is missing", error)),
            );
        }
        for gone in removed.iter().filter(|entry| !is_owned(entry)) {
            let others = self.units.iter().filter(|unit| unit.core.is_active());
            let mut others = others.flat_map(|unit| unit.entries());
            if others.any(|other| is_same(gone, &other)) {
                // It has moved to another instance that is master here.
                continue;
            }
            let promoting = Promoting::begin(&gone.0);
            let outcome = self.network.remove(&gone.0, &gone.1).await;
            if promoting.is_none() {
                // The kernel may have taken others of its subnet with it.
                for (device, entry) in entries.iter().filter(|entry| !is_owned(entry)) {
                    let outcome = self.network.add(device, entry).await;
                    failures.extend(
                        outcome
                            .err()
                            .map(|error| ("a virtual address is missing", error)),
                    );
                }
            }
            failures.extend(
                outcome
                    .err()
                    .map(|error| ("a virtual address is still here", error)),
            );
        }
        for (old, new) in changed(&entries, before) {
            if is_owned(&&new) {
                continue;
            }
            // Off and on again at once: connections outlive it.
            let _promoting = Promoting::begin(&old.0);
            let mut outcome = self.network.remove(&old.0, &old.1).await;
            if outcome.is_ok() {
                outcome = self.network.add(&new.0, &new.1).await;
                if outcome.is_err() {
                    // The kernel wants no such address; the old one is better than none.
                    let _ = self.network.add(&old.0, &old.1).await;
                }
            }
            let change = "a virtual address is not as configured";
            failures.extend(outcome.err().map(|error| (change, error)));
            has_changed = true;
        }
        let stays =
            |owned: &std::net::IpAddr| entries.iter().any(|(_, entry)| entry.address == *owned);
        self.units[at].owned.retain(stays);
        let name = self.units[at].name().to_owned();
        for (change, error) in failures {
            self.network_failed(&name, change, &error);
        }
        if !added.is_empty() || has_changed {
            self.announce(at, Burst::Full);
        }
    }
}
