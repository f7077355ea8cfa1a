//! `bfd_instance`: sessions of Bidirectional Forwarding Detection (RFC 5880).

use std::net::IpAddr;
use std::time::Duration;

use super::model::BfdInstance;
use super::parser::Action::{Do, Warn};
use super::parser::{Table, Text, block, body};
use super::track::{MAX_WEIGHT, own_weight};
use super::tree::Statement;
use super::values::{Complaints, address, integer, parse_seconds};
use crate::diagnostic::DiagnosticKind;

/// Longest interval in milliseconds.
const MAX_MILLISECONDS: u32 = 1_000_000;
const DEFAULT_INTERVAL: Duration = Duration::from_millis(10);

/// A session while its lines are read.
pub(super) struct Pending {
    neighbor: Option<IpAddr>,
    source: Option<IpAddr>,
    min_rx: Duration,
    min_tx: Duration,
    idle_tx: Duration,
    multiplier: u8,
    passive: bool,
    ttl: Option<u8>,
    max_hops: u8,
    weight: i32,
    reverse: bool,
}

/// Keywords, sorted.
#[rustfmt::skip]
pub(super) const KEYWORDS: Table<Pending> = &[
    ("checker", Warn("sessions are for instances and sync groups")),
    ("hoplimit", Do(|b, statement, complaints| b.ttl = octet(statement, 1, complaints).or(b.ttl))),
    ("idle_tx", Do(|b, statement, complaints| b.idle_tx = milliseconds(statement, complaints).unwrap_or(b.idle_tx))),
    ("max_hops", Do(|b, statement, complaints| b.max_hops = octet(statement, 0, complaints).unwrap_or(b.max_hops))),
    ("min_rx", Do(|b, statement, complaints| b.min_rx = milliseconds(statement, complaints).unwrap_or(b.min_rx))),
    ("min_tx", Do(|b, statement, complaints| b.min_tx = milliseconds(statement, complaints).unwrap_or(b.min_tx))),
    ("multiplier", Do(|b, statement, complaints| b.multiplier = octet(statement, 1, complaints).unwrap_or(b.multiplier))),
    ("neighbor_ip", Do(|b, statement, complaints| b.neighbor = ip(statement, complaints).or(b.neighbor))),
    ("neighbour_ip", Do(|b, statement, complaints| b.neighbor = ip(statement, complaints).or(b.neighbor))),
    ("passive", Do(|b, _, _| b.passive = true)),
    ("source_ip", Do(|b, statement, complaints| b.source = ip(statement, complaints).or(b.source))),
    ("ttl", Do(|b, statement, complaints| b.ttl = octet(statement, 1, complaints).or(b.ttl))),
    ("vrrp", Do(|_, _, _| {})),
    ("weight", Do(|b, statement, complaints| { if let Some(found) = own_weight(statement, MAX_WEIGHT, complaints) { (b.weight, b.reverse) = found; } })),
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
    let mut pending = Pending {
        neighbor: None,
        source: None,
        min_rx: DEFAULT_INTERVAL,
        min_tx: DEFAULT_INTERVAL,
        idle_tx: Duration::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: None,
        max_hops: 0,
        weight: 0,
        reverse: false,
    };
    block(
        &mut pending,
        body(statement),
        KEYWORDS,
        "'bfd_instance'",
        complaints,
    );
    let Some(neighbor) = pending.neighbor else {
        let message = format!("bfd_instance '{}' has no 'neighbor_ip'", name.text);
        return complaints.error(DiagnosticKind::InvalidValue, name.span, message);
    };
    if pending
        .source
        .is_some_and(|source| source.is_ipv4() != neighbor.is_ipv4())
    {
        let message = format!(
            "bfd_instance '{}': source_ip and neighbor_ip are of different families",
            name.text
        );
        return complaints.error(DiagnosticKind::InvalidValue, name.span, message);
    }
    let message = "'bfd_instance' is not supported yet";
    complaints.error(DiagnosticKind::NotSupportedYet, statement.span(), message);
    text.config.bfd_instances.push(BfdInstance {
        name,
        neighbor,
        source: pending.source,
        min_rx: pending.min_rx,
        min_tx: pending.min_tx,
        idle_tx: pending.idle_tx,
        multiplier: pending.multiplier,
        passive: pending.passive,
        ttl: pending
            .ttl
            .unwrap_or(if neighbor.is_ipv4() { 255 } else { 64 }),
        max_hops: pending.max_hops,
        weight: pending.weight,
        reverse: pending.reverse,
        span: statement.span(),
    });
}

fn ip(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<IpAddr> {
    let found = address(statement.text(1));
    if found.is_none() {
        complaints.wrong(statement, "an IP address");
    }
    found
}

fn octet(statement: &Statement, least: i64, complaints: &mut Complaints<'_>) -> Option<u8> {
    integer(statement, least..=255, complaints).and_then(|value| u8::try_from(value).ok())
}

/// Milliseconds with a fraction.
fn milliseconds(statement: &Statement, complaints: &mut Complaints<'_>) -> Option<Duration> {
    let value = parse_seconds(statement.text(1), MAX_MILLISECONDS)
        .map(|thousandfold| thousandfold / 1_000)
        .filter(|value| !value.is_zero());
    if value.is_none() {
        complaints.wrong(statement, &format!("milliseconds up to {MAX_MILLISECONDS}"));
    }
    value
}
