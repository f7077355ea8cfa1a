//! `virtual_rules` and `static_rules`: the words of ip-rule(8), as keepalived.conf(5) lists them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::names::{KEEPALIVED_PROTOCOL, MAIN_TABLE, number, protocol, realms, table};
use super::parser::body;
use super::routes::text;
use super::tree::Statement;
use super::values::Complaints;
use super::words::{Words, network};
use crate::source::Word;

/// What a rule does with the packets that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleAction {
    /// `table`: they are looked up there.
    Table(u32),
    /// `goto`: the rule with this preference is next.
    Goto(u32),
    /// `nop`.
    Nop,
    /// `blackhole`.
    Blackhole,
    /// `unreachable`.
    Unreachable,
    /// `prohibit`.
    Prohibit,
}

/// A line of `virtual_rules` or `static_rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// As it was written, for messages.
    pub text: String,
    /// Whether it is a rule of IPv6.
    pub ipv6: bool,
    /// What it does.
    pub action: RuleAction,
    /// `not`: it applies to what does not match.
    pub inverted: bool,
    /// `from`.
    pub from: Option<(IpAddr, u8)>,
    /// `to`.
    pub to: Option<(IpAddr, u8)>,
    /// `tos` or `dsfield`.
    pub tos: u8,
    /// `fwmark MARK[/MASK]`.
    pub fwmark: Option<(u32, Option<u32>)>,
    /// `iif` or `dev`.
    pub input: Option<String>,
    /// `oif`.
    pub output: Option<String>,
    /// `preference`, `priority` or `order`. One that is not written is given out in the order of the text.
    pub preference: Option<u32>,
    /// `protocol`, keepalived's (18) by default.
    pub protocol: u8,
    /// `uidrange FIRST-LAST`.
    pub users: Option<(u32, u32)>,
    /// `ip_proto` or `ipproto`.
    pub transport: Option<u8>,
    /// `sport FIRST[-LAST]`.
    pub source_ports: Option<(u16, u16)>,
    /// `dport FIRST[-LAST]`.
    pub destination_ports: Option<(u16, u16)>,
    /// `suppress_prefixlength`.
    pub suppress_prefix_length: Option<u32>,
    /// `suppress_ifgroup`.
    pub suppress_interface_group: Option<u32>,
    /// `l3mdev`: the table of the interface's VRF.
    pub l3mdev: bool,
    /// `tun_id`.
    pub tunnel: Option<u64>,
    /// `realms [FROM/]TO`: FROM in the upper 16 bits; IPv4.
    pub realms: Option<u32>,
    /// `no_track`: is not put back when somebody removes it.
    pub no_track: bool,
    /// `track_group` of a static one.
    pub track_group: Option<Word>,
}

/// Words of a rule for suggestions.
const KNOWN: [&str; 14] = [
    "dport",
    "from",
    "fwmark",
    "goto",
    "iif",
    "ip_proto",
    "no_track",
    "oif",
    "preference",
    "protocol",
    "sport",
    "table",
    "to",
    "uidrange",
];

/// The preference of the first rule that has none; the next ones count down, as in keepalived.
const FIRST_PREFERENCE: u32 = 16_384;

/// Gives preferences to the rules that have none, in each family for itself.
pub(super) fn give_preferences<'a>(rules: impl Iterator<Item = &'a mut Rule>) {
    let mut next = [FIRST_PREFERENCE; 2];
    for rule in rules.filter(|rule| rule.preference.is_none()) {
        let next = &mut next[usize::from(rule.ipv6)];
        rule.preference = Some(*next);
        *next = next.saturating_sub(1);
    }
}

/// Reads the lines of a block.
pub(super) fn rules(list: &mut Vec<Rule>, statement: &Statement, complaints: &mut Complaints<'_>) {
    for line in body(statement) {
        list.extend(rule(line, complaints));
    }
}

/// One rule; none if something about it is wrong.
fn rule(line: &Statement, complaints: &mut Complaints<'_>) -> Option<Rule> {
    let first = line.words.first()?;
    let mut rule = Rule {
        text: text(line),
        ipv6: false,
        action: RuleAction::Table(MAIN_TABLE),
        inverted: false,
        from: None,
        to: None,
        tos: 0,
        fwmark: None,
        input: None,
        output: None,
        preference: None,
        protocol: KEEPALIVED_PROTOCOL,
        users: None,
        transport: None,
        source_ports: None,
        destination_ports: None,
        suppress_prefix_length: None,
        suppress_interface_group: None,
        l3mdev: false,
        tunnel: None,
        realms: None,
        no_track: false,
        track_group: None,
    };
    let mut words = Words::new(line, "rule", complaints);
    let mut family = None;
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "not" => rule.inverted = true,
            "from" => rule.from = words.value(word, "a network", some_network).flatten(),
            "to" => rule.to = words.value(word, "a network", some_network).flatten(),
            "tos" | "dsfield" => rule.tos = words.octet(word).unwrap_or(0),
            "fwmark" => rule.fwmark = words.value(word, "a mark and perhaps a mask", mark),
            "iif" | "dev" => rule.input = words.device(word),
            "oif" => rule.output = words.device(word),
            "preference" | "priority" | "order" => rule.preference = words.number(word),
            "table" | "lookup" => {
                let found = words.value(word, "a routing table's number or name", table);
                rule.action = RuleAction::Table(found.unwrap_or(MAIN_TABLE));
            }
            "goto" => rule.action = RuleAction::Goto(words.number(word).unwrap_or(0)),
            "nop" => rule.action = RuleAction::Nop,
            "blackhole" => rule.action = RuleAction::Blackhole,
            "unreachable" => rule.action = RuleAction::Unreachable,
            "prohibit" => rule.action = RuleAction::Prohibit,
            "protocol" => {
                rule.protocol = words
                    .value(word, "a routing protocol's number or name", protocol)
                    .unwrap_or(KEEPALIVED_PROTOCOL);
            }
            "uidrange" => rule.users = words.value(word, "two user ids: FIRST-LAST", range),
            "ip_proto" | "ipproto" => {
                rule.transport = words.value(word, "a protocol's number or name", transport);
            }
            "sport" => rule.source_ports = words.value(word, "a port or FIRST-LAST", ports),
            "dport" => rule.destination_ports = words.value(word, "a port or FIRST-LAST", ports),
            "suppress_prefixlength" | "suppress_prefixlen" => {
                rule.suppress_prefix_length = words.number(word);
            }
            "suppress_ifgroup" => rule.suppress_interface_group = words.number(word),
            "l3mdev" => rule.l3mdev = true,
            "tun_id" | "tun-id" => rule.tunnel = words.number(word).map(u64::from),
            "no_track" => rule.no_track = true,
            "inet" => family = Some(false),
            "inet6" => family = Some(true),
            "realms" | "realm" => rule.realms = words.value(word, "realms: [FROM/]TO", realms),
            // The action follows.
            "type" => {}
            "track_group" => rule.track_group = words.group(word),
            _ => {
                words.unknown(word, KNOWN);
                break;
            }
        }
    }
    let known = [rule.from, rule.to];
    let mut families = known.iter().flatten().map(|(address, _)| address.is_ipv6());
    rule.ipv6 = family.or_else(|| families.next()).unwrap_or(false);
    if known
        .iter()
        .flatten()
        .any(|(address, _)| address.is_ipv6() != rule.ipv6)
    {
        words.error(first, "the addresses of a rule are of different families");
    }
    if rule.ipv6 && rule.realms.is_some() {
        words.error(first, "'realms' is for rules of IPv4");
    }
    if rule.preference.is_none() && !words.failed() {
        words.warn(first, "a rule without a preference gets one, from 16384 down: it is probably not the one that is meant");
    }
    if rule.protocol != KEEPALIVED_PROTOCOL && !rule.no_track {
        words.warn(first, "a rule that is watched has keepalived's protocol (18); 'no_track' would keep the one written");
        rule.protocol = KEEPALIVED_PROTOCOL;
    }
    (!words.failed()).then_some(rule)
}

/// A network, or none for all addresses.
fn some_network(text: &str) -> Option<Option<(IpAddr, u8)>> {
    match text {
        "default" | "any" | "all" => Some(None),
        _ => network(text).map(Some),
    }
}

fn mark(text: &str) -> Option<(u32, Option<u32>)> {
    match text.split_once('/') {
        None => Some((number(text)?, None)),
        Some((mark, mask)) => Some((number(mark)?, Some(number(mask)?))),
    }
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = range(text)?;
    Some((u16::try_from(first).ok()?, u16::try_from(last).ok()?))
}

/// The protocols that have ports, and those of the same header, by name or number.
fn transport(text: &str) -> Option<u8> {
    match text.to_ascii_lowercase().as_str() {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "dccp" => Some(33),
        "ipv6-icmp" | "icmpv6" => Some(58),
        "sctp" => Some(132),
        "udplite" => Some(136),
        other => other.parse().ok(),
    }
}
