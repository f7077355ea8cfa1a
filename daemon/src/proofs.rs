//! `-c` beyond the grammar: what the VRRP configuration cannot do, and with `--peer` what the pair does in every
//! single failure.

use std::net::IpAddr;
use std::process::ExitCode;

use config::keepalived::KeepalivedConfig;
use config::keepalived::proof::{self, Host, Side};
use config::{Diagnostics, Input};

use crate::arguments::Arguments;
use crate::configuration::Configuration;

/// Most interfaces that are looked at.
const MAX_INTERFACES: usize = 4096;

/// What the text of this node proves, with the facts about this host.
pub fn alone(keepalived: &KeepalivedConfig) -> Diagnostics {
    proof::prove(keepalived, host().as_ref())
}

/// The interfaces of this host with their addresses; none if the kernel does not tell.
fn host() -> Option<Host> {
    let mut host = Host::default();
    for entry in std::fs::read_dir("/sys/class/net")
        .ok()?
        .flatten()
        .take(MAX_INTERFACES)
    {
        // `bonding_masters` is a file.
        if entry.path().is_dir() {
            host.add_interface(&entry.file_name().to_string_lossy());
        }
    }
    for found in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let address = found.address.as_ref().and_then(ip);
        let mask = found.netmask.as_ref().and_then(ip);
        if let (Some(address), Some(mask)) = (address, mask) {
            host.add_address(&found.interface_name, address, prefix_length(mask));
        }
    }
    Some(host)
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|found| IpAddr::V6(found.ip()))
    })
}

fn prefix_length(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

/// `-c --peer FILE`: proves this node's configuration against the other's, and prints the table of failures.
/// Fails if the pair cannot work.
pub fn pair(arguments: &Arguments, own: &Configuration) -> Result<(), ExitCode> {
    let Some(path) = &arguments.peer else {
        return Ok(());
    };
    let environment = |name: &str| std::env::var(name).ok();
    let inputs = [Input::path(path)];
    let loaded = match &arguments.peer_id {
        Some(id) => config::load_as(&inputs, &environment, id),
        None => config::load(&inputs, &environment),
    };
    let mut complaints = loaded.diagnostics;
    let refuse = |reason: &str| {
        eprintln!("tandemd: {reason}");
        Err(ExitCode::FAILURE)
    };
    let Some(peer) = &loaded.keepalived else {
        eprint!("{}", complaints.render(&loaded.sources));
        return refuse(&format!("{}: no VRRP configuration", path.display()));
    };
    let Some(keepalived) = &own.keepalived else {
        return refuse("--peer: this node has no VRRP configuration");
    };
    complaints.0.extend(proof::prove(peer, None).0);
    let [here, there] = labels(keepalived, peer);
    let host = host();
    let proof = proof::prove_pair(
        Side {
            label: &here,
            config: keepalived,
            sources: &own.sources,
            host: host.as_ref(),
        },
        Side {
            label: &there,
            config: peer,
            sources: &loaded.sources,
            host: None,
        },
    );
    let works = proof.works() && !complaints.has_errors();
    if !works || !arguments.quiet {
        complaints.0.extend(proof.peer.0);
        complaints.tidy();
        let mut found = proof.own;
        found.tidy();
        eprint!("{}", found.render(&own.sources));
        eprint!("{}", complaints.render(&loaded.sources));
    }
    if !arguments.quiet {
        print!("{}", proof::render(&proof.scenarios));
    }
    if works {
        return Ok(());
    }
    refuse("the two nodes do not work as a pair")
}

/// What the nodes are called: by their `router_id`, if each has its own.
fn labels(own: &KeepalivedConfig, peer: &KeepalivedConfig) -> [String; 2] {
    match (&own.global.router_id, &peer.global.router_id) {
        (Some(own), Some(peer)) if own != peer => [own.clone(), peer.clone()],
        _ => ["this".to_owned(), "peer".to_owned()],
    }
}
