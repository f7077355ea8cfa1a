//! Routes and rules of the kernel, by rtnetlink: the messages that add and remove them.

use std::net::IpAddr;

use config::keepalived::{NextHop, Route, Rule, RuleAction};
use futures_util::StreamExt;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RoutePreference, RouteProtocol, RouteRealm, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{
    RuleAction as KernelAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};

use super::encap;
use super::{EEXIST, ENODEV, Network, NetworkError, in_time};

/// The kernel's numbers for: no such route, no such rule.
const ESRCH: i32 = 3;
const ENOENT: i32 = 2;
/// An attribute of routes, and one of their metrics, that the library has no name for.
const RTA_TTL_PROPAGATE: u16 = 26;
const RTAX_CC_ALGO: u16 = 16;

impl Network {
    /// Adds a route; false if it was there already.
    pub(crate) async fn add_route(&self, route: &Route) -> Result<bool, NetworkError> {
        let message = self.route_message(route)?;
        let what = format!("adding route {}", route.text);
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message));
        // Without NLM_F_EXCL only the very same route is refused, as keepalived and `ip route prepend` do it.
        let order = if route.append { NLM_F_APPEND } else { 0 };
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | order;
        match self.ask(&what, request).await {
            Err(error) if error.is_one_of(&[EEXIST]) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Removes a route; false if it was not there.
    pub(crate) async fn remove_route(&self, route: &Route) -> Result<bool, NetworkError> {
        let message = match self.route_message(route) {
            Ok(message) => message,
            // It went with its interface.
            Err(NetworkError::NoInterface(_) | NetworkError::NoVrf(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let what = format!("removing route {}", route.text);
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::DelRoute(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        match self.ask(&what, request).await {
            Err(error) if error.is_one_of(&[ESRCH, ENOENT, ENODEV]) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Adds a rule; false if it was there already.
    pub(crate) async fn add_rule(&self, rule: &Rule) -> Result<bool, NetworkError> {
        let what = format!("adding rule {}", rule.text);
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule_message(rule);
        match in_time(&what, request.execute()).await {
            Err(error) if error.is_one_of(&[EEXIST]) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Removes a rule; false if it was not there.
    pub(crate) async fn remove_rule(&self, rule: &Rule) -> Result<bool, NetworkError> {
        let what = format!("removing rule {}", rule.text);
        let request = self.handle.rule().del(rule_message(rule));
        match in_time(&what, request.execute()).await {
            Err(error) if error.is_one_of(&[ESRCH, ENOENT]) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Sends a request that is answered with yes or no.
    async fn ask(
        &self,
        what: &str,
        request: NetlinkMessage<RouteNetlinkMessage>,
    ) -> Result<(), NetworkError> {
        let mut handle = self.handle.clone();
        in_time(what, async move {
            let mut answers = handle.request(request)?;
            while let Some(answer) = answers.next().await {
                if let NetlinkPayload::Error(error) = answer.payload {
                    return match error.code {
                        None => Ok(()),
                        Some(_) => Err(rtnetlink::Error::NetlinkError(error)),
                    };
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) fn index(&self, device: &str) -> Result<u32, NetworkError> {
        match self.view.get(device) {
            Some(interface) => Ok(interface.index),
            None => Err(NetworkError::NoInterface(device.to_owned())),
        }
    }

    /// The routing table of a route.
    fn table(&self, route: &Route) -> Result<u32, NetworkError> {
        let Some(vrf) = &route.extras.vrf else {
            return Ok(route.table);
        };
        let found = self.view.get(vrf).and_then(|found| found.table);
        found.ok_or_else(|| NetworkError::NoVrf(vrf.clone()))
    }

    fn route_message(&self, route: &Route) -> Result<RouteMessage, NetworkError> {
        let mut message = RouteMessage::default();
        let header = &mut message.header;
        header.address_family = family(route.ipv6);
        header.tos = route.tos;
        let table = self.table(route)?;
        header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        header.protocol = RouteProtocol::from(route.protocol);
        // keepalived's default, not that of `ip route`.
        header.scope = RouteScope::from(route.scope.unwrap_or(0));
        header.kind = RouteType::from(route.kind as u8);
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Table(table));
        if let Some((address, length)) = route.destination {
            header.destination_prefix_length = length;
            attributes.push(RouteAttribute::Destination(plain(address)));
        }
        if let Some(source) = route.source {
            attributes.push(RouteAttribute::PrefSource(plain(source)));
        }
        if let Some(metric) = route.metric {
            attributes.push(RouteAttribute::Priority(metric));
        }
        if let Some((address, length)) = route.extras.from {
            header.source_prefix_length = length;
            attributes.push(RouteAttribute::Source(plain(address)));
        }
        let extras = &route.extras;
        let optional = [
            extras.expires.map(RouteAttribute::Expires),
            extras.preference.map(|preference| {
                let preference = RoutePreference::from(preference);
                RouteAttribute::Preference(preference)
            }),
            extras.ttl_propagate.map(|on| {
                let value = vec![u8::from(on)];
                RouteAttribute::Other(DefaultNla::new(RTA_TTL_PROPAGATE, value))
            }),
        ];
        attributes.extend(optional.into_iter().flatten());
        let metrics = metrics(route);
        if !metrics.is_empty() {
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        match route.next_hops.as_slice() {
            [] => {}
            [hop] => {
                attributes.extend(gateway(route, hop));
                attributes.extend(encap::attributes(hop));
                if let Some(device) = &hop.device {
                    attributes.push(RouteAttribute::Oif(self.index(device)?));
                }
                if hop.onlink {
                    header.flags |= RouteFlags::Onlink;
                }
            }
            hops => {
                let mut all = Vec::new();
                for hop in hops {
                    let mut one = RouteNextHop::default();
                    one.hops = hop.weight.saturating_sub(1);
                    if hop.onlink {
                        one.flags |= RouteNextHopFlags::Onlink;
                    }
                    if let Some(device) = &hop.device {
                        one.interface_index = self.index(device)?;
                    }
                    one.attributes.extend(gateway(route, hop));
                    one.attributes.extend(encap::attributes(hop));
                    all.push(one);
                }
                attributes.push(RouteAttribute::MultiPath(all));
            }
        }
        Ok(message)
    }
}

fn family(ipv6: bool) -> AddressFamily {
    if ipv6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}

fn plain(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

/// The gateway of a hop, which may be of the other family.
fn gateway(route: &Route, hop: &NextHop) -> Option<RouteAttribute> {
    let gateway = hop.gateway?;
    if gateway.is_ipv6() == route.ipv6 {
        return Some(RouteAttribute::Gateway(plain(gateway)));
    }
    Some(RouteAttribute::Via(match gateway {
        IpAddr::V4(address) => RouteVia::Inet(address),
        IpAddr::V6(address) => RouteVia::Inet6(address),
    }))
}

fn metrics(route: &Route) -> Vec<RouteMetric> {
    let mut found: Vec<_> = route
        .metrics
        .iter()
        .map(|metric| {
            let value = metric.value.to_ne_bytes().to_vec();
            RouteMetric::Other(DefaultNla::new(metric.kind, value))
        })
        .collect();
    let locked = route.metrics.iter().filter(|metric| metric.locked);
    let mut mask = locked.fold(0, |mask, metric| mask | 1 << metric.kind);
    if let Some((name, locked)) = &route.extras.congestion_control {
        let value = [name.as_bytes(), &[0]].concat();
        found.push(RouteMetric::Other(DefaultNla::new(RTAX_CC_ALGO, value)));
        mask |= u32::from(*locked) << RTAX_CC_ALGO;
    }
    if mask != 0 {
        found.push(RouteMetric::Lock(mask));
    }
    found
}

/// Both realms, the one that packets come from in the upper half.
fn realm(realms: u32) -> RouteRealm {
    RouteRealm {
        source: (realms >> 16) as u16,
        destination: realms as u16,
    }
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = family(rule.ipv6);
    header.tos = rule.tos;
    let attributes = &mut message.attributes;
    header.action = match rule.action {
        RuleAction::Table(table) => {
            header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
            // The interface's VRF knows the table.
            if !rule.l3mdev {
                attributes.push(RuleAttribute::Table(table));
            }
            KernelAction::ToTable
        }
        RuleAction::Goto(preference) => {
            attributes.push(RuleAttribute::Goto(preference));
            KernelAction::Goto
        }
        RuleAction::Nop => KernelAction::Nop,
        RuleAction::Blackhole => KernelAction::Blackhole,
        RuleAction::Unreachable => KernelAction::Unreachable,
        RuleAction::Prohibit => KernelAction::Prohibit,
    };
    if rule.l3mdev {
        header.table = RouteHeader::RT_TABLE_UNSPEC;
        attributes.push(RuleAttribute::L3MDev(true));
    }
    if rule.inverted {
        header.flags |= RuleFlags::Invert;
    }
    if let Some((address, length)) = rule.from {
        header.src_len = length;
        attributes.push(RuleAttribute::Source(address));
    }
    if let Some((address, length)) = rule.to {
        header.dst_len = length;
        attributes.push(RuleAttribute::Destination(address));
    }
    if let Some((mark, mask)) = rule.fwmark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.extend(mask.map(RuleAttribute::FwMask));
    }
    let port_range = |(start, end)| RulePortRange { start, end };
    let user_range = |(start, end)| RuleUidRange { start, end };
    let optional = [
        rule.preference.map(RuleAttribute::Priority),
        rule.input.clone().map(RuleAttribute::Iifname),
        rule.output.clone().map(RuleAttribute::Oifname),
        Some(RuleAttribute::Protocol(RouteProtocol::from(rule.protocol))),
        rule.users
            .map(|users| RuleAttribute::UidRange(user_range(users))),
        rule.transport
            .map(|transport| RuleAttribute::IpProtocol(i32::from(transport).into())),
        rule.source_ports
            .map(|ports| RuleAttribute::SourcePortRange(port_range(ports))),
        rule.destination_ports
            .map(|ports| RuleAttribute::DestinationPortRange(port_range(ports))),
        rule.suppress_prefix_length
            .map(RuleAttribute::SuppressPrefixLen),
        rule.suppress_interface_group
            .map(RuleAttribute::SuppressIfGroup),
        rule.tunnel.map(RuleAttribute::TunId),
        rule.realms
            .map(|realms| RuleAttribute::Realm(realm(realms))),
    ];
    attributes.extend(optional.into_iter().flatten());
    message
}
