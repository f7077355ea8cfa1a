//! `virtual_routes` and `static_routes`: the words of ip-route(8), as keepalived.conf(5) lists them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::encap::{Encap, encap};
use super::names::{KEEPALIVED_PROTOCOL, MAIN_TABLE, protocol, realms, scope, table};
use super::parser::body;
use super::rare::{Rare, Usual};
use super::tree::Statement;
use super::values::Complaints;
use super::words::{Words, network};
use crate::source::Word;

/// What happens to packets that take a route; the kernel's numbers (RTN_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteKind {
    /// They are forwarded.
    #[default]
    Unicast = 1,
    /// They are delivered here.
    Local = 2,
    /// They are delivered here and sent as a broadcast.
    Broadcast = 3,
    /// As broadcast, but sent as unicast.
    Anycast = 4,
    /// They are delivered here as those of a group.
    Multicast = 5,
    /// They are dropped in silence.
    Blackhole = 6,
    /// They are answered with "host unreachable".
    Unreachable = 7,
    /// They are answered with "communication administratively prohibited".
    Prohibit = 8,
    /// The next rule looks for another route.
    Throw = 9,
}

/// Where a route leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHop {
    /// `via`; of the other family than the route's, too.
    pub gateway: Option<IpAddr>,
    /// `dev`.
    pub device: Option<String>,
    /// `onlink`: the gateway is reachable on the device though no route says so.
    pub onlink: bool,
    /// `weight`, from 1 on.
    pub weight: u8,
    /// `realms [FROM/]TO`: FROM in the upper 16 bits.
    pub realms: Option<u32>,
    /// `encap`.
    pub encap: Option<Encap>,
}

/// What few routes have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteExtras {
    /// `congctl [lock] NAME`: the congestion control of its connections, and whether it is locked.
    pub congestion_control: Option<(String, bool)>,
    /// `expires`, in seconds; IPv6.
    pub expires: Option<u32>,
    /// `from`: it is for packets from there; IPv6.
    pub from: Option<(IpAddr, u8)>,
    /// `pref`: the kernel's number (RFC 4191); IPv6.
    pub preference: Option<u8>,
    /// `ttl-propagate`; it means something for MPLS alone.
    pub ttl_propagate: Option<bool>,
    /// `vrf`: it is in the table of this device.
    pub vrf: Option<String>,
}

impl Usual for RouteExtras {
    fn usual() -> &'static Self {
        const USUAL: RouteExtras = RouteExtras {
            congestion_control: None,
            expires: None,
            from: None,
            preference: None,
            ttl_propagate: None,
            vrf: None,
        };
        &USUAL
    }
}

/// A metric of a route: the kernel's number (RTAX_*) and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMetric {
    /// RTAX_*.
    pub kind: u16,
    /// In the kernel's unit.
    pub value: u32,
    /// `lock`: the kernel does not adapt it.
    pub locked: bool,
}

/// A line of `virtual_routes` or `static_routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// As it was written, for messages.
    pub text: String,
    /// Whether it is a route of IPv6.
    pub ipv6: bool,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Network and prefix length; the whole internet (`default`) if none.
    pub destination: Option<(IpAddr, u8)>,
    /// `src`: the address that packets leave with.
    pub source: Option<IpAddr>,
    /// One, or several with weights (`nexthop`); none for a route that leads nowhere.
    pub next_hops: Vec<NextHop>,
    /// `table`, the main one by default.
    pub table: u32,
    /// `metric`, `preference` or `priority`; the kernel's default if none.
    pub metric: Option<u32>,
    /// `scope`, as the kernel's number; told from the rest by default.
    pub scope: Option<u8>,
    /// `protocol`, keepalived's (18) by default.
    pub protocol: u8,
    /// `tos` or `dsfield`.
    pub tos: u8,
    /// `mtu`, `advmss` and so on.
    pub metrics: Vec<RouteMetric>,
    /// What few routes have.
    pub extras: Rare<RouteExtras>,
    /// `append`: behind matching routes instead of before them.
    pub append: bool,
    /// `no_track`: is not put back when somebody removes it.
    pub no_track: bool,
    /// `track_group` of a static one.
    pub track_group: Option<Word>,
}

/// Metrics by name: the kernel's number (RTAX_*) and how many of its units make ours.
#[rustfmt::skip]
const METRICS: [(&str, u16, u32); 14] = [
    ("advmss", 8, 1), ("cwnd", 7, 1), ("fastopen_no_cookie", 17, 1), ("hoplimit", 10, 1), ("initcwnd", 11, 1),
    ("initrwnd", 14, 1), ("mtu", 2, 1), ("quickack", 15, 1), ("reordering", 9, 1), ("rto_min", 13, 1),
    // ip-route(8) counts milliseconds, the kernel eighths and quarters of them.
    ("rtt", 4, 8), ("rttvar", 5, 4), ("ssthresh", 6, 1), ("window", 3, 1),
];
/// RTAX_FEATURES, and its bit for explicit congestion notification.
const FEATURES: u16 = 12;
const FEATURE_ECN: u32 = 1;
/// TCP_CA_NAME_MAX of the kernel, its closing zero included.
const MAX_CONGESTION_CONTROL_BYTES: usize = 16;

/// Words of a route for suggestions.
const KNOWN: [&str; 14] = [
    "append",
    "dev",
    "metric",
    "nexthop",
    "no_track",
    "onlink",
    "preference",
    "protocol",
    "scope",
    "src",
    "table",
    "to",
    "tos",
    "via",
];

/// Reads the lines of a block.
pub(super) fn routes(
    list: &mut Vec<Route>,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    for line in body(statement) {
        list.extend(route(line, complaints));
    }
}

fn kind(text: &str) -> Option<RouteKind> {
    match text {
        "unicast" => Some(RouteKind::Unicast),
        "local" => Some(RouteKind::Local),
        "broadcast" => Some(RouteKind::Broadcast),
        "anycast" => Some(RouteKind::Anycast),
        "multicast" => Some(RouteKind::Multicast),
        "blackhole" => Some(RouteKind::Blackhole),
        "unreachable" => Some(RouteKind::Unreachable),
        "prohibit" => Some(RouteKind::Prohibit),
        "throw" => Some(RouteKind::Throw),
        _ => None,
    }
}

/// One route; none if something about it is wrong.
fn route(line: &Statement, complaints: &mut Complaints<'_>) -> Option<Route> {
    let first = line.words.first()?;
    let mut route = Route {
        text: text(line),
        ipv6: false,
        kind: RouteKind::Unicast,
        destination: None,
        source: None,
        next_hops: Vec::new(),
        table: MAIN_TABLE,
        metric: None,
        scope: None,
        protocol: KEEPALIVED_PROTOCOL,
        tos: 0,
        metrics: Vec::new(),
        extras: Rare::default(),
        append: false,
        no_track: false,
        track_group: None,
    };
    let mut words = Words::new(line, "route", complaints);
    let mut hop = NextHop {
        weight: 1,
        ..NextHop::default()
    };
    let mut extras = RouteExtras::default();
    let mut second = None;
    let mut family = None;
    let mut has_destination = false;
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "to" => {}
            "default" | "any" | "all" if !has_destination => has_destination = true,
            "src" => route.source = words.address(word),
            "via" | "gw" => {
                let _family = words.accept("inet") || words.accept("inet6");
                hop.gateway = words.address(word);
            }
            "or" => second = words.address(word),
            "dev" | "oif" => hop.device = words.device(word),
            "onlink" => hop.onlink = true,
            "nexthop" => route.next_hops.push(next_hop(&mut words)),
            "table" => {
                // As in keepalived, the last word of both counts.
                extras.vrf = None;
                route.table = words
                    .value(word, "a routing table's number or name", table)
                    .unwrap_or(MAIN_TABLE);
            }
            "metric" | "preference" | "priority" => route.metric = words.number(word),
            "scope" => route.scope = words.value(word, "a scope", scope),
            "protocol" | "proto" => {
                route.protocol = words
                    .value(word, "a routing protocol's number or name", protocol)
                    .unwrap_or(KEEPALIVED_PROTOCOL);
            }
            "tos" | "dsfield" => route.tos = words.octet(word).unwrap_or(0),
            "features" => route.metrics.extend(features(&mut words)),
            "realms" | "realm" => hop.realms = words.value(word, REALMS, realms),
            "encap" => {
                hop.encap = encap(&mut words, word);
                if hop.encap.is_none() {
                    break;
                }
            }
            "congctl" => {
                let locked = words.accept("lock");
                let name = words.value(word, "the name of an algorithm", congestion_control);
                extras.congestion_control = name.map(|name| (name, locked));
            }
            "expires" => extras.expires = words.number(word),
            "from" => extras.from = words.value(word, "a network", network),
            "pref" => extras.preference = words.value(word, "low, medium or high", preference),
            "ttl-propagate" => {
                extras.ttl_propagate = words.value(word, "enabled or disabled", enabled);
            }
            "as" => {
                // As keepalived: without the word the route is as good.
                let _to = words.accept("to");
                let _address = words.next();
                words.warn(
                    word,
                    "'as' is for MPLS alone and is ignored, as keepalived ignores it",
                );
            }
            "vrf" => extras.vrf = words.device(word),
            "append" => route.append = true,
            "prepend" => route.append = false,
            "no_track" => route.no_track = true,
            "inet" => family = Some(false),
            "inet6" => family = Some(true),
            "track_group" => route.track_group = words.group(word),
            text if METRICS.iter().any(|(name, ..)| *name == text) => {
                route.metrics.extend(metric(&mut words, word));
            }
            text if kind(text).is_some() && !has_destination => {
                route.kind = kind(text).unwrap_or_default();
            }
            text if !has_destination => match network(text) {
                Some(found) => {
                    has_destination = true;
                    route.destination = Some(found).filter(|(_, length)| *length > 0);
                    family = family.or(Some(found.0.is_ipv6()));
                }
                None => {
                    words.unknown(word, KNOWN);
                    break;
                }
            },
            _ => {
                words.unknown(word, KNOWN);
                break;
            }
        }
    }
    if !has_destination && !words.failed() {
        words.error(first, "a route needs a destination");
    }
    let told = family
        .or(hop.gateway.map(|gateway| gateway.is_ipv6()))
        .or(route.source.map(|source| source.is_ipv6()));
    route.ipv6 = told.unwrap_or(false);
    if route
        .source
        .is_some_and(|source| source.is_ipv6() != route.ipv6)
    {
        words.error(first, "the addresses of a route are of different families");
    }
    if !route.ipv6 {
        let only_ipv6 = [
            ("expires", extras.expires.is_some()),
            ("from", extras.from.is_some()),
            ("pref", extras.preference.is_some()),
        ];
        for (name, _) in only_ipv6.iter().filter(|(_, written)| *written) {
            words.error(first, format!("'{name}' is for routes of IPv6"));
        }
    }
    if extras
        .from
        .is_some_and(|(from, _)| from.is_ipv6() != route.ipv6)
    {
        words.error(first, "the addresses of a route are of different families");
    }
    route.extras = extras.into();
    if let Some(gateway) = second {
        // Deprecated: two gateways that share the load.
        let other = NextHop {
            gateway: Some(gateway),
            ..hop.clone()
        };
        route.next_hops.extend([hop, other]);
    } else if hop
        != (NextHop {
            weight: 1,
            ..NextHop::default()
        })
    {
        route.next_hops.push(hop);
    }
    if route.protocol != KEEPALIVED_PROTOCOL && !route.no_track {
        words.warn(first, "a route that is watched has keepalived's protocol (18); 'no_track' would keep the one written");
        route.protocol = KEEPALIVED_PROTOCOL;
    }
    (!words.failed()).then_some(route)
}

/// What follows `nexthop`.
fn next_hop(words: &mut Words<'_, '_, '_>) -> NextHop {
    let mut hop = NextHop {
        weight: 1,
        ..NextHop::default()
    };
    loop {
        if let Some(word) = words.take("via") {
            let _family = words.accept("inet") || words.accept("inet6");
            hop.gateway = words.address(word);
        } else if let Some(word) = words.take("dev") {
            hop.device = words.device(word);
        } else if let Some(word) = words.take("weight") {
            hop.weight = words.octet(word).unwrap_or(1).max(1);
        } else if words.accept("onlink") {
            hop.onlink = true;
        } else if let Some(word) = words.take("realms").or_else(|| words.take("realm")) {
            hop.realms = words.value(word, REALMS, realms);
        } else if let Some(word) = words.take("encap") {
            hop.encap = encap(words, word);
        } else {
            return hop;
        }
    }
}

const REALMS: &str = "realms: [FROM/]TO";

/// `features ecn [add]`; of the others keepalived says that it has none, and has the route without them.
fn features(words: &mut Words<'_, '_, '_>) -> Option<RouteMetric> {
    if words.accept("ecn") {
        let _add = words.accept("add");
        return Some(RouteMetric {
            kind: FEATURES,
            value: FEATURE_ECN,
            locked: false,
        });
    }
    if let Some(other) = words.next() {
        words.warn(
            other,
            format!(
                "the feature '{}' of a route is not known: it is ignored",
                other.text
            ),
        );
    }
    None
}

fn congestion_control(text: &str) -> Option<String> {
    (text.len() < MAX_CONGESTION_CONTROL_BYTES).then(|| text.to_owned())
}

/// A router preference in the kernel's coding (RFC 4191 section 2.1).
fn preference(text: &str) -> Option<u8> {
    match text {
        "medium" => Some(0),
        "high" => Some(1),
        "low" => Some(3),
        _ => super::names::number(text).and_then(|value| u8::try_from(value).ok()),
    }
}

fn enabled(text: &str) -> Option<bool> {
    match text {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    }
}

/// A metric's value, with `lock` before it or not.
fn metric(words: &mut Words<'_, '_, '_>, word: &Word) -> Option<RouteMetric> {
    let (_, kind, unit) = METRICS.iter().find(|(name, ..)| *name == word.text)?;
    let locked = words.accept("lock");
    let value = words.value(word, "a number", |text| {
        let plain = text.strip_suffix("ms").unwrap_or(text);
        super::names::number(plain)?.checked_mul(*unit)
    })?;
    Some(RouteMetric {
        kind: *kind,
        value,
        locked,
    })
}

/// The line as it was written.
pub(super) fn text(line: &Statement) -> String {
    let words: Vec<_> = line.words.iter().map(|word| word.text.as_str()).collect();
    words.join(" ")
}
