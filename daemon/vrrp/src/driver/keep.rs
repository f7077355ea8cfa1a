//! `--keep-addresses`: the end of the daemon leaves its addresses for the next one.
//!
//! The kernel keeps the record: a kept address has a lifetime, shorter than any other router waits before it takes over. The
//! next daemon sees that and goes on as master; if none comes, the kernel itself removes the address in time.

use std::time::Duration;

use protocol::{EventKind, EventSeverity};

use super::Driver;
use crate::core::OWNER;

/// Intervals of silence that every other router waits for.
const SILENT_INTERVALS: u32 = 3;
/// No daemon starts again in less, and the kernel counts in seconds.
const LEAST: Duration = Duration::from_secs(1);

impl Driver {
    /// Leaves the addresses of a master for the next daemon; false if it must resign.
    pub(super) async fn keep(&mut self, at: usize) -> bool {
        let unit = &self.units[at];
        if !unit.core.is_active() || unit.core.is_handing_over() {
            return false;
        }
        let name = unit.name().to_owned();
        let lifetime = unit.config.advert_int * SILENT_INTERVALS;
        let addressing = &unit.config.addressing;
        let obstacle = if unit.config.priority == OWNER {
            Some("it owns them")
        } else if lifetime < LEAST {
            Some("others would take over in less than a second")
        } else if unit.config.vmacs().next().is_some() {
            Some("its virtual MAC goes with the daemon")
        } else if addressing.ipvlan.is_some() {
            Some("its ipvlan goes with the daemon")
        } else if !addressing.routes.is_empty() || !addressing.rules.is_empty() {
            Some("it has routes or rules, which nobody would remove")
        } else {
            None
        };
        let (severity, kind) = (EventSeverity::Notice, EventKind::Other);
        if let Some(obstacle) = obstacle {
            self.event(severity, kind, &name, "addresses not kept", obstacle);
            return false;
        }
        // The last word: the others' patience begins anew.
        let priority = self.units[at].core.effective_priority();
        self.advertise(at, priority);
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        for (device, entry) in self.units[at].entries() {
            let outcome = self.network.set_lifetime(&device, &entry, Some(seconds));
            if let Err(error) = outcome.await {
                self.network_failed(&name, "addresses not kept", &error);
                return false;
            }
        }
        let reason = format!("--keep-addresses: without a next daemon they go after {seconds} s");
        self.event(severity, kind, &name, "addresses kept", &reason);
        self.units[at].kept = true;
        true
    }

    /// Takes over what the last daemon kept; false if it kept nothing of this unit.
    pub(super) fn take_kept(&mut self, at: usize) -> bool {
        let unit = &self.units[at];
        let lifetimes = unit.addresses().map(|(device, entry)| {
            let own = self.network.view.get(device)?.addresses.iter();
            let mut own = own.filter(|own| own.address == entry.address);
            own.next()?.lifetime
        });
        // All of them, or it was something else.
        let Some(shortest) = lifetimes.min().flatten() else {
            return false;
        };
        let now = self.now();
        let name = self.units[at].name().to_owned();
        self.units[at]
            .core
            .resume(now + Duration::from_secs(shortest.into()));
        let reason = format!("the last daemon left them for this one, {shortest} s remain");
        let (severity, kind) = (EventSeverity::Notice, EventKind::AddressReclaimed);
        self.event(severity, kind, &name, "addresses taken over", &reason);
        true
    }
}
