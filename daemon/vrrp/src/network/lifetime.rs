//! Addresses that the kernel removes by itself after a time.

use config::keepalived::VirtualAddress;
use netlink_packet_route::address::{AddressAttribute, CacheInfo};

use super::{Network, NetworkError, in_time};

/// The kernel's word for no end.
const FOREVER: u32 = u32::MAX;

/// The seconds after which the kernel removes an address, if it does.
pub(super) fn lifetime(attributes: &[AddressAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(info) if info.ifa_valid != FOREVER => Some(info.ifa_valid),
        _ => None,
    })
}

impl Network {
    /// Gives an address that is there a lifetime in seconds, or none.
    pub(crate) async fn set_lifetime(
        &self,
        device: &str,
        address: &VirtualAddress,
        seconds: Option<u32>,
    ) -> Result<(), NetworkError> {
        let mut message = self.message(device, address)?;
        let seconds = seconds.unwrap_or(FOREVER);
        let mut info = CacheInfo::default();
        (info.ifa_valid, info.ifa_preferred) = (seconds, seconds);
        message.attributes.push(AddressAttribute::CacheInfo(info));
        let what = format!(
            "setting the lifetime of {}/{} on {device}",
            address.address, address.prefix_length
        );
        let mut request = self
            .handle
            .address()
            .add(0, address.address, address.prefix_length)
            .replace();
        *request.message_mut() = message;
        in_time(&what, request.execute()).await
    }

    /// Whether the kernel will remove this address by itself.
    pub(crate) fn is_passing(&self, device: &str, address: std::net::IpAddr) -> bool {
        let found = self.view.get(device);
        let mut own = found.into_iter().flat_map(|interface| &interface.addresses);
        own.any(|own| own.address == address && own.lifetime.is_some())
    }
}
