//! `use_vmac` and `promote_secondaries`: interfaces with virtual MACs, and the settings that they need.
//!
//! As keepalived sets them, with one more: `arp_announce` of the interface below, so that the kernel's own ARP
//! requests do not tell the neighbours that a virtual address is at the physical MAC (RFC 5798 8.1.2).

use std::path::{Path, PathBuf};

use config::keepalived::{Ipvlan, Vmac};
use protocol::{EventKind, EventSeverity};

use super::Driver;
use crate::network::Setting;

/// Of the virtual interface: it answers for its own addresses only, and hears neighbours by any way.
const ABOVE: [(Setting, i32); 4] = [
    (Setting::ArpIgnore, 1),
    (Setting::AcceptLocal, 1),
    (Setting::ReversePathFilter, 0),
    (Setting::PromoteSecondaries, 1),
];
/// Of the interface below: it does not answer for the virtual addresses, nor speak in their name.
const BELOW: [(Setting, i32); 3] = [
    (Setting::ArpIgnore, 1),
    (Setting::ArpFilter, 1),
    (Setting::ArpAnnounce, 2),
];
const PROMOTE: [(Setting, i32); 1] = [(Setting::PromoteSecondaries, 1)];

/// Where settings of all interfaces are: netlink changes those of one alone.
const CONF: &str = "/proc/sys/net/ipv4/conf";

/// What we changed and will change back.
#[derive(Default)]
pub(super) struct Borrowed {
    /// Interfaces of virtual MACs that we made, with the one below.
    vmacs: Vec<(Vmac, String)>,
    /// Ipvlans that we made, with the interface below.
    pub(super) ipvlans: Vec<(Ipvlan, String)>,
    /// Settings as they were, by interface.
    settings: Vec<(String, Setting, i32)>,
    /// Files with what was in them.
    files: Vec<(PathBuf, String)>,
}

impl Driver {
    /// Sees that the interfaces of all virtual MACs are there; removes those that no instance has any more.
    pub(super) async fn keep_vmacs(&mut self) {
        let mut wanted: Vec<(usize, Vmac, String, bool)> = Vec::new();
        for (at, unit) in self.units.iter().enumerate() {
            for (vmac, below, ipv6) in unit.config.vmacs() {
                if !wanted.iter().any(|(_, known, ..)| known == vmac) {
                    wanted.push((at, vmac.clone(), below.to_owned(), ipv6));
                }
            }
        }
        let gone = |(vmac, base): &(Vmac, String)| {
            !wanted
                .iter()
                .any(|(_, one, below, _)| one == vmac && below == base)
        };
        let (gone, kept) = std::mem::take(&mut self.borrowed.vmacs)
            .into_iter()
            .partition(gone);
        self.borrowed.vmacs = kept;
        self.remove_vmacs(gone).await;
        for (at, vmac, base, ipv6) in wanted {
            if let Err(why) = self.keep_vmac(&vmac, &base, ipv6).await {
                let unit = &mut self.units[at];
                let name = unit.name().to_owned();
                let change = format!("{} is missing", vmac.name);
                if unit.troubles.insert(change.clone(), why.clone()) != Some(why.clone()) {
                    self.event(EventSeverity::Alert, EventKind::Other, &name, &change, &why);
                }
            }
        }
        self.keep_ipvlans().await;
        for at in 0..self.units.len() {
            let config = &self.units[at].config;
            // A virtual MAC's interface has it anyway.
            if config.addressing.promote_secondaries && config.addressing.vmac.is_none() {
                let interface = config.interface.clone();
                if let Err(why) = self.borrow_settings(&interface, &PROMOTE).await {
                    tracing::warn!("{interface}: promote_secondaries is not set: {why}");
                }
            }
        }
    }

    async fn keep_vmac(&mut self, vmac: &Vmac, base: &str, ipv6: bool) -> Result<(), String> {
        let Some(below) = self.network.view.get(base).map(|found| found.index) else {
            return Err(format!("{base} does not exist"));
        };
        let there = self.network.view.get(&vmac.name);
        if let Some(found) = there
            && (found.hardware != Some(vmac.hardware) || found.below != Some(below))
        {
            return Err(format!(
                "an interface {} that is not this virtual MAC's exists already",
                vmac.name
            ));
        }
        if there.is_none_or(|found| !found.up) {
            let settings: &[_] = if ipv6 { &[] } else { &ABOVE };
            let made = self.network.add_vmac(vmac, base, settings).await;
            made.map_err(|error| error.to_string())?;
        }
        if !self.borrowed.vmacs.iter().any(|(known, _)| known == vmac) {
            self.borrowed.vmacs.push((vmac.clone(), base.to_owned()));
        }
        if ipv6 {
            let virtual_addresses = &self.virtual_addresses;
            let own =
                self.network.view.get(base).and_then(|found| {
                    found.link_local(|address| virtual_addresses.contains(&address))
                });
            if let Some(own) = own.filter(|own| !self.network.has(&vmac.name, *own)) {
                let lent = self.network.lend(vmac, own).await;
                lent.map_err(|error| error.to_string())?;
            }
            return Ok(());
        }
        self.borrow_settings(base, &BELOW).await?;
        self.loosen_reverse_path_filter()
    }

    /// Changes settings of an interface until [`Driver::give_back`].
    async fn borrow_settings(
        &mut self,
        device: &str,
        settings: &[(Setting, i32)],
    ) -> Result<(), String> {
        let mut changes = Vec::new();
        for (setting, value) in settings {
            let now = self.network.setting(device, *setting);
            if let Some(now) = now.filter(|now| now != value) {
                changes.push((*setting, *value));
                let known =
                    |(name, one, _): &(String, Setting, i32)| name == device && one == setting;
                if !self.borrowed.settings.iter().any(known) {
                    self.borrowed
                        .settings
                        .push((device.to_owned(), *setting, now));
                }
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let changed = self.network.set(device, &changes).await;
        changed.map_err(|error| error.to_string())?;
        self.network
            .refresh()
            .await
            .map_err(|error| error.to_string())
    }

    /// A reverse path filter of all interfaces would drop what the virtual ones hear: it becomes one of each interface.
    fn loosen_reverse_path_filter(&mut self) -> Result<(), String> {
        let file = |name: &str| Path::new(CONF).join(name).join("rp_filter");
        let read = |path: &Path| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        let all = file("all");
        let value = match read(&all) {
            Ok(value) if value != "0" => value,
            // Without a file there is nothing to change.
            Ok(_) | Err(_) => return Ok(()),
        };
        let explain = |error: std::io::Error| {
            format!(
                "net.ipv4.conf.all.rp_filter is {value} and cannot be set to 0 ({error}): advertisements on virtual MACs \
                 would be dropped; set it for each interface instead"
            )
        };
        let names = std::fs::read_dir(CONF).map_err(explain)?;
        let virtual_ones: Vec<_> = self
            .borrowed
            .vmacs
            .iter()
            .map(|(one, _)| &one.name)
            .collect();
        let mut changes = Vec::new();
        for name in names.flatten() {
            let name = name.file_name().to_string_lossy().into_owned();
            let path = file(&name);
            let own = read(&path).unwrap_or_default();
            if name != "all" && !virtual_ones.contains(&&name) && own < value {
                changes.push((path, own, value.clone()));
            }
        }
        changes.push((all, value.clone(), "0".to_owned()));
        for (path, before, after) in changes {
            std::fs::write(&path, after).map_err(explain)?;
            self.borrowed.files.push((path, before));
        }
        Ok(())
    }

    async fn remove_vmacs(&mut self, gone: Vec<(Vmac, String)>) {
        for (vmac, _) in gone {
            if let Err(error) = self.network.remove_vmac(&vmac).await {
                self.network_failed(&vmac.name, "a virtual interface is still here", &error);
            }
        }
    }

    /// Ends all of it: virtual interfaces go, settings are as they were.
    pub(super) async fn give_back(&mut self) {
        let borrowed = std::mem::take(&mut self.borrowed);
        self.remove_vmacs(borrowed.vmacs).await;
        self.remove_ipvlans(borrowed.ipvlans).await;
        for (device, setting, value) in borrowed.settings {
            if self.network.view.contains_key(&device)
                && let Err(error) = self.network.set(&device, &[(setting, value)]).await
            {
                tracing::warn!("{device}: {setting:?} is not {value} again: {error}");
            }
        }
        for (path, before) in borrowed.files.into_iter().rev() {
            // An interface may be gone.
            let _ = std::fs::write(path, before);
        }
    }
}
