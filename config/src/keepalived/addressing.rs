//! What instances do with their addresses beyond adding and removing them: announcements, routes, rules, virtual MACs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ipvlan::{self, Ipvlan};
use super::model::{GlobalDefs, Version, VirtualAddress};
use super::parser::{MAX_GARP_SECONDS, body, entries};
use super::routes::Route;
use super::rules::Rule;
use super::track_groups::StaticTrackGroup;
use super::tree::Statement;
use super::values::{Complaints, count, parse_seconds, seconds, switch};
use super::words::MAX_INTERFACE_NAME_BYTES;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{Span, Word};

/// `garp_extra_if [all] SECONDS`: announcements again and again on interfaces that send no advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraInterfaces {
    /// `all`: on every interface with an address of the instance; else on virtual MACs alone.
    pub all: bool,
    /// Time between two announcements.
    pub every: Duration,
}

/// `use_vmac [NAME [MAC]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vmac {
    /// The interface's name.
    pub name: String,
    /// Its Ethernet address: 00:00:5e:00:01:VRID, 00:00:5e:00:02:VRID for IPv6 (RFC 5798 7.3).
    pub hardware: [u8; 6],
    /// `vmac_xmit_base`: advertisements go by the interface below.
    pub transmit_base: bool,
}

/// What an instance does with its addresses beyond adding and removing them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addressing {
    /// `virtual_routes`.
    pub routes: Vec<Route>,
    /// `virtual_rules`.
    pub rules: Vec<Rule>,
    /// `promote_secondaries`.
    pub promote_secondaries: bool,
    /// `use_vmac`.
    pub vmac: Option<Vmac>,
    /// `use_ipvlan`; there is no virtual MAC then.
    pub ipvlan: Option<Ipvlan>,
    /// `use_vmac_addr`: addresses of other interfaces and families are on virtual MACs, too.
    pub use_vmac_addr: bool,
    /// `accept`, the default, or `no_accept`, the default of strict mode. Who owns the addresses accepts.
    pub accept: bool,
    /// `garp_lower_prio_delay`; `vrrp_garp_lower_prio_delay` by default, and `vrrp_garp_master_delay` without that.
    pub lower_prio_delay: Duration,
    /// `garp_lower_prio_repeat`; `vrrp_garp_lower_prio_repeat` by default, and `vrrp_garp_master_repeat` without that.
    pub lower_prio_repeat: u32,
    /// `garp_extra_if`, off by default.
    pub extra_interfaces: Option<ExtraInterfaces>,
}

impl Default for Addressing {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            rules: Vec::new(),
            promote_secondaries: false,
            vmac: None,
            ipvlan: None,
            use_vmac_addr: false,
            accept: true,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            extra_interfaces: None,
        }
    }
}

/// What `global_defs` says of announcements and virtual MACs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcing {
    /// `vrrp_garp_lower_prio_delay`.
    pub lower_prio_delay: Option<Duration>,
    /// `vrrp_garp_lower_prio_repeat`.
    pub lower_prio_repeat: Option<u32>,
    /// `vrrp_garp_interval`: between two gratuitous ARPs on an interface, 0 by default.
    pub garp_interval: Duration,
    /// `vrrp_gna_interval`: between two neighbour advertisements on an interface, 0 by default.
    pub gna_interval: Duration,
    /// `vrrp_garp_extra_if`.
    pub extra_interfaces: Option<ExtraInterfaces>,
    /// `vmac_prefix`, `vrrp` by default.
    pub vmac_prefix: String,
    /// `vmac_addr_prefix`; `vmac_prefix` by default.
    pub vmac_addr_prefix: Option<String>,
}

impl Default for Announcing {
    fn default() -> Self {
        Self {
            lower_prio_delay: None,
            lower_prio_repeat: None,
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
            extra_interfaces: None,
            vmac_prefix: "vrrp".to_owned(),
            vmac_addr_prefix: None,
        }
    }
}

/// `garp_group`: interfaces behind one switch, with the delays that it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GarpGroup {
    /// `interface` or `interfaces`.
    pub interfaces: Vec<String>,
    /// `garp_interval`.
    pub garp_interval: Duration,
    /// `gna_interval`.
    pub gna_interval: Duration,
}

/// A line of `interface_up_down_delays`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceDelay {
    /// The interface.
    pub name: String,
    /// How long it must be down until it counts as down.
    pub down: Duration,
    /// How long it must be up until it counts as up; as `down` by default.
    pub up: Duration,
}

/// `static_ipaddress`, `static_routes` and `static_rules`: there from the start to the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statics {
    /// `static_ipaddress`, each with its device.
    pub addresses: Vec<VirtualAddress>,
    /// `static_routes`.
    pub routes: Vec<Route>,
    /// `static_rules`.
    pub rules: Vec<Rule>,
    /// `track_group` blocks.
    pub track_groups: Vec<StaticTrackGroup>,
}

/// Longest delay between two announcements, in seconds.
const MAX_INTERVAL_SECONDS: u32 = 4_294;
/// Longest delay of a line of `interface_up_down_delays`, in seconds.
const MAX_LINK_DELAY_SECONDS: u32 = 255;

/// The words of an instance while its lines are read.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    pub(super) promote_secondaries: bool,
    /// `accept` or `no_accept`, whichever was written last.
    pub(super) accept: Option<(bool, Span)>,
    pub(super) lower_prio_delay: Option<Duration>,
    pub(super) lower_prio_repeat: Option<u32>,
    pub(super) extra_interfaces: Option<ExtraInterfaces>,
    /// `use_vmac` with its words.
    pub(super) vmac: Option<Vec<Word>>,
    /// `use_ipvlan` with its words.
    pub(super) ipvlan: Option<Vec<Word>>,
    /// `vmac_xmit_base`.
    pub(super) transmit_base: Option<Span>,
    pub(super) use_vmac_addr: bool,
}

impl Pending {
    pub(super) fn new(global: &GlobalDefs) -> Self {
        Self {
            lower_prio_delay: global.announcing.lower_prio_delay,
            lower_prio_repeat: global.announcing.lower_prio_repeat,
            extra_interfaces: global.announcing.extra_interfaces,
            ..Self::default()
        }
    }

    /// `use_vmac`.
    pub(super) fn use_vmac(&mut self, statement: &Statement, _: &mut Complaints<'_>) {
        self.vmac = Some(statement.words.clone());
    }

    /// `use_ipvlan`.
    pub(super) fn use_ipvlan(&mut self, statement: &Statement, _: &mut Complaints<'_>) {
        self.ipvlan = Some(statement.words.clone());
    }

    /// What the lines come to. `owner` is an instance with priority 255, `unicast` one with peers.
    pub(super) fn finish(self, about: &About<'_>, complaints: &mut Complaints<'_>) -> Addressing {
        let ipvlan = self.ipvlan.as_deref();
        let mut ipvlan = ipvlan.and_then(|words| ipvlan::read(words, about, complaints));
        let words = self.vmac.as_deref();
        if let (Some(ipvlan), Some(word)) = (&mut ipvlan, words.and_then(<[Word]>::first)) {
            // What keepalived 2.2.7 was seen to do.
            ipvlan.holds_addresses = true;
            let message = "'use_vmac' beside 'use_ipvlan' makes no virtual MAC: it puts the virtual addresses on the \
                           ipvlan, as in keepalived";
            complaints.warning(DiagnosticKind::Pointless, word.span, message);
        }
        let without = |word: &str, span: Option<Span>, complaints: &mut Complaints<'_>| {
            if let Some(span) = span.filter(|_| ipvlan.is_some()) {
                let message = format!("'{word}' does nothing beside 'use_ipvlan'");
                complaints.warning(DiagnosticKind::Pointless, span, message);
            }
        };
        without("vmac_xmit_base", self.transmit_base, complaints);
        let vmac = words.filter(|_| ipvlan.is_none()).and_then(|words| {
            let mut vmac = vmac(words, about, complaints)?;
            vmac.transmit_base = self.transmit_base.is_some();
            if about.unicast && !vmac.transmit_base {
                let message =
                    "'use_vmac' with unicast peers needs 'vmac_xmit_base', which is assumed";
                complaints.warning(DiagnosticKind::Pointless, words[0].span, message);
                vmac.transmit_base = true;
            }
            Some(vmac)
        });
        Addressing {
            routes: self.routes,
            rules: self.rules,
            promote_secondaries: self.promote_secondaries,
            vmac,
            ipvlan,
            use_vmac_addr: self.use_vmac_addr,
            accept: accepts(self.accept, about, complaints),
            // Those of global_defs: keepalived 2.2.7 was seen not to take those of the instance.
            lower_prio_delay: self
                .lower_prio_delay
                .unwrap_or(about.global.garp_master_delay),
            lower_prio_repeat: self
                .lower_prio_repeat
                .unwrap_or(about.global.garp_master_repeat),
            extra_interfaces: self.extra_interfaces.filter(|extra| !extra.every.is_zero()),
        }
    }
}

/// What of an instance its addressing depends on.
pub(super) struct About<'a> {
    pub(super) global: &'a GlobalDefs,
    pub(super) virtual_router_id: u8,
    pub(super) ipv6: bool,
    pub(super) owner: bool,
    pub(super) strict: bool,
    pub(super) version: Version,
    pub(super) span: Span,
    pub(super) unicast: bool,
}

/// Whether packets to the virtual addresses are taken, as keepalived decides it.
fn accepts(
    written: Option<(bool, Span)>,
    about: &About<'_>,
    complaints: &mut Complaints<'_>,
) -> bool {
    let strict = match (written, about.version) {
        (Some((true, span)), Version::V2) if about.strict => {
            let message = "'accept' does nothing with strict_mode in version 2 (RFC 3768)";
            complaints.warning(DiagnosticKind::Pointless, span, message);
            true
        }
        (Some((accept, _)), _) => return accept || about.owner,
        (None, _) => about.strict,
    };
    if strict && !about.owner {
        let message = "strict_mode drops packets to the virtual addresses ('no_accept'): nothing on this node answers there";
        let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, about.span, message);
        complaints.help(
            diagnostic,
            "leave strict_mode out, or write 'accept' with version 3",
        );
    }
    !strict || about.owner
}

/// `use_vmac`'s words; either may be missing.
fn vmac(words: &[Word], about: &About<'_>, complaints: &mut Complaints<'_>) -> Option<Vmac> {
    let vrid = about.virtual_router_id;
    let family = if about.ipv6 { 2 } else { 1 };
    let prefix = &about.global.announcing.vmac_prefix;
    let mut found = Vmac {
        name: format!("{prefix}.{vrid}"),
        hardware: [0, 0, 0x5e, 0, family, vrid],
        transmit_base: false,
    };
    for word in words.iter().skip(1) {
        match hardware(&word.text, vrid) {
            Some(hardware) if hardware[0] & 1 == 0 => found.hardware = hardware,
            Some(_) => {
                let message = format!("'{}' is a group's Ethernet address", word.text);
                complaints.error(DiagnosticKind::InvalidValue, word.span, message);
            }
            None => found.name.clone_from(&word.text),
        }
    }
    if found.name.is_empty() || found.name.len() >= MAX_INTERFACE_NAME_BYTES {
        let message = format!(
            "an interface's name has up to {} bytes: '{}'",
            MAX_INTERFACE_NAME_BYTES - 1,
            found.name
        );
        complaints.error(DiagnosticKind::InvalidValue, words[0].span, message);
        return None;
    }
    Some(found)
}

/// Six octets; five, and the virtual router's number is the sixth.
fn hardware(text: &str, vrid: u8) -> Option<[u8; 6]> {
    let mut octets: Vec<u8> = text
        .split(':')
        .map(|part| {
            let short = (1..=2).contains(&part.len());
            u8::from_str_radix(part, 16).ok().filter(|_| short)
        })
        .collect::<Option<_>>()?;
    if octets.len() == 5 {
        octets.push(vrid);
    }
    octets.try_into().ok()
}

/// `garp_extra_if [all] SECONDS`.
pub(super) fn extra_interfaces(
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) -> Option<ExtraInterfaces> {
    let all = statement.text(1) == "all";
    let every = parse_seconds(statement.text(1 + usize::from(all)), MAX_GARP_SECONDS);
    if every.is_none() {
        complaints.wrong(statement, "perhaps 'all', and seconds from 0 to 86400");
    }
    every.map(|every| ExtraInterfaces { all, every })
}

/// `vrrp_garp_interval`, `vrrp_gna_interval` and those of a group.
pub(super) fn interval(statement: &Statement, complaints: &mut Complaints<'_>) -> Duration {
    seconds(statement, MAX_INTERVAL_SECONDS, complaints).unwrap_or_default()
}

/// `vrrp_min_garp`: one announcement, and no second round.
pub(super) fn min_garp(
    global: &mut GlobalDefs,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    if switch(statement, complaints) == Some(true) {
        global.garp_master_delay = Duration::ZERO;
        global.garp_master_repeat = 1;
    }
}

/// `garp_master_delay`, `garp_lower_prio_delay` and `garp_master_refresh`: keepalived cuts off a fraction and says so.
pub(super) fn whole_seconds(
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) -> Option<Duration> {
    let value = seconds(statement, MAX_GARP_SECONDS, complaints)?;
    let whole = Duration::from_secs(value.as_secs());
    if value != whole {
        let span = statement
            .words
            .get(1)
            .map_or_else(Span::default, |word| word.span);
        let message = format!(
            "'{}' is in whole seconds: {} counts as {}, as in keepalived",
            statement.name(),
            statement.text(1),
            whole.as_secs()
        );
        complaints.warning(DiagnosticKind::InvalidValue, span, message);
    }
    Some(whole)
}

/// `garp_master_repeat` and `garp_master_refresh_repeat`: 0 is raised to 1, as keepalived does.
pub(super) fn at_least_once(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<u32> {
    let value = count(statement, 0, complaints)?;
    if value == 0 {
        let span = statement
            .words
            .get(1)
            .map_or_else(Span::default, |word| word.span);
        let message = format!(
            "'{}' is at least 1: 0 counts as 1, as in keepalived",
            statement.name()
        );
        complaints.warning(DiagnosticKind::InvalidValue, span, message);
    }
    Some(value.max(1))
}

/// `garp_lower_prio_repeat`; 0 is none at all.
pub(super) fn repeat(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<u32> {
    count(statement, 0, complaints)
}

/// `garp_group { … }`; `known` are those before it.
pub(super) fn garp_group(
    known: &mut Vec<GarpGroup>,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    let mut group = GarpGroup::default();
    for line in body(statement) {
        match line.name() {
            "garp_interval" => group.garp_interval = interval(line, complaints),
            "gna_interval" => group.gna_interval = interval(line, complaints),
            "interface" => group
                .interfaces
                .extend(line.words.iter().skip(1).map(|word| word.text.clone())),
            "interfaces" => group
                .interfaces
                .extend(entries(line).map(|word| word.text.clone())),
            _ => complaints.unknown(
                line,
                "'garp_group'",
                ["garp_interval", "gna_interval", "interface", "interfaces"],
            ),
        }
    }
    let taken = |name: &String| known.iter().any(|one| one.interfaces.contains(name));
    let twice: Vec<_> = group
        .interfaces
        .iter()
        .filter(|name| taken(name))
        .cloned()
        .collect();
    for name in &twice {
        let message = format!("interface {name} is in another garp_group already; it stays there");
        complaints.warning(DiagnosticKind::Duplicate, statement.span(), message);
    }
    group.interfaces.retain(|name| !twice.contains(name));
    if group.interfaces.is_empty() && twice.is_empty() {
        let message = "'garp_group' names no interface";
        complaints.warning(DiagnosticKind::Pointless, statement.span(), message);
    }
    known.push(group);
}

/// `interface_up_down_delays { NAME DOWN [UP] … }`.
pub(super) fn interface_delays(
    known: &mut Vec<InterfaceDelay>,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    for line in body(statement) {
        let delay = |at| parse_seconds(line.text(at), MAX_LINK_DELAY_SECONDS);
        let Some(down) = delay(1) else {
            complaints.wrong(line, "seconds from 0 to 255");
            continue;
        };
        let up = if line.words.len() > 2 {
            let Some(up) = delay(2) else {
                complaints.wrong(line, "two times in seconds from 0 to 255");
                continue;
            };
            up
        } else {
            down
        };
        known.push(InterfaceDelay {
            name: line.name().to_owned(),
            down,
            up,
        });
    }
}
