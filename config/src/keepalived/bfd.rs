//! `bfd_instance`: sessions of Bidirectional Forwarding Detection (RFC 5880).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::model::BfdInstance;
use super::parser::Action::Do;
use super::parser::{Table, Text, block, body};
use super::track::{MAX_WEIGHT, own_weight};
use super::tree::Statement;
use super::values::{Complaints, address, parse_seconds};
use crate::diagnostic::{Diagnostic, DiagnosticKind};

/// Longest interval in milliseconds: what the packet's 32 bits of microseconds hold.
const MAX_MILLISECONDS: u32 = 4_294_967;
/// Shortest `min_rx` and `min_tx` in milliseconds.
const MIN_MILLISECONDS: u32 = 1;
/// Shortest `idle_tx` in milliseconds (RFC 5880 section 6.8.3).
const MIN_IDLE_MILLISECONDS: u32 = 1_000;
/// Longest name of an interface in bytes (`IFNAMSIZ` with its end).
const MAX_INTERFACE: usize = 15;
/// Longest name in characters.
const MAX_NAME: usize = 31;

/// A session while its lines are read.
pub(super) struct Pending {
    neighbor: Option<(IpAddr, Option<String>)>,
    /// All the rest, for a neighbour that is not known yet.
    session: BfdInstance,
    ttl: Option<u8>,
    /// `checker` and `vrrp`: who is told of changes; nobody named means both.
    checker: bool,
    vrrp: bool,
}

/// Keywords, sorted.
#[rustfmt::skip]
pub(super) const KEYWORDS: Table<Pending> = &[
    ("checker", Do(|b, _, _| b.checker = true)),
    ("hoplimit", Do(|b, statement, complaints| b.ttl = number(statement, 1..=255, complaints).or(b.ttl))),
    ("idle_tx", Do(|b, statement, complaints| b.session.idle_tx = milliseconds(statement, MIN_IDLE_MILLISECONDS, complaints).unwrap_or(b.session.idle_tx))),
    ("max_hops", Do(|b, statement, complaints| b.session.max_hops = max_hops(statement, complaints).unwrap_or(b.session.max_hops))),
    ("min_rx", Do(|b, statement, complaints| b.session.min_rx = milliseconds(statement, MIN_MILLISECONDS, complaints).unwrap_or(b.session.min_rx))),
    ("min_tx", Do(|b, statement, complaints| b.session.min_tx = milliseconds(statement, MIN_MILLISECONDS, complaints).unwrap_or(b.session.min_tx))),
    ("multiplier", Do(|b, statement, complaints| b.session.multiplier = number(statement, 1..=255, complaints).unwrap_or(b.session.multiplier))),
    ("neighbor_ip", Do(neighbor)),
    ("neighbour_ip", Do(neighbor)),
    ("passive", Do(|b, _, _| b.session.passive = true)),
    ("source_ip", Do(|b, statement, complaints| b.session.source = ip(statement, complaints).or(b.session.source))),
    ("ttl", Do(|b, statement, complaints| b.ttl = number(statement, 1..=255, complaints).or(b.ttl))),
    ("vrrp", Do(|b, _, _| b.vrrp = true)),
    ("weight", Do(|b, statement, complaints| { if let Some(found) = own_weight(statement, MAX_WEIGHT, complaints) { (b.session.weight, b.session.reverse) = found; } })),
];

/// Reads a `bfd_instance NAME { … }`.
pub(super) fn read(text: &mut Text, statement: &Statement, complaints: &mut Complaints<'_>) {
    let Some(name) = statement.words.get(1).cloned() else {
        return complaints.missing(statement, "a name");
    };
    let known = &text.config.bfd_instances;
    if known.iter().any(|known| known.name.text == name.text) {
        let message = format!(
            "bfd_instance '{}' is already defined; this one is ignored",
            name.text
        );
        return complaints.warning(DiagnosticKind::Duplicate, name.span, message);
    }
    if name.text.chars().count() > MAX_NAME {
        let message = format!(
            "bfd_instance '{}': keepalived ignores names of more than {MAX_NAME} characters",
            name.text
        );
        complaints.warning(DiagnosticKind::InvalidValue, name.span, message);
    }
    let mut pending = Pending {
        neighbor: None,
        session: BfdInstance::new(name.clone(), Ipv4Addr::UNSPECIFIED.into()),
        ttl: None,
        checker: false,
        vrrp: false,
    };
    block(
        &mut pending,
        body(statement),
        KEYWORDS,
        "'bfd_instance'",
        complaints,
    );
    let Some((neighbor, interface)) = pending.neighbor else {
        // keepalived says so and runs without it.
        let message = format!(
            "bfd_instance '{}' is ignored: it has no 'neighbor_ip'",
            name.text
        );
        return complaints.warning(DiagnosticKind::InvalidValue, name.span, message);
    };
    let mut session = pending.session;
    if session
        .source
        .is_some_and(|source| source.is_ipv4() != neighbor.is_ipv4())
    {
        let message = format!(
            "bfd_instance '{}': source_ip and neighbor_ip are of different families",
            name.text
        );
        return complaints.left_out(name.span, message);
    }
    // On another interface it is another one.
    let same = |other: &&BfdInstance| {
        let apart =
            interface.is_some() && other.interface.is_some() && interface != other.interface;
        other.neighbor == neighbor && !apart
    };
    if let Some(other) = text.config.bfd_instances.iter().find(same) {
        // As keepalived: without discriminators yet, packets are told apart by their sender alone.
        let message = format!(
            "bfd_instance '{}' has the neighbor {neighbor} of '{}' (line {}): it is ignored",
            name.text, other.name.text, other.span.line
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::Duplicate, name.span, message);
        let help = format!(
            "track '{}' instead: a session may be tracked by many",
            other.name.text
        );
        return complaints.help(diagnostic, help);
    }
    let tells_vrrp = pending.vrrp || !pending.checker;
    if !tells_vrrp {
        let message = format!(
            "bfd_instance '{}' is for checkers alone ('checker'), which are not supported yet: the session runs, \
             and nobody is told of it",
            name.text
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::NotSupportedYet, name.span, message);
        complaints.help(
            diagnostic,
            "without 'checker', or with 'vrrp' as well, instances may track it",
        );
    }
    session.neighbor = neighbor;
    session.interface = interface;
    session.ttl = pending.ttl.unwrap_or(BfdInstance::new(name, neighbor).ttl);
    session.tells_vrrp = tells_vrrp;
    session.span = statement.span();
    text.config.bfd_instances.push(session);
}

/// An address, and of a link-local one the interface that it is on. keepalived takes no interface.
fn neighbor(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    let (text, interface) = match statement.text(1).split_once('%') {
        Some((text, interface)) => (text, Some(interface)),
        None => (statement.text(1), None),
    };
    let is_name =
        |name: &str| (1..=MAX_INTERFACE).contains(&name.len()) && !name.contains(['/', ':', '%']);
    let found = match (address(text), interface) {
        (Some(address), None) => Some((address, None)),
        (Some(IpAddr::V6(address)), Some(name))
            if address.is_unicast_link_local() && is_name(name) =>
        {
            Some((IpAddr::V6(address), Some(name.to_owned())))
        }
        _ => None,
    };
    match found {
        Some(_) => pending.neighbor = found,
        None => complaints.wrong(
            statement,
            "an IP address, or a link-local one with its interface (fe80::1%eth0)",
        ),
    }
}

fn ip(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<IpAddr> {
    let found = address(statement.text(1));
    if found.is_none() {
        complaints.wrong(statement, "an IP address");
    }
    found
}

/// A number within a range; beyond it the one before stays, as in keepalived.
fn number(
    statement: &Statement,
    range: std::ops::RangeInclusive<u8>,
    complaints: &mut Complaints<'_>,
) -> Option<u8> {
    let found = statement.text(1).parse::<u8>().ok();
    let found = found.filter(|value| range.contains(value));
    if found.is_none() {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        ignored(statement, &wanted, complaints);
    }
    found
}

/// keepalived takes -1 for 255, too.
fn max_hops(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<u8> {
    match statement.text(1) {
        "-1" => Some(u8::MAX),
        _ => number(statement, 0..=255, complaints),
    }
}

/// Milliseconds with a fraction; beyond the range the ones before stay, as in keepalived.
fn milliseconds(
    statement: &Statement,
    least: u32,
    complaints: &mut Complaints<'_>,
) -> Option<Duration> {
    let found = parse_seconds(statement.text(1), MAX_MILLISECONDS)
        .map(|thousandfold| thousandfold / 1_000)
        .filter(|value| *value >= Duration::from_millis(least.into()));
    if found.is_none() {
        let wanted = format!("milliseconds from {least} to {MAX_MILLISECONDS}");
        ignored(statement, &wanted, complaints);
    }
    found
}

fn ignored(statement: &Statement, wanted: &str, complaints: &mut Complaints<'_>) {
    let Some(word) = statement.words.get(1) else {
        return complaints.missing(statement, wanted);
    };
    let message = format!(
        "'{}' expects {wanted}, found '{}': it is ignored, as keepalived ignores it",
        statement.name(),
        word.text
    );
    complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
}
