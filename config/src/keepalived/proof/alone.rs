//! What the text of one node proves.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::model::{KeepalivedConfig, VirtualAddress, VrrpInstance};
use super::Host;
use super::election::{Candidate, OWNER};
use super::tracked::{Tracked, tracked};
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::Span;

/// Everything that the text of one node proves, and what it proves together with the facts about its host.
///
/// All of it is warnings: keepalived runs such a configuration, and so do we.
pub fn prove(config: &KeepalivedConfig, host: Option<&Host>) -> Diagnostics {
    let mut found = Diagnostics::default();
    for instance in &config.instances {
        let items = tracked(config, instance);
        owner(instance, &items, &mut found);
        weights(instance, &items, &mut found);
        nopreempt(instance, &items, &mut found);
        unicast(instance, &mut found);
        if let Some(host) = host {
            interfaces(instance, host, &mut found);
            networks(instance, host, &mut found);
        }
    }
    addresses(config, &mut found);
    super::bfd::prove(config, host, &mut found);
    found
}

/// The place of a keyword, or of the instance if it is not written.
pub(super) fn place(instance: &VrrpInstance, keyword: &str) -> Span {
    instance.places.find(keyword).unwrap_or(instance.name.span)
}

pub(super) fn pointless(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(DiagnosticKind::Pointless, span, message)
}

/// RFC 3768 6.4.1: priority 255 is the owner's: it speaks at once and yields to nobody.
fn owner(instance: &VrrpInstance, items: &[Tracked], found: &mut Diagnostics) {
    if instance.priority != OWNER {
        return;
    }
    if instance.nopreempt {
        found.push(
            pointless(
                place(instance, "nopreempt"),
                "'nopreempt' does nothing with 'priority 255': the owner takes its addresses at once",
            )
            .with_help("a priority up to 254 leaves them where they are"),
        );
    }
    for item in items.iter().filter(|item| item.is_weighted()) {
        let message = format!(
            "weight {:+} of {} does nothing with 'priority 255': the owner's priority is never changed",
            item.weight, item.name
        );
        found.push(
            pointless(item.span.unwrap_or(instance.name.span), message)
                .with_help("write a priority up to 254, or no weight: then a failure means FAULT"),
        );
    }
}

/// Weights that leave the priority as it is, because it is never below 1 or above 254.
fn weights(instance: &VrrpInstance, items: &[Tracked], found: &mut Diagnostics) {
    if instance.priority == OWNER {
        return;
    }
    let candidate = Candidate::new(instance, items.to_vec(), None);
    for (at, item) in items.iter().enumerate() {
        if !item.is_weighted() {
            continue;
        }
        let reachable = |well: bool| {
            let share = match item.effect(well) {
                super::tracked::Effect::Priority(share) => share,
                super::tracked::Effect::Fault => return None,
            };
            candidate.reachable(Some(at), share)
        };
        let (Some(well), Some(failing)) = (reachable(true), reachable(false)) else {
            continue;
        };
        // One priority in both cases, whatever else fails.
        if well.len() != 1 || well != failing {
            continue;
        }
        let stays = well.first().copied().unwrap_or_default();
        let message = format!(
            "weight {:+} of {} can never change the priority: it stays {stays}, whether it fails or not \
             (a priority is from 1 to 254)",
            item.weight, item.name
        );
        found.push(
            pointless(item.span.unwrap_or(instance.name.span), message)
                .with_help("leave room: a base priority further from 1 and 254"),
        );
    }
}

/// With `nopreempt` a backup lets every living master be, however low its priority is.
fn nopreempt(instance: &VrrpInstance, items: &[Tracked], found: &mut Diagnostics) {
    if !instance.nopreempt || instance.priority == OWNER {
        return;
    }
    for item in items.iter().filter(|item| item.is_weighted()) {
        let message = format!(
            "weight {:+} of {} moves no address while the others do not preempt either: with 'nopreempt' \
             (line {}) a backup leaves a living master alone, whatever its priority",
            item.weight,
            item.name,
            place(instance, "nopreempt").line
        );
        found.push(
            pointless(item.span.unwrap_or(instance.name.span), message).with_help(
                "leave the weight out: then a failure means FAULT, and the other node takes over",
            ),
        );
    }
}

fn unicast(instance: &VrrpInstance, found: &mut Diagnostics) {
    if instance.unicast_peers.is_empty() {
        if let Some(span) = instance.places.find("unicast_src_ip") {
            found.push(
                pointless(
                    span,
                    "'unicast_src_ip' without 'unicast_peer': advertisements go to the multicast group",
                )
                .with_help("list the other nodes in 'unicast_peer', or write 'mcast_src_ip'"),
            );
        }
        return;
    }
    let entry = |peer: &IpAddr| {
        let key = format!("unicast_peer {peer}");
        place(instance, &key)
    };
    for peer in &instance.unicast_peers {
        if Some(*peer) == instance.source_address {
            let message = format!("{peer} is this node's own address: it is no peer of itself");
            found.push(pointless(entry(peer), message));
        }
        if all_addresses(instance).any(|address| address.address == *peer) {
            let message = format!(
                "{peer} is a virtual address of this instance: advertisements to it go to its master itself"
            );
            found.push(
                pointless(entry(peer), message).with_help("name the other node's own address"),
            );
        }
    }
}

fn interfaces(instance: &VrrpInstance, host: &Host, found: &mut Diagnostics) {
    let mut missing = |name: &str, span: Span| {
        if host.interface(name).is_some() {
            return;
        }
        let message = format!("interface {name} does not exist on this host");
        let known: Vec<&str> = host
            .interfaces
            .iter()
            .map(|interface| interface.name.as_str())
            .filter(|name| *name != "lo")
            .collect();
        found.push(
            Diagnostic::warning(DiagnosticKind::UnknownName, span, message).with_help(format!(
                "it may come later: until then '{}' is in FAULT. There are: {}",
                instance.name.as_str(),
                known.join(", ")
            )),
        );
    };
    missing(&instance.interface, place(instance, "interface"));
    for address in all_addresses(instance) {
        if let Some(device) = &address.device {
            missing(device, address.span);
        }
    }
    for entry in &instance.tracks.interfaces {
        missing(&entry.item.text, entry.item.span);
    }
}

/// An address without a prefix length brings no network of its own: it has to be in one of its interface's.
fn networks(instance: &VrrpInstance, host: &Host, found: &mut Diagnostics) {
    for address in all_addresses(instance) {
        let device = address.device.as_deref().unwrap_or(&instance.interface);
        let Some(interface) = host.interface(device) else {
            continue;
        };
        let alone = u32::from(address.prefix_length) == bits(address.address);
        let same_family = interface
            .networks
            .iter()
            .filter(|network| network.addr().is_ipv4() == address.address.is_ipv4());
        let networks: Vec<String> = same_family
            .clone()
            .map(|one| one.trunc().to_string())
            .collect();
        // A master has the address itself: that is no network to be in.
        let inside = same_family
            .filter(|network| network.addr() != address.address)
            .any(|network| network.contains(&address.address));
        if !alone || inside || networks.is_empty() {
            continue;
        }
        let message = format!(
            "{} is in no network of {device} ({}): its neighbours do not look for it there",
            address.address,
            networks.join(", ")
        );
        found.push(
            pointless(address.span, message)
                .with_help("write its prefix length behind it, or another 'dev'"),
        );
    }
}

fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

pub(super) fn all_addresses(instance: &VrrpInstance) -> impl Iterator<Item = &VirtualAddress> {
    instance
        .virtual_addresses
        .iter()
        .chain(&instance.excluded_addresses)
}

/// An address that two instances move is taken from one by the other.
fn addresses(config: &KeepalivedConfig, found: &mut Diagnostics) {
    let mut owners: BTreeMap<(IpAddr, &str), (&VrrpInstance, Span)> = BTreeMap::new();
    for instance in &config.instances {
        for address in all_addresses(instance) {
            let device = address.device.as_deref().unwrap_or(&instance.interface);
            let key = (address.address, device);
            match owners.get(&key) {
                None => {
                    owners.insert(key, (instance, address.span));
                }
                // The same instance twice is said where it is read.
                Some((other, _)) if other.name.as_str() == instance.name.as_str() => {}
                Some((other, first)) => {
                    let message = format!(
                        "address {} belongs to '{}' already (line {}): whichever of the two leaves MASTER \
                         removes it from the other",
                        address.address,
                        other.name.as_str(),
                        first.line
                    );
                    found.push(
                        Diagnostic::warning(DiagnosticKind::Duplicate, address.span, message)
                            .with_help("an address belongs to one instance"),
                    );
                }
            }
        }
    }
}
