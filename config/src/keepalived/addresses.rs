//! Entries of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::IpAddr;

use super::model::VirtualAddress;
use super::parser::body;
use super::tree::Statement;
use super::values::{Complaints, address};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::suggest::did_you_mean;

/// `ADDRESS[/PREFIX] [brd A] [dev D] [label L] [scope S] …`, several on one line too.
pub(super) fn addresses(
    list: &mut Vec<VirtualAddress>,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    for line in body(statement) {
        let mut at = 0;
        while at < line.words.len() {
            let (next, found) = virtual_address(line, at, complaints);
            at = next;
            let Some(found) = found else { continue };
            // It stays in the list: the peer compares our advertisement with its own list.
            if list
                .iter()
                .any(|known| known.address == found.address && known.device == found.device)
            {
                let message = format!("address {} is listed twice", found.address);
                complaints.warning(DiagnosticKind::Duplicate, found.span, message);
            }
            list.push(found);
        }
    }
}

/// One address and its options; also where the next one begins.
fn virtual_address(
    line: &Statement,
    start: usize,
    complaints: &mut Complaints<'_>,
) -> (usize, Option<VirtualAddress>) {
    let word = &line.words[start];
    let (host, prefix) = word
        .text
        .split_once('/')
        .map_or((word.text.as_str(), None), |(host, prefix)| {
            (host, Some(prefix))
        });
    let Some(host) = address(host) else {
        let message = format!("an IP address was expected, found '{}'", word.text);
        complaints.error(DiagnosticKind::InvalidValue, word.span, message);
        return (line.words.len(), None);
    };
    if host.is_ipv6() {
        let message = "IPv6 addresses are not supported yet";
        complaints.error(DiagnosticKind::NotSupportedYet, word.span, message);
    }
    let longest = if host.is_ipv6() { 128 } else { 32 };
    let prefix_length = match prefix.map(str::parse::<u8>) {
        None => longest,
        Some(Ok(length)) if length <= longest => length,
        Some(_) => {
            let message = format!(
                "a prefix length up to {longest} was expected in '{}'",
                word.text
            );
            complaints.error(DiagnosticKind::InvalidValue, word.span, message);
            longest
        }
    };
    let mut found = VirtualAddress {
        address: host,
        prefix_length,
        broadcast: None,
        device: None,
        label: None,
        scope: 0,
        span: word.span,
    };
    let mut at = start + 1;
    while let Some(option) = line.words.get(at) {
        let value = line.words.get(at + 1);
        at += 2;
        match (option.text.as_str(), value) {
            ("brd" | "broadcast", Some(value)) => match value.text.as_str() {
                "-" | "+" => found.broadcast = broadcast(&found),
                text => match text.parse() {
                    Ok(address) => found.broadcast = Some(address),
                    Err(_) => complaints.error(
                        DiagnosticKind::InvalidValue,
                        value.span,
                        format!("'brd' expects an IPv4 address, found '{text}'"),
                    ),
                },
            },
            ("dev", Some(value)) => found.device = Some(value.text.clone()),
            ("label", Some(value)) => found.label = Some(value.text.clone()),
            ("scope", Some(value)) => match scope(&value.text) {
                Some(scope) => found.scope = scope,
                None => complaints.error(
                    DiagnosticKind::InvalidValue,
                    value.span,
                    format!(
                        "unknown scope '{}': site, link, host, nowhere or global",
                        value.text
                    ),
                ),
            },
            ("brd" | "broadcast" | "dev" | "label" | "scope", None) => {
                let message = format!("'{}' expects a value", option.text);
                complaints.error(DiagnosticKind::InvalidValue, option.span, message);
            }
            ("peer" | "preferred_lft" | "track_group", _) => {
                let message = format!("'{}' of an address is not supported yet", option.text);
                complaints.error(DiagnosticKind::NotSupportedYet, option.span, message);
            }
            (
                "home" | "-nodad" | "mngtmpaddr" | "noprefixroute" | "autojoin" | "no_track"
                | "use_vmac",
                _,
            ) => {
                let message = format!(
                    "'{}' of an address is not supported yet and is ignored",
                    option.text
                );
                complaints.warning(DiagnosticKind::NotSupportedYet, option.span, message);
                at -= 1;
            }
            (text, _) if address(text.split('/').next().unwrap_or("")).is_some() => {
                return (at - 2, Some(found));
            }
            (text, _) => {
                let message = format!("unknown word '{text}' after an address is ignored");
                let mut diagnostic =
                    Diagnostic::warning(DiagnosticKind::UnknownWord, option.span, message);
                diagnostic.help = did_you_mean(text, ["brd", "dev", "label", "scope"]);
                complaints.0.push(diagnostic);
                at -= 1;
            }
        }
    }
    (at, Some(found))
}

/// The highest address of the network.
fn broadcast(found: &VirtualAddress) -> Option<std::net::Ipv4Addr> {
    match ipnet::IpNet::new(found.address, found.prefix_length)
        .ok()?
        .broadcast()
    {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// The kernel's number of a scope.
fn scope(text: &str) -> Option<u8> {
    match text {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        number => number.parse().ok(),
    }
}
