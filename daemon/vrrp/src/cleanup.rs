//! Takes virtual addresses off this node when no vrrp process is there to do it.

use config::keepalived::KeepalivedConfig;
use tokio::sync::mpsc;

use crate::network::Network;

/// Priority of an address owner, whose addresses are the interface's own (RFC 9568 1.7).
const OWNER: u8 = 255;

/// Removes what a crash left of a configuration's addresses, and tells which: `10.0.0.1/24 from eth0`. Owners' addresses stay.
///
/// Wants a tokio runtime and CAP_NET_ADMIN.
pub async fn remove_addresses(config: &KeepalivedConfig) -> Result<Vec<String>, String> {
    let (changed, _changes) = mpsc::channel(1);
    let mut network = Network::open(changed).map_err(|error| error.to_string())?;
    network.refresh().await.map_err(|error| error.to_string())?;
    let mut removed = Vec::new();
    let mut failures = Vec::new();
    for instance in config.instances.iter().filter(|instance| instance.priority != OWNER) {
        for address in instance.virtual_addresses.iter().chain(&instance.excluded_addresses) {
            let device = address.device.as_deref().unwrap_or(&instance.interface);
            if !network.has(device, address.address) {
                continue;
            }
            match network.remove(device, address).await {
                Ok(()) => removed.push(format!("{}/{} from {device}", address.address, address.prefix_length)),
                Err(error) => failures.push(error.to_string()),
            }
        }
    }
    if failures.is_empty() { Ok(removed) } else { Err(failures.join("; ")) }
}
