//! Entries of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress`.

use std::net::IpAddr;

use super::addressing::Vmac;
use super::model::{FOREVER, VirtualAddress};
use super::names::scope;
use super::parser::body;
use super::tree::Statement;
use super::values::{Complaints, address};
use super::words::network;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Span;
use crate::suggest::did_you_mean;

/// Words after an address for suggestions.
const OPTIONS: [&str; 14] = [
    "-nodad",
    "autojoin",
    "brd",
    "dev",
    "home",
    "label",
    "mngtmpaddr",
    "no_track",
    "noprefixroute",
    "peer",
    "preferred_lft",
    "scope",
    "track_group",
    "use_vmac",
];
/// IFA_F_NODAD: no duplicate address detection.
const NODAD: u32 = 0x02;
/// Words that are a flag of an address, and the kernel's numbers (IFA_F_*).
const FLAGS: [(&str, u32); 4] = [
    ("autojoin", 0x400),
    ("home", 0x10),
    ("mngtmpaddr", 0x100),
    ("noprefixroute", 0x200),
];

/// `ADDRESS[/PREFIX] [brd A] [dev D] [label L] [scope S] …`, one a line.
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
    let host = word.text.split('/').next().unwrap_or("");
    let Some(host) = address(host) else {
        let message = format!("an IP address was expected, found '{}'", word.text);
        complaints.left_out(word.span, message);
        return (line.words.len(), None);
    };
    let longest = if host.is_ipv6() { 128 } else { 32 };
    let prefix_length = network(&word.text).map(|(_, length)| length);
    if prefix_length.is_none() {
        let message = format!(
            "a prefix length up to {longest} was expected in '{}': {longest} is used",
            word.text
        );
        complaints.warning(DiagnosticKind::InvalidValue, word.span, message);
    }
    let mut found = VirtualAddress::new(host, prefix_length.unwrap_or(longest), word.span);
    // keepalived leaves an address out whose broadcast address cannot be.
    let mut is_left_out = false;
    let mut at = start + 1;
    while let Some(option) = line.words.get(at) {
        let value = line.words.get(at + 1);
        at += 2;
        match (option.text.as_str(), value) {
            ("brd" | "broadcast", Some(value)) => match value.text.as_str() {
                sign @ ("-" | "+") => found.broadcast = broadcast(&found, sign == "+"),
                text => match text.parse() {
                    Ok(address) => found.broadcast = Some(address),
                    Err(_) => {
                        is_left_out = true;
                        complaints.left_out(
                            value.span,
                            format!(
                                "'brd' of {} expects an IPv4 address, found '{text}'",
                                word.text
                            ),
                        )
                    }
                },
            },
            ("dev", Some(value)) => found.device = Some(value.text.clone()),
            ("label", Some(value)) => found.label = Some(value.text.clone()),
            ("scope", Some(value)) => match scope(&value.text) {
                Some(scope) => found.scope = scope,
                None => complaints.left_out(
                    value.span,
                    format!(
                        "unknown scope '{}': site, link, host, nowhere or global",
                        value.text
                    ),
                ),
            },
            ("peer", Some(value)) => match network(&value.text) {
                Some((peer, length)) if peer.is_ipv6() == host.is_ipv6() => {
                    found.peer = Some(peer);
                    if value.text.contains('/') {
                        found.prefix_length = length;
                    }
                }
                _ => complaints.left_out(
                    value.span,
                    format!(
                        "'peer' expects an address of the same family, found '{}'",
                        value.text
                    ),
                ),
            },
            ("preferred_lft", Some(value)) => match value.text.as_str() {
                "forever" => found.preferred_lft = FOREVER,
                text => match text.parse() {
                    Ok(seconds) => found.preferred_lft = seconds,
                    Err(_) => complaints.left_out(
                        value.span,
                        format!("'preferred_lft' expects seconds or 'forever', found '{text}'"),
                    ),
                },
            },
            (
                "brd" | "broadcast" | "dev" | "label" | "peer" | "preferred_lft" | "scope"
                | "track_group",
                None,
            ) => {
                let message = format!("'{}' expects a value", option.text);
                complaints.left_out(option.span, message);
            }
            ("track_group", Some(value)) => found.track_group = Some(value.clone()),
            ("no_track", _) => {
                found.no_track = true;
                at -= 1;
            }
            ("-nodad", _) => {
                found.flags &= !NODAD;
                at -= 1;
            }
            ("nodad", _) => at -= 1,
            ("use_vmac", _) => {
                found.vmac = Some(Box::new(Vmac::wanted()));
                at -= 1;
            }
            (text, _) if FLAGS.iter().any(|(name, _)| *name == text) => {
                let flags = FLAGS.iter().filter(|(name, _)| *name == text);
                found.flags |= flags.map(|(_, flag)| flag).sum::<u32>();
                at -= 1;
            }
            (text, _) if address(text.split('/').next().unwrap_or("")).is_some() => {
                // Who took it would advertise a list that keepalived does not have.
                let message = format!("a second address on one line, {text}");
                complaints.left_out(option.span, message);
                at -= 1;
            }
            (text, _) => {
                let message = format!("unknown word '{text}' after an address is ignored");
                let mut diagnostic =
                    Diagnostic::warning(DiagnosticKind::UnknownWord, option.span, message);
                diagnostic.help = did_you_mean(text, OPTIONS);
                complaints.0.push(diagnostic);
                at -= 1;
            }
        }
    }
    (at, Some(found).filter(|_| !is_left_out))
}

impl VirtualAddress {
    /// An address about which no more is written.
    pub fn new(address: IpAddr, prefix_length: u8, span: Span) -> Self {
        // Nobody else answers for it: detecting duplicates would only keep it from answering for a second.
        let flags = if address.is_ipv6() { NODAD } else { 0 };
        // Packets of this node's own shall not leave with an address that moves.
        let deprecated = address.is_ipv6() && prefix_length == 128;
        Self {
            address,
            prefix_length,
            broadcast: None,
            peer: None,
            device: None,
            label: None,
            scope: 0,
            preferred_lft: if deprecated { 0 } else { FOREVER },
            flags,
            no_track: false,
            track_group: None,
            vmac: None,
            span,
        }
    }
}

/// The highest address of the network, or the lowest.
fn broadcast(found: &VirtualAddress, highest: bool) -> Option<std::net::Ipv4Addr> {
    let network = ipnet::IpNet::new(found.address, found.prefix_length).ok()?;
    let address = if highest {
        network.broadcast()
    } else {
        network.network()
    };
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
