//! `no_accept`: while a router is master, packets to its addresses are dropped unless it owns them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::{EventKind, EventSeverity};

use super::Driver;

impl Driver {
    /// Lets the packet filter follow who is master: before addresses are added, and after they are removed.
    pub(super) fn filter(&mut self) {
        let mut wanted = BTreeSet::new();
        for unit in &self.units {
            if unit.config.addressing.accept || !unit.core.is_active() {
                continue;
            }
            for (device, entry) in unit.addresses() {
                let of_link =
                    matches!(entry.address, IpAddr::V6(own) if own.is_unicast_link_local());
                let index = self.network.view.get(device).map(|found| found.index);
                wanted.insert((entry.address, index.filter(|_| of_link)));
            }
        }
        let table = &self.setup.config.global.life.filter;
        self.network.filter.configure(table);
        let outcome = self.network.filter.set(wanted);
        let failed = outcome.as_ref().err().map(ToString::to_string);
        if let (Some(why), true) = (&failed, self.filter_failed != failed) {
            let names = self
                .units
                .iter()
                .filter(|unit| !unit.config.addressing.accept);
            let names: Vec<_> = names.map(|unit| unit.name().to_owned()).collect();
            let change = "no_accept does not hold: packets to its addresses are accepted";
            for name in names {
                let reason = format!("nftables: {why}");
                self.event(
                    EventSeverity::Alert,
                    EventKind::Other,
                    &name,
                    change,
                    &reason,
                );
            }
        }
        self.filter_failed = failed;
    }
}
