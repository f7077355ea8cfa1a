//! Interfaces with virtual MACs (macvlan), and settings of interfaces, by rtnetlink.

use config::keepalived::{VirtualAddress, Vmac};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage, MacVlanMode,
};
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::{LinkMacVlan, LinkUnspec};

use super::{Network, NetworkError, in_time};

/// A setting of IPv4 of an interface, by the kernel's number (IPV4_DEVCONF_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// `rp_filter`.
    ReversePathFilter = 8,
    /// `arp_filter`.
    ArpFilter = 13,
    /// `arp_announce`.
    ArpAnnounce = 18,
    /// `arp_ignore`.
    ArpIgnore = 19,
    /// `promote_secondaries`.
    PromoteSecondaries = 20,
    /// `accept_local`.
    AcceptLocal = 23,
}

/// IFLA_INET_CONF with NLA_F_NESTED: a list of settings.
const INET_CONF: u16 = 1 | 1 << 15;

impl Network {
    /// The value of a setting, as of the last refresh.
    pub(crate) fn setting(&self, device: &str, setting: Setting) -> Option<i32> {
        let all = self.view.get(device)?.ipv4.as_ref()?;
        Some(match setting {
            Setting::ReversePathFilter => all.rp_filter,
            Setting::ArpFilter => all.arpfilter,
            Setting::ArpAnnounce => all.arp_announce,
            Setting::ArpIgnore => all.arp_ignore,
            Setting::PromoteSecondaries => all.promote_secondaries,
            Setting::AcceptLocal => all.accept_local,
        })
    }

    /// Changes settings of an interface. It needs no file of /proc/sys, which may be read-only.
    pub(crate) async fn set(
        &self,
        device: &str,
        settings: &[(Setting, i32)],
    ) -> Result<(), NetworkError> {
        let message = LinkUnspec::new_with_index(self.index(device)?)
            .append_extra_attribute(inet_settings(settings))
            .build();
        self.change(&format!("settings of {device}"), message).await
    }

    /// Makes the interface of a virtual MAC above `base` and sets it up. It has no addresses of its own.
    pub(crate) async fn add_vmac(
        &mut self,
        vmac: &Vmac,
        base: &str,
        settings: &[(Setting, i32)],
    ) -> Result<(), NetworkError> {
        let what = format!("making {} above {base}", vmac.name);
        let message = LinkMacVlan::new(&vmac.name, self.index(base)?, MacVlanMode::Private)
            .address(vmac.hardware.to_vec())
            .build();
        let index = self.make_above(&what, message, &vmac.name, base).await?;
        // The kernel takes these of an interface that is there already alone.
        let own = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![own]))
            .build();
        // A kernel without IPv6 has nothing to be told.
        if let Err(error) = self.change(&what, message).await {
            tracing::debug!("{}: {error}", vmac.name);
        }
        if !settings.is_empty() {
            self.set(&vmac.name, settings).await?;
        }
        self.change(&what, LinkUnspec::new_with_index(index).up().build())
            .await?;
        self.refresh().await
    }

    /// Gives a virtual MAC's interface the link-local address that advertisements leave with.
    pub(crate) async fn lend(
        &self,
        vmac: &Vmac,
        address: std::net::IpAddr,
    ) -> Result<(), NetworkError> {
        const LINK_LOCAL_BITS: u8 = 64;
        let mut entry = VirtualAddress::new(address, LINK_LOCAL_BITS, config::Span::default());
        // Nothing else shall leave with it.
        entry.preferred_lft = 0;
        self.add(&vmac.name, &entry).await
    }

    /// Removes the interface of a virtual MAC, with its addresses; false if it was not there.
    pub(crate) async fn remove_vmac(&self, vmac: &Vmac) -> Result<bool, NetworkError> {
        let Some(found) = self.view.get(&vmac.name) else {
            return Ok(false);
        };
        if found.hardware != Some(vmac.hardware) || found.below.is_none() {
            return Ok(false);
        }
        self.remove_link(&vmac.name, found.index).await
    }

    async fn change(&self, what: &str, message: LinkMessage) -> Result<(), NetworkError> {
        in_time(what, self.handle.link().set(message).execute()).await
    }
}

/// The settings as the kernel wants to be told: a nested list of numbers and values.
fn inet_settings(settings: &[(Setting, i32)]) -> LinkAttribute {
    let mut bytes = Vec::new();
    for (setting, value) in settings {
        // Length of the whole, number, and the value.
        bytes.extend(8u16.to_ne_bytes());
        bytes.extend((*setting as u16).to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
    }
    let nested = AfSpecInet::Other(DefaultNla::new(INET_CONF, bytes));
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![nested])])
}
