//! Takes virtual addresses off this node when no vrrp process is there to do it.

use config::keepalived::KeepalivedConfig;
use tokio::sync::mpsc;

use crate::driver::lines;
use crate::network::Network;

/// Priority of an address owner, whose addresses are the interface's own (RFC 9568 1.7).
const OWNER: u8 = 255;

/// Removes what a crash left of a configuration's addresses, routes and rules, and tells which: `10.0.0.1/24 from eth0`. Owners' stay.
///
/// Wants a tokio runtime and CAP_NET_ADMIN.
pub async fn remove_addresses(config: &KeepalivedConfig) -> Result<Vec<String>, String> {
    let (changed, _changes) = mpsc::channel(1);
    let mut network = Network::open(changed).map_err(|error| error.to_string())?;
    network.refresh().await.map_err(|error| error.to_string())?;
    let mut removed = Vec::new();
    let mut failures = Vec::new();
    let all = config.instances.iter();
    let foreign = all.filter(|instance| instance.priority != OWNER);
    let mut routing = vec![(&config.statics.routes, &config.statics.rules)];
    let addressings = foreign.clone().map(|instance| &instance.addressing);
    routing.extend(addressings.map(|one| (&one.routes, &one.rules)));
    for (routes, rules) in routing {
        for line in lines(routes, rules).into_iter().rev() {
            match line.remove(&network).await {
                Ok(true) => removed.push(line.title()),
                Ok(false) => {}
                Err(error) => failures.push(error.to_string()),
            }
        }
    }
    for (vmac, ..) in foreign.clone().flat_map(|one| one.vmacs()) {
        match network.remove_vmac(vmac).await {
            Ok(true) => removed.push(format!("interface {}", vmac.name)),
            Ok(false) => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    for ipvlan in foreign
        .clone()
        .filter_map(|one| one.addressing.ipvlan.as_ref())
    {
        match network.remove_ipvlan(ipvlan).await {
            Ok(true) => removed.push(format!("interface {}", ipvlan.name)),
            Ok(false) => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    let of_instances = foreign.flat_map(|instance| {
        let entries = instance.virtual_addresses.iter();
        entries
            .chain(&instance.excluded_addresses)
            .map(move |entry| (instance.interface.as_str(), entry))
    });
    let statics = config.statics.addresses.iter().map(|entry| ("", entry));
    for (interface, address) in of_instances.chain(statics) {
        let device = address.device.as_deref().unwrap_or(interface);
        // What was kept for the next daemon goes by itself.
        if !network.has(device, address.address) || network.is_passing(device, address.address) {
            continue;
        }
        match network.remove(device, address).await {
            Ok(()) => removed.push(format!(
                "{}/{} from {device}",
                address.address, address.prefix_length
            )),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() {
        Ok(removed)
    } else {
        Err(failures.join("; "))
    }
}
