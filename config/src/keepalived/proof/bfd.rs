//! What the text proves of BFD sessions.

use super::super::model::{BfdInstance, KeepalivedConfig, Tracks};
use super::Host;
use super::alone::pointless;
use crate::diagnostic::Diagnostics;

/// Everything that the text proves of its sessions.
pub(super) fn prove(config: &KeepalivedConfig, host: Option<&Host>, found: &mut Diagnostics) {
    for (at, session) in config.bfd_instances.iter().enumerate() {
        tracked(config, at, session, found);
        addresses(session, host, found);
        alone_together(config, at, session, found);
    }
}

fn all_tracks(config: &KeepalivedConfig) -> impl Iterator<Item = &Tracks> {
    let instances = config.instances.iter().map(|instance| &*instance.tracks);
    instances.chain(config.sync_groups.iter().map(|group| &*group.tracks))
}

/// A session that nobody tracks moves nothing, but the neighbour may need it.
fn tracked(config: &KeepalivedConfig, at: usize, session: &BfdInstance, found: &mut Diagnostics) {
    let is_tracked = |tracks: &Tracks| tracks.bfds.iter().any(|one| one.item == at);
    // That nobody is told of it was said where it is read.
    if !session.tells_vrrp || all_tracks(config).any(is_tracked) {
        return;
    }
    let name = session.name.as_str();
    let message =
        format!("bfd_instance '{name}' is tracked by nobody: it runs for its neighbor alone");
    let help = format!("write 'track_bfd {{ {name} }}' in an instance or a sync group");
    found.push(pointless(session.name.span, message).with_help(help));
}

fn addresses(session: &BfdInstance, host: Option<&Host>, found: &mut Diagnostics) {
    let name = session.name.as_str();
    if session.source == Some(session.neighbor) {
        let message =
            format!("bfd_instance '{name}' is its own neighbor: source_ip and neighbor_ip are one");
        found.push(pointless(session.name.span, message));
    } else if session.is_link_local() && session.source.is_none() && session.interface.is_none() {
        let message = format!(
            "bfd_instance '{name}': the link-local neighbor {} is reached through the interface that has source_ip, \
             and there is none: the session stays Down",
            session.neighbor
        );
        found.push(
            pointless(session.name.span, message)
                .with_help("write the own link-local address as 'source_ip', or the interface behind the neighbor's: fe80::1%eth0"),
        );
    }
    let Some(host) = host else {
        return;
    };
    let known = |name: &String| {
        host.interfaces
            .iter()
            .any(|interface| interface.name == *name)
    };
    if let Some(interface) = session.interface.as_ref().filter(|name| !known(name)) {
        let message = format!(
            "bfd_instance '{name}': there is no interface {interface}: the session stays Down until there is"
        );
        found.push(pointless(session.name.span, message));
    }
    let Some(source) = session.source else {
        return;
    };
    let mut networks = host
        .interfaces
        .iter()
        // A link-local address may be on several.
        .filter(|interface| {
            let wanted = session.interface.as_ref();
            !session.is_link_local() || wanted.is_none_or(|name| interface.name == *name)
        })
        .flat_map(|interface| &interface.networks);
    if !networks.any(|network| network.addr() == source) {
        let message = format!(
            "bfd_instance '{name}': source_ip {source} is not on this host: the session stays Down until it is"
        );
        found.push(pointless(session.name.span, message));
    }
}

/// keepalived.conf(5), BFD: without a weight, an instance that tracks a session to its own peer runs only while the peer
/// does.
fn alone_together(
    config: &KeepalivedConfig,
    at: usize,
    session: &BfdInstance,
    found: &mut Diagnostics,
) {
    for instance in &config.instances {
        let mut tracks = instance.tracks.bfds.iter();
        let faulty = tracks.any(|one| one.item == at && one.weight == 0 && !one.reverse);
        if !faulty || !instance.unicast_peers.contains(&session.neighbor) {
            continue;
        }
        let name = session.name.as_str();
        let message = format!(
            "'{}' tracks bfd {name} without a weight, and its neighbor {} is the instance's own peer: when the peer \
             dies, this node is in FAULT as well, and nobody is master",
            instance.name.as_str(),
            session.neighbor
        );
        let key = format!("track_bfd {name}");
        let span = instance.places.find(&key).unwrap_or(instance.name.span);
        found.push(
            pointless(span, message)
                .with_help("give it a weight, or track a session with a gateway"),
        );
    }
}
