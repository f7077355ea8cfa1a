//! What a new definition changes of an instance that goes on: its addresses, one by one.

use config::Word;
use config::keepalived::{Addressing, VirtualAddress, VrrpInstance};

use super::Driver;
use super::unit::Entry;
use crate::core::{Burst, OWNER};

/// A line for each field: what must be so for two definitions to be one virtual router, on the wire and on this node. What
/// [`follows`] may change while the instance keeps its state: a reload that changes a password or an interval must not cost
/// the address. All else begins the instance anew. A field without a line does not compile.
macro_rules! one_router {
    ($($field:ident => $rule:ident,)*) => {
        /// Whether two definitions are one virtual router.
        pub(super) fn same_router(one: &VrrpInstance, other: &VrrpInstance) -> bool {
            let VrrpInstance { $($field),* } = one;
            $($rule($field, &other.$field))&&*
        }
    };
}

one_router! {
    addressing => same_vmac,
    advert_int => follows,
    auth_hmac => follows,
    authentication => follows,
    checksum => follows,
    dont_track_primary => follows,
    down_timer_adverts => follows,
    excluded_addresses => follows,
    garp_master_delay => follows,
    garp_master_refresh => follows,
    garp_master_refresh_repeat => follows,
    garp_master_repeat => follows,
    group => follows,
    higher_prio_send_advert => follows,
    interface => unchanged,
    lower_prio_no_advert => follows,
    name => same_name,
    nopreempt => follows,
    notify => follows,
    peer_ttls => follows,
    places => follows,
    preempt_delay => follows,
    priority => same_ownership,
    skip_check_adv_addr => follows,
    smtp_alert => follows,
    source_address => unchanged,
    span => follows,
    state => follows,
    strict => unchanged,
    timer_expired_backup => follows,
    track_src_ip => follows,
    tracks => follows,
    unicast_fault_no_peer => follows,
    unicast_peers => follows,
    unicast_ttl => follows,
    version => unchanged,
    virtual_addresses => same_family,
    virtual_router_id => unchanged,
}

fn follows<T>(_: &T, _: &T) -> bool {
    true
}

fn unchanged<T: PartialEq>(one: &T, other: &T) -> bool {
    one == other
}

fn same_name(one: &Word, other: &Word) -> bool {
    one.text == other.text
}

/// The owner does not elect.
fn same_ownership(one: &u8, other: &u8) -> bool {
    (*one == OWNER) == (*other == OWNER)
}

/// As [`VrrpInstance::is_ipv6`]; the addresses themselves follow.
fn same_family(one: &[VirtualAddress], other: &[VirtualAddress]) -> bool {
    let is_ipv6 = |all: &[VirtualAddress]| all.first().is_some_and(|one| one.address.is_ipv6());
    is_ipv6(one) == is_ipv6(other)
}

/// Another interface, or another address on the wire; routes, rules and announcements follow.
fn same_vmac(one: &Addressing, other: &Addressing) -> bool {
    one.vmac == other.vmac && one.ipvlan == other.ipvlan
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
