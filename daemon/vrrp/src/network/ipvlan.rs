//! Interfaces of `use_ipvlan`, by rtnetlink; and what they have in common with those of virtual MACs.

use config::keepalived::{Ipvlan, IpvlanMode, VirtualAddress};
use netlink_packet_route::link::{IpVlanFlags, IpVlanMode, LinkMessage};
use rtnetlink::{LinkIpVlan, LinkUnspec};

use super::{EEXIST, ENODEV, Network, NetworkError, in_time};

impl Network {
    /// Makes an ipvlan above `base`, gives it its address and sets it up; what is there already is good.
    pub(crate) async fn add_ipvlan(
        &mut self,
        ipvlan: &Ipvlan,
        base: &str,
    ) -> Result<(), NetworkError> {
        let what = format!("making {} above {base}", ipvlan.name);
        let flags = match ipvlan.mode {
            IpvlanMode::Bridge => IpVlanFlags::empty(),
            IpvlanMode::Private => IpVlanFlags::Private,
            IpvlanMode::Vepa => IpVlanFlags::Vepa,
        };
        let message = LinkIpVlan::new(&ipvlan.name, self.index(base)?, IpVlanMode::L2)
            .flag(flags)
            .build();
        let index = self.make_above(&what, message, &ipvlan.name, base).await?;
        let up = LinkUnspec::new_with_index(index).up().build();
        in_time(&what, self.handle.link().set(up).execute()).await?;
        if let Some((address, prefix_length)) = ipvlan.address {
            let mut entry = VirtualAddress::new(address, prefix_length, config::Span::default());
            // Nothing else shall leave with it.
            entry.preferred_lft = 0;
            self.add(&ipvlan.name, &entry).await?;
        }
        self.refresh().await
    }

    /// Makes the interface `own` above `base` and puts it into the VRF of that; what is there already is good. Gives its index.
    pub(super) async fn make_above(
        &mut self,
        what: &str,
        message: LinkMessage,
        own: &str,
        base: &str,
    ) -> Result<u32, NetworkError> {
        match in_time(what, self.handle.link().add(message).execute()).await {
            Err(error) if error.is_one_of(&[EEXIST]) => {}
            other => other?,
        }
        self.refresh().await?;
        self.join_vrf(own, base).await?;
        self.index(own)
    }

    /// Removes an interface of ours; false if it was gone already.
    pub(super) async fn remove_link(&self, name: &str, index: u32) -> Result<bool, NetworkError> {
        let what = format!("removing {name}");
        match in_time(&what, self.handle.link().del(index).execute()).await {
            Err(error) if error.is_one_of(&[ENODEV]) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Puts an interface of ours into the VRF of the one below, as of the last refresh.
    pub(crate) async fn join_vrf(&self, own: &str, base: &str) -> Result<(), NetworkError> {
        let vrf = |name: &str| self.view.get(name).and_then(|found| found.vrf);
        let Some(wanted) = vrf(base).filter(|wanted| vrf(own) != Some(*wanted)) else {
            return Ok(());
        };
        let message = LinkUnspec::new_with_index(self.index(own)?)
            .controller(wanted)
            .build();
        let what = format!("putting {own} into the VRF of {base}");
        in_time(&what, self.handle.link().set(message).execute()).await
    }

    /// Removes an ipvlan with its addresses; false if it was not there.
    pub(crate) async fn remove_ipvlan(&self, ipvlan: &Ipvlan) -> Result<bool, NetworkError> {
        let Some(found) = self.view.get(&ipvlan.name).filter(|found| found.is_ipvlan) else {
            return Ok(false);
        };
        self.remove_link(&ipvlan.name, found.index).await
    }
}
