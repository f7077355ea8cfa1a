//! The kernel's interfaces and addresses, by rtnetlink: seen, watched, and changed.

mod culprit;
mod encap;
mod filter;
mod ipvlan;
mod lifetime;
mod routes;
mod vmac;

pub(crate) use culprit::{Culprit, Removals, suspects};
pub(crate) use vmac::Setting;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::{FOREVER, KEEPALIVED_PROTOCOL, VirtualAddress};
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoPortKind, InfoVrf,
    LinkAttribute, LinkFlags, LinkInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest that an answer of the kernel is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the kernel's tables could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// No netlink socket.
    #[error("netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused.
    #[error("{what}: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// Its answer.
        why: std::io::Error,
    },
    /// The kernel did not answer.
    #[error("{0}: no answer from the kernel")]
    Silent(String),
    /// There is no interface of this name.
    #[error("interface {0} does not exist")]
    NoInterface(String),
    /// There is no VRF of this name.
    #[error("{0} is no VRF that exists")]
    NoVrf(String),
}

impl NetworkError {
    /// Whether the kernel refused with one of these error numbers.
    fn is_one_of(&self, numbers: &[i32]) -> bool {
        match self {
            Self::Refused { why, .. } => why
                .raw_os_error()
                .is_some_and(|number| numbers.contains(&number)),
            _ => false,
        }
    }
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix_length: u8,
    /// Seconds after which the kernel removes it.
    pub lifetime: Option<u32>,
}

/// An interface as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its number.
    pub index: u32,
    /// An administrator set it up.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// Its Ethernet address, if it has one.
    pub hardware: Option<[u8; sys::packet::ETHERNET_BYTES]>,
    /// The interface below it, of a VLAN or a virtual MAC.
    pub below: Option<u32>,
    /// The number of the VRF that it is in.
    pub vrf: Option<u32>,
    /// Its routing table, if it is a VRF itself.
    pub table: Option<u32>,
    /// It is an ipvlan.
    pub is_ipvlan: bool,
    /// It forwards packets of IPv6.
    pub forwards_ipv6: bool,
    /// Its settings of IPv4, as sysctl shows them.
    pub ipv4: Option<InetDevConf>,
    /// Why it does not count as up although it is.
    pub held: Option<String>,
    /// Its addresses in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// The table of a VRF (IFLA_VRF_TABLE).
fn vrf_table(about: &LinkInfo) -> Option<u32> {
    let LinkInfo::Data(InfoData::Vrf(settings)) = about else {
        return None;
    };
    settings.iter().find_map(|one| match one {
        InfoVrf::TableId(table) => Some(*table),
        _ => None,
    })
}

/// All interfaces by name, as of the last [`Network::refresh`].
pub(crate) type View = HashMap<String, Interface>;

/// The door to the kernel's tables.
pub(crate) struct Network {
    handle: Handle,
    tasks: Vec<JoinHandle<()>>,
    changed: mpsc::Sender<()>,
    watches_routes: bool,
    /// Addresses whose packets are dropped.
    pub filter: filter::Filter,
    /// Who removed what.
    pub removals: Removals,
    /// As of the last refresh.
    pub view: View,
}

impl Network {
    /// Opens netlink; `changed` gets a word (at most one waits) whenever a link or an address changed.
    pub(crate) fn open(changed: mpsc::Sender<()>) -> Result<Self, NetworkError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let (watcher, watch_handle, mut messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ])?;
        let changes = changed.clone();
        let removals = Removals::default();
        let noted = removals.clone();
        let watch = async move {
            // The connection ends with its last handle.
            let _watch_handle = watch_handle;
            while let Some((message, _)) = messages.next().await {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(removed)) =
                    &message.payload
                {
                    noted.note(local_address(removed), message.header.port_number);
                }
                // A full queue holds a word already.
                let _ = changes.try_send(());
            }
        };
        let tasks = vec![
            tokio::spawn(connection),
            tokio::spawn(watcher),
            tokio::spawn(watch),
        ];
        Ok(Self {
            handle,
            tasks,
            changed,
            watches_routes: false,
            filter: filter::Filter::default(),
            removals,
            view: View::new(),
        })
    }

    /// From now on a word comes also when a route of ours or a rule was removed. Nobody else needs to hear of each route.
    pub(crate) fn watch_routes(&mut self) -> Result<(), NetworkError> {
        if self.watches_routes {
            return Ok(());
        }
        let (watcher, watch_handle, mut messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
        ])?;
        let changes = self.changed.clone();
        let noted = self.removals.clone();
        let watch = async move {
            let _watch_handle = watch_handle;
            while let Some((message, _)) = messages.next().await {
                let ours = match &message.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(route)) => {
                        u8::from(route.header.protocol) == KEEPALIVED_PROTOCOL
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRule(_)) => true,
                    _ => false,
                };
                if ours {
                    noted.note(None, message.header.port_number);
                    let _ = changes.try_send(());
                }
            }
        };
        self.tasks.push(tokio::spawn(watcher));
        self.tasks.push(tokio::spawn(watch));
        self.watches_routes = true;
        Ok(())
    }

    /// Reads all links and addresses anew.
    pub(crate) async fn refresh(&mut self) -> Result<(), NetworkError> {
        let what = "reading interfaces";
        let handle = self.handle.clone();
        let view = in_time(what, async move {
            let mut view = View::new();
            let mut names = HashMap::new();
            let mut links = handle.link().get().execute();
            while let Some(link) = links.try_next().await? {
                let index = link.header.index;
                let mut interface = Interface {
                    index,
                    up: link.header.flags.contains(LinkFlags::Up),
                    running: link.header.flags.contains(LinkFlags::Running),
                    hardware: None,
                    below: None,
                    vrf: None,
                    table: None,
                    is_ipvlan: false,
                    forwards_ipv6: false,
                    ipv4: None,
                    held: None,
                    addresses: Vec::new(),
                };
                let mut name = None;
                let mut above = None;
                let mut in_vrf = false;
                for attribute in link.attributes {
                    match attribute {
                        LinkAttribute::IfName(text) => name = Some(text),
                        LinkAttribute::Address(bytes) => interface.hardware = bytes.try_into().ok(),
                        LinkAttribute::Link(below) => interface.below = Some(below),
                        LinkAttribute::Controller(index) => above = Some(index),
                        LinkAttribute::LinkInfo(about) => {
                            interface.is_ipvlan = about.contains(&LinkInfo::Kind(InfoKind::IpVlan));
                            in_vrf = about.contains(&LinkInfo::PortKind(InfoPortKind::Vrf));
                            interface.table = about.iter().find_map(vrf_table);
                        }
                        LinkAttribute::AfSpecUnspec(settings) => interface.learn(settings),
                        _ => {}
                    }
                }
                interface.vrf = above.filter(|_| in_vrf);
                if let Some(name) = name {
                    names.insert(index, name.clone());
                    view.insert(name, interface);
                }
            }
            let mut addresses = handle.address().get().execute();
            while let Some(message) = addresses.try_next().await? {
                let Some(interface) = names
                    .get(&message.header.index)
                    .and_then(|name| view.get_mut(name))
                else {
                    continue;
                };
                if let Some(address) = local_address(&message) {
                    let prefix_length = message.header.prefix_len;
                    interface.addresses.push(InterfaceAddress {
                        address,
                        prefix_length,
                        lifetime: lifetime::lifetime(&message.attributes),
                    });
                }
            }
            for interface in view.values_mut() {
                interface.addresses.shrink_to_fit();
            }
            Ok(view)
        })
        .await?;
        self.view = view;
        Ok(())
    }

    /// Whether a virtual address is on `device`.
    pub(crate) fn has(&self, device: &str, address: IpAddr) -> bool {
        self.view
            .get(device)
            .is_some_and(|interface| interface.addresses.iter().any(|own| own.address == address))
    }

    /// Puts a virtual address on `device`; one that is there already is good.
    pub(crate) async fn add(
        &self,
        device: &str,
        address: &VirtualAddress,
    ) -> Result<(), NetworkError> {
        let message = self.message(device, address)?;
        let what = format!(
            "adding {}/{} to {device}",
            address.address, address.prefix_length
        );
        let mut request = self
            .handle
            .address()
            .add(0, address.address, address.prefix_length);
        *request.message_mut() = message;
        match in_time(&what, request.execute()).await {
            Err(error) if error.is_one_of(&[EEXIST]) => {
                match self.is_passing(device, address.address) {
                    true => self.set_lifetime(device, address, None).await,
                    false => Ok(()),
                }
            }
            other => other,
        }
    }

    /// Takes a virtual address off `device`; one that is not there is good.
    pub(crate) async fn remove(
        &self,
        device: &str,
        address: &VirtualAddress,
    ) -> Result<(), NetworkError> {
        let mut message = match self.message(device, address) {
            Ok(message) => message,
            Err(NetworkError::NoInterface(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        // The kernel compares what is given: only address and prefix are ours to know.
        message.attributes.retain(|attribute| {
            matches!(
                attribute,
                AddressAttribute::Local(_) | AddressAttribute::Address(_)
            )
        });
        if let Some(there) = self.view.get(device).and_then(|interface| {
            interface
                .addresses
                .iter()
                .find(|own| own.address == address.address)
        }) {
            message.header.prefix_len = there.prefix_length;
        }
        let what = format!(
            "removing {}/{} from {device}",
            address.address, address.prefix_length
        );
        match in_time(&what, self.handle.address().del(message).execute()).await {
            Err(error) if error.is_one_of(&[EADDRNOTAVAIL, ENODEV]) => Ok(()),
            other => other,
        }
    }

    fn message(
        &self,
        device: &str,
        address: &VirtualAddress,
    ) -> Result<AddressMessage, NetworkError> {
        let interface = self
            .view
            .get(device)
            .ok_or_else(|| NetworkError::NoInterface(device.to_owned()))?;
        let mut message = AddressMessage::default();
        message.header.index = interface.index;
        message.header.prefix_len = address.prefix_length;
        message.header.scope = AddressScope::from(address.scope);
        message.header.family = match address.address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message
            .attributes
            .push(AddressAttribute::Local(address.address));
        message.attributes.push(AddressAttribute::Address(
            address.peer.unwrap_or(address.address),
        ));
        if let Some(broadcast) = address.broadcast {
            message
                .attributes
                .push(AddressAttribute::Broadcast(broadcast));
        }
        if let Some(label) = &address.label {
            message
                .attributes
                .push(AddressAttribute::Label(label.clone()));
        }
        if address.flags != 0 {
            let flags = AddressFlags::from_bits_retain(address.flags);
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        // The kernel deprecates addresses of IPv6 alone.
        if address.address.is_ipv6() && address.preferred_lft != FOREVER {
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_preferred = address.preferred_lft;
            lifetimes.ifa_valid = FOREVER;
            message
                .attributes
                .push(AddressAttribute::CacheInfo(lifetimes));
        }
        Ok(message)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Interface {
    /// Takes what the kernel tells of its settings.
    fn learn(&mut self, settings: Vec<AfSpecUnspec>) {
        for family in settings {
            match family {
                AfSpecUnspec::Inet(inet) => {
                    let found = inet.into_iter().find_map(|one| match one {
                        AfSpecInet::DevConf(settings) => Some(settings),
                        _ => None,
                    });
                    self.ipv4 = found.or(self.ipv4.take());
                }
                AfSpecUnspec::Inet6(inet6) => {
                    self.forwards_ipv6 = inet6.iter().any(|one| {
                        matches!(one, AfSpecInet6::DevConf(settings) if settings.forwarding != 0)
                    });
                }
                _ => {}
            }
        }
    }

    /// The first IPv4 address that `is_virtual` does not claim.
    pub(crate) fn primary(&self, is_virtual: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let mut all = self.addresses.iter().map(|own| own.address);
        all.find(|address| address.is_ipv4() && !is_virtual(*address))
    }

    /// The first link-local IPv6 address that `is_virtual` does not claim (RFC 5798 5.1.2.2).
    pub(crate) fn link_local(&self, is_virtual: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let is_link_local =
            |address: &IpAddr| matches!(address, IpAddr::V6(own) if own.is_unicast_link_local());
        let mut all = self.addresses.iter().map(|own| own.address);
        all.find(|address| is_link_local(address) && !is_virtual(*address))
    }
}

/// The kernel's numbers for: there already, no such address, no such device.
const EEXIST: i32 = 17;
const EADDRNOTAVAIL: i32 = 99;
const ENODEV: i32 = 19;

fn refused(what: &str, error: rtnetlink::Error) -> NetworkError {
    let why = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => std::io::Error::other(other.to_string()),
    };
    NetworkError::Refused {
        what: what.to_owned(),
        why,
    }
}

async fn in_time<T>(
    what: &str,
    work: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NetworkError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
        Ok(outcome) => outcome.map_err(|error| refused(what, error)),
        Err(_) => Err(NetworkError::Silent(what.to_owned())),
    }
}

fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |local: bool| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) if local => Some(*address),
                AddressAttribute::Address(address) if !local => Some(*address),
                _ => None,
            })
    };
    // On point-to-point links the one is ours and the other the peer's.
    find(true).or_else(|| find(false))
}
