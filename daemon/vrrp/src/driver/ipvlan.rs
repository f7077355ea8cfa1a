//! `use_ipvlan`: interfaces that advertisements leave by, made and kept as those of virtual MACs are.

use config::keepalived::Ipvlan;
use protocol::{EventKind, EventSeverity};

use super::Driver;

impl Driver {
    /// Sees that the ipvlans of all instances are there; removes those that no instance has any more.
    pub(super) async fn keep_ipvlans(&mut self) {
        let wanted: Vec<(usize, Ipvlan, String)> = self
            .units
            .iter()
            .enumerate()
            .filter_map(|(at, unit)| {
                let ipvlan = unit.config.addressing.ipvlan.clone()?;
                Some((at, ipvlan, unit.config.interface.clone()))
            })
            .collect();
        let is_gone = |(ipvlan, base): &(Ipvlan, String)| {
            !wanted
                .iter()
                .any(|(_, one, below)| one == ipvlan && below == base)
        };
        let (gone, kept) = std::mem::take(&mut self.borrowed.ipvlans)
            .into_iter()
            .partition(is_gone);
        self.borrowed.ipvlans = kept;
        self.remove_ipvlans(gone).await;
        for (at, ipvlan, base) in wanted {
            if let Err(why) = self.keep_ipvlan(&ipvlan, &base).await {
                let unit = &mut self.units[at];
                let name = unit.name().to_owned();
                let change = format!("{} is missing", ipvlan.name);
                if unit.troubles.insert(change.clone(), why.clone()) != Some(why.clone()) {
                    self.event(EventSeverity::Alert, EventKind::Other, &name, &change, &why);
                }
            }
        }
    }

    async fn keep_ipvlan(&mut self, ipvlan: &Ipvlan, base: &str) -> Result<(), String> {
        let Some(below) = self.network.view.get(base).map(|found| found.index) else {
            return Err(format!("{base} does not exist"));
        };
        let there = self.network.view.get(&ipvlan.name);
        if let Some(found) = there
            && (!found.is_ipvlan || found.below != Some(below))
        {
            return Err(format!(
                "an interface {} that is no ipvlan above {base} exists already",
                ipvlan.name
            ));
        }
        let has_address = |(address, _)| self.network.has(&ipvlan.name, address);
        if !there.is_some_and(|found| found.up) || !ipvlan.address.is_none_or(has_address) {
            let made = self.network.add_ipvlan(ipvlan, base).await;
            made.map_err(|error| error.to_string())?;
        }
        if !self.borrowed.ipvlans.iter().any(|(one, _)| one == ipvlan) {
            self.borrowed
                .ipvlans
                .push((ipvlan.clone(), base.to_owned()));
        }
        Ok(())
    }

    /// Takes ipvlans off the node.
    pub(super) async fn remove_ipvlans(&mut self, gone: Vec<(Ipvlan, String)>) {
        for (ipvlan, _) in gone {
            if let Err(error) = self.network.remove_ipvlan(&ipvlan).await {
                self.network_failed(&ipvlan.name, "an ipvlan is still here", &error);
            }
        }
    }
}
