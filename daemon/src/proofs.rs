//! `-c` beyond the grammar: what the VRRP configuration cannot do, and with `--peer` what the pair does in every
//! single failure.

use std::net::IpAddr;
use std::process::ExitCode;

use config::keepalived::proof::{self, Host, Program, Side};
use config::keepalived::{ConfiguredCommand, KeepalivedConfig, Purpose, commands};
use config::{Diagnostic, DiagnosticKind, Diagnostics, Input, Severity};

use crate::arguments::Arguments;
use crate::configuration::Configuration;
use crate::programs::{self, Refusal, Rights, Security};

/// Most interfaces that are looked at.
const MAX_INTERFACES: usize = 4096;

/// What the text of this node proves, with the facts about this host.
pub fn alone(keepalived: &KeepalivedConfig) -> Diagnostics {
    // What this process sees is another network.
    let host = host().filter(|_| keepalived.net_namespace.is_none());
    let mut found = proof::prove(keepalived, host.as_ref());
    let commands = commands(keepalived);
    found.0.extend(
        commands
            .iter()
            .filter_map(|command| refused(keepalived, command)),
    );
    found
}

/// Why a program of the configuration would not run. The daemon starts all the same, as keepalived does, but an
/// instance that tracks the script then counts it as failed: an error here.
fn refused(keepalived: &KeepalivedConfig, command: &ConfiguredCommand<'_>) -> Option<Diagnostic> {
    let refusal = verdict(keepalived, command).err()?;
    let (severity, meaning) = match (command.purpose, &refusal) {
        // An ordinary user may not see what the daemon will.
        (_, Refusal::Hidden(..)) => (Severity::Warning, "it may well run"),
        (Purpose::Tracked, _) => (Severity::Error, "until then it counts as failed"),
        (Purpose::Untracked, _) => (Severity::Warning, "nothing tracks it yet"),
        (Purpose::Notified, _) => (Severity::Warning, "until then it is not run"),
    };
    let kind = match refusal {
        Refusal::NoAccount(_) => DiagnosticKind::UnknownName,
        _ => DiagnosticKind::File,
    };
    let message = format!("{}: {refusal}", command.label);
    let help = format!("{}; {meaning}", refusal.help());
    let diagnostic = Diagnostic::warning(kind, command.span, message).with_help(help);
    Some(Diagnostic {
        severity,
        ..diagnostic
    })
}

/// What the supervisor will decide. It runs as root, whoever asks here.
fn verdict(keepalived: &KeepalivedConfig, command: &ConfiguredCommand<'_>) -> Result<(), Refusal> {
    let global = &keepalived.global;
    let identity = programs::account(command.user, global.script_user.as_ref())?;
    let rights = Rights::of(Some(identity.unwrap_or((0, 0))));
    let security = Security::from(global.enable_script_security);
    match command.argv.first() {
        Some(program) => programs::examine(program, &rights, security),
        None => Ok(()),
    }
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
            program: Program::Tandem,
        },
        Side {
            label: &there,
            config: peer,
            sources: &loaded.sources,
            host: None,
            program: arguments.peer_is,
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
        let runs = match arguments.peer_is {
            Program::Tandem => "Tandem ('--peer-is keepalived' if it does not)",
            Program::Keepalived => "keepalived",
        };
        println!("{there} is taken to run {runs}.");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The complaints of `-c` about a configuration with these global definitions, script and `notify`.
    fn check(global: &str, script: &str, notify: &str, expected: &[&str]) {
        let text = format!(
            "global_defs {{\n{global}\n}}\nvrrp_script chk {{\nscript \"{script}\"\n}}\n\
             vrrp_instance A {{\ninterface lo\nvirtual_router_id 1\npriority 100\n\
             virtual_ipaddress {{\n10.0.0.1\n}}\ntrack_script {{\nchk\n}}\nnotify \"{notify}\"\n}}\n"
        );
        let loaded = config::load(&[Input::text("keepalived.conf", text)], &|_| None);
        let keepalived = loaded.keepalived.expect("a configuration");
        let commands = commands(&keepalived);
        let found = commands
            .iter()
            .filter_map(|command| refused(&keepalived, command));
        let found = Diagnostics(found.collect()).render(&loaded.sources);
        let lines: Vec<_> = found
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.ends_with('|') && !line.contains('^'))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_tracked_script_that_cannot_run_is_an_error_and_a_notification_a_warning() {
        check("script_user root", "/bin/sh -c true", "/bin/sh", &[]);
        check(
            "script_user root",
            "/no/such/chk -q",
            "/no/such/told now",
            &[
                "error: vrrp_script 'chk': /no/such/chk does not exist",
                "--> keepalived.conf:5:1",
                "5 | script \"/no/such/chk -q\"",
                "= help: correct the path, or put the script there; until then it counts as failed",
                "warning: notify of 'A': /no/such/told does not exist",
                "--> keepalived.conf:17:1",
                "17 | notify \"/no/such/told now\"",
                "= help: correct the path, or put the script there; until then it is not run",
            ],
        );
    }

    #[test]
    fn an_unknown_script_user_is_told_where_it_stops_a_script() {
        check(
            "script_user no-such-user",
            "/bin/true",
            "/bin/true",
            &[
                "error: vrrp_script 'chk': there is no user 'no-such-user'",
                "--> keepalived.conf:5:1",
                "5 | script \"/bin/true\"",
                "= help: create the account, or name another one; until then it counts as failed",
                "warning: notify of 'A': there is no user 'no-such-user'",
                "--> keepalived.conf:17:1",
                "17 | notify \"/bin/true\"",
                "= help: create the account, or name another one; until then it is not run",
            ],
        );
    }

    #[test]
    fn what_asks_whether_the_proxy_is_alive_needs_no_program() {
        check(
            "script_user root",
            "/no/such/killall -0 haproxy",
            "/bin/true",
            &[],
        );
    }
}
