//! `use_vmac` of single addresses and `use_vmac_addr`: which virtual MACs they need, and what their interfaces are called.

use std::collections::BTreeSet;

use super::addressing::{Announcing, Vmac};
use super::model::VrrpInstance;

impl Vmac {
    /// One that is asked for; [`assign`] gives it its name and address.
    pub(super) fn wanted() -> Self {
        Self {
            name: String::new(),
            hardware: [0; 6],
            transmit_base: true,
        }
    }
}

impl VrrpInstance {
    /// All its virtual MACs with the interfaces below, the instance's own first.
    pub fn vmacs(&self) -> impl Iterator<Item = (&Vmac, &str, bool)> {
        let own = self.addressing.vmac.iter();
        let own = own.map(|vmac| (vmac, self.interface.as_str(), self.is_ipv6()));
        let entries = self
            .virtual_addresses
            .iter()
            .chain(&self.excluded_addresses);
        own.chain(entries.filter_map(|entry| {
            let below = entry.device.as_deref().unwrap_or(&self.interface);
            Some((entry.vmac.as_deref()?, below, entry.address.is_ipv6()))
        }))
    }
}

/// Gives every address that needs a virtual MAC of its own one, shared with those of its interface and family. Their names
/// are those that keepalived 2.2.7 makes: `vrrp.VRID`, `vrrp6.VRID`, then `vrrp1.VRID` and so on.
pub(super) fn assign(instances: &mut [VrrpInstance], announcing: &Announcing) {
    let own = instances
        .iter()
        .filter_map(|one| one.addressing.vmac.as_ref());
    let mut taken: BTreeSet<String> = own.map(|vmac| vmac.name.clone()).collect();
    let prefix = announcing.vmac_addr_prefix.as_ref();
    let prefix = prefix.unwrap_or(&announcing.vmac_prefix);
    for instance in instances {
        let (ipv6, vrid) = (instance.is_ipv6(), instance.virtual_router_id);
        let (interface, addressing) = (&instance.interface, &instance.addressing);
        let mut made: Vec<(String, bool, Vmac)> = Vec::new();
        let entries = instance.virtual_addresses.iter_mut();
        for entry in entries.chain(&mut instance.excluded_addresses) {
            let device = entry.device.as_ref().unwrap_or(interface);
            let family = entry.address.is_ipv6();
            let is_main = device == interface && family == ipv6;
            let is_wanted = entry.vmac.is_some() || (addressing.use_vmac_addr && !is_main);
            entry.vmac = None;
            if !is_wanted || (is_main && addressing.vmac.is_some()) {
                continue;
            }
            let known = made
                .iter()
                .find(|(one, kind, _)| one == device && *kind == family);
            let vmac = match known {
                Some((_, _, vmac)) => vmac.clone(),
                None => {
                    let first = if family { "6" } else { "" };
                    let numbers = (1..=u8::MAX).map(|number| number.to_string());
                    let mut names = std::iter::once(first.to_owned())
                        .chain(numbers)
                        .map(|number| format!("{prefix}{number}.{vrid}"));
                    let Some(name) = names.find(|name| !taken.contains(name)) else {
                        continue;
                    };
                    taken.insert(name.clone());
                    let vmac = Vmac {
                        name,
                        hardware: [0, 0, 0x5e, 0, if family { 2 } else { 1 }, vrid],
                        transmit_base: true,
                    };
                    made.push((device.clone(), family, vmac.clone()));
                    vmac
                }
            };
            entry.vmac = Some(Box::new(vmac));
        }
    }
}
